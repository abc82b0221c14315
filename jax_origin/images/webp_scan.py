"""What a lossy WebP codes: how its blocks are predicted, and the quantised numbers of the rest.

The procedures are those of RFC 6386 for key frames. Damaged codes give wrong numbers, or raise
`CorruptCodes`.
"""

import itertools
import math
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

WHOLE_LUMA = 24
"""Where in `WebpScan.levels` the transformed constant terms stand."""

_ZIGZAG = (0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15)
_BANDS = [0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 0]
# Branches of a 4x4 block's mode: a mode as a number of 0 or less, or the next pair of branches.
_MODE_TREE = (0, 1, -1, 2, -2, 3, 4, 6, -3, 5, -4, -5, -6, 7, -7, 8, -8, -9)
# Chances of the bits that follow a large number's token, and what is added to them.
_LARGE = (
    ((173, 148, 140), 11),
    ((176, 155, 140, 135), 19),
    ((180, 157, 141, 134, 130), 35),
    ((254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129), 67),
)
_TABLES = pathlib.Path(__file__).with_name("webp_tables.txt").read_text().split("#")[1:]
_TOKENS, _UPDATES, _MODES, _DC_STEPS, _AC_STEPS = (
    list(map(int, table.partition("\n")[2].split())) for table in _TABLES
)
_PAST = 64  # Bytes that a decoder may look ahead.


class CorruptCodes(Exception):
    """The file is none that an encoder writes, or of another kind than is read."""


class WebpScan(NamedTuple):
    """The coded numbers of a frame of R x C macroblocks of 16x16 pixels.

    Modes of prediction are 0 (mean), 1 (both gradients), 2 (from above), 3 (from the left), and six
    directions more for 4x4 blocks, as libwebp numbers them.

    Attributes:
      size: (height, width), pixels.
      quantiser: the coarsest index of its segments, 0 (finest) to 127.
      luma: int [R, C, 16], how each 4x4 block is predicted; all alike where `whole`.
      whole: bool [R, C], whether luma is one block, whose constant terms are transformed again.
      chroma: int [R, C].
      levels: int16 [R, C, 25, 4, 4], what is left, in steps: 16 blocks of luma, four each of Cb and
        Cr, and the transformed constant terms.
      steps: uint16, likewise.
    """

    size: tuple[int, int]
    quantiser: int
    luma: np.ndarray
    whole: np.ndarray
    chroma: np.ndarray
    levels: np.ndarray
    steps: np.ndarray


class _Bits:
    """Reads VP8's arithmetic coder (section 7.3)."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._value, self._spare, self._range = 0, -8, 255  # bits beyond the eight in use

    def bit(self, chance: int = 128) -> int:
        """A bit that is 0 in so many of 256 cases."""
        if self._spare < 0:
            if self._at > len(self._data) + _PAST:
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


def read_frame(frame: bytes, *, max_pixels: int) -> WebpScan:
    """Reads a key frame, the content of a chunk "VP8 ".

    Raises:
      CorruptCodes: It is none, ends too early, or has more pixels.
    """
    size, bits, quantiser, steps, of_segments, parts = _header(frame)
    if not 0 < math.prod(size) <= max_pixels:
        raise CorruptCodes
    rows, columns = (-(-side // 16) for side in size)
    chances = _token_chances(bits)
    skipping = bits.number(8) if bits.bit() else None
    segments, chroma = np.zeros((2, rows, columns), int)
    luma, whole = np.zeros((rows, columns, 16), int), np.zeros((rows, columns), bool)
    levels = np.zeros((rows, columns, 25, 16), np.int16)
    above = [[0] * 4 for _ in range(columns)]
    ended_above = [[False] * 9 for _ in range(columns)]
    for row in range(rows):
        left, ended_left, part = [0] * 4, [False] * 9, parts[row % len(parts)]
        for column in range(columns):
            at = row, column
            if of_segments:
                second = bits.bit(of_segments[0])
                segments[at] = 2 * second + bits.bit(of_segments[1 + second])
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
    first, other = np.moveaxis(steps[segments][:, :, [0] * 16 + [2] * 8 + [1]], 3, 0)
    steps = np.broadcast_to(other[..., None, None], levels.shape).astype(np.uint16)
    steps[..., 0, 0] = first
    return WebpScan(size, quantiser, luma, whole, chroma, levels, steps)


def _header(frame: bytes) -> tuple[tuple[int, int], _Bits, int, np.ndarray, list[int], list[_Bits]]:
    """Size, bits to go on with, coarsest index, steps and chances of segments, and parts of rows.

    (Sections 9.1 to 9.6.)
    """
    first = int.from_bytes(frame[:3], "little")
    if len(frame) < 12 or first & 1 or frame[3:6] != b"\x9d\x01\x2a":
        raise CorruptCodes
    width, height = (int.from_bytes(frame[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    bits = _Bits(frame[10 : 10 + (first >> 5)])
    bits.number(2)  # colour space, clamping
    changes, absolute, chances = [0], 0, list[int]()
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
    return (height, width), bits, min(max(0, *indices), 127), steps, chances, parts


def _steps(index: int, dc: int, second_dc: int, second: int, chroma_dc: int, chroma: int) -> list:
    """Steps of luma, its constant terms' transform, and chroma: the first, and all others."""
    first = [min(max(index + more, 0), 127) for more in (dc, second_dc, chroma_dc)]
    other = [_AC_STEPS[min(max(index + more, 0), 127)] for more in (0, second, chroma)]
    return [
        [_DC_STEPS[first[0]], other[0]],
        [2 * _DC_STEPS[first[1]], max(8, other[1] * 155 // 100)],
        [_DC_STEPS[min(first[2], 117)], other[2]],
    ]


def _parts(data: bytes, count: int) -> list[_Bits]:
    """The parts that rows of macroblocks are coded in, in turn (section 9.5)."""
    first = 3 * (count - 1)
    sizes = (int.from_bytes(data[at : at + 3], "little") for at in range(0, first, 3))
    begin = [*itertools.accumulate(sizes, initial=first), len(data)]
    return [_Bits(data[at:end]) for at, end in itertools.pairwise(begin)]


def _token_chances(bits: _Bits) -> list[list[list[list[int]]]]:
    """Those of each kind of block, place in it, and context (section 13.4)."""
    bits.bit()  # whether they are kept for the next frame
    both = zip(_TOKENS, _UPDATES, strict=True)
    chances = [bits.number(8) if bits.bit(update) else old for old, update in both]
    return np.reshape(chances, (4, 8, 3, 11))[:, _BANDS].tolist()


def _luma_modes(bits: _Bits, above: list[int], left: list[int], *, whole: bool) -> list[int]:
    """The modes of a macroblock's 4x4 blocks; `above` and `left` become those of its last ones."""
    if whole:
        mode = (3 - 2 * bits.bit()) if bits.bit(156) else 2 * bits.bit(163)
        above[:] = left[:] = [mode] * 4
        return [mode] * 16
    modes = []
    for row in range(4):
        for column in range(4):
            at = 90 * above[column] + 9 * left[row]
            chances = _MODES[at : at + 9]
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
    """The levels of a macroblock (section 13); `above` and `left` say which beside it has any.

    Those are four of luma, two of Cb, two of Cr, and the transformed constant terms.
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
