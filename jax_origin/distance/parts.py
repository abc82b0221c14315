"""Where in an image an error is: parts of it, four by four whatever its size."""

import jax
import jax.numpy as jnp

SIDE = 4
"""Parts along a side."""


def evenness_of_parts(errors: jax.Array) -> jax.Array:
    """How evenly an error is spread over the parts of an image.

    Args:
      errors: Sums of squares, [N, SIDE, SIDE].

    Returns:
      [N]; the squared mean of the parts' square roots over the mean of the parts: 1 where all have
      the same, 1 / SIDE**2 where one part has all of it; NaN where there is no error.
    """
    return jnp.mean(jnp.sqrt(errors), axis=(1, 2)) ** 2 / jnp.mean(errors, axis=(1, 2))
