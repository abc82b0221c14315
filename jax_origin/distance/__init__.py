"""Distances between an image and its reconstruction."""

from collections.abc import Callable
from typing import Any

import jax

from jax_origin.distance import pixel, stored
from jax_origin.distance.pixel import l1, l2, log_l2
from jax_origin.distance.stored import as_stored, stored_l1, stored_l2

__all__ = [
    "DISTANCES",
    "EVENNESS",
    "OBJECTIVES",
    "RESIDUALS",
    "TO_STORED",
    "as_stored",
    "l1",
    "l2",
    "log_l2",
    "stored_l1",
    "stored_l2",
]

Comparison = Callable[[jax.Array, Any], jax.Array]
"""Reconstructions [N, H, W, C] and what they are compared with: one number each, or residuals."""

DISTANCES: dict[str, Comparison] = {"l1": l1, "l2": l2, "stored": stored_l2}
"""What an inversion can report, and choose the best latent by; never negative."""

OBJECTIVES: dict[str, Comparison] = {
    "l1": l1,
    "l2": l2,
    "log_l2": log_l2,
    "stored_l1": stored_l1,
    "stored_l2": stored_l2,
}
"""What an inversion can descend on."""

RESIDUALS: dict[str, Comparison] = {
    "l1": pixel.residual,
    "l2": pixel.residual,
    "stored": stored.residual,
}
"""By distance: what solvers of least squares make small."""

EVENNESS: dict[str, Comparison] = {
    "l1": pixel.evenness,
    "l2": pixel.evenness,
    "stored": stored.evenness,
}
"""By distance: how evenly what is missed is spread over an image, from 1 / 16 to 1."""

TO_STORED = ("stored", "stored_l1", "stored_l2")
"""Those whose targets are `StoredArrays`; the targets of the others are images [N, H, W, C]."""
