"""The paper's experiments: each config runs as its command does, on a zoo of tiny generators."""

import dataclasses
import importlib
import importlib.util
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from flax import nnx
from PIL import Image

import jax_origin.zoo.members
from benchmarks.result_table import result_table
from jax_origin.calibration import Calibration, Rates
from jax_origin.generators import DCGAN, VAE, fingerprint, save_generator
from jax_origin.inversion import StartEncoder, StartTraining
from jax_origin.workflow import METHODS
from jax_origin.zoo import load_generator

pytestmark = pytest.mark.outer
ROOT = Path(__file__).parents[2]
DCGANS = ("dcgan-cifar10", "dcgan-cifar10-b")
ALL = (*DCGANS, "vae-cifar10")
RONAN = "--config.methods=\"('ronan',)\""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Generators of 8x8 images under the zoo's names, each with a learned start; and a set."""
    folder = tmp_path_factory.mktemp("zoo")
    for seed, name in enumerate(ALL):
        made = VAE if name == "vae-cifar10" else DCGAN
        save_generator(
            folder / name,
            made(image_size=8, latent_dim=3, width=4, rngs=nnx.Rngs(seed)),
            card={"name": name},
        )
        shipped(load_generator(folder / name)).save(folder / name / "calibration-origin.json")
    save_generator(folder / "apart" / "mine", DCGAN(image_size=8, width=2, rngs=nnx.Rngs(9)))
    photos = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    np.savez(folder / "photos.npz", x=photos)
    return folder


def shipped(generator):
    """A calibration of origin with a start that has learned nothing."""
    shapes = {key: list(getattr(generator, key)) for key in ("image_shape", "latent_shape")}
    training = StartTraining(steps=1, width=4, hidden=8)
    encoder = StartEncoder(**shapes, training=training, rngs=nnx.Rngs(0))
    return Calibration(
        generator={"name": generator.name, "fingerprint": fingerprint(generator), **shapes},
        method=METHODS["origin"].to_json(),
        belonging=np.arange(1.0, 10.0),
        foreign={},
        seed=0,
        keys={},
        packages={},
        platform="cpu",
        encoders={"generator": encoder.config},
        encoder_weights={f"generator.{name}": array for name, array in encoder.arrays().items()},
    )


@pytest.fixture
def evaluate(zoo, tmp_path, monkeypatch):
    """Runs the script in this process; gives back what its JSON file holds."""
    monkeypatch.setattr(jax_origin.zoo.members, "ZOO", zoo)
    # Four images a group are too few for a rate of 0.01.
    origin = dataclasses.replace(METHODS["origin"], rates=Rates(0.2, 0.2))
    monkeypatch.setitem(METHODS, "origin", origin)
    known = set(flags.FLAGS)
    spec = importlib.util.spec_from_file_location("evaluate_script", ROOT / "scripts/evaluate.py")
    sizes = "--config.num_images=8 --config.num_calibration=4 --limit_steps=2"

    def run(config, more="", out="result"):
        path = f"--config={ROOT}/configs/evaluate/paper/{config}.py"
        command = f"evaluate {path} --out={tmp_path}/{out}.json {sizes} {more}"
        monkeypatch.setattr(sys, "argv", shlex.split(command))  # config_flags looks there
        script = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, script)
        try:
            spec.loader.exec_module(script)
            script.main(flags.FLAGS(sys.argv))
        finally:
            for name in set(flags.FLAGS) - known:
                delattr(flags.FLAGS, name)
        return json.loads((tmp_path / f"{out}.json").read_text())

    return run


def check_files(result, folder):
    text = (folder / "result.md").read_text()
    assert text.startswith(f"# {result['config']['title']}\n")
    assert result_table(result) in text
    if importlib.util.find_spec("matplotlib"):
        assert "(result.png)" in text
        with Image.open(folder / "result.png") as picture:
            assert min(picture.size) > 200
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20  # more than white
    assert (folder / "result.json").stat().st_size < 200_000


def groups(result, inspected):
    rows = [row for row in result["rows"] if row["inspected"] == inspected]
    return list(dict.fromkeys(row["group"] for row in rows))


def test_against_real_images(evaluate, zoo, tmp_path):
    sets = ["cifar10-test", "tiny-imagenet"]
    given = " ".join(f"'--config.sets[\"{name}\"]=photos.npz'" for name in sets)
    result = evaluate("real", f"{given} --data={zoo}")
    assert {row["n"] for row in result["rows"]} == {8}
    assert [groups(result, name) for name in ALL] == [[*sets, "photographs"]] * 3
    check_files(result, tmp_path)


