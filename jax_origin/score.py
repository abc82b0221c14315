"""Scores: one number for each image; the lower, the more it looks as if it belongs."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray


def loss_score(loss: ArrayLike, reference_loss: ArrayLike | None = None) -> NDArray[np.float64]:
    """The inversion's loss as it is.

    Args:
      loss: [N], mean squared errors.
      reference_loss: Not used.

    Returns:
      float64 [N].
    """
    del reference_loss
    return np.asarray(loss, np.float64)


def reference_ratio(
    loss: ArrayLike, reference_loss: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Loss under the inspected model over loss under a reference model (RONAN, equation 4).

    An image that is easy for any generator has a small loss under both.

    Args:
      loss: [N], mean squared errors under the inspected model.
      reference_loss: [N], the same images' under the reference model.

    Returns:
      float64 [N]; NaN where one of the two losses is not finite.

    Raises:
      ValueError: If there is no reference loss.
    """
    if reference_loss is None:
        raise ValueError("the score 'reference_ratio' needs a reference model: reference=...")
    ours, theirs = np.asarray(loss, np.float64), np.asarray(reference_loss, np.float64)
    # A reference that gave no image has an infinite loss: a ratio of 0 would speak for belonging.
    finite = np.isfinite(ours) & np.isfinite(theirs)
    floor = np.finfo(np.float32).tiny
    return np.where(finite, ours, np.nan) / np.where(finite, np.maximum(theirs, floor), 1.0)


SCORES: dict[str, Callable[..., NDArray[np.float64]]] = {
    "loss": loss_score,
    "reference_ratio": reference_ratio,
}
"""Every score by name: ``score(loss, reference_loss)``."""
