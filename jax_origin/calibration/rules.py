"""Rules: from the scores of images known to belong to a p-value and an accepting threshold."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.checks import as_scores, check_rate, finite_scores
from jax_origin.parts import Part, register

_Array = NDArray[np.float64]


class FittedRule(Protocol):
    """A rule that knows the belonging scores.

    The lower a score, the more the image looks as if it belongs: a rule rejects high scores only.
    """

    def p_value(self, scores: ArrayLike) -> _Array:
        """How well each of scores [N] fits: in [0, 1], float64 [N], never rising with the score.

        Small values speak against belonging. Scores may be infinite; what is no row of numbers, or
        holds a NaN, raises ValueError.
        """

    def threshold(self, rate: float) -> float:
        """The highest accepted score at a rate of false exclusion, in (0, 1); or else ValueError.

        It is +inf where so few belonging scores can reject nothing at the rate.
        """


@dataclasses.dataclass(frozen=True)
class Rule(Part):
    """A way to judge scores by those of images that belong.

    Derive a frozen dataclass from it, give it a `kind` and `fit`, and register it; `heeds_rate`,
    `keeps`, `rank` and `shortfall` only word messages.

    Attributes:
      heeds_rate: Whether its threshold depends on the rate of false exclusion that is asked for.
    """

    family: ClassVar[str] = "rule"
    heeds_rate: ClassVar[bool] = True

    def fit(self, scores: ArrayLike) -> FittedRule:
        """Fits the rule to belonging scores [N]; raises ValueError where it cannot be fitted."""
        raise NotImplementedError(f"{type(self).__name__} has no fit")

    @property
    def keeps(self) -> str | None:
        """How the rate of false exclusion is kept, in words; None where it is not guaranteed."""
        return None

    def rank(self, p: float, num: int) -> int | None:
        """How many of the `num` scores it was fitted to are as high as one of this p, if known."""
        return None

    def shortfall(self, rate: float, num: int) -> str:
        """What keeps `num` belonging scores from rejecting anything at a rate, in words."""
        return f"alpha={rate:g} needs more than the {num} belonging images of this calibration"


@dataclasses.dataclass(frozen=True)
class _Fitted:
    """Two functions of checked input: p of scores [N], and the highest accepted score at a rate."""

    p: Callable[[_Array], Any]
    highest: Callable[[float], Any]

    def p_value(self, scores: ArrayLike) -> _Array:
        return np.asarray(self.p(as_scores(scores, "scores")))

    def threshold(self, rate: float) -> float:
        check_rate(rate, "rate")
        return float(self.highest(rate))


@register
@dataclasses.dataclass(frozen=True)
class Conformal(Rule):
    """Ranks a score among the belonging ones, at least one; it assumes no distribution.

    A score with `above` belonging scores at least as high has p = (1 + above) / (N + 1). It is
    accepted where p > alpha. Ties count against rejection, which keeps p valid. The rate of false
    exclusion is at most alpha on average over calibrations. That of one calibration varies, as
    Beta(k, N + 1 - k) with k = floor(alpha (N + 1)) for continuous scores: at N = 100,
    alpha = 0.05 between 2.0% and 8.9% nine times in ten. (Vovk, Gammerman and Shafer, Algorithmic
    Learning in a Random World, 2005; Vovk, Conditional validity of inductive conformal predictors,
    2012.)

    With `confidence`, k is the largest rank with P(Beta(k, N + 1 - k) > alpha) <= 1 - confidence
    (k = 2 at N = 100, alpha = 0.05, confidence = 0.95). p is the confidence quantile of
    Beta(1 + above, N - above): the upper Clopper-Pearson limit on the share of belonging images
    that score as high.

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
        own = np.sort(_belonging(self, scores, at_least=1))
        # p of a score by the number of belonging scores at or above it: [N + 1], rising.
        ladder = _p_of(np.arange(own.size + 1), own.size, self.confidence)

        def highest(rate: float) -> float:
            rejected = int(np.searchsorted(ladder, rate, side="right"))
            return float(own[own.size - rejected]) if rejected else math.inf

        return _Fitted(lambda a: ladder[own.size - np.searchsorted(own, a, side="left")], highest)

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


