"""A robust distance to the set of a file, which blocks that another hand made hardly move.

Where somebody pasted something into a generator's image, the rest of it still lies in the file's
set. A block of error e counts e^2 / (e^2 + s^2). So one that is far off, as the scale s measures
it, counts as one that is farther off (Geman and McClure, Bull. Int. Stat. Inst. 52, 1987). The
scale is data, and falls while a search goes on.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from numpy.typing import NDArray

from jax_origin.distances.file_set import FileSet, held_beyond, number_weights, off_middle
from jax_origin.distances.generic_code import generic_codes
from jax_origin.images import Stored, StoredArrays, stack_stored

BLOCK = 8
"""Coefficients to the side of a block of a JPEG."""

CELL = 4
"""Pixels to the side of a block of pixels, in all colours."""


class PartTarget(NamedTuple):
    """A file's set, and from which error on a block counts for little.

    Attributes:
      stored: The set.
      scale: float32 [N], grey levels.
    """

    stored: StoredArrays
    scale: Any


@dataclasses.dataclass(frozen=True)
class PartOfFile(FileSet):
    """`FileSet` for images of which a generator made a part alone; targets are `PartTarget`."""

    kind: ClassVar[str] = "part_of_file"

    def target(self, image: Any) -> PartTarget:  # type: ignore[override]
        """The set as arrays, at a scale of one grey level."""
        return PartTarget(image.to_arrays(), np.float32(1.0))

    def l2(self, images: jax.Array, targets: Any) -> jax.Array:
        """The mean of what the numbers' blocks count, each from 0 to 1, [N]."""
        squares = _squares(*off_middle(images, targets.stored, self.margin), targets.stored)
        counted = squares / (squares + _squared(targets.scale))
        return jnp.sum(number_weights(targets.stored) * counted, axis=(1, 2, 3))

    def residual(self, images: jax.Array, targets: Any) -> jax.Array:
        """What has `l2` for the sum of its squares, and half of its slope, [N, 3, R, C].

        What a block counts is taken for fixed where the residual is linearised: then a Gauss-Newton
        step is one of iteratively reweighted least squares.
        """
        off, room = off_middle(images, targets.stored, self.margin)
        scale, held = _squared(targets.scale), held_beyond(off, room)
        now, squares = jax.lax.stop_gradient((held, _squares(off, room, targets.stored)))
        root = jnp.sqrt(squares + scale)
        robust = now / root + scale / root**3 * (held - now)
        return jnp.sqrt(number_weights(targets.stored)) * robust


def cell_side(image: Stored) -> int:
    """Pixels to the side of a cell: a `BLOCK` of a JPEG, `CELL` of any other file."""
    return CELL if image.kind == "pixels" else BLOCK


class Cells(NamedTuple):
    """How far the cells of an image lie outside of its file's set, and what the file says of them.

    Attributes:
      errors: Mean squared errors in grey levels, [R / side, C / side].
      numbers: How many numbers they are the means of; 0 where the file says nothing.
      said: How many of these say something: all of a pixel's, and of coefficients those that are
        not 0, for most pictures have little of the fine detail that is rounded away.
    """

    errors: NDArray[np.float64]
    numbers: NDArray[np.float64]
    said: NDArray[np.float64]

    def mean_within(self, cells: NDArray[np.bool_]) -> float:
        """The mean squared error of the numbers in some cells."""
        weights = self.numbers * cells
        return float((self.errors * weights).sum() / max(1.0, weights.sum()))


