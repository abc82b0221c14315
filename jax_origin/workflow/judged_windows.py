"""Images of any size, judged by windows of the generator's size."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jax_origin.generators import GeneratorLike, generator_name
from jax_origin.images import (
    GRID,
    Stored,
    as_float,
    as_uint8,
    cut_window,
    placed_cut,
    textured_windows,
)
from jax_origin.inversion import Inversion

_UNSEEN = 0.5  # What stands for a reconstruction where none was asked for.


_LEAST_SEEN = 1 / 2  # Of a side of the generator's images, the least that a cut may have.


class Window(NamedTuple):
    """A part of an image that is inverted, where in it it begins, and what of it is seen.

    Attributes:
      top: First row in the image.
      left: First column.
      stored: What is inverted.
      seen: What its distance is held against: itself, but for an image that was cut.
      share: Of the generator's image, how much is seen.
    """

    top: int
    left: int
    stored: Stored
    seen: Stored
    share: float = 1.0


def may_be_cut(image: Stored) -> bool:
    """Whether a file smaller than the generator's images may be a cut: its pixels are exact."""
    return image.kind == "pixels" and image.note is None


def check_shape(
    shape: Sequence[int], generator: GeneratorLike, windows: int, what: str, *, cut: bool = False
) -> None:
    """Raises ValueError if images of this shape (H, W, C) cannot be judged.

    They have the generator's, or with `windows` at least its size; or if a cut may be judged, too,
    at least half of either side.
    """
    (height, width, channels), made = shape, tuple(generator.image_shape)
    name = generator_name(generator)
    if channels != made[2]:
        wrong = f"{tuple(shape)} (H, W, C): the wrong number of channels"
        raise ValueError(f"{what} are {wrong}, {name!r} makes {made[2]}")
    if tuple(shape) == made:
        return
    shares = height / made[0], width / made[1]
    if windows and (min(shares) >= 1 or (cut and _LEAST_SEEN <= min(shares) and max(shares) <= 1)):
        return
    least = "at least " if windows else ""
    raise ValueError(f"{what} are {tuple(shape)} (H, W, C), {name!r} makes {least}{made}")


def enlarged(size: tuple[int, int], generator: GeneratorLike) -> tuple[int, int]:
    """The least size (H, W), both sides by one factor, in which a window fits into an image.

    It is the image's own where one fits already.
    """
    window = generator.image_shape[:2]
    factor = max(1.0, *(wanted / side for wanted, side in zip(window, size, strict=True)))
    height, width = (
        max(wanted, round(factor * side)) for wanted, side in zip(window, size, strict=True)
    )
    return height, width


def listed(images: Any) -> list[NDArray[np.uint8]]:
    """Images [N, H, W, C], or N of [H, W, C] of any sizes, as a list of these, in 8 bits.

    Raises ValueError as `jax_origin.images.as_uint8` does.
    """
    if isinstance(images, list | tuple):
        return [as_uint8(np.asarray(image)[None])[0] for image in images]
    return list(as_uint8(images))


def windows_of(image: Stored, generator: GeneratorLike, num: int) -> tuple[Window, ...]:
    """The windows of an image that say most, at most `num`.

    They begin where both a JPEG's blocks and an autoencoder's cells do, counted from the image's
    own corner. A smaller lossless image is taken for a part of one, which may begin anywhere within
    a cell; see `jax_origin.images.placed_cut`.

    Raises:
      ValueError: If the image is too small.
    """
    check_shape(image.pixels.shape, generator, num, "images", cut=may_be_cut(image))
    height, width, _ = generator.image_shape
    size, cell = (height, width), getattr(generator, "factor", 1)
    if min(np.subtract(image.pixels.shape[:2], size)) < 0:
        placed = placed_cut(image, size, cell=cell)
        share = image.pixels[..., 0].size / (height * width)
        return (Window(0, 0, placed, dataclasses.replace(image, resizings=()), share),)
    if image.pixels.shape[:2] == size:
        places = [(0, 0)]
    else:
        grid = math.lcm(GRID, cell)
        places = textured_windows(image.pixels, size, num=num, grid=grid)
    margin = getattr(generator, "margin", 0)
    cut = [cut_window(image, *at, size, margin=margin) for at in places]
    return tuple(Window(*at, part, part) for at, part in zip(places, cut, strict=True))


def joined(image: Any, windows: Sequence[Window], found: Sequence[Inversion]) -> Inversion:
    """The inversions of an image's windows as one of the image.

    Losses and distances are means over windows, evaluations a sum; there is a latent for each. The
    reconstruction has the image's size, and is grey where there is no window. Without windows the
    image's own inversion is all; of one that was cut the part that is nearest to it.
    """
    if not windows:
        return found[0]
    if places := windows[0].stored.alternatives:
        return _part(windows[0].seen, places, found[0])
    pixels = image.pixels if isinstance(image, Stored) else np.asarray(image)
    reconstruction: NDArray[np.float32] = np.full(pixels.shape, _UNSEEN, np.float32)
    for window, one in zip(windows, found, strict=True):
        height, width = one.reconstruction.shape[:2]
        rows = slice(window.top, window.top + height)
        reconstruction[rows, window.left : window.left + width] = one.reconstruction
    ended = [str(one.ended) for one in found]
    return Inversion(
        loss=np.mean([one.loss for one in found], dtype=np.float32),
        distance=np.mean([one.distance for one in found], dtype=np.float32),
        latent=np.stack([one.latent for one in found]),
        reconstruction=reconstruction,
        restart=found[0].restart,
        steps=np.sum([one.steps for one in found]),
        ended=np.asarray(ended[0] if len(set(ended)) == 1 else "finished"),
        curve=np.mean([one.curve for one in found], axis=0),
    )


def _part(image: Stored, places: Sequence[Stored], found: Inversion) -> Inversion:
    """An inversion of a whole image as that of the part that was seen, where it was found."""
    place, (seen,) = places[int(found.reading)].seen, as_float(image.pixels[None])
    assert place is not None
    (top, below), (left, beside) = place
    part = found.reconstruction[top:below, left:beside]
    height, width = part.shape[:2]
    loss = np.mean((part - seen[:height, :width]) ** 2, dtype=np.float32)
    made = np.full_like(seen, _UNSEEN)
    made[:height, :width] = part
    return found._replace(loss=loss, reconstruction=made, latent=found.latent[None])
