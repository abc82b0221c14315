"""Measures of separation, of scores (lower means belonging) and of verdicts."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.rule import as_scores

_VERDICTS = ("belongs", "foreign", "undecided")


def auc(belonging: ArrayLike, foreign: ArrayLike) -> float:
    """Returns the area under the ROC curve: P(b < f) + P(b = f) / 2 over all pairs.

    Args:
      belonging: scores b of images that belong, [N], N >= 1.
      foreign: scores f of images that do not, [M], M >= 1.

    Returns:
      The area, in [0, 1]; 1 where every belonging score is the lower, 0.5 where they say nothing.

    Raises:
      ValueError: no scores, a NaN, or a rank other than 1.
    """
    b, f = _scores(belonging, foreign)
    f = np.sort(f)
    at_or_below = int(np.searchsorted(f, b, side="right").sum())
    below = int(np.searchsorted(f, b, side="left").sum())
    # Half pairs, counted in whole numbers: exact.
    return (2 * b.size * f.size - at_or_below - below) / (2 * b.size * f.size)


def tpr_at_fpr(belonging: ArrayLike, foreign: ArrayLike, *, fpr: float = 0.01) -> float:
    """Returns the share of belonging scores under the best threshold that keeps the FPR.

    The rule "score <= t" is judged on the given foreign scores; t is the best one at which the
    share of foreign scores accepted is at most fpr. A threshold chosen on the same scores is
    optimistic where they are few.

    Args:
      belonging: scores of images that belong, [N], N >= 1.
      foreign: scores of images that do not, [M], M >= 1.
      fpr: the largest share of foreign scores that may be accepted, in [0, 1].

    Returns:
      The true positive rate, in [0, 1].

    Raises:
      ValueError: no scores, a NaN, a rank other than 1, or fpr outside [0, 1].
    """
    b, f = _scores(belonging, foreign)
    if not 0.0 <= fpr <= 1.0:
        raise ValueError(f"fpr must lie between 0 and 1; got {fpr}")
    f = np.sort(f)
    allowed = int(np.searchsorted(np.arange(f.size + 1) / f.size, fpr, side="right")) - 1
    if allowed == f.size:
        return 1.0
    # Any t under f[allowed] accepts at most `allowed` foreign scores; f[allowed] itself, more.
    return float(np.count_nonzero(b < f[allowed]) / b.size)


def accuracy(verdicts_belonging: Iterable[str], verdicts_foreign: Iterable[str]) -> float:
    """Returns the share of right verdicts; an undecided one is not right.

    Args:
      verdicts_belonging: verdicts on images that belong, at least one.
      verdicts_foreign: verdicts on images that do not, at least one.

    Returns:
      (belonging called belongs + foreign called foreign) / all, in [0, 1].

    Raises:
      ValueError: no verdicts, or a word that is not a verdict.
    """
    return decision_rates(verdicts_belonging, verdicts_foreign)["accuracy"]


def decision_rates(
    verdicts_belonging: Iterable[str], verdicts_foreign: Iterable[str]
) -> dict[str, float]:
    """Returns the rates at which verdicts were right, wrong and undecided.

    Args:
      verdicts_belonging: verdicts on images that belong, at least one.
      verdicts_foreign: verdicts on images that do not, at least one.

    Returns:
      tpr: share of belonging images with verdict "belongs"; fpr: share of foreign images with
      verdict "belongs"; undecided_belonging and undecided_foreign: share of each left undecided;
      accuracy: see `accuracy`. All in [0, 1].

    Raises:
      ValueError: no verdicts, or a word that is not a verdict.
    """
    on_belonging = _verdicts(verdicts_belonging, "verdicts_belonging")
    on_foreign = _verdicts(verdicts_foreign, "verdicts_foreign")
    right = on_belonging.count("belongs") + on_foreign.count("foreign")
    return {
        "tpr": on_belonging.count("belongs") / len(on_belonging),
        "fpr": on_foreign.count("belongs") / len(on_foreign),
        "undecided_belonging": on_belonging.count("undecided") / len(on_belonging),
        "undecided_foreign": on_foreign.count("undecided") / len(on_foreign),
        "accuracy": right / (len(on_belonging) + len(on_foreign)),
    }


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
