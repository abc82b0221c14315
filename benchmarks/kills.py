"""Kills an audit at random instants, again and again, and compares it with an undisturbed one.

python -m benchmarks.kills --kills=100 --images=2000

Two tiny generators are made and calibrated, and images of theirs, of noise, broken ones and equal
ones are written to a folder. One audit runs undisturbed. The other is killed (SIGKILL) after a
random time, and started again, until it has been killed so often; then it is left to end. It says
how many records are lost, are there twice, or differ in anything but the seconds that they took,
and whether the hashes fit. The exit code is 1 if something does not.
"""

import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
from absl import app, flags
from flax import nnx

import jax_origin as jo
from jax_origin.audit import check_manifest
from jax_origin.audit.part_files import parts_in, read_part
from jax_origin.generators import DCGAN, save_generator
from jax_origin.images import save_png
from jax_origin.workflow import belonging_images

_KILLS = flags.DEFINE_integer("kills", 100, "How often the audit is killed.")
_IMAGES = flags.DEFINE_integer("images", 2000, "How many images there are.")
_SEED = flags.DEFINE_integer("seed", 0, "For the instants.")
_NAMES = ("one", "two")
_METHOD = jo.Method(
    "quick", jo.Recipe(start=jo.starts.Scaled((0.2, 0.8)), stages=(jo.Stage(steps=20),))
)


def make(folder: pathlib.Path, num: int) -> None:
    """Writes two candidates with their calibrations, and the images."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (99, 8, 8, 3), np.uint8)
    for seed, name in enumerate(_NAMES):
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


def start(folder: pathlib.Path, out: str) -> subprocess.Popen[bytes]:
    """Starts the audit in a process of its own."""
    candidates = [f"--candidate={name}={name}.json" for name in _NAMES]
    options = ["--images=images", f"--out={out}", "--config.cache=cache", "--part_seconds=0.5"]
    command = [sys.executable, "-m", "jax_origin", "audit", *candidates, *options]
    quiet, root = subprocess.DEVNULL, str(pathlib.Path(__file__).parents[1])
    where = {**os.environ, "PYTHONPATH": root}
    return subprocess.Popen(command, cwd=folder, env=where, stdout=quiet, stderr=quiet)


def records(out: pathlib.Path) -> tuple[dict[tuple[str, str], dict[str, object]], int]:
    """The records by key and candidate, and how many there are on disk."""
    found, num = {}, 0
    for record in jo.audit.open(out):
        said = {name: value for name, value in record.items() if name != "seconds"}
        found[record["key"], record["candidate"]] = said
    for name in _NAMES:
        num += sum(read_part(p.path, ("key",)).num_rows for p in parts_in(out / name / "parts"))
    return found, num


def main(argv: list[str]) -> None:
    """Runs both audits, and compares them."""
    del argv
    rng = random.Random(_SEED.value)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "images/others").mkdir(parents=True)
        make(folder, _IMAGES.value)
        if start(folder, "warm").wait():  # What is compiled is kept for the others.
            sys.exit("the audit failed")
        began = time.monotonic()
        start(folder, "whole").wait()
        took = time.monotonic() - began
        killed = 0
        while killed < _KILLS.value:
            run = start(folder, "killed")
            try:
                run.wait(rng.uniform(0, 1.2 * took))
            except subprocess.TimeoutExpired:
                killed += 1
            run.kill()
            run.wait()
        start(folder, "killed").wait()
        whole, num = records(folder / "whole")
        again, num_again = records(folder / "killed")
        lost, differing = whole.keys() - again.keys(), 0
        differing = sum(whole[key] != again[key] for key in whole.keys() & again.keys())
        faults = check_manifest(folder / "killed")
    print(
        f"{killed} kills, undisturbed {took:.0f} s; {num} records: {len(lost)} lost, "
        f"{num_again - len(again)} twice, {differing} differ, {len(faults)} hashes do not fit"
    )
    sys.exit(bool(lost or differing or faults or num_again != num))


if __name__ == "__main__":
    app.run(main)
