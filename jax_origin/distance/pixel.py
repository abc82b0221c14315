"""Distances on pixels: one number for each image of a batch, images [N, H, W, C] in [0, 1]."""

import jax
import jax.numpy as jnp

from jax_origin.distance.parts import SIDE, evenness_of_parts


def l1(reconstructions: jax.Array, images: jax.Array) -> jax.Array:
    """Mean absolute error, [N]."""
    return jnp.mean(jnp.abs(reconstructions - images), axis=(1, 2, 3))


def l2(reconstructions: jax.Array, images: jax.Array) -> jax.Array:
    """Mean squared error, [N]; 1 / (12 * 255**2) = 1.28e-6 for an image rounded to 8 bits."""
    return jnp.mean((reconstructions - images) ** 2, axis=(1, 2, 3))


def log_l2(reconstructions: jax.Array, images: jax.Array) -> jax.Array:
    """Logarithm of the mean squared error, [N]; its gradient does not fade near the floor."""
    return jnp.log(l2(reconstructions, images) + 1e-9)


def residual(reconstructions: jax.Array, images: jax.Array) -> jax.Array:
    """What solvers of least squares make small, [N, H, W, C]; the mean of its squares is `l2`."""
    return reconstructions - images


def evenness(reconstructions: jax.Array, images: jax.Array) -> jax.Array:
    """How evenly the squared error is spread over an image, [N]; see `evenness_of_parts`."""
    squares = jnp.sum(residual(reconstructions, images) ** 2, axis=3)
    rows, columns = (jax.nn.one_hot(jnp.arange(n) * SIDE // n, SIDE) for n in squares.shape[1:])
    parts = jnp.einsum("nxy,xi,yj->nij", squares, rows, columns, precision="highest")
    return evenness_of_parts(parts)