class _OfSpread(Rule):
    """A rule on the mean and the deviation. Of equal scores, what lies above them is foreign."""

    least: ClassVar[int] = 2

    def fit(self, scores: ArrayLike) -> FittedRule:
        own = _belonging(self, scores, at_least=self.least)
        # The mean of equal numbers may differ from them in its last bit, which would decide all.
        equal = own.min() == own.max()
        mean, deviation = (own[0], 0.0) if equal else (own.mean(), own.std(ddof=1))
        if deviation == 0.0:
            return _Fitted(lambda a: np.where(a > mean, 0.0, 1.0), lambda _: mean)
        return self._fitted(own, float(mean), float(deviation))

    def _fitted(self, own: _Array, mean: float, deviation: float) -> FittedRule:
        raise NotImplementedError(f"{type(self).__name__} has no _fitted")


@register
@dataclasses.dataclass(frozen=True)
class Grubbs(_OfSpread):
    """Grubbs' one-sided outlier test, the rule published with RONAN.

    With mean m and sample deviation s (ddof 1) of the N belonging scores, at least three, a score a
    is foreign if

      (a - m) / s > (N - 1) / sqrt(N) * sqrt(t^2 / (N - 2 + t^2)),

    t the upper alpha / N quantile of Student's t with N - 2 degrees of freedom (Wang et al.,
    NeurIPS 2023, arXiv 2305.18439; Grubbs, Technometrics 1969). p = min(1, N P(T > t)) for the t
    that makes the two sides equal, 0 at and beyond the largest possible value (N - 1) / sqrt(N).

    The critical value is meant for the largest of N scores, but is applied to a fresh one: at
    N = 100, alpha = 0.05 it lies 3.2 s above the mean and rejects about 0.1% of normal belonging
    scores, not 5%. (The formula is Bonferroni's bound; exact tables lie up to 0.003 lower there.)
    """

    kind: ClassVar[str] = "grubbs"
    least: ClassVar[int] = 3

    def _fitted(self, own: _Array, mean: float, deviation: float) -> FittedRule:
        num = own.size

        # Under the mean N P(T > t) is over N / 2, so p is 1. Over it, with g = (a - m) / s,
        # P(T > t) = I_x((N - 2) / 2, 1 / 2) / 2 at x = (N - 2) / (N - 2 + t^2)
        # = 1 - N g^2 / (N - 1)^2: the beta form has no infinity at the end of the range.
        def p(scores: _Array) -> _Array:
            with np.errstate(over="ignore"):
                share = np.sqrt(num) / (num - 1) * ((scores - mean) / deviation)
            share = np.clip(share, 0.0, 1.0)
            tail = scipy.special.betainc((num - 2) / 2, 0.5, (1.0 - share) * (1.0 + share)) / 2
            return np.minimum(1.0, num * tail)

        def highest(rate: float) -> float:
            from scipy import stats  # Here: it takes a second to import.

            t = float(stats.t.isf(rate / num, num - 2))
            share = 1.0 / np.sqrt(1.0 + (num - 2) / t**2)
            return float(mean + deviation * (num - 1) / np.sqrt(num) * share)

        return _Fitted(p, highest)


@register
@dataclasses.dataclass(frozen=True)
class PredictionInterval(_OfSpread):
    """Student's prediction limit for one fresh score, of normal scores.

    A score a is foreign if (a - m) / (s sqrt(1 + 1 / N)) exceeds the upper alpha quantile of
    Student's t with N - 1 degrees of freedom, m and s the mean and sample deviation of the N
    belonging scores, at least two; p is the tail beyond it. Of normal scores it excludes alpha, on
    average over calibrations; of skewed ones more or less (`docs/rule_sizes.md`). (Hahn and Meeker,
    Statistical Intervals, 1991, section 4.7.)
    """

    kind: ClassVar[str] = "t"

    def _fitted(self, own: _Array, mean: float, deviation: float) -> FittedRule:
        num = own.size
        error = deviation * np.sqrt(1.0 + 1.0 / num)

        def p(scores: _Array) -> Any:
            with np.errstate(over="ignore"):
                return scipy.special.stdtr(num - 1, -(scores - mean) / error)

        return _Fitted(p, lambda rate: mean - error * scipy.special.stdtrit(num - 1, rate))


