"""The benchmark's script, run as users run it, on tiny generators."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from flax import nnx

from jax_origin.calibration import Rates
from jax_origin.generators import DCGAN, KINDS, save_generator
from jax_origin.inversion import Recipe, Stage, StartTraining, learn_start
from jax_origin.inversion.least_squares import LevenbergMarquardt
from jax_origin.inversion.starts import Learned
from jax_origin.workflow import ForeignImages, Method, calibrate
from jax_origin.zoo import load_generator

pytestmark = pytest.mark.outer
ROOT = Path(__file__).parents[2]
FIELDS = {"name", "case", "ratio", "ratio_is", "ours", "reference", "unit", "repeats", "spread"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, noise) -> Path:
    """Two tiny generators, and a calibration of the first with a learned start."""
    folder = tmp_path_factory.mktemp("benchmark")
    for seed, name in enumerate(("tiny", "other")):
        model = DCGAN(image_size=8, width=4, latent_dim=6, rngs=nnx.Rngs(seed))
        model.output.kernel[...] *= 20
        save_generator(folder / name, model, card={"name": name})
    generator = load_generator(folder / "tiny")
    stages = (Stage(steps=4), Stage(LevenbergMarquardt(), steps=1))
    recipe = Recipe(start=Learned(), stages=stages, lane_block=8)
    method = Method("tiny", recipe, rates=Rates(0.1, 0.1))
    training = StartTraining(steps=2, width=4, hidden=8, batch_size=8)
    calibration = calibrate(
        generator,
        method=method,
        num_belonging=9,
        foreign={"noise": ForeignImages(noise[:9], 9)},
        encoder=learn_start(generator, training, key=jax.random.key(0)),
        key=jax.random.key(0),
    )
    calibration.save(folder / "cal/tiny.json")
    (folder / "without/torch.py").parent.mkdir()
    (folder / "without/torch.py").write_text("raise ImportError('as if it were not installed')\n")
    return folder


def benchmark(folder: Path, *arguments: str, torch: bool = False):
    where = [str(ROOT)] if torch else [str(folder / "without"), str(ROOT)]
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts/benchmark.py"), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(where)},
        capture_output=True,
        text=True,
        timeout=900,
    )


TINY = ("--generators=tiny,other", "--calibrations=cal/{name}.json", "--limit=2")


def test_the_cpu_suite_runs_without_torch(folder):
    done = benchmark(folder, "--suite=cpu", *TINY, "--out=cpu.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "cpu.json").read_text())
    assert found["machine"]["usable_cpus"] >= 1 and found["versions"]["torch"] is None
    assert [row["name"] for row in found["rows"]] == [
        *("compile_seconds", *["engine_overhead"] * 11),  # of two generators, and nine families
        *("peak_memory_per_lane", "peak_memory_per_lane", "early_accept_saving"),
        *("cost_against_work", "lane_occupancy"),
    ]
    assert all(row.keys() >= FIELDS and row["ratio"] > 0 for row in found["rows"])
    timed = [row["case"].split(",")[0] for row in found["rows"] if row["name"] == "engine_overhead"]
    assert sorted(timed) == sorted({*KINDS, "tiny", "other"} - {"dcgan", "vae"})
    assert found["rows"][0]["ratio"] > 1 and found["rows"][0]["compile_seconds"] > 0
    (left_out,) = found["left_out"]
    assert left_out.startswith("tiny: vs_ronan_recipe, vs_batched_torch, ")
    assert f"left out: {left_out}" in done.stdout.splitlines()


def test_the_peers_suite_runs_on_torch(folder):
    pytest.importorskip("torch")
    arguments = (*TINY, "--generators=tiny", "--out=peers.json")
    done = benchmark(folder, "--suite=peers", *arguments, torch=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "peers.json").read_text())
    assert found["left_out"] == []
    assert [row["name"] for row in found["rows"]] == [
        *("vs_ronan_recipe", "vs_ronan_recipe", "vs_batched_torch", "vs_batched_torch"),
        "learned_start_pays_after",
    ]
    assert all(row.keys() >= FIELDS and row["ratio"] > 0 for row in found["rows"])


def test_the_recovery_suite_makes_a_table_and_a_picture(folder):
    recipes = "--config.only=('learned-20', 'scaled-100x4')"
    arguments = (*TINY, "--generators=tiny", recipes, "--config.cache=cache", "--out=recovery.json")
    done = benchmark(folder, "--suite=recovery", *arguments)
    assert done.returncode == 0, done.stderr
    rows = json.loads((folder / "recovery.json").read_text())["rows"]
    assert [row["recipe"] for row in rows] == ["learned-20", "scaled-100x4"]
    assert [row["evaluations_belonging"] for row in rows] == [2, 8]
    assert sum(row["chosen"] for row in rows) == 1
    assert "| tiny | " in done.stdout
    if importlib.util.find_spec("matplotlib"):
        assert (folder / "recovery.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out=cal"], "benchmark: cal is a folder: --out names the JSON file to write"),
        (["--generators=stylegan9"], "benchmark: stylegan9: no such generator; the zoo has "),
        (["--calibrations=no/{name}.json"], "benchmark: no/tiny.json: "),
        (["--data=no"], "benchmark: no: no such file or folder"),
        (["--suite=recovery", "--config.only=('orgin',)"], "benchmark: there is no recipe 'orgin'"),
    ],
)
def test_a_mistake_is_one_line(folder, arguments, message):
    done = benchmark(folder, *TINY, "--out=refused.json", *arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(message)
    assert not (folder / "refused.json").exists()
