import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from scipy import ndimage

from benchmarks import attacks
from benchmarks.attacks import (
    ATTACKS,
    WITHIN,
    Victim,
    at_budget,
    attack_rows,
    generic_code,
    psnr,
    table,
    tangents,
)
from jax_origin import FunctionGenerator
from jax_origin.images import Stored, photograph_crops

ROOT = Path(__file__).parents[2]
BUDGETS = (40.0, 36.0, 32.0)
BY_STEPS = ("resized and back", "JPEG file", "JPEG, saved as PNG")


@functools.cache
def victims():
    """Photographs, and what stands for their nearest images: themselves, out of focus."""
    crops, _ = photograph_crops(3, (32, 32), seed=0, part="demonstration")
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((crops[0].size, 20)))[0]
    near = [ndimage.gaussian_filter(crop / 255, (2, 2, 0)) for crop in crops]
    return [Victim(*both, 100, basis, i) for i, both in enumerate(zip(crops, near, strict=True))]


def cases(*, by_steps):
    found = {name: attack for some in ATTACKS.values() for name, attack in some.items()}
    return [pytest.param(a, id=name) for name, a in found.items() if (name in BY_STEPS) == by_steps]


@pytest.mark.outer
@pytest.mark.parametrize("attack", cases(by_steps=False))
def test_an_attack_spends_its_budget(attack):
    for victim in victims():
        for budget in BUDGETS:
            made = attack.make(victim, budget)
            assert made.dtype == np.uint8 and abs(psnr(victim.image, made) - budget) <= WITHIN


@pytest.mark.parametrize("attack", cases(by_steps=True))
def test_an_attack_that_goes_by_steps_keeps_to_its_budget(attack):
    for victim in victims():
        made = [attack.make(victim, budget) for budget in (25.0, 60.0)]
        pixels = made[0].pixels if isinstance(made[0], Stored) else made[0]
        assert 25 <= psnr(victim.image, pixels) < 32  # A step further would be over it.
        assert made[1] is None


def test_a_jpeg_is_handed_over_as_a_file_or_as_pixels():
    as_file, as_pixels = (
        ATTACKS["own"][name].make(victims()[0], 36.0)
        for name in ("JPEG file", "JPEG, saved as PNG")
    )
    assert as_file.kind == "jpeg"
    np.testing.assert_array_equal(as_file.pixels, as_pixels)


def test_a_way_is_gone_to_its_end_at_the_most():
    victim = victims()[0]
    end = np.clip(victim.image / 255 + 2 / 255, 0, 1)
    made = at_budget(victim.image, lambda t: victim.toward(end, t), 30.0)
    np.testing.assert_array_equal(made, np.rint(255 * end))
    np.testing.assert_array_equal(at_budget(victim.image, lambda t: end * 0, 30.0), victim.image)


def test_noise_off_the_tangent_space_is_out_of_the_latents_reach():
    weights = jax.random.normal(jax.random.key(0), (4, 8 * 8 * 3))
    generator = FunctionGenerator(
        lambda weights, z: jax.nn.sigmoid(z @ weights).reshape(-1, 8, 8, 3),
        weights,
        latent_shape=(4,),
        image_shape=(8, 8, 3),
    )
    latents = jax.random.normal(jax.random.key(1), (2, 4))
    for latent, basis in zip(latents, tangents(generator, latents), strict=True):
        moved = generator((latent + jnp.array([0, 0, 1e-3, 0]))[None]) - generator(latent[None])
        moved = np.asarray(moved).ravel()
        assert np.linalg.norm(moved - basis @ (basis.T @ moved)) < 0.01 * np.linalg.norm(moved)
        victim = Victim(np.full((8, 8, 3), 128, np.uint8), None, 4, basis)
        noise = (attacks._off_tangent(victim, 0.1) - 128 / 255).ravel()
        assert np.linalg.norm(basis.T @ noise) < 1e-5 * np.linalg.norm(noise)


def test_the_descent_lowers_the_ratio_further_than_the_straight_way():
    def ratio(image, victim):
        ours = np.mean((image / 255 - victim.rebuilt) ** 2)
        return ours / (np.mean((image / 255 - generic_code(image, victim.numbers)) ** 2) + 1e-6)

    of_photographs = ATTACKS["photographs"]
    for victim in victims():
        straight, descended = (
            ratio(of_photographs[name].make(victim, 32.0), victim)
            for name in ("towards its reconstruction", "descent of the ratio")
        )
        assert descended < straight < ratio(victim.image, victim)


