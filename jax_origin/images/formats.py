"""The formats of image files: their suffixes, how such files begin, and what reads them."""

import importlib
import re
import zlib
from typing import NamedTuple

from PIL import Image


class Format(NamedTuple):
    """One format of image files.

    Attributes:
      name: as messages call it.
      pillow: as Pillow calls it.
      suffixes: in lower case, of files that a folder is searched for.
      begins: a regular expression that the first bytes match.
      lossy: one that they match too if the file may have lost something.
      plugin: the module that Pillow needs to read it, and the package to install; else None.
    """

    name: str
    pillow: str
    suffixes: tuple[str, ...]
    begins: bytes
    lossy: bytes = rb"(?!)"  # Nothing matches it.
    plugin: tuple[str, str] | None = None


FORMATS = (
    Format("PNG", "PNG", (".png", ".apng"), rb"\x89PNG\r\n\x1a\n"),
    Format("JPEG", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), rb"\xff\xd8\xff", rb""),
    Format("WebP", "WEBP", (".webp",), rb"RIFF.{4}WEBP", rb".{12}VP8 "),
    Format("GIF", "GIF", (".gif",), rb"GIF8[79]a"),
    Format("BMP", "BMP", (".bmp", ".dib"), rb"BM.{12}[\x0c-\x7c]\0\0\0"),
    Format("TIFF", "TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]"),
    Format("PPM", "PPM", (".ppm", ".pgm", ".pbm", ".pnm"), rb"P[1-6][\s#]"),
    Format("AVIF", "AVIF", (".avif", ".avifs"), rb".{4}ftyp.{0,40}avi[fs]", rb""),
    Format(
        "JPEG 2000",
        "JPEG2000",
        (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
        rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    ),
    Format("ICO", "ICO", (".ico",), rb"\0\0\x01\0[^\0]\0"),
    Format(
        *("HEIC", "HEIF", (".heic", ".heif", ".hif")),
        *(rb".{4}ftyp(he[iv][cmsx]|mif[12]|msf1|miaf)", rb""),
        plugin=("pillow_heif", "pillow-heif"),
    ),
    Format(
        *("JPEG XL", "JXL", (".jxl",), rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", rb""),
        plugin=("pillow_jxl", "pillow-jxl-plugin"),
    ),
)
"""The formats that are read; the first that a file begins like is its own."""

SUFFIXES = tuple(sorted(suffix for form in FORMATS for suffix in form.suffixes))

_PNG = b"\x89PNG\r\n\x1a\n"
_SAYING = (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"caBX")  # Chunks of a PNG.
_PIXELS = {b"IHDR", b"IDAT", b"IEND"}
_PNG_MODES = {b"\x08\x00": "L", b"\x08\x02": "RGB", b"\x08\x04": "LA", b"\x08\x06": "RGBA"}

BEGINNING = 64
"""How many bytes of a file tell its format."""


def format_of(data: bytes) -> Format | None:
    """The format that a file, or its first `BEGINNING` bytes, begins like; None if like none."""
    begins = data[:BEGINNING]
    return next((form for form in FORMATS if re.match(form.begins, begins, re.DOTALL)), None)


def is_bare_png(data: bytes) -> bool:
    """Whether a file is a PNG that holds no text, EXIF or manifest; False where it may."""
    return data.startswith(_PNG) and not any(chunk in data for chunk in _SAYING)


def plain_png_mode(data: bytes) -> str | None:
    """Pillow's mode of a whole PNG of 8 bits that holds pixels and nothing else; None of others.

    Its checksums are right.
    """
    if not data.startswith(_PNG):
        return None
    at, kinds = len(_PNG), set[bytes]()
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if zlib.crc32(data[at + 4 : end]).to_bytes(4, "big") != data[end : end + 4]:
            return None
        kinds.add(data[at + 4 : at + 8])
        at = end + 4
    plain = at == len(data) and kinds == _PIXELS and data[12:16] == b"IHDR"
    return _PNG_MODES.get(data[24:26]) if plain and data[-8:-4] == b"IEND" else None


def begins_lossy(data: bytes) -> bool:
    """Whether a file begins like one of a format that loses something, JPEG 2000 aside."""
    form = format_of(data)
    return form is not None and re.match(form.lossy, data, re.DOTALL) is not None


def plugin_missing(form: Format) -> str | None:
    """Loads what Pillow needs to read a format; what to install if it is missing, else None."""
    if form.plugin is None or form.pillow in Image.OPEN:
        return None
    module, package = form.plugin
    try:
        loaded = importlib.import_module(module)
    except ImportError:
        return f"is a {form.name} file; to read it, install {package} (pip install {package})"
    if form.pillow == "HEIF":
        loaded.register_heif_opener()
    return None


def unpacked(data: bytes) -> tuple[bytes, int]:
    """The largest picture of an icon as a file of its own, and how many pictures there are.

    A PNG is taken out; a bitmap becomes an icon of one picture. Of another file: itself, and 1.
    """
    form = format_of(data)
    if form is None or form.pillow != "ICO":
        return data, 1
    count = int.from_bytes(data[4:6], "little")
    entries = [data[at : at + 16] for at in range(6, min(6 + 16 * count, len(data) - 15), 16)]
    if not entries:
        return data, count
    # A side of 0 is one of 256; of equal pictures the one with the most bits a pixel counts.
    largest = max(entries, key=lambda e: ((e[0] or 256) * (e[1] or 256), e[6]))
    length, at = (int.from_bytes(largest[i : i + 4], "little") for i in (8, 12))
    picture = data[at : at + length]
    alone = b"\0\0\x01\0\x01\0" + largest[:12] + (22).to_bytes(4, "little") + picture
    return (picture if format_of(picture) is FORMATS[0] else alone), count
