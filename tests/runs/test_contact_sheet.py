"""A sheet shows what it is given."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jax_origin.runs import SheetRow, sheet_row, write_contact_sheet

GREEN, RED, AMBER = (18, 120, 60), (190, 30, 45), (176, 104, 0)


def row(image=200, reconstruction=190, *, size=(32, 32), verdict="belongs", group="generated"):
    images = [
        None if level is None else np.full((*size, 3), level, np.uint8)
        for level in (image, reconstruction)
    ]
    return SheetRow(*images, caption="loss 1.2e-3", verdict=verdict, group=group)


def sheet(path: Path, rows, **options) -> np.ndarray:
    write_contact_sheet(path, rows, **options)
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def has_colour(pixels: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool(np.any(np.all(pixels == colour, axis=-1)))


def area(pixels: np.ndarray, level: int) -> int:
    return int(np.all(pixels == level, axis=-1).sum())


def test_image_reconstruction_and_residual_stand_side_by_side(tmp_path: Path):
    pixels = sheet(tmp_path / "sheet.png", [row(200, 190)])
    line = next(line for line in pixels[:, :, 0] if (line == 200).sum() == 96)
    for level in (200, 190, 80):  # The residual is 8 times the difference.
        assert (line == level).sum() == 96
    assert [line.tolist().index(level) for level in (200, 190, 80)] == [16, 116, 216]


@pytest.mark.parametrize(("gain", "level"), [(1, 10), (4.5, 45), (100, 255)])
def test_the_residual_is_multiplied_and_clipped(tmp_path: Path, gain, level):
    pixels = sheet(tmp_path / "sheet.png", [row(150, 160)], gain=gain)
    assert area(pixels, level) >= 96 * 96


def test_small_images_are_enlarged_by_repeating_pixels(tmp_path: Path):
    image = np.zeros((8, 8, 3), np.uint8)
    image[::2, ::2] = 77
    pixels = sheet(tmp_path / "sheet.png", [SheetRow(image, image, "", None, "g")])
    assert area(pixels, 77) == 2 * 16 * 12 * 12


@pytest.mark.parametrize(
    ("verdict", "colour"), [("belongs", GREEN), ("not_recognised", RED), ("undecided", AMBER)]
)
def test_a_verdict_has_its_colour(tmp_path: Path, verdict, colour):
    pixels = sheet(tmp_path / "sheet.png", [row(verdict=verdict)])
    assert [has_colour(pixels, c) for c in (GREEN, RED, AMBER)] == [
        c == colour for c in (GREEN, RED, AMBER)
    ]


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (128, 96), (64, 256), (300, 300)])
def test_sheets_are_no_wider_than_1400_pixels(tmp_path: Path, size):
    pixels = sheet(tmp_path / "sheet.png", [row(size=size) for _ in range(9)], title="t" * 500)
    assert pixels.shape[1] <= 1400
    one = sheet(tmp_path / "one.png", [row(size=size)])
    assert pixels.shape[0] > one.shape[0]


def test_groups_have_their_own_lines(tmp_path: Path):
    together = sheet(tmp_path / "a.png", [row(), row()])
    apart = sheet(tmp_path / "b.png", [row(), row(group="photographs")])
    assert apart.shape[0] > together.shape[0] + 96


def test_missing_images_leave_an_empty_place(tmp_path: Path):
    rows = [row(None, None, verdict="error"), row(200, None), row(200, 190, verdict=None)]
    pixels = sheet(tmp_path / "sheet.png", rows)
    assert area(pixels, 225) > 5 * 96 * 96 * 0.9
    assert area(pixels, 200) == pytest.approx(2 * 96 * 96, abs=20)  # Letters have edges.
    assert sheet(tmp_path / "none.png", rows[:1]).size


def test_grey_images_and_long_captions_fit(tmp_path: Path):
    image = np.full((32, 32, 1), 60, np.uint8)
    rows = [SheetRow(image, image, "a very long name of a file / " * 9 + "\nü", "belongs", "g")]
    pixels = sheet(tmp_path / "sheet.png", rows)
    assert area(pixels, 60) >= 2 * 96 * 96
    assert np.all(pixels[-150:, 16 + 296 :] == 255)  # The caption ends with its cell.


def test_the_sheet_is_written_whole_and_its_folder_made(tmp_path: Path):
    path = tmp_path / "new" / "sheet.png"
    write_contact_sheet(path, [row()])
    assert os.listdir(path.parent) == ["sheet.png"]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "at least one row"),
        ([row()], {"gain": 0}, "gain must be above 0"),
        ([row(), SheetRow(np.zeros((8, 8, 3)), None, "", None, "")], {}, "row 1: image must be"),
        (
            [SheetRow(np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8, 3), np.uint8), "", None, "")],
            {},
            "row 0: image and reconstruction differ in shape",
        ),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, rows, options, message):
    with pytest.raises(ValueError, match=message):
        write_contact_sheet(tmp_path / "sheet.png", rows, **options)
    assert not os.listdir(tmp_path)


def test_an_image_that_could_not_be_examined_is_shown_with_its_name_and_reason(tmp_path: Path):
    path = tmp_path / "wide.png"
    Image.new("RGB", (40, 10), (7, 8, 9)).save(path)
    reason = "is 10x40 (HxW), the generator makes 8x8"
    record = {"path": str(path), "verdict": None, "loss": None, "sha256": None, "error": reason}
    shown = sheet_row(record, tmp_path / "none.png", image_shape=(8, 8, 3))
    assert shown.caption == f"wide.png\n{reason}" and shown.image.shape == (10, 40, 3)
    path.write_text("no image")
    assert sheet_row(record, tmp_path / "none.png", image_shape=(8, 8, 3)).image is None
