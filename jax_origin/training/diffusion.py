"""DDPM's objective (Ho, Jain, Abbeel; NeurIPS 2020): undo noise of a random strength."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from jax_origin.generators import Generator
from jax_origin.training.recipe import adam, averaged, frozen, mirrored


class DiffusionTask:
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
        self._make = lambda rngs: cls(**config, rngs=rngs)
        abstract = nnx.eval_shape(lambda: self._make(nnx.Rngs(0)))
        if abstract.label is not None:
            raise ValueError("the diffusion task trains networks without classes")
        self._graph = nnx.split(abstract)[0]
        self._prediction = abstract.schedule.prediction_type
        self._shares = abstract.schedule.alphas_cumprod()
        self._decay = average_decay
        self._optimizer = adam(learning_rate, steps=steps, max_norm=1.0)
        self.step = jax.jit(self._step, donate_argnums=0)

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Fresh weights and optimiser state."""
        params = nnx.state(self._make(nnx.Rngs(key)))
        return {
            "params": params,
            "average": jax.tree.map(jnp.copy, params),
            "optimizer": self._optimizer.init(params),
            "done": jnp.zeros((), jnp.int32),
        }

    def _step(
        self, state: dict[str, Any], images: jax.Array, key: jax.Array
    ) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        flip_key, time_key, noise_key = jax.random.split(key, 3)
        count = images.shape[0]
        real = mirrored(images.astype(jnp.float32) / 127.5 - 1, flip_key)
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

        value, grads = jax.value_and_grad(loss)(state["params"])
        updates, optimizer = self._optimizer.update(grads, state["optimizer"])
        params = optax.apply_updates(state["params"], updates)
        done = state["done"] + 1
        average = averaged(state["average"], params, done=done, decay=self._decay)
        new = {"params": params, "average": average, "optimizer": optimizer, "done": done}
        return new, {"loss": value}

    def generator(self, state: dict[str, Any], key: jax.Array) -> Generator:
        """The generator of the averaged weights."""
        del key
        return frozen(self._graph, state["average"])
