"""One image file in, RGB pixels out, or an error that names the file and the reason."""

import contextlib
import hashlib
import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from jax_origin.images.errors import ImageError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_FORMATS_IN_WORDS = "PNG, JPEG, WebP, GIF, BMP, TIFF or PPM"

_ORIENTATION_TAG = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_WARNINGS_LOCK = threading.Lock()


@dataclass(frozen=True)
class DecodedImage:
    """The pixels of an image file, and what they came from.

    Attributes:
      path: the file as the caller named it.
      pixels: uint8 [H, W, 3], RGB. An embedded colour profile is not applied.
      sha256: SHA-256 of the bytes of the file, in hexadecimal.
      note: what was done to the stored image to get `pixels`, None if nothing was.
    """

    path: str
    pixels: np.ndarray
    sha256: str
    note: str | None


def decode_image(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    resize: bool = False,
    max_pixels: int = 1 << 26,
) -> DecodedImage:
    """Reads and decodes one image file.

    Palette and greyscale images, opaque alpha channels and EXIF orientation are brought to plain
    RGB, and `note` says so. What cannot be brought there without a choice (transparency, CMYK,
    more than 8 bits a channel, several frames) is refused.

    Args:
      path: the file.
      size: the (H, W) wanted, None for any.
      resize: whether an image of another size is resized (bicubic, antialiased) instead of
        refused.
      max_pixels: the largest H * W that is decoded; checked from the header. Pillow's own limit,
        twice `PIL.Image.MAX_IMAGE_PIXELS`, stands above it.

    Returns:
      The decoded image.

    Raises:
      ImageError: the file cannot be read, is not such an image, or is of another size. Nothing
        else is raised, whatever the file holds.
    """
    name = os.fspath(path)
    data = read_file(name, max_pixels=max_pixels)
    return decode_bytes(data, path=name, size=size, resize=resize, max_pixels=max_pixels)


def decode_bytes(
    data: bytes,
    *,
    path: str,
    size: tuple[int, int] | None = None,
    resize: bool = False,
    max_pixels: int = 1 << 26,
) -> DecodedImage:
    """Decodes the bytes of one image file, as `decode_image` does.

    Args:
      data: the bytes of the file.
      path: the name to use in the result and in errors.
      size: see `decode_image`.
      resize: see `decode_image`.
      max_pixels: see `decode_image`.

    Returns:
      The decoded image.

    Raises:
      ImageError: as `decode_image`.
    """
    if not data:
        raise ImageError(path, "is empty (zero bytes)")
    try:
        image = _open(data, path, max_pixels)
        rgb, notes = _rgb(image, path)
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files.
        raise ImageError(path, f"is truncated or corrupt ({_one_line(error)})") from error
    height, width = rgb.height, rgb.width
    if size is not None and (height, width) != tuple(size):
        if not resize:
            reason = (
                f"is {height}x{width} (HxW), the generator makes {size[0]}x{size[1]}; "
                "pass --resize to allow resizing"
            )
            raise ImageError(path, reason)
        rgb = rgb.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        notes.append(f"resized from {height}x{width} to {size[0]}x{size[1]}")
    return DecodedImage(
        path=path,
        pixels=np.array(rgb, dtype=np.uint8),
        sha256=hashlib.sha256(data).hexdigest(),
        note="; ".join(notes) or None,
    )


