"""Pictures inside a page: an image, its reconstruction and what is left, as data URIs."""

import base64
import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jax_origin.images import ImageError, decode_bytes, decode_image
from jax_origin.images.apart import is_given_up
from jax_origin.images.arrays import to_pillow
from jax_origin.images.decode import read_file
from jax_origin.pages.survey import Seen

GAIN = 8
"""What is left, |image - reconstruction|, is shown so many times as bright."""

_LARGEST = 128  # A gallery of 240 images then stays under ten megabytes.


class Picture(NamedTuple):
    """What is shown of an image; each picture is a data URI, None where there is none.

    Attributes:
      image: The image as it was examined.
      reconstruction: The nearest image that a candidate was found to make.
      residual: What is left between the two, `GAIN` times as bright.
      made_by: The candidate whose reconstruction it is.
      map: The image, red where that candidate did not make it, if it made a part alone.
      size: Bytes of them all.
    """

    image: str | None
    reconstruction: str | None = None
    residual: str | None = None
    made_by: str | None = None
    map: str | None = None

    @property
    def size(self) -> int:
        """How many bytes they need."""
        shown = (self.image, self.reconstruction, self.residual, self.map)
        return sum(len(each or "") for each in shown)


def pictures_of(
    image: Seen,
    reconstructions: Mapping[str, Callable[[Mapping[str, Any]], os.PathLike[str]]],
    image_shapes: Mapping[str, Sequence[int]],
    *,
    read: Callable[[str], bytes] = read_file,
) -> Picture:
    """Draws an image beside the reconstruction of the candidate that it is said to be made by.

    Of one that is nobody's it is the one with the lowest loss of those that lie there.

    Args:
      image: What was found of it. Its file is shown if it still has the content examined.
      reconstructions: By candidate, where the reconstruction for a record would lie.
      image_shapes: By candidate, (H, W, C) of its images.
      read: Reads the bytes of an image's file; an ImageError or OSError where it cannot.
    """
    try:
        data = read(image.path)
    except (ImageError, OSError):
        return Picture(None)
    given_up = any(is_given_up(record.get("error")) for record in image.records.values())
    if given_up or image.sha256 not in (None, hashlib.sha256(data).hexdigest()):
        return Picture(None)
    named = image.naming.named if image.naming else ()
    there = [
        (name not in named, record["loss"], name)
        for name, record in image.records.items()
        if record.get("loss") is not None and os.path.exists(reconstructions[name](record))
    ]
    for *_, name in sorted(there):
        options: dict[str, Any] = {"channels": image_shapes[name][2], "resize": True}
        with contextlib.suppress(ImageError):
            made = decode_image(reconstructions[name](image.records[name]), **options).pixels
            found = decode_bytes(data, path=image.path, size=made.shape[:2], **options)
            return drawn(found.pixels, made, made_by=name)
    with contextlib.suppress(ImageError):
        return Picture(data_uri(decode_bytes(data, path=image.path).pixels))
    return Picture(None)


def drawn(
    image: np.ndarray,
    reconstruction: np.ndarray | None = None,
    *,
    made_by: str | None = None,
    largest: int = _LARGEST,
) -> Picture:
    """Draws an image, uint8 [H, W, C], and a reconstruction of the same shape.

    Sides are `largest` at the most; see `data_uri`.
    """
    if reconstruction is None:
        return Picture(data_uri(image, largest=largest))
    left = np.abs(np.subtract(image, reconstruction, dtype=np.int16)) * GAIN
    residual = np.minimum(left, 255).astype(np.uint8)
    first, second, third = (
        data_uri(each, largest=largest) for each in (image, reconstruction, residual)
    )
    return Picture(first, second, third, made_by)


def data_uri(pixels: np.ndarray, *, largest: int = _LARGEST) -> str:
    """An image, uint8 [H, W, C], as a data URI.

    One whose sides are at most half of `largest` is a PNG with its very pixels. Others are JPEGs,
    reduced until they fit.
    """
    picture = to_pillow(pixels)
    kind, options = "PNG", dict[str, Any](optimize=True)
    if 2 * max(picture.size) > largest:
        picture.thumbnail((largest, largest), Image.Resampling.BOX)
        kind, options = "JPEG", dict[str, Any](quality=88)
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
