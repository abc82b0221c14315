"""p and q where an image may have been edited: the largest over the conditions calibrated."""

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.rule import as_scores, build_rule


class Fit(NamedTuple):
    """How well N scores fit the best of several calibrations.

    Attributes:
      p: the largest p-value, float64 [N].
      which: what it was found for, one key for each score; the first in order where several give
        the same.
    """

    p: NDArray[np.float64]
    which: list[Any]


def p_over_conditions(
    scores: ArrayLike,
    belonging: Mapping[str, ArrayLike],
    *,
    rule: str = "conformal",
    floor: float = 0.0,
    **options: Any,
) -> Fit:
    """The largest p over conditions: how well a score fits belonging images, edited or not.

    An image of the generator's own went through one condition or another (unedited, JPEG at 75,
    halved), unknown which. Its p under that condition is valid, and the largest is no smaller: p
    stays valid under every condition calibrated, and says nothing of others. What is paid is
    power: a clean image that scores as edited ones do is no longer excluded. Pooling the scores of
    all conditions would be valid only for images edited in the proportions of the pool.

    Args:
      scores: [N].
      belonging: scores of belonging images by condition, at least one.
      rule: a name in `RULES`.
      floor: all scores are clamped from below here.
      **options: the rule's options.

    Returns:
      p, and the condition that fitted best.

    Raises:
      ValueError: no condition, or scores or options that the rule refuses.
    """
    clamped = np.maximum(as_scores(scores, "scores"), floor)
    return _best(
        {
            name: build_rule(
                rule, np.maximum(as_scores(own, "belonging scores"), floor), **options
            ).p_value(clamped)
            for name, own in belonging.items()
        }
    )


def q_over_groups(
    scores: ArrayLike, foreign: Mapping[Any, ArrayLike], *, floor: float = 0.0
) -> Fit:
    """The largest q over foreign groups, each edited by each condition being a group of its own.

    For the pair (group, condition) with M scores, q = (1 + #{foreign <= score}) / (M + 1). A
    foreign image comes from one pair; its q there is valid for fresh images of that pair, and the
    largest over all pairs is no smaller: attributing where it is at most beta errs at a rate of at
    most beta, whichever the pair. It is conservative: most pairs are further off than the nearest.
    The conditions that are calibrated for belonging images are to be calibrated for foreign ones
    too: an edit may well bring a foreign image nearer (blur does).

    Args:
      scores: [N].
      foreign: scores by (group, condition), or by group where nothing is edited; at least one.
      floor: all scores are clamped from below here.

    Returns:
      q (as `p` of the fit), and the key that fitted best.

    Raises:
      ValueError: no group, or scores that are not numbers.
    """
    clamped = np.maximum(as_scores(scores, "scores"), floor)
    found: dict[Hashable, NDArray[np.float64]] = {}
    for key, group in foreign.items():
        lows = np.sort(np.maximum(as_scores(group, "foreign scores"), floor))
        if not lows.size:
            raise ValueError(f"foreign group {key!r} has no scores")
        at_or_below = np.searchsorted(lows, clamped, side="right").astype(np.float64)
        found[key] = (1.0 + at_or_below) / (lows.size + 1.0)
    return _best(found)


def _best(found: Mapping[Any, NDArray[np.float64]]) -> Fit:
    if not found:
        raise ValueError("there is nothing to compare with: give scores of at least one condition")
    keys, values = list(found), np.stack(list(found.values()))
    best = values.argmax(axis=0)
    return Fit(values.max(axis=0), [keys[i] for i in best])
