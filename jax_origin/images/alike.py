"""Which edits leave an image in such a file as this one."""

import functools
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from jax_origin.images.edits import EditStep, parse_edit, stored_images
from jax_origin.images.stored import LOSSY_WEBP, Stored

_FORMATS = ("jpeg", "webp")
_RESIZING = ("resize", "crop")  # These leave an image that can be seen to have been resized.
_SAME = 0.01  # Tables whose steps differ by less than a hundredth, on average, are the same.


class Alike(NamedTuple):
    """What a file says of the edits that an image may have met.

    Attributes:
      edits: those that would have left such a file; of formats between two that are known, both.
      unlike: what no known edit accounts for, in words; None if nothing is.
    """

    edits: tuple[str, ...]
    unlike: str | None


class _Table(NamedTuple):
    coarseness: float  # mean logarithm of the steps of the first component
    averaged: tuple[int, int]  # of the image's rows and columns, for one sample of chroma


def edits_alike(stored: Stored, edits: Iterable[str], *, resized: bool = True) -> Alike:
    """Chooses the edits whose images are stored as this one is.

    A lossless file comes from edits that do not end in a lossy format: one that was resized (see
    `jax_origin.images.find_resizings`) from those that resize, by the smallest change among those
    that lose as much as it did; any other from all of them, for not every resize shows. A lossy
    WebP comes from those that end in one. A JPEG comes from those that end in one with the same
    quantisation tables; if there are none, it lies between the next finer and the next coarser. The
    set of a finer file is the smaller, so one that is finer than all is compared with the finest:
    foreign images are no nearer to it. One that is coarser than all is unlike any.

    Args:
      stored: the image.
      edits: names as in `jax_origin.images.EDITS`, "clean" among them for images as made; a name
        that is no edit is kept for all files.
      resized: whether an image that shows that it was resized is compared apart. It must not be
        where images look so that were not, as those of a generator may that ends in a resize.

    Returns:
      The edits, in order.
    """
    steps: dict[str, EditStep | None] = {}
    others = []
    for name in edits:
        try:
            parsed = parse_edit(name)
        except ValueError:
            others.append(name)
            continue
        steps[name] = parsed[-1] if parsed else None
    unlike = None
    if stored.colour == "grey" and stored.pixels.shape[2] == 3:
        unlike = "stored in grey"
    if stored.kind == "jpeg":
        known = {name: step for name, step in steps.items() if step and step.family == "jpeg"}
        chosen, differs = _of_jpeg(stored, known)
        unlike = unlike or differs
    elif stored.note == LOSSY_WEBP:
        chosen = [name for name, step in steps.items() if _format(step) == "webp"]
        if not chosen:
            unlike = unlike or stored.note
    elif stored.note is None:
        lossless = {name: step for name, step in steps.items() if _format(step) is None}
        chosen, differs = _of_lossless(stored, lossless, resized=resized)
        unlike = unlike or differs
    else:
        chosen, unlike = [], unlike or stored.note
    kept = {*chosen, *others}
    return Alike(tuple(name for name in (*steps, *others) if name in kept), unlike)


def _of_lossless(
    stored: Stored, edits: Mapping[str, EditStep | None], *, resized: bool
) -> tuple[list[str], str | None]:
    """The edits that resize as much, or all where nothing shows that one did; and what differs."""
    share = _smallest_share(stored) if resized else None
    if share is None:
        return [*edits], None if edits else "lossless"
    side = min(stored.pixels.shape[:2])
    kept = {name: _share_kept(step, side) for name, step in edits.items()}
    known = [left for left in kept.values() if left is not None and left <= share + _SAME]
    if not known:
        height, width = stored.resizings[0].size
        return [], f"resized to {height}x{width} and back"
    return [name for name, left in kept.items() if left == max(known)], None


def _share_kept(step: EditStep | None, side: int) -> float | None:
    """What an edit leaves of a side before it is brought back to its length; None if all of it."""
    if step is None or step.family not in _RESIZING:
        return None
    left = round(side * step.amount) if step.family == "resize" else side - 2 * step.amount
    return left / side if left < side else None


def _smallest_share(stored: Stored) -> float | None:
    """What a way to its size left of an image's side; None if all of it."""
    shares = [
        between / side
        for way in stored.resizings
        for between, side in zip(way.size, stored.pixels.shape[:2], strict=True)
    ]
    return min(shares) if shares and min(shares) < 1 else None


def _of_jpeg(stored: Stored, edits: dict[str, EditStep]) -> tuple[list[str], str | None]:
    """The edits whose tables are those of a JPEG, or its neighbours; and what differs."""
    if not edits:
        return [], "JPEG"
    ours = _Table(_coarseness(stored.tables[0]), _averaged(stored))
    known = {name: _table(step) for name, step in edits.items()}
    covering = {
        name: table
        for name, table in known.items()
        if all(a >= b for a, b in zip(table.averaged, ours.averaged, strict=True))
    }
    if not covering:
        return [], "JPEG with chroma at a lower resolution"
    exact = {name: table for name, table in covering.items() if table.averaged == ours.averaged}
    # At one quality, the edit with the same resolution of chroma says more than one with less.
    tables = {
        name: table
        for name, table in covering.items()
        if name in exact or not any(_same(table, other) for other in exact.values())
    }
    levels = sorted({table.coarseness for table in tables.values()})
    finer = [level for level in levels if level <= ours.coarseness + _SAME]
    coarser = [level for level in levels if level >= ours.coarseness - _SAME]
    near = {*finer[-1:], *coarser[:1]}
    unlike = None if coarser else "JPEG of a lower quality"
    return [name for name, table in tables.items() if table.coarseness in near], unlike


def _format(step: EditStep | None) -> str | None:
    return step.family if step and step.family in _FORMATS else None


def _same(a: _Table, b: _Table) -> bool:
    return math.isclose(a.coarseness, b.coarseness, abs_tol=_SAME)


def _coarseness(table: np.ndarray) -> float:
    return float(np.log(table.astype(np.float64)).mean())


def _averaged(stored: Stored) -> tuple[int, int]:
    return stored.averaged[1] if len(stored.averaged) > 1 else (1, 1)


@functools.lru_cache(maxsize=256)
def _table(step: EditStep) -> _Table:
    """What a JPEG of this quality has, by writing one."""
    name = "-".join(filter(None, (step.family, f"{step.amount:.10g}", step.option)))
    (written,) = stored_images(np.zeros((1, 16, 16, 3), np.uint8), name)
    return _Table(_coarseness(written.tables[0]), _averaged(written))
