"""What the GAN objective does for a generator without batch norms, as StyleGAN2 is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_origin.generators import StyleGAN2
from jax_origin.training import GanTask
from jax_origin.training.gan import Discriminator

pytestmark = pytest.mark.outer
STYLEGAN2 = {
    "image_size": 8,
    "widths": [4, 4],
    "z_dim": 4,
    "w_dim": 4,
    "mapping_layers": 1,
    "noise_mode": "none",
}


class Flat(nnx.Module):
    """Images of one value, which may lie beyond the range."""

    latent_shape = (1,)
    image_shape = (8, 8, 3)

    def __init__(self, *, value: float, rngs: nnx.Rngs):
        del rngs
        self.value = nnx.Param(jnp.asarray(value))

    def __call__(self, latents):
        return jnp.clip(self.unclipped(latents), 0, 1)

    def unclipped(self, latents):
        return jnp.broadcast_to(self.value[...], (len(latents), *self.image_shape))


def images(num: int = 8) -> np.ndarray:
    """Symmetric ones: whether a step mirrors them makes no difference."""
    half = np.random.default_rng(0).integers(0, 256, (num, 8, 4, 3), dtype=np.uint8)
    return np.concatenate([half, half[:, :, ::-1]], axis=2)


def first_step(task: GanTask, num: int = 8):
    state = task.init(jax.random.key(0))
    critic = jax.tree.map(jnp.copy, state["critic_params"])
    state, losses = task.step(state, images(num), jax.random.key(1))
    return critic, state, {name: float(value) for name, value in losses.items()}


def test_the_discriminator_sees_how_far_beyond_the_range_a_pixel_is():
    losses = [
        first_step(GanTask(Flat, {"value": value}, discriminator_width=4, batch_norm=False))[2]
        for value in (1.0, 3.0)
    ]
    assert abs(losses[0]["loss_d"] - losses[1]["loss_d"]) > 1e-3


def test_the_gradient_penalty_is_r1_on_a_quarter_of_the_batch():
    def losses(weight):
        options = {"discriminator_width": 4, "batch_norm": False, "gradient_penalty": weight}
        critic, _, losses = first_step(GanTask(Flat, {"value": 0.5}, **options))
        return critic, losses["loss_d"]

    critic, without = losses(0.0)
    _, with_penalty = losses(3.0)
    discriminator = Discriminator(
        image_size=8, width=4, channels=3, batch_norm=False, rngs=nnx.Rngs(0)
    )
    nnx.update(discriminator, critic)
    some = jnp.asarray(images()[:2] / 127.5 - 1, jnp.float32)
    slopes = jax.grad(lambda batch: discriminator(batch).sum())(some)
    expected = 3.0 / 2 * np.sum(np.square(slopes)) / 2
    assert expected > 1e-3
    np.testing.assert_allclose(with_penalty - without, expected, rtol=1e-3)


def test_stylegan2_is_trained_and_keeps_the_mean_of_w():
    task = GanTask(
        StyleGAN2,
        STYLEGAN2,
        discriminator_width=4,
        learning_rate=2e-3,
        discriminator_learning_rate=1e-4,
        batch_norm=False,
        gradient_penalty=0.1,
        average_decay=0.5,
    )
    fresh = task.init(jax.random.key(0))
    before = jax.tree.map(np.array, (fresh["params"], fresh["critic_params"]))
    state, losses = task.step(fresh, images(), jax.random.key(1))
    assert all(np.isfinite(float(loss)) for loss in losses.values())
    # Adam's first step is as long as its rate: each network has its own.
    trained = state["params"], state["critic_params"]
    for old, new, rate in zip(before, trained, (2e-3, 1e-4), strict=True):
        steps = jax.tree.map(lambda a, b: np.abs(np.asarray(b) - a).max(), old, new)
        np.testing.assert_allclose(max(jax.tree.leaves(steps)), rate, rtol=0.02)
    generator = task.generator(state, jax.random.key(2))
    assert np.abs(generator.mapping.w_avg[...]).max() > 0
    made = generator(jnp.ones((2, 4)))
    assert made.shape == (2, 8, 8, 3)
    np.testing.assert_array_equal(made, generator(jnp.ones((2, 4))))
