"""How often foreign images are attributed: exact limits, and thresholds that keep a wanted rate."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from jax_origin.calibration.foreign import ForeignGroup
from jax_origin.calibration.rule import check_rate, scores_needed


class TooFewNegatives(ValueError):
    """A wanted rate that the foreign scores cannot support; one line.

    Attributes:
      more: how many more independent negatives each group needs, by name; groups that have enough
        are left out.
    """

    def __init__(self, message: str, *, more: Mapping[str, int]) -> None:
        super().__init__(message)
        self.more = dict(more)


class AttributionThreshold(NamedTuple):
    """A threshold that keeps the rate of false attribution.

    Attributes:
      below: scores strictly below it are attributed.
      accepting: the highest attributed score, the float under `below`.
      rate: what the rate is at most, in the worst group.
      confidence: with which confidence.
      allowed: how many independent sources of each group may lie below its own bound, by name.
      limits: the upper Clopper-Pearson limit for so many, by name; each at most `rate`.
      foreign: the groups, marked as used for a threshold: no further bound holds on them.
    """

    below: float
    accepting: float
    rate: float
    confidence: float
    allowed: dict[str, int]
    limits: dict[str, float]
    foreign: dict[str, ForeignGroup]


class GroupLimit(NamedTuple):
    """What one foreign group says about false attribution.

    Attributes:
      false: independent sources with an attributed score.
      independent: independent sources in all.
      limit: what the group's rate is at most, at the confidence asked for; None where a choice used
        these scores.
      joint_limit: the same at the confidence at which all groups' limits hold at once.
      used_for: the choices that used these scores.
    """

    false: int
    independent: int
    limit: float | None
    joint_limit: float | None
    used_for: tuple[str, ...]


class FalseAttribution(NamedTuple):
    """Limits on the rate of false attribution at a fixed threshold.

    Attributes:
      groups: each group's count and limits, by name.
      worst: what the rate of the worst group is at most, at `confidence`: the largest of the
        groups' own limits. Groups without a limit have no part in it; None where none has one.
      confidence: the confidence of each limit, and of `worst`; `1 - (1 - confidence) / G` is that
        of each joint limit, G the groups with a limit.
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

    A group's rate at its own bound follows Beta(k + 1, n - k) for continuous scores, which is over
    `rate` with probability P(Binomial(n, rate) <= k) <= 1 - confidence (Wilks, Ann. Math. Stat.
    1941). With several groups no correction is needed: a threshold that lets the worst group over
    the rate lies over the rate's quantile of one fixed group, the one whose quantile is least, and
    so does that group's own bound. Ties only make it stricter. Where a group has several scores of
    a source, see `ForeignGroup.counting_scores`: the rate is then of sources, of as many images
    each, with any score attributed; that of single images is no higher.

    Args:
      foreign: foreign groups by name, at least one, that no choice has used.
      rate: the wanted rate, in (0, 1).
      confidence: in (0, 1).

    Returns:
      The threshold.

    Raises:
      TooFewNegatives: the counts cannot support the rate; the line says how many more are needed.
      ValueError: no groups; a group that a choice has used; a rate or confidence outside (0, 1).
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
    more = {
        name: needed - group.independent
        for name, group in foreign.items()
        if group.independent < needed
    }
    if more:
        lacking = ", ".join(f"{num} more of {name!r}" for name, num in more.items())
        raise TooFewNegatives(
            f"a false attribution rate of {rate:g} at {confidence:g} confidence needs {needed} "
            f"independent negatives in each group: {lacking}",
            more=more,
        )
    below, allowed, limits = np.inf, {}, {}
    for name, group in foreign.items():
        by_count = _limits(np.arange(group.independent), group.independent, confidence)
        allowed[name] = int(np.searchsorted(by_count, rate, side="right")) - 1
        limits[name] = float(by_count[allowed[name]])
        below = min(below, float(group.counting_scores()[allowed[name]]))
    marked = {name: group.marked("threshold") for name, group in foreign.items()}
    accepting = float(np.nextafter(below, -np.inf))
    return AttributionThreshold(below, accepting, rate, confidence, allowed, limits, marked)


