"""DDPM's objective (Ho, Jain, Abbeel; NeurIPS 2020): undo noise of a random strength."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jax_origin.training.recipe import AveragedTask, mirrored_signed


class DiffusionTask(AveragedTask):
    """Mean squared error of the network's prediction, an average of its weights kept.

    Each image gets a time drawn evenly from the schedule. What is predicted (epsilon, sample or
    v_prediction) is the schedule's.

    Args:
      cls: The generator's class, `DDIM` or one with its `unet` and `schedule`.
      config: Its configuration; of a network without classes.
      steps: Steps over which the learning rate falls to zero on a cosine, after a rise over the
        first tenth of them, 200 at most.
      learning_rate: Adam's peak rate; gradients are clipped to norm 1.
      average_decay: Decay a step of the averaged weights, which are those that are kept; less in
        the first steps, (1 + n) / (10 + n).

    Raises:
      ValueError: If the network has classes.
    """

    def __init__(
        self,
        cls: Callable[..., Any],
        config: dict[str, Any],
        *,
        steps: int,
        learning_rate: float = 1e-3,
        average_decay: float = 0.999,
    ):
        super().__init__(
            cls, config, steps=steps, learning_rate=learning_rate, average_decay=average_decay
        )
        self._prediction = self._outline.schedule.prediction_type
        self._shares = self._outline.schedule.alphas_cumprod()

    def _step(
        self, state: dict[str, Any], images: jax.Array, key: jax.Array
    ) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        flip_key, time_key, noise_key = jax.random.split(key, 3)
        count = images.shape[0]
        real = mirrored_signed(images, flip_key)
        times = jax.random.randint(time_key, (count,), 0, len(self._shares))
        share = jnp.asarray(self._shares)[times].reshape(count, 1, 1, 1)
        noise = jax.random.normal(noise_key, real.shape)
        signal, strength = jnp.sqrt(share), jnp.sqrt(1 - share)
        target = {
            "epsilon": noise,
            "sample": real,
            "v_prediction": signal * noise - strength * real,
        }[self._prediction]

        def loss(params: Any) -> jax.Array:
            network = nnx.merge(self._graph, params).unet
            predicted = network(signal * real + strength * noise, times.astype(jnp.float32))
            return jnp.mean((predicted[..., : real.shape[-1]] - target) ** 2)

        return self._after(state, loss)
