"""What a lossy WebP codes: how its blocks are predicted, and the quantised numbers of the rest.

The procedures are those of RFC 6386 for key frames. Damaged codes give wrong numbers, or raise
`CorruptCodes`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jax_origin.images.webp_tables import AC_STEPS, DC_STEPS, MODES, TOKENS, UPDATES

WHOLE_LUMA = 24
"""Where in `WebpScan.levels` the transformed constant terms stand."""

_ZIGZAG = (0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15)
_BANDS = (0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 0)
# Branches of a 4x4 block's mode: a mode as a number of 0 or less, or the next pair of branches.
_MODE_TREE = (0, 1, -1, 2, -2, 3, 4, 6, -3, 5, -4, -5, -6, 7, -7, 8, -8, -9)
# Chances of the bits that follow a large number's token, and what is added to them.
_LARGE = (
    ((173, 148, 140), 11),
    ((176, 155, 140, 135), 19),
    ((180, 157, 141, 134, 130), 35),
    ((254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129), 67),
)
_PAST = 512  # Bits that a decoder may look ahead.


class CorruptCodes(Exception):
    """The file is none that an encoder writes, or of another kind than is read."""


class WebpScan(NamedTuple):
    """The coded numbers of a frame of R x C macroblocks of 16x16 pixels.

    Modes of prediction are 0 (mean), 1 (both gradients), 2 (from above), 3 (from the left), and six
    directions more for 4x4 blocks, as libwebp numbers them.

    Attributes:
      height: pixels.
      width: pixels.
      quantiser: the coarsest index of its segments, 0 (finest) to 127.
      steps: int [R, C, 3, 2], the steps of luma, of its transformed constant terms, and of chroma:
        for the first and for all other frequencies.
      luma: int [R, C, 16], how each 4x4 block is predicted; all alike where `whole`.
      whole: bool [R, C], whether luma is predicted as one block of 16x16. Its constant terms are
        then transformed once more.
      chroma: int [R, C].
      levels: int16 [R, C, 25, 4, 4], what is left, in steps: 16 blocks of luma, four each of Cb and
        Cr, and the transformed constant terms.
    """

    height: int
    width: int
    quantiser: int
    steps: np.ndarray
    luma: np.ndarray
    whole: np.ndarray
    chroma: np.ndarray
    levels: np.ndarray


class _Bits:
    """Reads VP8's arithmetic coder (section 7.3)."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._value, self._spare, self._range = 0, -8, 255  # bits beyond the eight in use

    def bit(self, chance: int = 128) -> int:
        """A bit that is 0 in so many of 256 cases."""
        if self._spare < 0:
            if 8 * self._at > 8 * len(self._data) + _PAST:
                raise CorruptCodes
            more = self._data[self._at : self._at + 32].ljust(32, b"\0")
            self._value = self._value << 256 | int.from_bytes(more, "big")
            self._spare, self._at = self._spare + 256, self._at + 32
        split = 1 + ((self._range - 1) * chance >> 8)
        high = split << self._spare
        bit = 0
        if self._value >= high:
            self._value -= high
            split, bit = self._range - split, 1
        shift = 8 - split.bit_length()
        self._range = split << shift
        self._spare -= shift
        return bit

    def number(self, bits: int) -> int:
        value = 0
        for _ in range(bits):
            value = 2 * value + self.bit()
        return value

    def optional(self, bits: int) -> int:
        """A flag, and if it is set a size and a sign."""
        if not self.bit():
            return 0
        size = self.number(bits)
        return -size if self.bit() else size


class _Header(NamedTuple):
    """What comes before the macroblocks."""

    height: int
    width: int
    bits: _Bits
    quantisers: list[int]
    segment_chances: list[int] | None
    parts: list[_Bits]
    steps: np.ndarray


