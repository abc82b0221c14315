"""The work of an audit: every image of a source gets its record under a candidate."""

import dataclasses
import functools
import hashlib
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax

from jax_origin.audit.candidates import Candidate
from jax_origin.audit.journal import Journal
from jax_origin.audit.sorted_index import digest
from jax_origin.calibration import Rates
from jax_origin.images import Decoders, ImageError, as_uint8, declared, map_ahead, save_png
from jax_origin.images.formats import format_of, is_bare_png
from jax_origin.inversion import Run
from jax_origin.runs import RunError
from jax_origin.runtime import wait_for_all
from jax_origin.sources import Entry, Source
from jax_origin.workflow import Attributor, Verdict
from jax_origin.zoo import load_generator

_AHEAD = 64


class _Read(NamedTuple):
    """An image whose bytes were read, or why not."""

    place: int
    entry: Entry
    data: bytes
    about: dict[str, Any]
    error: str | None
    since: float


def examine(
    source: Source,
    candidate: Candidate,
    journal: Journal,
    *,
    key: jax.Array,
    rates: Rates,
    resize: bool = False,
    readings: str = "usual",
    reconstructions: int = 0,
    run: Run | None = None,
    total: Callable[[], int | None] = lambda: None,
    watch: Callable[[Mapping[str, Any]], None] = lambda record: None,
) -> int:
    """Gives each image of a source its record under a candidate; of several processes, all call it.

    Images are read as they are needed, ahead of their inversion. Those that have a record are left
    out, unless they have changed. Of equal files one is inverted, in each process. Images are
    inverted in full: ratios and many tests at once need full scores. Which process an image falls
    to depends on its key alone.

    Args:
      source: The images; all processes name the same.
      candidate: The generator that is asked about; it is loaded here, if an image waits for it.
      journal: Its folder, entered; its `share` says which images are examined here.
      key: A JAX key, for starting points.
      rates: The rates of error.
      resize: Whether images of another size are resized.
      readings: What else images are read as; see `Attributor`.
      reconstructions: How many are kept of each verdict, in each process, for a page to show; see
        `Candidate.reconstruction`.
      run: Where and how. Its `progress` is told of images that have a record, by the candidate's
        name.
      total: How many images the source has, as far as that is known by now.
      watch: Told of each record as it is written.

    Returns:
      How many images the source has.

    Raises:
      CalibrationError: If the calibration cannot keep the rates.
      RunError: If records cannot be read or written.
      ImageError: If the source cannot be read at all.
    """
    wait_for_all(f"resume {candidate.name}")  # All have read the records before one writes.
    run = run or Run()
    work = _Work(candidate, journal, reconstructions, run, total, watch)
    images = work.images(source)
    first = next(images, None)
    if first is not None:
        attributor = Attributor(
            load_generator(candidate.source),
            candidate.calibration,
            key=key,
            rates=rates,
            full_scores=True,
            resize=resize,
            readings=readings,
            run=work.run,
        )
        work.method = attributor.method.name
        for verdict in attributor.stream(itertools.chain([first], images)):
            work.decided(verdict)
    journal.flush()
    wait_for_all(f"records {candidate.name}")
    return work.num


