"""A sheet of images beside their reconstructions, for the eye to check verdicts on."""

import itertools
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jax_origin.calibration import IN_PART
from jax_origin.files import atomic_write
from jax_origin.images import ImageError, decode_image
from jax_origin.images.apart import is_given_up
from jax_origin.images.arrays import to_pillow

_SHEET_WIDTH = 1400
_MARGIN, _CELL_GAP, _TILE_GAP = 16, 20, 4
_SMALLEST_TILE, _LARGEST_TILE = 96, 192
_TEXT_SIZE, _LINE_HEIGHT = 14, 18
_HEADING_SIZE, _HEADING_HEIGHT = 17, 32

_TEXT, _FAINT, _MISSING = (40, 40, 40), (120, 120, 120), (225, 225, 225)
_VERDICTS = {"belongs": (18, 120, 60), "not_recognised": (190, 30, 45), "undecided": (176, 104, 0)}


@dataclass(frozen=True)
class SheetRow:
    """One image on the sheet.

    Attributes:
      image: uint8 [H, W, 3] or [H, W, 1]; None if it could not be read.
      reconstruction: Of the shape of `image`; None if there is none.
      caption: What stands under the pictures, in one line or several.
      verdict: "belongs", "not_recognised" or "undecided" (each has its colour), another word, or
        None.
      group: The heading under which the row stands.
      map: Shown instead of the residual, of the shape of `image`; see `jax_origin.runs.heat`.
    """

    image: np.ndarray | None
    reconstruction: np.ndarray | None
    caption: str
    verdict: str | None
    group: str
    map: np.ndarray | None = None


def sheet_row(
    record: Mapping[str, Any],
    reconstruction: str | os.PathLike[str],
    *,
    image_shape: Sequence[int],
    part_map: str | os.PathLike[str] | None = None,
) -> SheetRow:
    """What the sheet shows of a record: its file, if that is still what was examined.

    The files of the reconstruction and of the map may be missing. A file of another size than that
    is resized, or without one of another than the generator's, `image_shape` (H, W, C). One that
    could not be examined, for its size perhaps, is shown as it is, with the reason.
    """
    path = pathlib.Path(record["path"])
    made = None
    if is_given_up(record["error"]):
        image = None
    elif record["verdict"] is None:
        image = _pixels(path, None, image_shape[2])
    else:
        made = _pixels(reconstruction, None, image_shape[2])
        height, width = image_shape[:2] if made is None else made.shape[:2]
        image = _pixels(path, (height, width), image_shape[2], sha256=record["sha256"])
    found = record["error"] if record["loss"] is None else f"loss {record['loss']:.1e}"
    caption, shown = f"{path.name}\n{found}", None
    if made is not None and part_map is not None and str(record["reason"]).startswith(IN_PART):
        shown = _pixels(part_map, None, 3)
        caption += f"\n{record['reason']}; red: not made by it"
    return SheetRow(image, made, caption, record["verdict"], path.parent.name, shown)


def _pixels(
    path: str | os.PathLike[str],
    size: tuple[int, int] | None,
    channels: int,
    *,
    sha256: str | None = None,
) -> np.ndarray | None:
    """uint8 [H, W, C]; None for a file that cannot be read, or holds something else by now."""
    try:
        found = decode_image(path, size=size, channels=channels, resize=size is not None)
    except ImageError:
        return None
    return found.pixels if sha256 in (None, found.sha256) else None


