"""The two forms of images in memory, uint8 and float32 in [0, 1], and a hash of their pixels."""

import hashlib
from typing import Any

import numpy as np

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
            advice = "; pass uint8, or divide by 255" if low >= 0 and 2 < high <= 255 else ""
            raise ValueError(
                f"images of floats must lie in [0, 1], got values from {low:g} to {high:g}{advice}"
            )
    return np.clip(array, 0, 1)


def as_uint8(images: Any) -> np.ndarray:
    """Converts images to uint8, rounding to the nearest of the 256 levels.

    Args:
      images: as in `as_float`.

    Returns:
      uint8 [N, H, W, C]; uint8 images are returned as they are.

    Raises:
      ValueError: as `as_float`.
    """
    array = _rank_4(images)
    if array.dtype == np.uint8:
        return array
    return np.rint(as_float(array) * np.float32(255)).astype(np.uint8)


def pixels_sha256(pixels: np.ndarray) -> bytes:
    """Hashes the shape and pixels of one image.

    Unlike the hash of a file it is the same for every file, format and compression that decodes
    to these pixels, so randomness for an image can be derived from it.

    Args:
      pixels: uint8 [H, W, C].

    Returns:
      32 bytes: SHA-256 of the ASCII text "HxWxC", a zero byte, and the pixels in row-major order.

    Raises:
      ValueError: `pixels` is not uint8 [H, W, C].
    """
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        found = f"{pixels.dtype} {list(pixels.shape)}"
        raise ValueError(f"pixels must be uint8 [H, W, C], got {found}")
    height, width, channels = pixels.shape
    header = f"{height}x{width}x{channels}\0".encode("ascii")
    return hashlib.sha256(header + pixels.tobytes()).digest()


def short_digest(pixels: np.ndarray) -> str:
    """The first 12 hexadecimal digits of `pixels_sha256`, which tell millions of images apart."""
    return pixels_sha256(pixels).hex()[:12]


def _rank_4(images: Any) -> np.ndarray:
    array = np.asarray(images)
    if array.ndim != 4:
        advice = "; for one image pass images[None]" if array.ndim == 3 else ""
        raise ValueError(f"images must be [N, H, W, C], got shape {list(array.shape)}{advice}")
    return array
