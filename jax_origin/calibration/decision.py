"""The decision: two p-values for two errors, and the verdict they give."""

import math
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.calibration import AS_MADE, Calibration
from jax_origin.calibration.conditions import LargestQ, compared_with, largest
from jax_origin.calibration.rule import (
    Rule,
    as_scores,
    build_rule,
    check_rate,
    scores_needed,
)

FITS_BOTH = "fits both"
FITS_NEITHER = "fits neither"
TOO_FEW = "too few calibration images"
DRIFT = "drift"
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
      condition: of the conditions compared, the one with the lowest belonging scores that it fits
        at alpha, "as made" or an edit; if it fits none, the one with the largest p.
    """

    p: float
    q: float | None
    verdict: Literal["belongs", "foreign", "undecided"]
    reason: str | None
    condition: str = AS_MADE


class Decisions(NamedTuple):
    """What N scores say, given a calibration: `Decision` as arrays.

    Attributes:
      p: float64 [N].
      q: float64 [N]; None without foreign groups.
      verdict: belongs, foreign or undecided, str [N].
      reason: text or None, object [N].
      condition: str [N].
    """

    p: NDArray[np.float64]
    q: NDArray[np.float64] | None
    verdict: NDArray[np.str_]
    reason: NDArray[np.object_]
    condition: NDArray[np.str_]


def decide(
    scores: ArrayLike,
    calibration: Calibration,
    *,
    alpha: float | None = None,
    beta: float | None = None,
    conditions: Iterable[str] | None = None,
) -> list[Decision]:
    r"""Decides for each score whether its image belongs to the calibrated generator.

    With p from the calibration's rule, the largest over conditions, and q = the largest over the
    foreign groups g under them of (1 + #{foreign_g <= score}) / (M_g + 1):

      =============  ===========================  ========================
      \              q <= beta                    q > beta
      =============  ===========================  ========================
      p > alpha      belongs                      undecided: fits both
      p <= alpha     undecided: fits neither      foreign
      =============  ===========================  ========================

    An image went through one condition, and a foreign one comes from one group, unknown which: the
    p and q found there are valid, and the largest are no smaller, so both stay so for every
    condition and group compared with, and for no others. What is paid is power; an image's file
    says much of what it went through, and `conditions` leaves the others out.

    All scores are clamped from below at the calibration's floor first: differences near the floor
    of 8-bit images carry no evidence. Where a calibration is too small to reach alpha or beta, and
    that is what keeps an image undecided, the reason names the number of images needed. A rule that
    can exclude nothing at alpha attributes nothing either: everything would fit.

    Without foreign groups the verdict follows from p alone, and the reason says that the rate of
    false attribution is unknown. For a method with the "published" decision it follows from p alone
    as well: q is reported where there are foreign groups, and plays no part.

    Args:
      scores: [N], one for each image, computed as the calibration's were; no NaN.
      calibration: the scores of images known to belong, and of foreign ones.
      alpha: rate of false exclusion, in (0, 1); None means the calibration's own.
      beta: rate of false attribution, in (0, 1); None means the calibration's own.
      conditions: those that the images may have met; None for all that the calibration has. See
        `compared_with`.

    Returns:
      One decision for each score, in order.

    Raises:
      ValueError: a NaN or misshapen score; alpha or beta outside (0, 1); no beta where the
        decision needs one; a condition that the calibration does not have.
    """
    return Decider(calibration, alpha=alpha, beta=beta, conditions=conditions)(scores)


def decide_arrays(
    scores: ArrayLike,
    calibration: Calibration,
    *,
    alpha: float | None = None,
    beta: float | None = None,
    conditions: Iterable[str] | None = None,
) -> Decisions:
    """Decides as `decide` does, for many scores at once: arrays in, arrays out.

    Args:
      scores: [N], one for each image, computed as the calibration's were; no NaN.
      calibration: the scores of images known to belong, and of foreign ones.
      alpha: rate of false exclusion, in (0, 1); None means the calibration's own.
      beta: rate of false attribution, in (0, 1); None means the calibration's own.
      conditions: those that the images may have met; None for all that the calibration has.

    Returns:
      The decisions, in order.

    Raises:
      ValueError: as `decide` does.
    """
    return Decider(calibration, alpha=alpha, beta=beta, conditions=conditions).arrays(scores)


def accepting_score(
    calibration: Calibration,
    *,
    alpha: float | None = None,
    beta: float | None = None,
    conditions: Iterable[str] | None = None,
) -> float | None:
    """The score at which, and under which, an image belongs: p only rises there, and q falls.

    Args:
      calibration: the calibration.
      alpha: rate of false exclusion; None means the calibration's own.
      beta: rate of false attribution; None means the calibration's own.
      conditions: those that the image may have met; None for all that the calibration has.

    Returns:
      The largest such score; None where no score is enough.

    Raises:
      ValueError: as `decide` does.
    """
    alpha, beta = _rates(calibration, alpha, beta)
    floor = calibration.floor
    belonging, foreign = compared_with(calibration, conditions)
    highest = max(rule.threshold(alpha) for rule in _rules(calibration, belonging).values())
    if highest == math.inf:
        return None
    if calibration.method["decision"] != "published" and beta is not None:
        for group in foreign.values():
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
    (decision,) = decide([highest], calibration, alpha=alpha, beta=beta, conditions=list(belonging))
    return highest if decision.verdict == "belongs" else None


_Outcome = tuple[Literal["belongs", "foreign", "undecided"], str | None]


class Decider:
    """`decide` for scores that come one after the other: all but them is worked out once.

    Args:
      calibration: the scores of images known to belong, and of foreign ones.
      alpha: rate of false exclusion, in (0, 1); None means the calibration's own.
      beta: rate of false attribution, in (0, 1); None means the calibration's own.
      conditions: those that the images may have met; None for all that the calibration has.

    Raises:
      ValueError: as `decide` does.
    """

    def __init__(
        self,
        calibration: Calibration,
        *,
        alpha: float | None = None,
        beta: float | None = None,
        conditions: Iterable[str] | None = None,
    ):
        alpha, beta = _rates(calibration, alpha, beta)
        self._floor = calibration.floor
        belonging, groups = compared_with(calibration, conditions)
        foreign = {name: np.maximum(group.scores, self._floor) for name, group in groups.items()}
        rules = _rules(calibration, belonging)
        self._rules, self._names = list(rules.values()), np.array(list(rules))
        # Of several that it fits, the one whose own images score lowest says most of it.
        medians = [np.median(belonging[name]) for name in rules]
        self._highest_first = np.argsort(medians, kind="stable")[::-1]
        # The threshold, not p, decides: the two agree, but only the threshold is exact at equality.
        self._thresholds = [rule.threshold(alpha) for rule in self._rules]
        short_of_belonging = []
        if max(self._thresholds) == math.inf:
            confidence = calibration.rule_options.get("confidence")
            fewest = min(scores.size for scores in belonging.values())
            short_of_belonging = _short_of_belonging(alpha, fewest, confidence)
        self._q = LargestQ(foreign) if foreign else None
        self._on_both = bool(foreign) and calibration.method["decision"] != "published"
        if not self._on_both:
            self._outcomes = _outcomes_of_p(short_of_belonging, known=bool(foreign))
            return
        if beta is None:
            raise ValueError("beta is not in the calibration's method: give beta")
        self._beta = beta
        short = {name: group for name, group in foreign.items() if 1.0 / (group.size + 1) > beta}
        enough = {name: group for name, group in foreign.items() if name not in short}
        self._short_of_foreign, self._q_of_enough = bool(short), None
        if enough:
            self._q_of_enough = LargestQ(enough) if short else self._q
        self._outcomes = _outcomes_of_both(short, beta, short_of_belonging)

    def __call__(self, scores: ArrayLike) -> list[Decision]:
        """A decision for each of scores [N], in order.

        Raises:
          ValueError: a NaN or misshapen score.
        """
        p, q, codes, fitting = self._decided(scores)
        qs: list[float] | list[None] = [None] * p.size if q is None else q.tolist()
        rows = zip(p.tolist(), qs, codes.tolist(), fitting.tolist(), strict=True)
        decisions = []
        for p_of_one, q_of_one, code, condition in rows:
            verdict, reason = self._outcomes[code]
            decisions.append(Decision(p_of_one, q_of_one, verdict, reason, condition))
        return decisions

    def arrays(self, scores: ArrayLike) -> Decisions:
        """The same as arrays.

        Raises:
          ValueError: a NaN or misshapen score.
        """
        p, q, codes, fitting = self._decided(scores)
        verdicts = np.array([verdict for verdict, _ in self._outcomes])
        reasons = np.array([reason for _, reason in self._outcomes], dtype=object)
        return Decisions(p, q, verdicts[codes], reasons[codes], fitting)

    def _decided(
        self, scores: ArrayLike
    ) -> tuple[
        NDArray[np.float64],
        NDArray[np.float64] | None,
        NDArray[np.int_],
        NDArray[np.str_],
    ]:
        """Returns p, q, each score's outcome as an index into those that can be, and conditions."""
        clamped = np.maximum(as_scores(scores, "scores"), self._floor)
        p, fitting = largest([rule.p_value(clamped) for rule in self._rules])
        for index in self._highest_first:
            fitting[clamped <= self._thresholds[index]] = index
        fits = clamped <= max(self._thresholds)
        q = None if self._q is None else self._q(clamped)
        codes = fits.astype(np.int_)
        if self._on_both:
            fits_enough = np.zeros(clamped.shape, bool)
            if self._q_of_enough is not None:
                fits_enough = self._q_of_enough(clamped) > self._beta
            fits_foreign = fits_enough | self._short_of_foreign
            cells = [fits & ~fits_foreign, ~fits & fits_foreign, ~fits, fits_enough]
            codes = np.select(cells, [0, 1, 2, 3], default=4)
        return p, q, codes, self._names[fitting]


def _rules(
    calibration: Calibration, belonging: Mapping[str, NDArray[np.float64]]
) -> dict[str, Rule]:
    """The calibration's rule on the belonging scores of each condition."""
    rule, options = calibration.method["rule"], calibration.rule_options
    return {
        name: build_rule(rule, np.maximum(scores, calibration.floor), **options)
        for name, scores in belonging.items()
    }


def _rates(
    calibration: Calibration, alpha: float | None, beta: float | None
) -> tuple[float, float | None]:
    """Returns alpha and beta, the calibration's own where they are not given."""
    alpha = calibration.method["alpha"] if alpha is None else alpha
    beta = calibration.method["beta"] if beta is None else beta
    check_rate(alpha, "alpha")
    if beta is not None:
        check_rate(beta, "beta")
    return alpha, beta


def _outcomes_of_p(short_of_belonging: list[str], *, known: bool) -> list[_Outcome]:
    """What p alone allows: what does not fit, and what does."""
    reason = None if known else FALSE_ATTRIBUTION_UNKNOWN
    if short_of_belonging:  # Everything fits: "belongs" would say nothing.
        return [("foreign", reason), ("undecided", _too_few(short_of_belonging))]
    return [("foreign", reason), ("belongs", reason)]


def _outcomes_of_both(
    short: Mapping[str, NDArray[np.float64]], beta: float, short_of_belonging: list[str]
) -> list[_Outcome]:
    """The four cells, and the last one where groups that are too small make it."""
    short_of_foreign = [
        f"beta={beta:g} needs at least {scores_needed(beta)} images of foreign group {name!r}, "
        f"this calibration has {group.size}"
        for name, group in short.items()
    ]
    both: _Outcome = ("undecided", FITS_BOTH)
    belongs: _Outcome = ("belongs", None)
    if short_of_belonging:  # Everything fits: that it does speaks for nothing.
        both = belongs = ("undecided", _too_few(short_of_belonging))
    return [
        belongs,
        ("foreign", None),
        ("undecided", FITS_NEITHER),
        both,
        # Under every group that is large enough: only the small ones hold the image back.
        ("undecided", _too_few(short_of_belonging + short_of_foreign)),
    ]


def _short_of_belonging(alpha: float, num: int, confidence: float | None) -> list[str]:
    at = "" if confidence is None else f" at confidence {confidence:g}"
    return [
        f"alpha={alpha:g}{at} needs at least {scores_needed(alpha, confidence=confidence)} "
        f"belonging images, this calibration has {num}"
    ]


def _too_few(shortfalls: list[str]) -> str:
    return f"{TOO_FEW}: {'; '.join(shortfalls)}"
