"""Pixels of JPEG files that were decoded, and pixels that never were."""

import io

import numpy as np
import pytest
from PIL import Image

from jax_origin.images import (
    edit_images,
    edits_alike,
    photograph_crops,
    plain_images,
    stored_pixels,
)
from jax_origin.images.jpeg_traces import jpeg_quality


@pytest.fixture(scope="module")
def photographs():
    return photograph_crops(40, (32, 32), seed=5, part="demonstration")[0]


def test_images_that_never_were_jpegs_have_no_traces(photographs):
    plain, _ = plain_images(140, (32, 32), seed=0)
    for edit in ("clean", "webp-80", "resize-0.5", "noise-2", "blur-1"):
        assert not any(map(jpeg_quality, edit_images(photographs, edit))), edit
    assert not any(map(jpeg_quality, plain))
    assert jpeg_quality(photographs[0][:7, :7]) is None


@pytest.mark.parametrize("quality", [95, 90, 75, 50, 30])
def test_the_quality_is_found(photographs, quality):
    found = [jpeg_quality(pixels) for pixels in edit_images(photographs, f"jpeg-{quality}")]
    assert np.mean([each == quality for each in found]) >= 0.85
    grey = edit_images(photographs[:10, ..., :1], f"jpeg-{quality}")
    assert np.mean([jpeg_quality(pixels) == quality for pixels in grey]) >= 0.7


def test_blocks_that_begin_elsewhere_are_not_seen(photographs):
    """What it does not know: a JPEG that was cut off its grid. Such a one counts as lossless."""
    found = [jpeg_quality(pixels[3:27, 5:29]) for pixels in edit_images(photographs, "jpeg-75")]
    assert not any(found)


def test_a_file_whose_jpeg_is_not_found_is_unlike_any_that_was_calibrated(photographs):
    """A decoder that repeats chroma, and does not interpolate it, leaves other pixels."""
    file = io.BytesIO()
    Image.fromarray(photographs[0]).save(file, "JPEG", quality=75, subsampling="4:2:0")
    with Image.open(file) as image:
        luma, *chroma = np.moveaxis(np.asarray(image.convert("YCbCr")), 2, 0)
    planes = [luma, *(plane[::2, ::2].repeat(2, 0).repeat(2, 1) for plane in chroma)]
    decoded = np.asarray(Image.fromarray(np.stack(planes, axis=2), "YCbCr").convert("RGB"))
    (stored,) = stored_pixels(decoded[None])
    assert stored.note == "a lossless file with the pixels of a JPEG of quality 75"
    found = edits_alike(stored, ["clean", "jpeg-75"])
    assert found == ((), "a lossless file with the pixels of a JPEG of quality 75")
