"""What a JPEG file stores: its quantised DCT coefficients, whole numbers, and its tables.

Reading them loses nothing, unlike decoding to pixels. The entropy decoder follows the standard
(ITU-T T.81, 1992), and is strict where libjpeg is lenient: it gives the numbers that the encoder
wrote, or says why it cannot. Work and memory are bounded by the size of file and image.
"""

import array
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from jax_origin.images.decode import ImageError
from jax_origin.images.jpeg_scan import (
    ZIGZAG,
    Band,
    CorruptCodes,
    Group,
    ScanPart,
    code_table,
    decode_scan,
)

YCBCR = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.168735892, -0.331264108, 0.5],
        [0.5, -0.418687589, -0.081312411],
    ],
    np.float32,
)
"""Rows: Y, Cb, Cr of red, green, blue (JFIF 1.02, page 3)."""

_MOST_SCANS = 100
_STANDALONE = {0x01, *range(0xD0, 0xD9)}  # Markers without a length: TEM, RST0 to RST7, SOI.
_REFUSED_FRAMES = {
    0xC3: "lossless",
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB), "arithmetic-coded"),
}
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")


class JpegComponent(NamedTuple):
    """One component of a JPEG file.

    Attributes:
      coefficients: int16 [8 * block rows, 8 * block columns], each block in its place, frequencies
        rising downwards and to the right; the blocks that hold part of the image, no others.
      table: uint16 [8, 8], the quantisation step of each coefficient.
      averaged: (rows, columns): how many of the image's pixels one sample stands for.
    """

    coefficients: np.ndarray
    table: np.ndarray
    averaged: tuple[int, int]


class JpegFile(NamedTuple):
    """The quantised coefficients of a JPEG file.

    Its one or three `components` are "grey", "ycbcr" or "rgb" by the markers, as libjpeg reads
    them. The image has `height` and `width` in pixels.
    """

    height: int
    width: int
    colour: str
    components: tuple[JpegComponent, ...]


def read_jpeg(data: bytes, *, path: str, max_pixels: int = 1 << 24) -> JpegFile:
    """Reads the quantised coefficients of a JPEG file: baseline, extended or progressive.

    Args:
      data: the bytes of the file; what follows its first image is ignored.
      path: the name to use in errors.
      max_pixels: the largest H * W that is read.

    Raises:
      ImageError: the file is damaged, or of a kind that is not read: arithmetic coding, 12 bits,
        lossless or hierarchical frames, CMYK, a progressive file without its last scans. Nothing
        else is raised, whatever the file holds.
    """
    try:
        return _Reader(data, max_pixels).read()
    except _Refused as error:
        reason = str(error)
    except (CorruptCodes, IndexError, OverflowError):
        reason = "truncated or corrupt"
    raise ImageError(path, f"has coefficients that cannot be read: {reason}")


class _Refused(Exception):
    pass


@dataclass
class _Component:
    identifier: int
    vertical: int
    horizontal: int
    table_number: int
    rows: int = 0  # Blocks that hold part of the image.
    columns: int = 0
    stride: int = 0  # Blocks in a row with those that fill up the last group of them.
    values: "array.array[int]" = field(default_factory=lambda: array.array("h"))
    table: np.ndarray | None = None
    # The lowest bit that is known of each coefficient; -1 while nothing is.
    known: list[int] = field(default_factory=lambda: [-1] * 64)


