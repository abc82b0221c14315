"""Images written are the images read."""

import os
from pathlib import Path

import numpy as np
import pytest

from jax_origin.images import decode_image, save_png

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)


def test_round_trip_in_a_new_folder(tmp_path: Path):
    path = tmp_path / "new" / "image.png"
    save_png(path, PIXELS)
    np.testing.assert_array_equal(decode_image(path).pixels, PIXELS)
    save_png(path, PIXELS[:, ::-1])
    np.testing.assert_array_equal(decode_image(path).pixels, PIXELS[:, ::-1])
    assert os.listdir(path.parent) == ["image.png"]


@pytest.mark.parametrize("pixels", [PIXELS[..., :1], PIXELS[..., 0]])
def test_grey(tmp_path: Path, pixels):
    save_png(tmp_path / "grey.png", pixels)
    decoded = decode_image(tmp_path / "grey.png")
    np.testing.assert_array_equal(decoded.pixels, np.dstack([PIXELS[..., 0]] * 3))


@pytest.mark.parametrize(
    "wrong", [PIXELS / 255, PIXELS[None], PIXELS[..., :2], PIXELS[:0], PIXELS[0, 0]]
)
def test_what_is_no_image_is_refused_and_nothing_is_written(tmp_path: Path, wrong):
    with pytest.raises(ValueError, match="pixels must be uint8"):
        save_png(tmp_path / "image.png", wrong)
    assert not os.listdir(tmp_path)
