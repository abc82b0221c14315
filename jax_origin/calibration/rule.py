"""Rules: from the scores of images known to belong to a p-value and an accepting threshold."""

from collections.abc import Callable
from typing import Protocol

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

    p = (1 + #{belonging >= score}) / (N + 1), and a score is accepted where p > alpha. Ties count
    against rejection, which keeps p valid. The rate of false exclusion is at most alpha on average
    over calibrations; the rate of one calibration varies, as Beta(k, N + 1 - k) with
    k = floor(alpha (N + 1)) for continuous scores: at N = 100, alpha = 0.05 between 2.0% and 8.9%
    nine times in ten. (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005;
    Vovk, Conditional validity of inductive conformal predictors, 2012.)
    """

    def __init__(self, belonging_scores: ArrayLike) -> None:
        """Builds the rule.

        Args:
          belonging_scores: [N], N >= 1, finite.

        Raises:
          ValueError: no scores, or scores that are not finite numbers.
        """
        self._sorted = np.sort(_belonging(belonging_scores, at_least=1, rule="conformal"))

    def p_value(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Returns (1 + #{belonging >= score}) / (N + 1), float64 [N]; see `Rule.p_value`."""
        below = np.searchsorted(self._sorted, as_scores(scores, "scores"), side="left")
        at_or_above = (self._sorted.size - below).astype(np.float64)
        return (1.0 + at_or_above) / (self._sorted.size + 1.0)

    def threshold(self, alpha: float) -> float:
        """Returns the highest score with p > alpha; +inf where alpha (N + 1) < 1."""
        check_rate(alpha, "alpha")
        num = self._sorted.size
        # The same divisions as in p_value, so that the two agree to the bit at every alpha.
        attainable = np.arange(1, num + 2) / (num + 1.0)
        rejected = int(np.searchsorted(attainable, alpha, side="right"))
        return float(self._sorted[num - rejected]) if rejected else float("inf")


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
        equal = bool(belonging.min() == belonging.max())
        # The mean of equal numbers may differ from them in its last bit, which would decide all.
        self._mean = float(belonging[0]) if equal else float(belonging.mean())
        self._deviation = 0.0 if equal else float(belonging.std(ddof=1))

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


RULES: dict[str, Callable[[ArrayLike], Rule]] = {"conformal": Conformal, "grubbs": Grubbs}
"""The rules by name."""


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
    if not 0.0 < rate < 1.0:
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
