"""Parts of a user's own: calibrated, saved, and loaded again in a fresh process."""

import ast
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import jax
import numpy as np
import optax
import pytest

import jax_origin as jo
from jax_origin.workflow import Scorer, belonging_images

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
KEY = jax.random.key(2)
FAMILIES = {"distance", "start", "solver", "score", "rule"}


@pytest.fixture(scope="module")
def own_parts():
    """The example, as a module."""
    spec = importlib.util.spec_from_file_location("own_parts", EXAMPLES / "own_parts.py")
    module = sys.modules["own_parts"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def saved(own_parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "calibration.json"
    own_parts.calibrated(own_parts.network(0)).save(path)
    return path


@pytest.fixture(scope="module")
def images(own_parts):
    """Two images of the network's own, two of another's."""
    made = [belonging_images(own_parts.network(n), 2, key=jax.random.key(1)) for n in (0, 2)]
    return np.concatenate(made)


@pytest.fixture(scope="module")
def verdicts(own_parts, saved, images):
    calibration = jo.Calibration.load(saved)
    return jo.attribute(images, own_parts.network(0), calibration, key=KEY)


def fresh(program, *arguments):
    """Runs a program in a process of its own, beside the examples."""
    path = os.pathsep.join([str(ROOT), str(EXAMPLES)])
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_each_part_is_short():
    tree = ast.parse((EXAMPLES / "own_parts.py").read_text(encoding="utf-8"))
    lines = {
        node.name: node.end_lineno - node.lineno + 2  # With its decorator.
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    assert len(lines) == 6 and max(lines.values()) <= 20, lines


def test_a_calibration_holds_one_part_of_each_family(own_parts, saved):
    method = jo.Method.of(jo.Calibration.load(saved))
    recipe = method.recipe
    parts = (recipe.start, recipe.stages[0].solver, recipe.distance, method.score, method.rule)
    assert {part.family for part in parts} == FAMILIES
    assert {type(part).__module__ for part in parts} == {"own_parts"}
    assert method.score.usual > 0  # Its `fit` measured that.
    assert dataclasses.replace(method, score=own_parts.Surprise()) == own_parts.METHOD


def test_they_tell_own_images_from_others(verdicts):
    assert [verdict.verdict for verdict in verdicts] == ["belongs"] * 2 + ["not_recognised"] * 2


def test_the_distance_is_tracked_and_the_score_is_what_is_ranked(
    own_parts, saved, verdicts, images
):
    score = jo.Method.of(jo.Calibration.load(saved)).score
    for verdict, image in zip(verdicts, images, strict=True):
        found = verdict.inversion
        distance = own_parts.Edges().value(found.reconstruction[None], image[None] / 255.0)
        assert found.distance == pytest.approx(float(distance[0]), rel=1e-3)
        assert found.distance != found.loss
        alone = jo.Inversion(*(part[None] for part in found))
        assert verdict.score == score(alone)[0] != found.distance
        assert verdict.score_kind == "full"  # Nothing says that it rises with the distance.


FRESH = """
import json, sys
import jax, numpy as np
import jax_origin as jo
import own_parts

calibration = jo.Calibration.load(sys.argv[1])
images = np.load(sys.argv[2])
found = jo.attribute(images, own_parts.network(0), calibration, key=jax.random.key(2))
print(json.dumps([verdict.record() for verdict in found]))
"""


@pytest.mark.outer
def test_a_fresh_process_that_registers_them_gives_the_same_verdicts(
    saved, images, verdicts, tmp_path
):
    np.save(tmp_path / "images.npy", images)
    done = fresh(FRESH, saved, tmp_path / "images.npy")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [verdict.record() for verdict in verdicts]


UNREGISTERED = """
import sys
import jax_origin as jo

try:
    jo.Method.of(jo.Calibration.load(sys.argv[1]))
except ValueError as error:
    print(error)
"""


@pytest.mark.outer
def test_a_process_that_does_not_register_them_is_told_to(saved):
    done = fresh(UNREGISTERED, saved)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert "unknown rule 'cantelli'" in line
    assert "a class of your own must be registered before (jax_origin.register)" in line


def test_any_part_that_is_not_registered_is_named(own_parts, saved):
    calibration = jo.Calibration.load(saved)
    generator = own_parts.network(0)
    recipe = calibration.method["recipe"]
    (first, second) = recipe["stages"]
    for changes, words in (
        ({"recipe": {**recipe, "start": {"kind": "worst_of"}}}, "unknown start 'worst_of'"),
        ({"recipe": {**recipe, "distance": {"kind": "edge"}}}, "distance 'edge'.* mean 'edges'"),
        (
            {"recipe": {**recipe, "stages": [{**first, "solver": {"kind": "adam"}}, second]}},
            "unknown solver 'adam'",
        ),
        ({"score": {"kind": "wonder"}}, "unknown score 'wonder'"),
    ):
        other = dataclasses.replace(
            calibration,
            method={**calibration.method, **changes},
            measured=dataclasses.replace(calibration.measured, score=None),
        )
        with pytest.raises(jo.CalibrationError, match=f"{words}.*jax_origin.register") as caught:
            jo.Attributor(generator, other, key=KEY)
        assert "\n" not in str(caught.value)


@dataclasses.dataclass(frozen=True)
class Watching(jo.scores.Score):
    """Notes what it is given."""

    kind = "watching"
    seen: ClassVar[list] = []

    def __call__(self, found, reference=None):
        """How many steps an image took, and nothing of its distance."""
        self.seen.append(found)
        return found.steps.astype(np.float64)


def test_a_score_sees_the_whole_inversion(own_parts, images):
    method = dataclasses.replace(own_parts.METHOD, score=Watching())
    scorer = Scorer(own_parts.network(0), method, key=KEY)
    scores = scorer.scores(images)
    assert scores.shape == (4,) and len(Watching.seen) == 4
    for found in Watching.seen:
        assert isinstance(found, jo.Inversion)
        assert found.latent.shape == (1, 6) and found.reconstruction.shape == (1, 8, 8, 3)
        assert found.curve.shape == (1, method.recipe.checks)
        assert found.ended[0] == "finished" and found.steps[0] in scores


def test_a_bare_optax_chain_inverts_but_cannot_be_saved(own_parts, images):
    chain = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1))
    recipe = jo.Recipe(
        start=jo.starts.Prior(), stages=(jo.Stage(chain, steps=20),), distance=jo.distances.L2()
    )
    found = jo.invert(own_parts.network(0), images[:2], recipe, key=KEY)
    assert found.loss.max() < 0.05 and found.steps.tolist() == [20, 20]
    with pytest.raises(ValueError, match="derive a part of your own that makes it") as caught:
        recipe.to_json()
    assert "\n" not in str(caught.value)


@pytest.mark.outer
def test_the_examples_run_and_say_what_they_found(tmp_path):
    def run(name, *arguments):
        done = subprocess.run(
            [sys.executable, EXAMPLES / name, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run("own_parts.py")
    assert first.count("belongs") == 4 == first.count("An image by network-2: not_recognised")
    assert run("own_parts.py", "calibration.json") == first
    *_, pixels, differences = run("solve_in_jit.py").splitlines()
    assert float(pixels.split()[-1]) > 0.5 and float(differences.split()[-1]) < 1e-3


SOLVE = """
import jax
import solve_in_jit

assert jax.device_count() == 2
params = solve_in_jit.random_params(jax.random.key(0))
keys = jax.random.split(jax.random.key(1), 2)
print(*solve_in_jit.errors(solve_in_jit.Differences(), params, keys))
"""


@pytest.mark.outer
def test_solve_is_divided_among_devices(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    done = fresh(SOLVE)
    assert done.returncode == 0, done.stderr
    assert max(map(float, done.stdout.split())) < 1e-3
