"""How large a JPEG XL image is, from its header (ISO/IEC 18181-1, SizeHeader).

Its plugin for Pillow decodes a file on opening it, so its size is asked for before.
"""

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_START = b"\xff\x0a"


def jpeg_xl_size(data: bytes) -> tuple[int, int]:
    """(H, W), as stored, before any orientation.

    Raises:
      ValueError: there is no image in the file.
    """
    boxes = [data.find(name) for name in (b"jxlc", b"jxlp")]
    at = data.find(_START, min((box for box in boxes if box >= 0), default=0))
    if at < 0:
        raise ValueError("JPEG XL without an image")
    bits = int.from_bytes(data[at + 2 : at + 14], "little")  # The lowest bit comes first.

    def number(count: int) -> int:
        nonlocal bits
        value, bits = bits & (1 << count) - 1, bits >> count
        return value

    def side() -> int:
        return 8 * (number(5) + 1) if small else number((9, 13, 18, 30)[number(2)]) + 1

    small = number(1)
    height, ratio = side(), number(3)
    if ratio == 0:
        return height, side()
    wide, high = _RATIOS[ratio - 1]
    return height, height * wide // high