class _Work:
    """What is under way: images that are inverted, and equal ones that wait for the same answer."""

    def __init__(
        self,
        candidate: Candidate,
        journal: Journal,
        reconstructions: int,
        run: Run,
        total: Callable[[], int | None],
        watch: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.num, self.method = 0, str(candidate.calibration.method["name"])
        self._candidate, self._journal, self._watch = candidate, journal, watch
        self._total, self._progress = total, run.progress
        self._done, self._aside = 0.0, 0  # Images told of by the attributor, and others.
        self.run = run if run.progress is None else dataclasses.replace(run, progress=self._told)
        self._most_kept, self._kept = reconstructions, Counter[str | None]()
        self._keys = set[bytes]()  # Of images under way.
        self._asked: dict[int, str] = {}  # By tag, the SHA-256 of a file.
        self._alike: dict[str, list[_Read]] = {}  # The images of each such file.

    def images(self, source: Source) -> Iterator[bytes]:
        """The files that have to be inverted, each once; their place is the verdict's tag."""
        tags = itertools.count()
        reading = functools.partial(_read, decoders=self.run.decoders)
        options = {"workers": self.run.readers, "ahead": _AHEAD}
        for read in map_ahead(reading, self._waiting(source), **options):
            if read.error is not None:
                self._put_aside()
                self._write(read, self._failed(read.error).record())
                continue
            sha256 = read.about["sha256"]
            if self._journal.has(read.entry.key, sha256):
                self._put_aside()
                self._keys.discard(digest(read.entry.key))
            elif sha256 in self._alike:
                self._alike[sha256].append(read)
            elif (record := self._journal.like(sha256)) is not None:
                self._put_aside()
                self._write(read, record)
            else:
                self._alike[sha256] = [read]
                self._asked[next(tags)] = sha256
                yield read.data

    def decided(self, verdict: Verdict) -> None:
        """Writes the records of an image, and of those that have the same bytes."""
        first, *equal = self._alike.pop(self._asked.pop(verdict.tag))
        record = verdict.record()
        height, width = verdict.image.size if verdict.image else (None, None)
        record |= {"height": height, "width": width}
        self._keep(verdict, first.about)
        self._write(first, record | {"seconds": time.monotonic() - first.since})
        for each in equal:
            self._put_aside()
            self._write(each, record | {"seconds": 0.0})

    def _keep(self, verdict: Verdict, about: dict[str, Any]) -> None:
        """Writes the reconstruction, if few of this verdict have been kept."""
        self._kept[verdict.verdict] += 1
        if verdict.reconstruction is None or self._kept[verdict.verdict] > self._most_kept:
            return
        path = self._candidate.reconstruction(self._journal.path.parent, about)
        try:
            save_png(path, as_uint8(verdict.reconstruction[None])[0])
        except OSError as error:
            reason = f"a reconstruction cannot be written ({error.strerror or error})"
            raise RunError(f"{path}: {reason}") from error

    def _told(self, what: str, done: float, total: float | None) -> None:
        """Tells how many images have a record, of all that fall to this process."""
        self._done, num = done, self._total()
        if self._progress is not None:
            share = None if num is None else num / self._journal.share[1]
            self._progress(self._candidate.name, self._aside + done, share)

    def _put_aside(self) -> None:
        """Counts an image that is not inverted."""
        self._aside += 1
        self._told("", self._done, None)

    def _waiting(self, source: Source) -> Iterator[tuple[int, Entry]]:
        """This process's share of the images that may still want a record."""
        process, processes = self._journal.share
        for place, entry in enumerate(source):
            self.num += 1
            key = digest(entry.key)
            if int.from_bytes(key[:8], "little") % processes != process:
                continue
            if key in self._keys or self._journal.is_done(entry.key, entry.stamp):
                self._put_aside()
                continue
            self._keys.add(key)
            yield place, entry

    def _failed(self, error: str) -> Verdict:
        name = self._candidate.calibration.generator["name"]
        return Verdict(generator=name, method=self.method, error=error)

    def _write(self, read: _Read, record: dict[str, Any]) -> None:
        entry = read.entry
        record = {"width": None, "height": None, "seconds": None, **record, **read.about}
        record.pop("path", None)
        record = {
            **record,
            "key": entry.key,
            "candidate": self._candidate.name,
            "stamp": entry.stamp,
            "truth": entry.truth,
            "place": read.place,
        }
        self._journal.write(record)
        self._watch(record)
        self._keys.discard(digest(entry.key))


def _read(waiting: tuple[int, Entry], *, decoders: Decoders | None) -> _Read:
    """Reads an image's bytes, and what can be said of them without a model; in a thread."""
    place, entry = waiting
    since = time.monotonic()
    about: dict[str, Any] = dict.fromkeys(("sha256", "size", "format", "declared"))
    try:
        data = entry.read()
    except ImageError as error:
        return _Read(place, entry, b"", about, error.reason, since)
    form = format_of(data)
    about["sha256"], about["size"] = hashlib.sha256(data).hexdigest(), len(data)
    about["format"] = form and form.name
    try:
        # A file that says nothing need not travel to another process for that.
        away = decoders if not is_bare_png(data) else None
        said = away(declared, data) if away else declared(data)
    except ImageError as error:
        return _Read(place, entry, b"", about, error.reason, since)
    about["declared"] = json.dumps(said) if said else None
    return _Read(place, entry, data, about, None, since)
