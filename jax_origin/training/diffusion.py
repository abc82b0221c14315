"""DDPM's objective (Ho, Jain, Abbeel; NeurIPS 2020): undo noise of a random strength."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jax_origin.training.recipe import AveragedTask, Losses, State, mirrored_signed


class DiffusionTask(AveragedTask):
    """Mean squared error of the network's prediction; arguments as `AveragedTask` takes them.

    The class is `DDIM` or one with its `unet` and `schedule`. Each image gets a time drawn evenly
    from the schedule, which also says what is predicted: epsilon, sample or v_prediction.
    """

    def _step(self, state: State, images: jax.Array, key: jax.Array) -> tuple[State, Losses]:
        flip_key, time_key, noise_key = jax.random.split(key, 3)
        schedule, count = self._outline.schedule, images.shape[0]
        shares = schedule.alphas_cumprod()
        real = mirrored_signed(images, flip_key)
        times = jax.random.randint(time_key, (count,), 0, len(shares))
        share = jnp.asarray(shares)[times].reshape(count, 1, 1, 1)
        noise = jax.random.normal(noise_key, real.shape)
        signal, strength = jnp.sqrt(share), jnp.sqrt(1 - share)
        target = {
            "epsilon": noise,
            "sample": real,
            "v_prediction": signal * noise - strength * real,
        }[schedule.prediction_type]

        def loss(params: Any) -> jax.Array:
            network = nnx.merge(self._graph, params).unet
            predicted = network(signal * real + strength * noise, times.astype(jnp.float32))
            return jnp.mean((predicted[..., : real.shape[-1]] - target) ** 2)

        return self._after(state, loss)