class _Reader:
    """Goes through the markers of a file, and decodes each scan where it stands."""

    def __init__(self, data: bytes, max_pixels: int) -> None:
        self.data = data
        self.max_pixels = max_pixels
        self.tables: dict[int, np.ndarray] = {}
        self.huffman: dict[int, memoryview] = {}
        self.components: list[_Component] = []
        self.height = self.width = 0
        self.tallest = self.widest = 1
        self.progressive = False
        self.restart_interval = 0
        self.jfif = False
        self.adobe: int | None = None

    def read(self) -> JpegFile:
        data, at, scans = self.data, 2, 0
        if data[:2] != b"\xff\xd8":
            raise _Refused("it does not begin as a JPEG file does")
        while True:
            if data[at] != 0xFF:
                raise _Refused(f"a marker was expected at byte {at}")
            while data[at] == 0xFF:
                at += 1
            marker, at = data[at], at + 1
            if marker == 0xD9:
                return self._finished()
            if marker in _STANDALONE:
                continue
            length = int.from_bytes(data[at : at + 2], "big")
            body = data[at + 2 : at + length]
            if length < 2 or len(body) != length - 2:
                raise CorruptCodes
            at += length
            if marker == 0xDA:
                scans += 1
                if scans > _MOST_SCANS:
                    raise _Refused(f"it has more than {_MOST_SCANS} scans")
                end = _NEXT_MARKER.search(data, at)
                if end is None:
                    raise CorruptCodes
                self._scan(body, data[at : end.start()])
                at = end.start()
            else:
                self._segment(marker, body)

    def _segment(self, marker: int, body: bytes) -> None:
        if marker in _REFUSED_FRAMES:
            raise _Refused(f"it is {_REFUSED_FRAMES[marker]}")
        if marker in (0xC0, 0xC1, 0xC2):
            self._frame(marker, body)
        elif marker == 0xC4:
            self._huffman_tables(body)
        elif marker == 0xDB:
            self._quantisation_tables(body)
        elif marker == 0xDD:
            self.restart_interval = int.from_bytes(body[:2], "big")
        elif marker == 0xE0 and body[:5] == b"JFIF\0":
            self.jfif = True
        elif marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            self.adobe = body[11]

    def _frame(self, marker: int, body: bytes) -> None:
        if self.components:
            raise _Refused("it has two frames")
        self.progressive = marker == 0xC2
        if body[0] != 8:
            raise _Refused(f"it has {body[0]} bits a sample")
        self.height, self.width = (int.from_bytes(body[i : i + 2], "big") for i in (1, 3))
        if not 0 < self.height * self.width <= self.max_pixels:
            raise _Refused(f"it is {self.height}x{self.width}, at most {self.max_pixels} pixels")
        if body[5] not in (1, 3) or len(body) != 6 + 3 * body[5]:
            raise _Refused(f"it has {body[5]} components, neither 1 nor 3")
        for i in range(6, len(body), 3):
            part = _Component(body[i], body[i + 1] & 15, body[i + 1] >> 4, body[i + 2])
            if not (1 <= part.vertical <= 4 and 1 <= part.horizontal <= 4):
                raise CorruptCodes
            self.components.append(part)
        self.tallest = max(part.vertical for part in self.components)
        self.widest = max(part.horizontal for part in self.components)
        group_rows = -(-self.height // (8 * self.tallest))
        group_columns = -(-self.width // (8 * self.widest))
        for part in self.components:
            part.rows = -(-self.height * part.vertical // (8 * self.tallest))
            part.columns = -(-self.width * part.horizontal // (8 * self.widest))
            part.stride = group_columns * part.horizontal
            blocks = group_rows * part.vertical * part.stride
            part.values = array.array("h", bytes(2 * 64 * blocks))

    def _quantisation_tables(self, body: bytes) -> None:
        at = 0
        while at < len(body):
            width = 2 if body[at] >> 4 else 1
            stored = body[at + 1 : at + 1 + 64 * width]
            if len(stored) != 64 * width:
                raise CorruptCodes
            steps = np.frombuffer(stored, f">u{width}")
            if not steps.all():
                raise _Refused("a quantisation table holds a zero")
            table = np.zeros(64, np.uint16)
            table[list(ZIGZAG)] = steps
            self.tables[body[at] & 15] = table.reshape(8, 8)
            at += 1 + 64 * width

    def _huffman_tables(self, body: bytes) -> None:
        at = 0
        while at < len(body):
            counts = body[at + 1 : at + 17]
            symbols = body[at + 17 : at + 17 + sum(counts)]
            if len(counts) != 16 or len(symbols) != sum(counts):
                raise CorruptCodes
            self.huffman[body[at]] = code_table(counts, symbols)
            at += 17 + len(symbols)

    def _scan(self, header: bytes, coded: bytes) -> None:
        if not self.components or len(header) != 4 + 2 * header[0]:
            raise CorruptCodes
        band = Band(header[-3], header[-2], header[-1] >> 4, header[-1] & 15)
        if not self.progressive:
            band = Band(0, 63, 0, 0)
        chosen: list[_Component] = []
        parts: list[ScanPart] = []
        for i in range(1, len(header) - 3, 2):
            found = [part for part in self.components if part.identifier == header[i]]
            if not found or found[0] in chosen:
                raise CorruptCodes
            chosen += found[:1]
            dc, ac = (self.huffman.get(n) for n in (header[i + 1] >> 4, 16 | header[i + 1] & 15))
            if (dc is None and not (band.first or band.high)) or (ac is None and band.last):
                raise CorruptCodes
            parts.append(ScanPart(found[0].values, dc, ac))
            # The table at a component's first scan is the one that counts.
            if found[0].table is None:
                found[0].table = self.tables.get(found[0].table_number)
        self._note_bits(chosen, band)
        groups = self._groups(chosen)
        interval = self.restart_interval or len(groups)
        pieces = _RESTART.split(coded)  # Codes, number of the restart, codes, ...
        numbers = [bytes([0xD0 + i % 8]) for i in range((len(groups) - 1) // interval)]
        if pieces[1::2] != numbers:
            raise CorruptCodes
        for i, piece in enumerate(pieces[::2]):
            together = groups[i * interval : (i + 1) * interval]
            codes = piece.replace(b"\xff\0", b"\xff")
            decode_scan(codes, together, parts, band)

    def _note_bits(self, chosen: Sequence[_Component], band: Band) -> None:
        """Checks that a scan brings the bits that come next, and notes that they are there."""
        wrong = not chosen or band.first > band.last or band.last > 63 or band.low > 13
        wrong |= band.high > 0 and band.high != band.low + 1
        if self.progressive:
            wrong |= band.last > 0 and (band.first == 0 or len(chosen) > 1)
        for part in chosen:
            known = part.known[band.first : band.last + 1]
            wrong |= set(known) != {band.high or -1}
            part.known[band.first : band.last + 1] = [band.low] * len(known)
        if wrong:
            raise CorruptCodes

    def _groups(self, chosen: Sequence[_Component]) -> list[Group]:
        """For each group of blocks that are coded together: (component, where it begins)."""
        if len(chosen) == 1:
            part = chosen[0]
            return [
                [(0, 64 * (row * part.stride + column))]
                for row in range(part.rows)
                for column in range(part.columns)
            ]
        return [
            [
                (i, 64 * ((row * p.vertical + y) * p.stride + column * p.horizontal + x))
                for i, p in enumerate(chosen)
                for y in range(p.vertical)
                for x in range(p.horizontal)
            ]
            for row in range(-(-self.height // (8 * self.tallest)))
            for column in range(-(-self.width // (8 * self.widest)))
        ]

    def _finished(self) -> JpegFile:
        components = []
        for part in self.components:
            if part.table is None or any(part.known):
                raise _Refused("scans are missing")
            if self.tallest % part.vertical or self.widest % part.horizontal:
                raise _Refused("a component's samples stand for no whole number of pixels")
            values = np.frombuffer(part.values, np.int16).reshape(-1, part.stride, 8, 8)
            values = values[: part.rows, : part.columns].transpose(0, 2, 1, 3)
            placed = values.reshape(8 * part.rows, 8 * part.columns)
            averaged = self.tallest // part.vertical, self.widest // part.horizontal
            components.append(JpegComponent(placed, part.table, averaged))
        if not components:
            raise _Refused("it has no frame")
        return JpegFile(self.height, self.width, self._colour(), tuple(components))

    def _colour(self) -> str:
        """As libjpeg decides it (jdapimin.c, default_decompress_parms)."""
        if len(self.components) == 1:
            return "grey"
        named_rgb = bytes(part.identifier for part in self.components) == b"RGB"
        is_rgb = named_rgb if self.adobe is None else self.adobe == 0
        return "rgb" if is_rgb and not self.jfif else "ycbcr"
