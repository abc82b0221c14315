"""A sheet of images beside their reconstructions, for the eye to check verdicts on."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jax_origin.files import atomic_write
from jax_origin.images import ImageError, decode_image

_SHEET_WIDTH = 1400
_MARGIN = 16
_CELL_GAP = 20
_TILE_GAP = 4
_SMALLEST_TILE = 96
_LARGEST_TILE = 192
_TEXT_SIZE = 14
_LINE_HEIGHT = 18
_HEADING_SIZE = 17
_HEADING_HEIGHT = 32

_Colour = tuple[int, int, int]
_TEXT = (40, 40, 40)
_FAINT = (120, 120, 120)
_MISSING = (225, 225, 225)
_VERDICT_COLOURS = {
    "belongs": (18, 120, 60),
    "foreign": (190, 30, 45),
    "undecided": (176, 104, 0),
}


@dataclass(frozen=True)
class SheetRow:
    """One image on the sheet.

    Attributes:
      image: uint8 [H, W, 3] or [H, W, 1]; None if it could not be read.
      reconstruction: Of the shape of `image`; None if there is none.
      caption: What stands under the pictures, in one line or several.
      verdict: "belongs", "foreign" or "undecided" (each has its colour), or another word; None
        where there is no verdict.
      group: The heading under which the row stands.
    """

    image: np.ndarray | None
    reconstruction: np.ndarray | None
    caption: str
    verdict: str | None
    group: str


def sheet_row(
    record: Mapping[str, Any],
    reconstruction: str | os.PathLike[str],
    *,
    image_shape: Sequence[int],
) -> SheetRow:
    """What the sheet shows of a record: its file, if that is still what was examined.

    Args:
      record: As `Workdir.records` gives it.
      reconstruction: Where the reconstruction lies; the file may be missing.
      image_shape: The generator's (H, W, C); a file of another size is resized.
    """
    path = pathlib.Path(record["path"])
    image = made = None
    if record["verdict"] is not None:
        image = _pixels(path, image_shape, sha256=record["sha256"])
        made = _pixels(reconstruction, image_shape)
    caption = "not read" if record["loss"] is None else f"{path.name}\nloss {record['loss']:.1e}"
    return SheetRow(image, made, caption, record["verdict"], path.parent.name)


def _pixels(
    path: str | os.PathLike[str], image_shape: Sequence[int], *, sha256: str | None = None
) -> np.ndarray | None:
    """uint8 [H, W, C]; None for a file that cannot be read, or holds something else by now."""
    height, width, channels = image_shape
    try:
        found = decode_image(path, size=(height, width), channels=channels, resize=True)
    except ImageError:
        return None
    return found.pixels if sha256 in (None, found.sha256) else None


def write_contact_sheet(
    path: str | os.PathLike[str],
    rows: Sequence[SheetRow],
    *,
    title: str = "",
    gain: float = 8.0,
) -> None:
    """Writes a PNG with, for each row, the image, its reconstruction and the residual.

    Rows stand under their groups, groups in the order of their first row. Small images are
    enlarged to 96 pixels by repeating pixels, large ones reduced to 192. The sheet is at most
    1400 pixels wide and as high as the rows need: choose rows worth looking at.

    Args:
      path: The PNG to write, whole or not at all; missing folders are made.
      rows: At least one.
      title: The first line of the sheet, none if empty.
      gain: The residual shown is |image - reconstruction| times this, clipped; the sheet says so.

    Raises:
      ValueError: There are no rows, `gain` is not above 0, or an image is not uint8 [H, W, 3] or
        not of the shape of its reconstruction.
      OSError: The file cannot be written.
    """
    if not rows:
        raise ValueError("a contact sheet needs at least one row")
    if not (gain > 0 and np.isfinite(gain)):
        raise ValueError(f"gain must be above 0, got {gain}")
    for index, row in enumerate(rows):
        _check(row, index)
    groups: dict[str, list[SheetRow]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    sheet = _Sheet(rows, groups, headings=len(groups) + (2 if title else 1))
    if title:
        sheet.heading(title)
    sheet.heading(
        f"image | reconstruction | residual: |image - reconstruction| x {gain:g}", faint=True
    )
    for group, members in groups.items():
        sheet.heading(f"{group} ({len(members)})")
        sheet.cells(members, gain)
    with atomic_write(path) as temporary:
        sheet.image.save(temporary, format="PNG")


class _Sheet:
    """A sheet that is filled from the top; sizes are in pixels."""

    def __init__(
        self, rows: Sequence[SheetRow], groups: Mapping[str, Sequence[SheetRow]], *, headings: int
    ) -> None:
        pictures = (picture for row in rows for picture in (row.image, row.reconstruction))
        largest = max((max(p.shape[:2]) for p in pictures if p is not None), default=0)
        self._tile = min(max(largest, _SMALLEST_TILE), _LARGEST_TILE)
        self._cell_width = 3 * self._tile + 2 * _TILE_GAP
        most = (_SHEET_WIDTH - 2 * _MARGIN + _CELL_GAP) // (self._cell_width + _CELL_GAP)
        self._columns = min(most, len(rows))
        width = 2 * _MARGIN + self._columns * (self._cell_width + _CELL_GAP) - _CELL_GAP
        width = max(width, _SHEET_WIDTH // 2)  # Room for the title.
        lines = max((row.verdict is not None) + len(row.caption.splitlines()) for row in rows)
        self._cell_height = self._tile + 4 + lines * _LINE_HEIGHT + _CELL_GAP
        height = 2 * _MARGIN + headings * _HEADING_HEIGHT - _CELL_GAP
        height += sum(self._lines(members) for members in groups.values()) * self._cell_height
        self.image = Image.new("RGB", (width, height), "white")
        self._draw = ImageDraw.Draw(self.image)
        self._y = _MARGIN

    def heading(self, text: str, *, faint: bool = False) -> None:
        size, colour = (_TEXT_SIZE, _FAINT) if faint else (_HEADING_SIZE, _TEXT)
        self._text((_MARGIN, self._y), text, colour, self.image.width - 2 * _MARGIN, size)
        self._y += _HEADING_HEIGHT

    def cells(self, rows: Sequence[SheetRow], gain: float) -> None:
        for index, row in enumerate(rows):
            line, column = divmod(index, self._columns)
            x = _MARGIN + column * (self._cell_width + _CELL_GAP)
            self._cell(x, self._y + line * self._cell_height, row, gain)
        self._y += self._lines(rows) * self._cell_height

    def _lines(self, rows: Sequence[SheetRow]) -> int:
        return -(-len(rows) // self._columns)

    def _cell(self, x: int, y: int, row: SheetRow, gain: float) -> None:
        for place, picture in enumerate((row.image, row.reconstruction, _residual(row, gain))):
            self._picture(x + place * (self._tile + _TILE_GAP), y, picture)
        y += self._tile + 4
        lines = [(line, _TEXT) for line in row.caption.splitlines()]
        if row.verdict is not None:
            lines.insert(0, (row.verdict, _VERDICT_COLOURS.get(row.verdict, _TEXT)))
        for i, (text, colour) in enumerate(lines):
            self._text((x, y + i * _LINE_HEIGHT), text, colour, self._cell_width, _TEXT_SIZE)

    def _picture(self, x: int, y: int, picture: np.ndarray | None) -> None:
        tile = self._tile
        if picture is None:
            self._draw.rectangle((x, y, x + tile - 1, y + tile - 1), fill=_MISSING)
            middle, font = (x + tile // 2, y + tile // 2), ImageFont.load_default(_TEXT_SIZE)
            self._draw.text(middle, "none", _FAINT, font, anchor="mm")
            return
        pixels = np.broadcast_to(picture, (*picture.shape[:2], 3))
        image = Image.fromarray(np.ascontiguousarray(pixels))
        scale = tile / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        resampling = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
        place = (x + (tile - width) // 2, y + (tile - height) // 2)
        self.image.paste(image.resize((width, height), resampling), place)

    def _text(
        self, corner: tuple[int, int], text: str, colour: _Colour, width: int, size: int
    ) -> None:
        """Draws one line, cut to `width` with three dots."""
        font = ImageFont.load_default(size)
        if self._draw.textlength(text, font) > width:
            while text and self._draw.textlength(text + "...", font) > width:
                text = text[:-1]
            text += "..."
        self._draw.text(corner, text, colour, font)


def _check(row: SheetRow, index: int) -> None:
    pictures = {"image": row.image, "reconstruction": row.reconstruction}
    known = {name: picture for name, picture in pictures.items() if picture is not None}
    for name, picture in known.items():
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3):
            found = f"{picture.dtype} {list(picture.shape)}"
            raise ValueError(f"row {index}: {name} must be uint8 [H, W, 3], got {found}")
    if len({picture.shape for picture in known.values()}) > 1:
        shapes = " and ".join(str(list(picture.shape)) for picture in known.values())
        raise ValueError(f"row {index}: image and reconstruction differ in shape, {shapes}")


def _residual(row: SheetRow, gain: float) -> np.ndarray | None:
    if row.image is None or row.reconstruction is None:
        return None
    difference = np.abs(np.subtract(row.image, row.reconstruction, dtype=np.float64))
    residual: np.ndarray = np.rint(np.minimum(difference * gain, 255)).astype(np.uint8)
    return residual
