"""Models of the likelihood ratio: from scores to evidence, no stronger than the counts allow."""

import math
from dataclasses import replace
from typing import Protocol

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.checks import finite_scores
from jax_origin.calibration.foreign import ForeignGroup
from jax_origin.calibration.rules import clopper_pearson

_Array = NDArray[np.float64]
_CONFIDENCE = 0.95


class RatioModel(Protocol):
    """Turns scores into log10 likelihood ratios, of which `limits` are the least and largest."""

    limits: tuple[float, float]

    def log10_lr(self, scores: ArrayLike) -> _Array:
        """The log10 likelihood ratio of each of scores [N], falling in the score.

        It is NaN in the gap: between neighbouring calibration scores of which the lower speaks for
        belonging and the upper against it. No image was seen there, so there is no ratio.
        """


class FitRatio(Protocol):
    """Fits a model to belonging scores [N], N >= 1, and a foreign group, as `PavRatio` does."""

    def __call__(self, belonging: ArrayLike, foreign: ForeignGroup) -> RatioModel:
        """Raises ValueError where there are no scores, or one is not finite."""


class PavRatio:
    """The ratio by isotonic regression (pool adjacent violators) on the scores' ranks.

    It assumes only that the ratio falls as the score rises. One misleading observation of each kind
    is added before the fit: a foreign score under all others, and a belonging one over them.
    (Zadrozny and Elkan, KDD 2002; Brümmer and du Preez, Comput. Speech Lang. 2006.) The counts then
    cap the ratio; see `supported`. A source of several scores counts as one. Between the scores
    log10 ratios are interpolated, beyond them constant, and NaN in the gap. See `FitRatio`.
    """

    def __init__(self, belonging: ArrayLike, foreign: ForeignGroup) -> None:
        own = finite_scores(belonging, "belonging scores", at_least=1)
        num, others = own.size, foreign.independent
        scores = np.concatenate([own, foreign.scores, [-np.inf, np.inf]])
        weights = np.concatenate([np.ones(num), foreign.weights(), [1.0, 1.0]])
        belongs = np.zeros(scores.size)
        belongs[:num] = belongs[-1] = 1.0
        values, posterior = falling_posterior(scores, belongs, weights)
        prior = math.log10((num + 1) / (others + 1))
        self._scores = values[1:-1]
        self._log10_lr = (scipy.special.logit(posterior) / math.log(10) - prior)[1:-1]
        self._own, self._foreign = np.sort(own), foreign.counting_scores()
        self._lowest = np.log10(clopper_pearson(np.arange(num + 1), num, _CONFIDENCE))
        self._highest = -np.log10(clopper_pearson(np.arange(others + 1), others, _CONFIDENCE))
        self._gap = _gap(self._scores, self._log10_lr)
        high, low = self._interpolated(np.array([-np.inf, np.inf]))
        self.limits = float(low), float(high)

    def log10_lr(self, scores: ArrayLike) -> _Array:
        """The log10 likelihood ratio of each of scores [N]; NaN in the gap."""
        return self._interpolated(finite_scores(scores, "scores"))

    def supported(self, scores: _Array, log10_lr: _Array) -> _Array:
        """Keeps log10 ratios of scores [N] within what the counts support; NaN in the gap.

        As the ratio falls with the score s, it is at most P(belonging <= s) / P(foreign <= s), and
        so at most 1 / P(foreign <= s). Likewise it is at least P(belonging >= s). Each share is
        taken at its upper 95% limit (exact, one-sided, Clopper and Pearson). Where none of 200
        foreign sources is as low, the ratio is at most 67; where none of 200 own images is as high,
        it is at least 1 / 67.
        """
        above = self._own.size - np.searchsorted(self._own, scores, side="left")
        below = np.searchsorted(self._foreign, scores, side="right")
        highest = self._highest[np.minimum(below, self._highest.size - 1)]
        kept = np.clip(log10_lr, self._lowest[above], highest)
        low, high = self._gap
        return np.where((scores > low) & (scores < high), np.nan, kept)

    def _interpolated(self, scores: _Array) -> _Array:
        return self.supported(scores, np.interp(scores, self._scores, self._log10_lr))


