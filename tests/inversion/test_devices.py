"""The same records from any number of devices and of processes, to the bit."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jax_origin import Method, Rates, Recipe, Stage, StartTraining, calibrate, learn_start
from jax_origin.generators import save_generator
from jax_origin.images import save_png
from jax_origin.inversion.solvers import LevenbergMarquardt, Optax
from jax_origin.inversion.starts import Learned
from jax_origin.workflow.belonging import belonging_images

ROOT = Path(__file__).parents[2]
METHOD = Method(
    "tiny",
    Recipe(
        start=Learned((0.0, 0.3)),
        stages=(
            Stage(Optax("adam", 0.1), steps=20),
            Stage(LevenbergMarquardt(), steps=4, lanes=1, tolerance=0.1),
        ),
        floor=1e-5,
        lane_block=4,
    ),
    rates=Rates(0.05, 0.05),
)


ENGINE = """
import jax, numpy as np
from jax_origin import FunctionGenerator, Recipe, Run, Stage, invert, solvers, starts

def picture(weight, latents):
    return jax.nn.sigmoid(latents @ weight).reshape(-1, 8, 8, 3)

assert jax.local_device_count() == 8
draw = np.random.default_rng(0)
weight = draw.normal(size=(4, 192)).astype(np.float32)
generator = FunctionGenerator(picture, weight, latent_shape=(4,), image_shape=(8, 8, 3))
images = draw.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
images[:20] = np.rint(255 * generator(draw.normal(size=(20, 4)).astype(np.float32)))
stages = (Stage(steps=12), Stage(solvers.LevenbergMarquardt(), steps=4, lanes=1, tolerance=0.1))
recipe = Recipe(start=starts.Scaled((0.2, 0.8)), stages=stages, floor=1e-4, lane_block=2)
one, two, all = (
    invert(generator, images, recipe, key=jax.random.key(0), run=Run(devices=jax.devices()[:n]))
    for n in (1, 2, 8)
)
assert set(one.ended) == {'floor', 'finished'}, one.distance
for other in (two, all):
    assert [np.array_equal(a, b) for a, b in zip(one, other)] == [True] * len(one)
print("the same")
"""


@pytest.mark.outer
def test_more_devices_change_no_bit_of_an_inversion():
    done = subprocess.run(
        [sys.executable, "-c", ENGINE],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout == "the same\n", done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory, generator, noise):
    """A generator, its calibration, 12 images of its own and 12 of noise, and one unreadable."""
    folder = tmp_path_factory.mktemp("devices")
    save_generator(folder / "tiny", generator, dtype=np.float32, card={"name": generator.name})
    encoder = learn_start(generator, StartTraining(steps=60), key=jax.random.key(3))
    calibration = calibrate(
        generator,
        method=METHOD,
        num_belonging=20,
        foreign={"noise": noise[:20]},
        encoder=encoder,
        key=jax.random.key(0),
    )
    calibration.save(folder / "calibration.json")
    own = belonging_images(generator, 12, key=jax.random.key(8))
    for i, pixels in enumerate(np.concatenate([own, noise[80:92]])):
        save_png(folder / f"images/{i:02d}.png", pixels)
    (folder / "images/bad.png").write_text("no picture\n")
    return folder


def start(folder: Path, workdir: str, *flags: str, devices: int = 1) -> subprocess.Popen:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "jax_origin", "attribute", f"--workdir={workdir}"),
            *("--generator=tiny", "--calibration=calibration.json", "--images=images"),
            *("--alpha=0.05", "--beta=0.05", *flags),
        ],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(*processes: subprocess.Popen) -> str:
    said = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(said)
    return "\n".join(said)


def records(folder: Path, workdir: str) -> list[dict]:
    files = sorted((folder / workdir).glob("verdicts*.jsonl"))
    found = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return sorted(found, key=lambda record: record["path"])


@pytest.fixture(scope="module")
def alone(folder):
    finished(start(folder, "alone"))
    return records(folder, "alone")


@pytest.mark.outer
def test_one_device_decides_every_file_once(alone):
    assert len(alone) == len({record["path"] for record in alone}) == 25
    assert [record["error"] is None for record in alone] == [True] * 24 + [False]
    assert [record["verdict"] for record in alone[12:24]] == ["not_recognised"] * 12
    assert sum(record["verdict"] == "belongs" for record in alone[:12]) >= 9


@pytest.mark.outer
@pytest.mark.parametrize("devices", [2, 8])
def test_more_devices_give_the_same_records(folder, alone, devices):
    finished(start(folder, f"devices-{devices}", devices=devices))
    assert records(folder, f"devices-{devices}") == alone


@pytest.mark.outer
def test_two_processes_share_the_images_and_give_the_same_records(folder, alone):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--distributed", f"--coordinator=127.0.0.1:{port}", "--num_processes=2"]
    said = finished(
        *(start(folder, "two", *flags, f"--process_id={i}", devices=2) for i in range(2))
    )
    assert records(folder, "two") == alone
    files = sorted((folder / "two").glob("verdicts*.jsonl"))
    assert [file.name[-18:] for file in files] == [
        "00000-of-00002.jsonl"[-18:],
        "00001-of-00002.jsonl"[-18:],
    ]
    assert [len(file.read_text().splitlines()) for file in files] == [13, 12]
    assert said.count("25 images") <= 1 and "verdict" in said
    # One process goes on where two have been: there is nothing left to do.
    finished(start(folder, "two"))
    assert records(folder, "two") == alone


@pytest.mark.outer
def test_another_block_of_lanes_gives_the_same_verdicts(folder, generator, alone):
    from jax_origin import Calibration, attribute
    from jax_origin.images import load_images

    calibration = Calibration.load(folder / "calibration.json")
    recipe = dataclasses.replace(METHOD.recipe, lane_block=16)
    wide = dataclasses.replace(METHOD, recipe=recipe).to_json()
    other = dataclasses.replace(calibration, method=wide)
    images = np.stack([load_images(folder / f"images/{i:02d}.png")[0] for i in range(24)])
    found = attribute(images, generator, other, key=jax.random.key(1), alpha=0.05, beta=0.05)
    for verdict, record in zip(found, alone, strict=False):
        near = abs(record["score"] - 1e-5) < 1e-7
        assert near or verdict.verdict == record["verdict"]
