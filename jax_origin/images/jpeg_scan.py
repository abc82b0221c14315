"""The entropy-coded part of a JPEG file: Huffman codes in, quantised coefficients out.

The procedures are those of ITU-T T.81 (1992): sequential scans of annex F, progressive ones of
annex G, Huffman codes only. They fill coefficients in place, and end with an IndexError,
OverflowError or `CorruptCodes` where the codes are damaged.
"""

import array
import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

# The place in a block, row by row, of the k-th coefficient of the file (T.81, figure A.6).
ZIGZAG = tuple(
    8 * row + column
    for row, column in sorted(
        ((row, column) for row in range(8) for column in range(8)),
        key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]),
    )
)

Group = list[tuple[int, int]]
"""Blocks that are coded together: (the component's number in the scan, where it begins)."""


class CorruptCodes(Exception):
    """The codes of a scan are none that an encoder writes."""


class ScanPart(NamedTuple):
    """One component in a scan: its coefficients, 64 to a block, and its codes."""

    values: "array.array[int]"
    dc: Any
    ac: Any


class Band(NamedTuple):
    """What a scan holds: coefficients `first` to `last`, bits from `high` (0: all) to `low`."""

    first: int
    last: int
    high: int
    low: int


@functools.lru_cache(maxsize=64)
def code_table(counts: bytes, symbols: bytes) -> memoryview:
    """A Huffman code as a table: the next 16 bits to ``length << 8 | symbol``; 0 for no code.

    Args:
      counts: Codes of 1 to 16 bits, as in the file.
      symbols: What they stand for.

    Raises:
      CorruptCodes: There are more codes than 16 bits have room for.
    """
    entries = []
    for length, count in enumerate(counts, 1):
        for symbol in symbols[sum(counts[: length - 1]) :][:count]:
            entries.append((1 << (16 - length), length << 8 | symbol))
    spans = [span for span, _ in entries]
    if sum(spans) > 1 << 16:
        raise CorruptCodes
    table = np.zeros(1 << 16, np.uint16)
    table[: sum(spans)] = np.repeat(np.array([entry for _, entry in entries], np.uint16), spans)
    return table.data


def decode_scan(coded: bytes, groups: list[Group], parts: list[ScanPart], band: Band) -> None:
    """Decodes the codes between two restarts into the coefficients of their components.

    Args:
      coded: The codes, without stuffed bytes.
      groups: The blocks, in order.
      parts: The components.
      band: The coefficients and bits.

    Raises:
      CorruptCodes: A code is unknown or stands where it must not.
      IndexError: The codes end too early.
      OverflowError: A coefficient exceeds 16 bits.
    """
    if not band.high:
        decode = _first_bits
    else:
        decode = _ac_refined if band.first else _dc_refined
    if decode(_windows(coded), groups, parts, band) > 8 * len(coded):
        raise IndexError


def _windows(coded: bytes) -> memoryview:
    """The 48 bits that begin at each byte: a code and the bits behind it never need more."""
    padded = np.frombuffer(coded + bytes(5), np.uint8).astype(np.uint64)
    windows = np.zeros(len(coded), np.uint64)
    for i in range(6):
        windows |= padded[i : i + len(coded)] << np.uint64(40 - 8 * i)
    return windows.data


# The three below are one loop each, written out: a call for each code would double their time. `at`
# is the bit that comes next; `16 or 32 - (at & 7)` cuts the next bits out of its byte's window.


def _first_bits(
    windows: memoryview, groups: Iterable[Group], parts: list[ScanPart], band: Band
) -> int:
    """All of a sequential scan, or the scan that begins a progressive file's coefficients."""
    first, last, _, low = band
    zigzag, at, empty, before = ZIGZAG, 0, 0, [0] * len(parts)
    for group in groups:
        for number, block in group:
            if empty:
                empty -= 1
                continue
            values, dc, ac = parts[number]
            if not first:
                window, shift = windows[at >> 3], 32 - (at & 7)
                entry = dc[window >> shift & 0xFFFF]
                length, bits = entry >> 8, entry & 255
                if not entry or bits > 15:
                    raise CorruptCodes
                if bits:
                    value = window >> (shift + 16 - length - bits) & ((1 << bits) - 1)
                    if not value >> (bits - 1):
                        value -= (1 << bits) - 1
                    before[number] += value
                at += length + bits
                values[block] = before[number] << low
            k = first or 1
            while k <= last:
                window, shift = windows[at >> 3], 32 - (at & 7)
                entry = ac[window >> shift & 0xFFFF]
                if not entry:
                    raise CorruptCodes
                length, bits = entry >> 8, entry & 15
                if bits:
                    k += entry >> 4 & 15
                    if k > last:
                        raise CorruptCodes
                    value = window >> (shift + 16 - length - bits) & ((1 << bits) - 1)
                    if not value >> (bits - 1):
                        value -= (1 << bits) - 1
                    values[block + zigzag[k]] = value << low
                    at += length + bits
                    k += 1
                elif entry & 0xF0 == 0xF0:
                    at += length
                    k += 16
                else:  # This block ends here; in a progressive file so many after it are empty.
                    run = entry >> 4 & 15 if first else 0
                    at += length + run
                    empty = (
                        (1 << run) - 1 + (window >> (shift + 16 - length - run) & ((1 << run) - 1))
                    )
                    break
    return at


def _dc_refined(
    windows: memoryview, groups: Iterable[Group], parts: list[ScanPart], band: Band
) -> int:
    at = 0
    for group in groups:
        for number, block in group:
            parts[number].values[block] |= (windows[at >> 3] >> 47 - (at & 7) & 1) << band.low
            at += 1
    return at


def _ac_refined(
    windows: memoryview, groups: Iterable[Group], parts: list[ScanPart], band: Band
) -> int:
    at, ending = 0, 0
    values, ac, one = parts[0].values, parts[0].ac, 1 << band.low
    for ((_, block),) in groups:
        places = [block + place for place in ZIGZAG[band.first : band.last + 1]]
        k = 0
        while k < len(places) and not ending:
            window, shift = windows[at >> 3], 32 - (at & 7)
            entry = ac[window >> shift & 0xFFFF]
            length, run, bits = entry >> 8, entry >> 4 & 15, entry & 15
            if not entry or bits > 1:
                raise CorruptCodes
            at += length
            if not bits and run < 15:  # This block ends here, and so do the ones after it.
                ending = (1 << run) + (window >> (shift + 16 - length - run) & ((1 << run) - 1))
                at += run
                break
            new = 0
            if bits:
                new = one if windows[at >> 3] >> 47 - (at & 7) & 1 else -one
                at += 1
            # So many zeros are passed over; what is none on the way gets its next bit.
            while k < len(places):
                place, k = places[k], k + 1
                if values[place]:
                    at = _one_more_bit(windows, at, values, place, one)
                elif run:
                    run -= 1
                else:
                    values[place] = new
                    break
            else:
                raise CorruptCodes
        if ending:
            for place in places[k:]:
                if values[place]:
                    at = _one_more_bit(windows, at, values, place, one)
            ending -= 1
    return at


def _one_more_bit(
    windows: memoryview, at: int, values: "array.array[int]", place: int, one: int
) -> int:
    if windows[at >> 3] >> 47 - (at & 7) & 1:
        values[place] += one if values[place] > 0 else -one
    return at + 1