def read_frame(frame: bytes, *, max_pixels: int) -> WebpScan:
    """Reads a key frame, the content of a chunk "VP8 ".

    Raises:
      CorruptCodes: It is none, ends too early, or has more pixels.
    """
    head = _header(frame)
    if not 0 < head.height * head.width <= max_pixels:
        raise CorruptCodes
    rows, columns = -(-head.height // 16), -(-head.width // 16)
    bits, chances = head.bits, _token_chances(head.bits)
    skipping = bits.number(8) if bits.bit() else None
    segments, chroma = np.zeros((2, rows, columns), int)
    luma, whole = np.zeros((rows, columns, 16), int), np.zeros((rows, columns), bool)
    levels = np.zeros((rows, columns, 25, 16), np.int16)
    above = [[0] * 4 for _ in range(columns)]
    ended_above = [[False] * 9 for _ in range(columns)]
    for row in range(rows):
        left, ended_left, part = [0] * 4, [False] * 9, head.parts[row % len(head.parts)]
        for column in range(columns):
            at = row, column
            if head.segment_chances is not None:
                second = bits.bit(head.segment_chances[0])
                segments[at] = 2 * second + bits.bit(head.segment_chances[1 + second])
            skipped = skipping is not None and bits.bit(skipping)
            whole[at] = one = bool(bits.bit(145))
            luma[at] = _luma_modes(bits, above[column], left, whole=one)
            if bits.bit(142):
                chroma[at] = (3 - 2 * bits.bit(183)) if bits.bit(114) else 2
            for ended in (ended_above[column], ended_left) if skipped else ():
                ended[: 8 + one] = [False] * (8 + one)
            if not skipped:
                _residuals(part, chances, ended_above[column], ended_left, levels[at], whole=one)
    levels = levels.reshape(rows, columns, 25, 4, 4)
    steps = head.steps[segments]
    return WebpScan(
        head.height, head.width, max(head.quantisers), steps, luma, whole, chroma, levels
    )


def _header(frame: bytes) -> _Header:
    """Sections 9.1 to 9.6."""
    first = int.from_bytes(frame[:3], "little")
    if len(frame) < 12 or first & 1 or frame[3:6] != b"\x9d\x01\x2a":
        raise CorruptCodes
    width, height = (int.from_bytes(frame[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    bits = _Bits(frame[10 : 10 + (first >> 5)])
    bits.number(2)  # colour space, clamping
    changes, absolute, chances = [0], 0, None
    if bits.bit():  # segments
        has_map, changes = bits.bit(), [0] * 4
        if bits.bit():
            absolute = bits.bit()
            changes = [bits.optional(7) for _ in range(4)]
            for _ in range(4):  # loop filter
                bits.optional(6)
        if has_map:
            chances = [bits.number(8) if bits.bit() else 255 for _ in range(3)]
    bits.number(10)  # loop filter: kind, level, sharpness
    if bits.bit() and bits.bit():  # its changes by reference frame and mode
        for _ in range(8):
            bits.optional(6)
    parts = _parts(frame[10 + (first >> 5) :], 1 << bits.number(2))
    base = bits.number(7)
    more = [bits.optional(4) for _ in range(5)]
    indices = [change if absolute else base + change for change in changes]
    steps = np.array([_steps(index, *more) for index in indices])
    quantisers = [min(max(index, 0), 127) for index in indices]
    return _Header(height, width, bits, quantisers, chances, parts, steps)


def _steps(index: int, dc: int, second_dc: int, second: int, chroma_dc: int, chroma: int) -> list:
    """The steps of one segment, as in `WebpScan.steps`."""

    def step(steps: tuple[int, ...], index: int, most: int = 127) -> int:
        return steps[min(max(index, 0), most)]

    return [
        [step(DC_STEPS, index + dc), step(AC_STEPS, index)],
        [
            2 * step(DC_STEPS, index + second_dc),
            max(8, step(AC_STEPS, index + second) * 155 // 100),
        ],
        [step(DC_STEPS, index + chroma_dc, 117), step(AC_STEPS, index + chroma)],
    ]


def _parts(data: bytes, count: int) -> list[_Bits]:
    """The parts that rows of macroblocks are coded in, in turn (section 9.5)."""
    at, parts = 3 * (count - 1), []
    for i in range(count):
        size = int.from_bytes(data[3 * i : 3 * i + 3], "little") if i < count - 1 else len(data)
        parts.append(_Bits(data[at : at + size]))
        at += size
    return parts


def _token_chances(bits: _Bits) -> list[list[list[list[int]]]]:
    """Those of each kind of block, place in it, and context (section 13.4)."""
    bits.bit()  # whether they are kept for the next frame
    kinds = []
    for kind, updates in zip(TOKENS, UPDATES, strict=True):
        bands = [
            [
                [bits.number(8) if bits.bit(u) else old for old, u in zip(*both, strict=True)]
                for both in zip(*contexts, strict=True)
            ]
            for contexts in zip(kind, updates, strict=True)
        ]
        kinds.append([bands[band] for band in _BANDS])
    return kinds


def _luma_modes(bits: _Bits, above: list[int], left: list[int], *, whole: bool) -> list[int]:
    """The modes of a macroblock's 4x4 blocks; `above` and `left` become those of its last ones."""
    if whole:
        down = bits.bit(156)
        mode = (3 - 2 * bits.bit(128)) if down else 2 * bits.bit(163)
        above[:] = left[:] = [mode] * 4
        return [mode] * 16
    modes = []
    for row in range(4):
        for column in range(4):
            chances = MODES[above[column]][left[row]]
            at = _MODE_TREE[bits.bit(chances[0])]
            while at > 0:
                at = _MODE_TREE[2 * at + bits.bit(chances[at])]
            above[column] = left[row] = -at
            modes.append(-at)
    return modes


def _residuals(
    bits: _Bits,
    chances: list[list[list[list[int]]]],
    above: list[bool],
    left: list[bool],
    levels: np.ndarray,
    *,
    whole: bool,
) -> None:
    """The levels of a macroblock (section 13).

    `above` and `left` say which blocks beside it have any: four of luma, two of Cb, two of Cr, and
    the transformed constant terms.
    """
    kind, first = 3, 0
    if whole:
        ended = _block(bits, chances[1], above[8] + left[8], 0, levels[WHOLE_LUMA])
        above[8] = left[8] = ended
        kind, first = 0, 1
    block = 0
    for begin, side in ((0, 4), (4, 2), (6, 2)):
        for row in range(begin, begin + side):
            for column in range(begin, begin + side):
                context = above[column] + left[row]
                ended = _block(bits, chances[kind], context, first, levels[block])
                above[column] = left[row] = ended
                block += 1
        kind, first = 2, 0


def _block(
    bits: _Bits, chances: list[list[list[int]]], context: int, first: int, levels: np.ndarray
) -> bool:
    """The levels of a 4x4 block, from the first on; returns whether it has any (section 13.2)."""
    bit, place, branches = bits.bit, first, chances[first][context]
    while place < 16:
        if not bit(branches[0]):
            return place > first
        while not bit(branches[1]):
            place += 1
            branches = chances[place][0]
            if place == 16:
                return True
        size = _size(bit, branches) if bit(branches[2]) else 1
        levels[_ZIGZAG[place]] = -size if bit(128) else size
        place += 1
        branches = chances[place][min(size, 2)]
    return True


def _size(bit: Callable[[int], int], branches: list[int]) -> int:
    """A size of two or more."""
    if not bit(branches[3]):
        return 3 + bit(branches[5]) if bit(branches[4]) else 2
    if not bit(branches[6]):
        if not bit(branches[7]):
            return 5 + bit(159)
        return 7 + 2 * bit(165) + bit(145)
    high = bit(branches[8])
    chances, least = _LARGE[2 * high + bit(branches[9 + high])]
    more = 0
    for chance in chances:
        more = 2 * more + bit(chance)
    return least + more
