"""Distances on pixels, images [N, H, W, C] in [0, 1]."""

import dataclasses
from typing import Any, ClassVar

import jax

from jax_origin.distances.base import Distance
from jax_origin.parts import register


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
