"""Rules: from the scores of images known to belong to a p-value and an accepting threshold."""

import dataclasses
import math
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from jax_origin.calibration.checks import as_scores, check_rate, finite_scores
from jax_origin.parts import Part, register

_Array = NDArray[np.float64]


class FittedRule(Protocol):
    """A rule that knows the belonging scores.

    The lower a score, the more the image looks as if it belongs: a rule rejects high scores only.
    """

    def p_value(self, scores: ArrayLike) -> NDArray[np.float64]:
        """How well each score fits the belonging ones.

        Args:
          scores: [N], any real numbers or infinities.

        Returns:
          p-values in [0, 1], float64 [N], never rising with the score; small ones speak against
          belonging.

        Raises:
          ValueError: The scores are not a row of numbers, or hold a NaN.
        """

    def threshold(self, rate: float) -> float:
        """The highest accepted score: a score is accepted if it is at most this.

        Args:
          rate: The rate of false exclusion that is asked for, in (0, 1).

        Returns:
          The threshold; +inf where so few belonging scores can reject nothing at the rate.

        Raises:
          ValueError: The rate is outside (0, 1).
        """


@dataclasses.dataclass(frozen=True)
class Rule(Part):
    """A way to judge scores by those of images that belong.

    Derive a frozen dataclass from it, give it a `kind` and `fit`, and register it; `keeps`,
    `rank` and `shortfall` only word messages.
    """

    family: ClassVar[str] = "rule"

    def fit(self, scores: ArrayLike) -> FittedRule:
        """Fits the rule to belonging scores [N].

        Raises:
          ValueError: The rule cannot be fitted to these.
        """
        raise NotImplementedError

    @property
    def keeps(self) -> str | None:
        """How the rate of false exclusion is kept, in words; None where it is not guaranteed."""
        return None

    def rank(self, p: float, num: int) -> int | None:
        """How many of `num` belonging scores are as high as one with this p; None if p is no rank.

        Args:
          p: A p-value of this rule.
          num: Belonging scores that it was fitted to.
        """
        return None

    def shortfall(self, rate: float, num: int) -> str:
        """What keeps `num` belonging scores from rejecting anything at a rate, in words."""
        return f"alpha={rate:g} needs more than the {num} belonging images of this calibration"


@register
@dataclasses.dataclass(frozen=True)
class Conformal(Rule):
    """Ranks a score among the belonging ones; no assumption on their distribution.

    A score with `above` belonging scores at least as high has p = (1 + above) / (N + 1). It is
    accepted where p > alpha. Ties count against rejection, which keeps p valid. The rate of false
    exclusion is at most alpha on average over calibrations. That of one calibration varies, as
    Beta(k, N + 1 - k) with k = floor(alpha (N + 1)) for continuous scores: at N = 100,
    alpha = 0.05 between 2.0% and 8.9% nine times in ten. (Vovk, Gammerman and Shafer, Algorithmic
    Learning in a Random World, 2005; Vovk, Conditional validity of inductive conformal predictors,
    2012.)

    With `confidence`, k is the largest rank with P(Beta(k, N + 1 - k) > alpha) <= 1 - confidence.
    The rate of this very calibration then stays under alpha with that confidence (k = 2 at N = 100,
    alpha = 0.05, confidence = 0.95). p is the confidence quantile of Beta(1 + above, N - above):
    the upper Clopper-Pearson limit on the share of belonging images that score as high.

    `fit` needs at least one score.

    Attributes:
      confidence: In (0, 1), that this calibration's rate is under alpha; None keeps the rate under
        alpha on average over calibrations.
    """

    kind: ClassVar[str] = "conformal"
    confidence: float | None = None

    def __post_init__(self) -> None:
        if self.confidence is not None:
            check_rate(self.confidence, "confidence")

    def fit(self, scores: ArrayLike) -> FittedRule:
        """See `Rule.fit`."""
        return _Ranks(_belonging(self, scores, at_least=1), self.confidence)

    @property
    def keeps(self) -> str:
        """See `Rule.keeps`."""
        if self.confidence is None:
            return "on average over such calibrations"
        return f"with {percent(self.confidence)} confidence"

    def rank(self, p: float, num: int) -> int | None:
        """See `Rule.rank`."""
        return round(p * (num + 1)) - 1 if self.confidence is None else None

    def shortfall(self, rate: float, num: int) -> str:
        """See `Rule.shortfall`."""
        at = "" if self.confidence is None else f" at confidence {self.confidence:g}"
        needed = scores_needed(rate, confidence=self.confidence)
        return (
            f"alpha={rate:g}{at} needs at least {needed} belonging images, this calibration has "
            f"{num}"
        )


