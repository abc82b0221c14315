"""A label that is not known: one generator for each, or one that is sought with the latent."""

import jax
import numpy as np
import pytest
from flax import nnx

from jax_origin import Recipe, Stage, invert, solvers
from jax_origin.generators import Consistency, StyleGAN2, sample_latents
from jax_origin.generators.consistency import RELAXED
from jax_origin.images import as_uint8

pytestmark = pytest.mark.outer

CLASSES = 3
KEY = jax.random.key(0)
SEARCH = Recipe(restarts=4, stages=(Stage(solvers.Optax("adam", 0.1), steps=60),), lane_block=8)


def consistency(label):
    unet = {"widths": (8,), "blocks": 1, "norm_groups": 4, "middle_attention": False}
    generator = Consistency(
        image_size=8, unet={**unet, "classes": CLASSES}, label=label, rngs=nnx.Rngs(0)
    )
    # As it is made its branches end in zeros, and nothing depends on the label.
    drawn = np.random.default_rng(0)
    state = nnx.state(generator.unet)
    noise = jax.tree.map(lambda w: w + 0.3 * drawn.normal(size=w.shape).astype("float32"), state)
    nnx.update(generator.unet, noise)
    return generator


def stylegan2(label):
    generator = StyleGAN2(
        image_size=8,
        widths=(8, 8),
        z_dim=4,
        w_dim=4,
        c_dim=CLASSES,
        label=label,
        mapping_layers=1,
        noise_mode="none",
        latent_space="z",
        rngs=nnx.Rngs(0),
    )
    generator.eval()
    return generator


def images_of(generator, num=4):
    return as_uint8(jax.jit(lambda z: generator(z))(sample_latents(generator, KEY, num)))


def test_the_label_of_which_an_image_was_made_reconstructs_it_best():
    images = images_of(stylegan2(1))
    losses = [invert(stylegan2(label), images, SEARCH, key=KEY).loss for label in range(CLASSES)]
    assert (np.argmin(losses, axis=0) == 1).all()
    assert (np.sort(losses, axis=0)[1] > 10 * np.min(losses, axis=0)).all()


def test_a_label_that_is_sought_with_the_latent_does_as_well_as_the_known_one():
    images = images_of(consistency(1))
    known, sought = (invert(consistency(label), images, SEARCH, key=KEY) for label in (1, RELAXED))
    assert sought.loss.mean() < 1.5 * known.loss.mean() < 0.3 * (images / 255).var()
    # It goes on from the class that the prior drew.
    labels = sought.latent[:, -CLASSES:]
    assert np.isfinite(labels).all() and (np.abs(labels - np.round(labels)) > 1e-3).all()
