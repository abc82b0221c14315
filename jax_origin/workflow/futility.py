"""When an image is given up: what is fitted on own images' searches."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import Futility

# How far an image is that is stuck grows with this power of a generic code's distance from it.
_POWER = 0.65
# An own image that a code says with little begins as far from its set as any other: one that scores
# 1 at less than this share of the median counts as one of that share.
_LEAST = 0.2
# Own images that are fitted on at the most: as made, under all edits together, under one of them,
# and for each that is calibrated.
_NUM_MADE, _NUM_EDITED, _NUM_OF_AN_EDIT, _TIMES = 800, 800, 400, 4
# Levels leave out one in so many. The farthest of few says little of the next one: the number of
# those that were edited alike divides what the margin adds to 1.
_ONE_IN, _MARGIN = 300, 100.0
_FEW = 10  # Images under way; the farthest of fewer says little.
_SPARED, _SPARED_HOPPING = 10, 4  # times what is promising
_EARLY, _NO_LEVEL = 1, 1e6  # Checks before which a search tells little of where it goes.
_ALIKE, _ROUNDING, _TINY = 100.0, 1 + 1e-6, 1e-30


def fitted_on(num: int, edits: int) -> tuple[int, int]:
    """How many own images as made, and after each of some edits, where `num` are calibrated."""
    most = _TIMES * num
    return min(most, _NUM_MADE), min(most, _NUM_OF_AN_EDIT, _NUM_EDITED // max(1, edits))


def futility_of(
    groups: Sequence[NDArray[np.floating]],
    units: Sequence[NDArray[np.floating]],
    *,
    floor: float,
    promising: float = 0.0,
    hops: bool = False,
) -> Futility:
    """When an image is given up: at each check, farther than own images were that are found.

    Images that are not found in the end tell nothing of how those fall that are. They are left out.
    Once few are under way the level stays. A search that hops finds a few images late. Not to lose
    these would cost foreign images twice the evaluations: one of three hundred is left out.

    Args:
      groups: How own images' scores fall, [N, checks] of each group that was edited alike.
      units: The distance at which each scores 1, [N] of each group.
      floor: Where an image is found. Of a group most of which is not, those are taken that end near
        its median.
      promising: One that scores at most this is found, too, and over no level. No level is under
        that of one that scores four times as much, where a code's distance is the usual one: own
        images after edits that nobody calibrated lie farther away than all others.
      hops: Whether the search hops.
    """
    found, margins, near = [], [], max(floor, promising) * _ROUNDING
    usual = float(np.median(np.concatenate(units)))
    futility = Futility(power=_POWER, least=_LEAST * usual)
    for scores, unit in zip(groups, units, strict=True):
        end, typical = scores[:, -1], np.median(scores[:, -1])
        kept = end <= (near if typical <= near else _ALIKE * typical)
        weights = (unit / futility.unit(unit))[kept, None]
        margins.append(np.full_like(weights, 1 + _MARGIN / len(weights)))
        found.append(np.where(scores[kept] > promising, scores[kept] * weights, 0.0))
    far = np.concatenate(found)
    under_way = np.count_nonzero(far > (0.0 if promising else floor), axis=0)
    last = max(np.flatnonzero(under_way >= _FEW), default=0)
    far = far * np.concatenate(margins)
    for _ in range(len(far) // _ONE_IN if hops else 0):
        far = np.delete(far, _outlier(far[:, _EARLY : last + 1]), axis=0)
    highest = far.max(axis=0)
    highest[last:] = highest[last]
    spared = _SPARED_HOPPING if hops else _SPARED
    levels = np.maximum(highest, max(floor, spared * promising * usual / futility.unit(usual)))
    levels[:_EARLY] = _NO_LEVEL
    return futility._replace(levels=tuple(map(float, levels)))


def _outlier(far: NDArray[np.floating]) -> int:
    """The image without which levels fall most, of [N, checks]."""
    second, first = np.log(np.maximum(np.sort(far, axis=0)[-2:], _TINY))
    gained = np.bincount(far.argmax(axis=0), weights=first - second, minlength=len(far))
    return int(gained.argmax())
