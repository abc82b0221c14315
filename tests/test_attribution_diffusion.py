import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jax_origin as jo
from jax_origin.generators import DDIM
from jax_origin.scoring import belonging_images

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def sampler():
    """A sampler of a network that is not trained; its steps keep most of the noise's colours."""
    generator = DDIM(
        image_size=8,
        unet={"widths": (8,), "blocks": 1, "norm_groups": 4, "middle_attention": False},
        schedule={"clip_sample": False, "beta_end": 1e-3},
        num_steps=4,
        rngs=nnx.Rngs(0),
    )
    draw = np.random.default_rng(0)
    change = lambda w: w + 0.05 * jnp.asarray(draw.normal(size=w.shape), w.dtype)  # noqa: E731
    nnx.update(generator, jax.tree.map(change, nnx.state(generator)))
    return generator


def test_latents_tell_own_images_where_losses_do_not(sampler):
    method = jo.METHODS["origin-diffusion"]
    inversion = dataclasses.replace(method.inversion, lane_block=32)
    method = dataclasses.replace(method, inversion=inversion)
    own = belonging_images(sampler, 30, key=jax.random.key(1))
    smooth = np.repeat(np.repeat(own[:, ::4, ::4], 4, axis=1), 4, axis=2)
    calibration = jo.calibrate(
        sampler, method=method, num_belonging=30, foreign={"smooth": smooth}, key=KEY
    )
    fresh = belonging_images(sampler, 10, key=jax.random.key(2))
    others = np.repeat(np.repeat(fresh[:, ::4, ::4], 4, axis=1), 4, axis=2)
    verdicts = jo.attribute(
        np.concatenate([fresh, others]), sampler, calibration, alpha=0.1, beta=0.1, key=KEY
    )
    losses = np.array([verdict.loss for verdict in verdicts])
    assert losses.max() < 1e-3
    # One in ten fits neither, as lower than nine in ten of its kind.
    assert all(verdict.verdict != "belongs" for verdict in verdicts[10:])
    assert sum(verdict.verdict == "foreign" for verdict in verdicts[10:]) >= 7
    assert sum(verdict.verdict == "belongs" for verdict in verdicts[:10]) >= 7
    # The score is the latent's, not the loss.
    assert min(verdict.score - verdict.loss for verdict in verdicts) > 1e-3
