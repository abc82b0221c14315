"""How deep a JPEG 2000 file is, and whether it lost anything (ISO/IEC 15444-1, annex A)."""

import io
from typing import Any, NamedTuple

from PIL import Image

_START, _CODING, _TILE, _END = b"\xff\x4f\xff\x51", 0xFF52, 0xFF90, b"\xff\xd9"
_PROGRESSIONS = ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL")


class _File(NamedTuple):
    bits: int  # of the deepest component
    options: dict[str, Any] | None  # for Pillow to store pixels likewise; None if it may have lost
    body: bytes  # all from the first tile on


def jpeg2000_bits(data: bytes) -> int:
    """The bits of a file's deepest component, 1 to 38.

    Raises:
      ValueError: the header is damaged, or the end is missing: pixels would be made up.
    """
    return _read(data).bits


def jpeg2000_is_lossless(data: bytes) -> bool:
    """Whether a whole file of 8 bits is sure to hold the pixels that its writer had.

    The reversible wavelet alone does not say so: a writer may leave out the finest bits. So the
    pixels are stored again, without loss and with the file's own settings. Equal bytes are the
    proof. A lossless file of another encoder than OpenJPEG, or of several layers, has none.
    """
    file, again = _read(data), io.BytesIO()
    if file.options is None:
        return False
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            image.save(again, "JPEG2000", no_jp2=True, **file.options)
    except Exception:  # Settings that Pillow's encoder does not take.
        return False
    return file.body.startswith(_read(again.getvalue()).body)


def _read(data: bytes) -> _File:
    start = data.find(_START)

    def number(offset: int, size: int) -> int:
        if start < 0 or start + offset + size > len(data):
            raise ValueError("JPEG 2000 header cut short")
        return int.from_bytes(data[start + offset : start + offset + size], "big")

    bits = max((number(42 + 3 * i, 1) & 127) + 1 for i in range(max(1, number(40, 2))))
    options, at = None, 2
    while (marker := number(at, 2)) != _TILE:
        reversible, layers, style = number(at + 13, 1) == 1, number(at + 6, 2), number(at + 12, 1)
        if marker == _CODING and reversible and layers == 1 and style == 0:
            options = {
                "progression": _PROGRESSIONS[number(at + 5, 1) % len(_PROGRESSIONS)],
                "mct": number(at + 8, 1),
                "num_resolutions": number(at + 9, 1) + 1,
                "codeblock_size": (4 << number(at + 10, 1) % 16, 4 << number(at + 11, 1) % 16),
                "tile_size": (number(24, 4), number(28, 4)),
            }
        at += 2 + number(at + 2, 2)
    body = data[start + at :]
    if _END not in body:
        raise ValueError("JPEG 2000 without an end")
    return _File(bits, options, body)
