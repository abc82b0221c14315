"""A lossless file of a decoded JPEG's pixels has the JPEG's own set."""

import io

import numpy as np
import pytest
from PIL import Image

from jax_origin.images import (
    decode_bytes,
    edit_images,
    edits_alike,
    photograph_crops,
    stored_image,
    stored_pixels,
)
from jax_origin.images.jpeg import read_jpeg
from jax_origin.images.jpeg_recovered import recovered_jpeg
from jax_origin.images.jpeg_traces import ijg_tables


@pytest.fixture(scope="module")
def photographs():
    """In colour."""
    crops, names = photograph_crops(20, (32, 32), seed=5, part="demonstration")
    return [
        crop for crop, name in zip(crops, names, strict=True) if (crop.std(axis=2) > 3).mean() > 0.5
    ]


def encoded(pixels, format_, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format_, **options)
    return file.getvalue()


def opened(data, **options):
    return stored_image(data, decode_bytes(data, path="a file", **options))


def decoded(data) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_the_tables_are_those_that_pillow_writes():
    for quality in (1, 25, 49, 50, 75, 92, 100):
        data = encoded(np.zeros((16, 16, 3), np.uint8), "JPEG", quality=quality)
        written = [part.table for part in read_jpeg(data, path="a.jpg").components]
        np.testing.assert_array_equal(ijg_tables(quality)[[0, 1, 1]], written)


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [30, 60, 75])
def test_the_coefficients_are_found(photographs, quality, sampling):
    assert len(photographs) > 5
    for pixels in photographs:
        data = encoded(pixels, "JPEG", quality=quality, subsampling=sampling)
        found = recovered_jpeg(decoded(data), quality)
        assert found is not None
        written = read_jpeg(data, path="a.jpg")
        assert found[:3] == written[:3]
        for ours, theirs in zip(found.components, written.components, strict=True):
            assert ours.averaged == theirs.averaged
            np.testing.assert_array_equal(ours.table, theirs.table)
            np.testing.assert_array_equal(ours.coefficients, theirs.coefficients)


def test_colours_that_were_cut_off_are_found_by_the_others(photographs):
    pixels = np.clip(photographs[0].astype(np.float64) * 2 - 100, 0, 255).astype(np.uint8)
    data = encoded(pixels, "JPEG", quality=75)
    assert np.isin(decoded(data), (0, 255)).mean() > 0.02
    found = recovered_jpeg(decoded(data), 75)
    for ours, theirs in zip(found.components, read_jpeg(data, path="").components, strict=True):
        assert np.mean(ours.coefficients != theirs.coefficients) < 0.01


def test_blocks_that_reach_beyond_the_image_are_left_out(photographs):
    pixels = np.tile(photographs[0], (2, 2, 1))[:45, :61]
    data = encoded(pixels, "JPEG", quality=75, subsampling="4:2:0")
    found = recovered_jpeg(decoded(data), 75)
    luma, *chroma = (part.coefficients for part in found.components)
    assert (luma.shape, chroma[0].shape) == ((32, 48), (16, 24))
    for ours, theirs in zip(found.components, read_jpeg(data, path="").components, strict=True):
        height, width = ours.coefficients.shape
        np.testing.assert_array_equal(ours.coefficients, theirs.coefficients[:height, :width])
    arrays = opened(encoded(decoded(data), "PNG")).to_arrays()
    assert arrays.middles.shape == (3, 48, 64)
    assert recovered_jpeg(pixels[:7, :9], 75) is None


@pytest.mark.parametrize("quality", [30, 75, 92, 96])
def test_images_that_never_were_jpegs_are_none(photographs, quality):
    others = edit_images(np.stack(photographs[:4]), "jpeg-60")
    for pixels in (*photographs[:4], *(others if quality != 30 else ())):
        assert recovered_jpeg(pixels, quality) is None


def test_pixels_of_another_decoder_that_are_near_count(photographs):
    data = encoded(photographs[0], "JPEG", quality=75)
    pixels = decoded(data).copy()
    pixels[4::8, 4::8, 1] ^= 1  # 1 value in 192
    found = recovered_jpeg(pixels, 75)
    for ours, theirs in zip(found.components, read_jpeg(data, path="").components, strict=True):
        np.testing.assert_array_equal(ours.coefficients, theirs.coefficients)
    pixels[::2, ::2] ^= 1
    assert recovered_jpeg(pixels, 75) is None


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"subsampling": "4:2:0"}),
        ("RGB", {"subsampling": "4:2:2"}),
        ("RGB", {"subsampling": "4:4:4"}),
        ("L", {}),
    ],
)
def test_a_png_of_a_decoded_jpeg_has_the_set_of_the_jpeg(photographs, mode, options):
    pixels = np.asarray(Image.fromarray(photographs[0]).convert(mode))
    jpeg = encoded(pixels, "JPEG", quality=75, **options)
    png = encoded(decoded(jpeg), "PNG")
    for channels in (3, 1) if mode == "L" else (3,):
        wanted, found = (opened(data, channels=channels) for data in (jpeg, png))
        assert (found.kind, found.note, found.found_in) == ("jpeg", None, "its pixels")
        assert (wanted.colour, wanted.found_in) == (found.colour, None)
        for ours, theirs in zip(found.to_arrays(), wanted.to_arrays(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        edits = ["clean", "jpeg-90", "jpeg-75", "jpeg-50"]
        assert edits_alike(found, edits) == edits_alike(wanted, edits)


def test_pixels_in_memory_likewise(photographs):
    (found,) = stored_pixels(edit_images(photographs[0][None], "jpeg-75"))
    assert (found.kind, found.found_in) == ("jpeg", "its pixels")
    (found,) = stored_pixels(photographs[0][None])
    assert (found.kind, found.found_in) == ("pixels", None)
