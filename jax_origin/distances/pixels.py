"""Distances on pixels, images [N, H, W, C] in [0, 1]."""

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jax_origin.distances.base import Distance
from jax_origin.parts import register

_NEAREST = 1e-10  # The mean squared error of 100 dB: rounding to 8 bits costs 1.3e-6, or 59 dB.


@register
@dataclasses.dataclass(frozen=True)
class L1(Distance):
    """Mean absolute error."""

    kind: ClassVar[str] = "l1"

    def value(self, images: jax.Array, targets: Any) -> jax.Array:
        """Mean absolute error, [N]."""
        return self.l1(images, targets)


@register
@dataclasses.dataclass(frozen=True)
class L2(Distance):
    """Mean squared error."""

    kind: ClassVar[str] = "l2"


@register
@dataclasses.dataclass(frozen=True)
class PSNR(Distance):
    """By how many decibels the peak signal-to-noise ratio falls short of 100.

    PSNR = -10 log10(l2) grows as images come nearer, so a descent on it leads away. Its negative
    falls, but a distance must be 0 or more: a recipe's `floor` of 0 ends an image that is under it,
    `tolerance` is a share of the distance, and scores take logarithms and ratios of it. Hence the
    shift. PSNR is 100 - value, to 0.001 dB up to 60 dB; the value of equal images is 0. Images rank
    as under `L2`, but ratios of decibels say nothing: let `jax_origin.scores.Loss` rank them.
    """

    kind: ClassVar[str] = "psnr"

    def value(self, images: jax.Array, targets: Any) -> jax.Array:
        """10 log10(1 + l2 / 1e-10), [N]: in [0, 100] dB."""
        return 10 / math.log(10) * jnp.log1p(self.l2(images, targets) / _NEAREST)
