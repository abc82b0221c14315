"""Pixels out to a file."""

import os

import numpy as np
from PIL import Image

from jax_origin.files import atomic_write


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
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    is_image = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8 or not is_image or not pixels.size:
        found = f"{pixels.dtype} {list(pixels.shape)}"
        raise ValueError(f"pixels must be uint8 [H, W, 3], [H, W, 1] or [H, W], got {found}")
    with atomic_write(path) as temporary:
        Image.fromarray(np.ascontiguousarray(pixels)).save(temporary, format="PNG")