def read_file(path: str, *, max_pixels: int = 1 << 26) -> bytes:
    """The bytes of a file that may be an image of no more than so many pixels.

    Raises:
      ImageError: it cannot be read, or is too large.
    """
    # Twice the bytes of the largest image allowed, and room for metadata.
    max_bytes = 8 * max_pixels + (1 << 24)
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(path, "is a folder, not an image file")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(path, "is not a regular file")
        if status.st_size > max_bytes:
            raise ImageError(path, f"is enormous ({status.st_size} bytes, at most {max_bytes})")
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise ImageError(path, "no such file") from error
    except OSError as error:
        raise ImageError(path, f"cannot be read ({error.strerror or error})") from error
    except ImageError:
        raise
    except ValueError as error:  # For instance a null character in the name.
        raise ImageError(path, f"cannot be read ({error})") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # Pillow warns of large images, which are checked by size here, and of damaged metadata, which
    # does not matter. Python's filters belong to the whole process: threads take turns.
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _open(data: bytes, path: str, max_pixels: int) -> ImageFile.ImageFile:
    """Reads the header, and refuses what must not or need not be decoded."""
    with _quiet():
        try:
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
        except UnidentifiedImageError as error:
            reason = f"is not an image, or a damaged one (expected {_FORMATS_IN_WORDS})"
            raise ImageError(path, reason) from error
        except Image.DecompressionBombError as error:
            raise ImageError(path, f"is enormous ({_one_line(error)})") from error
        if image.width * image.height > max_pixels:
            dimensions = f"{image.height}x{image.width} (HxW)"
            reason = f"is enormous: {dimensions} is more than max_pixels={max_pixels}"
            raise ImageError(path, reason)
        # A telephone's JPEG may carry a second picture (depth, gain map); Pillow calls it MPO.
        if image.format != "MPO" and getattr(image, "is_animated", False):
            raise ImageError(path, "is animated or has several pages; extract one image from it")
    _refuse_mode(image, path)
    if image.format == "PNG":
        # Decoding ignores the checksums, so a damaged PNG would give wrong pixels.
        with _quiet():
            Image.open(io.BytesIO(data), formats=("PNG",)).verify()
    return image


def _refuse_mode(image: ImageFile.ImageFile, path: str) -> None:
    bits = _bits_per_channel(image)
    if image.mode == "F":
        raise ImageError(path, "holds floating-point values; convert it to 8 bits a channel")
    if bits > 8:
        raise ImageError(path, f"has {bits} bits a channel; convert it to 8 bits a channel")
    if image.mode == "CMYK":
        raise ImageError(path, "is CMYK; convert it to RGB first")
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise ImageError(path, f"has colour mode {image.mode}; convert it to RGB first")


def _bits_per_channel(image: ImageFile.ImageFile) -> int:
    """The depth stored: of colour Pillow would cut what is above 8 bits, in silence."""
    if image.mode.startswith("I;16"):
        return 16
    if image.format in ("PNG", "TIFF", "PPM"):
        arguments = image.tile[0].args  # The raw mode, or a tuple that begins with it.
        raw_mode, *rest = arguments if isinstance(arguments, tuple) else (str(arguments),)
        if ";16" in raw_mode or (image.format == "PPM" and rest and rest[0] > 255):
            return 16
    return 32 if image.mode == "I" else 8


def _rgb(image: ImageFile.ImageFile, path: str) -> tuple[Image.Image, list[str]]:
    """Decodes to RGB, upright; also returns what was done."""
    notes = []
    if image.format == "TIFF":
        orientation = exif_orientation(image)
        with _quiet():
            image.load()  # Applies the orientation itself, and forgets it.
    else:
        image.load()
        orientation = exif_orientation(image)  # In a PNG it may stand after the pixels.
    if image.format == "MPO":
        notes.append("first picture of several taken")
    if image.mode in ("P", "PA"):
        notes.append("palette converted to RGB")
    elif image.mode in ("1", "L", "LA"):
        notes.append("greyscale expanded to RGB")
    rgb: Image.Image = image
    if image.has_transparency_data:
        rgb = image.convert("RGBA")
        lowest = rgb.getchannel("A").getextrema()[0]
        if lowest != 255:
            reason = f"is transparent (alpha down to {lowest} of 255); put it on a background first"
            raise ImageError(path, reason)
        notes.append("opaque alpha dropped")
    rgb = rgb.convert("RGB")
    if orientation in _TRANSPOSITIONS:
        notes.append("EXIF orientation applied")
        if image.format != "TIFF":
            rgb = rgb.transpose(_TRANSPOSITIONS[orientation])
    return rgb, notes


def exif_orientation(image: Image.Image) -> int:
    """The EXIF orientation of an opened file, 1 (upright) if it has none that can be read."""
    with _quiet():
        try:
            orientation = image.getexif().get(_ORIENTATION_TAG)
        except Exception:  # Damaged metadata around a good image.
            return 1
    return orientation if isinstance(orientation, int) else 1


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
