"""Which edits leave an image in such a file as this one."""

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from jax_origin.images.edits import LOSSY_FILES, EditStep, parse_edit, stored_images
from jax_origin.images.file_set import LOSSY_WEBP, Stored

_CLEAN = EditStep("clean", 0.0)
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
    steps: dict[str, EditStep] = {}
    others = []
    for name in edits:
        try:
            steps[name] = (_CLEAN, *parse_edit(name))[-1]
        except ValueError:
            others.append(name)
    if stored.kind == "jpeg":
        chosen, unlike = _of_jpeg(stored, {n: s for n, s in steps.items() if s.family == "jpeg"})
    elif stored.note == LOSSY_WEBP:
        chosen = [name for name, step in steps.items() if step.family == "webp"]
        unlike = None if chosen else stored.note
    elif stored.note is None:
        lossless = {n: s for n, s in steps.items() if s.family not in LOSSY_FILES}
        chosen, unlike = _of_lossless(stored, lossless, resized=resized)
    else:
        chosen, unlike = [], stored.note
    if stored.colour == "grey" and stored.pixels.shape[2] == 3:
        unlike = "stored in grey"
    kept = {*chosen, *others}
    return Alike(tuple(name for name in (*steps, *others) if name in kept), unlike)


def _of_lossless(
    stored: Stored, edits: Mapping[str, EditStep], *, resized: bool
) -> tuple[list[str], str | None]:
    """The edits that resize as much, or all where no resize shows; and what differs."""
    sides = stored.pixels.shape[:2]
    shares = [
        between / side
        for way in (stored.resizings if resized else ())
        for between, side in zip(way.size, sides, strict=True)
    ]
    share = min(shares, default=1.0)
    if share >= 1:
        return [*edits], None if edits else "lossless"
    kept = {name: _share_kept(step, min(sides)) for name, step in edits.items()}
    known = [left for left in kept.values() if left is not None and left <= share + _SAME]
    if not known:
        height, width = stored.resizings[0].size
        return [], f"resized to {height}x{width} and back"
    return [name for name, left in kept.items() if left == max(known)], None


def _share_kept(step: EditStep, side: int) -> float | None:
    """The share of a side that an edit keeps before it resizes back; None if all of it."""
    if step.family not in _RESIZING:
        return None
    left = round(side * step.amount) if step.family == "resize" else side - 2 * step.amount
    return left / side if left < side else None


def _of_jpeg(stored: Stored, edits: Mapping[str, EditStep]) -> tuple[list[str], str | None]:
    """The edits with a JPEG's tables, or the nearest on either side; and what differs."""
    if not edits:
        return [], "JPEG"
    ours = _table_of(stored)
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
        if name in exact
        or all(abs(table.coarseness - other.coarseness) > _SAME for other in exact.values())
    }
    levels = sorted({table.coarseness for table in tables.values()})
    finer = [level for level in levels if level <= ours.coarseness + _SAME]
    coarser = [level for level in levels if level >= ours.coarseness - _SAME]
    near = {*finer[-1:], *coarser[:1]}
    unlike = None if coarser else "JPEG of a lower quality"
    return [name for name, table in tables.items() if table.coarseness in near], unlike


def _table_of(jpeg: Stored) -> _Table:
    coarseness = float(np.log(jpeg.tables[0].astype(np.float64)).mean())
    return _Table(coarseness, jpeg.averaged[1] if len(jpeg.averaged) > 1 else (1, 1))


@functools.lru_cache(maxsize=256)
def _table(step: EditStep, channels: int) -> _Table:
    """What a JPEG of this quality has, by writing one."""
    name = "-".join(filter(None, (step.family, f"{step.amount:.10g}", step.option)))
    (written,) = stored_images(np.zeros((1, 16, 16, channels), np.uint8), name)
    return _table_of(written)
