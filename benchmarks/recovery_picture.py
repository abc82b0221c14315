"""The picture of a recovery sweep: each recipe's shares against its cost, and the front.

python -m benchmarks.recovery_picture FILE.json FILE.png
"""

import json
import logging
import os
import pathlib
import sys
from collections.abc import Sequence

import matplotlib

matplotlib.use("agg")

from matplotlib import pyplot, ticker
from matplotlib.axes import Axes

from benchmarks.recovery import mean_evaluations, pareto_front
from benchmarks.subjects import Row
from jax_origin.files import atomic_write

logging.getLogger("matplotlib").setLevel(logging.WARNING)
_SHARES = {"recovered": "own images recovered", "tpr_at_1_fpr": "TPR at 1% FPR"}


def draw_recovery(rows: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Draws recipes as points: mean gradient evaluations an image against two shares.

    Args:
      rows: As `benchmarks.recovery.mark_choice` returns them.
      path: The PNG to write.
    """
    names = list(dict.fromkeys(row["generator"] for row in rows))
    size = (11, 4.5 * len(names))
    figure, grid = pyplot.subplots(len(names), 2, figsize=size, squeeze=False, sharex=True)
    for name, axes in zip(names, grid, strict=True):
        group = [row for row in rows if row["generator"] == name]
        for (share, label), axis in zip(_SHARES.items(), axes, strict=True):
            _draw(axis, group, share)
            axis.set(title=name, ylabel=label, xscale="log", ylim=(-0.03, 1.08))
            axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
            axis.xaxis.set_minor_formatter(ticker.NullFormatter())
            axis.margins(x=0.2)
    for axis in grid[-1]:
        axis.set_xlabel("gradient evaluations an image (half of the images foreign)")
    figure.tight_layout()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _draw(axis: Axes, rows: Sequence[Row], share: str) -> None:
    costs = [mean_evaluations(row) for row in rows]
    axis.scatter(costs, [row[share] for row in rows], s=14, color="0.65")
    by_recipe = {row["recipe"]: row for row in rows}
    front = [by_recipe[recipe] for recipe in pareto_front(rows, share)]
    points = [(mean_evaluations(row), row[share]) for row in front]
    axis.step(*zip(*points, strict=True), where="post", color="tab:blue", linewidth=1)
    for row, point in zip(front, points, strict=True):
        axis.annotate(row["recipe"], point, xytext=(3, 3), textcoords="offset points", fontsize=7)
    for row in rows:
        if row["chosen"]:
            axis.scatter(mean_evaluations(row), row[share], s=60, color="tab:red", marker="*")


def main(arguments: list[str]) -> None:
    """Draws the rows of a file."""
    if len(arguments) != 2:
        raise SystemExit("recovery_picture: give the JSON file to read and the PNG to write")
    try:
        content = json.loads(pathlib.Path(arguments[0]).read_text(encoding="ascii"))
        draw_recovery([row for row in content["rows"] if row["name"] == "recovery"], arguments[1])
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"recovery_picture: {arguments[0]}: {error}") from None


if __name__ == "__main__":
    main(sys.argv[1:])
