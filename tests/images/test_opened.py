"""Whatever stands for an image, opened in one way."""

import hashlib
import io
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jax_origin.images import (
    UNKNOWN_FILE,
    ImageError,
    OpenedImage,
    decode_image,
    edits_alike,
    open_image,
    stored_image,
    stored_pixels,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)


@pytest.fixture
def jpeg(tmp_path) -> pathlib.Path:
    path = tmp_path / "a.jpg"
    Image.fromarray(PIXELS).save(path, quality=90)
    return path


def test_a_path_its_bytes_and_what_was_decoded_are_the_same_image(jpeg):
    decoded = decode_image(jpeg)
    stored = stored_image(jpeg.read_bytes(), decoded)
    sources = (str(jpeg), jpeg, jpeg.read_bytes(), (decoded, stored), stored, open_image(jpeg))
    for source in sources:
        opened = open_image(source, size=(24, 20))
        assert isinstance(opened, OpenedImage)
        assert (opened.stored.kind, opened.size, opened.note) == ("jpeg", (24, 20), None)
        np.testing.assert_array_equal(opened.pixels, decoded.pixels)
        np.testing.assert_array_equal(opened.stored.coefficients[0], stored.coefficients[0])
        if source is not stored:
            assert opened.sha256 == hashlib.sha256(jpeg.read_bytes()).hexdigest()
        path = None if source is stored or isinstance(source, bytes) else str(jpeg)
        assert opened.path == path
        assert open_image(opened) is opened


@pytest.mark.parametrize("array", [PIXELS, PIXELS / 255, jnp.asarray(PIXELS)])
def test_an_array_is_a_lossless_file_or_an_unknown_one(array):
    opened = open_image(array, size=(24, 20))
    assert opened[1:] == (None, None, (24, 20), None)
    np.testing.assert_array_equal(opened.pixels, PIXELS)
    assert (opened.stored.kind, opened.stored.note) == ("pixels", None)
    assert edits_alike(opened.stored, ["clean", "jpeg-75"]) == (("clean",), None)
    unknown = open_image(array, lossless=False)
    assert unknown.stored.note == UNKNOWN_FILE
    assert edits_alike(unknown.stored, ["clean", "jpeg-75"]) == ((), UNKNOWN_FILE)


def test_one_channel(jpeg):
    assert open_image(PIXELS[..., :1], channels=1).stored.colour == "grey"
    opened = open_image(jpeg, channels=1)
    assert opened.pixels.shape == (24, 20, 1)
    assert opened.note == opened.stored.note == "colour converted to grey"


def test_another_size(jpeg):
    with pytest.raises(ImageError, match="is 24x20"):
        open_image(jpeg, size=(8, 8))
    resized = open_image(jpeg, size=(8, 8), resize=True)
    assert (resized.size, resized.note) == (
        (24, 20),
        "of 24x20, taken for an image of 8x8 that was resized",
    )
    assert resized.stored.pixels.shape == (8, 8, 3)
    (stored,) = stored_pixels(PIXELS[None])
    assert open_image(stored, size=(8, 8), resize=True).stored.unscaled is stored.pixels
    for source, resize in ((PIXELS, True), (stored, False)):
        with pytest.raises(ValueError, match=r"the generator makes \(8, 8, 3\)"):
            open_image(source, size=(8, 8), resize=resize)
    with pytest.raises(ValueError, match="the wrong number of channels, the generator makes 3"):
        open_image(PIXELS[..., :1], size=(8, 8), resize=True)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (PIXELS[None], r"must be \[H, W, C\], got shape \[1, 24, 20, 3\]"),
        (PIXELS / 127.5 - 1, r"\[0, 1\], got values from -1 to 1; after tanh, pass \(x \+ 1\) / 2"),
        (b"no image", "image in memory: is not an image"),
        ("missing.png", "no such file"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(source, message):
    with pytest.raises(ValueError, match=message) as caught:
        open_image(source)
    assert "\n" not in str(caught.value)


def test_bytes_of_other_kinds():
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG")
    assert open_image(bytearray(buffer.getvalue())).stored.kind == "pixels"


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_an_image_without_colours_is_taken_for_its_brightness(form):
    grey = np.repeat(PIXELS[..., :1], 3, axis=2)
    for pixels, colour in ((grey, "grey"), (PIXELS, None)):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, form)
        stored = open_image(file.getvalue()).stored
        assert stored.pixels.shape == (24, 20, 3)
        assert (stored.colour == "grey") == (colour == "grey")
        assert len(stored.coefficients) == (form == "JPEG") * (1 if colour else 3)
    (arrays,) = [open_image(grey).stored.to_arrays()]
    assert not arrays.row_weights[1:].any() and arrays.row_weights[0].any()
    assert open_image(np.full((8, 8, 3), 7, np.uint8)).stored.colour == "rgb"
