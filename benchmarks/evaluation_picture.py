"""The picture of an evaluation: scores by group, rates by method, or rates by calibration size.

python -m benchmarks.evaluation_picture FILE.json FILE.png
"""

import json
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("agg")

from matplotlib import pyplot, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.protocol import QUANTILES
from jax_origin.figures.look import FOREIGN, OWN, colour
from jax_origin.files import atomic_write

_COLUMNS = 4
_LOWEST = 1e-9  # Scores under it are drawn here: an axis of logarithms has no 0.
_LEGEND = "bar: half of the scores; line: all but a tenth; ends: least and largest"
_Result = Mapping[str, Any]


def draw_evaluation(result: _Result, path: str | os.PathLike[str]) -> None:
    """Draws what `scripts/evaluate.py` measured.

    Args:
      result: Its JSON file's content; config.picture says what is drawn.
      path: The PNG to write.

    Raises:
      ValueError: If there is no such picture.
    """
    kind = result["config"]["picture"]
    if kind not in _PICTURES:
        raise ValueError(f"picture={kind!r}: choose from {', '.join(_PICTURES)}")
    figure = _PICTURES[kind](result)
    height = figure.get_figheight()
    figure.suptitle(result["config"]["title"], y=1 - 0.1 / height, va="top")
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / height))
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _scores(result: _Result) -> Figure:
    """A panel for each comparison: the scores of its own images, and of each foreign group."""
    summary = result["summary"]
    groups = [
        [row for row in result["rows"] if _comparison(row) == _comparison(each)] for each in summary
    ]
    each = len(summary) // len({row["inspected"] for row in summary})
    even = (num for num in range(_COLUMNS, 1, -1) if each % num == 0)
    columns = next(even, min(_COLUMNS, len(summary)))
    lines = -(-len(summary) // columns)
    size = (1 + 4.5 * columns, 1 + lines * (0.9 + 0.3 * max(map(len, groups))))
    figure, grid = pyplot.subplots(lines, columns, figsize=size, squeeze=False, sharex="col")
    for axis in grid.flat[len(summary) :]:
        axis.axis("off")
    for axis, own, foreign in zip(grid.flat, summary, groups, strict=False):
        names = ["own", *(row["group"] for row in foreign)]
        for place, row in enumerate((own, *foreign)):
            _spread(axis, place, row["score_quantiles"], FOREIGN if place else OWN)
        what = [own["inspected"], own["method"], own["edit"]]
        axis.set_title(", ".join(what[: 2 if own["edit"] == "clean" else 3]), fontsize=9)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.set_xscale("log")
        low, high = axis.get_xlim()
        # Under two decades 2 and 5 are written too; all that lies between would be on top of each.
        axis.xaxis.set_minor_formatter(
            _two_and_five if high < 100 * low else ticker.NullFormatter()
        )
        axis.grid(axis="x", alpha=0.3)
        axis.tick_params(axis="x", which="both", labelbottom=True, labelsize=8)
    figure.supxlabel(f"score ({_LEGEND})", fontsize=8)
    return figure


@ticker.FuncFormatter
def _two_and_five(value: float, _: int | None) -> str:
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def _spread(axis: Axes, place: int, quantiles: Sequence[float | None], color: str) -> None:
    known = [score for score in quantiles if score is not None]
    if not known:
        return
    # What is infinite is drawn at the largest finite score.
    drawn = [max(known[-1] if score is None else score, _LOWEST) for score in quantiles]
    at = dict(zip(QUANTILES, drawn, strict=True))
    axis.plot([at[0.0], at[1.0]], [place, place], "|", color=color, markersize=7)
    axis.plot([at[0.05], at[0.95]], [place, place], color=color, linewidth=1)
    axis.plot([at[0.25], at[0.75]], [place, place], color=color, linewidth=5, alpha=0.5)
    axis.plot([at[0.5]], [place], "o", color=color, markersize=4)


def _methods(result: _Result) -> Figure:
    """Each method as a line: what it separates, and its gradient evaluations an image."""
    names = list(dict.fromkeys(row["inspected"] for row in result["summary"]))
    methods = list(dict.fromkeys(row["method"] for row in result["summary"]))
    size = (12, 1 + len(names) * (1 + 0.25 * len(methods)))
    figure, grid = pyplot.subplots(len(names), 2, figsize=size, squeeze=False, sharey="row")
    for name, (left, right) in zip(names, grid, strict=True):
        rows = [row for row in result["summary"] if row["inspected"] == name]
        places = range(len(rows))
        for field, (label, marker) in _SHARES.items():
            shares = [row[field] for row in rows]
            left.plot(shares, places, marker, label=label, alpha=0.8, fillstyle="none")
        left.set(title=name, xlabel="share", xlim=(-0.03, 1.03))
        left.set_yticks(places, [row["method"] for row in rows], fontsize=8)
        left.set_ylim(len(rows) - 0.5, -0.5)
        left.legend(fontsize=8, loc="center")
        costs = [row["mean_steps"] for row in rows]
        right.barh(places, costs, height=0.5, color="0.7")
        for place, cost in zip(places, costs, strict=True):
            right.annotate(f" {cost:,.0f}", (cost, place), fontsize=7, va="center")
        right.set(title=name, xlabel="gradient evaluations an image, all groups", xscale="log")
        right.margins(x=0.1)
        for axis in (left, right):
            axis.grid(axis="both", alpha=0.3)
    return figure


_SHARES = {
    "tpr": ("TPR", "o"),
    "smallest_tpr_at_1_fpr": ("least TPR at 1% FPR", "s"),
    "worst_fpr": ("worst FPR", "x"),
    "loss_under_1e-5": ("own with a loss < 1e-5", "+"),
}


def _sizes(result: _Result) -> Figure:
    """For each comparison: own images excluded, and foreign ones accepted, by N."""
    names = list(dict.fromkeys((row["inspected"], row["method"]) for row in result["sizes"]))
    size = (12, 0.5 + 3.2 * len(names))
    figure, grid = pyplot.subplots(len(names), 2, figsize=size, squeeze=False)
    for name, (left, right) in zip(names, grid, strict=True):
        rows = [r for r in result["sizes"] if (r["inspected"], r["method"]) == name]
        alphas = list(dict.fromkeys(row["alpha"] for row in rows))
        for place, alpha in enumerate(alphas):
            color = colour(place)
            left.axhline(alpha, color=color, linestyle=":", linewidth=1)
            for rule, style in zip(
                dict.fromkeys(r["rule"] for r in rows), ("o--", "s-"), strict=True
            ):
                drawn = [
                    row
                    for row in rows
                    if (row["alpha"], row["rule"]) == (alpha, rule) and row["tpr"] is not None
                ]
                nums = [row["num"] for row in drawn]
                label = f"{rule}, alpha {alpha:g}"
                excluded = [1 - row["tpr"] for row in drawn]
                left.plot(nums, excluded, style, color=color, label=label, markersize=4)
                accepted = [row["fpr"] for row in drawn]
                right.plot(nums, accepted, style, color=color, markersize=4)
        title = ", ".join(name)
        left.set(title=title, ylabel="own images excluded (dotted: alpha)")
        right.set(title=title, ylabel="worst group's share accepted", ylim=(-0.03, 1.03))
        for axis in (left, right):
            axis.set(xscale="log", xlabel="N belonging scores")
            axis.set_xticks(_nums(rows), [f"{num:,}" for num in _nums(rows)])
            axis.xaxis.set_minor_formatter(ticker.NullFormatter())
            axis.grid(alpha=0.3)
        left.legend(fontsize=7)
    return figure


def _nums(rows: Sequence[_Result]) -> list[int]:
    return sorted({row["num"] for row in rows})


def _comparison(row: _Result) -> tuple[str, str, str]:
    return row["inspected"], row["method"], row["edit"]


_PICTURES = {"scores": _scores, "methods": _methods, "sizes": _sizes}


def main(arguments: list[str]) -> None:
    """Draws the content of a file."""
    if len(arguments) != 2:
        raise SystemExit("evaluation_picture: give the JSON file to read and the PNG to write")
    try:
        content = json.loads(pathlib.Path(arguments[0]).read_text(encoding="ascii"))
        draw_evaluation(content, arguments[1])
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"evaluation_picture: {arguments[0]}: {error}") from None


if __name__ == "__main__":
    main(sys.argv[1:])