def write_contact_sheet(
    path: str | os.PathLike[str], rows: Sequence[SheetRow], *, title: str = "", gain: float = 8.0
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
    pictures = (picture for row in rows for picture in (row.image, row.reconstruction))
    largest = max((max(p.shape[:2]) for p in pictures if p is not None), default=0)
    tile = min(max(largest, _SMALLEST_TILE), _LARGEST_TILE)
    lines = max((row.verdict is not None) + len(row.caption.splitlines()) for row in rows)
    cell = 3 * tile + 2 * _TILE_GAP, tile + 4 + lines * _LINE_HEIGHT
    step, down = (side + _CELL_GAP for side in cell)
    columns = min((_SHEET_WIDTH - 2 * _MARGIN + _CELL_GAP) // step, len(rows))
    width = max(columns * step - _CELL_GAP, _SHEET_WIDTH // 2 - 2 * _MARGIN)  # Room for the title.
    parts = [_line(title, (width, _HEADING_HEIGHT))] if title else []
    shown = f"image | reconstruction | residual: |image - reconstruction| x {gain:g}"
    parts.append(_line(shown, (width, _HEADING_HEIGHT), _FAINT, _TEXT_SIZE))
    for group, members in groups.items():
        parts.append(_line(f"{group} ({len(members)})", (width, _HEADING_HEIGHT)))
        cells = [_cell(row, cell, tile, gain) for row in members]
        for first in range(0, len(cells), columns):
            line = enumerate(cells[first : first + columns])
            parts.append(_pasted((width, down), [(i * step, 0, each) for i, each in line]))
    *tops, end = itertools.accumulate((part.height for part in parts), initial=_MARGIN)
    size = width + 2 * _MARGIN, end + _MARGIN - _CELL_GAP
    sheet = _pasted(size, [(_MARGIN, y, part) for y, part in zip(tops, parts, strict=True)])
    with atomic_write(path) as temporary:
        sheet.save(temporary, format="PNG")


def _cell(row: SheetRow, size: tuple[int, int], tile: int, gain: float) -> Image.Image:
    """A row's pictures, each in a square of `tile` pixels, and its text under them."""
    residual = row.map
    if residual is None and row.image is not None and row.reconstruction is not None:
        difference = np.abs(np.subtract(row.image, row.reconstruction, dtype=np.float64))
        residual = np.rint(np.minimum(difference * gain, 255)).astype(np.uint8)
    pictures = (row.image, row.reconstruction, residual)
    parts = [(i * (tile + _TILE_GAP), 0, _picture(each, tile)) for i, each in enumerate(pictures)]
    lines = [(line, _TEXT) for line in row.caption.splitlines()]
    if row.verdict is not None:
        lines.insert(0, (row.verdict, _VERDICTS.get(row.verdict, _TEXT)))
    for i, (text, colour) in enumerate(lines):
        line = _line(text, (size[0], _LINE_HEIGHT), colour, _TEXT_SIZE)
        parts.append((0, tile + 4 + i * _LINE_HEIGHT, line))
    return _pasted(size, parts)


def _picture(picture: np.ndarray | None, tile: int) -> Image.Image:
    if picture is None:
        missing, font = Image.new("RGB", (tile, tile), _MISSING), ImageFont.load_default(_TEXT_SIZE)
        ImageDraw.Draw(missing).text((tile // 2, tile // 2), "none", _FAINT, font, anchor="mm")
        return missing
    image = to_pillow(picture).convert("RGB")
    scale = tile / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    resampling = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    resized = image.resize((width, height), resampling)
    return _pasted((tile, tile), [((tile - width) // 2, (tile - height) // 2, resized)])


def _pasted(size: tuple[int, int], parts: Iterable[tuple[int, int, Image.Image]]) -> Image.Image:
    """Parts (x, y, image) on white."""
    whole = Image.new("RGB", size, "white")
    for x, y, part in parts:
        whole.paste(part, (x, y))
    return whole


def _line(
    text: str, size: tuple[int, int], colour: tuple[int, ...] = _TEXT, height: int = _HEADING_SIZE
) -> Image.Image:
    """One line of text, cut to its width with three dots."""
    line, font = Image.new("RGB", size, "white"), ImageFont.load_default(height)
    draw = ImageDraw.Draw(line)
    if draw.textlength(text, font) > size[0]:
        while text and draw.textlength(text + "...", font) > size[0]:
            text = text[:-1]
        text += "..."
    draw.text((0, 0), text, colour, font)
    return line


def _check(row: SheetRow, index: int) -> None:
    for name, picture in (("image", row.image), ("reconstruction", row.reconstruction)):
        if picture is None:
            continue
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3):
            found = f"{picture.dtype} {list(picture.shape)}"
            raise ValueError(f"row {index}: {name} must be uint8 [H, W, 3], got {found}")
        if row.image is not None and picture.shape != row.image.shape:
            shapes = f"{list(row.image.shape)} and {list(picture.shape)}"
            raise ValueError(f"row {index}: image and reconstruction differ in shape, {shapes}")
