"""Measures of separation, of scores (lower means belonging) and of verdicts."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from jax_origin.calibration import ForeignGroup, as_scores, check_rate
from jax_origin.evidence import (
    CllrInterval,
    FitRatio,
    PavRatio,
    cllr_interval,
    cross_fitted,
)

_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
_VERDICTS = ("belongs", "not_recognised", "undecided")


class Interval(NamedTuple):
    """A measure with a two-sided confidence interval.

    Attributes:
      value: The measure of the sample.
      low: The lower end.
      high: The upper end.
    """

    value: float
    low: float
    high: float


class OperatingPoint(NamedTuple):
    """The rates of a threshold that was chosen on foreign scores.

    Attributes:
      below: Scores strictly below it are accepted.
      tpr: The share of belonging images accepted. Its interval is for this threshold.
      fpr: The share of foreign images accepted, with what the choice of the threshold on few
        foreign scores leaves open.
    """

    below: float
    tpr: Interval
    fpr: Interval


def auc(belonging: ArrayLike, foreign: ArrayLike) -> float:
    """Returns the area under the ROC curve: P(b < f) + P(b = f) / 2 over all pairs.

    Args:
      belonging: Scores b of images that belong, [N], N >= 1.
      foreign: Scores f of images that do not, [M], M >= 1.

    Returns:
      The area, in [0, 1]; 1 where every belonging score is the lower, 0.5 where they say nothing.

    Raises:
      ValueError: No scores, a NaN, or a rank other than 1.
    """
    b, f = _scores(belonging, foreign)
    f = np.sort(f)
    at_or_below = int(np.searchsorted(f, b, side="right").sum())
    below = int(np.searchsorted(f, b, side="left").sum())
    # Half pairs, counted in whole numbers: exact.
    return (2 * b.size * f.size - at_or_below - below) / (2 * b.size * f.size)


def auc_interval(
    belonging: ArrayLike,
    foreign: ArrayLike,
    *,
    confidence: float = 0.95,
    method: Literal["delong", "exact"] = "delong",
) -> Interval:
    """The area under the ROC curve with a confidence interval.

    "delong" is normal on the logit scale, with the variance of DeLong, DeLong and Clarke-Pearson
    (Biometrics 44 (1988) 837): for dozens of scores of each kind that overlap. "exact" holds for
    any number: n KL(area || true area) <= log(2 / (1 - confidence)), n the fewer of the two kinds
    (Hoeffding, J. Am. Stat. Assoc. 58 (1963) 13, section 5); it is wider. Where all pairs are in
    order, all tie, or one kind has a single score, the variance cannot be estimated and "delong"
    gives the exact interval too: Clopper and Pearson's for n of n pairs where all are in order.

    Args:
      belonging: Scores of images that belong, [N], N >= 1.
      foreign: Scores of images that do not, [M], M >= 1.
      confidence: In (0, 1).
      method: "delong" or "exact".

    Returns:
      The area and its interval, in [0, 1].

    Raises:
      ValueError: No scores, a NaN, a rank other than 1, or a wrong option.
    """
    b, f = _scores(belonging, foreign)
    check_rate(confidence, "confidence")
    if method not in ("delong", "exact"):
        raise ValueError(f'method must be "delong" or "exact"; got {method!r}')
    area = auc(b, f)
    # The share of the other kind on the right side of each score, ties counted half.
    on_b = [np.searchsorted(np.sort(f), b, side=side) / f.size for side in _SIDES]
    on_f = [np.searchsorted(np.sort(b), f, side=side) / b.size for side in _SIDES]
    fewer = min(b.size, f.size)
    variance = 0.0
    if method == "delong" and fewer > 1:
        variance = sum(np.mean(on, axis=0).var(ddof=1) / len(on[0]) for on in (on_b, on_f))
    if not variance or area in (0.0, 1.0):
        return _area_by_pairs(area, fewer, confidence)
    width = special.ndtri((1 + confidence) / 2) * np.sqrt(variance) / (area * (1 - area))
    low, high = special.expit(special.logit(area) + np.array([-width, width]))
    return Interval(area, float(low), float(high))


def tpr_at_fpr(belonging: ArrayLike, foreign: ArrayLike, *, fpr: float = 0.01) -> float:
    """Returns the share of belonging scores under the best threshold that keeps the FPR.

    The rule "score <= t" is judged on the given foreign scores; t is the best one at which the
    share of foreign scores accepted is at most fpr. A threshold chosen on the same scores is
    optimistic where they are few.

    Args:
      belonging: Scores of images that belong, [N], N >= 1.
      foreign: Scores of images that do not, [M], M >= 1.
      fpr: The largest share of foreign scores that may be accepted, in [0, 1].

    Returns:
      The true positive rate, in [0, 1].

    Raises:
      ValueError: No scores, a NaN, a rank other than 1, or fpr outside [0, 1].
    """
    b, f = _scores(belonging, foreign)
    if not 0.0 <= fpr <= 1.0:
        raise ValueError(f"fpr must lie between 0 and 1; got {fpr}")
    f = np.sort(f)
    allowed = _allowed(f.size, fpr)
    if allowed == f.size:
        return 1.0
    # Any t under f[allowed] accepts at most `allowed` foreign scores; f[allowed] itself, more.
    return float(np.count_nonzero(b < f[allowed]) / b.size)


def operating_point(
    belonging: ArrayLike, foreign: ArrayLike, *, fpr: float = 0.01, confidence: float = 0.95
) -> OperatingPoint:
    """The threshold of `tpr_at_fpr`, and its rates with confidence intervals.

    The threshold is itself an estimate: with k of M foreign scores below it, the rate at which it
    accepts fresh foreign images follows Beta(k + 1, M - k) for continuous scores, which the
    interval of `fpr` gives. That of `tpr` is Clopper and Pearson's, given the threshold. For a
    threshold with a guarantee see `jax_origin.calibration.attribution_threshold`.

    Args:
      belonging: Scores of images that belong, [N], N >= 1.
      foreign: Scores of images that do not, [M], M >= 1, independent.
      fpr: The largest share of foreign scores that may be accepted, in [0, 1).
      confidence: In (0, 1).

    Returns:
      The threshold and both rates.

    Raises:
      ValueError: No scores, a NaN, a rank other than 1, fpr outside [0, 1) or a confidence outside
        (0, 1).
    """
    b, f = _scores(belonging, foreign)
    check_rate(confidence, "confidence")
    if not 0.0 <= fpr < 1.0:
        raise ValueError(f"fpr must be at least 0 and under 1; got {fpr}")
    f = np.sort(f)
    allowed = _allowed(f.size, fpr)
    tail = (1 - confidence) / 2
    low, high = special.betaincinv(allowed + 1, f.size - allowed, [tail, 1 - tail]).tolist()
    below = float(f[allowed])
    accepted = float(np.count_nonzero(f < below) / f.size)
    tpr = rate_interval(int(np.count_nonzero(b < below)), b.size, confidence=confidence)
    return OperatingPoint(below, tpr, Interval(accepted, min(low, accepted), max(high, accepted)))


def equal_error_rate(belonging: ArrayLike, foreign: ArrayLike) -> float:
    """Returns the rate at which as many belonging images are refused as foreign ones accepted.

    Args:
      belonging: Scores of images that belong, [N], N >= 1.
      foreign: Scores of images that do not, [M], M >= 1.

    Returns:
      The rate, in [0, 1], where the straight lines between the points of the ROC curve cross it.

    Raises:
      ValueError: No scores, a NaN, or a rank other than 1.
    """
    b, f = _scores(belonging, foreign)
    points = np.unique(np.concatenate([b, f]))
    refused = 1 - np.append(0, np.searchsorted(np.sort(b), points, side="right")) / b.size
    accepted = np.append(0, np.searchsorted(np.sort(f), points, side="right")) / f.size
    # From 1 down to -1: refused - accepted passes 0 once.
    gap = refused - accepted
    last = int(np.flatnonzero(gap >= 0)[-1])
    share = gap[last] / (gap[last] - gap[last + 1])
    return float(accepted[last] + share * (accepted[last + 1] - accepted[last]))


def rate_interval(count: int, num: int, *, confidence: float = 0.95) -> Interval:
    """A rate with its two-sided Clopper-Pearson interval.

    Args:
      count: How often it happened, 0 to num.
      num: Of how many independent trials, at least 1.
      confidence: In (0, 1).

    Returns:
      count / num and its interval, in [0, 1].

    Raises:
      ValueError: Counts out of range, or confidence outside (0, 1).
    """
    check_rate(confidence, "confidence")
    if not 0 <= count <= num or num < 1:
        raise ValueError(f"need 0 <= count <= num, num >= 1; got {count} of {num}")
    tail = (1 - confidence) / 2
    low = special.betaincinv(count, num - count + 1, tail) if count else 0.0
    high = special.betaincinv(count + 1, num - count, 1 - tail) if count < num else 1.0
    return Interval(count / num, float(low), float(high))


def score_cllr(
    belonging: ArrayLike,
    foreign: ForeignGroup,
    *,
    model: FitRatio = PavRatio,
    folds: int = 10,
    seed: int = 0,
    confidence: float = 0.95,
) -> CllrInterval:
    """The cost of the likelihood ratios that scores give, cross-fitted, with its interval.

    Args:
      belonging: Scores of images that belong, [N], N >= folds.
      foreign: A foreign group, of at least `folds` sources.
      model: What fits the ratio; see `jax_origin.evidence.ratios`.
      folds: At least 2.
      seed: Of the folds and the bootstrap.
      confidence: Of the interval, in (0, 1).

    Returns:
      The cost in bits, its parts and its interval; see `jax_origin.evidence.cllr`.

    Raises:
      ValueError: Too few scores for the folds, or a wrong option.
    """
    ratios = cross_fitted(belonging, foreign, model=model, folds=folds, seed=seed)
    return cllr_interval(*ratios, sources=foreign.source_index(), confidence=confidence, seed=seed)


def accuracy(verdicts_belonging: Iterable[str], verdicts_foreign: Iterable[str]) -> float:
    """Returns the share of right verdicts; an undecided one is not right.

    Args:
      verdicts_belonging: Verdicts on images that belong, at least one.
      verdicts_foreign: Verdicts on images that do not, at least one.

    Returns:
      (belonging called belongs + foreign called not_recognised) / all, in [0, 1].

    Raises:
      ValueError: No verdicts, or a word that is not a verdict.
    """
    return decision_rates(verdicts_belonging, verdicts_foreign)["accuracy"]


def decision_rates(
    verdicts_belonging: Iterable[str], verdicts_foreign: Iterable[str]
) -> dict[str, float]:
    """Returns the rates at which verdicts were right, wrong and undecided.

    Args:
      verdicts_belonging: Verdicts on images that belong, at least one.
      verdicts_foreign: Verdicts on images that do not, at least one.

    Returns:
      tpr: Share of belonging images with verdict "belongs"; fpr: share of foreign images with
      verdict "belongs"; undecided_belonging and undecided_foreign: share of each left undecided;
      accuracy: See `accuracy`. All in [0, 1].

    Raises:
      ValueError: No verdicts, or a word that is not a verdict.
    """
    on_belonging = _verdicts(verdicts_belonging, "verdicts_belonging")
    on_foreign = _verdicts(verdicts_foreign, "verdicts_foreign")
    right = on_belonging.count("belongs") + on_foreign.count("not_recognised")
    return {
        "tpr": on_belonging.count("belongs") / len(on_belonging),
        "fpr": on_foreign.count("belongs") / len(on_foreign),
        "undecided_belonging": on_belonging.count("undecided") / len(on_belonging),
        "undecided_foreign": on_foreign.count("undecided") / len(on_foreign),
        "accuracy": right / (len(on_belonging) + len(on_foreign)),
    }


def decision_intervals(
    verdicts_belonging: Iterable[str],
    verdicts_foreign: Iterable[str],
    *,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """The rates of `decision_rates` with Clopper-Pearson intervals, but for the accuracy.

    The accuracy is a mean of two rates over samples of chosen sizes: it has no interval.

    Args:
      verdicts_belonging: Verdicts on images that belong, at least one, independent.
      verdicts_foreign: Verdicts on images that do not, at least one, independent.
      confidence: In (0, 1).

    Returns:
      tpr, fpr, undecided_belonging and undecided_foreign.

    Raises:
      ValueError: No verdicts, a word that is not a verdict, or confidence outside (0, 1).
    """
    on_belonging = _verdicts(verdicts_belonging, "verdicts_belonging")
    on_foreign = _verdicts(verdicts_foreign, "verdicts_foreign")
    return {
        name: rate_interval(words.count(word), len(words), confidence=confidence)
        for name, words, word in (
            ("tpr", on_belonging, "belongs"),
            ("fpr", on_foreign, "belongs"),
            ("undecided_belonging", on_belonging, "undecided"),
            ("undecided_foreign", on_foreign, "undecided"),
        )
    }


def _allowed(num: int, fpr: float) -> int:
    """Returns the largest count whose share of num is at most fpr."""
    return int(np.searchsorted(np.arange(num + 1) / num, fpr, side="right")) - 1


def _area_by_pairs(area: float, pairs: int, confidence: float) -> Interval:
    """Returns the areas whose divergence from the given one is at most log(2 / tail) / pairs."""
    largest = -np.log((1 - confidence) / 2) / pairs

    def excess(true: float) -> float:
        return float(special.rel_entr(area, true) + special.rel_entr(1 - area, 1 - true) - largest)

    low, high = 0.0, 1.0
    if area > 0:
        low = np.exp(-largest) if area == 1 else optimize.bisect(excess, 0.0, area)
    if area < 1:
        high = -np.expm1(-largest) if area == 0 else optimize.bisect(excess, area, 1.0)
    return Interval(area, float(low), float(high))


def _scores(
    belonging: ArrayLike, foreign: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    b = as_scores(belonging, "belonging scores")
    f = as_scores(foreign, "foreign scores")
    if not b.size or not f.size:
        raise ValueError(
            f"need at least one score of each kind; got {b.size} belonging, {f.size} foreign"
        )
    return b, f


def _verdicts(verdicts: Iterable[str], name: str) -> list[str]:
    words = [str(word) for word in verdicts]
    if not words:
        raise ValueError(f"{name} is empty: need at least one verdict")
    for word in words:
        if word not in _VERDICTS:
            raise ValueError(f"{name}: {word!r} is no verdict; they are {', '.join(_VERDICTS)}")
    return words
