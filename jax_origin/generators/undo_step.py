"""A step of a sampler undone: its input found from its output, or drawn where that cannot be."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

_RIDGE = 1e-6  # of the mean square of the changes: float32 cannot tell more of them apart


def undo_step(
    step: Callable[[jax.Array], jax.Array],
    output: jax.Array,
    guess: jax.Array,
    *,
    pace: jax.Array | float,
    iterations: int,
    memory: int = 5,
) -> jax.Array:
    """The x for which ``step(x)`` is nearest to the output, of those that were met on the way.

    The fixed point of ``x + pace * (output - step(x))``, each image for itself, with Anderson
    acceleration (Walker and Ni, SIAM Journal on Numerical Analysis 49, 2011, algorithm AA; for
    diffusion models Pan et al., ICCV 2023). Where the step changes nothing, x stays the guess.

    Args:
      step: ``step(x [N, ...]) -> [N, ...]``, of the same shape.
      output: What it should give.
      guess: Where x begins; the result is float32 of this shape.
      pace: How far x moves for a difference of 1, to begin with.
      iterations: How often the step is evaluated.
      memory: Changes of x that are remembered.
    """
    count, shape = len(output), output.shape
    target = output.reshape(count, -1)
    x = guess.astype(jnp.float32).reshape(count, -1)
    none = jnp.zeros((memory, *x.shape))

    def residual(x: jax.Array) -> jax.Array:
        return pace * (target - step(x.reshape(shape)).reshape(count, -1))

    def iterate(carry: tuple[jax.Array, ...], _: None) -> tuple[tuple[jax.Array, ...], None]:
        x, last_x, last_r, moves, turns, best, least = carry
        r = residual(x)
        size = jnp.sum(r**2, axis=1)
        better = size < least  # Never of NaN.
        best, least = jnp.where(better[:, None], x, best), jnp.where(better, size, least)
        moves = jnp.concatenate([moves[1:], (x - last_x)[None]])
        turns = jnp.concatenate([turns[1:], (r - last_r)[None]])
        # The remembered moves, combined so that their changes of the residual cancel it best.
        normal = jnp.sum(turns[:, None] * turns[None], axis=-1).transpose(2, 0, 1)
        slope = jnp.sum(turns * r[None], axis=-1).T
        ridge = _RIDGE * jnp.trace(normal, axis1=1, axis2=2) / memory + jnp.finfo(r.dtype).tiny
        shares = jnp.linalg.solve(
            normal + ridge[:, None, None] * jnp.eye(memory)[None], slope[..., None]
        )[..., 0]
        ahead = x + r - jnp.sum(shares.T[..., None] * (moves + turns), axis=0)
        return (ahead, x, r, moves, turns, best, least), None

    first = residual(x)
    begun: tuple[jax.Array, ...] = (x + first, x, first, none, none, x, jnp.sum(first**2, axis=1))
    carry, _ = jax.lax.scan(iterate, begun, length=iterations - 1)
    return carry[5].reshape(shape)


def draw_input(
    step: Callable[[jax.Array], jax.Array],
    output: jax.Array,
    *,
    mean: jax.Array,
    deviation: jax.Array | float,
    noise: jax.Array,
    rounding: float,
    rounds: int = 3,
    iterations: int = 10,
) -> jax.Array:
    """A draw of the inputs that a step may have had: of N(mean, deviation^2), given its output.

    The draw ``mean + deviation * noise`` of the prior is moved as little as the output asks for
    (randomize-then-optimize: Bardsley et al., SIAM Journal on Scientific Computing 36, 2014), by
    Gauss-Newton on ``|step(x) - output|^2 / rounding^2 + |x - draw|^2 / deviation^2``, each image
    for itself. What the step takes out of its input stays as it was drawn.

    Args:
      step: ``step(x [N, ...]) -> [N, ...]``, of the same shape.
      output: What it gave, [N, ...].
      mean: The prior's, [N, ...].
      deviation: The prior's.
      noise: Standard normal, [N, ...].
      rounding: Deviation of the output from what the step gave.
      rounds: Linearisations.
      iterations: Conjugate-gradient iterations of each.
    """
    axes = tuple(range(1, output.ndim))

    def dot(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.sum(a * b, axis=axes, keepdims=True)

    def scaled(u: jax.Array) -> jax.Array:
        return step(mean + deviation * u) / rounding

    def value(u: jax.Array, miss: jax.Array) -> jax.Array:
        return dot(miss, miss) + dot(u - noise, u - noise)

    def improve(u: jax.Array, _: None) -> tuple[jax.Array, None]:
        made, tangent = jax.linearize(scaled, u)
        transpose = jax.linear_transpose(tangent, u)
        miss = made - output / rounding
        downhill = -transpose(miss)[0] - (u - noise)

        def iterate(carry: Any, _: None) -> tuple[Any, None]:
            update, residual, direction, size = carry
            bent = transpose(tangent(direction))[0] + direction
            length = size / (dot(direction, bent) + tiny)
            update, residual = update + length * direction, residual - length * bent
            new = dot(residual, residual)
            return (update, residual, residual + new / (size + tiny) * direction, new), None

        start = (jnp.zeros_like(u), downhill, downhill, dot(downhill, downhill))
        update = jax.lax.scan(iterate, start, length=iterations)[0][0]
        best, least = u, value(u, miss)
        for share in (1.0, 0.25):  # The linear model may hold nearby alone.
            tried = u + share * update
            found = value(tried, scaled(tried) - output / rounding)
            best, least = jnp.where(found < least, tried, best), jnp.minimum(found, least)
        return best, None

    tiny = jnp.finfo(jnp.float32).tiny
    noise = noise.astype(jnp.float32)
    return mean + deviation * jax.lax.scan(improve, noise, length=rounds)[0]
