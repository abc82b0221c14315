"""Maps of the part of an image that a generator made: pictures, and files of their numbers."""

import csv
import io
import os

import numpy as np
from numpy.typing import NDArray

from jax_origin.files import atomic_write
from jax_origin.images import save_png
from jax_origin.workflow.verdict import PartMap

_HOT = np.array([255, 60, 0])
_MOST = 0.8  # of the colour, where it is hottest


def heat(image: NDArray[np.uint8], part: PartMap) -> NDArray[np.uint8]:
    """An image [H, W, 1 or 3] in grey, uint8 [H, W, 3], ever redder where it lies outside.

    Cells that the map does not say lie outside stay grey. Others are coloured by how many grey
    levels they lie beyond the file's set, on a logarithmic scale from one to 64.
    """
    levels = np.log2(np.maximum(np.nan_to_num(part.errors), 1.0)) / 6
    cells = np.where(part.outside, 0.4 + 0.6 * np.clip(levels, 0, 1), 0.0) * _MOST
    height, width = image.shape[:2]
    shades = np.kron(cells, np.ones((part.side, part.side)))[:height, :width, None]
    grey = image.mean(axis=2, keepdims=True)
    return np.rint((1 - shades) * grey + shades * _HOT).astype(np.uint8)


def write_part_map(path: str | os.PathLike[str], image: NDArray[np.uint8], part: PartMap) -> None:
    """Writes a map as a picture, `path` with .png, and its numbers, with .csv; OSError if not.

    A row of numbers is a cell: its first row and column of pixels, and its side. Then come how many
    grey levels it lies beyond the file's set, p, and 1 where it lies outside. Cells of which the
    file says nothing are left out.
    """
    height, width = image.shape[:2]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["row", "column", "side", "error", "p", "outside"])
    for i, j in np.ndindex(part.errors.shape):
        at = i * part.side, j * part.side
        if np.isfinite(part.p[i, j]) and at[0] < height and at[1] < width:
            numbers = f"{part.errors[i, j]:.4g}", f"{part.p[i, j]:.4g}", int(part.outside[i, j])
            table.writerow([*at, part.side, *numbers])
    save_png(f"{os.fspath(path)}.png", heat(image, part))
    with atomic_write(f"{os.fspath(path)}.csv") as temporary:
        with open(temporary, "w", encoding="ascii") as file:
            file.write(text.getvalue())
