"""One image file in, pixels out, or an error that names the file and the reason."""

import contextlib
import hashlib
import io
import math
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from jax_origin.images.formats import FORMATS, format_of, plain_png_mode, plugin_missing, unpacked
from jax_origin.images.jpeg2000 import jpeg2000_bits
from jax_origin.images.jpeg_xl import jpeg_xl_size

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
_MOST_PIXELS = 1 << 26
MOST_BYTES = 8 * _MOST_PIXELS + (1 << 24)
"""The largest file that is read: twice the largest image's bytes, and room for metadata."""
_WARNINGS_LOCK = threading.Lock()

COLOUR_TO_GREY = "colour converted to grey"
"""The note of a file whose colours were given up for a generator of one channel."""


class ImageError(ValueError):
    """An image, or a set of them, that cannot be used: `str(error)` is "path: reason".

    Attributes:
      path: the file, folder or pattern as the caller named it.
      reason: what is wrong with it and, where something can be done, what.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.path = os.fspath(path)
        self.reason = reason
        super().__init__(f"{self.path}: {reason}")

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        # The default would call the class with the joined message, and fail in a worker process.
        return type(self), (self.path, self.reason)


@dataclass(frozen=True)
class DecodedImage:
    """The pixels of an image file, and what they came from.

    Attributes:
      path: the file as the caller named it.
      pixels: uint8 [H, W, 3], RGB; or [H, W, 1], grey. An embedded colour profile is not applied.
      sha256: SHA-256 of the bytes of the file, in hexadecimal.
      note: what was done to the stored image to get `pixels`, None if nothing was.
      size: (H, W) of the image in its file, upright.
    """

    path: str
    pixels: np.ndarray
    sha256: str
    note: str | None
    size: tuple[int, int]


def decode_image(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    resize: bool = False,
    channels: int = 3,
) -> DecodedImage:
    """Reads and decodes one image file of at most 2**26 pixels.

    Its content says what it is, whatever its name (`jax_origin.images.formats.FORMATS`). Palettes,
    opaque alpha channels and EXIF orientation are resolved, and `note` says so. Grey files are
    expanded to RGB, or colour files converted to grey, as `channels` asks. Of several frames or
    pages the first is taken, of a HEIC file the primary picture, of an icon the largest; `note`
    says so, but for animated JPEG XL, whose plugin does not tell. What needs a choice
    (transparency, CMYK, more than 8 bits a channel) is refused.

    Args:
      path: the file.
      size: the (H, W) wanted, None for any.
      resize: whether an image of another size is resized (bicubic, antialiased) or refused.
      channels: 3 for RGB, 1 for grey (luma of ITU-R BT.601; grey values stay exact).

    Raises:
      ImageError: the file cannot be read, is not such an image, or is of another size. Nothing
        else is raised, whatever the file holds.
      ValueError: channels is neither 1 nor 3.
    """
    name = os.fspath(path)
    return decode_bytes(read_file(name), path=name, size=size, resize=resize, channels=channels)


def decode_bytes(
    data: bytes,
    *,
    path: str,
    size: tuple[int, int] | None = None,
    resize: bool = False,
    channels: int = 3,
    max_pixels: int = _MOST_PIXELS,
) -> DecodedImage:
    """Decodes the bytes of one image file; see `decode_image` for what is not said here.

    Args:
      data: the bytes of the file.
      path: the name to use in the result and in errors.
      size: the (H, W) wanted, None for any.
      resize: whether an image of another size is resized.
      channels: 3 or 1.
      max_pixels: the largest H * W that is decoded, checked from the header, or resized to.
        Pillow's own limit, twice `PIL.Image.MAX_IMAGE_PIXELS`, stands above it.
    """
    if channels not in (1, 3):
        raise ValueError(f"images are decoded to 1 or 3 channels, not {channels}")
    if not data:
        raise ImageError(path, "is empty (zero bytes)")
    try:
        content, pictures = unpacked(data)
        plain = plain_png_mode(content) is not None
        image = _open(content, path, max_pixels, plain=plain)
        upright, notes = _upright(image, path, channels, plain=plain)
        if pictures > 1:
            notes.insert(0, "largest picture of several taken")
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files.
        raise ImageError(path, f"is truncated or corrupt ({_one_line(error)})") from error
    found = (upright.height, upright.width)
    if size is not None and found != tuple(size):
        if not resize:
            raise ImageError(
                path,
                f"is {found[0]}x{found[1]} (HxW), the generator makes {size[0]}x{size[1]}; "
                "pass --resize to allow resizing",
            )
        if math.prod(size) > max_pixels:
            reason = f"is {found[0]}x{found[1]} (HxW), and enormous at {size[0]}x{size[1]}"
            raise ImageError(path, f"{reason}: more than max_pixels={max_pixels}")
        upright = upright.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        notes.append(f"resized from {found[0]}x{found[1]} to {size[0]}x{size[1]}")
    return DecodedImage(
        path=path,
        pixels=np.array(upright, dtype=np.uint8).reshape(upright.height, upright.width, channels),
        sha256=hashlib.sha256(data).hexdigest(),
        note="; ".join(notes) or None,
        size=found,
    )


def read_file(path: str, most: int = -1) -> bytes:
    """The bytes of a file: all of them, or the first `most`, if that is not negative.

    Raises:
      ImageError: it cannot be read, or all of it is too much for an image.
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(path, "is a folder, not an image file")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(path, "is not a regular file")
        if most < 0 and status.st_size > MOST_BYTES:
            raise ImageError(path, f"is enormous ({status.st_size} bytes, at most {MOST_BYTES})")
        with open(path, "rb") as file:
            return file.read(most)
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(path, "no such file") from error
    except (OSError, ValueError) as error:  # For instance a null character in the name.
        reason = getattr(error, "strerror", None) or error
        raise ImageError(path, f"cannot be read ({reason})") from error


