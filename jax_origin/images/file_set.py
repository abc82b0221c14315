"""A file as the set of images that its encoder would have stored as these very bytes.

A PNG is a box of half a grey level around each pixel. A JPEG is a box of half a quantisation step
around each DCT coefficient. A lossy WebP is one of about as much around what it adds to each
block's prediction. Where the boxes lie, and how wide they are, is data: files of all kinds have
arrays of the same shapes.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jax_origin.images.arrays import as_float, as_uint8
from jax_origin.images.decode import COLOUR_TO_GREY, DecodedImage, ImageError, exif_orientation
from jax_origin.images.formats import is_bare_png, plain_png_mode, unpacked
from jax_origin.images.jpeg import YCBCR, JpegFile, read_jpeg
from jax_origin.images.jpeg2000 import jpeg2000_is_lossless
from jax_origin.images.jpeg_recovered import recovered_jpeg
from jax_origin.images.jpeg_traces import jpeg_quality
from jax_origin.images.jpeg_twice import jpeg_before
from jax_origin.images.resizing import (
    Inside,
    Placing,
    Rescaling,
    Resizing,
    find_resizings,
    read_resizings,
)
from jax_origin.images.webp import (
    DCT_OF_4,
    WEBP_COLOUR,
    WebpComponent,
    WebpFile,
    chunks,
    read_webp,
    webp_boxes,
)

_LOSSLESS_TIFF = "raw tiff_lzw tiff_adobe_deflate tiff_deflate packbits lzma zstd".split()

_MAY_BE_LOSSY = {"AVIF": "AVIF", "HEIF": "HEIC", "JXL": "JPEG XL", "JPEG2000": "JPEG 2000"}

LOSSY_WEBP = "lossy WebP"
"""The note of one that is taken for its pixels."""

DECODED_JPEG = "a lossless file with the pixels of a JPEG of quality"
"""The note of a lossless file that shows it, but whose JPEG was not found; before the quality."""

UNKNOWN_FILE = "the file is unknown"
"""The note of pixels of which nobody says how they were stored."""

_COLOURS = {"rgb": np.eye(3, dtype=np.float32), "ycbcr": YCBCR, "grey": YCBCR}
_FREQUENCY, _PLACE = np.mgrid[0:8, 0:8]
_DCT_OF_8 = np.cos((2 * _PLACE + 1) * _FREQUENCY * np.pi / 16) / 2
_DCT_OF_8[0] = np.sqrt(1 / 8)
# Grey levels that rounding before the last resize may add, in units of an encoder's own rounding.
_RESIZED_ROUNDING = 0.5
_ROOMS = (1, 1.5, 2, 3, 4)  # times the side of an image that was made
# What a squared error in each component means for the mean over red, green and blue: a third each,
# or the mean square of the inverse matrix's columns, 1, 1.09 and 0.82, which is taken for 1.
_WEIGHTS = {"rgb": 1 / 3, "ycbcr": 1.0, "grey": 1.0}


class StoredArrays(NamedTuple):
    """A stored image as arrays, of shapes that depend on the image's size alone.

    An image of grey levels 0 to 255 goes through three steps:

    1. If `resized`, it becomes ``resize_rows @ image @ resize_columns.T``.
    2. Each pixel becomes three components, ``colour @ pixel - offset``.
    3. Each tile of 16x16 becomes ``rows @ tile @ columns.T``. Of a JPEG that is four DCTs of 8x8
       blocks, or two or one of averages of pairs of pixels. Of a WebP it is 16 or four of 4x4
       blocks, else the tile itself.

    The image is in the set if each number is within its half of its middle, with some room for the
    encoder's own rounding. R and C are height and width, rounded up to whole tiles.

    Attributes:
      middles: float32 [3, R, C], grey levels; 0 where nothing is stored.
      halves: float32 [3, R, C], grey levels: half the width of each number's box.
      colour: float32 [3, 3].
      offset: float32 [3].
      rows: float32 [3, 16, 16]; rows of zeros where one block stands for two.
      columns: float32 [3, 16, 16].
      row_weights: float32 [3, R]; times `column_weights`, each number's weight in a mean over the
        image, 0 where nothing is stored.
      column_weights: float32 [3, C].
      whole: bool [R / 16, C / 16], tiles of the first component whose 16 blocks' constant terms are
        transformed once more, as in a WebP.
      averaged: bool [3, 2], whether rows, and columns, are averaged in pairs of which the last one,
        and not the last row, is repeated beyond.
      rounded: float32 [], 1 if the encoder rounds to grey levels before it transforms; less if
        the image was resized after it was rounded; else 0.
      resized: bool [].
      resize_rows: float32 [H, H]; or [R, H], where a file has another size than the images that it
        may hold. R and C are then those of `Stored.room`.
      resize_columns: float32 [W, W], or [C, W].
    """

    middles: Any
    halves: Any
    colour: Any
    offset: Any
    rows: Any
    columns: Any
    row_weights: Any
    column_weights: Any
    whole: Any
    averaged: Any
    rounded: Any
    resized: Any
    resize_rows: Any
    resize_columns: Any


@dataclass(frozen=True)
class Stored:
    """An image as a file stores it: the pixels that it decodes to, and what they come from.

    Attributes:
      kind: "pixels", a box of one grey level around each; "jpeg"; or "webp", a lossy one.
      pixels: uint8 [H, W, C], decoded.
      colour: the components stored: "rgb", "ycbcr" or "grey".
      coefficients: the quantised DCT coefficients of each component, int16 (see `JpegComponent`
        and `WebpComponent`); none for "pixels". Where `resizing` is `Inside`, those of what is
        compared, not rounded.
      tables: their quantisation steps, uint16: [8, 8], or for "webp" one for each.
      averaged: (rows, columns) of the image that are averaged for one sample of each component.
      predictions: for "webp" what they are added to, uint8; see `WebpComponent`.
      whole: for "webp", bool; see `WebpFile`.
      found_in: where the coefficients were found, if they are not the file's own: "its pixels" of
        a lossless file, or "its coefficients" of a JPEG that was another one before; else None.
      note: why the file is judged by its pixels although it stores something else; else None.
      quantiser: of a lossy WebP, the coarsest index of its quantisers, 0 to 127; else None.
      resizings: the ways by which the image may have come to its size, for `readings`.
      resizing: the way that this set assumes; None for the image as it is.
      unscaled: of a file of another size than the images that it may hold, its own pixels, uint8
        [h, w, C]; or of a part of one. `resizing` is then a `Rescaling`, or a `Placing`, and
        `pixels`, at the size of these images, tell a search where to begin, and no more.
      surroundings: of a window, the pixels that are seen with a margin around it, uint8 [H', W',
        C], the window in their middle; they tell a search where to begin, and nothing else.
      seen: the rows and columns of `pixels` that the file says something of, (first, one past the
        last) of either; None for all. Of kind "pixels" alone.
      alternatives: sets that the file may be in instead, none more likely than the others: of a
        part of an image one for each place where it may lie (`jax_origin.images.placed_cut`), or
        one for each way in which it may have been turned (`jax_origin.images.turned`).
    """

    kind: str
    pixels: np.ndarray
    colour: str = "rgb"
    coefficients: tuple[np.ndarray, ...] = ()
    tables: tuple[np.ndarray, ...] = ()
    averaged: tuple[tuple[int, int], ...] = ()
    predictions: tuple[np.ndarray, ...] = ()
    whole: np.ndarray | None = None
    found_in: str | None = None
    note: str | None = None
    quantiser: int | None = None
    resizings: tuple[Resizing, ...] = ()
    resizing: Resizing | Rescaling | Placing | Inside | None = None
    unscaled: np.ndarray | None = None
    surroundings: np.ndarray | None = None
    seen: tuple[tuple[int, int], tuple[int, int]] | None = None
    alternatives: tuple["Stored", ...] = ()

    def readings(self) -> "list[Stored]":
        """The sets that the image may be in: as it is, and by each way to its size; or by place."""
        if self.alternatives:
            return list(self.alternatives)
        return [self, *(replace(self, resizing=way) for way in self.resizings)]

    @property
    def says(self) -> int:
        """How many numbers it stores, of a lossy file those that are not 0."""
        pixels = self.pixels if self.unscaled is None else self.unscaled
        return sum(map(np.count_nonzero, self.coefficients)) if self.coefficients else pixels.size

    @property
    def room(self) -> tuple[int, int] | None:
        """(R, C) of the arrays of a file of another size than its images; None for any other file.

        Files of nearly one size share them, and so a program.
        """
        if self.unscaled is None:
            return None
        sides = zip(self.unscaled.shape[:2], self.pixels.shape[:2], strict=True)
        rows, columns = (_room(side, made) for side, made in sides)
        return rows, columns

    def to_arrays(self) -> StoredArrays:
        """The set as arrays, for one image; `stack_stored` makes them for several."""
        whole = self.pixels if self.unscaled is None else self.unscaled
        size, lossy = whole.shape[:2], self.kind != "pixels"
        height, width = self.room or (_whole_tiles(side) for side in size)
        resize_rows, resize_columns = (np.eye(side, dtype=np.float32) for side in size)
        rounded = float(lossy)
        if self.resizing:
            resize_rows, resize_columns = self.resizing.matrices(size)
            rounded = max(rounded, _RESIZED_ROUNDING)
        if self.unscaled is not None:
            # Enlarged, the rounding of the image before is as large in a block, of fewer numbers.
            if lossy:
                rounded = max(1.0, math.sqrt(whole.size / self.pixels.size))
            resize_rows, resize_columns = (
                np.pad(part, ((0, side - len(part)), (0, 0)), mode="edge")
                for part, side in ((resize_rows, height), (resize_columns, width))
            )
        arrays = StoredArrays(
            middles=np.zeros((3, height, width), np.float32),
            halves=np.full((3, height, width), 0.5, np.float32),
            colour=WEBP_COLOUR if self.kind == "webp" else _COLOURS[self.colour],
            offset=np.zeros(3, np.float32),
            rows=np.zeros((3, 16, 16), np.float32),
            columns=np.zeros((3, 16, 16), np.float32),
            row_weights=np.zeros((3, height), np.float32),
            column_weights=np.zeros((3, width), np.float32),
            whole=np.zeros((height // 16, width // 16), bool),
            averaged=np.zeros((3, 2), bool),
            rounded=np.float32(rounded),
            resized=np.bool_(self.resizing is not None),
            resize_rows=resize_rows,
            resize_columns=resize_columns,
        )
        if self.whole is not None:
            arrays.whole[: self.whole.shape[0], : self.whole.shape[1]] = self.whole
        pixels = whole.transpose(2, 0, 1)[: 1 if self.colour == "grey" else 3]
        for i, plane in enumerate(self.coefficients or pixels):
            pairs = self.averaged[i] if lossy else (1, 1)
            places = [_places(*of) for of in zip(plane.shape, pairs, strict=True)]
            middles, halves = self.boxes(i, plane)
            if self.seen is not None:
                parts = [slice(*part) for part in self.seen]
                places = [at[part] for at, part in zip(places, parts, strict=True)]
                middles, halves = middles[*parts], halves[*parts]
            # A JPEG's columns are repeated before they are averaged.
            arrays.averaged[i] = pairs[0] == 2, pairs[1] == 2 and self.kind == "webp"
            for axis, side in enumerate(size if self.unscaled is not None else ()):
                if arrays.averaged[i, axis] and side % 2 == 0:
                    # How an encoder fills the last of these blocks up is not in the padding above.
                    places[axis] = places[axis][: side // 16 * 8]
            at_rows, at_columns = places
            boxes = np.ix_(at_rows, at_columns)
            arrays.middles[i][boxes] = middles[: len(at_rows), : len(at_columns)]
            arrays.halves[i][boxes] = halves[: len(at_rows), : len(at_columns)]
            arrays.rows[i], arrays.columns[i] = (self._transform(pair) for pair in pairs)
            # A small window of a JPEG may hold no whole block of a colour.
            arrays.row_weights[i, at_rows] = _WEIGHTS[self.colour] / max(1, len(at_rows))
            arrays.column_weights[i, at_columns] = 1 / max(1, len(at_columns))
            if self.kind == "jpeg":
                # Y, and red, green and blue, are coded about their middle; Cb and Cr have it at 0.
                arrays.offset[i] = 128 if i == 0 or self.colour == "rgb" else 0
        return arrays

    def boxes(self, i: int, plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Middles and half widths of the boxes of a component's numbers."""
        if self.kind == "webp":
            assert self.whole is not None
            component = WebpComponent(plane, self.tables[i], self.predictions[i])
            return webp_boxes(component, i, self.whole)
        if self.kind == "pixels":
            return plane, np.full(plane.shape, 0.5)
        steps = np.tile(self.tables[i], [side // 8 for side in plane.shape]).astype(np.float32)
        return plane * steps, steps / 2

    def _transform(self, averaged: int) -> np.ndarray:
        """What a side of a tile of 16x16 is multiplied with: transforms side by side, [16, 16]."""
        if self.kind == "pixels":
            return np.eye(16)
        dct = DCT_OF_4 if self.kind == "webp" else _DCT_OF_8
        blocks = np.kron(np.eye(16 // averaged // len(dct)), dct)
        pairs = np.repeat(blocks / 2, 2, axis=1)
        return blocks if averaged == 1 else np.vstack([pairs, np.zeros((8, 16))])

    def as_pixels(self) -> "Stored":
        """The set of a lossless file with the same pixels."""
        colour = "grey" if self.pixels.shape[2] == 1 else "rgb"
        bare = replace(self, kind="pixels", colour=colour, coefficients=(), tables=(), averaged=())
        return replace(bare, predictions=(), whole=None)


def as_images(images: Any) -> Any:
    """Images as they are inverted: stored ones as they are, arrays as floats [N, H, W, C].

    Of a list, arrays [H, W, C] become stored images if their sizes differ.
    """
    if not isinstance(images, list | tuple):
        return as_float(images)
    if (
        not any(isinstance(image, Stored) for image in images)
        and len(set(map(np.shape, images))) < 2
    ):
        return as_float(images)
    return [
        image if isinstance(image, Stored) else stored_pixels(np.asarray(image)[None])[0]
        for image in images
    ]


def stored_pixels(images: Any, *, note: str | None = None) -> list[Stored]:
    """Images in memory as lossless files of 8 bits would hold them: N sets of kind "pixels".

    Args:
      images: [N, H, W, C], C 1 or 3; uint8, or floats in [0, 1], which are rounded.
      note: as in `Stored`.

    Raises:
      ValueError: as `as_uint8`; or C is another.
    """
    pixels = as_uint8(images)
    if pixels.shape[3] not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels, got {pixels.shape[3]}")
    taken = Stored("pixels", pixels[0], "grey" if pixels.shape[3] == 1 else "rgb", note=note)
    return [_of_pixels(replace(taken, pixels=x), find_resizings(x)) for x in pixels]


def stack_stored(arrays: Sequence[StoredArrays]) -> StoredArrays:
    """The arrays of several images of one size, with a first axis for the images."""
    return StoredArrays(*(np.stack(parts) for parts in zip(*arrays, strict=True)))


def stored_image(data: bytes, decoded: DecodedImage) -> Stored:
    """The set of images that an encoder would have stored as these bytes.

    Lossless files of 8 bits, grey ones included, are boxes around their pixels, with the ways by
    which the image may have come to its size. Where the pixels are those of a decoded JPEG, the
    set is the JPEG's (`recovered_jpeg`). JPEG files of one or three components, averaged over
    no more than two rows and columns, are boxes around their coefficients; or around those of an
    earlier JPEG that they show (`jpeg_before`). For one channel these are the luma of a colour file
    whose colours are all equal. Any other file is taken for its
    decoded pixels, and `note` says why.

    JPEG 2000 is lossless where `jpeg2000_is_lossless` proves it. AVIF, HEIC, JPEG XL and other
    JPEG 2000 files are assumed to have lost something: their headers do not rule it out.

    Args:
      data: the bytes of the file.
      decoded: what `decode_bytes` made of them; so no `ImageError` is raised.
    """
    data, _ = unpacked(data)
    mode, form, info, orientation = _header(data)
    pixels, one_channel = decoded.pixels, decoded.pixels.shape[2] == 1
    taken = Stored("pixels", pixels, "grey" if one_channel else "rgb")
    profile = info.get("icc_profile") or b""
    resized = decoded.size != pixels.shape[:2]
    resized_note = f"resized from {decoded.size[0]}x{decoded.size[1]} after decoding"
    if profile and b"sRGB" not in profile.replace(b"\0", b""):
        return replace(taken, note="colour profile other than sRGB")
    if one_channel and COLOUR_TO_GREY in (decoded.note or ""):
        return replace(taken, note=COLOUR_TO_GREY)
    if form in ("JPEG", "MPO"):
        if orientation != 1:
            return replace(taken, note="JPEG turned by its EXIF orientation")
        if resized:
            return replace(taken, note=resized_note)
        try:
            file = read_jpeg(data, path=decoded.path)
        except ImageError as error:
            return replace(taken, note=error.reason)
        if earlier := jpeg_before(file):
            return replace(_from_jpeg(earlier, taken), found_in="its coefficients")
        return _from_jpeg(file, taken)
    if mode not in ("L", "LA", "RGB", "RGBA"):
        return replace(taken, note="palette: a colour may be rounded by more than half a level")
    if form == "WEBP" and all(name != b"VP8L" for name, _ in chunks(data)):
        webp = None if resized or orientation != 1 else read_webp(data)
        if webp is None or webp.size != pixels.shape[:2]:
            return replace(taken, note=resized_note if resized else LOSSY_WEBP)
        return _from_webp(webp, taken)
    if form in _MAY_BE_LOSSY and not (form == "JPEG2000" and jpeg2000_is_lossless(data)):
        return replace(taken, note=f"{_MAY_BE_LOSSY[form]}, which may be lossy")
    if form == "TIFF" and info.get("compression") not in _LOSSLESS_TIFF:
        return replace(taken, note="lossy TIFF")
    ways = read_resizings(decoded.size) if resized else find_resizings(pixels)
    grey = one_channel or mode in ("L", "LA")
    return _of_pixels(replace(taken, colour="grey" if grey else "rgb"), ways)


def _header(data: bytes) -> tuple[str, str | None, Mapping[Any, Any], int]:
    """A file's mode, format and what it says besides, as Pillow has them; its orientation."""
    if (mode := plain_png_mode(data)) is not None:
        return mode, "PNG", {}, 1
    with Image.open(io.BytesIO(data)) as image:
        icon = getattr(image, "ico", None)
        resolved = icon and icon.entry[0].color_depth <= 8  # Of a palette, by Pillow.
        orientation = 1 if is_bare_png(data) else exif_orientation(image)
        return "P" if resolved else image.mode, image.format, image.info, orientation


def without_colours(stored: Stored) -> Stored:
    """An image whose colours are all equal as one that may have been made grey.

    Its set is then that of its brightness: any image belongs to it that becomes this one in grey.
    Others are returned as they are.
    """
    pixels = stored.pixels
    if pixels.shape[2] != 3 or stored.colour == "grey" or stored.note is not None:
        return stored
    if not np.array_equal(pixels[..., :2], pixels[..., 1:]) or not np.ptp(pixels):
        return stored
    if any(np.any(plane) for plane in stored.coefficients[1:]):
        return stored
    grey = replace(
        stored,
        colour="grey",
        coefficients=stored.coefficients[:1],
        tables=stored.tables[:1],
        averaged=stored.averaged[:1],
        predictions=stored.predictions[:1],
    )
    return replace(grey, alternatives=tuple(map(without_colours, stored.alternatives)))


def _of_pixels(taken: Stored, ways: tuple[Resizing, ...]) -> Stored:
    """The set of a lossless file: that of a JPEG, if its pixels are those of one."""
    quality = jpeg_quality(taken.pixels) if taken.note is None else None
    if quality is None:
        return replace(taken, resizings=ways)
    grey = taken.colour == "grey"
    file = recovered_jpeg(taken.pixels[..., :1] if grey else taken.pixels, quality)
    if file is None:
        return replace(taken, note=f"{DECODED_JPEG} {quality}")
    return replace(_from_jpeg(file, taken), found_in="its pixels")


def _from_webp(file: WebpFile, taken: Stored) -> Stored:
    colour, count = ("grey", 1) if taken.colour == "grey" else ("ycbcr", 3)
    levels, steps, predicted = zip(*file.components[:count], strict=True)
    averaged = ((1, 1), (2, 2), (2, 2))[:count]
    stored = Stored("webp", taken.pixels, colour, levels, steps, averaged)
    return replace(stored, predictions=predicted, whole=file.whole, quantiser=file.quantiser)


def _from_jpeg(file: JpegFile, taken: Stored) -> Stored:
    components, colour = file.components, file.colour
    if taken.pixels.shape[2] == 1:
        if colour == "rgb":
            return replace(taken, note="JPEG of red, green and blue read as grey")
        components, colour = components[:1], "grey"
    coefficients, tables, averaged = zip(*components, strict=True)
    if widest := max((pair for pair in averaged if max(pair) > 2), default=None):
        return replace(taken, note=f"JPEG with chroma averaged over {widest} pixels")
    return Stored("jpeg", taken.pixels, colour, coefficients, tables, averaged)


def _whole_tiles(side: int) -> int:
    """A side of so many pixels, up to whole tiles."""
    return -(-side // 16) * 16


def _room(side: int, made: int) -> int:
    """The least of a few sides that one of so many pixels goes into, in whole tiles."""
    return next(
        (room for share in _ROOMS if (room := _whole_tiles(math.ceil(share * made))) >= side),
        _whole_tiles(side),
    )


def _places(count: int, averaged: int) -> np.ndarray:
    """Where a component's rows stand among the image's: each block at the first that it covers."""
    place = np.arange(count)
    return place if averaged == 1 else place // 8 * 16 + place % 8
