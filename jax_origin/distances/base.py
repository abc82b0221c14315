"""What a distance is: all that an inversion needs of one, in one object.

Reconstructions are [N, H, W, C] in [0, 1]; what they are compared with, the targets, has a first
axis N as well. A distance of your own derives from `Distance`, and says its `residual` alone.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jax_origin.parts import Part, one_of

SIDE = 4
"""Parts along a side of an image, in which `Distance.evenness` counts errors."""

Comparison = Callable[[jax.Array, Any], jax.Array]
"""Reconstructions and targets to one number for each image, or to residuals."""


@dataclasses.dataclass(frozen=True)
class Distance(Part):
    """How far reconstructions are from images, or from what files hold of them.

    Attributes:
      of_files: Whether targets are made of files (`jax_origin.images.Stored`), not of pixels.
    """

    family: ClassVar[str] = "distance"
    of_files: ClassVar[bool] = False

    def target(self, image: Any) -> Any:
        """What reconstructions of one image are compared with, a pytree of NumPy arrays.

        The image is float32 [H, W, C] in [0, 1], or `Stored` for a distance `of_files`. The arrays
        have the same shapes for all images of one size.
        """
        return image

    def residual(self, images: jax.Array, targets: Any) -> jax.Array:
        """What solvers of least squares make small, [N, ...]: images less targets by default."""
        return images - targets

    def l1(self, images: jax.Array, targets: Any) -> jax.Array:
        """Mean absolute residual, [N]."""
        residual = self.residual(images, targets)
        return jnp.mean(jnp.abs(residual), axis=tuple(range(1, residual.ndim)))

    def l2(self, images: jax.Array, targets: Any) -> jax.Array:
        """Mean squared residual, [N]; 1 / (12 * 255**2) = 1.28e-6 for pixels rounded to 8 bits."""
        residual = self.residual(images, targets)
        return jnp.mean(residual**2, axis=tuple(range(1, residual.ndim)))

    def log_l2(self, images: jax.Array, targets: Any) -> jax.Array:
        """Logarithm of `l2`, [N]; its gradient does not fade near the floor."""
        return jnp.log(self.l2(images, targets) + 1e-9)

    def value(self, images: jax.Array, targets: Any) -> jax.Array:
        """The distance, [N]: 0 or more; an inversion keeps the latent where it is the lowest."""
        return self.l2(images, targets)

    def evenness(self, images: jax.Array, targets: Any) -> jax.Array:
        """How evenly what is missed is spread over an image, [N]; see `evenness_of_parts`."""
        squares = jnp.sum(self.residual(images, targets) ** 2, axis=3)
        rows, columns = (jax.nn.one_hot(jnp.arange(n) * SIDE // n, SIDE) for n in squares.shape[1:])
        parts = jnp.einsum("nxy,xi,yj->nij", squares, rows, columns, precision="highest")
        return evenness_of_parts(parts)

    def objective(self, name: str) -> Comparison:
        """What a stage descends on; raises ValueError if it is none of `OBJECTIVES`."""
        one_of("objective", name, OBJECTIVES)
        return getattr(self, name)


OBJECTIVES = ("l1", "l2", "log_l2", "value")
"""What a stage can descend on: methods of a distance, by name."""


def evenness_of_parts(errors: jax.Array) -> jax.Array:
    """How evenly an error, [N, SIDE, SIDE] sums of squares, is spread over an image's parts, [N].

    It is the squared mean of the parts' square roots over the mean of the parts: 1 where all have
    the same, 1 / SIDE**2 where one part has all of it; NaN where there is no error.
    """
    return jnp.mean(jnp.sqrt(errors), axis=(1, 2)) ** 2 / jnp.mean(errors, axis=(1, 2))
