"""Distances in recipes: they are descended on as `value`, tracked, and saved."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_origin import FunctionGenerator, Recipe, Stage, invert
from jax_origin.distances import L1, MSSSIM, PSNR, SSIM
from jax_origin.inversion.solvers import LBFGS, Optax
from jax_origin.inversion.starts import Prior


@pytest.fixture(scope="module")
def bumps():
    """Images of 24 x 24 pixels, smooth in a latent of four numbers."""
    waves = np.random.default_rng(0).normal(size=(4, 24, 24, 3)).astype(np.float32)
    waves = np.cumsum(np.cumsum(waves, axis=1), axis=2) / 12

    def make(waves, latents):
        return jax.nn.sigmoid(jnp.einsum("nz,zhwc->nhwc", latents, waves))

    return FunctionGenerator(make, waves, latent_shape=(4,), image_shape=(24, 24, 3))


ADAM = Optax(learning_rate=0.1)


@pytest.mark.parametrize(
    ("distance", "solver"),
    [(L1(), ADAM), (PSNR(), ADAM), (SSIM(), ADAM), (SSIM(), LBFGS()), (MSSSIM((0.5, 0.5)), ADAM)],
    ids=lambda part: part.kind,
)
def test_a_recipe_descends_on_its_distance(bumps, distance, solver):
    stage = Stage(solver, steps=40, objective="value")
    recipe = Recipe(start=Prior(), stages=(stage,), distance=distance, restarts=2, lane_block=4)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    latents = jax.random.normal(jax.random.key(1), (2, 4))
    images = np.asarray(bumps(latents))
    found = invert(bumps, images, recipe, key=jax.random.key(2))
    np.testing.assert_allclose(
        found.distance, distance.value(found.reconstruction, images), rtol=1e-2, atol=1e-5
    )
    # A floor of 0 ends an image only where nothing is missed.
    assert ((found.distance == 0) == (found.ended == "floor")).all()
    assert (found.loss < 3e-3).all()
