"""The forms of images: uint8, float32 in [0, 1], Pillow's, a PNG file; and a hash of the pixels."""

import hashlib
import os
from typing import Any

import numpy as np
from PIL import Image

from jax_origin.files import atomic_write

_TOLERANCE = 1e-6


def as_float(images: Any) -> np.ndarray:
    """Converts images to float32 in [0, 1].

    Args:
      images: [N, H, W, C], NumPy or JAX; uint8, or floating point in [0, 1]. Values outside by no
        more than 1e-6 are clipped.

    Returns:
      float32 [N, H, W, C] in [0, 1]; uint8 values are divided by 255.

    Raises:
      ValueError: the rank, dtype or range is another, or a value is NaN.
    """
    array = _rank_4(images)
    if array.dtype == np.uint8:
        return np.divide(array, 255, dtype=np.float32)
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise ValueError(f"images must be uint8, or floats in [0, 1]; got {array.dtype}")
    array = array.astype(np.float32)
    if array.size:
        low, high = float(array.min()), float(array.max())
        if np.isnan(low):
            raise ValueError("images must not hold NaN")
        if low < -_TOLERANCE or high > 1 + _TOLERANCE:
            advice = ""
            if low >= 0 and 2 < high <= 255:
                advice = "; pass uint8, or divide by 255"
            elif -1 - _TOLERANCE <= low < 0 and high <= 1 + _TOLERANCE:
                advice = "; after tanh, pass (x + 1) / 2"
            raise ValueError(
                f"images of floats must lie in [0, 1], got values from {low:g} to {high:g}{advice}"
            )
    return np.clip(array, 0, 1)


def as_uint8(images: Any) -> np.ndarray:
    """Converts what `as_float` takes to uint8 [N, H, W, C], rounding to the nearest level.

    uint8 images are returned as they are. Errors are those of `as_float`.
    """
    array = _rank_4(images)
    if array.dtype == np.uint8:
        return array
    return np.rint(as_float(array) * np.float32(255)).astype(np.uint8)


def pixels_sha256(pixels: np.ndarray) -> bytes:
    """Hashes the shape and pixels of one image, uint8 [H, W, C].

    It is the same for every file, format and compression that decodes to these pixels, so an
    image's random numbers are derived from it.

    Returns:
      32 bytes: SHA-256 of the ASCII text "HxWxC", a zero byte, and the pixels in row-major order.

    Raises:
      ValueError: `pixels` is not uint8 [H, W, C].
    """
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise ValueError(f"pixels must be uint8 [H, W, C], got {pixels.dtype} {list(pixels.shape)}")
    height, width, channels = pixels.shape
    header = f"{height}x{width}x{channels}\0".encode("ascii")
    return hashlib.sha256(header + pixels.tobytes()).digest()


def short_digest(pixels: np.ndarray) -> str:
    """The first 12 hexadecimal digits of `pixels_sha256`, which tell millions of images apart."""
    return pixels_sha256(pixels).hex()[:12]


def to_pillow(pixels: np.ndarray) -> Image.Image:
    """Pillow's image of uint8 [H, W, 3] (RGB) or [H, W, 1] (grey)."""
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))


def from_pillow(image: Image.Image) -> np.ndarray:
    """The pixels of Pillow's image, uint8 [H, W, 3 or 1]."""
    return np.asarray(image).reshape(image.height, image.width, -1)


def save_png(path: str | os.PathLike[str], pixels: np.ndarray) -> None:
    """Writes an image as PNG; the file is whole or not there, and missing folders are made.

    Args:
      path: where the file is to be.
      pixels: uint8 [H, W, 3] (RGB), or [H, W, 1] or [H, W] (grey).

    Raises:
      ValueError: `pixels` is of another type or shape.
      OSError: the file cannot be written.
    """
    pixels = np.asarray(pixels)
    shape = (*pixels.shape, 1) if pixels.ndim == 2 else pixels.shape
    if pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3) or not pixels.size:
        found = f"{pixels.dtype} {list(pixels.shape)}"
        raise ValueError(f"pixels must be uint8 [H, W, 3], [H, W, 1] or [H, W], got {found}")
    with atomic_write(path) as temporary:
        to_pillow(pixels.reshape(shape)).save(temporary, format="PNG")


def _rank_4(images: Any) -> np.ndarray:
    array = np.asarray(images)
    if array.ndim != 4:
        advice = "; for one image pass images[None]" if array.ndim == 3 else ""
        raise ValueError(f"images must be [N, H, W, C], got shape {list(array.shape)}{advice}")
    return array
