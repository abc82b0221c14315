"""An audit with a method that costs nothing, for faults in thousands; a program that can be killed.

``python cheap.py SOURCE WORKDIR PART_RECORDS SECONDS_AN_IMAGE [PROCESS PROCESSES]``
"""

import contextlib
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax

from jax_origin.audit import Candidate, Journal, examine, job
from jax_origin.calibration import Decision, Rates
from jax_origin.cli.stopping import Stopped, stop_when_told
from jax_origin.images import ImageError, open_image
from jax_origin.inversion import Inversion
from jax_origin.sources import open_sources
from jax_origin.workflow import Verdict
from tests.audit.findings_data import made_up


class Cheap:
    """An attributor that scores an image by its mean, eight at a time and the last first."""

    seconds = 0.0
    scored = 0

    def __init__(self, *_: object, **__: object) -> None:
        self.method = type("Method", (), {"name": "cheap"})

    def stream(self, source) -> Iterator[Verdict]:
        for some in batches(enumerate(source), 8):
            for tag, data in some[::-1]:
                type(self).scored += 1
                if self.seconds:
                    time.sleep(self.seconds)
                yield self.verdict(tag, data)

    def verdict(self, tag: int, data: bytes) -> Verdict:
        about = {"generator": "a", "method": "cheap", "tag": tag}
        try:
            image = open_image(data)
        except ImageError as error:
            return Verdict(**about, error=error.reason)
        mean = float(image.pixels.mean()) / 255
        own = mean < 0.5
        score = (5e-3 if own else 5.0) * (1 + mean / 10)
        decision = Decision(
            verdict="belongs" if own else "not_recognised",
            p=0.5 if own else 1 / 101,
            q=1 / 101 if own else 0.5,
            reason=None,
            condition="as made",
        )
        nothing = dict.fromkeys(("latent", "reconstruction", "curve"))
        found = Inversion(
            loss=score, distance=score, restart=0, steps=3, ended="steps", reading=0, **nothing
        )
        return Verdict(**about, image=image, inversion=found, score=score, decision=decision)


def batches(items, size: int) -> Iterator[list]:
    items = iter(items)
    while some := list(itertools.islice(items, size)):
        yield some


CANDIDATE = Candidate("a", "nowhere", made_up("a"))


def audited(source, out, *, layout=None, part_records: int = 4096, **options) -> int:
    """Examines a source's images with `Cheap`, in a folder called a."""
    options = {"part_records": part_records, "part_seconds": 1e9, **options}
    texts = [source] if isinstance(source, str) else source
    with (
        contextlib.ExitStack() as stack,
        CANDIDATE.journal(out, {"seed": 1}, **options) as journal,
    ):
        before = job.Attributor, job.load_generator
        stack.callback(lambda: vars(job).update(Attributor=before[0], load_generator=before[1]))
        job.Attributor, job.load_generator = Cheap, lambda name: None
        opened = open_sources(texts, layout=layout)
        assert isinstance(journal, Journal)
        rates = Rates(0.01, 0.01)
        return examine(opened, CANDIDATE, journal, key=jax.random.key(0), rates=rates)


def main() -> None:
    source, out, part_records, seconds, *share = sys.argv[1:]
    Cheap.seconds = float(seconds)
    if share:
        process, processes = map(int, share)
        jax.process_index, jax.process_count = (lambda: process), (lambda: processes)
        job.wait_for_all = lambda _: None
    print("begun", flush=True)
    try:
        with stop_when_told():
            audited(source, Path(out), part_records=int(part_records))
    except Stopped:
        sys.exit(3)


if __name__ == "__main__":
    main()
