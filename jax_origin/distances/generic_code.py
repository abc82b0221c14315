"""A code for any picture: how near it comes with as many numbers as a generator has."""

import functools
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.distances.base import Distance
from jax_origin.images import YCBCR, Stored, as_float

_LEVELS = 5  # of the transform
_IN_COLOUR = (1 / 2, 1 / 4, 1 / 4)  # of the numbers: brightness, and each of the two colours


def generic_code(pixels: NDArray[np.uint8], numbers: int) -> NDArray[np.float32]:
    """The picture that so many numbers say of an image, float32 [H, W, C] in [0, 1].

    They are the largest coefficients of its Haar wavelets: half of them of brightness, a quarter of
    each colour difference (as JFIF has them); without three channels as many of each. Which ones
    they are is given away, so the code is better than one that could be sent. (Of cosine transforms
    of blocks and of the whole image, and the wavelets of JPEG 2000, each with more and with fewer
    numbers, none kept own and foreign images as far apart on files of all kinds.)

    Args:
      pixels: uint8 [H, W, C].
      numbers: How many, 1 or more.
    """
    image = as_float(pixels[None])[0].astype(np.float64)
    height, width, channels = image.shape
    colour = YCBCR.astype(np.float64) if channels == 3 else np.eye(channels)
    shares = _IN_COLOUR if channels == 3 else [1 / channels] * channels
    levels = min(_LEVELS, max(height, width).bit_length() - 1)
    room = [(0, -side % 2**levels) for side in (height, width)]
    waves = _haar(np.pad(image @ colour.T, (*room, (0, 0)), mode="edge"), levels)
    for plane, share in enumerate(shares):
        sizes = np.abs(waves[..., plane]).ravel()
        spared = sizes.size - max(1, round(share * numbers))
        if spared > 0:
            kept = np.ones(sizes.size, bool)
            kept[np.argpartition(sizes, spared)[:spared]] = False
            waves[..., plane] *= kept.reshape(waves.shape[:2])
    said = _haar(waves, levels, back=True)[:height, :width] @ np.linalg.inv(colour).T
    return np.clip(said, 0.0, 1.0).astype(np.float32)


def _haar(planes: NDArray[np.float64], levels: int, *, back: bool = False) -> NDArray[np.float64]:
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
    """How near `generic_code` comes to an image, or to the set of its file."""
    target: Any = image if distance.of_files else as_float(image.pixels[None])[0]
    target = jax.tree.map(lambda part: np.asarray(part)[None], distance.target(target))
    said = generic_code(image.pixels, numbers)[None]
    return float(_value(distance, said, target)[0])


@functools.partial(jax.jit, static_argnums=0)
def _value(distance: Distance, images: jax.Array, targets: Any) -> jax.Array:
    return distance.value(images, targets)
