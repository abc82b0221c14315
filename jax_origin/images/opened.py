"""Whatever stands for an image (a path, bytes, an array, a set), opened for attribution."""

import io
import os
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jax_origin.images.arrays import from_pillow, to_pillow
from jax_origin.images.borders import without_borders
from jax_origin.images.decode import DecodedImage, ImageError, decode_bytes, read_file
from jax_origin.images.file_set import (
    UNKNOWN_FILE,
    Stored,
    stored_image,
    stored_pixels,
    without_colours,
)
from jax_origin.images.formats import is_bare_png
from jax_origin.images.rescaled import may_be_rescaled, rescaled

_MOST = 3  # Files that are larger than an image by more than this have more than a border.


class OpenedImage(NamedTuple):
    """An image, and what is known of its file.

    Attributes:
      stored: its pixels, and the set of images that its file may have come from.
      path: the file; None for bytes and arrays.
      sha256: SHA-256 of the file, in hexadecimal; None for arrays.
      size: (H, W) of the image in its file, upright, before it was resized.
      note: what was done to the image to get the pixels, None if nothing was.
    """

    stored: Stored
    path: str | None
    sha256: str | None
    size: tuple[int, int]
    note: str | None

    @property
    def pixels(self) -> np.ndarray:
        """uint8 [H, W, C]."""
        return self.stored.pixels


def open_image(
    source: Any,
    *,
    size: tuple[int, int] | None = None,
    channels: int = 3,
    resize: bool = False,
    rescale: bool = True,
    lossless: bool = True,
) -> OpenedImage:
    """Opens one image.

    Args:
      source: a path; the bytes of a file; an array [H, W, C], uint8 or floats in [0, 1], which are
        rounded; `Stored`; ``(DecodedImage, Stored)``; or an `OpenedImage`, returned as it is.
      size: the (H, W) wanted, None for any. A larger file that is an image of this size with
        borders of one colour around it is taken for that image.
      channels: 3 or 1, the generator's. Files are converted (see `decode_image`), arrays are not.
      resize: whether a file of another size is read, or refused.
      rescale: whether it is then taken for an image of the size wanted that was resized before it
        was stored (`jax_origin.images.rescaled`), where it can be that; or is resized itself.
      lossless: whether arrays are what a lossless file held. If not, their `Stored` says that the
        file is unknown: a JPEG's pixels are not judged as those of a PNG.

    Raises:
      ImageError: a file cannot be used; see `decode_image`.
      ValueError: an array or set is of another size, shape or range.
    """
    if isinstance(source, str | os.PathLike | bytes | bytearray):
        if isinstance(source, bytes | bytearray):
            path, data = None, bytes(source)
        else:
            path, data = os.fspath(source), read_file(os.fspath(source))
        name = path or "image in memory"
        rescale = rescale and resize
        opened = _of_another_size(data, path, size, channels, rescale=rescale) if size else None
        if opened is None:
            decoded = decode_bytes(data, path=name, size=size, resize=resize, channels=channels)
            stored = stored_image(data, decoded)
            opened = OpenedImage(stored, path, decoded.sha256, decoded.size, decoded.note)
    elif isinstance(source, tuple) and isinstance(source[0], DecodedImage):
        decoded, stored = source
        opened = OpenedImage(stored, decoded.path, decoded.sha256, decoded.size, decoded.note)
    elif isinstance(source, OpenedImage):
        opened = source
    else:
        stored = source
        if not isinstance(source, Stored):
            array = np.asarray(source)
            if array.ndim != 3:
                raise ValueError(f"an image must be [H, W, C], got shape {list(array.shape)}")
            note = None if lossless else UNKNOWN_FILE
            (stored,) = stored_pixels(array[None], note=note)
        opened = OpenedImage(stored, None, None, stored.pixels.shape[:2], None)
        if rescale and resize and size and isinstance(source, Stored):
            opened = _resized(opened, size) or _brought_to(opened, size)
    if opened.pixels.shape[2] != channels:
        raise ValueError(
            f"images are {opened.pixels.shape} (H, W, C): the wrong number of channels, the "
            f"generator makes {channels}"
        )
    if (grey := without_colours(opened.stored)) is not opened.stored:
        opened = opened._replace(stored=grey)
    wanted = (*(size or opened.pixels.shape[:2]), channels)
    if opened.pixels.shape != wanted:
        raise ValueError(
            f"images are {opened.pixels.shape} (H, W, C), the generator makes {wanted}; resize "
            "them, or choose another generator"
        )
    return opened


def open_each(sources: Sequence[Any], **options: Any) -> list[OpenedImage | ImageError]:
    """Opens several files as `open_image` does; where one cannot be used, its error stands."""
    found: list[OpenedImage | ImageError] = []
    for source in sources:
        try:
            found.append(open_image(source, **options))
        except ImageError as error:
            found.append(error)
    return found


def _of_another_size(
    data: bytes, path: str | None, size: tuple[int, int], channels: int, *, rescale: bool
) -> OpenedImage | None:
    """A file as the image of a given size that it has borders around, or that was resized.

    None for any other file.
    """
    if is_bare_png(data) and data[16:24] == struct.pack(">II", *size[::-1]):
        return None  # As most are; what opens it next says what is wrong.
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
    except Exception:  # Whoever decodes it says what is wrong.
        return None
    if (height, width) == size:
        return None
    larger = height >= size[0] and width >= size[1]
    framed = larger and height <= _MOST * size[0] and width <= _MOST * size[1]
    if not (framed or (rescale and may_be_rescaled((height, width), size))):
        return None
    try:
        decoded = decode_bytes(data, path=path or "image in memory", channels=channels)
    except ImageError:
        return None
    stored = stored_image(data, decoded)
    opened = OpenedImage(stored, path, decoded.sha256, decoded.size, decoded.note)
    if framed and (found := without_borders(stored, size)):
        return opened._replace(stored=found[0], note=_notes(decoded.note, found[1]))
    return _resized(opened, size) if rescale else None


def _resized(opened: OpenedImage, size: tuple[int, int]) -> OpenedImage | None:
    """An image of another size as one that was resized; None where it cannot be that."""
    found = rescaled(opened.stored, size)
    if found is None:
        return None
    here, there = (f"{height}x{width}" for height, width in (opened.size, size))
    note = f"of {here}, taken for an image of {there} that was resized"
    return opened._replace(stored=found, note=_notes(opened.note, note))


def _brought_to(opened: OpenedImage, size: tuple[int, int]) -> OpenedImage:
    """An image that is resized itself, where it has another size: its pixels tell nothing else."""
    if opened.pixels.shape[:2] == size:
        return opened
    resized = to_pillow(opened.pixels).resize(size[::-1], Image.Resampling.BICUBIC)
    note = f"resized from {opened.size[0]}x{opened.size[1]} after decoding"
    (stored,) = stored_pixels(from_pillow(resized)[None], note=note)
    return opened._replace(stored=stored, note=_notes(opened.note, note))


def _notes(*notes: str | None) -> str:
    return "; ".join(filter(None, notes))
