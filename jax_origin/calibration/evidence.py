"""Evidence: the likelihood ratio of a score, made by the generator against from a foreign group.

A ratio answers: how much more probable is such a score for an image that the generator made, under
the settings calibrated, than for an image of this foreign group? It is not the probability that the
generator made the image, and it holds for that group alone, or for the mixture of groups named.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from jax_origin.calibration.calibration import AS_MADE, Calibration
from jax_origin.calibration.conditions import origin_and_condition, parse_condition
from jax_origin.calibration.discoveries import require_full_scores
from jax_origin.calibration.foreign import ForeignGroup
from jax_origin.calibration.likelihood_ratio import LR_MODELS, RatioModel, finite_scores

_Array = NDArray[np.float64]


def scores_under(
    calibration: Calibration, condition: str
) -> tuple[_Array, dict[str, ForeignGroup]]:
    """The scores that a ratio compares: belonging and foreign images that met the same condition.

    Args:
      calibration: the calibration.
      condition: "as made", or another that it has; see `parse_condition`.

    Returns:
      Belonging scores [N], and the foreign groups that were edited alike, by their names without
      the edit; all clamped at the calibration's floor. Without belonging scores of that condition,
      or foreign ones, there is nothing to compare: an empty array, or no groups.
    """
    own = calibration.belonging_by_condition.get(condition, np.zeros(0))
    foreign, met = {}, parse_condition(condition).edit or AS_MADE
    for name, group in calibration.foreign.items():
        origin, edit = origin_and_condition(name, calibration)
        if edit == met:
            foreign[origin] = replace(group, scores=np.maximum(group.scores, calibration.floor))
    return np.maximum(own, calibration.floor), foreign


def log10_lr_by_group(
    scores: ArrayLike,
    belonging: ArrayLike,
    foreign: Mapping[str, ForeignGroup],
    *,
    model: str = "pav",
    score_kinds: Iterable[str] = (),
    **options: Any,
) -> dict[str, NDArray[np.float64]]:
    """The log10 likelihood ratio of each score against each foreign group.

    Args:
      scores: [N], of new images: full scores, finite.
      belonging: scores of images known to belong, [M].
      foreign: foreign groups by name, at least one.
      model: a name in `LR_MODELS`.
      score_kinds: the records' score_kind, where at hand: upper bounds are refused, for the ratio
        of a bound is no ratio.
      **options: the model's.

    Returns:
      [N] by name of the group.

    Raises:
      ValueError: upper bounds, no group, no such model, or scores that the model refuses.
    """
    require_full_scores(score_kinds)
    models = _fitted(belonging, foreign, model, options)
    return {name: fitted.log10_lr(scores) for name, fitted in models.items()}


def pooled_log10_lr(
    by_group: Mapping[str, ArrayLike], mixture: Mapping[str, float]
) -> NDArray[np.float64]:
    """The log10 likelihood ratio against a mixture of foreign groups, which has to be named.

    The density of a score under the mixture is the weighted mean of the groups' densities, so the
    ratio is the weighted harmonic mean of the groups' ratios.

    Args:
      by_group: log10 ratios [N] by group, as `log10_lr_by_group` gives them.
      mixture: the share of each group in the mixture, 0 or more, 1 in all.

    Returns:
      [N].

    Raises:
      ValueError: shares that are no mixture, or of a group without ratios.
    """
    unknown = sorted(set(mixture) - set(by_group))
    if unknown:
        raise ValueError(f"the mixture names {', '.join(unknown)}, which have no ratios")
    shares = np.array(list(mixture.values()), np.float64)
    if not (shares >= 0).all() or not math.isclose(shares.sum(), 1.0, abs_tol=1e-9):
        raise ValueError(
            f"the mixture's shares must be 0 or more and sum to 1; got {dict(mixture)}"
        )
    ratios = np.stack([np.asarray(by_group[name], np.float64) for name in mixture])
    inverse = special.logsumexp(-ratios * math.log(10), b=shares[:, None], axis=0)
    return np.asarray(-inverse / math.log(10))


class LeastRatio(NamedTuple):
    """The least log10 likelihood ratio of each of N scores over the foreign groups.

    Attributes:
      log10_lr: [N].
      against: the group that gives it, for each score; the first in order where several do.
      low: the least ratio that the counts of this group support, [N].
      high: the largest one, [N].
      by_group: the ratio against each group, [N] by name.
    """

    log10_lr: NDArray[np.float64]
    against: list[str]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    by_group: dict[str, NDArray[np.float64]]


def least_log10_lr(
    scores: ArrayLike,
    belonging: ArrayLike,
    foreign: Mapping[str, ForeignGroup],
    *,
    model: str = "pav",
    score_kinds: Iterable[str] = (),
    **options: Any,
) -> LeastRatio:
    """The ratio of each score against the foreign group that speaks most for another origin.

    The ratio against a mixture of the groups, whatever their shares, is no less: it is a mean of
    theirs (`pooled_log10_lr`).

    Args:
      scores: [N], of new images: full scores, finite.
      belonging: scores of images known to belong, [M].
      foreign: foreign groups by name, at least one.
      model: a name in `LR_MODELS`.
      score_kinds: the records' score_kind, where at hand: upper bounds are refused.
      **options: the model's.

    Returns:
      The least ratio of each score, against which group, and that group's limits.

    Raises:
      ValueError: as `log10_lr_by_group` does.
    """
    require_full_scores(score_kinds)
    models = _fitted(belonging, foreign, model, options)
    by_group = {name: fitted.log10_lr(scores) for name, fitted in models.items()}
    ratios = np.stack(list(by_group.values()))
    limits = np.array([fitted.limits for fitted in models.values()])
    names, which = list(models), ratios.argmin(axis=0)
    against = [names[i] for i in which]
    return LeastRatio(ratios.min(axis=0), against, limits[which, 0], limits[which, 1], by_group)


class Ratios(NamedTuple):
    """Log10 likelihood ratios of images whose origin is known.

    Attributes:
      belonging: [N], of belonging images.
      foreign: [M], of foreign ones.
    """

    belonging: NDArray[np.float64]
    foreign: NDArray[np.float64]


def cross_fitted(
    belonging: ArrayLike,
    foreign: ForeignGroup,
    *,
    model: str = "pav",
    folds: int = 10,
    seed: int = 0,
    **options: Any,
) -> Ratios:
    """The ratio of each calibration score, by a model that was fitted without its fold.

    Args:
      belonging: [N], N >= folds.
      foreign: the group, of at least `folds` sources; a source's scores stay in one fold.
      model: a name in `LR_MODELS`.
      folds: at least 2.
      seed: of the folds' random choice.
      **options: the model's.

    Returns:
      The ratios, in the scores' order.

    Raises:
      ValueError: too few scores for the folds; a group of which only the number of sources is
        known; no such model.
    """
    build, own = _model(model), finite_scores(belonging, "belonging scores", at_least=2)
    rng = np.random.default_rng(seed)
    own_fold = _folds(own.size, folds, rng, "belonging scores")
    source_fold = _folds(foreign.independent, folds, rng, "foreign sources")
    source = foreign.source_index()
    ratios = Ratios(np.empty(own.size), np.empty(foreign.scores.size))
    for fold in range(folds):
        here, there = own_fold == fold, source_fold[source] == fold
        fitted = build(own[~here], foreign.subset(~there), **options)
        ratios.belonging[here] = fitted.log10_lr(own[here])
        ratios.foreign[there] = fitted.log10_lr(foreign.scores[there])
    return ratios


def leave_one_group_out(
    belonging: ArrayLike,
    foreign: Mapping[str, ForeignGroup],
    *,
    model: str = "pav",
    folds: int = 10,
    seed: int = 0,
    **options: Any,
) -> dict[str, Ratios]:
    """What the ratio would have said of each foreign group, had it not been known.

    For each group the ratio is that against the others, mixed in equal shares; belonging scores are
    cross-fitted. A large Cllr for a group says that ratios do not carry over to an origin like it.

    Args:
      belonging: [N], N >= folds.
      foreign: at least two groups by name.
      model: a name in `LR_MODELS`.
      folds: of the belonging scores, at least 2.
      seed: of the folds' random choice.
      **options: the model's.

    Returns:
      Ratios of the belonging scores and of the left-out group's, by the group's name.

    Raises:
      ValueError: fewer than two groups, too few scores for the folds, or no such model.
    """
    if len(foreign) < 2:
        raise ValueError(f"leaving a group out needs at least two; got {len(foreign)}")
    own = finite_scores(belonging, "belonging scores", at_least=2)
    fold = _folds(own.size, folds, np.random.default_rng(seed), "belonging scores")
    found = {}
    for left_out, group in foreign.items():
        others = {name: other for name, other in foreign.items() if name != left_out}
        ratio = partial(_against_all, others, model, options)
        ratios = Ratios(np.empty(own.size), ratio(group.scores, own))
        for i in range(folds):
            ratios.belonging[fold == i] = ratio(own[fold == i], own[fold != i])
        found[left_out] = ratios
    return found


def _against_all(
    foreign: Mapping[str, ForeignGroup],
    model: str,
    options: Mapping[str, Any],
    scores: _Array,
    belonging: _Array,
) -> _Array:
    """Returns the ratio against all groups, mixed in equal shares."""
    by_group = log10_lr_by_group(scores, belonging, foreign, model=model, **options)
    return pooled_log10_lr(by_group, dict.fromkeys(foreign, 1.0 / len(foreign)))


def _fitted(
    belonging: ArrayLike,
    foreign: Mapping[str, ForeignGroup],
    model: str,
    options: Mapping[str, Any],
) -> dict[str, RatioModel]:
    if not foreign:
        raise ValueError("there is no foreign group to weigh belonging against")
    build = _model(model)
    return {name: build(belonging, group, **options) for name, group in foreign.items()}


def _model(name: str) -> Callable[..., RatioModel]:
    if name not in LR_MODELS:
        raise ValueError(f"unknown model {name!r}; choose from {', '.join(LR_MODELS)}")
    return LR_MODELS[name]


def _folds(num: int, folds: int, rng: np.random.Generator, name: str) -> NDArray[np.int_]:
    """Returns the fold of each, as even as can be."""
    if not 2 <= folds <= num:
        raise ValueError(f"{folds} folds of {num} {name}: need at least 2, and one for each fold")
    return rng.permutation(np.arange(num) % folds)
