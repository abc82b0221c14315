"""The JPEG that an image was before it became another one is found in the file's coefficients."""

import io

import numpy as np
import pytest
from PIL import Image

from jax_origin.images import open_image, photograph_crops, plain_images, stored_images
from jax_origin.images.jpeg import read_jpeg
from jax_origin.images.jpeg_twice import jpeg_before


@pytest.fixture(scope="module")
def pictures():
    """Crops of photographs, uint8 [8, 48, 64, 3]."""
    return photograph_crops(8, (48, 64), seed=2, part="demonstration")[0]


def written(pixels, quality, subsampling="4:2:0"):
    file, grey = io.BytesIO(), pixels.shape[2] == 1
    options = {"quality": quality} | ({} if grey else {"subsampling": subsampling})
    Image.fromarray(pixels[..., 0] if grey else pixels).save(file, "JPEG", **options)
    return file.getvalue()


def decoded(data):
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    return pixels if pixels.ndim == 3 else pixels[..., None]


@pytest.mark.parametrize("qualities", [(60, 90), (60, 75), (75, 95), (85, 95), (30, 80)])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4", "4:2:2", "grey"])
def test_the_first_of_two_is_found(pictures, qualities, subsampling):
    shares = []
    for pixels in pictures:
        pixels = pixels[..., :1] if subsampling == "grey" else pixels
        first = written(pixels, qualities[0], subsampling)
        second = written(decoded(first), qualities[1], subsampling)
        wanted, found = (
            read_jpeg(first, path="first"),
            jpeg_before(read_jpeg(second, path="second")),
        )
        if found is None:
            shares.append(0.0)
            continue
        for ours, theirs in zip(found.components, wanted.components, strict=True):
            assert ours.averaged == theirs.averaged
            np.testing.assert_array_equal(ours.table, theirs.table)
            shares.append(np.mean(ours.coefficients == theirs.coefficients))
    assert np.mean(np.array(shares) > 0.99) >= 0.7


@pytest.mark.parametrize("quality", [95, 90, 80, 75, 60, 40, 20])
def test_a_jpeg_that_was_none_before_shows_none(pictures, quality):
    plain = plain_images(24, (48, 64), seed=0)[0]
    for pixels in [*pictures, *plain]:
        assert jpeg_before(read_jpeg(written(pixels, quality), path="one")) is None


@pytest.mark.parametrize("qualities", [(90, 60), (75, 75)])
def test_a_finer_one_before_is_not_looked_for(pictures, qualities):
    for pixels in pictures:
        second = written(decoded(written(pixels, qualities[0])), qualities[1])
        assert jpeg_before(read_jpeg(second, path="second")) is None


def test_a_file_is_taken_for_the_first(pictures):
    coloured = next(pixels for pixels in pictures if np.ptp(pixels, axis=2).any())
    second = written(decoded(written(coloured, 60)), 90)
    stored = open_image(second).stored
    (wanted,) = stored_images(coloured[None], "jpeg-60")
    assert (stored.kind, stored.found_in, stored.note) == ("jpeg", "its coefficients", None)
    np.testing.assert_array_equal(stored.tables, wanted.tables)
    np.testing.assert_array_equal(stored.pixels, decoded(second))
