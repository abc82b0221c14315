"""Files of another size than the images that they are taken for."""

import dataclasses
import io

import jax
import numpy as np
import pytest
from PIL import Image

from jax_origin.distances import FileSet
from jax_origin.images import (
    Placing,
    Rescaling,
    as_float,
    as_part,
    edits_alike,
    open_image,
    photograph_crops,
    rescaled,
    rescaled_words,
    shows_detail,
    stack_stored,
    stored_images,
    stored_pixels,
)
from jax_origin.images.resizing import ENLARGING, find_rescalings

PILLOW = {
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
MADE = (32, 48)


@pytest.fixture(scope="module")
def pictures():
    """Pictures of photographs, uint8 [6, 32, 48, 3], with little black and white."""
    crops, _ = photograph_crops(6, MADE, seed=0, part="demonstration")
    return (0.7 * crops + 40).round().astype(np.uint8)


def written(pixels, size, by, form="PNG", **options):
    """A file of a picture, resized to (h, w)."""
    file, grey = io.BytesIO(), pixels.shape[2] == 1
    image = Image.fromarray(pixels[..., 0] if grey else pixels)
    image.resize(size[::-1], PILLOW[by]).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("by", PILLOW)
@pytest.mark.parametrize("size", [(41, 60), (128, 192), (24, 36), (64, 48)])
def test_the_map_is_what_pillow_does(pictures, by, size):
    rows, columns = Rescaling(MADE, by).matrices(size)
    assert rows.shape == (size[0], 32) and columns.shape == (size[1], 48)
    made = (rows @ pictures[0].transpose(2, 0, 1) @ columns.T).transpose(1, 2, 0).clip(0, 255)
    image = Image.fromarray(pictures[0]).resize(size[::-1], PILLOW[by])
    assert np.abs(made - np.asarray(image)).max() < 2.5


@pytest.mark.outer
@pytest.mark.parametrize("size", [(41, 60), (128, 192)])
def test_the_sharp_filter_is_pytorchs(pictures, size):
    torch = pytest.importorskip("torch")
    seen = torch.from_numpy(pictures[:1].transpose(0, 3, 1, 2).astype(np.float32))
    wanted = torch.nn.functional.interpolate(seen, size, mode="bicubic", align_corners=False)
    rows, columns = Rescaling(MADE, "sharp bicubic").matrices(size)
    made = np.einsum("ij,njwc,vw->nciv", rows, pictures[:1], columns)
    np.testing.assert_allclose(made, wanted.numpy(), atol=2e-3)


@pytest.mark.parametrize("by", PILLOW)
@pytest.mark.parametrize(
    "size", [(41, 61), (64, 96), pytest.param((128, 192), marks=pytest.mark.outer)]
)
def test_the_filter_is_found(pictures, by, size):
    found = 0
    for pixels in pictures:
        opened = open_image(written(pixels, size, by))
        assert find_rescalings(opened.pixels, MADE)[0] == (MADE, by)
        lossy = open_image(written(pixels, size, by, "JPEG", quality=85))
        found += (MADE, by) in find_rescalings(lossy.pixels, MADE, lossy=True)
    assert found == len(pictures)


@pytest.mark.parametrize("by", ["bicubic", "lanczos"])
@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((50, 75), {"quality": 60}),
        ((50, 75), {"form": "WEBP", "quality": 60}),
        ((24, 36), None),
        pytest.param((41, 61), {"quality": 85}, marks=pytest.mark.outer),
        pytest.param((64, 96), {"quality": 90, "subsampling": "4:4:4"}, marks=pytest.mark.outer),
        pytest.param((128, 192), {"quality": 75}, marks=pytest.mark.outer),
        pytest.param((128, 192), {"form": "WEBP", "quality": 80}, marks=pytest.mark.outer),
        pytest.param((100, 150), {"quality": 95, "subsampling": "4:2:2"}, marks=pytest.mark.outer),
        pytest.param((90, 134), None, marks=pytest.mark.outer),
    ],
)
@pytest.mark.parametrize("channels", [3, pytest.param(1, marks=pytest.mark.outer)])
def test_the_image_is_in_the_set_and_another_is_not(pictures, size, options, by, channels):
    form = {"form": "PNG"} if options is None else {"form": "JPEG", **options}
    distance, inside, outside = FileSet(), [], []
    for pixels, other in zip(pictures, pictures[::-1], strict=True):
        data = written(pixels[..., :channels], size, by, **form)
        stored = open_image(data, size=MADE, channels=channels, resize=True).stored
        assert stored.pixels.shape == (*MADE, channels) and stored.unscaled.shape[:2] == size
        (reading,) = (one for one in stored.readings() if one.resizing.by == by)
        targets = stack_stored([distance.target(reading)] * 2)
        both = as_float(np.stack([pixels[..., :channels], other[..., :channels]]))
        near, far = distance.l2(both, targets)
        inside.append(float(near))
        outside.append(float(far))
    assert max(inside) < 2e-6 and min(outside) > 1e-3


