"""Pictures that say little: drawn ones, and photographs that were blurred or faded.

A model that can paint a plain wall reproduces any picture of one. Calibrations hold such pictures
beside photographs, and hold-out sets of them show how often one is attributed.
"""

import string
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_OVERSAMPLED = 4  # Shapes and letters are drawn so much larger, and reduced.
_Rng = np.random.Generator
_Size = tuple[int, int]


def plain_images(
    num: int, size: tuple[int, int], *, channels: int = 3, seed: int
) -> tuple[NDArray[np.uint8], list[str]]:
    """Draws pictures of each kind of `PLAIN` in turn; no two have anything in common.

    Args:
      num: How many, 1 or more.
      size: Their (H, W).
      channels: 3 or 1.
      seed: The same seed gives the same pictures, but for letters: another Pillow may draw them a
        little differently.

    Returns:
      uint8 [num, H, W, channels], and the kind of each.

    Raises:
      ValueError: A number is out of range.
    """
    if num < 1 or min(size) < 1 or channels not in (1, 3):
        raise ValueError(
            f"num and size must be at least 1, channels 1 or 3; got {num}, {size}, {channels}"
        )
    kinds = [list(PLAIN)[i % len(PLAIN)] for i in range(num)]
    drawn = [PLAIN[kind](np.random.default_rng([seed, i]), size) for i, kind in enumerate(kinds)]
    pixels = _rounded(np.stack(drawn))
    return (pixels if channels == 3 else pixels[..., 1:2].copy()), kinds


def faded_images(images: Any, *, seed: int) -> Any:
    """Blurs images, or takes most of their contrast, in turn.

    The blur is Gaussian, of a deviation between 1/32 and 1/4 of the shorter side; what is left of
    the contrast about the mean colour is between 1% and 20%.

    Args:
      images: uint8 [N, H, W, C]; or a list of N of [H, W, C].
      seed: For how much of it.

    Returns:
      uint8, of the same shape; or a list.
    """
    faded = []
    for i, image in enumerate(images):
        rng = np.random.default_rng([seed, i])
        if i % 2:
            mean = image.mean(axis=(0, 1))
            faded.append(mean + (image - mean) * _between(rng, 0.01, 0.2))
        else:
            faded.append(_blurred(image, min(image.shape[:2]) * _between(rng, 1 / 32, 1 / 4)))
    rounded = [_rounded(image) for image in faded]
    return np.stack(rounded) if rounded and isinstance(images, np.ndarray) else rounded or images


def _uniform(rng: _Rng, size: _Size) -> NDArray[np.float64]:
    """One colour; now and then black, white or grey."""
    colour = _colour(rng) if rng.random() < 0.75 else np.full(3, rng.choice([0, 128, 255]))
    return np.broadcast_to(colour, (*size, 3)).astype(np.float64)


def _gradient(rng: _Rng, size: _Size) -> NDArray[np.float64]:
    """From one colour to another, along a line or out from a point."""
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, side) for side in size), indexing="ij")
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        way = np.cos(angle) * rows + np.sin(angle) * columns
    else:
        way = np.hypot(rows - rng.uniform(-1, 1), columns - rng.uniform(-1, 1))
    way = (way - way.min()) / max(np.ptp(way), 1e-9)
    first = _colour(rng)
    second = first + (_colour(rng) - first) * _between(rng, 0.05, 1.0)
    return first + way[..., None] * (second - first)


def _blobs(rng: _Rng, size: _Size) -> NDArray[np.float64]:
    """Smooth spots, as in a photograph that is far out of focus."""
    spots = _blurred(rng.uniform(0, 255, (*size, 3)), min(size) * _between(rng, 1 / 16, 1 / 2))
    deviation = max(float(spots.std()), 1e-9)
    return _colour(rng) + (spots - spots.mean(axis=(0, 1))) * _between(rng, 2, 60) / deviation


