"""How often foreign images are attributed: exact limits, and thresholds that keep a wanted rate.

Throughout, `foreign` are groups by name, at least one, and `confidence` is that of each one-sided
limit. The functions raise ValueError where there is no group, or where a rate or the confidence is
outside (0, 1).
"""

import bisect
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jax_origin.calibration.checks import check_rate
from jax_origin.calibration.foreign import ForeignGroup, most_as_low
from jax_origin.calibration.rules import clopper_pearson, scores_needed

_NAMED = 2  # groups that lack negatives


class TooFewNegatives(ValueError):
    """The foreign scores are too few for a wanted rate; one line.

    Attributes:
      more: How many more independent negatives each group needs, by name, where it needs any.
    """

    def __init__(self, message: str, *, more: Mapping[str, int]) -> None:
        super().__init__(message)
        self.more = dict(more)


class AttributionThreshold(NamedTuple):
    """A threshold that keeps the rate of false attribution.

    Attributes:
      below: Scores strictly below it are attributed.
      accepting: The highest attributed score, the float under `below`.
      allowed: How many independent sources of each group may lie below its own bound, by name.
      limits: The upper Clopper-Pearson limit for so many, by name; each at most the rate.
      foreign: The groups, marked as used for a threshold; they support no further limit.
    """

    below: float
    accepting: float
    allowed: dict[str, int]
    limits: dict[str, float]
    foreign: dict[str, ForeignGroup]


class GroupLimit(NamedTuple):
    """What one foreign group says about false attribution.

    Attributes:
      false: Independent sources with an attributed score.
      independent: Independent sources in all.
      limit: What the group's rate is at most; None where a choice used these scores.
      joint_limit: The same at the confidence at which all groups' limits hold at once.
      used_for: The choices that used these scores.
    """

    false: int
    independent: int
    limit: float | None
    joint_limit: float | None
    used_for: tuple[str, ...]


class FalseAttribution(NamedTuple):
    """Limits on the rate of false attribution at a fixed threshold.

    Attributes:
      groups: Each group's count and limits, by name.
      worst: What the rate of the worst group is at most: the largest of the groups' own limits.
        None where no group has a limit.
      confidence: The confidence of each limit, and of `worst`. That of each joint limit is
        `1 - (1 - confidence) / G`, with G the number of groups that have a limit.
    """

    groups: dict[str, GroupLimit]
    worst: float | None
    confidence: float


def attribution_threshold(
    foreign: Mapping[str, ForeignGroup], *, rate: float, confidence: float = 0.95
) -> AttributionThreshold:
    """Finds the threshold under which every group's rate of false attribution is kept.

    For each group with n independent sources, k is the largest count whose upper Clopper-Pearson
    limit is at most `rate`; the group's bound is its (k + 1)-th smallest score, and the threshold
    the least of the bounds. Scores strictly below it are attributed.

    A group's rate at its own bound follows Beta(k + 1, n - k) for continuous scores. It is over
    `rate` with probability P(Binomial(n, rate) <= k) <= 1 - confidence (Wilks, Ann. Math. Stat.
    1941). Several groups need no correction: a threshold that lets the worst group over the rate
    lies over the rate's quantile of one fixed group, the one whose quantile is least, and so does
    that group's own bound. Ties only make it stricter. Where a group has several scores of a
    source, the rate is of sources with any score attributed (`ForeignGroup.counting_scores`); that
    of single images is no higher.

    Raises:
      TooFewNegatives: The counts cannot support the rate; the line says how many more are needed.
      ValueError: A choice has used a group, or as the module says.
    """
    _check(foreign, confidence)
    check_rate(rate, "rate")
    for name, group in foreign.items():
        if group.used_for:
            raise ValueError(
                f"foreign group {name!r} was used for {', '.join(group.used_for)}: a threshold "
                "with a guarantee needs scores that no choice used"
            )
    needed = negatives_needed(rate, confidence=confidence)
    lacks = {name: needed - group.independent for name, group in foreign.items()}
    more = {name: num for name, num in lacks.items() if num > 0}
    if more:
        lacking = ", ".join(f"{num} more of {name!r}" for name, num in [*more.items()][:_NAMED])
        if unnamed := [*more.values()][_NAMED:]:
            lacking += f" and up to {max(unnamed)} more of {len(unnamed)} others"
        fewest = min(group.independent for group in foreign.values())
        least = upper_limit(0, fewest, confidence=confidence)
        raise TooFewNegatives(
            f"a false attribution rate of {rate:g} at {confidence:g} confidence needs {needed} "
            f"independent negatives in each group: {lacking}; {fewest} support no rate "
            f"under {math.ceil(least * 1e4) / 1e4:g}",
            more=more,
        )
    below, allowed, limits = np.inf, {}, {}
    for name, group in foreign.items():
        by_count = clopper_pearson(np.arange(group.independent), group.independent, confidence)
        allowed[name] = int(np.searchsorted(by_count, rate, side="right")) - 1
        limits[name] = float(by_count[allowed[name]])
        below = min(below, float(group.counting_scores()[allowed[name]]))
    marked = {name: group.marked("threshold") for name, group in foreign.items()}
    accepting = float(np.nextafter(below, -np.inf))
    return AttributionThreshold(below, accepting, allowed, limits, marked)


