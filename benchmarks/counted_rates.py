"""Rates in words: the count that a rate comes from, and the limits that it supports."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from benchmarks.metrics import rate_interval

Rows = Iterable[Mapping[str, Any]]


class _Counted(NamedTuple):
    """A count of images, and the lower and the upper 95% limit of its rate, one-sided each."""

    hits: int
    num: int
    low: float
    high: float

    def __str__(self) -> str:
        # Rounded outwards.
        ends = math.floor(1000 * self.low + 1e-9) / 10, math.ceil(1000 * self.high - 1e-9) / 10
        low, high = (f"{end:.1f}" if 0 < end < 100 else f"{end:g}" for end in ends)
        return f"{self.hits}/{self.num}, {low}-{high}%"


def lowest_rate(rows: Rows, field: str, *, of: str = "n") -> str:
    """The count whose rate may be the lowest, and its limits, such as "97/100, 92.4-99.2%".

    The lower limit holds for all of the rows at once: the rate that is truly the lowest is over its
    own with 95% confidence, and so over the lowest of all. Images are taken for independent.

    Args:
      rows: At least one.
      field: Which of their rates.
      of: The field of the number of images that it is a rate of.
    """
    return str(min(_counted(rows, field, of), key=lambda each: each.low))


def highest_rate(rows: Rows, field: str, *, of: str = "n") -> str:
    """The count whose rate may be the highest, and its limits; see `lowest_rate`."""
    return str(max(_counted(rows, field, of), key=lambda each: each.high))


def _counted(rows: Rows, field: str, of: str) -> list[_Counted]:
    counts = [(round(row[field] * row[of]), row[of]) for row in rows]
    return [_Counted(*count, *rate_interval(*count, confidence=0.9)[1:]) for count in counts]