def test_against_other_architectures(evaluate, tmp_path):
    result = evaluate("architectures")
    assert [groups(result, name) for name in ALL] == [["vae-cifar10"]] * 2 + [list(DCGANS)]
    check_files(result, tmp_path)


def test_a_checkpoint_of_ones_own_is_inspected(evaluate, zoo):
    entry = {"name": "mine", "source": str(zoo / "apart/mine")}
    result = evaluate("architectures", f"{shlex.quote(f'--config.generators=({entry},)')} {RONAN}")
    assert {row["inspected"] for row in result["rows"]} == {"mine"}
    assert groups(result, "mine") == ["vae-cifar10"]


def test_against_other_training_data(evaluate, tmp_path):
    result = evaluate("training_data")
    assert [groups(result, name) for name in DCGANS] == [["dcgan-cifar10-b"], ["dcgan-cifar10"]]
    check_files(result, tmp_path)
    if importlib.util.find_spec("matplotlib"):
        drawing = importlib.import_module("benchmarks.evaluation_picture")
        drawing.main([str(tmp_path / name) for name in ("result.json", "again.png")])
        assert (tmp_path / "again.png").read_bytes() == (tmp_path / "result.png").read_bytes()
        result["config"]["picture"] = "cubes"
        with pytest.raises(ValueError, match="'cubes': choose from scores, methods, sizes"):
            drawing.draw_evaluation(result, tmp_path / "cubes.png")


def test_distances(evaluate, tmp_path):
    result = evaluate("distances", "--config.inspected=\"('vae-cifar10',)\"")
    used = {
        name: (method["recipe"]["stages"][0]["objective"], method["recipe"]["distance"]["kind"])
        for name, method in result["methods"].items()
    }
    assert used == {
        "ronan": ("l2", "l2"),
        "ronan, l1": ("l1", "l1"),
        "ronan, log_l2": ("log_l2", "l2"),
        "ronan, stored_l1": ("l1", "file_set"),
        "ronan, stored_l2": ("l2", "file_set"),
        "origin": ("l2", "file_set"),
        "origin, l2": ("l2", "l2"),
    }
    check_files(result, tmp_path)


def test_the_reference_divides(evaluate, tmp_path):
    result = evaluate("reference")
    plain, ratio = result["summary"][:2]
    assert (plain["method"], ratio["method"]) == ("ronan", "ronan over reference")
    assert (plain["mean_steps"], ratio["mean_steps"]) == (2, 4)
    assert [bool(each["reference"]) for each in result["calibrations"]] == [False, True] * 2
    # A generator's losses are known once: three files, of the two inspected and of the reference.
    caches = list((tmp_path / "result.json.cache").glob("*.jsonl"))
    assert len(caches) == 3
    losses = {}
    for path in caches:
        for line in path.read_text().splitlines():
            record = json.loads(line)
            losses[path.name.rsplit("-", 1)[0], record["sha256"]] = record
    own = [r for (name, _), r in losses.items() if (name, r["group"]) == (DCGANS[0],) * 2]
    ratios = sorted(
        record["score"] / losses["vae-cifar10", record["sha256"]]["score"] for record in own
    )
    assert len(ratios) == 8
    drawn = ratio["score_quantiles"]
    np.testing.assert_allclose([drawn[0], drawn[-1]], [ratios[0], ratios[-1]], rtol=1e-3)
    check_files(result, tmp_path)


def test_the_published_recipe_on_slow_generators(evaluate, zoo, tmp_path):
    sets = " ".join(f"'--config.sets[\"{name}\"]='" for name in ("cifake", "tiny-imagenet"))
    photos = "'--config.sets[\"cifar10-test\"]=photos.npz'"
    chosen = f"--config.inspected=\"('vae-cifar10',)\" --data={zoo} {photos} {sets}"
    result = evaluate("ronan", chosen)
    assert [row["method"] for row in result["summary"]] == ["ronan", "origin"]
    assert groups(result, "vae-cifar10") == [*DCGANS, "cifar10-test"]
    check_files(result, tmp_path)