def false_attribution_limits(
    foreign: Mapping[str, ForeignGroup], *, accepting: float, confidence: float = 0.95
) -> FalseAttribution:
    """Counts how many foreign sources a fixed threshold attributes, with exact limits.

    The threshold, the highest attributed score `accepting` (-inf where none is), must have been
    fixed before these scores were seen. Groups that a choice used (`ForeignGroup.used_for`) are
    counted, and get no limit. Mark the groups that a calibration decides with: q sets the accepting
    score by them, and `limits_of_q` gives their limits. The limit of the worst group is the largest
    of the groups' own: that of the truly worst group holds with the confidence asked for, whichever
    it is. Counts of different groups are never pooled: many easy negatives would hide a few hard
    ones.

    Raises:
      ValueError: `accepting` is NaN, or as the module says.
    """
    _check(foreign, confidence)
    if np.isnan(accepting):
        raise ValueError("accepting must be a score; got nan")
    counts = {name: group.num_false(accepting) for name, group in foreign.items()}
    return _limited(foreign, counts, confidence)


def limits_of_q(
    foreign: Mapping[str, ForeignGroup], *, rate: float, confidence: float = 0.95
) -> FalseAttribution:
    """Limits on how often a foreign image is attributed where q is at most a rate.

    These are limits for the very groups that q is of. With M scores of a group, q <= rate asks that
    at most k = rate (M + 1) - 1 of them are as low as the image's: the score lies under the group's
    (k + 1)-th smallest. So a group's rate follows Beta(k + 1, M - k) over calibrations, for
    continuous scores. Its upper quantile is the Clopper-Pearson limit for k of M (Wilks, Ann. Math.
    Stat. 1941). It holds although the same groups decide, because the rank k was fixed before their
    scores were seen. Where several scores are of one source, at most k sources are counted, and the
    rate is of sources. A decision that also asks for a large p attributes less.

    Here `GroupLimit.false` is how many sources may lie as low as an attributed image. A group too
    small for the rate attributes nothing, and its limit is 0. Groups that another choice used, of a
    recipe or of a threshold, get no limit.
    """
    _check(foreign, confidence)
    check_rate(rate, "rate")
    counts = {name: most_as_low(group.independent, rate) for name, group in foreign.items()}
    return _limited(foreign, counts, confidence)


def upper_limit(false: int, num: int, *, confidence: float = 0.95) -> float:
    """The upper Clopper-Pearson limit of a rate of which `false` of `num` trials were seen.

    It is the rate at which so few would be seen with probability 1 - confidence; 1 where all were.
    Counts that are not whole, or out of range, raise ValueError, too.
    """
    check_rate(confidence, "confidence")
    if not 0 <= false <= num or num < 1 or false != int(false) or num != int(num):
        raise ValueError(f"need whole counts, 0 <= false <= num, num >= 1; got {false} of {num}")
    return float(clopper_pearson(np.array([false]), num, confidence)[0])


def negatives_needed(rate: float, *, false: int = 0, confidence: float = 0.95) -> int:
    """How many independent negatives support a rate of false attribution, `false` of them false.

    It is the smallest number whose upper limit is at most `rate`: 299 for 0.01 and 2,995 for 0.001,
    with none false at 0.95. A negative count raises ValueError, too.
    """
    low = scores_needed(rate, confidence=confidence)
    if false < 0 or false != int(false):
        raise ValueError(f"false must be a whole number, 0 or more; got {false}")

    def is_enough(num: int) -> bool:
        return num > false and upper_limit(false, num, confidence=confidence) <= rate

    high = low
    while not is_enough(high):
        high = 2 * (high + false)
    return bisect.bisect_left(range(high), True, lo=low, key=is_enough)


def _limited(
    foreign: Mapping[str, ForeignGroup], counts: Mapping[str, int], confidence: float
) -> FalseAttribution:
    """Each group's limits for its count; -1 says that nothing of a group is ever attributed."""
    unused = sum(not group.used_for for group in foreign.values())
    joint = 1.0 - (1.0 - confidence) / max(unused, 1)
    groups = {}
    for name, group in foreign.items():
        num = group.independent
        false = min(counts[name], num)
        limit = joint_limit = None
        if not group.used_for:
            limit, joint_limit = (
                0.0 if false < 0 else upper_limit(false, num, confidence=level)
                for level in (confidence, joint)
            )
        groups[name] = GroupLimit(max(false, 0), num, limit, joint_limit, group.used_for)
    limits = [group.limit for group in groups.values() if group.limit is not None]
    return FalseAttribution(groups, max(limits, default=None), confidence)


def _check(foreign: Mapping[str, ForeignGroup], confidence: float) -> None:
    check_rate(confidence, "confidence")
    if not foreign:
        raise ValueError("there is no foreign group: nothing bounds false attribution")
