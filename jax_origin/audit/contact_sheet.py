"""A sheet of images beside their reconstructions, for the eye to check verdicts on."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jax_origin.files import atomic_write

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

_BACKGROUND = (255, 255, 255)
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
      image: uint8 [H, W, 3] (or [H, W, 1]); None if it could not be read.
      reconstruction: of the shape of `image`; None if there is none.
      caption: what stands under the pictures, for instance the loss; may have several lines.
      verdict: "belongs", "foreign" or "undecided" (each has its colour), or another word; None
        where there is no verdict.
      group: the heading under which the row stands.
    """

    image: np.ndarray | None
    reconstruction: np.ndarray | None
    caption: str
    verdict: str | None
    group: str


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
    1400 pixels wide and as high as the rows need, so choose the rows worth looking at.

    Args:
      path: where the PNG is to be; missing folders are made, and the file is whole or not there.
      rows: at least one.
      title: the first line of the sheet, none if empty.
      gain: the residual shown is |image - reconstruction| times this, clipped; the sheet says so.

    Raises:
      ValueError: there are no rows, `gain` is not above 0, or an image is not uint8 [H, W, 3] or
        not of the shape of its reconstruction.
      OSError: the file cannot be written.
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
    layout = _Layout(rows)
    sheet = Image.new("RGB", (layout.width, layout.height(groups, title)), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    y = _MARGIN
    if title:
        _text(draw, (_MARGIN, y), title, _TEXT, layout.inner_width, size=_HEADING_SIZE)
        y += _HEADING_HEIGHT
    legend = f"image | reconstruction | residual: |image - reconstruction| x {gain:g}"
    _text(draw, (_MARGIN, y), legend, _FAINT, layout.inner_width)
    y += _HEADING_HEIGHT
    for group, members in groups.items():
        heading = f"{group} ({len(members)})"
        _text(draw, (_MARGIN, y), heading, _TEXT, layout.inner_width, size=_HEADING_SIZE)
        y += _HEADING_HEIGHT
        for index, row in enumerate(members):
            line, column = divmod(index, layout.columns)
            corner = (layout.x(column), y + line * layout.cell_height)
            _draw_cell(sheet, draw, corner, row, layout, gain)
        y += layout.lines(len(members)) * layout.cell_height
    with atomic_write(path) as temporary:
        sheet.save(temporary, format="PNG")


class _Layout:
    """Where things stand, in pixels."""

    def __init__(self, rows: Sequence[SheetRow]) -> None:
        pictures = (picture for row in rows for picture in (row.image, row.reconstruction))
        largest = max((max(p.shape[:2]) for p in pictures if p is not None), default=0)
        self.tile = min(max(largest, _SMALLEST_TILE), _LARGEST_TILE)
        self.cell_width = 3 * self.tile + 2 * _TILE_GAP
        most = (_SHEET_WIDTH - 2 * _MARGIN + _CELL_GAP) // (self.cell_width + _CELL_GAP)
        self.columns = min(most, len(rows))
        self.width = 2 * _MARGIN + self.columns * (self.cell_width + _CELL_GAP) - _CELL_GAP
        self.width = max(self.width, _SHEET_WIDTH // 2)  # Room for the title.
        self.inner_width = self.width - 2 * _MARGIN
        self.text_lines = max(_verdict_lines(row) + len(row.caption.splitlines()) for row in rows)
        self.cell_height = self.tile + 4 + self.text_lines * _LINE_HEIGHT + _CELL_GAP

    def x(self, column: int) -> int:
        return _MARGIN + column * (self.cell_width + _CELL_GAP)

    def lines(self, cells: int) -> int:
        return -(-cells // self.columns)

    def height(self, groups: dict[str, list[SheetRow]], title: str) -> int:
        headings = len(groups) + (2 if title else 1)  # The title and the legend are as high.
        cells = sum(self.lines(len(members)) for members in groups.values())
        return 2 * _MARGIN + headings * _HEADING_HEIGHT + cells * self.cell_height - _CELL_GAP


def _check(row: SheetRow, index: int) -> None:
    for name, picture in (("image", row.image), ("reconstruction", row.reconstruction)):
        if picture is None:
            continue
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3):
            found = f"{picture.dtype} {list(picture.shape)}"
            raise ValueError(f"row {index}: {name} must be uint8 [H, W, 3], got {found}")
    if row.image is None or row.reconstruction is None:
        return
    if row.image.shape != row.reconstruction.shape:
        shapes = f"{list(row.image.shape)} and {list(row.reconstruction.shape)}"
        raise ValueError(f"row {index}: image and reconstruction differ in shape, {shapes}")


def _residual(row: SheetRow, gain: float) -> np.ndarray | None:
    if row.image is None or row.reconstruction is None:
        return None
    difference = np.abs(np.subtract(row.image, row.reconstruction, dtype=np.float64))
    residual: np.ndarray = np.rint(np.minimum(difference * gain, 255)).astype(np.uint8)
    return residual


def _draw_cell(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    row: SheetRow,
    layout: _Layout,
    gain: float,
) -> None:
    x, y = corner
    for position, picture in enumerate((row.image, row.reconstruction, _residual(row, gain))):
        left = x + position * (layout.tile + _TILE_GAP)
        _draw_tile(sheet, draw, (left, y), picture, layout.tile)
    y += layout.tile + 4
    if row.verdict is not None:
        colour = _VERDICT_COLOURS.get(row.verdict, _TEXT)
        _text(draw, (x, y), row.verdict, colour, layout.cell_width)
        y += _LINE_HEIGHT
    for line in row.caption.splitlines():
        _text(draw, (x, y), line, _TEXT, layout.cell_width)
        y += _LINE_HEIGHT


def _draw_tile(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    picture: np.ndarray | None,
    tile: int,
) -> None:
    x, y = corner
    if picture is None:
        draw.rectangle((x, y, x + tile - 1, y + tile - 1), fill=_MISSING)
        draw.text((x + tile // 2, y + tile // 2), "none", _FAINT, _font(_TEXT_SIZE), anchor="mm")
        return
    pixels = np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else np.asarray(picture)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    scale = tile / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    resampling = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    place = (x + (tile - size[0]) // 2, y + (tile - size[1]) // 2)
    sheet.paste(image.resize(size, resampling), place)


def _verdict_lines(row: SheetRow) -> int:
    return 0 if row.verdict is None else 1


def _text(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    colour: tuple[int, int, int],
    width: int,
    size: int = _TEXT_SIZE,
) -> None:
    """Draws one line, cut to `width` pixels with three dots."""
    font = _font(size)
    if draw.textlength(text, font) > width:
        while text and draw.textlength(text + "...", font) > width:
            text = text[:-1]
        text += "..."
    draw.text(corner, text, colour, font)


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size)