def test_files_of_nearly_one_size_share_their_arrays(pictures):
    shapes = {
        tuple(part.shape for part in reading.to_arrays())
        for side in (50, 57, 64)
        for reading in open_image(
            written(pictures[0], (side, 96 - side % 2), "bicubic"), size=MADE, resize=True
        ).stored.readings()
    }
    assert len(shapes) == 1


def test_what_is_read_is_said(pictures):
    opened = open_image(written(pictures[0], (64, 96), "lanczos"), size=MADE, resize=True)
    assert opened.note == "of 64x96, taken for an image of 32x48 that was resized"
    assert rescaled_words(opened.stored)[0] == "enlarged from 32x48 (lanczos)"
    smaller = open_image(written(pictures[0], (24, 36), "lanczos"), size=MADE, resize=True)
    assert len(rescaled_words(smaller.stored)) == len(ENLARGING)
    assert all(words.startswith("reduced from 32x48") for words in rescaled_words(smaller.stored))
    assert rescaled_words(open_image(pictures[0]).stored) == ()


@pytest.mark.parametrize("size", [(129, 192), (15, 24), (32, 200)])
def test_far_other_sizes_are_resized_themselves(pictures, size):
    opened = open_image(written(pictures[0], size, "bicubic"), size=MADE, resize=True)
    assert opened.stored.unscaled is None and opened.note.startswith("resized from")
    assert rescaled(open_image(written(pictures[0], size, "bicubic")).stored, MADE) is None


def test_a_smaller_jpeg_says_less_than_any_that_was_calibrated(pictures):
    data = written(pictures[0], (24, 36), "lanczos", "JPEG", quality=90)
    stored = open_image(data, size=MADE, resize=True).stored
    assert stored.unscaled.shape == (24, 36, 3)
    unlike = "a lossy file of an image that was reduced to 24x36"
    assert edits_alike(stored, ["clean", "jpeg-90"]) == (("jpeg-90",), unlike)


@pytest.mark.parametrize(
    ("kept", "size", "by"),
    [
        ((28, 40), (28, 40), None),
        ((28, 48), (28, 48), None),
        ((27, 40), (32, 48), "bicubic"),
        ((24, 36), (32, 48), "lanczos"),
        ((27, 40), (64, 96), "bilinear"),
    ],
)
def test_a_part_is_known_by_what_its_file_shows(pictures, kept, size, by):
    """Its set is what a file of the part is in; `pixels` have the part in the middle."""
    picture = max(pictures, key=lambda pixels: np.ptp(pixels, axis=2).any() * pixels.std())
    way = Placing(MADE, kept, by)
    (top, left), (height, width) = way.before, kept
    part = picture[top : top + height, left : left + width]
    if by is not None:
        part = np.asarray(Image.fromarray(part).resize(size[::-1], PILLOW[by]))
    found = as_part(stored_pixels(part[None])[0], MADE)
    assert found.resizing == way and found.says == part.size
    middle = found.pixels[top : top + height, left : left + width].astype(int)
    limit = 1e-9 if by is None else 6
    assert np.abs(middle - picture[top : top + height, left : left + width]).mean() < limit
    assert (found.pixels[0] == found.pixels[top]).all()
    distance = FileSet()
    target = jax.tree.map(lambda each: each[None], distance.target(found))
    assert float(distance.value(as_float(picture[None]), target)[0]) < 1e-6
    assert float(distance.value(as_float(picture[None, ::-1]), target)[0]) > 1e-4


