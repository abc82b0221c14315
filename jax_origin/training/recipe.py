"""What the tasks' recipes have in common."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from jax_origin.generators import Generator


def adam(
    learning_rate: float, *, steps: int, max_norm: float | None = None
) -> optax.GradientTransformation:
    """Adam, whose rate rises over the first tenth of the steps and falls to zero on a cosine.

    Args:
      learning_rate: The peak rate.
      steps: Steps of the training; the rise takes 200 of them at the most.
      max_norm: Norm to which gradients are clipped; None leaves them.
    """
    rate = optax.warmup_cosine_decay_schedule(0.0, learning_rate, min(200, steps // 10), steps)
    optimizer = optax.adam(rate)
    if max_norm is None:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(max_norm), optimizer)


def mirrored(images: jax.Array, key: jax.Array) -> jax.Array:
    """Images [N, H, W, C], each with an even chance turned left to right."""
    flip = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
    return jnp.where(flip, images[:, :, ::-1], images)


def mirrored_signed(images: jax.Array, key: jax.Array) -> jax.Array:
    """uint8 images [N, H, W, C] as floats in [-1, 1], `mirrored`."""
    return mirrored(images.astype(jnp.float32) / 127.5 - 1, key)


def frozen(graph: nnx.GraphDef, *states: Any) -> Generator:
    """The generator of these weights, as it is inspected; steps that follow leave it alone."""
    generator = nnx.merge(graph, *jax.tree.map(jnp.copy, states))
    generator.eval()
    return generator


class AveragedTask:
    """Trains a network by Adam, and keeps an average of its weights.

    A task derives from it and says `_step`, which ends with `_after`.

    Args:
      cls: The generator's class.
      config: Its configuration; of a network without classes.
      steps: As `adam` takes them.
      learning_rate: Adam's peak rate; gradients are clipped to norm 1.
      average_decay: Share of the average that stays in each step; less in the first steps,
        (1 + n) / (10 + n).

    Raises:
      ValueError: If the network has classes.
    """

    def __init__(
        self,
        cls: Callable[..., Any],
        config: dict[str, Any],
        *,
        steps: int,
        learning_rate: float,
        average_decay: float,
    ):
        self._make = lambda rngs: cls(**config, rngs=rngs)
        self._outline = nnx.eval_shape(lambda: self._make(nnx.Rngs(0)))
        if self._outline.label is not None:
            raise ValueError(f"{type(self).__name__} trains networks without classes")
        self._graph = nnx.split(self._outline)[0]
        self._decay = average_decay
        self._optimizer = adam(learning_rate, steps=steps, max_norm=1.0)
        self.step = jax.jit(self._step, donate_argnums=0)

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Fresh weights and optimiser state."""
        return self._begin(nnx.state(self._make(nnx.Rngs(key))))

    def _begin(self, params: Any) -> dict[str, Any]:
        return {
            "params": params,
            "average": jax.tree.map(jnp.copy, params),
            "optimizer": self._optimizer.init(params),
            "done": jnp.zeros((), jnp.int32),
        }

    def _step(
        self, state: dict[str, Any], images: jax.Array, key: jax.Array
    ) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        raise NotImplementedError(f"{type(self).__name__} has no _step")

    def _after(
        self, state: dict[str, Any], loss: Callable[[Any], jax.Array]
    ) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        """The state after a step down a loss of the weights; what else the state holds stays."""
        value, grads = jax.value_and_grad(loss)(state["params"])
        updates, optimizer = self._optimizer.update(grads, state["optimizer"])
        params = optax.apply_updates(state["params"], updates)
        done = state["done"] + 1
        share = jnp.minimum(self._decay, (1 + done) / (10 + done))
        average = optax.incremental_update(params, state["average"], 1 - share)
        new = {"params": params, "average": average, "optimizer": optimizer, "done": done}
        return {**state, **new}, {"loss": value}

    def generator(self, state: dict[str, Any], key: jax.Array) -> Generator:
        """The generator of the averaged weights."""
        del key
        return frozen(self._graph, state["average"])
