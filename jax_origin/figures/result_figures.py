"""Figures of measured results: rates by condition, and what recipes recover for their cost."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jax_origin.calibration.rules import clopper_pearson
from jax_origin.figures.look import FOREIGN, OWN, Drawn, colour

Row = Mapping[str, Any]

_RATES = {
    "recognised": "own images\nrecognised (TPR)",
    "attributed": "foreign images attributed\n(the worst group)",
}
_SHARES = {"recovered": "own images recovered", "tpr_at_1_fpr": "TPR at 1% FPR"}


def draw_robustness(rows: Sequence[Row]) -> Drawn:
    """Draws rates by the edit that images met, with exact 95% intervals, a colour for each series.

    Args:
      rows: The summary of an evaluation, each with inspected, method, edit, n, tpr and worst_fpr.
    """
    names = list(dict.fromkeys(_series(row) for row in rows))
    edits = list(dict.fromkeys(row["edit"] for row in rows))
    figure = Figure(figsize=(max(5.0, 1.6 + 0.14 * len(edits) * (2 + len(names))), 4.2))
    axes = figure.subplots(2, 1, sharex=True)
    numbers: dict[tuple[str, str], dict[str, Any]] = {}
    for axis, (rate, label), field in zip(axes, _RATES.items(), ("tpr", "worst_fpr"), strict=True):
        for row in rows:
            name = _series(row)
            place = edits.index(row["edit"])
            aside = 0.7 * ((names.index(name) + 0.5) / len(names) - 0.5)
            count = round(row[field] * row["n"])
            low, high = interval(count, row["n"])
            here = names.index(name)
            share = count / row["n"]
            axis.errorbar(
                place + aside,
                share,
                yerr=[[share - low], [high - share]],
                fmt="osD^vP*"[here % 7],
                color=colour(here),
                markersize=4,
                linewidth=1.2,
                label=name if place == 0 else None,
            )
            found = numbers.setdefault((name, row["edit"]), _head(row))
            found |= {rate: count, f"{rate}_low": low, f"{rate}_high": high}
        axis.set(ylabel=label, ylim=_reach(rate, list(numbers.values())))
        axis.yaxis.set_major_formatter(_percent)
        axis.grid(axis="y", color="0.9")
        for border in range(len(edits) - 1):
            axis.axvline(border + 0.5, color="0.93", linewidth=0.8, zorder=0)
    axes[1].set_xticks(range(len(edits)), edits, rotation=30, ha="right", rotation_mode="anchor")
    axes[1].set_xlim(-0.5, len(edits) - 0.5)
    axes[0].set_title("points: measured; bars: exact 95% intervals", loc="left")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return Drawn(figure, list(numbers.values()))


def draw_cost(rows: Sequence[Row]) -> Drawn:
    """Draws recipes as points: two shares against gradient evaluations an image, and the fronts.

    A recipe is on the front where no other one has as good a share for less. Stars mark those that
    the suite chose.

    Args:
      rows: Those of the suite `recovery`.
    """
    names = list(dict.fromkeys(row["generator"] for row in rows))
    figure = Figure(figsize=(9.6, 0.4 + 2.7 * len(names)))
    grid = figure.subplots(len(names), 2, squeeze=False, sharex=True)
    numbers = []
    for name, axes in zip(names, grid, strict=True):
        group = [row for row in rows if row["generator"] == name]
        chosen = [row["recipe"] for row in group if row["chosen"]]
        title = f"{name}; chosen: {', '.join(chosen)}" if chosen else name
        fronts = {share: _front(group, share) for share in _SHARES}
        for (share, label), axis in zip(_SHARES.items(), axes, strict=True):
            _recipes(axis, group, fronts[share], share)
            axis.set(title=title, ylabel=label, xscale="log", ylim=(-0.03, 1.12))
            axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
            axis.xaxis.set_minor_formatter(ticker.NullFormatter())
            axis.yaxis.set_major_formatter(_percent)
            axis.margins(x=0.15)
        numbers += [
            {
                **{"generator": name, "recipe": row["recipe"], "evaluations": _evaluations(row)},
                **{share: row[share] for share in _SHARES},
                **{f"on_front_of_{share}": row["recipe"] in fronts[share] for share in _SHARES},
                "chosen": row["chosen"],
            }
            for row in group
        ]
    for axis in grid[-1]:
        axis.set_xlabel("gradient evaluations an image (half of the images foreign)")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return Drawn(figure, numbers)


def interval(hits: int, num: int) -> tuple[float, float]:
    """The exact 95% limits of a rate of which `hits` of `num` were seen (Clopper and Pearson)."""
    low, high = (clopper_pearson(np.array([k]), num, 0.975)[0] for k in (num - hits, hits))
    return 1.0 - float(low), float(high)


def _reach(rate: str, rows: Sequence[Row]) -> tuple[float, float]:
    """The part of an axis of shares that intervals reach into, in tenths, and a little room."""
    low = 0.0 if rate == "attributed" else min(row[f"{rate}_low"] for row in rows)
    high = 1.0 if rate == "recognised" else max(row[f"{rate}_high"] for row in rows)
    low, high = math.floor(10 * low) / 10, math.ceil(10 * high) / 10
    room = 0.05 * (high - low)
    return low - room, high + room


@ticker.FuncFormatter
def _percent(share: float, _: int | None) -> str:
    return f"{100 * share:.3g}%"


def _series(row: Row) -> str:
    return f"{row['inspected']}, {row['method']}"


def _head(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("inspected", "method", "edit")} | {"images": row["n"]}


def _recipes(axis: Axes, rows: Sequence[Row], front: Sequence[str], share: str) -> None:
    every = [_evaluations(row) for row in rows], [row[share] for row in rows]
    axis.scatter(*every, s=14, c="0.7", label="recipe")
    by_recipe = {row["recipe"]: row for row in rows}
    points = [(_evaluations(by_recipe[name]), by_recipe[name][share]) for name in front]
    front_label = "the front: none has as much for less"
    axis.step(*zip(*points, strict=True), "o-", where="post", color=OWN, ms=4, label=front_label)
    for i, (name, point) in enumerate(zip(front, points, strict=True)):
        # Neighbours stand out of each other's way.
        _name(axis, name, point, 5 if i % 2 == 0 else -5)
    for row in rows:
        if row["chosen"]:
            place = _evaluations(row), row[share]
            axis.plot(*place, "*", color=FOREIGN, ms=11, mec="white", zorder=4, label="chosen")


def _name(axis: Axes, name: str, point: tuple[float, float], up: float) -> None:
    axis.annotate(
        name,
        point,
        xytext=(0, up) if up > 0 else (4, up),
        textcoords="offset points",
        fontsize=7,
        ha="center" if up > 0 else "left",
        va="bottom" if up > 0 else "top",
    )


def _front(rows: Sequence[Row], share: str) -> list[str]:
    """The recipes that no other one beats, cheapest first."""
    front, best = [], -math.inf
    for row in sorted(rows, key=lambda row: (_evaluations(row), -row[share])):
        if row[share] > best:
            best = row[share]
            front.append(row["recipe"])
    return front


def _evaluations(row: Row) -> float:
    """Gradient evaluations an image, as many belonging as foreign."""
    return float(row["evaluations_belonging"] + row["evaluations_foreign"]) / 2