def test_pixels_that_tell_nothing_are_brought_to_the_size(pictures):
    """As their file would be; such an image is undecided, and ends no run."""
    (known,) = stored_pixels(pictures[:1, :28])
    stored = dataclasses.replace(known, note="it is not known")
    opened = open_image(stored, size=MADE, resize=True)
    assert opened.pixels.shape == (*MADE, 3) and opened.stored.unscaled is None
    assert opened.note == opened.stored.note == "resized from 28x48 after decoding"
    whole = dataclasses.replace(stored_pixels(pictures[:1])[0], note="it is not known")
    assert open_image(whole, size=MADE, resize=True).stored is whole
    with pytest.raises(ValueError, match="resize them"):
        open_image(stored, size=MADE)


def test_what_is_no_part_is_taken_for_none(pictures):
    whole = stored_pixels(pictures[:1])[0]
    assert as_part(whole, MADE) is None
    flat = stored_pixels(np.full((1, *MADE, 3), 90, np.uint8))[0]
    assert as_part(flat, MADE) is None  # All sizes fit.
    assert as_part(stored_pixels(pictures[:1, :17])[0], MADE) is None  # Too little of it.
    note = dataclasses.replace(stored_pixels(pictures[:1, :28])[0], note="it is not known")
    assert as_part(note, MADE) is None
    (jpeg,) = stored_images(pictures[:1, :28, :40], "jpeg-90")
    found = as_part(jpeg, MADE)
    assert found.resizing.words == "cut to 28x40"
    assert found.says == sum(np.count_nonzero(plane) for plane in jpeg.coefficients)
    (enlarged,) = stored_images(pictures[:1], "trim-0.8+jpeg-90")
    assert as_part(enlarged, MADE) is None


@pytest.mark.parametrize(("size", "edits"), [((24, 36), ["resize-0.75"]), ((64, 96), ["clean"])])
def test_a_reduced_image_is_compared_with_what_keeps_as_little(pictures, size, edits):
    coloured = next(pixels for pixels in pictures if np.ptp(pixels, axis=2).any())
    stored = open_image(written(coloured, size, "lanczos"), size=MADE, resize=True).stored
    known = ("clean", "resize-0.75", "resize-0.5", "jpeg-75")
    assert edits_alike(stored, known) == (tuple(edits), None)
    found = edits_alike(stored, ("clean",))
    assert found.unlike == (None if "clean" in edits else "reduced to 24x36")


@pytest.mark.outer
def test_only_what_was_not_enlarged_shows_detail(pictures):
    crops, _ = photograph_crops(6, (128, 192), seed=1, part="demonstration")
    found = []
    for quality in (95, 75, 50):
        for pixels, crop in zip(pictures, crops, strict=True):
            enlarged = written(pixels, (128, 192), "bicubic", "JPEG", quality=quality)
            assert not shows_detail(open_image(enlarged, size=MADE, resize=True).stored)
            detailed = written(crop, (128, 192), "bicubic", "JPEG", quality=quality)
            found.append(shows_detail(open_image(detailed, size=MADE, resize=True).stored))
    assert np.mean(found) > 0.8  # Some photographs are as smooth as what was enlarged.
    assert not shows_detail(open_image(pictures[0]).stored)
