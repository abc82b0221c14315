"""Models of the likelihood ratio: from scores to evidence, no stronger than the counts allow."""

import math
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from jax_origin.calibration.checks import finite_scores
from jax_origin.calibration.foreign import ForeignGroup

_Array = NDArray[np.float64]


class RatioModel(Protocol):
    """Turns scores into log10 likelihood ratios, of which `limits` are the least and largest."""

    limits: tuple[float, float]

    def log10_lr(self, scores: ArrayLike) -> _Array:
        """The log10 likelihood ratio of each of scores [N]; finite, falling in the score."""


class FitRatio(Protocol):
    """Fits a model to belonging scores [N], N >= 1, and a foreign group, as `PavRatio` does."""

    def __call__(self, belonging: ArrayLike, foreign: ForeignGroup) -> RatioModel:
        """Raises ValueError where there are no scores, or one is not finite."""


class PavRatio:
    """The ratio by isotonic regression (pool adjacent violators) on the scores' ranks.

    It assumes only that the ratio falls as the score rises. One misleading observation of each kind
    is added before the fit: a foreign score under all others, and a belonging one over them. So the
    counts limit the ratio: with n belonging and m foreign scores it lies under m + 1 and over
    1 / (n + 1); with 100 and 100, fully separated, it is 100 or 1 / 100. (Zadrozny and Elkan, KDD
    2002; Brümmer and du Preez, Comput. Speech Lang. 2006.) A source of several scores counts as
    one. Between the scores log10 ratios are interpolated, and beyond them constant. See `FitRatio`.
    """

    def __init__(self, belonging: ArrayLike, foreign: ForeignGroup) -> None:
        own = finite_scores(belonging, "belonging scores", at_least=1)
        scores = np.concatenate([own, foreign.scores, [-np.inf, np.inf]])
        weights = np.concatenate([np.ones(own.size), foreign.weights(), [1.0, 1.0]])
        belongs = np.zeros(scores.size)
        belongs[: own.size] = belongs[-1] = 1.0
        values, posterior = falling_posterior(scores, belongs, weights)
        prior = math.log10((own.size + 1) / (foreign.independent + 1))
        self._scores = values[1:-1]
        self._log10_lr = (special.logit(posterior) / math.log(10) - prior)[1:-1]
        self.limits = float(self._log10_lr[-1]), float(self._log10_lr[0])

    def log10_lr(self, scores: ArrayLike) -> _Array:
        """The log10 likelihood ratio of each of scores [N]."""
        return np.asarray(np.interp(finite_scores(scores, "scores"), self._scores, self._log10_lr))


class LogisticRatio:
    """The ratio by logistic regression on the logarithm of the score.

    The log ratio is a straight line in log score, never rising. A normal prior of unit variance on
    its slope, for scores of unit deviation, keeps it finite where scores are separated. Both kinds
    weigh the same. The ratio is then kept within the bounds that the counts support
    (`empirical_bounds`). (Brümmer and du Preez, Comput. Speech Lang. 2006; Morrison, Aust. J.
    Forensic Sci. 2013.) Scores are clamped from below at `floor`. See `FitRatio`; it also raises
    ValueError where a score is 0 without a floor, and so has no logarithm.
    """

    def __init__(self, belonging: ArrayLike, foreign: ForeignGroup, *, floor: float = 0.0) -> None:
        own = finite_scores(belonging, "belonging scores", at_least=1)
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
            pull = -balanced * sign * special.expit(-logit)
            value = balanced @ np.logaddexp(0.0, -logit) + line[0] ** 2 / 2
            return float(value), np.array([pull @ x + line[0], pull.sum()])

        found = optimize.minimize(
            loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(None, 0.0), (None, None)]
        )
        self._slope, self._offset = found.x / math.log(10)
        self.limits = -math.inf, math.inf
        self.limits = empirical_bounds(
            self.log10_lr(own), self.log10_lr(foreign.scores), foreign.weights()
        )

    def log10_lr(self, scores: ArrayLike) -> _Array:
        """The log10 likelihood ratio of each of scores [N]."""
        line = self._slope * self._standard(finite_scores(scores, "scores")) + self._offset
        return np.clip(line, *self.limits)

    def _standard(self, scores: _Array) -> _Array:
        clamped = np.maximum(scores, self._floor)
        if (clamped <= 0).any():
            raise ValueError("a score of 0 or less has no logarithm: give a floor over 0")
        return (np.log10(clamped) - self._shift) / self._scale


def empirical_bounds(
    belonging: ArrayLike, foreign: ArrayLike, foreign_weights: ArrayLike | None = None
) -> tuple[float, float]:
    """The range of log10 likelihood ratios that so many observations can support.

    Acting on the ratio at a threshold t > 1 is better than never acting while
    P(belonging <= t) + t P(foreign > t) < 1, the normalised Bayes error rate. Counted with one more
    misleading observation of each kind, it passes 1 at some t: larger ratios are extrapolation. The
    same with the kinds exchanged gives the lower bound. (Empirical upper and lower bounds: Vergeer
    et al., Sci. Justice 56 (2016) 482; the first crossing is taken.) With 100 and 100, fully
    separated, they are 1 / 100 and 100.

    The bounds, at most and at least 0, are log10, as are the ratios of belonging images [N] and of
    foreign ones [M]. The weights [M] are what each of these counts; None is 1.
    """
    b, f = np.asarray(belonging, np.float64), np.asarray(foreign, np.float64)
    one = np.ones_like(f) if foreign_weights is None else np.asarray(foreign_weights, np.float64)
    return -_upper_bound(-f, -b, one, np.ones_like(b)), _upper_bound(b, f, np.ones_like(b), one)


def falling_posterior(scores: _Array, belongs: _Array, weights: _Array) -> tuple[_Array, _Array]:
    """Fits the share of belonging scores, falling in the score, by isotonic regression.

    Of scores [N], `belongs` is 1 for belonging ones and 0 for foreign ones, and `weights` what each
    counts. It gives the different scores in rising order, and the fitted share at each.
    """
    values, place = np.unique(scores, return_inverse=True)
    total = np.bincount(place, weights)
    share = np.bincount(place, weights * belongs) / total
    return values, optimize.isotonic_regression(share, weights=total, increasing=False).x


def _upper_bound(
    right: _Array, wrong: _Array, right_weights: _Array, wrong_weights: _Array
) -> float:
    """The log10 threshold at which acting on it is no better than never acting."""
    # Between two ratios that occur both shares are constant, and t alone rises.
    starts = np.unique(np.concatenate([[0.0], right[right > 0], wrong[wrong > 0]]))
    ends = np.append(starts[1:], np.inf)
    missed = _total_up_to(starts, right, right_weights) + 1.0
    acted = wrong_weights.sum() - _total_up_to(starts, wrong, wrong_weights) + 1.0
    kept = 1.0 - missed / (right_weights.sum() + 1.0)
    with np.errstate(divide="ignore"):
        crossing = np.log10(kept) - np.log10(acted / (wrong_weights.sum() + 1.0))
    first = int(np.argmax(crossing < ends))
    return float(max(starts[first], crossing[first]))


def _total_up_to(points: _Array, values: _Array, weights: _Array) -> _Array:
    """The weight of the values at or under each point."""
    order = np.argsort(values)
    totals = np.concatenate([[0.0], np.cumsum(weights[order])])
    return totals[np.searchsorted(values[order], points, side="right")]