def _faint(rng: _Rng, size: _Size) -> NDArray[np.float64]:
    """A texture of a few grey levels, in grey or in colour, on one colour."""
    texture = rng.normal(size=(*size, int(rng.choice([1, 3]))))
    texture = _blurred(np.broadcast_to(texture, (*size, 3)), rng.uniform(0, 1.5))
    return _colour(rng) + texture * _between(rng, 0.5, 8) / max(float(texture.std()), 1e-9)


def _text(rng: _Rng, size: _Size) -> NDArray[np.float64]:
    """A few lines of letters."""
    image, draw = _canvas(rng, size)
    height = max(image.height * _between(rng, 0.12, 0.6), 8)
    font, ink = ImageFont.load_default(height), _ink(rng)
    for top in np.arange(rng.uniform(-0.3, 0.3) * height, image.height, 1.2 * height):
        words = "".join(rng.choice(list(string.ascii_letters + string.digits + "  "), 24))
        draw.text((rng.uniform(-height, height), top), words, fill=ink, font=font)
        if rng.random() < 0.2:
            break
    return _reduced(image, size)


def _drawing(rng: _Rng, size: _Size) -> NDArray[np.float64]:
    """One to five shapes and lines on one colour."""
    image, draw = _canvas(rng, size)
    whole = np.array([image.width, image.height])
    for _ in range(int(rng.integers(1, 6))):
        corners = rng.uniform(-0.1, 1.1, (3, 2)) * whole
        low, high = corners[:2].min(axis=0), corners[:2].max(axis=0)
        shape, ink = rng.integers(4), _ink(rng)
        if shape == 0:
            draw.ellipse([*low, *high], fill=ink)
        elif shape == 1:
            draw.rectangle([*low, *high], fill=ink)
        elif shape == 2:
            draw.polygon([tuple(corner) for corner in corners], fill=ink)
        else:
            width = int(rng.integers(_OVERSAMPLED, 4 * _OVERSAMPLED))
            draw.line([tuple(corner) for corner in corners], fill=ink, width=width)
    return _reduced(image, size)


def _noise(rng: _Rng, size: _Size) -> NDArray[np.float64]:
    """White noise, normal or even, in grey or in colour."""
    shape = (*size, int(rng.choice([1, 3])))
    if rng.random() < 0.5:
        return np.broadcast_to(rng.uniform(0, 255, shape), (*size, 3))
    return _colour(rng) + rng.normal(size=shape) * _between(rng, 8, 80)


PLAIN: dict[str, Callable[[_Rng, _Size], NDArray[np.float64]]] = {
    "uniform": _uniform,
    "gradient": _gradient,
    "blobs": _blobs,
    "faint": _faint,
    "text": _text,
    "drawing": _drawing,
    "noise": _noise,
}
"""What draws a picture of each kind, float64 [H, W, 3] in grey levels."""


def _rounded(levels: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def _between(rng: _Rng, low: float, high: float) -> float:
    """A number whose logarithm is drawn evenly."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _colour(rng: _Rng) -> NDArray[np.float64]:
    """Any colour, or a muted one, as most of those in photographs are."""
    if rng.random() < 0.5:
        return rng.uniform(0, 255, 3)
    return np.clip(rng.uniform(0, 255) + rng.normal(0, 20, 3), 0, 255)


def _ink(rng: _Rng) -> tuple[int, int, int]:
    red, green, blue = (int(level) for level in _colour(rng))
    return red, green, blue


def _canvas(rng: _Rng, size: _Size) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (size[1] * _OVERSAMPLED, size[0] * _OVERSAMPLED), _ink(rng))
    return image, ImageDraw.Draw(image)


def _reduced(image: Image.Image, size: _Size) -> NDArray[np.float64]:
    reduced = image.resize((size[1], size[0]), Image.Resampling.BOX)
    return np.asarray(reduced, np.float64)


def _blurred(image: NDArray[np.generic], sigma: float) -> NDArray[np.float64]:
    """Blurs down the rows and along the columns, without rounding."""
    from scipy import ndimage  # Here: it is needed where pictures are made alone.

    sigmas = (sigma, sigma, 0.0)
    return ndimage.gaussian_filter(np.asarray(image, np.float64), sigmas, mode="nearest")
