"""Kills an audit at random instants, again and again, and compares it with an undisturbed one.

python -m benchmarks.kills --kills=100 --images=2000 --out=benchmarks/results/kills.json

Two tiny generators are made and calibrated, and images of theirs, of noise, broken ones and equal
ones are written to a folder. One audit runs undisturbed. The other is killed (SIGKILL) after a
random time, and started again, until it has been killed so often; then it is left to end. How long
it may live is learned on the way: a run that got far gives the next ones less time. So the kills
spread over all of its work. It says how many records are lost, are there twice, or differ in
anything but the seconds that they took, and whether the hashes fit. The exit code is 1 if something
does not.

Each run is forked from a process that has imported the package and done nothing else, so that kills
fall into the work, and not into imports.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
from flax import nnx

import jax_origin as jo
from jax_origin.audit import check_manifest
from jax_origin.audit.part_files import parts_in, read_part
from jax_origin.cli import audit as _imported  # noqa: F401 - in the process that runs are forked from
from jax_origin.cli.main import main as command
from jax_origin.files import atomic_write
from jax_origin.generators import DCGAN, save_generator
from jax_origin.images import save_png
from jax_origin.workflow import belonging_images

NAMES = ("one", "two")
_METHOD = jo.Method(
    "quick", jo.Recipe(start=jo.starts.Scaled((0.2, 0.8)), stages=(jo.Stage(steps=200),))
)


def make(folder: pathlib.Path, num: int) -> None:
    """Writes two candidates with their calibrations, and the images."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (99, 8, 8, 3), np.uint8)
    for seed, name in enumerate(NAMES):
        model = DCGAN(image_size=8, latent_dim=6, width=4, rngs=nnx.Rngs(seed))
        model.output.kernel[...] *= 20
        save_generator(folder / name, model, card={"name": name})
        loaded = jo.load_generator(folder / name)
        own = jo.calibrate(
            loaded,
            method=_METHOD,
            num_belonging=99,
            foreign={"noise": noise},
            conditions=(),
            key=jax.random.key(seed),
        )
        own.save(folder / f"{name}.json")
        made = belonging_images(loaded, num // 4, key=jax.random.key(9))
        for i, pixels in enumerate(made):
            save_png(folder / f"images/{name}/{i:05}.png", pixels)
    for i in range(num - 2 * (num // 4)):
        path = folder / f"images/others/{i:05}.png"
        if i % 10 == 0:
            path.write_bytes(b"\x89PNG\r\n" if path.parent.exists() else b"")
        else:
            save_png(path, noise[i % 99] if i % 3 else rng.integers(0, 256, (8, 8, 3), np.uint8))


def start(
    folder: pathlib.Path, out: str, *flags: str, first: Callable[[], None] | None = None
) -> multiprocessing.process.BaseProcess:
    """Starts the audit in a process of its own, which calls `first` and writes to OUT.txt."""
    context = multiprocessing.get_context("forkserver")
    run = context.Process(target=_audit, args=(folder, out, flags, first))
    run.start()
    return run


def _audit(
    folder: pathlib.Path, out: str, flags: Sequence[str], first: Callable[[], None] | None
) -> None:
    os.chdir(folder)
    said = os.open(f"{out}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(said, stream)
    if first is not None:
        first()
    candidates = [f"--candidate={name}={name}.json" for name in NAMES]
    options = ["--images=images", f"--out={out}", "--config.cache=cache", "--part_seconds=0.1"]
    sys.exit(command(["audit", *candidates, *options, *flags]))


def on_disk(out: pathlib.Path) -> int:
    """How many records there are in an audit's parts."""
    parts = (part for name in NAMES for part in parts_in(out / name / "parts"))
    return sum(read_part(part.path, ("key",)).num_rows for part in parts)


def records(out: pathlib.Path) -> dict[tuple[str, str], dict[str, object]]:
    """The records by key and candidate, without the seconds that they took."""
    return {
        (record["key"], record["candidate"]): {k: v for k, v in record.items() if k != "seconds"}
        for record in jo.audit.open(out)
    }


def half_written(out: pathlib.Path) -> list[pathlib.Path]:
    """Files that were begun and not ended, in an audit's folder."""
    return [path for path in out.rglob(".*") if path.is_file()]


def kill_often(
    folder: pathlib.Path, num: int, *, images: int, took: float, seed: int
) -> dict[str, int]:
    """Starts the audit and kills it, `num` times, spread over its work; counts."""
    rng, longest = random.Random(seed), took / 4
    counts = {"kills": 0, "kills before the last record": 0, "runs that ended": 0}
    while counts["kills"] < num:
        began = time.monotonic()
        run = start(folder, "killed")
        run.join(rng.uniform(0, longest))
        done = on_disk(folder / "killed") / (len(NAMES) * images)
        if run.exitcode is None:
            run.kill()
            run.join()
            counts["kills"] += 1
            counts["kills before the last record"] += done < 1
        else:
            counts["runs that ended"] += 1
            longest = time.monotonic() - began
        longest *= 0.8 if done > counts["kills"] / num else 1.1
        longest = min(longest, took)
    return counts


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how often the audit is killed")
    parser.add_argument("--images", type=int, default=2000, help="how many images there are")
    parser.add_argument("--seed", type=int, default=0, help="for the instants")
    parser.add_argument("--out", help="a file for the counts, JSON")
    return parser.parse_args()


def main() -> None:
    """Runs both audits, and compares them."""
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "images/others").mkdir(parents=True)
        make(folder, options.images)
        times = []
        for out in ("warm", "whole"):  # What the first one compiles is kept for the others.
            began = time.monotonic()
            run = start(folder, out)
            run.join()
            times.append(time.monotonic() - began)
            if run.exitcode:
                sys.exit("the audit failed")
        counts = kill_often(
            folder, options.kills, images=options.images, took=times[-1], seed=options.seed
        )
        start(folder, "killed").join()
        whole, again = records(folder / "whole"), records(folder / "killed")
        found = {
            "images": options.images,
            "candidates": len(NAMES),
            **counts,
            "records": len(whole),
            "lost": len(whole.keys() - again.keys()),
            "twice": on_disk(folder / "killed") - len(again),
            "differ": sum(whole[key] != again[key] for key in whole.keys() & again.keys()),
            "hashes that do not fit": len(check_manifest(folder / "killed")),
            "half-written": len(half_written(folder / "killed")),
        }
    print(json.dumps(found))
    if options.out:
        with atomic_write(options.out) as temporary:
            pathlib.Path(temporary).write_text(json.dumps(found, indent=2) + "\n")
    wrong = ("lost", "twice", "differ", "hashes that do not fit", "half-written")
    sys.exit(any(found[each] for each in wrong))


if __name__ == "__main__":
    main()
