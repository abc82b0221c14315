"""Like with like: which of a calibration's scores an image is compared with, and the best fit."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.calibration import AS_MADE, Calibration
from jax_origin.calibration.foreign import ForeignGroup
from jax_origin.calibration.rule import as_scores

_AFTER = " after "
_CLEAN = "clean"  # what an edit is called that changes nothing


class Fit(NamedTuple):
    """How well N scores fit the best of several calibrations.

    Attributes:
      p: the largest p-value, float64 [N].
      which: what it was found for, one key for each score; the first in order where several give
        the same.
    """

    p: NDArray[np.float64]
    which: list[Any]


class Compared(NamedTuple):
    """The scores that images of some conditions are compared with.

    Attributes:
      belonging: scores of belonging images by condition, at least one.
      foreign: foreign groups by name, those edited alike.
    """

    belonging: dict[str, NDArray[np.float64]]
    foreign: dict[str, ForeignGroup]


class Condition(NamedTuple):
    """What belonging images of a condition are.

    Attributes:
      settings: of the generator that made them, where they are other than the inspected one's.
      edit: what they met since; "" for nothing.
    """

    settings: dict[str, Any]
    edit: str


def parse_condition(name: str) -> Condition:
    """Reads a condition's name: an edit, a setting as FIELD=VALUE, or several joined by "+".

    Args:
      name: such as "jpeg-75", "truncation_psi=0.7", "num_steps=50+jpeg-75" or "as made". Settings
        come before edits; a value is JSON, or else text.
    """
    settings, edits = {}, []
    for part in [] if name in (AS_MADE, _CLEAN) else name.split("+"):
        field, is_setting, value = part.partition("=")
        if not is_setting:
            edits.append(part)
            continue
        try:
            settings[field] = json.loads(value)
        except ValueError:
            settings[field] = value
    return Condition(settings, "+".join(edits))


def edited_group(group: str, edit: str) -> str:
    """What a foreign group is called after an edit."""
    return f"{group}{_AFTER}{edit}"


def origin_and_condition(group: str, calibration: Calibration) -> tuple[str, str]:
    """A foreign group's name without the edit that its images met, and this condition's name.

    Args:
      group: the name of a foreign group, such as "photos" or "photos after jpeg-75".
      calibration: the calibration that has it; it says which edits there are.
    """
    origin, _, edit = group.rpartition(_AFTER)
    return (origin, edit) if edit in calibration.conditions else (group, AS_MADE)


def compared_with(calibration: Calibration, conditions: Iterable[str] | None = None) -> Compared:
    """The calibration's scores under some of its conditions.

    Args:
      calibration: the calibration.
      conditions: "as made", or edits that it has; None for all.

    Returns:
      Belonging scores under each of them, and the foreign groups that were edited so, whatever the
      generator's settings; where none was, all foreign groups.

    Raises:
      ValueError: no condition, or one that the calibration does not have.
    """
    belonging = calibration.belonging_by_condition
    if conditions is None:
        return Compared(belonging, calibration.foreign)
    names = list(dict.fromkeys(conditions))
    if not names:
        raise ValueError("conditions must name at least one that the calibration has")
    for name in names:
        if name not in belonging:
            raise ValueError(
                f"the calibration has no condition {name!r}; it has {', '.join(belonging)}"
            )
    edits = {parse_condition(name).edit or AS_MADE for name in names}
    foreign = {
        group: scores
        for group, scores in calibration.foreign.items()
        if origin_and_condition(group, calibration)[1] in edits
    }
    return Compared({name: belonging[name] for name in names}, foreign or calibration.foreign)


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
    return LargestQ(foreign, floor=floor).fit(scores)


class LargestQ:
    """`q_over_groups` for scores that come one after the other: foreign ones are sorted once.

    Args:
      foreign: as `q_over_groups` takes them.
      floor: all scores are clamped from below here.

    Raises:
      ValueError: no group, or scores that are not numbers.
    """

    def __init__(self, foreign: Mapping[Any, ArrayLike], *, floor: float = 0.0):
        lows = {}
        for key, group in foreign.items():
            lows[key] = np.sort(np.maximum(as_scores(group, "foreign scores"), floor))
            if not lows[key].size:
                raise ValueError(f"foreign group {key!r} has no scores")
        if not lows:
            raise ValueError(
                "there is nothing to compare with: give scores of at least one condition"
            )
        # q changes at foreign scores alone: it is found at these, and looked up for any number of
        # scores. Those under all foreign scores come first.
        self._steps = np.concatenate([[-np.inf], np.unique(np.concatenate(list(lows.values())))])
        ranks = [
            (1.0 + np.searchsorted(low, self._steps, side="right"), low.size + 1.0)
            for low in lows.values()
        ]
        self._q, self._best = largest([np.asarray(rank / num, np.float64) for rank, num in ranks])
        self._keys, self._floor = list(lows), floor

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Q of scores [N], float64 [N]."""
        return self._q[self._places(scores)]

    def fit(self, scores: ArrayLike) -> Fit:
        """The same, and the key that fitted best."""
        places = self._places(scores)
        return Fit(self._q[places], [self._keys[index] for index in self._best[places]])

    def _places(self, scores: ArrayLike) -> NDArray[np.intp]:
        clamped = np.maximum(as_scores(scores, "scores"), self._floor)
        return np.searchsorted(self._steps, clamped, side="right") - 1


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
