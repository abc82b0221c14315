"""How scores are distributed: what a chart draws, and the numbers that it stands for."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jax_origin.audit import Candidate
from jax_origin.calibration import AS_MADE, Calibration, Decider, Rates, compared_with
from jax_origin.pages.survey import BINS, bin_of, counted

WIDTH, LEFT = 480.0, 8.0
_HEAD, _ROW, _BARS, _FOOT = 46.0, 50.0, 26.0, 38.0
_MOST_BARS, _MOST_GROUPS = 64, 8


class Bar(NamedTuple):
    """A bar: its left edge, top, width and height, in units of the chart."""

    x: float
    y: float
    width: float
    height: float


class Strip(NamedTuple):
    """The scores of one group of images.

    Attributes:
      label: What they are.
      kind: "asked", "own" or "foreign": its colour and its hatching.
      num: How many there are.
      lowest: About their lowest; None where there are none, as are `median` and `highest`.
      y: The top of its bars.
      bars: Bars as high as their share of the fullest.
    """

    label: str
    kind: str
    num: int
    lowest: float | None
    median: float | None
    highest: float | None
    y: float
    bars: list[Bar]


class Limit(NamedTuple):
    """A vertical line: its place, its text's place and side, and what it says."""

    x: float
    text: str
    y: float
    anchor: str
    score: float


class Chart(NamedTuple):
    """A chart of scores on a log axis: strips above each other, and the limits across them.

    Attributes:
      name: The candidate.
      height: Its height, in units of the chart; it is `WIDTH` wide.
      strips: From the top.
      limits: The lines.
      ticks: Place and exponent of each decade.
      marker: The place of a single image's score; None without one.
    """

    name: str
    height: float
    strips: list[Strip]
    limits: list[Limit]
    ticks: list[tuple[float, int]]
    marker: float | None


def thresholds(
    calibration: Calibration, rates: Rates, condition: str | None = None
) -> tuple[float, float]:
    """The score over which images are excluded, and that up to which they may be attributed.

    Without a condition both are of all conditions together: a file that tells what it cannot have
    met is judged by fewer, and its own limits lie elsewhere.
    """
    conditions = None if condition is None else [condition]
    rates = rates.over(calibration.rates)
    assert rates.alpha is not None  # A calibration has one.
    own = compared_with(calibration, conditions).belonging.values()
    fitted = [calibration.rule.fit(np.maximum(scores, calibration.floor)) for scores in own]
    return (
        max(float(rule.threshold(rates.alpha)) for rule in fitted),
        Decider(calibration, rates=rates, conditions=conditions).attributable,
    )


