"""Codes for any picture: how near they come with as many numbers as a generator has."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import scipy
from numpy.typing import NDArray

from jax_origin.distances.base import Distance
from jax_origin.images import YCBCR, Inside, Stored, as_float

_LEVELS = 5  # of the wavelets
_IN_COLOUR = (1 / 2, 1 / 4, 1 / 4)  # of the numbers: brightness, and each of the two colours


def generic_codes(pixels: NDArray[np.uint8], numbers: int) -> NDArray[np.float32]:
    """The pictures that three codes say of an image with so many numbers, float32 [3, H, W, C].

    The numbers are the largest coefficients of a transform. Haar wavelets say borders well, the
    whole image's cosine transform says what is smooth, and that of blocks of 8 x 8 some of both.
    Half of them are of brightness, a quarter of each colour difference (as JFIF has them); without
    three channels as many of each. Which ones they are is given away, so a code is better than one
    that could be sent. Values are in [0, 1].

    Args:
      pixels: uint8 [H, W, C].
      numbers: How many, 1 or more.
    """
    image = as_float(pixels[None])[0].astype(np.float64)
    channels = image.shape[2]
    colour = YCBCR.astype(np.float64) if channels == 3 else np.eye(channels)
    planes = image @ colour.T
    codes = ((_haar, _LEVELS), (_blocks, 3), (_whole, 0))
    said = np.stack([_largest(planes, numbers, *code) for code in codes])
    return np.clip(said @ np.linalg.inv(colour).T, 0.0, 1.0).astype(np.float32)


def _largest(
    planes: NDArray[np.float64], numbers: int, transform: Callable[..., Any], levels: int
) -> NDArray[np.float64]:
    """What the largest coefficients of a transform say of planes [H, W, C].

    The transform takes planes whose sides 2^levels divides, and `back`.
    """
    height, width, channels = planes.shape
    levels = min(levels, max(height, width).bit_length() - 1)
    room = [(0, -side % 2**levels) for side in (height, width)]
    waves = transform(np.pad(planes, (*room, (0, 0)), mode="edge"), levels, back=False)
    shares = _IN_COLOUR if channels == 3 else [1 / channels] * channels
    for plane, share in enumerate(shares):
        sizes = np.abs(waves[..., plane]).ravel()
        spared = sizes.size - max(1, round(share * numbers))
        if spared > 0:
            kept = np.ones(sizes.size, bool)
            kept[np.argpartition(sizes, spared)[:spared]] = False
            waves[..., plane] *= kept.reshape(waves.shape[:2])
    return transform(waves, levels, back=True)[:height, :width]


def _blocks(planes: NDArray[np.float64], levels: int, *, back: bool) -> NDArray[np.float64]:
    """The orthonormal cosine transforms of blocks, of 2^levels to a side; or back."""
    height, width, channels = planes.shape
    side = 2**levels
    blocks = planes.reshape(height // side, side, width // side, side, channels)
    transform = scipy.fft.idctn if back else scipy.fft.dctn
    return transform(blocks, axes=(1, 3), norm="ortho").reshape(planes.shape)


def _whole(planes: NDArray[np.float64], levels: int, *, back: bool) -> NDArray[np.float64]:
    """The orthonormal cosine transform of whole planes; or back."""
    transform = scipy.fft.idctn if back else scipy.fft.dctn
    return transform(planes, axes=(0, 1), norm="ortho")


def _haar(planes: NDArray[np.float64], levels: int, *, back: bool) -> NDArray[np.float64]:
    """The orthonormal transform of planes [H, W, C], whose sides 2^levels divides; or back."""
    planes = planes.copy()
    for level in range(levels)[:: -1 if back else 1]:
        height, width = (side >> level for side in planes.shape[:2])
        part = planes[:height, :width]
        for _ in range(2):  # down the rows, then along the columns
            if back:
                means, changes = np.split(part, 2)
                part = np.stack([means + changes, means - changes], 1).reshape(part.shape)
            else:
                part = np.concatenate([part[::2] + part[1::2], part[::2] - part[1::2]])
            part = (part / np.sqrt(2)).swapaxes(0, 1)
        planes[:height, :width] = part
    return planes


def generic_code_distance(image: Stored, numbers: int, distance: Distance) -> float:
    """How near the best of `generic_codes` comes to an image, or to the set of its file.

    Where its inside alone is compared, that is all that is coded.
    """
    target: Any = image if distance.of_files else as_float(image.pixels[None])[0]
    inside = next((each for each in (image.seen, image.resizing) if isinstance(each, Inside)), None)
    if inside is None:
        said = generic_codes(image.pixels, numbers)
    else:
        part = image.pixels[slice(*inside.rows), slice(*inside.columns)]
        ends = zip(inside, image.pixels.shape, strict=False)
        around = [(first, side - last) for (first, last), side in ends]
        said = np.pad(generic_codes(part, numbers), ((0, 0), *around, (0, 0)), mode="edge")
    targets = jax.tree.map(lambda part: np.stack([part] * len(said)), distance.target(target))
    return float(np.min(_value(distance, said, targets)))


@functools.partial(jax.jit, static_argnums=0)
def _value(distance: Distance, images: jax.Array, targets: Any) -> jax.Array:
    return distance.value(images, targets)
