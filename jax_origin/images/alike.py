"""Which edits leave an image in such a file as this one."""

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from jax_origin.images.edits import LOSSY_FILES, EditStep, parse_edit, stored_images
from jax_origin.images.file_set import LOSSY_WEBP, Stored
from jax_origin.images.webp import webp_coarsest

IN_GREY = "in grey"
"""What sets an image without colours apart from a generator's, which have some."""

_CLEAN = EditStep("clean", 0.0)
_RESIZING = ("resize", "crop")  # These leave an image that can be seen to have been resized.
_SAME = 0.01  # Tables whose steps differ by less than a hundredth, on average, are the same.
_CUT_ALIKE = 0.03  # Sides are whole pixels.
_SAME_WEBP = 4  # An encoder's coarsest quantiser of a quality differs by as much, image by image.


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


def in_grey(stored: Stored) -> bool:
    """Whether only an image's brightness is compared, of a generator that makes colours."""
    return stored.pixels.shape[2] == 3 and stored.colour == "grey"


def edits_alike(
    stored: Stored, edits: Iterable[str], *, resized: bool = True, kept: float = 1.0
) -> Alike:
    """Chooses the edits that could have produced this kind of file.

    - A lossless file: edits that do not end in a lossy format. If the image shows that it was
      resized (`jax_origin.images.find_resizings`), those that resize, with the smallest change that
      loses as much; if not, those that do not. Not every resize shows: an image whose does not is
      judged as one that was not resized, and how often that is a calibration counts.
    - A JPEG: edits that end in one of its quantisation tables. Without such, the next finer and the
      next coarser. A lossy WebP: likewise by its quantiser. One finer than all is judged with
      the finest: its set is smaller, so foreign images are no nearer to it. One coarser than all is
      unlike any.

    An image in grey, of a generator of colours, is unlike any: somebody may have made it grey.

    Args:
      stored: the image.
      edits: names as in `jax_origin.images.EDITS`, with "clean" for images as made. A name that is
        no edit is kept for all files.
      resized: whether an image that shows a resize was resized. Pass False for a generator whose
        own images look so: the edits that do not resize are then kept beside the others.
      kept: the share of a whole image's side that the image has. Below 1 it was cut: the edits that
        cut as much are chosen, or the next that leave less, for less is easier to come near to.
    """
    steps: dict[str, EditStep] = {}
    others = []
    for name in edits:
        try:
            steps[name] = (_CLEAN, *parse_edit(name))[-1]
        except ValueError:
            others.append(name)
    cuts = {n: s for n, s in steps.items() if s.family == "cut"}
    if kept < 1 and stored.note is None:
        chosen, unlike = _of_cut(kept, cuts)
    elif stored.kind == "jpeg":
        chosen, unlike = _of_jpeg(stored, {n: s for n, s in steps.items() if s.family == "jpeg"})
    elif stored.kind == "webp":
        chosen, unlike = _of_webp(stored, {n: s for n, s in steps.items() if s.family == "webp"})
    elif stored.note is None:
        lossless = {n: s for n, s in steps.items() if s.family not in (*LOSSY_FILES, "cut")}
        chosen, unlike = _of_lossless(stored, lossless, resized=resized)
    else:
        chosen, unlike = [], stored.note
    if unlike is None and stored.kind != "pixels" and (small := _reduced_to(stored)):
        unlike = f"a lossy file of an image that was {small}"
    if unlike is None and in_grey(stored):
        unlike = IN_GREY
    alike = {*chosen, *others}
    return Alike(tuple(name for name in (*steps, *others) if name in alike), unlike)


def _of_lossless(
    stored: Stored, edits: Mapping[str, EditStep], *, resized: bool
) -> tuple[list[str], str | None]:
    """The edits that resize as much, or those that do not; and what differs."""
    sides = stored.pixels.shape[:2]
    shares = [
        between / side
        for way in stored.resizings
        for between, side in zip(way.size, sides, strict=True)
    ]
    if stored.unscaled is not None:  # It was reduced, or enlarged, and not brought back.
        now = stored.unscaled.shape[:2]
        shares = [between / side for between, side in zip(now, sides, strict=True)]
    share = min(shares, default=1.0)
    kept = {name: _share_kept(step, min(sides)) for name, step in edits.items()}
    whole = [name for name, left in kept.items() if left is None]
    if share >= 1:
        return whole, None if whole else "lossless"
    known = [left for left in kept.values() if left is not None and left <= share + _SAME]
    chosen = [name for name, left in kept.items() if known and left == max(known)]
    if not resized:
        chosen += whole
    if stored.unscaled is not None:
        return chosen, None if chosen else _reduced_to(stored)
    height, width = stored.resizings[0].size
    return chosen, None if chosen else f"resized to {height}x{width} and back"


def _reduced_to(stored: Stored) -> str | None:
    """To which size an image was reduced; None for one that was not."""
    if stored.unscaled is None:
        return None
    height, width = stored.unscaled.shape[:2]
    smaller = height < stored.pixels.shape[0] or width < stored.pixels.shape[1]
    return f"reduced to {height}x{width}" if smaller else None


def _of_cut(kept: float, edits: Mapping[str, EditStep]) -> tuple[list[str], str | None]:
    """The edits that leave so large a share of a side, or the next smaller one; what differs."""
    shares = {name: step.amount for name, step in edits.items() if step.amount <= kept + _CUT_ALIKE}
    chosen = [name for name, share in shares.items() if share == max(shares.values())]
    return chosen, None if chosen else f"cut to {kept:.0%} of a side"


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
    levels = {name: table.coarseness for name, table in tables.items()}
    return _nearest(ours.coarseness, levels, _SAME, "JPEG")


def _of_webp(stored: Stored, edits: Mapping[str, EditStep]) -> tuple[list[str], str | None]:
    """The edits with a WebP's quantiser, or the nearest on either side; and what differs."""
    if not edits:
        return [], LOSSY_WEBP
    levels = {name: webp_coarsest(step.amount) for name, step in edits.items()}
    return _nearest(stored.quantiser or 0, levels, _SAME_WEBP, LOSSY_WEBP)


def _nearest(
    ours: float, levels: Mapping[str, float], same: float, what: str
) -> tuple[list[str], str | None]:
    """The edits as coarse as a file, or the next finer and the next coarser; and what differs."""
    finer = [level for level in levels.values() if level <= ours + same]
    coarser = [level for level in levels.values() if level >= ours - same]
    near = {*([max(finer)] if finer else []), *([min(coarser)] if coarser else [])}
    unlike = None if coarser else f"{what} of a lower quality"
    return [name for name, level in levels.items() if level in near], unlike


def _table_of(jpeg: Stored) -> _Table:
    coarseness = float(np.log(jpeg.tables[0].astype(np.float64)).mean())
    return _Table(coarseness, jpeg.averaged[1] if len(jpeg.averaged) > 1 else (1, 1))


@functools.lru_cache(maxsize=256)
def _table(step: EditStep, channels: int) -> _Table:
    """What a JPEG of this quality has, by writing one."""
    name = "-".join(filter(None, (step.family, f"{step.amount:.10g}", step.option)))
    (written,) = stored_images(np.zeros((1, 16, 16, channels), np.uint8), name)
    return _table_of(written)
