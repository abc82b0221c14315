"""How coarsely a lossy WebP was stored, read from its header (RFC 6386, sections 9.2 to 9.6)."""

from collections.abc import Iterator


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a RIFF file: name and content. Of an animated WebP those of its first frame."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        name, content = data[at : at + 4], data[at + 8 : at + 8 + size]
        if name == b"ANMF":  # 16 bytes, then chunks.
            yield from chunks(content[4:])
            return
        yield name, content
        at += 8 + size + (size & 1)


def webp_quantiser(data: bytes) -> int | None:
    """The coarsest quantiser index of a lossy WebP's segments, 0 (finest) to 127.

    None where the file holds no VP8 key frame.
    """
    frame = next((content for name, content in chunks(data) if name == b"VP8 "), b"")
    if len(frame) < 12 or frame[0] & 1 or frame[3:6] != b"\x9d\x01\x2a":
        return None
    bits = _Bits(frame[10:])
    bits.number(2)  # colour space, clamping
    absolute, segments = False, list[int]()
    if bits.number(1):  # segments
        has_map, has_data = bits.number(1), bits.number(1)
        if has_data:
            absolute = bool(bits.number(1))
            segments = [bits.optional(7) for _ in range(4)]
            for _ in range(4):  # loop filter
                bits.optional(6)
        for _ in range(3 if has_map else 0):
            bits.number(8) if bits.number(1) else None
    bits.number(10)  # loop filter: kind, level, sharpness
    if bits.number(1) and bits.number(1):  # its changes by reference frame and mode
        for _ in range(8):
            bits.optional(6)
    bits.number(2)  # partitions
    base = bits.number(7)
    steps = [step if absolute else base + step for step in segments] or [base]
    return max(0, min(127, max(steps)))


def webp_coarsest(quality: float) -> int:
    """The coarsest quantiser index that libwebp gives a segment at a quality, 0 to 100.

    At its default settings: the quality's own quantiser, and what segments may be coarser by
    (src/enc/quant_enc.c, VP8SetSegmentParams).
    """
    share = quality / 100
    compression = (2 * share / 3 if share < 0.75 else 2 * share - 1) ** (1 / 3)
    return int(127 * (1 - compression ** (1 + 0.9 * 50 / 100 / 128 * 127)))


class _Bits:
    """Reads even bits from VP8's arithmetic coder (section 7.3); past the end it reads zeros."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._count = data, 2, 0
        self._value, self._range = int.from_bytes(data[:2].ljust(2, b"\0"), "big"), 255

    def number(self, bits: int) -> int:
        value = 0
        for _ in range(bits):
            value = 2 * value + self._bit()
        return value

    def optional(self, bits: int) -> int:
        """A flag, and if it is set a size and a sign."""
        if not self.number(1):
            return 0
        size = self.number(bits)
        return -size if self.number(1) else size

    def _bit(self) -> int:
        split = 1 + ((self._range - 1) * 128 >> 8)
        bit = int(self._value >= split << 8)
        if bit:
            self._range -= split
            self._value -= split << 8
        else:
            self._range = split
        while self._range < 128:
            self._value, self._range = self._value << 1, self._range << 1
            self._count += 1
            if self._count == 8:
                self._count = 0
                self._value |= self._data[self._at] if self._at < len(self._data) else 0
                self._at += 1
        return bit
