import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from flax import nnx

from benchmarks.near_models import copies, copy_row, study, table, trained_on, verdict_counts
from configs.evaluate.near_models import get_config
from jax_origin.generators import VAE
from jax_origin.generators.base import flat_weights
from jax_origin.inversion import Run

SHARES = (1e-4, 1e-2, 1e-1)


def verdict(word, score=1.0):
    return SimpleNamespace(verdict=word, score=score, inversion=SimpleNamespace(distance=score))


class AllBelong:
    """Stands for an attributor to which all images belong."""

    def __init__(self, generator):
        self.generator = generator

    def __call__(self, images):
        return [verdict("belongs") for _ in images]


@pytest.fixture(scope="module")
def rows(generator):
    latents = jax.random.normal(jax.random.key(0), (5, *generator.latent_shape))
    made = copies(generator, jitters=SHARES, seed=0)
    return {name: copy_row(AllBelong(generator), copy, latents) for name, copy in made}


def test_copies_are_as_far_away_as_they_say(rows):
    assert rows["itself"]["weights"] == 0
    for share in SHARES:
        assert rows[f"jitter {share:g}"]["weights"] == pytest.approx(share, rel=0.15)
    assert 1e-5 < rows["float16"]["weights"] < 2**-11
    assert 2**-11 < rows["bfloat16"]["weights"] < 2**-8


def test_images_differ_the_more_the_further_the_weights_are_apart(rows):
    names = ("itself", *(f"jitter {share:g}" for share in SHARES))
    worse = [rows[name]["psnr"] for name in names]
    assert worse[0] == 120 and worse == sorted(worse, reverse=True) and worse[-1] < 45
    assert (rows["itself"]["identical"], rows["itself"]["largest"]) == (1, 0)
    assert rows["jitter 0.1"]["identical"] == 0 and rows["jitter 0.1"]["largest"] > 3


def test_eight_bits_hold_255_steps_and_vectors_stay(generator):
    uneven = dict(copies(generator, jitters=(0.1,), seed=0))["jitter 0.1"]  # Fresh norms are all 1.
    copy = dict(copies(uneven, jitters=(), seed=0))["int8"]
    old, new = flat_weights(uneven), flat_weights(copy)
    assert old.keys() == new.keys()
    for name, weights in new.items():
        if weights.ndim == 1:
            np.testing.assert_array_equal(weights, old[name])
        else:
            step = np.abs(old[name]).max() / 127
            np.testing.assert_allclose(weights / step, np.rint(weights / step), atol=1e-3)
            assert 0 < np.abs(weights - old[name]).max() <= step * 0.501


def test_counts_have_the_exact_interval():
    found = verdict_counts([verdict("undecided", i) for i in range(59)] + [verdict("belongs", 99)])
    assert (found["n"], found["undecided"], found["belongs"]) == (60, 59, 1)
    assert found["not_recognised_95"] == pytest.approx([0, 1 - 0.025 ** (1 / 60)])
    assert found["distance"] == found["score"] == 29.5
    assert verdict_counts([])["belongs_95"] is verdict_counts([])["score"] is None


@pytest.mark.outer
def test_training_goes_on_from_the_weights():
    generator = VAE(image_size=8, latent_dim=3, width=4, rngs=nnx.Rngs(0))
    generator.eval()
    images = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 3), dtype=np.uint8)
    task = {"name": "vae", "steps": 5000, "learning_rate": 1e-3, "beta": 1.0}
    (none, same), (some, further) = trained_on(generator, task, images, steps=(0, 3))
    assert (none, some) == (0, 3)
    latents = jax.random.normal(jax.random.key(0), (2, 3))
    whole, near = (copy_row(AllBelong(generator), copy, latents) for copy in (same, further))
    assert whole["weights"] == 0 and whole["psnr"] == 120
    assert 0 < near["weights"] < 0.1 and near["psnr"] > 15


@pytest.mark.outer
def test_the_study_says_what_it_left_out(tmp_path):
    config = get_config()
    config.inspected, config.jitters = ("vae-cifar10",), (0.1,)
    result = study(config, data=str(tmp_path), limit=2, run=Run())
    assert [row["copy"] for row in result["rows"]] == [
        *("itself", "jitter 0.1", "float16", "bfloat16", "int8")
    ]
    own, jittered, *_ = result["rows"]
    assert own["n"] == 2 and own["distance"] < 1e-5 < jittered["distance"]
    assert len(result["left_out"]) == 2 and str(tmp_path) in result["left_out"][0]
    text = table(json.loads(json.dumps(result, allow_nan=False)))
    assert "| vae-cifar10 | jitter 0.1 |" in text and "\n\nLeft out: vae-cifar10, trained" in text