class LogisticRatio:
    """The ratio by logistic regression on the logarithm of the score.

    The log ratio is a straight line in log score, never rising. A normal prior of unit variance on
    its slope, for scores of unit deviation, keeps it finite where scores are separated. Both kinds
    weigh the same. (Brümmer and du Preez, Comput. Speech Lang. 2006; Morrison, Aust. J. Forensic
    Sci. 2013.) Beyond the calibration scores it is constant; it has the caps and the gap of
    `PavRatio`. Scores are clamped from below at `floor`. See `FitRatio`; it also raises ValueError
    where a score is 0 without a floor, and so has no logarithm.
    """

    def __init__(self, belonging: ArrayLike, foreign: ForeignGroup, *, floor: float = 0.0) -> None:
        own = np.maximum(finite_scores(belonging, "belonging scores", at_least=1), floor)
        foreign = replace(foreign, scores=np.maximum(foreign.scores, floor))
        self._counted = PavRatio(own, foreign)
        self._floor = floor
        self._shift, self._scale = 0.0, 1.0
        x = np.concatenate([self._standard(own), self._standard(foreign.scores)])
        sign = np.repeat([1.0, -1.0], [own.size, foreign.scores.size])
        weights = np.concatenate([np.ones(own.size), foreign.weights()])
        self._shift, self._scale = float(x.mean()), float(x.std()) or 1.0
        x = (x - self._shift) / self._scale
        half = weights.sum() / 2
        balanced = weights * np.where(sign > 0, half / own.size, half / foreign.independent)

        def loss(line: _Array) -> tuple[float, _Array]:
            logit = sign * (line[0] * x + line[1])
            pull = -balanced * sign * scipy.special.expit(-logit)
            value = balanced @ np.logaddexp(0.0, -logit) + line[0] ** 2 / 2
            return float(value), np.array([pull @ x + line[0], pull.sum()])

        found = scipy.optimize.minimize(
            loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(None, 0.0), (None, None)]
        )
        self._slope, self._offset = found.x / math.log(10)
        self._range = min(own.min(), foreign.scores.min()), max(own.max(), foreign.scores.max())
        low, high = self._kept(np.array([np.inf, -np.inf]))
        self.limits = float(low), float(high)

    def log10_lr(self, scores: ArrayLike) -> _Array:
        """The log10 likelihood ratio of each of scores [N]; NaN in the gap."""
        return self._kept(np.maximum(finite_scores(scores, "scores"), self._floor))

    def _kept(self, scores: _Array) -> _Array:
        line = self._slope * self._standard(np.clip(scores, *self._range)) + self._offset
        return self._counted.supported(scores, line)

    def _standard(self, scores: _Array) -> _Array:
        if (scores <= 0).any():
            raise ValueError("a score of 0 or less has no logarithm: give a floor over 0")
        return (np.log10(scores) - self._shift) / self._scale


def falling_posterior(scores: _Array, belongs: _Array, weights: _Array) -> tuple[_Array, _Array]:
    """Fits the share of belonging scores, falling in the score, by isotonic regression.

    Of scores [N], `belongs` is 1 for belonging ones and 0 for foreign ones, and `weights` what each
    counts. It gives the different scores in rising order, and the fitted share at each.
    """
    values, place = np.unique(scores, return_inverse=True)
    total = np.bincount(place, weights)
    share = np.bincount(place, weights * belongs) / total
    return values, scipy.optimize.isotonic_regression(share, weights=total, increasing=False).x


def _gap(scores: _Array, log10_lr: _Array) -> tuple[float, float]:
    """The neighbouring scores between which falling ratios pass 1; infinite where none do."""
    # A ratio of 1 is rounded.
    over = np.count_nonzero(log10_lr > 1e-9)
    if over != np.count_nonzero(log10_lr > -1e-9) or not 0 < over < scores.size:
        return math.inf, math.inf
    return float(scores[over - 1]), float(scores[over])
