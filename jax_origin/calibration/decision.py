"""The decision: two p-values for two errors, and the verdict they give."""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.calibration import AS_MADE, Calibration
from jax_origin.calibration.rule import RULES, Rule, as_scores, check_rate

FITS_BOTH = "fits both"
FITS_NEITHER = "fits neither"
TOO_FEW = "too few calibration images"
FALSE_ATTRIBUTION_UNKNOWN = "false_attribution: unknown"


class Decision(NamedTuple):
    """What one score says, given a calibration.

    Attributes:
      p: how well the score fits the belonging ones, in [0, 1]; small speaks against belonging.
        Excluding on p controls false exclusion.
      q: how well it fits the best-fitting foreign group, in (0, 1]; small speaks against every
        group. Attributing on q controls false attribution. None without foreign groups.
      verdict: belongs, foreign or undecided.
      reason: why it is undecided, or what is not known of a verdict; None where nothing is to add.
      condition: of those that the calibration has, the one whose belonging scores it fits best:
        "as made", or an edit.
    """

    p: float
    q: float | None
    verdict: Literal["belongs", "foreign", "undecided"]
    reason: str | None
    condition: str = AS_MADE


def decide(
    scores: ArrayLike,
    calibration: Calibration,
    *,
    alpha: float | None = None,
    beta: float | None = None,
) -> list[Decision]:
    r"""Decides for each score whether its image belongs to the calibrated generator.

    With p from the calibration's rule, the largest over its conditions, and q = the largest over
    the foreign groups g of (1 + #{foreign_g <= score}) / (M_g + 1):

      =============  ===========================  ========================
      \              q <= beta                    q > beta
      =============  ===========================  ========================
      p > alpha      belongs                      undecided: fits both
      p <= alpha     undecided: fits neither      foreign
      =============  ===========================  ========================

    All scores are clamped from below at the calibration's floor first: differences near the floor
    of 8-bit images carry no evidence. Where a calibration is too small to reach alpha or beta, and
    that is what keeps an image undecided, the reason names the number of images needed.

    Without foreign groups the verdict follows from p alone, and the reason says that the rate of
    false attribution is unknown. For a method with the "published" decision it follows from p alone
    as well: q is reported where there are foreign groups, and plays no part.

    Args:
      scores: [N], one for each image, computed as the calibration's were; no NaN.
      calibration: the scores of images known to belong, and of foreign ones.
      alpha: rate of false exclusion, in (0, 1); None means the calibration's own.
      beta: rate of false attribution, in (0, 1); None means the calibration's own.

    Returns:
      One decision for each score, in order.

    Raises:
      ValueError: a NaN or misshapen score; alpha or beta outside (0, 1); no beta where the
        decision needs one.
    """
    method = calibration.method
    published = method["decision"] == "published"
    alpha = method["alpha"] if alpha is None else alpha
    beta = method["beta"] if beta is None else beta
    check_rate(alpha, "alpha")
    if beta is not None:
        check_rate(beta, "beta")

    floor = calibration.floor
    clamped = np.maximum(as_scores(scores, "scores"), floor)
    foreign = {
        name: np.sort(np.maximum(group.scores, floor))
        for name, group in calibration.foreign.items()
    }
    rules = _rules(calibration)
    by_condition = np.stack([rule.p_value(clamped) for rule in rules.values()])
    p = by_condition.max(axis=0)
    conditions = np.array(list(rules))[by_condition.argmax(axis=0)]
    # The threshold, not p, decides: the two agree, but only the threshold is exact at equality.
    accepting = max(rule.threshold(alpha) for rule in rules.values())
    fits = clamped <= accepting
    fewest = min(scores.size for scores in calibration.belonging_by_condition.values())
    short_of_belonging = _short_of_belonging(alpha, fewest) if accepting == math.inf else []

    if published or not foreign:
        codes, outcomes = _on_p_alone(fits, short_of_belonging, known=bool(foreign))
    else:
        if beta is None:
            raise ValueError("beta is not in the calibration's method: give beta")
        codes, outcomes = _on_both(clamped, fits, foreign, beta, short_of_belonging)

    qs: list[float] | list[None] = [None] * clamped.size
    if foreign:
        qs = _foreign_p_value(clamped, foreign).tolist()
    rows = zip(p.tolist(), qs, codes.tolist(), conditions.tolist(), strict=True)
    return [Decision(p, q, *outcomes[code], condition) for p, q, code, condition in rows]


