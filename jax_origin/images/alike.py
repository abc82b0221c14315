"""Which edits leave an image in such a file as this one."""

import functools
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from jax_origin.images.edits import LOSSY_FILES, EditStep, parse_edit, stored_images
from jax_origin.images.file_set import LOSSY_WEBP, Stored

_RESIZING = ("resize", "crop")  # These leave an image that can be seen to have been resized.
_SAME = 0.01  # Tables whose steps differ by less than a hundredth, on average, are the same.


class Alike(NamedTuple):
    """What a file says of the edits that an image may have met.

    Attributes:
      edits: those that could have produced this kind of file, in order.
      unlike: what no known edit accounts for, in words; None if nothing is.
    """

    edits: tuple[str, ...]
    unlike: str | None


class _Table(NamedTuple):
    coarseness: float  # mean logarithm of the steps of the first component
    averaged: tuple[int, int]  # of the image's rows and columns, for one sample of chroma


def edits_alike(stored: Stored, edits: Iterable[str], *, resized: bool = True) -> Alike:
    """Chooses the edits that could have produced this kind of file.

    - A lossless file: edits that do not end in a lossy format. If the image shows that it was
      resized (`jax_origin.images.find_resizings`), only those that resize, with the smallest change
      that loses as much. If not, all of them, because not every resize shows.
    - A lossy WebP: edits that end in one.
    - A JPEG: edits that end in one with its quantisation tables. Without such, the next finer and
      the next coarser. One finer than all is judged with the finest: its set is smaller, so foreign
      images are no nearer to it. One coarser than all is unlike any.

    Args:
      stored: the image.
      edits: names as in `jax_origin.images.EDITS`, with "clean" for images as made. A name that is
        no edit is kept for all files.
      resized: whether images that show a resize are judged apart. Pass False for a generator whose
        own images look resized.
    """
    of_format: dict[str | None, dict[str, EditStep | None]] = {"jpeg": {}, "webp": {}, None: {}}
    names, others = [], []
    for name in edits:
        try:
            parsed = parse_edit(name)
        except ValueError:
            others.append(name)
            continue
        step = parsed[-1] if parsed else None
        of_format[step.family if step and step.family in LOSSY_FILES else None][name] = step
        names.append(name)
    chosen: Iterable[str]
    if stored.kind == "jpeg":
        chosen, unlike = _of_jpeg(stored, of_format["jpeg"])
    elif stored.note == LOSSY_WEBP:
        chosen = of_format["webp"]
        unlike = None if chosen else stored.note
    elif stored.note is None:
        chosen, unlike = _of_lossless(stored, of_format[None], resized=resized)
    else:
        chosen, unlike = (), stored.note
    if stored.colour == "grey" and stored.pixels.shape[2] == 3:
        unlike = "stored in grey"
    kept = {*chosen, *others}
    return Alike(tuple(name for name in dict.fromkeys([*names, *others]) if name in kept), unlike)


def _of_lossless(
    stored: Stored, edits: Mapping[str, EditStep | None], *, resized: bool
) -> tuple[list[str], str | None]:
    """The edits that resize as much, or all where no resize shows; and what differs."""
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
    """The share of a side that an edit keeps before it resizes back; None if all of it."""
    if step is None or step.family not in _RESIZING:
        return None
    left = round(side * step.amount) if step.family == "resize" else side - 2 * step.amount
    return left / side if left < side else None


def _smallest_share(stored: Stored) -> float | None:
    """The smallest share of a side that the image may have had; None if all of it."""
    shares = [
        between / side
        for way in stored.resizings
        for between, side in zip(way.size, stored.pixels.shape[:2], strict=True)
    ]
    return min(shares) if shares and min(shares) < 1 else None


def _of_jpeg(stored: Stored, edits: dict[str, EditStep]) -> tuple[list[str], str | None]:
    """The edits with a JPEG's tables, or the nearest on either side; and what differs."""
    if not edits:
        return [], "JPEG"
    ours = _Table(_coarseness(stored.tables[0]), _averaged(stored))
    known = {name: _table(step, stored.pixels.shape[2]) for name, step in edits.items()}
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
def _table(step: EditStep, channels: int) -> _Table:
    """What a JPEG of this quality has, by writing one."""
    name = "-".join(filter(None, (step.family, f"{step.amount:.10g}", step.option)))
    (written,) = stored_images(np.zeros((1, 16, 16, channels), np.uint8), name)
    return _Table(_coarseness(written.tables[0]), _averaged(written))
