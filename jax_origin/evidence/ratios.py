"""The likelihood ratio of a score: made by the generator, against from a foreign group.

A ratio answers: how much more probable is such a score for an image that the generator made, under
the settings calibrated, than for an image of this foreign group? It is not the probability that the
generator made the image, and it holds for that group alone, or for the mixture of groups named. A
ratio under 1 does not weigh that the generator made the image and an edit that was not calibrated
came after: an own image that was mirrored has one. NaN says that there is no data.

Throughout, `belonging` are scores of images known to belong [N], `foreign` is a foreign group, or
groups by name, and `model` fits the ratio: `PavRatio`, or `functools.partial(LogisticRatio,
floor=1e-5)`. A model is judged on folds that it was not fitted to. There are at least 2, and no
more than belonging scores or foreign sources; `seed` fixes the random choice. The functions raise
ValueError where the model refuses the scores.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.calibration import AS_MADE, Calibration
from jax_origin.calibration.checks import finite_scores
from jax_origin.calibration.conditions import origin_and_condition, parse_condition
from jax_origin.calibration.foreign import ForeignGroup
from jax_origin.evidence.discoveries import require_full_scores
from jax_origin.evidence.likelihood_ratio import FitRatio, PavRatio

_Array = NDArray[np.float64]


def scores_under(
    calibration: Calibration, condition: str
) -> tuple[_Array, dict[str, ForeignGroup]]:
    """The scores that a ratio compares: belonging and foreign images that met the same condition.

    Returns:
      Belonging scores [N], and the foreign groups that were edited alike, by their names without
      the edit; all clamped at the calibration's floor. An empty array, or no groups, where the
      calibration has none of that condition.
    """
    own = calibration.belonging_by_condition.get(condition, np.zeros(0))
    foreign, met = {}, parse_condition(condition).edit or AS_MADE
    for name, group in calibration.foreign.items():
        origin, edit = origin_and_condition(name, calibration)
        if edit == met:
            foreign[origin] = replace(group, scores=np.maximum(group.scores, calibration.floor))
    return np.maximum(own, calibration.floor), foreign


class CautiousRatio(NamedTuple):
    """The cautious log10 likelihood ratio of each of N scores over the foreign groups, [N].

    Attributes:
      log10_lr: The ratio; NaN where there is no data.
      against: The group that gives it; the one of which there is no data; or, where groups
        disagree, the one whose ratio is the least. The first in order where several do.
      low: The least ratio that the counts of this group support.
      high: The largest one.
      by_group: The ratio against each group, by name.
    """

    log10_lr: _Array
    against: list[str]
    low: _Array
    high: _Array
    by_group: dict[str, _Array]


def cautious_log10_lr(
    scores: ArrayLike,
    belonging: ArrayLike,
    foreign: Mapping[str, ForeignGroup],
    *,
    model: FitRatio = PavRatio,
    score_kinds: Iterable[str] = (),
) -> CautiousRatio:
    """Of the ratios against any mixture of the foreign groups, that which says the least.

    The ratio against a mixture is a mean of the groups' (`pooled_log10_lr`), and may be any number
    from the least of them to the largest. The cautious one is the nearest to 1: the least where all
    are over 1, the largest where all are under 1, and 1 where groups disagree. A group without data
    is left out where all others say under 1: it could only add to what is foreign. Elsewhere, its
    ratio could be on either side, and the cautious one is NaN. The scores [N] are finite, and
    `score_kinds` what their records say of them, where at hand.

    Raises:
      ValueError: A score is an upper bound, whose ratio is no ratio, or there is no group.
    """
    require_full_scores(score_kinds)
    if not foreign:
        raise ValueError("there is no foreign group to weigh belonging against")
    models = {name: model(belonging, group) for name, group in foreign.items()}
    by_group = {name: fitted.log10_lr(scores) for name, fitted in models.items()}
    ratios = np.stack(list(by_group.values()))
    limits = np.array([fitted.limits for fitted in models.values()])
    known = np.where(np.isnan(ratios), -np.inf, ratios).max(axis=0)
    against_all = np.isfinite(known) & (known < 0)
    ratios = np.where(np.isnan(ratios) & against_all, -np.inf, ratios)
    least, largest = ratios.min(axis=0), ratios.max(axis=0)  # NaN where one is; argmin finds it.
    which = np.where(largest < 0, ratios.argmax(axis=0), ratios.argmin(axis=0))
    low, high = limits[which].T
    against = [list(models)[i] for i in which]
    return CautiousRatio(np.clip(0.0, least, largest), against, low, high, by_group)


def pooled_log10_lr(by_group: Mapping[str, ArrayLike], mixture: Mapping[str, float]) -> _Array:
    """The log10 likelihood ratio against a mixture of foreign groups, which has to be named.

    The density of a score under the mixture is the weighted mean of the groups' densities. So the
    ratio, [N], is the weighted harmonic mean of the groups' ratios, such as
    `CautiousRatio.by_group`; NaN where a group in it has no data. `mixture` is the share of each
    group, 0 or more, 1 in all.

    Raises:
      ValueError: The shares are no mixture, or name a group without ratios.
    """
    unknown = sorted(set(mixture) - set(by_group))
    if unknown:
        raise ValueError(f"the mixture names {', '.join(unknown)}, which have no ratios")
    shares = np.array(list(mixture.values()), np.float64)
    if not (shares >= 0).all() or not math.isclose(shares.sum(), 1.0, abs_tol=1e-9):
        raise ValueError(
            f"the mixture's shares must be 0 or more and sum to 1; got {dict(mixture)}"
        )
    inside = [name for name, share in mixture.items() if share > 0]
    ratios = np.stack([np.asarray(by_group[name], np.float64) for name in inside])
    inverse = scipy.special.logsumexp(-ratios * math.log(10), b=shares[shares > 0, None], axis=0)
    return np.asarray(-inverse / math.log(10))


class Ratios(NamedTuple):
    """Log10 likelihood ratios of images whose origin is known: belonging [N], and foreign [M]."""

    belonging: _Array
    foreign: _Array

    @property
    def num_without_data(self) -> int:
        """How many of them are NaN."""
        return sum(int(np.count_nonzero(np.isnan(kind))) for kind in self)


def cross_fitted(
    belonging: ArrayLike,
    foreign: ForeignGroup,
    *,
    model: FitRatio = PavRatio,
    folds: int = 10,
    seed: int = 0,
) -> Ratios:
    """The ratio of each calibration score, in order, by a model that was fitted without its fold.

    A source's scores stay in one fold. A score may fall into the gap that its own fold leaves: its
    ratio is then NaN, which is what a fresh image like it would be told.

    Raises:
      ValueError: There are too few scores or foreign sources for the folds, or it is not known
        which scores share a source.
    """
    own = finite_scores(belonging, "belonging scores", at_least=2)
    rng = np.random.default_rng(seed)
    own_fold = _folds(own.size, folds, rng, "belonging scores")
    source_fold = _folds(foreign.independent, folds, rng, "foreign sources")
    source = foreign.source_index()
    ratios = Ratios(np.empty(own.size), np.empty(foreign.scores.size))
    for fold in range(folds):
        here, there = own_fold == fold, source_fold[source] == fold
        fitted = model(own[~here], foreign.subset(~there))
        ratios.belonging[here] = fitted.log10_lr(own[here])
        ratios.foreign[there] = fitted.log10_lr(foreign.scores[there])
    return ratios


def leave_one_group_out(
    belonging: ArrayLike,
    foreign: Mapping[str, ForeignGroup],
    *,
    model: FitRatio = PavRatio,
    folds: int = 10,
    seed: int = 0,
) -> dict[str, Ratios]:
    """What the ratio would have said of each foreign group, had it not been known.

    For each group the ratio is that against the others, mixed in equal shares: of the belonging
    scores, cross-fitted, and of the group's. A large Cllr for a group says that ratios do not carry
    over to an origin like it.

    Raises:
      ValueError: There are fewer than two groups, or too few scores for the folds.
    """
    if len(foreign) < 2:
        raise ValueError(f"leaving a group out needs at least two; got {len(foreign)}")
    own = finite_scores(belonging, "belonging scores", at_least=2)
    fold = _folds(own.size, folds, np.random.default_rng(seed), "belonging scores")
    found = {}
    for left_out, group in foreign.items():
        others = {name: other for name, other in foreign.items() if name != left_out}
        ratios = Ratios(np.empty(own.size), _mixed(group.scores, own, others, model))
        for i in range(folds):
            ratios.belonging[fold == i] = _mixed(own[fold == i], own[fold != i], others, model)
        found[left_out] = ratios
    return found


def _mixed(
    scores: _Array, belonging: _Array, foreign: Mapping[str, ForeignGroup], model: FitRatio
) -> _Array:
    """The ratio against all groups, mixed in equal shares."""
    by_group = {name: model(belonging, group).log10_lr(scores) for name, group in foreign.items()}
    return pooled_log10_lr(by_group, dict.fromkeys(foreign, 1.0 / len(foreign)))


def _folds(num: int, folds: int, rng: np.random.Generator, name: str) -> NDArray[np.int_]:
    """The fold of each, as even as can be."""
    if not 2 <= folds <= num:
        raise ValueError(f"{folds} folds of {num} {name}: need at least 2, and one for each fold")
    return rng.permutation(np.arange(num) % folds)