@register
@dataclasses.dataclass(frozen=True)
class KernelDensity(_OfSpread):
    """The quantile of a Gaussian kernel density over the belonging scores: AEDR's rule.

    Scott's rule sets the kernel width. The grid has 10,000 points from min - s to max + s, s the
    sample standard deviation of the scores, at least two. The running sum of the density, divided
    by its last value, stands for the distribution. The threshold is its 1 - alpha quantile, and p
    what lies beyond a score, both by linear interpolation. (AEDR, AAAI 2026: the rule as its code
    has it.) The kernels widen the distribution, and the grid cuts it off, so the rate is not held
    to alpha. p is 0 past the grid.
    """

    kind: ClassVar[str] = "kde"

    def _fitted(self, own: _Array, mean: float, deviation: float) -> FittedRule:
        from scipy import stats  # Here: it takes a second to import.

        # In units of s: the density of scores near 1e-160 would overflow.
        units = (own - mean) / deviation
        steps = np.linspace(units.min() - 1.0, units.max() + 1.0, 10_000)
        total = np.cumsum(stats.gaussian_kde(units)(steps))
        grid, share = mean + deviation * steps, total / total[-1]
        return _Fitted(
            lambda scores: 1.0 - np.interp(scores, grid, share, left=0.0),
            lambda rate: np.interp(1.0 - rate, share, grid),
        )


@register
@dataclasses.dataclass(frozen=True)
class Threshold(Rule):
    """A threshold set by hand, as published with LatentTracer: what scores at most this belongs.

    Nothing is fitted. The belonging scores play no part, nor does alpha: the threshold is the same
    at every rate. p is 1 where a score is accepted and 0 where it is not, so that p > alpha says
    which. It is no rate: how many of the generator's own images are excluded is not known from p,
    but from how many of the calibration's belonging scores lie over the threshold.

    Attributes:
      value: The highest score that is accepted, 0 or more; LatentTracer's code has 1e-4 for mean
        squared errors of images in [0, 1].
    """

    kind: ClassVar[str] = "threshold"
    heeds_rate: ClassVar[bool] = False
    value: float = 1e-4

    def __post_init__(self) -> None:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise ValueError(f"value must be a number, not {self.value!r:.20}")
        if not 0 <= self.value < math.inf:
            raise ValueError(f"value must be finite and 0 or more, not {self.value}")
        object.__setattr__(self, "value", float(self.value))

    def fit(self, scores: ArrayLike) -> FittedRule:
        """See `Rule.fit`; the scores are only checked."""
        _belonging(self, scores, at_least=1)
        return _Fitted(lambda a: np.where(a <= self.value, 1.0, 0.0), lambda _: self.value)


def scores_needed(rate: float, *, confidence: float | None = None) -> int:
    """How many calibration scores a rank needs before its p-value can be as small as a rate.

    It is the smallest N >= 1 whose least p-value is at most the rate: 1 / (N + 1), or
    1 - (1 - confidence)^(1 / N) with the confidence of `Conformal`. Raises ValueError where one of
    them is outside (0, 1).
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


def clopper_pearson(hits: NDArray[np.int_], num: int, confidence: float) -> _Array:
    """The upper one-sided limits of rates of which `hits` of num were seen, float64 [K]."""
    # Where all are hits, the second parameter would be 0, and the limit is 1.
    limit = scipy.special.betaincinv(1.0 + hits, np.maximum(num - hits, 1), confidence)
    return np.where(hits == num, 1.0, limit)


def percent(rate: float) -> str:
    """A rate in words, such as "4.66%"."""
    return f"{100 * rate:.3g}%"


def _belonging(rule: Rule, scores: ArrayLike, *, at_least: int) -> _Array:
    user = f"the {rule.kind} rule"
    return finite_scores(scores, "belonging scores", at_least=at_least, user=user)


def _p_of(above: NDArray[np.int_], num: int, confidence: float | None) -> _Array:
    """Conformal's p-value of a score with so many of num belonging ones at or above it."""
    if confidence is None:
        return np.asarray((1.0 + above) / (num + 1.0), np.float64)
    return clopper_pearson(above, num, confidence)
