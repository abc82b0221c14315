"""Images of any size, judged by windows of the generator's size."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jax_origin.generators import GeneratorLike, generator_name
from jax_origin.images import GRID, Stored, as_uint8, cut_window, textured_windows
from jax_origin.inversion import Inversion

_UNSEEN = 0.5  # What stands for a reconstruction where none was asked for.


class Window(NamedTuple):
    """A part of an image that is inverted, and where in it it begins."""

    top: int
    left: int
    stored: Stored


def check_shape(shape: Sequence[int], generator: GeneratorLike, windows: int, what: str) -> None:
    """Raises ValueError if images of this shape (H, W, C) cannot be judged.

    They have the generator's, or with `windows` at least its size.
    """
    (height, width, channels), made = shape, tuple(generator.image_shape)
    name = generator_name(generator)
    if channels != made[2]:
        wrong = f"{tuple(shape)} (H, W, C): the wrong number of channels"
        raise ValueError(f"{what} are {wrong}, {name!r} makes {made[2]}")
    if windows and height >= made[0] and width >= made[1]:
        return
    if tuple(shape) != made:
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
    own corner.

    Raises:
      ValueError: If the image is too small.
    """
    check_shape(image.pixels.shape, generator, num, "images")
    height, width, _ = generator.image_shape
    size, cell = (height, width), getattr(generator, "factor", 1)
    if image.pixels.shape[:2] == size:
        places = [(0, 0)]
    else:
        grid = math.lcm(GRID, cell)
        places = textured_windows(image.pixels, size, num=num, grid=grid)
    margin = getattr(generator, "margin", 0)
    return tuple(Window(*at, cut_window(image, *at, size, margin=margin)) for at in places)


def joined(image: Any, windows: Sequence[Window], found: Sequence[Inversion]) -> Inversion:
    """The inversions of an image's windows as one of the image.

    Losses and distances are means over windows, evaluations a sum; there is a latent for each. The
    reconstruction has the image's size, and is grey where there is no window. Without windows the
    image's own inversion is all.
    """
    if not windows:
        return found[0]
    pixels = image.pixels if isinstance(image, Stored) else np.asarray(image)
    reconstruction: NDArray[np.float32] = np.full(pixels.shape, _UNSEEN, np.float32)
    for (top, left, _), one in zip(windows, found, strict=True):
        height, width = one.reconstruction.shape[:2]
        reconstruction[top : top + height, left : left + width] = one.reconstruction
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