def chart(
    candidate: Candidate,
    rates: Rates,
    *,
    asked: Mapping[int, int] | None = None,
    score: float | None = None,
    condition: str | None = None,
) -> Chart:
    """Draws the calibration's scores of a candidate, and those of the images asked about.

    Args:
      candidate: The candidate.
      rates: The rates that its limits keep.
      asked: How many scores of the images asked about fall into each bin.
      score: That of a single image, which is marked.
      condition: Draw the scores and limits of this condition alone; None for all of them.
    """
    calibration = candidate.calibration
    groups = [
        (_label(candidate.name, kind, what), kind, counts)
        for kind, what, counts in score_groups(candidate, asked, condition)
    ]
    limits = [
        (value, text)
        for value, text in zip(
            thresholds(calibration, rates, condition),
            ("own images reach about this far (p)", "attributed only up to here (q)"),
            strict=True,
        )
        if math.isfinite(value) and value > 0
    ]
    places = [bin_of(value) for value, _ in limits] + (
        [] if score is None else [bin_of(max(score, calibration.floor))]
    )
    every = [*places, *(place for *_, counts in groups for place in counts)]
    first, last = math.floor(min(every) / BINS), math.floor(max(every) / BINS) + 1
    wide = (WIDTH - 2 * LEFT) / ((last - first) * BINS)
    step = max(1, math.ceil((last - first) * BINS / _MOST_BARS))

    def across(value: float) -> float:
        return round(LEFT + (BINS * math.log10(max(value, 1e-12)) - first * BINS) * wide, 1)

    strips = []
    for i, (label, kind, counts) in enumerate(groups):
        joined = Counter[int]()
        for place, count in counts.items():
            joined[(place - first * BINS) // step] += count
        top, y = max(joined.values(), default=1), _HEAD + i * _ROW + 18
        bars = [
            _bar(LEFT + place * step * wide, y, step * wide, count / top)
            for place, count in sorted(joined.items())
        ]
        strips.append(Strip(label, kind, sum(counts.values()), *_middle(counts), y, bars))
    return Chart(
        name=candidate.name,
        height=_HEAD + len(groups) * _ROW + _FOOT,
        strips=strips,
        limits=[
            Limit(x, text, 14 + 16 * i, "end" if x > WIDTH / 2 else "start", value)
            for i, (value, text) in enumerate(limits)
            for x in [across(value)]
        ],
        ticks=_ticks(first, last, wide * BINS),
        marker=None if score is None else across(max(score, calibration.floor)),
    )


class ScoreGroup(NamedTuple):
    """Scores of images of one kind.

    Attributes:
      kind: "asked", "own" or "foreign".
      what: What was done to own images, or where foreign ones are from.
      counts: How many scores fall into each bin.
    """

    kind: str
    what: str
    counts: Mapping[int, int]


def score_groups(
    candidate: Candidate, asked: Mapping[int, int] | None = None, condition: str | None = None
) -> list[ScoreGroup]:
    """The scores that are drawn of a candidate: for its arguments see `chart`."""
    own = candidate.calibration
    groups = []
    if asked is not None:
        least, clamped = bin_of(own.floor), Counter[int]()
        for place, count in asked.items():  # As all scores that they are compared with.
            clamped[max(place, least)] += count
        groups.append(ScoreGroup("asked", "images asked about", clamped))
    compared = compared_with(own, None if condition is None else [condition])
    edited = f"after {condition}" if condition else "edited afterwards"
    joined: dict[str, Counter[int]] = {}
    for met, scores in compared.belonging.items():
        what = AS_MADE if met == AS_MADE else edited
        joined.setdefault(what, Counter()).update(counted(scores, floor=own.floor))
    groups += [ScoreGroup("own", what, counts) for what, counts in joined.items()]
    foreign: dict[str, Counter[int]] = {}
    for group in candidate.groups:
        if group.name not in compared.foreign:
            continue
        origin = group.origin
        if origin not in foreign and len(foreign) >= _MOST_GROUPS:
            origin = "other groups"
        scores = own.foreign[group.name].scores
        foreign.setdefault(origin, Counter()).update(counted(scores, floor=own.floor))
    return groups + [ScoreGroup("foreign", name, counts) for name, counts in foreign.items()]


def _label(name: str, kind: str, what: str) -> str:
    return {
        "asked": "The images asked about",
        "own": f"Known to be {name}'s, {what}",
        "foreign": f"Made by others: {what}",
    }[kind]


def _bar(x: float, y: float, width: float, share: float) -> Bar:
    # One image among a million is still to be seen.
    height = max(1.5, share * _BARS)
    return Bar(round(x, 1), round(y + _BARS - height, 1), round(max(width - 0.6, 1), 1), height)


def _middle(counts: Mapping[int, int]) -> tuple[float | None, float | None, float | None]:
    if not counts:
        return None, None, None
    places = np.array(sorted(counts))
    passed = np.cumsum([counts[place] for place in places])
    half = places[np.searchsorted(passed, passed[-1] / 2)]
    low, middle, high = (10.0 ** ((place + 0.5) / BINS) for place in (places[0], half, places[-1]))
    return low, middle, high


def _ticks(first: int, last: int, decade: float) -> list[tuple[float, int]]:
    every = max(1, math.ceil(36 / decade))
    return [
        (round(LEFT + (exponent - first) * decade, 1), exponent)
        for exponent in range(first, last + 1, every)
    ]