@pytest.mark.outer
def test_each_verdict_is_counted_for_its_attack():
    some = victims()
    rebuilt = {attacks._rounded(victim.rebuilt).tobytes() for victim in some}
    originals = {victim.image.tobytes() for victim in some}

    def attributor(images):
        found = []
        for image in images:
            data = getattr(image, "pixels", image).tobytes()
            word = "belongs" if data in rebuilt else "not_recognised"
            word = "undecided" if data in originals else word
            found.append(SimpleNamespace(verdict=word, score=1.0, inversion=None))
        return found

    rows = attack_rows(attributor, {"own": some, "photographs": some}, (60.0, 32.0))
    tried = {(row["images"], row["attack"], row["budget"]): row for row in rows}
    assert len(rows) == 2 * (9 + 3) + 2 + 1
    for kind in ("own", "photographs"):
        row = tried[kind, "none", None]
        assert (row["undecided"], row["n"], row["psnr"]) == (3, 3, None)
    assert tried["photographs", "laundering", None]["belongs"] == 3
    assert tried["own", "white noise", 32.0]["not_recognised"] == 3
    assert tried["own", "white noise", 32.0]["psnr"] == pytest.approx([32] * 3, abs=WITHIN)
    row = tried["own", "JPEG file", 60.0]
    assert (row["n"], row["beyond"], row["not_recognised_95"]) == (0, 3, None)
    result = {"rows": [{"generator": "one", **row} for row in rows]}
    lines = table(json.loads(json.dumps(result, allow_nan=False))).splitlines()
    assert len({line.count("|") for line in lines[: len(rows) + 2]}) == 1


@pytest.fixture
def evaluate(monkeypatch):
    """Runs scripts/evaluate.py in this process, with the study's configuration."""
    known = set(flags.FLAGS)
    spec = importlib.util.spec_from_file_location("evaluate_script", ROOT / "scripts/evaluate.py")
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, script)

    def run(*arguments):
        config = f"--config={ROOT}/configs/evaluate/attacks.py"
        monkeypatch.setattr(sys, "argv", ["evaluate", config, "--config.cache=", *arguments])
        try:
            spec.loader.exec_module(script)
            script.main(flags.FLAGS(sys.argv))
        finally:
            for name in set(flags.FLAGS) - known:
                delattr(flags.FLAGS, name)

    return run


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--limit_steps=2", "evaluate: --limit_steps changes methods"),
        ("--cache=scores", "evaluate: --cache holds scores, and attacks keeps none: leave it out"),
    ],
)
def test_a_flag_that_a_study_does_not_heed_is_refused(
    evaluate, tmp_path, monkeypatch, flag, message
):
    monkeypatch.delattr(attacks, "study")  # Nothing is begun.
    with pytest.raises(SystemExit, match=message):
        evaluate(f"--out={tmp_path}/attacks.json", flag)
    assert not list(tmp_path.iterdir())


def test_a_title_of_any_letters_is_written(evaluate, tmp_path, monkeypatch):
    monkeypatch.setattr(attacks, "study", lambda config, **options: {"rows": []})
    monkeypatch.setattr(attacks, "table", lambda result: "| Überprüfung |")
    evaluate(f"--out={tmp_path}/attacks.json", "--config.title=Angriffe: 36 dB ≤ PSNR")
    text = (tmp_path / "attacks.md").read_text(encoding="utf-8")
    assert text == "# Angriffe: 36 dB ≤ PSNR\n\n| Überprüfung |\n"


@pytest.mark.outer
def test_the_script_runs_the_study(tmp_path):
    out = tmp_path / "attacks.json"
    arguments = ("--config=configs/evaluate/attacks.py", f"--out={out}", "--limit=1")
    settings = ("--config.inspected=('vae-cifar10',)", "--config.budgets=(36.0,)")
    script = [sys.executable, "scripts/evaluate.py", *arguments]
    run = functools.partial(
        subprocess.run, cwd=ROOT, env={**os.environ}, capture_output=True, text=True
    )
    done = run([*script, *settings])
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result["config"]["study"] == "attacks" and len(result["rows"]) == 9 + 3 + 2 + 1
    assert table(result) in out.with_suffix(".md").read_text() and table(result) in done.stdout
