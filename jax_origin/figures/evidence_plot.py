"""A picture of how good a candidate's likelihood ratios are. Needs Matplotlib."""

import os
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jax_origin.audit.evidence_tables import cross_fitted_ratios
from jax_origin.calibration import Calibration
from jax_origin.evidence import Ratios, pav_points, tippett
from jax_origin.figures.look import colour, styled, write_figure


def draw_evidence(calibration: Calibration, path: str | os.PathLike[str], *, title: str) -> bool:
    """Draws a Tippett plot and a PAV plot for each condition, a colour for each foreign group.

    The ratios are those of the calibration's own scores, cross-fitted. A Tippett plot shows how
    often belonging (solid) and foreign images (dashed) have at least such a ratio. The further
    apart the curves are, the better; at 0 each shows how many images mislead. A PAV plot compares
    the ratios with their best rising recalibration. Well calibrated ones lie on the diagonal;
    triangles at the edge are infinite. Images without data stand at 0.

    It writes a PNG, and returns whether there was anything to draw; if not, no file is written.

    Raises:
      OSError: If the file cannot be written.
    """
    drawn = {
        condition: ratios
        for condition in calibration.belonging_by_condition
        if (ratios := cross_fitted_ratios(calibration, condition))
    }
    if not drawn:
        return False
    with styled():
        write_figure(_figure(drawn, title), path)
    return True


def _figure(drawn: Mapping[str, Mapping[str, Ratios]], title: str) -> Figure:
    figure = Figure(figsize=(10, 3.6 * len(drawn)))
    grid = figure.subplots(len(drawn), 2, squeeze=False)
    groups = list(dict.fromkeys(name for ratios in drawn.values() for name in ratios))
    for (left, right), (condition, ratios) in zip(grid, drawn.items(), strict=True):
        for name, of_group in ratios.items():
            place = groups.index(name)
            # Curves that coincide are told apart by their width.
            width = max(1.0, 4.0 - 1.5 * place)
            _draw_tippett(left, of_group, name, colour(place), width=width)
            _draw_pav(right, of_group, name, colour(place))
        left.axvline(0, color="0.6", linewidth=0.8)
        left.set(title=f"Tippett, {condition}", xlabel="log10 ratio", ylabel="share at least that")
        right.axline((0, 0), slope=1, color="0.6", linewidth=0.8)
        right.set(title=f"PAV, {condition}", xlabel="log10 ratio", ylabel="recalibrated")
        for axis in (left, right):
            axis.legend(fontsize=7, frameon=True, framealpha=1, edgecolor="none")
    figure.suptitle(title)
    return figure


def _draw_tippett(axis: Axes, ratios: Ratios, name: str, shade: str, *, width: float) -> None:
    points = tippett(*ratios)
    own = f"own against {name}"
    for share, label, style in ((points.belonging, own, "-"), (points.foreign, name, "--")):
        # Above the largest ratio the share is nought.
        ends = np.append(points.log10_lr, points.log10_lr[-1]), np.append(share, 0.0)
        axis.step(*ends, style, where="pre", color=shade, label=label, linewidth=width)


def _draw_pav(axis: Axes, ratios: Ratios, name: str, shade: str) -> None:
    before, after = pav_points(*ratios)
    finite = np.isfinite(after)
    axis.plot(before[finite], after[finite], "o-", ms=3, lw=1, color=shade, label=name)
    reach = 1.1 * max(1.0, np.abs(before).max())
    for sign, marker in ((1, "^"), (-1, "v")):
        ends = before[after == sign * np.inf]
        axis.plot(ends, np.full(ends.size, sign * reach), marker, ms=5, color=shade)
