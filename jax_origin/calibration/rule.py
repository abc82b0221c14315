"""Rules: from the scores of images known to belong to a p-value and an accepting threshold."""

import inspect
import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats


class Rule(Protocol):
    """Speaks for or against belonging, given the scores of images that belong.

    A rule is built from N belonging scores. The lower a score, the more the image looks as if it
    belongs, so a rule only ever rejects on the high side.
    """

    def p_value(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Returns how well each score fits the belonging ones.

        Args:
          scores: [N], any real numbers or infinities.

        Returns:
          p-values, float64 [N], in [0, 1]; small values speak against belonging.

        Raises:
          ValueError: the scores are not a row of numbers, or hold a NaN.
        """

    def threshold(self, alpha: float) -> float:
        """Returns the highest accepted score: a score <= threshold is accepted.

        Args:
          alpha: the rate of false exclusion asked for, in (0, 1).

        Returns:
          The threshold; +inf where this many belonging scores can reject nothing at alpha.

        Raises:
          ValueError: alpha is outside (0, 1).
        """


class Conformal:
    """Ranks a score among the belonging ones; no assumption on their distribution.

    A score with `above` belonging scores at least as high has p = (1 + above) / (N + 1), and is
    accepted where p > alpha. Ties count against rejection, which keeps p valid. The rate of false
    exclusion is at most alpha on average over calibrations; that of one calibration varies, as
    Beta(k, N + 1 - k) with k = floor(alpha (N + 1)) for continuous scores: at N = 100,
    alpha = 0.05 between 2.0% and 8.9% nine times in ten. (Vovk, Gammerman and Shafer, Algorithmic
    Learning in a Random World, 2005; Vovk, Conditional validity of inductive conformal predictors,
    2012.)

    With `confidence`, k is the largest rank with P(Beta(k, N + 1 - k) > alpha) <= 1 - confidence:
    the rate of this very calibration stays under alpha with that confidence (k = 2 at N = 100,
    alpha = 0.05, confidence = 0.95). p is then the confidence quantile of Beta(1 + above,
    N - above), which is the upper Clopper-Pearson limit for `above` of N: the share of belonging
    images that score as high, at the most.
    """

    def __init__(self, belonging_scores: ArrayLike, *, confidence: float | None = None) -> None:
        """Builds the rule.

        Args:
          belonging_scores: [N], N >= 1, finite.
          confidence: in (0, 1), that the rate of this calibration is under alpha; None keeps it
            under alpha on average over calibrations.

        Raises:
          ValueError: no scores, or scores that are not finite numbers; confidence outside (0, 1).
        """
        self._sorted = np.sort(_belonging(belonging_scores, at_least=1, rule="conformal"))
        # p of a score by the number of belonging scores at or above it: [N + 1], rising.
        self._ladder = _p_of(np.arange(self._sorted.size + 1), self._sorted.size, confidence)

    def p_value(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Returns p by the number of belonging scores at or above; see `Rule.p_value`."""
        below = np.searchsorted(self._sorted, as_scores(scores, "scores"), side="left")
        return self._ladder[self._sorted.size - below]

    def threshold(self, alpha: float) -> float:
        """Returns the highest score with p > alpha; +inf where the least p is over alpha."""
        check_rate(alpha, "alpha")
        rejected = int(np.searchsorted(self._ladder, alpha, side="right"))
        return float(self._sorted[self._sorted.size - rejected]) if rejected else float("inf")


class Grubbs:
    """Grubbs' one-sided outlier test, the rule published with RONAN.

    With mean m and sample deviation s (ddof 1) of the N belonging scores, a score a is foreign if

      (a - m) / s > (N - 1) / sqrt(N) * sqrt(t^2 / (N - 2 + t^2)),

    t the upper alpha / N quantile of Student's t with N - 2 degrees of freedom (Wang et al.,
    NeurIPS 2023, arXiv 2305.18439; Grubbs, Technometrics 1969). p = min(1, N P(T > t)) for the t
    that makes the two sides equal, 0 at and beyond the largest possible value (N - 1) / sqrt(N).

    The critical value is meant for the largest of N scores, but is applied to a fresh one: at
    N = 100, alpha = 0.05 it lies 3.2 s above the mean and rejects about 0.1% of normal belonging
    scores, not 5%. (The formula is Bonferroni's bound; exact tables lie up to 0.003 lower there.)
    Scores that are all equal have s = 0: only what lies above them is foreign.
    """

    def __init__(self, belonging_scores: ArrayLike) -> None:
        """Builds the rule.

        Args:
          belonging_scores: [N], N >= 3, finite.

        Raises:
          ValueError: fewer than three scores, or scores that are not finite numbers.
        """
        belonging = _belonging(belonging_scores, at_least=3, rule="grubbs")
        self._num = belonging.size
        self._mean, self._deviation = _mean_and_deviation(belonging)

    def p_value(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Returns min(1, N P(T > t)), float64 [N]; see the class and `Rule.p_value`."""
        above = as_scores(scores, "scores") - self._mean
        p = np.ones_like(above)
        if self._deviation == 0.0:
            p[above > 0] = 0.0
            return p
        # Under the mean N P(T > t) is over N / 2, so p is 1. Over it, with g = (a - m) / s,
        # P(T > t) = I_x((N - 2) / 2, 1 / 2) / 2 at x = (N - 2) / (N - 2 + t^2)
        # = 1 - N g^2 / (N - 1)^2: the beta form has no infinity at the end of the range.
        high = above > 0
        with np.errstate(over="ignore"):
            share = np.sqrt(self._num) / (self._num - 1) * (above[high] / self._deviation)
        share = np.minimum(share, 1.0)
        tail = special.betainc((self._num - 2) / 2, 0.5, (1.0 - share) * (1.0 + share)) / 2
        p[high] = np.minimum(1.0, self._num * tail)
        return p

    def threshold(self, alpha: float) -> float:
        """Returns m + s times Grubbs' critical value, one-sided, at alpha."""
        check_rate(alpha, "alpha")
        t = float(stats.t.isf(alpha / self._num, self._num - 2))
        share = 1.0 / np.sqrt(1.0 + (self._num - 2) / t**2)
        return float(self._mean + self._deviation * (self._num - 1) / np.sqrt(self._num) * share)


class PredictionInterval:
    """Student's prediction limit for one fresh score, of normal scores.

    A score a is foreign if (a - m) / (s sqrt(1 + 1 / N)) exceeds the upper alpha quantile of
    Student's t with N - 1 degrees of freedom, m and s the mean and sample deviation of the N
    belonging scores; p is the tail beyond it. Of normal scores it excludes alpha, on average over
    calibrations; of skewed ones more or less (`docs/rule_sizes.md`). (Hahn and Meeker, Statistical
    Intervals, 1991, section 4.7.) Scores that are all equal: only what lies above them is foreign.
    """

    def __init__(self, belonging_scores: ArrayLike) -> None:
        """Builds the rule.

        Args:
          belonging_scores: [N], N >= 2, finite.

        Raises:
          ValueError: fewer than two scores, or scores that are not finite numbers.
        """
        belonging = _belonging(belonging_scores, at_least=2, rule="t")
        self._num = belonging.size
        self._mean, deviation = _mean_and_deviation(belonging)
        self._error = deviation * np.sqrt(1.0 + 1.0 / self._num)

    def p_value(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Returns P(T > (a - m) / (s sqrt(1 + 1 / N))), float64 [N]; see `Rule.p_value`."""
        above = as_scores(scores, "scores") - self._mean
        if self._error == 0.0:
            return np.where(above > 0, 0.0, 1.0)
        with np.errstate(over="ignore"):
            return np.asarray(special.stdtr(self._num - 1, -above / self._error))

    def threshold(self, alpha: float) -> float:
        """Returns m + t s sqrt(1 + 1 / N), t the upper alpha quantile."""
        check_rate(alpha, "alpha")
        return float(self._mean - self._error * special.stdtrit(self._num - 1, alpha))


class KernelDensity:
    """The quantile of a Gaussian kernel density over the belonging scores: AEDR's rule.

    Kernel width by Scott's rule; a grid of 10,000 points from min - s to max + s, s the sample
    standard deviation; the running sum of the density, divided by its last value, stands for the
    distribution; the threshold is its 1 - alpha quantile, and p what lies beyond a score, both by
    linear interpolation. (AEDR, AAAI 2026: the rule as its code has it.) The kernels widen the
    distribution, and the grid cuts it off: it is not held to alpha. p is 0 past the grid. Scores
    that are all equal: only what lies above them is foreign.
    """

    def __init__(self, belonging_scores: ArrayLike) -> None:
        """Builds the rule.

        Args:
          belonging_scores: [N], N >= 2, finite.

        Raises:
          ValueError: fewer than two scores, or scores that are not finite numbers.
        """
        belonging = _belonging(belonging_scores, at_least=2, rule="kde")
        mean, deviation = _mean_and_deviation(belonging)
        if deviation == 0.0:
            self._grid, self._share = np.array([mean]), np.array([1.0])
            return
        # In units of s: the density of scores near 1e-160 would overflow.
        units = (belonging - mean) / deviation
        grid = np.linspace(units.min() - 1.0, units.max() + 1.0, _GRID_POINTS)
        share = np.cumsum(stats.gaussian_kde(units)(grid))
        self._grid, self._share = mean + deviation * grid, share / share[-1]

    def p_value(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Returns the share of the density beyond each score, float64 [N]; see `Rule.p_value`."""
        values = as_scores(scores, "scores")
        if self._grid.size == 1:
            return np.where(values > self._grid[0], 0.0, 1.0)
        return np.asarray(1.0 - np.interp(values, self._grid, self._share, left=0.0))

    def threshold(self, alpha: float) -> float:
        """Returns the 1 - alpha quantile."""
        check_rate(alpha, "alpha")
        return float(np.interp(1.0 - alpha, self._share, self._grid))


_GRID_POINTS = 10_000

RULES: dict[str, Callable[..., Rule]] = {
    "conformal": Conformal,
    "grubbs": Grubbs,
    "t": PredictionInterval,
    "kde": KernelDensity,
}
"""The rules by name; each is called with the belonging scores, and its options by name."""


def build_rule(name: str, belonging_scores: ArrayLike, **options: Any) -> Rule:
    """Builds the rule of this name.

    Args:
      name: one of `RULES`.
      belonging_scores: [N], finite.
      **options: the rule's options.

    Returns:
      The rule.

    Raises:
      ValueError: no such rule or option, or scores or values that the rule refuses.
    """
    if name not in RULES:
        raise ValueError(f"unknown rule {name!r}; choose from {', '.join(RULES)}")
    known = list(inspect.signature(RULES[name]).parameters)[1:]
    for option in options:
        if option not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise ValueError(f"the {name} rule has no option {option!r}; {has}")
    return RULES[name](belonging_scores, **options)


def scores_needed(rate: float, *, confidence: float | None = None) -> int:
    """How many calibration scores a rank needs before its p-value can be as small as a rate.

    Args:
      rate: alpha or beta, in (0, 1).
      confidence: the conformal rule's option.

    Returns:
      The smallest N >= 1 whose least p-value is at most the rate: 1 / (N + 1), or
      1 - (1 - confidence)^(1 / N) with a confidence.

    Raises:
      ValueError: a rate outside (0, 1).
    """
    check_rate(rate, "rate")
    if confidence is None:
        num = math.ceil(1.0 / rate) - 1
    else:
        check_rate(confidence, "confidence")
        num = math.ceil(math.log1p(-confidence) / math.log1p(-rate))
    num = max(1, num)
    none = np.zeros(1, np.int_)
    # The quotient is rounded, down or up: then the whole number is one off.
    while _p_of(none, num, confidence)[0] > rate:
        num += 1
    while num > 1 and _p_of(none, num - 1, confidence)[0] <= rate:
        num -= 1
    return num


def as_scores(scores: ArrayLike, name: str) -> NDArray[np.float64]:
    """Returns a checked copy of scores as float64.

    Args:
      scores: [N], N >= 0, numbers; infinities are allowed.
      name: what to call them in an error.

    Returns:
      float64 [N].

    Raises:
      ValueError: not numbers, not of rank 1, or a NaN among them.
    """
    try:
        array = np.asarray(scores)
        if array.dtype.kind in "bcmMOSU":
            raise TypeError
        array = array.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a row of numbers, one for each image") from None
    if array.ndim != 1:
        raise ValueError(
            f"{name} must have one number for each image, shape [N]; got shape {list(array.shape)}"
        )
    missing = np.flatnonzero(np.isnan(array))
    if missing.size:
        raise ValueError(
            f"{name} hold {missing.size} NaN, the first at index {missing[0]}: leave that image out"
        )
    return array


def check_rate(rate: float, name: str) -> None:
    """Raises ValueError unless rate lies strictly between 0 and 1."""
    known: object = rate
    if not isinstance(known, (int, float, np.floating)) or not 0.0 < rate < 1.0:
        raise ValueError(f"{name} must lie strictly between 0 and 1; got {rate}")


def _belonging(scores: ArrayLike, *, at_least: int, rule: str) -> NDArray[np.float64]:
    array = as_scores(scores, "belonging scores")
    if array.size < at_least:
        raise ValueError(
            f"the {rule} rule needs at least {at_least} belonging "
            f"score{'s' if at_least > 1 else ''}; got {array.size}"
        )
    if not np.isfinite(array).all():
        raise ValueError("belonging scores must be finite; got an infinite one: leave it out")
    return array


def _p_of(above: NDArray[np.int_], num: int, confidence: float | None) -> NDArray[np.float64]:
    """Returns conformal's p-value of a score with so many of num belonging ones at or above it."""
    if confidence is None:
        return np.asarray((1.0 + above) / (num + 1.0), np.float64)
    check_rate(confidence, "confidence")
    # Where all lie at or above, the second parameter would be 0, and the limit is 1.
    limit = special.betaincinv(1.0 + above, np.maximum(num - above, 1), confidence)
    return np.where(above == num, 1.0, limit)


def _mean_and_deviation(scores: NDArray[np.float64]) -> tuple[float, float]:
    """Returns the mean and the sample standard deviation (ddof 1)."""
    if scores.min() == scores.max():
        # The mean of equal numbers may differ from them in its last bit, which would decide all.
        return float(scores[0]), 0.0
    return float(scores.mean()), float(scores.std(ddof=1))
