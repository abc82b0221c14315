"""Crops of real photographs, for calibrating and demonstrating without a data set at hand.

scikit-image carries the photographs inside its package; nothing is downloaded. Drawings, text,
masks and pictures that are almost black or flat are left out.
"""

import functools
import importlib.util
import os

import numpy as np
from PIL import Image

from jax_origin.images.decode import ImageError, decode_image

_PARTS = {
    "calibration": "astronaut.png brick.png camera.png coffee.png gravel.png ihc.png retina.jpg",
    # motorcycle_right shows the same scene, and so belongs to neither part.
    "demonstration": "chelsea.png coins.png grass.png motorcycle_left.png rocket.jpg",
}
_SMALLEST_CROP = 64
_LEAST_CONTENT = 0.04
_MOST_DRAWS = 100


def photograph_crops(
    num: int, size: tuple[int, int], *, seed: int, part: str
) -> tuple[np.ndarray, list[str]]:
    """Cuts random crops from photographs and reduces them to the size wanted.

    The photographs take turns, in an order drawn anew each round. A crop has the shape of `size`;
    its shorter side has at least 64 pixels, or those of `size` if more. Pillow's Lanczos filter
    reduces it. A crop of nearly no content (grey values on [0, 1] that deviate by under 0.04) is
    drawn again. Crops of one photograph are not independent: count the sources, not the crops.

    Args:
      num: how many crops.
      size: their (H, W).
      seed: the same seed gives the same crops on every machine.
      part: "calibration" or "demonstration"; the two have no photograph in common.

    Returns:
      The crops, uint8 [num, H, W, 3] (grey ones have equal channels), and their photographs' names.

    Raises:
      ValueError: `part` is unknown, `num` is below 1, or `size` is larger than a photograph.
      ImageError: scikit-image, or a photograph of its, is not installed.
    """
    if part not in _PARTS:
        raise ValueError(f"part must be one of {', '.join(sorted(_PARTS))}; got {part!r}")
    if num < 1 or min(size) < 1:
        raise ValueError(f"num and size must be at least 1, got {num} and {size}")
    photographs = {os.path.splitext(name)[0]: _photograph(name) for name in _PARTS[part].split()}
    rng = np.random.default_rng(seed)
    crops: list[np.ndarray] = []
    sources: list[str] = []
    for i in range(num):
        if i % len(photographs) == 0:
            turns = rng.permutation(list(photographs)).tolist()
        sources.append(turns[i % len(photographs)])
        crops.append(_crop_with_content(photographs[sources[-1]], size, rng))
    return np.stack(crops), sources


def _crop_with_content(
    photograph: Image.Image, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    crops: list[tuple[float, np.ndarray]] = []
    while len(crops) < _MOST_DRAWS:  # A texture reduced to a few pixels may never have enough.
        crop = _crop(photograph, size, rng)
        crops.append((float(crop.mean(axis=2).std()) / 255, crop))
        if crops[-1][0] >= _LEAST_CONTENT:
            break
    return max(crops, key=lambda found: found[0])[1]


def _crop(photograph: Image.Image, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    height, width = size
    short = min(size)
    most = min(photograph.height * short // height, photograph.width * short // width)
    least = min(max(_SMALLEST_CROP, short), most)
    if most < short:
        limit = f"{photograph.height}x{photograph.width}"
        raise ValueError(f"size {height}x{width} is larger than a photograph ({limit})")
    side = int(rng.integers(least, most, endpoint=True))
    crop_height, crop_width = side * height // short, side * width // short
    top = int(rng.integers(0, photograph.height - crop_height, endpoint=True))
    left = int(rng.integers(0, photograph.width - crop_width, endpoint=True))
    box = (left, top, left + crop_width, top + crop_height)
    reduced = photograph.crop(box).resize((width, height), Image.Resampling.LANCZOS)
    return np.array(reduced, dtype=np.uint8)


@functools.cache
def _photograph(name: str) -> Image.Image:
    # The package is found but not imported: its data module would offer to download.
    package = importlib.util.find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise ImageError(name, "scikit-image, which carries this photograph, is not installed")
    path = os.path.join(package.submodule_search_locations[0], "data", name)
    return Image.fromarray(decode_image(path).pixels)
