"""Borders of one colour around an image, as letterboxes, frames and padding leave them."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from jax_origin.images.file_set import Stored
from jax_origin.images.resizing import find_resizings
from jax_origin.images.windows import GRID, cut_window

_NEAR = 6  # grey levels: so much a lossy file may change of a uniform border


def without_borders(stored: Stored, size: tuple[int, int]) -> tuple[Stored, str] | None:
    """An image of a given size whose file has borders of one colour around it.

    Each border has a colour of its own. Where an image's own edge has it too, the image is taken
    for the middle; if the borders are not that wide, for what is left of one of them. Of a lossy
    they must be whole blocks, as `cut_window` has it.

    Args:
      stored: The file.
      size: (height, width) that the image is to have, neither larger than the file's.

    Returns:
      The image's own set, and what was cut away, in words; None where no such borders are.
    """
    near = 0 if stored.kind == "pixels" else _NEAR
    sides, places = ("above", "below", "on the left", "on the right"), []
    for axis, wanted in enumerate(size):
        lines = stored.pixels.swapaxes(0, axis)
        spare = len(lines) - wanted
        before, after = _uniform(lines, near), _uniform(lines[::-1], near)
        if before == len(lines):  # Nothing is inside.
            return None
        middle = spare // 2
        first = next(
            (f for f in (middle, spare, 0) if 0 <= f <= before and 0 <= spare - f <= after), None
        )
        if first is None or (stored.kind != "pixels" and first % GRID):
            return None
        places += [first, spare - first]
    top, _, left, _ = places
    bare = cut_window(stored, top, left, size)
    if stored.kind == "pixels":
        bare = dataclasses.replace(bare, surroundings=None, resizings=find_resizings(bare.pixels))
    pairs = zip(places, sides, strict=True)
    cut = ", ".join(f"{count} {side}" for count, side in pairs if count)
    return bare, f"borders of one colour cut away, pixels: {cut}"


def _uniform(lines: NDArray[np.uint8], near: int) -> int:
    """How many of the first lines [N, M, C] have the colour of the first pixel, nearly."""
    off = np.abs(lines.astype(np.int16) - lines[0, 0].astype(np.int16)).max(axis=(1, 2)) > near
    return int(np.argmax(off)) if off.any() else len(lines)
