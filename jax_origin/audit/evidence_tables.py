"""How good calibrations are: the cost of their ratios, and limits on attributions."""

import contextlib
from collections.abc import Mapping

import numpy as np

from jax_origin.calibration import (
    AS_MADE,
    Calibration,
    Conformal,
    ForeignGroup,
    limits_of_q,
    origin_and_condition,
)
from jax_origin.calibration.false_attribution import upper_limit
from jax_origin.calibration.rules import percent
from jax_origin.evidence import (
    Ratios,
    cllr,
    cllr_interval,
    cross_fitted,
    leave_one_group_out,
    scores_under,
)
from jax_origin.evidence.explain import excluding_rank
from jax_origin.runs import table

_MOST_FOLDS = 10


def cost_table(calibrations: Mapping[str, Calibration]) -> str:
    """Cllr of each candidate against each foreign group, for each condition; cross-fitted.

    It gives a Markdown table of the calibrations by candidate, and under it why cells are empty.
    """
    columns = dict.fromkeys(name for c in calibrations.values() for name in c.conditions)
    rows, reasons = [], dict[str, None]()
    for candidate, calibration in calibrations.items():
        unknown = _left_out(calibration)
        groups = {name for c in (AS_MADE, *columns) for name in scores_under(calibration, c)[1]}
        for group in sorted(groups):
            cells = []
            for condition in (AS_MADE, *columns):
                belonging, foreign = scores_under(calibration, condition)
                try:
                    both = belonging.size and group in foreign
                    cells.append(_cost(belonging, foreign[group]) if both else "-")
                except ValueError as error:
                    reasons[f"{group}: {error}."] = None
                    cells.append("-")
            rows.append([candidate, group, *cells, unknown.get(group, "-")])
    lines = table(["candidate", "against", AS_MADE, *columns, "group left out"], rows)
    return "\n".join([lines, *(f"\n{reason}" for reason in reasons)])


def attribution_table(calibrations: Mapping[str, Calibration], *, rate: float) -> str:
    """Limits on how often images of each foreign group are attributed; see `limits_of_q`.

    It gives a Markdown table of the calibrations by candidate, for the `rate` in (0, 1) that q is
    held to, each with the count that it rests on. A group has several lines where its edits have
    different limits.
    """
    rows: dict[tuple[str, ...], list[str]] = {}
    for candidate, calibration in calibrations.items():
        limits = limits_of_q(calibration.foreign, rate=rate)
        for name, group in limits.groups.items():
            if group.limit is None or group.joint_limit is None:
                cells = (f"none: used for {', '.join(group.used_for)}", "-")
            elif not group.limit:
                cells = ("0%: too few to attribute", "0%")
            else:
                worst = " (worst)" if group.limit == limits.worst else ""
                cells = (f"{percent(group.limit)}{worst}", percent(group.joint_limit))
            origin, condition = origin_and_condition(name, calibration)
            row = (candidate, origin, f"{group.false} of {group.independent}", *cells)
            rows.setdefault(row, []).append(condition)
    head = ["candidate", "foreign group", "sources as low", "limit", "all at once", "conditions"]
    return table(head, [[*row, ", ".join(conditions)] for row, conditions in rows.items()])


def excluded_at_most(calibration: Calibration, alpha: float) -> str:
    """The upper 95% limit on how often own images are excluded, with its count.

    It is the largest of the conditions'. An image is excluded by its rank: under k of N own scores
    at the most. So the rate follows Beta(k + 1, N - k) over calibrations, and its upper quantile is
    the Clopper-Pearson limit for k of N; see `limits_of_q`. Other rules than the conformal one
    promise nothing.
    """
    if calibration.rule.kind != Conformal.kind:
        return f"not known ({calibration.rule.kind})"
    found = []
    for scores in calibration.belonging_by_condition.values():
        rank = excluding_rank(calibration.rule, scores.size, alpha)
        if not rank:
            return "0%: too few to exclude"
        count = f"{rank - 1} of {scores.size}"
        found.append((upper_limit(rank - 1, scores.size), count))
    limit, count = max(found)
    return f"{percent(limit)} ({count})"


def cross_fitted_ratios(calibration: Calibration, condition: str) -> dict[str, Ratios]:
    """The ratios of a calibration's own scores under one condition, by foreign group.

    A group is left out if it has too few sources, or if the sources of its scores are not known.
    """
    belonging, foreign = scores_under(calibration, condition)
    found = {}
    for name, group in foreign.items():
        with contextlib.suppress(ValueError):
            found[name] = _ratios(belonging, group)
    return found


def _ratios(belonging: np.ndarray, group: ForeignGroup) -> Ratios:
    folds = min(_MOST_FOLDS, belonging.size, group.independent)
    return cross_fitted(belonging, group, folds=folds)


def _cost(belonging: np.ndarray, group: ForeignGroup) -> str:
    ratios = _ratios(belonging, group)
    found = cllr_interval(*ratios, sources=group.source_index())
    cost = f"{found.value.cllr:.3f} ({found.low:.3f} to {found.high:.3f})"
    return cost + _no_data(ratios)


def _no_data(ratios: Ratios) -> str:
    return f", {ratios.num_without_data} no data" if ratios.num_without_data else ""


def _left_out(calibration: Calibration) -> dict[str, str]:
    """Cllr of each group as made, by ratios against the others alone."""
    belonging, foreign = scores_under(calibration, AS_MADE)
    try:
        found = leave_one_group_out(belonging, foreign, folds=min(_MOST_FOLDS, belonging.size))
    except ValueError:  # One group alone, or too few images: the column stays empty.
        return {}
    return {name: f"{cllr(*r).cllr:.3f}{_no_data(r)}" for name, r in found.items()}
