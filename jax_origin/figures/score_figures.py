"""How scores are distributed: those of own and foreign images, and the thresholds between them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jax_origin.audit import Candidate
from jax_origin.calibration import Rates
from jax_origin.figures.look import FOREIGN, OWN, UNSURE, WIDTH, Drawn
from jax_origin.pages.charts import score_groups, thresholds
from jax_origin.pages.survey import BINS

_COLOURS = {"own": OWN, "foreign": FOREIGN, "asked": UNSURE}
_LIMITS = {
    "p": ("own images reach about this far (p)", "--"),
    "q": ("attributed only up to here (q)", ":"),
}
_TALLEST = 0.82  # Of the room of a group.


class ScoredCandidate(NamedTuple):
    """A candidate, and how many scores of images asked about fall into each bin; None for none."""

    candidate: Candidate
    asked: Mapping[int, int] | None = None


def draw_scores(
    candidates: Sequence[ScoredCandidate], *, rates: Rates, condition: str | None = None
) -> Drawn:
    """Draws a histogram of each group of scores, and the two thresholds, for each candidate.

    Args:
      candidates: At least one.
      rates: The rates that thresholds keep; the calibrations' own where one is not given.
      condition: Scores and thresholds of this condition alone; None for all of them.
    """
    of_each = [score_groups(each.candidate, each.asked, condition) for each in candidates]
    height = sum(0.9 + 0.34 * len(groups) for groups in of_each) + 0.3
    figure = Figure(figsize=(WIDTH, height))
    ratios = [2 + len(groups) for groups in of_each]
    options: dict[str, Any] = {"squeeze": False, "sharex": True, "height_ratios": ratios}
    axes = figure.subplots(len(candidates), 1, **options)[:, 0]
    rows: list[dict[str, Any]] = []
    for axis, each, groups in zip(axes, candidates, of_each, strict=True):
        calibration, name = each.candidate.calibration, each.candidate.name
        for place, (kind, what, counts) in enumerate(groups):
            _bars(axis, place, counts, _COLOURS[kind])
            rows += [
                {
                    **{"candidate": name, "kind": kind, "group": what},
                    **{"from": _score(at), "to": _score(at + 1), "images": counts[at]},
                }
                for at in sorted(counts)
            ]
        found = zip(_LIMITS.items(), thresholds(calibration, rates, condition), strict=True)
        for (limit, (text, dashes)), value in found:
            if math.isfinite(value) and value > 0:
                axis.axvline(value, color="0.25", linestyle=dashes, linewidth=1, label=text)
                rows.append({"candidate": name, "kind": f"threshold of {limit}", "from": value})
        labels = [
            f"{'own, ' if kind == 'own' else ''}{what} ({sum(counts.values()):,})"
            for kind, what, counts in groups
        ]
        axis.set_yticks([-place for place in range(len(groups))], labels)
        axis.set_ylim(0.3 - len(groups), 1)
        axis.tick_params(axis="y", length=0)
        axis.tick_params(axis="x", labelbottom=True)
        for tick, (kind, *_) in zip(axis.get_yticklabels(), groups, strict=True):
            tick.set_color(_COLOURS[kind])
        floor = f" (those under {calibration.floor:g} count as equal)" if calibration.floor else ""
        axis.set(xscale="log", xlabel=f"score{floor}")
        under = f", {condition}" if condition else ""
        axis.set_title(f"{name}, {calibration.method['name']}{under}", loc="left", weight="bold")
        axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=1, borderaxespad=0)
    return Drawn(figure, rows)


def _score(place: int) -> float:
    """Where a bin begins."""
    return float(f"{10.0 ** (place / BINS):.6g}")


def _bars(axis: Axes, place: int, counts: Counter[int] | Mapping[int, int], colour: str) -> None:
    """A group's histogram on its own line; its fullest bin is as high as there is room."""
    axis.axhline(-place, color="0.85", linewidth=0.8, zorder=0)
    if not counts:
        return
    top, bins = max(counts.values()), sorted(counts)
    left = [10.0 ** (at / BINS) for at in bins]
    width = [10.0 ** ((at + 1) / BINS) - start for at, start in zip(bins, left, strict=True)]
    # One image among thousands is still to be seen.
    high = [_TALLEST * max(counts[at] / top, 0.05) for at in bins]
    axis.bar(left, high, width, bottom=-place, align="edge", color=colour, linewidth=0)
