"""How good likelihood ratios are: Cllr and its parts, and the points of two plots.

Each function takes the log10 likelihood ratios of belonging images [N] and of foreign ones [M], at
least one of each; no rows of numbers raise ValueError. Infinities are allowed. The images must not
be those that the ratios were fitted on.

NaN, no data, counts as a ratio of 1: such an image gives its user no evidence, and costs as much.
To leave it out would make a model look the better, the more often it says nothing.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.checks import as_scores, check_rate
from jax_origin.evidence.likelihood_ratio import falling_posterior

_Array = NDArray[np.float64]


class Cllr(NamedTuple):
    """The cost of log likelihood ratios, in bits: 0 is perfect, 1 says nothing, over 1 misleads.

    Attributes:
      cllr: The cost.
      discrimination: What is left after the best rising recalibration of the ratios, Cllr_min.
      calibration: The rest, which better calibration would save.
    """

    cllr: float
    discrimination: float
    calibration: float


class CllrInterval(NamedTuple):
    """A cost with its bootstrap interval, from `low` to `high`.

    Its parts have no interval: resampling makes duplicates, which the recalibration in them fits
    too well.
    """

    value: Cllr
    low: float
    high: float


class Tippett(NamedTuple):
    """The points of a Tippett plot: how often each kind has a ratio at least so large.

    Attributes:
      log10_lr: The ratios that occur, rising, [K].
      belonging: Share of belonging images with a ratio of at least that, [K].
      foreign: The same of foreign images, [K].
    """

    log10_lr: _Array
    belonging: _Array
    foreign: _Array


def cllr(belonging: ArrayLike, foreign: ArrayLike) -> Cllr:
    """The cost of log likelihood ratios, and its parts; infinite where an infinite ratio misleads.

    Cllr = (mean over belonging of log2(1 + 1 / LR) + mean over foreign of log2(1 + LR)) / 2
    (Brümmer and du Preez, Comput. Speech Lang. 20 (2006) 230, equations 6 and 32).
    """
    b, f = _checked(belonging, foreign)
    points, best = _best(b, f)
    cost = _cost(b, f)
    least = _cost(best[np.searchsorted(points, b)], best[np.searchsorted(points, f)])
    return Cllr(cost, least, cost - least)


def cllr_interval(
    belonging: ArrayLike,
    foreign: ArrayLike,
    *,
    sources: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> CllrInterval:
    """The cost with a bootstrap interval (percentiles).

    Both kinds are drawn afresh with replacement, foreign images by source. The ratios themselves
    are taken as given, so the interval says nothing of other calibrations. Where nothing misleads
    in the sample, the interval cannot know what would have: read it with the counts.

    `sources` say which source each foreign image comes from, [M]; None means that each is its own.
    `confidence` is in (0, 1), and `resamples` at least 1. Other values raise ValueError.
    """
    check_rate(confidence, "confidence")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1; got {resamples}")
    b, f = _checked(belonging, foreign)
    groups = np.arange(f.size) if sources is None else np.asarray(sources)
    if groups.shape != f.shape:
        raise ValueError(f"sources must be [{f.size}], one for each foreign ratio")
    _, source = np.unique(groups, return_inverse=True)
    own, other = _bits(b), np.bincount(source, _bits(-f))
    sizes = np.bincount(source)
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(resamples):
        on_own = own[rng.integers(own.size, size=own.size)].mean()
        chosen = rng.integers(other.size, size=other.size)
        drawn.append((on_own + other[chosen].sum() / sizes[chosen].sum()) / 2)
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return CllrInterval(cllr(b, f), float(low), float(high))


def tippett(belonging: ArrayLike, foreign: ArrayLike) -> Tippett:
    """The points of a Tippett plot, one for each ratio that occurs."""
    b, f = _checked(belonging, foreign)
    points = np.unique(np.concatenate([b, f]))
    shares = [
        1.0 - np.searchsorted(np.sort(kind), points, side="left") / kind.size for kind in (b, f)
    ]
    return Tippett(points, *shares)


def pav_points(belonging: ArrayLike, foreign: ArrayLike) -> tuple[_Array, _Array]:
    """The points of a PAV plot: ratios, and what the best rising recalibration makes of them.

    Well calibrated ratios lie near the diagonal. Both are log10, [K], of the ratios that occur,
    rising. The recalibrated values are infinite where only one kind lies.
    """
    return _best(*_checked(belonging, foreign))


def _bits(right: _Array) -> _Array:
    """log2(1 + 1 / LR) of log10 ratios for what is true, [N]."""
    return np.logaddexp(0.0, -right * math.log(10)) / math.log(2)


def _cost(b: _Array, f: _Array) -> float:
    return float((_bits(b).mean() + _bits(-f).mean()) / 2)


def _best(b: _Array, f: _Array) -> tuple[_Array, _Array]:
    """The ratios that occur, rising, and their recalibrated values."""
    ratios, belongs = np.concatenate([b, f]), np.repeat([1.0, 0.0], [b.size, f.size])
    # Weights make both kinds count the same: the prior is then even.
    weights = np.repeat([1.0 / b.size, 1.0 / f.size], [b.size, f.size])
    negated, share = falling_posterior(-ratios, belongs, weights)
    # Sums of the weights are rounded: a block of one kind only is certain.
    share = np.where(share > 1 - 1e-12, 1.0, np.where(share < 1e-12, 0.0, share))
    return -negated[::-1], scipy.special.logit(share[::-1]) / math.log(10)


def _checked(belonging: ArrayLike, foreign: ArrayLike) -> tuple[_Array, _Array]:
    b, f = (np.asarray(ratios, np.float64) for ratios in (belonging, foreign))
    b = as_scores(np.where(np.isnan(b), 0.0, b), "belonging ratios")
    f = as_scores(np.where(np.isnan(f), 0.0, f), "foreign ratios")
    if not b.size or not f.size:
        raise ValueError(
            f"need at least one ratio of each kind; got {b.size} belonging, {f.size} foreign"
        )
    return b, f
