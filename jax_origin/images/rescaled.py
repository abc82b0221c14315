"""Files of another size than the images that they are taken for."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jax_origin.images.arrays import as_float, as_uint8, from_pillow, to_pillow
from jax_origin.images.file_set import Stored
from jax_origin.images.resizing import (
    Placing,
    Rescaling,
    beyond_enlargement,
    find_part,
    find_rescalings,
)

MOST, LEAST = 4.0, 0.5
"""Times the side of an image that was made, the sides that a file of it may have."""

_ROUNDING = 1.0  # grey levels: what an enlarged image's own rounding may add, and more


def may_be_rescaled(size: tuple[int, int], made: tuple[int, int]) -> bool:
    """Whether a file of this size (h, w) may hold an image that was made with another, (H, W)."""
    shares = [side / full for side, full in zip(size, made, strict=True)]
    return size != made and LEAST <= min(shares) and max(shares) <= MOST


def rescaled(stored: Stored, made: tuple[int, int]) -> Stored | None:
    """A file as that of an image of another size, which was resized before it was stored.

    The set is that of the file as it is: nothing is resized but what the generator makes. The
    filter is found in the pixels; where several may be, they are `alternatives`.

    Args:
      stored: The file, of another size.
      made: (H, W) that the image had.

    Returns:
      The set; None where the file stores something that its pixels do not tell, and where
      `may_be_rescaled` says no.
    """
    size = stored.pixels.shape[:2]
    if stored.note is not None or not may_be_rescaled(size, made):
        return None
    small = to_pillow(stored.pixels).resize(made[::-1], Image.Resampling.BICUBIC)
    ways = find_rescalings(stored.pixels, made, lossy=stored.kind != "pixels")
    sets = [
        dataclasses.replace(
            stored,
            pixels=from_pillow(small),
            unscaled=stored.pixels,
            resizing=way,
            resizings=(),
        )
        for way in ways
    ]
    return dataclasses.replace(sets[0], alternatives=tuple(sets))


def as_part(stored: Stored, made: tuple[int, int]) -> Stored | None:
    """A file as that of a part of an image, which may have been enlarged; see `find_part`.

    The set is that of the file as it is. Where the part lay is not known: it is taken for the
    middle, and `pixels`, at the size of the whole image, have it there.

    Args:
      stored: The file.
      made: (H, W), the size of the whole image.

    Returns:
      The set; None where the file is no such part, or its pixels do not tell what it stores.
    """
    file = stored.pixels if stored.unscaled is None else stored.unscaled
    if stored.note is not None:
        return None
    if (way := find_part(file, made, lossy=stored.kind != "pixels")) is None:
        return None
    part = to_pillow(file).resize(way.kept[::-1], Image.Resampling.BICUBIC)
    sides = zip(way.before, way.kept, made, strict=True)
    around = [(before, full - kept - before) for before, kept, full in sides]
    return dataclasses.replace(
        stored,
        pixels=np.pad(from_pillow(part), (*around, (0, 0)), mode="edge"),
        unscaled=file,
        resizing=way,
        resizings=(),
        alternatives=(),
    )


def part_shown(part: Stored, image: NDArray[np.floating]) -> NDArray[np.float32]:
    """What a file of a part (`as_part`) shows of an image [H, W, C], resized to its size."""
    assert part.unscaled is not None and isinstance(part.resizing, Placing)
    rows, columns = part.resizing.matrices(part.unscaled.shape[:2])
    shown = np.einsum("ij,jkc,lk->ilc", rows, np.asarray(image, np.float32), columns).clip(0, 1)
    if shown.shape == image.shape:
        return shown
    height, width = image.shape[:2]
    whole = to_pillow(as_uint8(shown[None])[0]).resize((width, height), Image.Resampling.BICUBIC)
    return as_float(from_pillow(whole)[None])[0]


def rescaled_words(stored: Stored) -> tuple[str, ...]:
    """What was done to an image of another size, by each of its readings; none for other files."""
    if stored.unscaled is None:
        return ()
    size = stored.unscaled.shape[:2]
    ways = [one.resizing for one in stored.readings()]
    return tuple(way.words(size) for way in ways if isinstance(way, Rescaling))


def shows_detail(stored: Stored) -> bool:
    """Whether a file of another size holds finer detail than an image that was enlarged.

    Then it is no enlarged part of a generator's image either. What a JPEG's rounding may leave is
    no detail.
    """
    way = stored.resizing
    if stored.unscaled is None or not isinstance(way, Rescaling):
        return False
    left = _ROUNDING
    if stored.kind != "pixels":
        bright = stored.coefficients[0]
        # A number that is not 0 was rounded by up to half a step, and so were some that are.
        rounded = 2 * (2 * stored.boxes(0, bright)[1]) ** 2 / 12 * (bright != 0)
        left += float(np.sqrt(rounded.mean()))
    return beyond_enlargement(stored.unscaled, way) > left
