"""Borders of one colour around images."""

import io

import numpy as np
import pytest
from PIL import Image

from jax_origin.images import ImageError, open_image, stored_pixels
from jax_origin.images.borders import without_borders

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)


def framed(image, top, below, left, right, colour=(0, 0, 0)):
    height, width, _ = image.shape
    canvas = np.empty((top + height + below, left + width + right, 3), np.uint8)
    canvas[...] = colour
    canvas[top : top + height, left : left + width] = image
    return canvas


def written(pixels, form="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "borders", [(4, 4, 0, 0), (0, 0, 10, 10), (3, 4, 1, 2), (9, 0, 0, 5)], ids=str
)
def test_borders_are_cut_away(borders):
    opened = open_image(written(framed(IMAGE, *borders, colour=(255, 250, 3))), size=(32, 32))
    np.testing.assert_array_equal(opened.pixels, IMAGE)
    assert opened.size == (32 + sum(borders[:2]), 32 + sum(borders[2:]))
    assert opened.note.startswith("borders of one colour cut away, pixels: ")
    named = zip(borders, ("above", "below", "on the left", "on the right"), strict=True)
    for count, side in named:
        assert (f"{count} {side}" in opened.note) == (count > 0)
    assert opened.stored.kind == "pixels" and opened.stored.surroundings is None


def test_an_image_whose_edge_has_the_borders_colour_is_the_middle():
    image = IMAGE.copy()
    image[:3] = image[-2:] = 0
    np.testing.assert_array_equal(
        open_image(written(framed(image, 5, 5, 0, 0)), size=(32, 32)).pixels, image
    )


def test_a_jpegs_borders_are_whole_blocks():
    options = {"quality": 90, "subsampling": "4:4:4"}
    smooth = np.kron(RNG.integers(40, 215, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    opened = open_image(written(framed(smooth, 16, 16, 0, 0), "JPEG", **options), size=(32, 32))
    assert opened.stored.kind == "jpeg" and opened.pixels.shape == (32, 32, 3)
    assert {plane.shape for plane in opened.stored.coefficients} == {(32, 32)}
    with pytest.raises(ImageError, match="40x32"):
        open_image(written(framed(smooth, 4, 4, 0, 0), "JPEG", **options), size=(32, 32))


def test_other_files_are_as_they_were():
    noise = RNG.integers(0, 256, (40, 32, 3), dtype=np.uint8)
    with pytest.raises(ImageError, match="40x32"):
        open_image(written(noise), size=(32, 32))
    resized = open_image(written(noise), size=(32, 32), resize=True)
    assert resized.note and "borders" not in resized.note
    assert without_borders(stored_pixels(noise[None])[0], (32, 32)) is None
    wall = np.full((40, 32, 3), 7, np.uint8)
    assert without_borders(stored_pixels(wall[None])[0], (32, 32)) is None
    # A wall with a small picture on it is no framed picture.
    with pytest.raises(ImageError, match="is 128x128"):
        open_image(written(framed(IMAGE, 48, 48, 48, 48)), size=(32, 32))
