"""Figures of single images: how near a generator comes to each, and on which way."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jax_origin.figures.look import FOREIGN, OWN, UNSURE, WIDTH, Drawn, FigureError, colour, line
from jax_origin.inversion import Recipe
from jax_origin.workflow import Verdict

GAIN = 8
"""How many times a residual is enlarged."""

_COLOURS = {"belongs": OWN, "not_recognised": FOREIGN}
_FEW = 10  # Lines that a legend names.
_LOWEST = 1e-9  # An axis of logarithms has no 0.


def draw_curves(
    verdicts: Sequence[Verdict], recipe: Recipe, *, latent_shape: Sequence[int]
) -> Drawn:
    """Draws the lowest distance so far against gradient evaluations, a line for each image.

    A line ends with its image's inversion. Up to ten images have a colour each, and names; of more,
    each verdict has one.

    Raises:
      FigureError: If none was inverted.
    """
    figure = Figure(figsize=(WIDTH, 3.8))
    axis = figure.subplots()
    costs = np.array(recipe.evaluations_by_check(latent_shape))
    drawn = [verdict for verdict in verdicts if verdict.inversion is not None]
    if not drawn:
        raise FigureError(f"no image could be inverted: {_errors(verdicts)}")
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for place, verdict in enumerate(drawn):
        inversion: Any = verdict.inversion
        said, name = _said(verdict), _name(verdict)
        # What follows the end repeats the last value.
        ends = min(int(np.searchsorted(costs, inversion.steps)) + 1, len(costs))
        curve = np.asarray(inversion.curve, np.float64)[:ends]
        few = len(drawn) <= _FEW
        label = f"{name}: {said}" if few else (said if said not in seen else None)
        seen.add(said)
        look: dict[str, Any] = {"color": colour(place), "linestyle": line(place)}
        if not few:
            look = {"color": _COLOURS.get(verdict.verdict or "", UNSURE), "alpha": 0.6}
        shown = np.maximum(curve, recipe.floor or _LOWEST)
        axis.plot(costs[:ends], shown, linewidth=1.3, label=label, **look)
        axis.plot(costs[ends - 1], shown[-1], "o", markersize=3.5, **look)
        rows += [
            {"image": verdict.path, "verdict": verdict.verdict, "evaluations": cost, "distance": d}
            for cost, d in zip(costs[:ends].tolist(), curve.tolist(), strict=True)
        ]
    axis.set(yscale="log", xlabel="gradient evaluations", ylabel="lowest distance so far")
    axis.set_title(f"{drawn[0].generator}, {drawn[0].method}; a dot: the end", loc="left")
    figure.legend(loc="outside right upper")
    return Drawn(figure, rows)


def draw_pictures(verdicts: Sequence[Verdict]) -> Drawn:
    """Draws each image, the nearest that the generator makes, their difference, and the verdict.

    Raises:
      FigureError: If none could be examined.
    """
    if all(verdict.error for verdict in verdicts):
        raise FigureError(f"no image could be examined: {_errors(verdicts)}")
    figure = Figure(figsize=(WIDTH, 0.5 + 1.3 * len(verdicts)))
    grid = figure.subplots(len(verdicts), 4, squeeze=False, width_ratios=(1, 1, 1, 1.7))
    heads = ("the file", "nearest image\nof the model", f"difference, ×{GAIN}", "verdict")
    for axes, verdict in zip(grid, verdicts, strict=True):
        for axis, picture in zip(axes, _pictures(verdict), strict=False):
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if picture is not None:
                grey = {"cmap": "grey", "vmin": 0, "vmax": 1} if picture.ndim == 2 else {}
                axis.imshow(picture, interpolation="nearest", **grey)
        text, said = axes[3], _said(verdict)
        text.axis("off")
        text.set(xlim=(0, 1), ylim=(0, 1))
        shown = _COLOURS.get(verdict.verdict or "", UNSURE)
        text.text(0, 0.72, said, fontsize=12, color=shown, weight="bold", va="center")
        text.text(0, 0.52, "\n".join(_numbers(verdict)), va="top", fontsize=8, wrap=True)
    for axis, head in zip(grid[0], heads, strict=True):
        axis.set_title(head, loc="left" if head == "verdict" else "center")
    fields = ("path", "verdict", "reason", "p", "q", "score", "loss", "steps", "error")
    records: list[Mapping[str, Any]] = [verdict.record() for verdict in verdicts]
    return Drawn(figure, [{name: record[name] for name in fields} for record in records])


def _pictures(verdict: Verdict) -> list[Any]:
    """File, reconstruction and difference, [H, W, 3] or [H, W]; None for what there is not."""
    image = None if verdict.image is None else verdict.image.pixels / 255
    made = verdict.reconstruction
    away = None
    if image is not None and made is not None and image.shape == made.shape:
        away = np.clip(GAIN * np.abs(image - made), 0, 1)
    return [
        picture[..., 0] if picture is not None and picture.shape[2] == 1 else picture
        for picture in (image, made, away)
    ]


def _numbers(verdict: Verdict) -> list[str]:
    if verdict.error is not None:
        return [_name(verdict), verdict.error]
    q = "" if verdict.q is None else f", q = {verdict.q:.3f}"
    lines = [_name(verdict), f"p = {verdict.p:.3f}{q}"]
    return [*lines, verdict.reason] if verdict.reason else lines


def _name(verdict: Verdict) -> str:
    return "" if verdict.path is None else pathlib.PurePath(verdict.path).name


def _said(verdict: Verdict) -> str:
    return (verdict.verdict or "not examined").replace("_", " ")


def _errors(verdicts: Sequence[Verdict]) -> str:
    first = next((verdict for verdict in verdicts if verdict.error), None)
    return "there is none" if first is None else f"{first.path}: {first.error}"