def false_attribution_limits(
    foreign: Mapping[str, ForeignGroup], *, accepting: float, confidence: float = 0.95
) -> FalseAttribution:
    """Counts how many foreign sources a fixed threshold attributes, with exact limits.

    The threshold must have been fixed before these scores were seen: groups that a choice used
    (`ForeignGroup.used_for`) are counted, and get no limit. The groups that a calibration decides
    with are such: q sets the accepting score by them, so they are to be marked, and `limits_of_q`
    has what can be said of them. The limit of the worst group is the largest of the groups' own,
    because that of the group which is truly worst holds with the confidence asked for, whichever it
    is; counts of different groups are never pooled, which would let many easy negatives hide a few
    hard ones.

    Args:
      foreign: foreign groups by name, at least one.
      accepting: the highest attributed score; -inf where none is.
      confidence: of each limit, in (0, 1).

    Returns:
      Counts and limits.

    Raises:
      ValueError: no groups; confidence outside (0, 1); accepting is not a number.
    """
    _check(foreign, confidence)
    if np.isnan(accepting):
        raise ValueError("accepting must be a score; got nan")
    counts = {name: group.num_false(accepting) for name, group in foreign.items()}
    return _limited(foreign, counts, confidence)


def limits_of_q(
    foreign: Mapping[str, ForeignGroup], *, beta: float, confidence: float = 0.95
) -> FalseAttribution:
    """Limits on how often a foreign image is attributed where q <= beta, by the groups q is of.

    With M scores of a group, q <= beta asks that at most k = beta (M + 1) - 1 of them are as low as
    the image's: the score lies under the group's (k + 1)-th smallest. So the rate of such a group
    follows Beta(k + 1, M - k) over calibrations, for continuous scores, and its upper quantile is
    the Clopper-Pearson limit for k of M (Wilks, Ann. Math. Stat. 1941). It holds although the very
    groups decide, because the rank k was fixed before their scores were seen. Where several scores
    are of one source, k of the sources are counted at the most, and the rate is of sources. A rule
    that also asks for a large p attributes less.

    Args:
      foreign: foreign groups by name, at least one. Those that some other choice has used, of a
        recipe or of a threshold, get no limit.
      beta: the rate that q is held to, in (0, 1).
      confidence: of each limit, in (0, 1).

    Returns:
      As `false_attribution_limits`, `false` being how many sources may lie as low as an attributed
      image. A group too small for beta attributes nothing, and its limit is 0.

    Raises:
      ValueError: no groups; beta or confidence outside (0, 1).
    """
    _check(foreign, confidence)
    check_rate(beta, "beta")
    counts = {}
    for name, group in foreign.items():
        num = group.scores.size
        # By the divisions that q uses.
        steps = np.arange(1, num + 2) / (num + 1.0)
        counts[name] = int(np.searchsorted(steps, beta, side="right")) - 1
    return _limited(foreign, counts, confidence)


def upper_limit(false: int, num: int, *, confidence: float = 0.95) -> float:
    """The upper Clopper-Pearson limit of a rate, one-sided.

    Args:
      false: how often it happened, 0 to num.
      num: of how many independent trials, at least 1.
      confidence: in (0, 1).

    Returns:
      The rate at which so few would be seen with probability 1 - confidence; 1 where false = num.

    Raises:
      ValueError: counts that are not whole, or out of range; confidence outside (0, 1).
    """
    check_rate(confidence, "confidence")
    if not 0 <= false <= num or num < 1 or false != int(false) or num != int(num):
        raise ValueError(f"need whole counts, 0 <= false <= num, num >= 1; got {false} of {num}")
    return float(_limits(np.array([false]), num, confidence)[0])


def negatives_needed(rate: float, *, false: int = 0, confidence: float = 0.95) -> int:
    """How many independent negatives support a rate of false attribution.

    Args:
      rate: in (0, 1).
      false: how many of them are falsely attributed.
      confidence: in (0, 1).

    Returns:
      The smallest number whose upper limit is at most `rate`: 299 for 0.01 and 2,995 for 0.001,
      with none false at 0.95.

    Raises:
      ValueError: a rate or confidence outside (0, 1), or a negative count.
    """
    low = scores_needed(rate, confidence=confidence)
    if false < 0 or false != int(false):
        raise ValueError(f"false must be a whole number, 0 or more; got {false}")
    if not false:
        return low
    high = 2 * (low + false)
    while upper_limit(false, high, confidence=confidence) > rate:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        enough = middle > false and upper_limit(false, middle, confidence=confidence) <= rate
        low, high = (low, middle) if enough else (middle + 1, high)
    return high


def _limited(
    foreign: Mapping[str, ForeignGroup], counts: Mapping[str, int], confidence: float
) -> FalseAttribution:
    """Returns each group's limit for its count; -1 is one of which nothing is ever attributed."""
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


def _limits(false: NDArray[np.int_], num: int, confidence: float) -> NDArray[np.float64]:
    # At false = num the second parameter would be 0, and the limit is 1.
    limit = special.betaincinv(false + 1.0, np.maximum(num - false, 1), confidence)
    return np.where(false == num, 1.0, limit)


def _check(foreign: Mapping[str, ForeignGroup], confidence: float) -> None:
    check_rate(confidence, "confidence")
    if not foreign:
        raise ValueError("there is no foreign group: nothing bounds false attribution")