def cells_of(images: Any, stored: Sequence[StoredArrays]) -> list[Cells]:
    """The cells of images [N, H, W, C] in [0, 1], held against files' sets, N.

    Of a JPEG's colours those count that have blocks as fine as its brightness.
    """
    each = map(np.asarray, _cells(images, stack_stored(stored)))
    found = []
    for arrays, *parts in zip(stored, *each, strict=True):
        apart = slice(None, None, BLOCK // CELL if arrays.rows[0, 0, 1] else 1)
        found.append(Cells(*(part[apart, apart].astype(float) for part in parts)))
    return found


def generic_part_error(image: Stored, cells: NDArray[np.bool_], numbers: int) -> float:
    """The mean squared error of these cells in the best of `generic_codes` that say nothing else.

    All of a code's numbers are spent on the part: what lies around it is painted over smoothly.

    Args:
      image: The file.
      cells: Those of the part, at least one that the file says something of.
      numbers: How many numbers a code has.
    """
    height, width = image.pixels.shape[:2]
    side, arrays = cell_side(image), image.to_arrays()
    inside = np.kron(cells, np.ones((side, side), bool))[:height, :width]
    codes = generic_codes(_painted_over(image.pixels, inside), numbers)
    return min(each.mean_within(cells) for each in cells_of(codes, [arrays] * len(codes)))


def _painted_over(pixels: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """An image [H, W, C] with all but a part of it replaced by what is near, ever more smoothly."""
    there = inside.astype(float)[..., None]
    total, weight, width = np.zeros(pixels.shape), np.zeros(there.shape), 1.0
    while width < 2 * max(pixels.shape[:2]):
        blurred = [
            scipy.ndimage.gaussian_filter(each, (width, width, 0), mode="nearest")
            for each in (pixels * there, there)
        ]
        total += blurred[0] * width**-8
        weight += blurred[1] * width**-8
        width *= 2
    near = total / np.maximum(weight, np.finfo(float).tiny)
    return np.where(inside[..., None], pixels, np.rint(near.clip(0, 255))).astype(np.uint8)


@jax.jit
def _cells(images: jax.Array, stored: StoredArrays) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The three arrays of `Cells`, [N, R / CELL, C / CELL]; a JPEG's cell is there four times."""
    off, room = off_middle(images, stored, FileSet.margin)
    fine = _any(stored.rows[:, :, BLOCK]) & _any(stored.columns[:, :, BLOCK])
    there = ((number_weights(stored) > 0) & fine[:, :, None, None]).astype(jnp.float32)
    jpeg = _is_jpeg(stored)[:, None, None]
    squares, numbers, said = (
        jnp.where(
            jpeg,
            _spread(_pooled(each, BLOCK), BLOCK // CELL).sum(1),
            _pooled(each, CELL).sum(1),
        )
        for each in (
            there * (off - jnp.clip(off, -room, room)) ** 2,
            there,
            there * ((jnp.abs(stored.middles) > stored.halves) | ~jpeg[:, None]),
        )
    )
    return squares / jnp.maximum(numbers, 1.0), numbers, said


def _squares(off: jax.Array, room: jax.Array, stored: StoredArrays) -> jax.Array:
    """The mean squared error of each number's block, [N, 3, R, C], grey levels."""
    there = (number_weights(stored) > 0).astype(off.dtype)
    squares = there * (off - jnp.clip(off, -room, room)) ** 2
    blocks = _pooled(squares, BLOCK) / jnp.maximum(_pooled(there, BLOCK), 1.0)
    total, numbers = (_pooled(each, CELL).sum(1, keepdims=True) for each in (squares, there))
    cells = jnp.broadcast_to(total / jnp.maximum(numbers, 1.0), (*off.shape[:2], *total.shape[2:]))
    jpeg = _is_jpeg(stored)[:, None, None, None]
    return jnp.where(jpeg, _spread(blocks, BLOCK), _spread(cells, CELL))


def _is_jpeg(stored: StoredArrays) -> jax.Array:
    """Whether numbers are coefficients, [N]: the transform of brightness is none for pixels."""
    return stored.rows[:, 0, 0, 1] != 0


def _any(array: jax.Array) -> jax.Array:
    return jnp.any(array != 0, axis=-1)


def _pooled(array: jax.Array, side: int) -> jax.Array:
    """Sums of squares of so many numbers to a side, [N, 3, R / side, C / side]."""
    n, planes, rows, columns = array.shape
    return array.reshape(n, planes, rows // side, side, columns // side, side).sum((3, 5))


def _spread(array: jax.Array, side: int) -> jax.Array:
    """Each number so many times along rows and columns."""
    return jnp.repeat(jnp.repeat(array, side, axis=2), side, axis=3)


def _squared(scale: jax.Array) -> jax.Array:
    return scale[:, None, None, None] ** 2
