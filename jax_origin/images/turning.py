"""Turns and mirrorings: which of the eight an image has met, and its file before it did."""

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jax_origin.images.file_set import Stored
from jax_origin.images.resizing import CUT


class Turn(NamedTuple):
    """A turn or a mirroring of images [H, W, C].

    Attributes:
      words: What was done to the image.
      share: Of the chance that is left for all of them together, how much it is given. People
        mirror images far more often than they turn them.
      transposed: Rows and columns change places first,
      upside_down: then the order of the rows is reversed,
      mirrored: and that of the columns.
    """

    words: str
    share: float
    transposed: bool
    upside_down: bool
    mirrored: bool

    def __call__(self, images: NDArray) -> NDArray:
        """An image [H, W, ...] after it."""
        image = images.swapaxes(0, 1) if self.transposed else images
        image = image[::-1] if self.upside_down else image
        return image[:, ::-1] if self.mirrored else image

    @property
    def undone(self) -> "Turn":
        """The turn that undoes it."""
        if not self.transposed:
            return self
        return self._replace(upside_down=self.mirrored, mirrored=self.upside_down)


TURNS = (
    Turn("mirrored left to right", 2 / 3, False, False, True),
    Turn("mirrored top to bottom", 1 / 18, False, True, False),
    Turn("turned by 180 degrees", 1 / 18, False, True, True),
    Turn("turned by 90 degrees, clockwise", 1 / 18, True, False, True),
    Turn("turned by 90 degrees, counterclockwise", 1 / 18, True, True, False),
    Turn("mirrored along the falling diagonal", 1 / 18, True, False, False),
    Turn("mirrored along the rising diagonal", 1 / 18, True, True, True),
)
"""All but leaving an image as it is."""


def share_of_chances(reading: str | None, tried: Iterable[str] = ()) -> float:
    """The share of its look's chances that an image's reading was given; 1 for as it is.

    Turns share those of one look. An image that may be a part of one has two looks for those of
    one: as a part, and then as retouched or reframed.

    Args:
      reading: What the image was taken for, in words.
      tried: What it was read as besides, or before.
    """
    if reading is None:
        return 1.0
    among = next((turn.share for turn in TURNS if turn.words == reading), None)
    parts = any(words.startswith(CUT) for words in (reading, *tried))
    return among or (0.5 if parts else 1.0)


def turned(stored: Stored, turn: Turn) -> Stored | None:
    """The file of an image after a turn, exactly.

    A lossy file's blocks change places, and their coefficients signs. None for one whose last
    blocks are cut off, for they would be the first ones, and for which a turn is not exact.
    """
    height, width = stored.pixels.shape[:2]
    for plane, (down, along) in zip(stored.coefficients, stored.averaged, strict=True):
        if plane.shape != (height // down, width // along) or height % down or width % along:
            return None
    swap = (lambda part: part[::-1]) if turn.transposed else (lambda part: part)
    tables = (abs(part).astype(np.uint16) for part in _planes(stored, stored.tables, turn))
    return dataclasses.replace(
        stored,
        pixels=np.ascontiguousarray(turn(stored.pixels)),
        coefficients=_planes(stored, stored.coefficients, turn),
        tables=tuple(tables),
        predictions=tuple(np.ascontiguousarray(turn(plane)) for plane in stored.predictions),
        whole=None if stored.whole is None else np.ascontiguousarray(turn(stored.whole)),
        averaged=tuple(swap(pair) for pair in stored.averaged),
        resizings=(),
    )


def _planes(stored: Stored, planes: tuple[NDArray, ...], turn: Turn) -> tuple[NDArray, ...]:
    """Numbers of the components of a file after a turn of the image."""
    if stored.whole is None:
        return tuple(_turned_blocks(plane, turn, 8) for plane in planes)
    made = tuple(_turned_blocks(plane, turn, 4) for plane in planes)
    # Constant terms that are transformed once more are such a block of their own.
    terms, where = made[0][::4, ::4], np.kron(turn(stored.whole), np.ones((4, 4), bool))
    terms[where] = _turned_blocks(planes[0][::4, ::4], turn, 4)[where]
    return made


def _turned_blocks(plane: NDArray, turn: Turn, side: int) -> NDArray:
    """Coefficients, [side * rows, side * columns], after a turn of the image."""
    if turn.transposed:
        plane = plane.T
    rows, columns = (length // side for length in plane.shape)
    blocks = plane.reshape(rows, side, columns, side)
    odd = np.where(np.arange(side) % 2, -1, 1).astype(np.int16)
    if turn.upside_down:
        blocks = blocks[::-1] * odd[:, None, None]
    if turn.mirrored:
        blocks = blocks[:, :, ::-1] * odd
    return np.ascontiguousarray(blocks).reshape(plane.shape)


def turned_alternatives(stored: Stored) -> tuple[Stored, tuple[Turn, ...]]:
    """A file as if its image had been turned in one of the ways that leave its size.

    Returns:
      The file before the first of these turns, with all of them for `alternatives`, and the turns
      in order; the file itself and none where no turn is exact.
    """
    found = {}
    for turn in TURNS:
        before = turned(stored, turn.undone)
        if before is not None and before.pixels.shape == stored.pixels.shape:
            found[turn] = before
    if not found:
        return stored, ()
    first, *_ = sets = tuple(found.values())
    return dataclasses.replace(first, alternatives=sets), tuple(found)