def test_calibration_size(evaluate, tmp_path):
    sizes = "--config.num_belonging=12 --config.calibration_sizes='(4, 8)'"
    only = f"{RONAN} --config.inspected=\"('vae-cifar10',)\""
    result = evaluate("calibration_size", f"{sizes} {only}")
    assert [(row["rule"], row["num"], row["alpha"]) for row in result["sizes"]] == [
        (rule, num, alpha)
        for rule in ("grubbs", "conformal")
        for num in (4, 8)
        for alpha in (0.01, 0.05, 0.1)
    ]
    assert result["summary"][0]["n"] == 12 and result["rows"][0]["n"] == 8
    (cache,) = (tmp_path / "result.json.cache").glob("*.jsonl")
    assert len(cache.read_text().splitlines()) == 12 + 3 * 8  # whatever N: scored once
    check_files(result, tmp_path)


def test_steps(evaluate, tmp_path):
    result = evaluate("steps", "--config.inspected=\"('vae-cifar10',)\" --config.photographs=false")
    assert len(result["methods"]) == 16
    # Of stages cut to 2 steps: 4 of ronan's (rates), 5 of origin's (4 corrections, 1 step).
    assert len({json.dumps(m["recipe"]) for m in result["methods"].values()}) == 9
    check_files(result, tmp_path)


def test_a_calibration_that_was_made_is_found_again(evaluate, tmp_path):
    first = evaluate("training_data")
    made = sorted((tmp_path / "result.json.cache").glob("calibration-*.json"))
    assert len(made) == 4  # generators, methods
    before = [path.stat().st_mtime_ns for path in made]
    again = evaluate("training_data")
    assert [path.stat().st_mtime_ns for path in made] == before
    assert again == first
    # Another evaluation may share the folder: what is known there is neither made nor scored again.
    known = sorted((path, path.stat().st_size) for path in made[0].parent.iterdir())
    shared = evaluate("training_data", f"--cache={made[0].parent}", out="other")
    assert shared["rows"] == first["rows"] and not (tmp_path / "other.json.cache").exists()
    assert sorted((path, path.stat().st_size) for path in made[0].parent.iterdir()) == known


def test_fresh_sources_and_the_cost_of_ratios(evaluate, tmp_path):
    names = ("cifake", "cifar10-test", "tiny-imagenet")
    none = " ".join(f"'--config.sets[\"{name}\"]='" for name in names)
    few = "--config.num_images=20 --config.source_splits=3 --config.split_rate=0.2"
    edits = "--config.edits=\"('clean', 'jpeg-75')\""
    result = evaluate("../evidence", f"{none} {few} {edits} {RONAN}")
    for part, own, each, cases in (
        ("fresh", [None, None], 1, {("clean", 20), ("jpeg-75", 20)}),
        ("views", [], 2, {("clean", 10), ("clean", 40)}),
        ("ratio_costs", [], 1, {("clean", 20), ("jpeg-75", 20)}),
    ):
        rows = [row for row in result[part] if row["inspected"] == ALL[0]]
        groups = [row["group"] for row in rows if row["edit"] == "clean"]
        assert groups == [*own, *(name for name in ALL[1:] for _ in range(each))]
        assert {(row["edit"], row["n"]) for row in rows} == cases
        assert {row["method"] for row in rows} == {"ronan"}
    check_files(result, tmp_path)


def test_crops_of_few_photographs_are_no_sources(evaluate):
    with pytest.raises(SystemExit, match="crops of few photographs are not independent"):
        evaluate("../evidence", f"--config.photographs {RONAN}")


def test_a_shipped_calibration_is_used_for_the_method_it_was_made_with(evaluate):
    result = evaluate("training_data", f"--limit_steps={max_steps()}")
    by_method = {each["method"]: each["file"] for each in result["calibrations"]}
    assert by_method["origin"] == "calibration-origin.json"
    assert by_method["ronan"].startswith("calibration-dcgan-cifar10-b-ronan-")


def max_steps():
    return max(stage.steps for stage in METHODS["origin"].recipe.stages)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--config.others=some", "others='some': choose from all, none, same_architecture"),
        ("--config.methods=\"('orgin',)\"", "config.methods: unknown method 'orgin'"),
        ("--config.methods='()'", "no methods to evaluate"),
        ("--config.inspected=\"('vae-cifar10',)\"", "nothing to compare 'vae-cifar10' with"),
        ("--config.generators=\"({'name': 'a'},)\"", "must hold name and source"),
        (
            "--config.generators=\"({'name': 'vae-cifar10', 'source': 'vae-cifar10'},)\"",
            "'vae-cifar10' is a name of the zoo: choose another",
        ),
    ],
)
def test_a_mistake_is_one_line(evaluate, more, message):
    with pytest.raises(SystemExit, match=r"^evaluate: ") as stopped:
        evaluate("training_data", more)
    assert message in str(stopped.value) and "\n" not in str(stopped.value)
