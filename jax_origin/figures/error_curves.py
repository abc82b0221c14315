"""What a threshold on scores would let through: ROC and DET curves."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy import special

from jax_origin.figures.look import Drawn, FigureError, colour, line

_Array = NDArray[np.float64]
_MOST_PANELS = 12
_PERCENT = (0.001, 0.01, 0.1, 1, 5, 20, 50, 80, 95, 99)


class Curve(NamedTuple):
    """The two rates of error of every threshold: images at or under it are taken for own ones.

    Attributes:
      foreign: Who made the foreign images.
      threshold: Float64 [K], rising.
      fpr: The share of foreign images that is taken for own ones, [K].
      tpr: The share of own images that is, [K].
      num_own: How many own images there are.
      num_foreign: How many foreign ones.
      auc: The area under the ROC curve.
    """

    foreign: str
    threshold: _Array
    fpr: _Array
    tpr: _Array
    num_own: int
    num_foreign: int
    auc: float


def curve_of_scores(own: ArrayLike, foreign: ArrayLike, name: str) -> Curve:
    """The curve of scores of own and of foreign images, at least one of each; lower is nearer."""
    ours, theirs = (np.sort(np.asarray(scores, np.float64)) for scores in (own, foreign))
    every = np.unique(np.concatenate([ours, theirs]))
    tpr, fpr = (np.searchsorted(s, every, side="right") / s.size for s in (ours, theirs))
    area = float(np.trapezoid(np.append(0.0, tpr), np.append(0.0, fpr)))
    return Curve(name, every, fpr, tpr, ours.size, theirs.size, area)


def curve_of_quantiles(
    own: Sequence[float | None],
    foreign: Sequence[float | None],
    shares: Sequence[float],
    name: str,
    *,
    num: int,
    auc: float,
) -> Curve:
    """The curve between quantiles of scores, of `num` images each, straight on a log axis.

    Args:
      own: The scores under which these shares of own images lie; None for an infinite one.
      foreign: The same of foreign images.
      shares: Rising.
      name: Who made the foreign images.
      num: How many own images there are, and foreign ones.
      auc: The area under the curve, as it was measured.
    """
    known = [np.array([np.inf if s is None else s for s in q], np.float64) for q in (own, foreign)]
    every = np.unique(np.concatenate(known))
    every = every[np.isfinite(every)]
    tpr, fpr = (_shares_under(every, quantiles, shares, num) for quantiles in known)
    return Curve(name, every, fpr, tpr, num, num, auc)


def draw_roc(panels: Mapping[str, Sequence[Curve]], *, read_off: str = "") -> Drawn:
    """Draws ROC curves, a panel for each title; false positives on an axis of logarithms.

    `read_off` says what curves were read off, where they are not of scores themselves.
    """
    figure, axes = _panels(panels)
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
        least = min(_least(curve.num_foreign) for curve in curves)
        for place, curve in enumerate(curves):
            # The curve begins where nothing is taken for own, and ends where everything is.
            fpr, tpr = (np.concatenate([[0.0], x, [1.0]]) for x in (curve.fpr, curve.tpr))
            label = f"{curve.foreign} ({curve.num_foreign}): AUC {curve.auc:.4g}"
            _line(axis, np.maximum(fpr, least), tpr, place, label)
        axis.set(xscale="log", xlim=(0.85 * least, 1.1), ylim=(-0.02, 1.04), title=title)
        axis.set_xlabel("foreign images taken for own (FPR)")
        axis.set_ylabel(f"own images recognised (TPR, of {curves[0].num_own})")
        axis.legend(loc="lower right", title=_NOUGHT, title_fontsize=7, fontsize=7)
    return _with_numbers(figure, panels, read_off)


def draw_det(panels: Mapping[str, Sequence[Curve]], *, read_off: str = "") -> Drawn:
    """Draws DET curves: both rates of error, on axes of normal deviates; see `draw_roc`.

    Martin et al., The DET curve in assessment of detection task performance, Eurospeech 1997.
    """
    figure, axes = _panels(panels, height=4.6)
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
        for place, curve in enumerate(curves):
            fpr = np.concatenate([[0.0], curve.fpr, [1.0]])
            fnr = 1.0 - np.concatenate([[0.0], curve.tpr, [1.0]])
            x, y = (
                special.ndtri(np.clip(rate, _least(num), 1 - _least(num)))
                for rate, num in ((fpr, curve.num_foreign), (fnr, curve.num_own))
            )
            _line(axis, x, y, place, f"{curve.foreign} ({curve.num_foreign})")
        nums = [num for curve in curves for num in (curve.num_own, curve.num_foreign)]
        low = special.ndtri(_least(max(nums))) - 0.1
        ticks = [share for share in _PERCENT if special.ndtri(share / 100) > low]
        places, labels = special.ndtri(np.array(ticks) / 100), [f"{share:g}%" for share in ticks]
        axis.set(xlim=(low, -low), ylim=(low, -low), aspect="equal", title=title)
        axis.set_xticks(places, labels, rotation=45)
        axis.set_yticks(places, labels)
        axis.set(xlabel="foreign images taken for own")
        axis.set_ylabel(f"own images not recognised (of {curves[0].num_own})")
        axis.legend(loc="upper right", title=_NOUGHT, title_fontsize=7, fontsize=7)
    return _with_numbers(figure, panels, read_off)


_NOUGHT = "a rate of 0 is drawn as half an image"


def _least(num: int) -> float:
    """What stands for no image of `num`, where an axis has no nought."""
    return 0.5 / num


def _shares_under(
    thresholds: _Array, quantiles: _Array, shares: Sequence[float], num: int
) -> _Array:
    finite = np.isfinite(quantiles)
    logs = np.log(np.maximum(quantiles[finite], 1e-12))
    under = np.interp(np.log(np.maximum(thresholds, 1e-12)), logs, np.array(shares)[finite])
    # The least score is at its own threshold; shares are whole images.
    under = np.where(thresholds >= quantiles[0], np.maximum(under, 1 / num), 0.0)
    return np.asarray(np.round(under * num) / num)


def _panels(
    panels: Mapping[str, Sequence[Curve]], *, height: float = 4.0
) -> tuple[Figure, list[Axes]]:
    if not panels:
        raise FigureError("nothing to draw: no own and foreign scores were found")
    if len(panels) > _MOST_PANELS:
        raise FigureError(
            f"{len(panels)} panels are too many for a figure: choose with --generator, --method "
            "or --condition"
        )
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, height * lines))
    grid = figure.subplots(lines, columns, squeeze=False).flat
    axes = list(grid)
    for axis in axes[len(panels) :]:
        axis.axis("off")
    return figure, axes[: len(panels)]


def _line(axis: Axes, x: _Array, y: _Array, place: int, label: str) -> None:
    # Curves that coincide are told apart by their width.
    width = max(1.0, 3.4 - 0.6 * place)
    axis.plot(x, y, line(place), color=colour(place), linewidth=width, label=label)


def _with_numbers(figure: Figure, panels: Mapping[str, Sequence[Curve]], read_off: str) -> Drawn:
    if read_off:
        figure.supxlabel(read_off, fontsize=7)
    rows: list[dict[str, Any]] = [
        {
            **{"panel": title, "foreign": curve.foreign, "threshold": float(threshold)},
            **{"fpr": float(fpr), "tpr": float(tpr), "auc": curve.auc},
            **{"own_images": curve.num_own, "foreign_images": curve.num_foreign},
        }
        for title, curves in panels.items()
        for curve in curves
        for threshold, fpr, tpr in zip(curve.threshold, curve.fpr, curve.tpr, strict=True)
    ]
    return Drawn(figure, rows)