def built_in_formats() -> list[str]:
    """The formats that Pillow reads without a plugin, as it calls them."""
    return [each.pillow for each in FORMATS if each.plugin is None]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Has Pillow not warn while the block runs."""
    # Pillow warns of large images, which are checked by size here, and of damaged metadata, which
    # does not matter. Python's filters belong to the whole process: threads take turns.
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _open(data: bytes, path: str, max_pixels: int, *, plain: bool) -> ImageFile.ImageFile:
    """Reads the header, and refuses what must not or need not be decoded."""
    form = format_of(data)
    with quiet():
        if form is not None and (missing := plugin_missing(form)):
            raise ImageError(path, missing)
        formats = [form.pillow] if form is not None and form.plugin else built_in_formats()
        if form is not None and form.pillow == "JXL":
            _check_size(*jpeg_xl_size(data), path, max_pixels)
        try:
            image = Image.open(io.BytesIO(data), formats=formats)
        except UnidentifiedImageError as error:
            *names, last = (each.name for each in FORMATS)
            expected = f"expected {', '.join(names)} or {last}"
            raise ImageError(path, f"is not an image, or a damaged one ({expected})") from error
        except Image.DecompressionBombError as error:
            raise ImageError(path, f"is enormous ({_one_line(error)})") from error
        _check_size(image.height, image.width, path, max_pixels)
    _refuse_mode(image, path, data)
    if image.format == "PNG" and not plain:
        # Decoding ignores the checksums, so a damaged PNG would give wrong pixels.
        with quiet():
            Image.open(io.BytesIO(data), formats=("PNG",)).verify()
    return image


def _check_size(height: int, width: int, path: str, max_pixels: int) -> None:
    if height * width > max_pixels:
        found = f"{height}x{width} (HxW)"
        raise ImageError(path, f"is enormous: {found} is more than max_pixels={max_pixels}")


def _refuse_mode(image: ImageFile.ImageFile, path: str, data: bytes) -> None:
    bits = _bits_per_channel(image, data)
    if image.mode == "F":
        raise ImageError(path, "holds floating-point values; convert it to 8 bits a channel")
    if bits > 8:
        raise ImageError(path, f"has {bits} bits a channel; convert it to 8 bits a channel")
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        found = "is CMYK" if image.mode == "CMYK" else f"has colour mode {image.mode}"
        raise ImageError(path, f"{found}; convert it to RGB first")


def _bits_per_channel(image: ImageFile.ImageFile, data: bytes) -> int:
    """The depth stored: of colour Pillow would cut what is above 8 bits, in silence."""
    if image.format == "JPEG2000":
        return jpeg2000_bits(data)
    if image.format == "AVIF":
        # AV1's configuration: after version and profile, a bit for the tier, then two for depth.
        depth = data[data.index(b"av1C") + 6] >> 5 & 3
        return (8, 8, 10, 12)[depth]
    if image.format == "HEIF":
        return int(image.info.get("bit_depth", 8))
    if image.mode.startswith("I;16"):
        return 16
    if image.format in ("PNG", "TIFF", "PPM"):
        arguments = image.tile[0].args  # The raw mode, or a tuple that begins with it.
        raw_mode, *rest = arguments if isinstance(arguments, tuple) else (str(arguments),)
        if ";16" in raw_mode or (image.format == "PPM" and rest and rest[0] > 255):
            return 16
    return 32 if image.mode == "I" else 8


def _upright(
    image: ImageFile.ImageFile, path: str, channels: int, *, plain: bool
) -> tuple[Image.Image, list[str]]:
    """Decodes to RGB or grey, upright; also returns what was done."""
    with quiet():
        # A telephone's JPEG may carry a second picture (depth, gain map); Pillow calls it MPO.
        several = image.format == "MPO" or getattr(image, "is_animated", False)
    notes = ["first picture of several taken"] if several else []
    if image.format == "TIFF":
        orientation = exif_orientation(image)
        with quiet():
            image.load()  # Applies the orientation itself, and forgets it.
    else:
        image.load()
        # In a PNG it may stand after the pixels.
        orientation = 1 if plain else exif_orientation(image)
    is_grey = image.mode in ("1", "L", "LA")
    if image.mode in ("P", "PA"):
        notes.append("palette converted to RGB")
    elif is_grey and channels == 3:
        notes.append("greyscale expanded to RGB")
    upright: Image.Image = image
    if image.has_transparency_data:
        upright = image.convert("RGBA")
        lowest = upright.getchannel("A").getextrema()[0]
        if lowest != 255:
            reason = f"is transparent (alpha down to {lowest} of 255); put it on a background first"
            raise ImageError(path, reason)
        notes.append("opaque alpha dropped")
    upright = upright.convert("RGB")
    if channels == 1:
        if not is_grey:
            # A WebP decoder gives grey with channels that differ by one level.
            equal = np.ptp(np.asarray(upright), axis=2).max() <= (image.format == "WEBP")
            notes.append("equal colours read as grey" if equal else COLOUR_TO_GREY)
        upright = upright.convert("L")
    if orientation in _TRANSPOSITIONS:
        notes.append("EXIF orientation applied")
        if image.format != "TIFF":
            upright = upright.transpose(_TRANSPOSITIONS[orientation])
    return upright, notes


def exif_orientation(image: Image.Image) -> int:
    """The EXIF orientation of an opened file, 1 (upright) if it has none that can be read.

    JPEG XL has an orientation of its own, which is applied, and replaces that of EXIF; a JPEG
    inside one does not.
    """
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        return 1
    with quiet(), contextlib.suppress(Exception):  # Damaged metadata around a good image.
        orientation = image.getexif().get(_ORIENTATION_TAG)
        if isinstance(orientation, int):
            return orientation
    return 1


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
