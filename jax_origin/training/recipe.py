"""What the tasks' recipes have in common."""

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


def averaged(average: Any, params: Any, *, done: jax.Array, decay: float) -> Any:
    """The average of a network's weights after one more step.

    Args:
      average: The average so far.
      params: The weights after the step.
      done: How many steps there were, this one included.
      decay: Share of the average that stays; less in the first steps, (1 + done) / (10 + done).
    """
    share = jnp.minimum(decay, (1 + done) / (10 + done))
    return optax.incremental_update(params, average, 1 - share)


def frozen(graph: nnx.GraphDef, *states: Any) -> Generator:
    """The generator of these weights, as it is inspected; steps that follow leave it alone."""
    generator = nnx.merge(graph, *jax.tree.map(jnp.copy, states))
    generator.eval()
    return generator