@register
@dataclasses.dataclass(frozen=True)
class Grubbs(Rule):
    """Grubbs' one-sided outlier test, the rule published with RONAN.

    With mean m and sample deviation s (ddof 1) of the N belonging scores, a score a is foreign if

      (a - m) / s > (N - 1) / sqrt(N) * sqrt(t^2 / (N - 2 + t^2)),

    t the upper alpha / N quantile of Student's t with N - 2 degrees of freedom (Wang et al.,
    NeurIPS 2023, arXiv 2305.18439; Grubbs, Technometrics 1969). p = min(1, N P(T > t)) for the t
    that makes the two sides equal, 0 at and beyond the largest possible value (N - 1) / sqrt(N).

    The critical value is meant for the largest of N scores, but is applied to a fresh one: at
    N = 100, alpha = 0.05 it lies 3.2 s above the mean and rejects about 0.1% of normal belonging
    scores, not 5%. (The formula is Bonferroni's bound; exact tables lie up to 0.003 lower there.)
    If all scores are equal, s = 0: only what lies above them is foreign.

    `fit` needs at least three scores.
    """

    kind: ClassVar[str] = "grubbs"

    def fit(self, scores: ArrayLike) -> FittedRule:
        """See `Rule.fit`."""
        return _GrubbsTest(_belonging(self, scores, at_least=3))


@register
@dataclasses.dataclass(frozen=True)
class PredictionInterval(Rule):
    """Student's prediction limit for one fresh score, of normal scores.

    A score a is foreign if (a - m) / (s sqrt(1 + 1 / N)) exceeds the upper alpha quantile of
    Student's t with N - 1 degrees of freedom, m and s the mean and sample deviation of the N
    belonging scores; p is the tail beyond it. Of normal scores it excludes alpha, on average over
    calibrations; of skewed ones more or less (`docs/rule_sizes.md`). (Hahn and Meeker, Statistical
    Intervals, 1991, section 4.7.) If all scores are equal, only what lies above them is foreign.

    `fit` needs at least two scores.
    """

    kind: ClassVar[str] = "t"

    def fit(self, scores: ArrayLike) -> FittedRule:
        """See `Rule.fit`."""
        return _PredictionLimit(_belonging(self, scores, at_least=2))


@register
@dataclasses.dataclass(frozen=True)
class KernelDensity(Rule):
    """The quantile of a Gaussian kernel density over the belonging scores: AEDR's rule.

    Scott's rule sets the kernel width. The grid has 10,000 points from min - s to max + s, s the
    sample standard deviation. The running sum of the density, divided by its last value, stands
    for the distribution. The threshold is its 1 - alpha quantile, and p what lies beyond a score,
    both by linear interpolation. (AEDR, AAAI 2026: the rule as its code has it.) The kernels widen
    the distribution, and the grid cuts it off, so the rate is not held to alpha. p is 0 past the
    grid. If all scores are equal, only what lies above them is foreign.

    `fit` needs at least two scores.
    """

    kind: ClassVar[str] = "kde"

    def fit(self, scores: ArrayLike) -> FittedRule:
        """See `Rule.fit`."""
        return _Density(_belonging(self, scores, at_least=2))


