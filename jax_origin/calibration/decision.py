"""The decision: two p-values for two errors, and the verdict they give."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.calibration import AS_MADE, Calibration
from jax_origin.calibration.checks import as_scores
from jax_origin.calibration.conditions import compared_with
from jax_origin.calibration.decision_rules import (
    FALSE_ATTRIBUTION_UNKNOWN,
    TOO_FEW,
    TOO_LITTLE,
    Outcome,
    Rates,
    Verdict,
)
from jax_origin.calibration.foreign import NearestGroup, largest, most_as_low
from jax_origin.calibration.rules import clopper_pearson, scores_needed


class Decision(NamedTuple):
    """What one score says, given a calibration.

    Attributes:
      p: How well the score fits the belonging ones, in [0, 1]; small speaks against belonging.
        Excluding on p controls false exclusion.
      q: How well it fits the best-fitting foreign group, in (0, 1]; small speaks against every
        group. Attributing on q controls false attribution. None without foreign groups.
      verdict: belongs, not_recognised or undecided.
      reason: Why it is undecided, or what is not known of a verdict; None where nothing is to add.
      condition: "as made" or an edit: of the conditions compared that it fits at alpha, the one
        with the lowest belonging scores; if it fits none, the one with the largest p. None where
        the score is only known to be no higher.
    """

    p: float
    q: float | None
    verdict: Verdict
    reason: str | None
    condition: str | None = AS_MADE


class Decisions(NamedTuple):
    """What N scores say, given a calibration: the fields of `Decision` as arrays [N]."""

    p: NDArray[np.float64]
    q: NDArray[np.float64] | None
    verdict: NDArray[np.str_]
    reason: NDArray[np.object_]
    condition: NDArray[np.str_]


def decide(
    scores: ArrayLike,
    calibration: Calibration,
    *,
    rates: Rates | None = None,
    conditions: Iterable[str] | None = None,
    least: ArrayLike = 0.0,
) -> list[Decision]:
    """Decides for each of scores [N] whether its image belongs; see `Decider`, also for errors."""
    return Decider(calibration, rates=rates, conditions=conditions)(scores, least)


def decide_arrays(
    scores: ArrayLike,
    calibration: Calibration,
    *,
    rates: Rates | None = None,
    conditions: Iterable[str] | None = None,
    least: ArrayLike = 0.0,
) -> Decisions:
    """Decides as `decide` does, for many scores at once: arrays in, arrays out."""
    return Decider(calibration, rates=rates, conditions=conditions).arrays(scores, least)


def accepting_score(
    calibration: Calibration,
    *,
    rates: Rates | None = None,
    conditions: Iterable[str] | None = None,
) -> float | None:
    """The score at which, and under which, an image belongs; see `Decider.accepting_score`."""
    return Decider(calibration, rates=rates, conditions=conditions).accepting_score()


class Stuck(NamedTuple):
    """Own images that foreign ones score as low as, so that they can never be attributed.

    Attributes:
      num: How many of a calibration's own images as made.
      of: How many there are.
      low: The lower 95% confidence limit of their rate (Clopper and Pearson, two-sided).
      high: The upper one.
      settled_by: About how many own images would show on which side of alpha the rate lies, if it
        is what was found; None if these do.
    """

    num: int
    of: int
    low: float
    high: float
    settled_by: int | None


def stuck_images(calibration: Calibration, *, rates: Rates | None = None) -> Stuck:
    """How many of the generator's own images as made the inversion leaves among foreign ones.

    Where their rate is near alpha, chance decides whether a calibration's accepting score lies over
    them or under: then they are undecided, or not recognised.
    """
    asked = (rates or Rates()).over(calibration.rates)
    decider = Decider(calibration, rates=rates, conditions=[AS_MADE])
    own = np.maximum(calibration.belonging, calibration.floor)
    num, of = int(np.count_nonzero(own > decider.attributable)), own.size
    low = 1.0 - float(clopper_pearson(np.array([of - num]), of, 0.975)[0])
    high = float(clopper_pearson(np.array([num]), of, 0.975)[0])
    assert asked.alpha is not None  # A calibration has one.
    settled_by = None
    if low <= asked.alpha <= high:
        rate = num / of
        if num == 0:
            needed = math.log(0.025) / math.log1p(-asked.alpha)
        else:  # Two standard deviations away.
            needed = 3.84 * rate * (1 - rate) / max(abs(rate - asked.alpha), 1e-4) ** 2
        settled_by = max(of + 1, math.ceil(needed))
    return Stuck(num, of, low, high, settled_by)


class Decider:
    """Decides on scores that come one after the other; everything else is worked out once.

    p comes from the calibration's rule and is the largest over conditions. q is the largest over
    the foreign groups under them (`NearestGroup`). The calibration's decision rule then gives the
    verdict, such as `TwoErrors`.

    An image may say so little that the generator could not come near enough for q, however well it
    did: the least score that it can have (`Score.least`) is over what q allows. It is undecided. So
    is one whose least score is over what the method asks for, since own images like it were left
    out of p (`Measured.plain`): p is that of images that are judged. Foreign images that say too
    little stay in q, so beta is the rate of all images of a group.

    The p of the condition that an image met is valid, as is the q of the group that it is from. The
    largest are no smaller: both stay valid for every condition and group compared with, and for no
    others. The price is power: `conditions` leaves out what an image cannot have met.

    All scores are first clamped from below at the calibration's floor: differences near the floor
    of 8-bit images carry no evidence. If an image stays undecided because a calibration is too
    small to reach alpha or beta, the reason names the number of images needed. A rule that can
    exclude nothing at alpha attributes nothing either: everything would fit. Without foreign groups
    the reason says that the rate of false attribution is unknown.

    Args:
      calibration: The scores of images known to belong, and of foreign ones.
      rates: The rates of error; None means the calibration's own.
      conditions: Those that the images may have met; None for all. See `compared_with`.

    Raises:
      ValueError: The decision needs a beta and there is none, or a condition is unknown. Scores
        decided on raise it where one is NaN, or they are no row of numbers.
    """

    def __init__(
        self,
        calibration: Calibration,
        *,
        rates: Rates | None = None,
        conditions: Iterable[str] | None = None,
    ):
        asked = (rates or Rates()).over(calibration.rates)
        self._floor = calibration.floor
        belonging, groups = compared_with(calibration, conditions)
        rule, own = calibration.rule, list(belonging.values())
        self._names = np.array(list(belonging))
        self._fitted = [rule.fit(np.maximum(scores, self._floor)) for scores in own]
        # Of several that it fits, the one whose own images score lowest says most of it.
        medians = [np.median(scores) for scores in own]
        self._highest_first = np.argsort(medians, kind="stable")[::-1]
        # The threshold, not p, decides: the two agree, but only the threshold is exact at equality.
        assert asked.alpha is not None  # A calibration has one.
        self._thresholds = [fitted.threshold(asked.alpha) for fitted in self._fitted]
        lacking: list[str] = []
        if max(self._thresholds) == math.inf:
            lacking = [rule.shortfall(asked.alpha, min(scores.size for scores in own))]
        self._nearest = NearestGroup(groups, floor=self._floor) if groups else None
        self._judges_q = bool(groups) and calibration.decision.judges_q
        # Up to here q <= beta, over the foreign groups that are large enough to reach beta.
        self._attributable = math.inf
        short: list[str] = []
        if self._judges_q:
            if asked.beta is None:
                raise ValueError("the calibration has no beta: give rates with one")
            for name, group in groups.items():
                allowed = most_as_low(group.independent, asked.beta)
                if allowed < 0:
                    short.append(_short_of(asked.beta, name, group.independent))
                else:
                    lows = np.maximum(group.counting_scores(), self._floor)
                    under = float(np.nextafter(lows[allowed], -math.inf))
                    self._attributable = min(self._attributable, under)
        self._any_short = bool(short)
        # Up to here the least score that an image can have may be.
        self._judged = min(self._attributable, calibration.enough)
        self._outcomes = []
        for fits in (False, True):
            for fits_foreign in (False, True) if self._judges_q else (None, None):
                outcome = calibration.decision.outcome(fits, fits_foreign)
                if lacking and fits:  # Everything fits: that it does speaks for nothing.
                    outcome = _too_few(lacking)
                elif not groups:
                    outcome = Outcome(outcome.verdict, outcome.reason or FALSE_ATTRIBUTION_UNKNOWN)
                self._outcomes.append(outcome)
        # It fits, and only groups that are too small hold it back.
        self._outcomes.append(_too_few(lacking + short))
        self._outcomes.append(Outcome("undecided", TOO_LITTLE))

    def __call__(self, scores: ArrayLike, least: ArrayLike = 0.0) -> list[Decision]:
        """A decision for each of scores [N], in order; `least` are the lowest that they can be."""
        p, q, codes, fitting = self._decided(scores, least)
        qs: list[float] | list[None] = [None] * p.size if q is None else q.tolist()
        outcomes = [self._outcomes[code] for code in codes.tolist()]
        rows = zip(p.tolist(), qs, outcomes, fitting.tolist(), strict=True)
        return [Decision(a, b, found.verdict, found.reason, c) for a, b, found, c in rows]

    def arrays(self, scores: ArrayLike, least: ArrayLike = 0.0) -> Decisions:
        """The same as arrays."""
        p, q, codes, fitting = self._decided(scores, least)
        verdicts = np.array([verdict for verdict, _ in self._outcomes])
        reasons = np.array([reason for _, reason in self._outcomes], dtype=object)
        return Decisions(p, q, verdicts[codes], reasons[codes], fitting)

    @property
    def attributable(self) -> float:
        """The highest score that q allows to belong; infinite where q is not judged."""
        return self._attributable

    def accepting_score(self) -> float | None:
        """The largest score at which an image belongs; it does under it, too. None for no score."""
        if max(self._thresholds) == math.inf or self._any_short:
            return None
        highest = min(max(self._thresholds), self._attributable)
        (decision,) = self([highest])
        return highest if decision.verdict == "belongs" else None

    def _decided(
        self, scores: ArrayLike, least: ArrayLike
    ) -> tuple[
        NDArray[np.float64],
        NDArray[np.float64] | None,
        NDArray[np.int_],
        NDArray[np.str_],
    ]:
        """p, q, each score's outcome as an index into those that can be, and its condition."""
        clamped = np.maximum(as_scores(scores, "scores"), self._floor)
        p, fitting = largest([fitted.p_value(clamped) for fitted in self._fitted])
        for index in self._highest_first:
            fitting[clamped <= self._thresholds[index]] = index
        fits = clamped <= max(self._thresholds)
        q = None if self._nearest is None else self._nearest.q(clamped)
        fits_foreign = clamped > self._attributable
        codes = 2 * fits + fits_foreign
        if self._any_short:
            codes = np.where(fits, np.where(fits_foreign, 3, 4), 1)
        codes = np.where(np.asarray(least, np.float64) > self._judged, 5, codes)
        return p, q, codes, self._names[fitting]


def _short_of(rate: float, name: str, num: int) -> str:
    return (
        f"beta={rate:g} needs at least {scores_needed(rate)} independent sources of foreign group "
        f"{name!r}, this calibration has {num}"
    )


def _too_few(lacking: list[str]) -> Outcome:
    return Outcome("undecided", f"{TOO_FEW}: {'; '.join(lacking)}")
