"""One look for all figures, and how they are written: a picture, and its numbers beside it."""

import contextlib
import csv
import logging
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure

from jax_origin.files import atomic_write

logging.getLogger("matplotlib").setLevel(logging.WARNING)

OWN, FOREIGN, OTHER, UNSURE = "#0072B2", "#D55E00", "#E69F00", "#777777"
"""Of Okabe and Ito's palette, which colour-blind readers tell apart, and grey."""

COLOURS = (OWN, FOREIGN, "#009E73", "#CC79A7", OTHER, "#56B4E9", "#000000")
"""Lines take them in this order; the palette's yellow is too pale for a line on white."""

FORMATS = (".png", ".svg")
"""What a figure is written as, by the end of its name."""

STYLE: dict[Any, Any] = {
    **{"font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8},
    **{"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False},
    **{"figure.facecolor": "white", "figure.constrained_layout.use": True},
    # Text of an SVG stays text, and the same figure has the same bytes.
    **{"svg.fonttype": "none", "svg.hashsalt": "jax_origin"},
}
"""Letters and lines of all figures."""

WIDTH = 6.4
"""Inches of a figure that stands alone."""

_DOTS = 130  # To the inch.


class FigureError(ValueError):
    """What was given cannot be drawn; one line says why."""


class Drawn(NamedTuple):
    """A figure, and a row for each mark in it: the numbers that it shows, by what they are."""

    figure: Figure
    rows: list[dict[str, Any]]


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Figures that are made and written inside have the look."""
    with matplotlib.rc_context(STYLE):
        yield


def colour(place: int) -> str:
    """The colour of the line at this place; they come again after the last."""
    return COLOURS[place % len(COLOURS)]


def line(place: int) -> str:
    """The dashes of that line: another pattern each time that the colours come again."""
    return ("-", "--", "-.", ":")[place // len(COLOURS) % 4]


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a picture as its name says, whole or not at all; see `FORMATS`.

    Raises:
      FigureError: If its name ends otherwise.
      OSError: If it cannot be written.
    """
    form = pathlib.Path(path).suffix.lower()
    if form not in FORMATS:
        raise FigureError(f"{os.fspath(path)}: name a file that ends in {' or '.join(FORMATS)}")
    options: dict[str, Any] = {"metadata": {"Date": None}}
    if form == ".png":
        options = {"metadata": {"Software": None}, "pil_kwargs": {"optimize": True}}
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=form[1:], dpi=_DOTS, **options)


def write_numbers(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes what a picture shows beside it, as CSV under the same stem; returns where."""
    beside = pathlib.Path(path).with_suffix(".csv")
    fields = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_write(beside) as temporary, open(temporary, "w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return beside