def scores_needed(rate: float, *, confidence: float | None = None) -> int:
    """How many calibration scores a rank needs before its p-value can be as small as a rate.

    Args:
      rate: In (0, 1).
      confidence: That of `Conformal`.

    Returns:
      The smallest N >= 1 whose least p-value is at most the rate: 1 / (N + 1), or
      1 - (1 - confidence)^(1 / N) with a confidence.

    Raises:
      ValueError: A rate is outside (0, 1).
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


def percent(rate: float) -> str:
    """A rate in words, such as "4.66%"."""
    return f"{100 * rate:.3g}%"


class _Ranks:
    def __init__(self, belonging: _Array, confidence: float | None) -> None:
        self._sorted = np.sort(belonging)
        # p of a score by the number of belonging scores at or above it: [N + 1], rising.
        self._ladder = _p_of(np.arange(self._sorted.size + 1), self._sorted.size, confidence)

    def p_value(self, scores: ArrayLike) -> _Array:
        below = np.searchsorted(self._sorted, as_scores(scores, "scores"), side="left")
        return self._ladder[self._sorted.size - below]

    def threshold(self, rate: float) -> float:
        check_rate(rate, "rate")
        rejected = int(np.searchsorted(self._ladder, rate, side="right"))
        return float(self._sorted[self._sorted.size - rejected]) if rejected else float("inf")


class _GrubbsTest:
    def __init__(self, belonging: _Array) -> None:
        self._num = belonging.size
        self._mean, self._deviation = _mean_and_deviation(belonging)

    def p_value(self, scores: ArrayLike) -> _Array:
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

    def threshold(self, rate: float) -> float:
        check_rate(rate, "rate")
        from scipy import stats  # Here: it takes a second to import.

        t = float(stats.t.isf(rate / self._num, self._num - 2))
        share = 1.0 / np.sqrt(1.0 + (self._num - 2) / t**2)
        return float(self._mean + self._deviation * (self._num - 1) / np.sqrt(self._num) * share)


class _PredictionLimit:
    def __init__(self, belonging: _Array) -> None:
        self._num = belonging.size
        self._mean, deviation = _mean_and_deviation(belonging)
        self._error = deviation * np.sqrt(1.0 + 1.0 / self._num)

    def p_value(self, scores: ArrayLike) -> _Array:
        above = as_scores(scores, "scores") - self._mean
        if self._error == 0.0:
            return np.where(above > 0, 0.0, 1.0)
        with np.errstate(over="ignore"):
            return np.asarray(special.stdtr(self._num - 1, -above / self._error))

    def threshold(self, rate: float) -> float:
        check_rate(rate, "rate")
        return float(self._mean - self._error * special.stdtrit(self._num - 1, rate))


class _Density:
    def __init__(self, belonging: _Array) -> None:
        mean, deviation = _mean_and_deviation(belonging)
        if deviation == 0.0:
            self._grid, self._share = np.array([mean]), np.array([1.0])
            return
        # In units of s: the density of scores near 1e-160 would overflow.
        units = (belonging - mean) / deviation
        grid = np.linspace(units.min() - 1.0, units.max() + 1.0, 10_000)
        from scipy import stats  # Here: it takes a second to import.

        share = np.cumsum(stats.gaussian_kde(units)(grid))
        self._grid, self._share = mean + deviation * grid, share / share[-1]

    def p_value(self, scores: ArrayLike) -> _Array:
        values = as_scores(scores, "scores")
        if self._grid.size == 1:
            return np.where(values > self._grid[0], 0.0, 1.0)
        return np.asarray(1.0 - np.interp(values, self._grid, self._share, left=0.0))

    def threshold(self, rate: float) -> float:
        check_rate(rate, "rate")
        return float(np.interp(1.0 - rate, self._share, self._grid))


def _belonging(rule: Rule, scores: ArrayLike, *, at_least: int) -> _Array:
    return finite_scores(
        scores, "belonging scores", at_least=at_least, user=f"the {rule.kind} rule"
    )


def _p_of(above: NDArray[np.int_], num: int, confidence: float | None) -> _Array:
    """Conformal's p-value of a score with so many of num belonging ones at or above it."""
    if confidence is None:
        return np.asarray((1.0 + above) / (num + 1.0), np.float64)
    return clopper_pearson(above, num, confidence)


def clopper_pearson(hits: NDArray[np.int_], num: int, confidence: float) -> _Array:
    """The upper one-sided limits of rates of which `hits` of num were seen, float64 [K]."""
    # Where all are hits, the second parameter would be 0, and the limit is 1.
    limit = special.betaincinv(1.0 + hits, np.maximum(num - hits, 1), confidence)
    return np.where(hits == num, 1.0, limit)


def _mean_and_deviation(scores: _Array) -> tuple[float, float]:
    """The mean and the sample standard deviation (ddof 1)."""
    if scores.min() == scores.max():
        # The mean of equal numbers may differ from them in its last bit, which would decide all.
        return float(scores[0]), 0.0
    return float(scores.mean()), float(scores.std(ddof=1))