def accepting_score(
    calibration: Calibration, *, alpha: float | None = None, beta: float | None = None
) -> float | None:
    """The score at which, and under which, an image belongs: p only rises there, and q falls.

    Args:
      calibration: the calibration.
      alpha: rate of false exclusion; None means the calibration's own.
      beta: rate of false attribution; None means the calibration's own.

    Returns:
      The largest such score; None where no score is enough.

    Raises:
      ValueError: as `decide` does.
    """
    method = calibration.method
    alpha = method["alpha"] if alpha is None else alpha
    beta = method["beta"] if beta is None else beta
    check_rate(alpha, "alpha")
    if beta is not None:
        check_rate(beta, "beta")
    floor = calibration.floor
    highest = max(rule.threshold(alpha) for rule in _rules(calibration).values())
    if method["decision"] != "published" and beta is not None:
        for group in calibration.foreign.values():
            # As many foreign scores may be as low as the image's, and no more; by the divisions
            # that q uses.
            num = group.scores.size
            steps = np.arange(1, num + 2) / (num + 1.0)
            allowed = int(np.searchsorted(steps, beta, side="right")) - 1
            if allowed < 0:
                return None
            if allowed < num:
                bound = np.sort(np.maximum(group.scores, floor))[allowed]
                highest = min(highest, float(np.nextafter(bound, 0.0)))
    if not math.isfinite(highest):
        return None
    (decision,) = decide([highest], calibration, alpha=alpha, beta=beta)
    return highest if decision.verdict == "belongs" else None


def _rules(calibration: Calibration) -> dict[str, Rule]:
    """The calibration's rule on the belonging scores of each condition."""
    make = RULES[calibration.method["rule"]]
    return {
        name: make(np.maximum(scores, calibration.floor))
        for name, scores in calibration.belonging_by_condition.items()
    }


_Outcome = tuple[Literal["belongs", "foreign", "undecided"], str | None]


def _on_p_alone(
    fits: NDArray[np.bool_], short_of_belonging: list[str], *, known: bool
) -> tuple[NDArray[np.int_], list[_Outcome]]:
    """Returns each image's outcome as an index into the outcomes that p alone allows."""
    reason = None if known else FALSE_ATTRIBUTION_UNKNOWN
    outcomes: list[_Outcome] = [("foreign", reason), ("belongs", reason)]
    if short_of_belonging:  # Everything fits: "belongs" would say nothing.
        outcomes[1] = ("undecided", _too_few(short_of_belonging))
    return fits.astype(np.int_), outcomes


def _on_both(
    scores: NDArray[np.float64],
    fits: NDArray[np.bool_],
    foreign: dict[str, NDArray[np.float64]],
    beta: float,
    short_of_belonging: list[str],
) -> tuple[NDArray[np.int_], list[_Outcome]]:
    """Returns each image's outcome as an index into the outcomes of the four cells."""
    short = {name: group for name, group in foreign.items() if 1.0 / (group.size + 1) > beta}
    enough = {name: group for name, group in foreign.items() if name not in short}
    fits_enough = _foreign_p_value(scores, enough) > beta
    fits_foreign = fits_enough | bool(short)
    short_of_foreign = [
        f"beta={beta:g} needs at least {_num_needed(beta)} images of foreign group {name!r}, "
        f"this calibration has {group.size}"
        for name, group in short.items()
    ]
    both: _Outcome = ("undecided", FITS_BOTH)
    if short_of_belonging:
        both = ("undecided", _too_few(short_of_belonging))
    outcomes: list[_Outcome] = [
        ("belongs", None),
        ("foreign", None),
        ("undecided", FITS_NEITHER),
        both,
        # Under every group that is large enough: only the small ones hold the image back.
        ("undecided", _too_few(short_of_belonging + short_of_foreign)),
    ]
    codes = np.select(
        [fits & ~fits_foreign, ~fits & fits_foreign, ~fits, fits_enough], [0, 1, 2, 3], default=4
    )
    return codes, outcomes


def _foreign_p_value(
    scores: NDArray[np.float64], foreign: dict[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Returns the largest of (1 + #{foreign <= score}) / (M + 1) over sorted groups; 0 of none."""
    q = np.zeros_like(scores)
    for group in foreign.values():
        at_or_below = np.searchsorted(group, scores, side="right")
        np.maximum(q, (1.0 + at_or_below) / (group.size + 1.0), out=q)
    return q


def _short_of_belonging(alpha: float, num: int) -> list[str]:
    return [
        f"alpha={alpha:g} needs at least {_num_needed(alpha)} belonging images, "
        f"this calibration has {num}"
    ]


def _too_few(shortfalls: list[str]) -> str:
    return f"{TOO_FEW}: {'; '.join(shortfalls)}"


def _num_needed(rate: float) -> int:
    """Returns the smallest N >= 1 with 1 / (N + 1) <= rate, by the division that p and q use."""
    num = max(1, math.ceil(1.0 / rate) - 1)
    # 1 / rate is rounded, down or up: then the whole number is one off.
    while 1.0 / (num + 1) > rate:
        num += 1
    while num > 1 and 1.0 / num <= rate:
        num -= 1
    return num
