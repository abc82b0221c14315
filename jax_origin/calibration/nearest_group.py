"""q: how well a score fits the foreign group that comes nearest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.checks import as_scores


class NearestGroup:
    """The largest q over foreign groups, each edited by each condition being a group of its own.

    For a group with M scores, q = (1 + #{foreign <= score}) / (M + 1). A foreign image comes from
    one group, and q of that group is valid for fresh images of it. The largest q is no smaller. So
    accepting where it is at most beta errs at a rate of at most beta, whichever the group. It is
    conservative: most groups are further off than the nearest. Calibrate foreign images under the
    conditions of the belonging ones: an edit may bring a foreign image nearer, as blur does.

    Args:
      foreign: Scores [M] by group, or by (group, condition); at least one group.
      floor: Scores are clamped from below here.

    Raises:
      ValueError: There is no group, or scores are not numbers.
    """

    def __init__(self, foreign: Mapping[Any, ArrayLike], *, floor: float = 0.0):
        lows = {}
        for key, group in foreign.items():
            lows[key] = np.sort(np.maximum(as_scores(group, "foreign scores"), floor))
            if not lows[key].size:
                raise ValueError(f"foreign group {key!r} has no scores")
        if not lows:
            raise ValueError("there is no foreign group to compare with")
        # q changes at foreign scores alone: it is found at these, and looked up for any number of
        # scores. Those under all foreign scores come first.
        self._steps = np.concatenate([[-np.inf], np.unique(np.concatenate(list(lows.values())))])
        ranks = [
            (1.0 + np.searchsorted(low, self._steps, side="right"), low.size + 1.0)
            for low in lows.values()
        ]
        self._q, self._best = largest([np.asarray(rank / num, np.float64) for rank, num in ranks])
        self._keys, self._floor = list(lows), floor

    def q(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Q of scores [N], float64 [N]."""
        return self._q[self._places(scores)]

    def names(self, scores: ArrayLike) -> list[Any]:
        """The group that each of scores [N] fits best; the first in order where several do."""
        return [self._keys[index] for index in self._best[self._places(scores)]]

    def _places(self, scores: ArrayLike) -> NDArray[np.intp]:
        clamped = np.maximum(as_scores(scores, "scores"), self._floor)
        return np.searchsorted(self._steps, clamped, side="right") - 1


def most_as_low(num: int, rate: float) -> int:
    """How many of a group's `num` scores may be as low as an image's for q to be at most a rate.

    Returns:
      0 to num; -1 where q is over the rate even under all of them.
    """
    # By the divisions that q uses.
    steps = np.arange(1, num + 2) / (num + 1.0)
    return int(np.searchsorted(steps, rate, side="right")) - 1


def largest(values: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The largest of several arrays [N], at least one, and which of them has it, the first if many.

    Returns:
      float64 [N], and whole numbers [N].
    """
    most, which = values[0].copy(), np.zeros(values[0].shape, np.intp)
    for index, array in enumerate(values[1:], start=1):
        larger = array > most
        most[larger], which[larger] = array[larger], index
    return most, which
