"""What is known of an image from the way its file stores it."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from jax_origin.images import (
    Stored,
    decode_bytes,
    stack_stored,
    stored_image,
    stored_pixels,
)

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (24, 20, 3), dtype=np.uint8)
TURNED = Image.Exif()
TURNED[0x0112] = 6
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def stored(format_: str, mode: str = "RGB", *, size=None, **options) -> Stored:
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).convert(mode).save(buffer, format=format_, **options)
    data = buffer.getvalue()
    return stored_image(data, decode_bytes(data, path="a file", size=size, resize=True))


@pytest.mark.parametrize(
    ("format_", "mode", "options"),
    [
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "RGB", {"exif": TURNED}),
        ("PNG", "RGB", {"icc_profile": SRGB}),
        ("BMP", "RGB", {}),
        ("PPM", "RGB", {}),
        ("TIFF", "RGB", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGB", {"lossless": True, "exif": TURNED}),
        ("PNG", "L", {}),
        ("PNG", "LA", {}),
    ],
)
def test_a_lossless_file_is_a_box_around_its_pixels(format_, mode, options):
    found = stored(format_, mode, **options)
    assert (found.kind, found.note) == ("pixels", None)
    assert found.colour == ("rgb" if mode.startswith("RGB") else "grey")


@pytest.mark.parametrize(
    ("mode", "options", "colour", "averaged"),
    [
        ("RGB", {"subsampling": "4:2:0"}, "ycbcr", ((1, 1), (2, 2), (2, 2))),
        ("RGB", {"subsampling": "4:2:2", "progressive": True}, "ycbcr", ((1, 1), (1, 2), (1, 2))),
        ("RGB", {"subsampling": "4:4:4", "optimize": True}, "ycbcr", ((1, 1),) * 3),
        ("RGB", {"keep_rgb": True}, "rgb", ((1, 1),) * 3),
        ("RGB", {"icc_profile": SRGB}, "ycbcr", ((1, 1), (2, 2), (2, 2))),
        ("L", {}, "grey", ((1, 1),)),
    ],
)
def test_a_jpeg_file_is_a_box_around_its_coefficients(mode, options, colour, averaged):
    found = stored("JPEG", mode, **options)
    assert (found.kind, found.note) == ("jpeg", None)
    assert (found.colour, found.averaged) == (colour, averaged)
    assert len(found.coefficients) == len(found.tables) == len(averaged)
    assert all(values.dtype == np.int16 for values in found.coefficients)
    assert found.pixels.shape == COLOUR.shape


@pytest.mark.parametrize(
    ("format_", "options", "note"),
    [
        ("JPEG", {"exif": TURNED}, "EXIF orientation"),
        ("JPEG", {"icc_profile": LAB}, "colour profile other than sRGB"),
        ("JPEG", {"size": (16, 16)}, "resized from 24x20"),
        ("WEBP", {"size": (16, 16)}, "resized from 24x20"),
        ("WEBP", {"exif": TURNED}, "lossy WebP"),
        ("TIFF", {"compression": "jpeg"}, "lossy TIFF"),
        ("PNG", {"mode": "P"}, "palette"),
        ("PNG", {"mode": "1"}, "palette"),
        ("GIF", {"mode": "P"}, "palette"),
    ],
)
def test_any_other_file_is_taken_for_its_pixels_and_says_why(format_, options, note):
    found = stored(format_, **options)
    assert found.kind == "pixels"
    assert note in found.note


def test_chroma_averaged_over_more_is_taken_for_its_pixels():
    buffer = io.BytesIO()
    Image.fromarray(COLOUR[:16, :16].repeat(2, 1)).save(buffer, "JPEG", subsampling="4:2:0")
    data = buffer.getvalue().replace(b"\x03\x01\x22\x00", b"\x03\x01\x41\x00")
    found = stored_image(data, decode_bytes(data, path="a file"))
    assert (found.kind, found.note) == ("pixels", "JPEG with chroma averaged over (1, 4) pixels")


def test_a_jpeg_file_with_damaged_codes_is_taken_for_its_pixels():
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "JPEG", restart_marker_blocks=1)
    data = buffer.getvalue().replace(b"\xff\xd1", b"\xff\xd2", 1)
    found = stored_image(data, decode_bytes(data, path="a file"))
    assert found.kind == "pixels"
    assert "coefficients that cannot be read" in found.note


def test_arrays_have_the_same_shapes_whatever_the_file():
    files = [
        stored("PNG"),
        stored("PNG", "L"),
        stored("JPEG", "L"),
        stored("JPEG", keep_rgb=True),
        *(stored("JPEG", subsampling=s) for s in ("4:4:4", "4:2:2", "4:2:0")),
    ]
    stacked = stack_stored([file.to_arrays() for file in files])
    assert stacked.middles.shape == (7, 3, 32, 32)
    assert all(len(array) == 7 for array in stacked)
    # As many numbers count as are stored, and their weights make a mean.
    weights = stacked.row_weights[..., None] * stacked.column_weights[:, :, None]
    counts = (weights > 0).sum((2, 3))
    assert counts.tolist() == [
        [480, 480, 480],
        [480, 0, 0],
        [576, 0, 0],
        [576, 576, 576],
        [576, 576, 576],
        [576, 24 * 16, 24 * 16],
        [576, 16 * 16, 16 * 16],
    ]
    assert np.allclose(weights.sum((1, 2, 3)), [1, 1, 1, 1, 3, 3, 3])


def test_images_in_memory_are_boxes_around_their_rounded_values():
    (found,) = stored_pixels(COLOUR[None] / np.float32(255))
    assert np.array_equal(found.pixels, COLOUR)
    assert (found.kind, found.colour) == ("pixels", "rgb")
    assert stored_pixels(COLOUR[None, ..., :1])[0].colour == "grey"
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        stored_pixels(COLOUR[None, ..., :2])


def grey_file(format_: str, mode: str = "L", **options) -> Stored:
    """A file read for a generator of one channel."""
    buffer = io.BytesIO()
    image = Image.fromarray(COLOUR)
    image = image if mode == "colour" else image.convert("L").convert(mode)
    image.save(buffer, format=format_, **options)
    data = buffer.getvalue()
    return stored_image(data, decode_bytes(data, path="a file", channels=1))


def test_a_grey_jpeg_is_the_same_set_for_one_channel_and_three():
    one, three = grey_file("JPEG"), stored("JPEG", "L")
    assert (one.kind, one.colour, one.note) == ("jpeg", "grey", None)
    assert one.pixels.shape == (24, 20, 1)
    for a, b in zip(one.to_arrays(), three.to_arrays(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_a_jpeg_of_equal_colours_is_its_luma_for_one_channel(subsampling):
    found = grey_file("JPEG", "RGB", subsampling=subsampling)
    assert (found.kind, found.colour, found.note) == ("jpeg", "grey", None)
    np.testing.assert_array_equal(found.coefficients[0], grey_file("JPEG").coefficients[0])
    assert len(found.coefficients) == len(found.tables) == len(found.averaged) == 1


@pytest.mark.parametrize(
    ("format_", "mode", "options", "note"),
    [
        ("PNG", "L", {}, None),
        ("PNG", "RGB", {}, None),
        ("PNG", "colour", {}, "colour converted to grey"),
        ("JPEG", "colour", {}, "colour converted to grey"),
        ("JPEG", "RGB", {"keep_rgb": True}, "JPEG of red, green and blue read as grey"),
    ],
)
def test_other_files_for_one_channel(format_, mode, options, note):
    found = grey_file(format_, mode, **options)
    assert (found.kind, found.colour, found.note) == ("pixels", "grey", note)
    assert found.pixels.shape == (24, 20, 1)
