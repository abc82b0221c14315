"""Windows of larger images: as sets of their own, with what is around them."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jax_origin.images.file_set import Stored

GRID = 16
"""Pixels from one place where a window may begin to the next: a JPEG's blocks stay whole there."""

_BLOCK = 8  # Samples along the side of a JPEG's block.


def cut_window(
    image: Stored, top: int, left: int, size: tuple[int, int], *, margin: int = 0
) -> Stored:
    """A window of an image as a file would hold it, on `GRID`.

    What the file says of the window is all that the window is judged by. Of the pixels around it
    only a search's beginning is told (`Stored.surroundings`). Ways by which the whole image may
    have been resized are left out. So are blocks of a lossy file that reach beyond the window,
    unless the image ends there.

    Args:
      image: The whole image.
      top: Its first row, a multiple of `GRID`.
      left: Its first column, likewise.
      size: (height, width) of the window; multiples of `GRID` keep all blocks whole.
      margin: Pixels of the surroundings on each side; beyond the image they are its reflection.
    """
    rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
    height, width = image.pixels.shape[:2]
    webp = image.whole is not None

    def cut(
        planes: tuple[NDArray, ...], averaged: Sequence[tuple[int, int]]
    ) -> tuple[NDArray, ...]:
        return tuple(
            plane[
                _whole_blocks(rows, height, down, GRID if webp else _BLOCK * down),
                _whole_blocks(columns, width, along, GRID if webp else _BLOCK * along),
            ]
            for plane, (down, along) in zip(planes, averaged, strict=True)
        )

    around = image.pixels
    for axis, part in enumerate((rows, columns)):
        places = np.arange(part.start - margin, part.stop + margin)
        around = np.take(around, reflected(places, around.shape[axis]), axis=axis)
    return dataclasses.replace(
        image,
        pixels=image.pixels[rows, columns],
        coefficients=cut(image.coefficients, image.averaged),
        tables=cut(image.tables, image.averaged) if webp else image.tables,
        predictions=cut(image.predictions, image.averaged if webp else ()),
        whole=None if image.whole is None else cut((image.whole,), [(GRID, GRID)])[0],
        surroundings=around,
        resizings=(),
    )


def placed_cut(image: Stored, size: tuple[int, int], *, cell: int) -> Stored:
    """A lossless file that is a part of an image of a given size, which may lie anywhere in it.

    A decoder makes the same of a shift by whole cells. So one place is taken for each shift within
    a cell, as near to the middle as can be. Where a part leaves less room than that, its last rows
    and columns are not looked at. What is not seen is the reflection of what is; it tells a search
    where to begin.

    Args:
      image: The part, of kind "pixels".
      size: (height, width) of the whole, neither smaller than the part's.
      cell: Pixels along the side of a cell.

    Returns:
      The first of the sets, with all of them for `alternatives`.
    """
    height, width = image.pixels.shape[:2]
    sides = [min(height, size[0] - cell + 1), min(width, size[1] - cell + 1)]
    firsts = [(size[axis] - side - cell + 1) // 2 for axis, side in enumerate(sides)]
    sets = []
    for shift in itertools.product(range(cell), repeat=2):
        around, seen = image.pixels, []
        for axis, side in enumerate(sides):
            begin = firsts[axis] + shift[axis]
            places = reflected(np.arange(size[axis]) - begin, side)
            around = np.take(around, places, axis=axis)
            seen.append((begin, begin + side))
        sets.append(
            dataclasses.replace(image, pixels=around, seen=(seen[0], seen[1]), resizings=())
        )
    return dataclasses.replace(sets[0], alternatives=tuple(sets))


def textured_windows(
    pixels: NDArray[np.uint8], size: tuple[int, int], *, num: int, grid: int = GRID
) -> list[tuple[int, int]]:
    """Where windows begin that say most: (top, left) of `num` at most, the one with most first.

    A window says as much as the squares of its differences between neighbours, in every channel,
    once each is held under that of a clear edge. They do not overlap while there is room.

    Args:
      pixels: uint8 [H, W, C], no smaller than a window.
      size: (height, width) of a window.
      num: How many.
      grid: Windows begin at multiples of it.
    """
    says = _texture(pixels)
    sums = np.pad(says.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    (height, width), (high, wide) = pixels.shape[:2], size
    tops, lefts = np.arange(0, height - high + 1, grid), np.arange(0, width - wide + 1, grid)
    below, beside = tops + high, lefts + wide
    total = sums[np.ix_(below, beside)] - sums[np.ix_(tops, beside)]
    total += sums[np.ix_(tops, lefts)] - sums[np.ix_(below, lefts)]
    chosen: list[tuple[int, int]] = []
    free = np.ones(total.shape, bool)
    while len(chosen) < num and (free.any() or len(chosen) == 0):
        i, j = np.unravel_index(np.argmax(np.where(free, total, -1)), total.shape)
        chosen.append((int(tops[i]), int(lefts[j])))
        apart = (abs(tops - tops[i]) >= high)[:, None] | (abs(lefts - lefts[j]) >= wide)[None]
        free &= apart
    return chosen


def _texture(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What each pixel says, [H, W]: squared differences to the ones below and beside it."""
    values, most = pixels.astype(np.float64), 32.0
    down = np.diff(values, axis=0, append=values[-1:])
    along = np.diff(values, axis=1, append=values[:, -1:])
    return (np.minimum(abs(down), most) ** 2 + np.minimum(abs(along), most) ** 2).sum(axis=2)


def _whole_blocks(part: slice, length: int, averaged: int, block: int) -> slice:
    """Where the blocks lie, of so many pixels, that say nothing of what is beyond a part."""
    end = None if part.stop >= length else part.stop // block * block // averaged
    return slice(part.start // averaged, end)


def reflected(places: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Which of `length` pixels stands in each place, inside or outside, by reflection."""
    if length == 1:
        return np.zeros_like(places)
    folded = np.abs(places) % (2 * length - 2)
    return np.minimum(folded, 2 * length - 2 - folded)
