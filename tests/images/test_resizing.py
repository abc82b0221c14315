"""How an image was resized is found in its pixels, and undone to the rounding."""

import numpy as np
import pytest
from PIL import Image

from jax_origin.images import (
    Resizing,
    edit_images,
    find_resizings,
    open_image,
    photograph_crops,
    stored_images,
    stored_pixels,
)

FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def pictures():
    """Photographs with some noise, as a sensor leaves it: uint8 [8, 32, 48, 3]."""
    crops, _ = photograph_crops(8, (32, 48), seed=0, part="demonstration")
    noisy = 0.6 * crops + 50 + RNG.normal(0, 16, crops.shape)
    return noisy.round().clip(0, 255).astype(np.uint8)


def resized(pixels, size, there, back):
    image = Image.fromarray(pixels).resize(size[::-1], FILTERS[there])
    return np.asarray(image.resize(pixels.shape[1::-1], FILTERS[back]))


@pytest.mark.parametrize("there", FILTERS)
@pytest.mark.parametrize("back", FILTERS)
@pytest.mark.parametrize("size", [(24, 36), (16, 24), (64, 96)])
def test_the_map_is_what_pillow_does(pictures, there, back, size):
    rows, columns = Resizing(size, there, back).matrices((32, 48))
    assert rows.shape == (32, 32) and columns.shape == (48, 48)
    for pixels in pictures[:3]:
        made = np.einsum("ij,jwc,vw->ivc", rows, pixels, columns).clip(0, 255)
        assert np.abs(made - resized(pixels, size, there, back)).max() < 2.5


def test_the_map_of_a_cut_is_what_pillow_does(pictures):
    rows, columns = Resizing((28, 44), None, "lanczos").matrices((32, 48))
    (edited,) = edit_images(pictures[:1], "crop-2")
    made = np.einsum("ij,jwc,vw->ivc", rows, pictures[0], columns).clip(0, 255)
    assert np.abs(made - edited).max() < 1.5


@pytest.mark.parametrize(
    ("size", "back"),
    [
        *[((24, 36), back) for back in FILTERS],
        *[((29, 43), back) for back in FILTERS],
        ((16, 24), "lanczos"),
        ((16, 24), "bicubic"),  # The bilinear filter leaves so smooth an image that nothing shows.
    ],
)
def test_resized_images_are_found(pictures, size, back):
    for pixels in pictures:
        found = find_resizings(resized(pixels, size, back, back))
        assert (size, back, back) in found
        assert {way.size for way in found} == {size}
        # Each side has lost another number of pixels, so none was cut off all around.
        assert all(way.there == way.back for way in found)


@pytest.mark.parametrize("margin", [1, 2, 4])
def test_cut_images_are_found(pictures, margin):
    size = (32 - 2 * margin, 48 - 2 * margin)
    for pixels in edit_images(pictures, f"crop-{margin}"):
        ways = find_resizings(pixels)
        assert Resizing(size, None, "lanczos") in ways
        assert Resizing(size, "lanczos", "lanczos") in ways


@pytest.mark.parametrize(
    "edit", ["clean", "jpeg-90", "webp-80", "blur-0.5", "noise-1", "resize-1.5"]
)
def test_others_are_not(pictures, edit):
    assert not any(map(find_resizings, edit_images(pictures, edit)))


@pytest.mark.parametrize("edit", ["resize-0.75+jpeg-90", "resize-0.75+noise-1"])
def test_what_came_after_hides_it(pictures, edit):
    assert not any(map(find_resizings, edit_images(pictures, edit)))


def test_flat_and_small_images_show_nothing():
    ramp = np.broadcast_to(np.arange(32, dtype=np.uint8)[:, None, None], (32, 32, 3))
    assert find_resizings(np.full((32, 32, 3), 80, np.uint8)) == ()
    assert (
        find_resizings(resized(np.full((32, 32, 3), 80, np.uint8), (24, 24), "bicubic", "bicubic"))
        == ()
    )
    assert find_resizings(ramp) == ()
    noise = RNG.integers(0, 256, (15, 15, 3), dtype=np.uint8)
    assert find_resizings(resized(noise, (12, 12), "lanczos", "lanczos")) == ()


def test_white_and_black_do_not_hide_it(pictures):
    for pixels in pictures[:4]:
        pixels = pixels.copy()
        pixels[:9], pixels[:, :9] = 255, 0
        found = find_resizings(resized(pixels, (24, 36), "lanczos", "lanczos"))
        assert found[0].size == (24, 36)


def test_grey_images_and_large_ones_are_looked_at():
    large = RNG.normal(120, 30, (400, 300, 1)).clip(0, 255).astype(np.uint8)
    small = Image.fromarray(large[..., 0]).resize((225, 300), Image.Resampling.BICUBIC)
    back = np.asarray(small.resize((300, 400), Image.Resampling.BICUBIC))[..., None]
    assert find_resizings(large) == ()
    assert find_resizings(back)[0] == ((300, 225), "bicubic", "bicubic")


def test_files_and_arrays_carry_their_readings(pictures, tmp_path):
    (edited,) = edit_images(pictures[:1], "crop-4")
    (stored,) = stored_pixels(edited[None])
    plain, *ways = stored.readings()
    assert plain.resizing is None and not plain.to_arrays().resized
    assert [way.resizing for way in ways] == [
        Resizing((24, 40), "lanczos", "lanczos"),
        Resizing((24, 40), None, "lanczos"),
    ]
    assert all(way.to_arrays().resized for way in ways)
    assert not stored_images(edited[None], "jpeg-95")[0].resizings

    Image.fromarray(pictures[0]).resize((10, 6), Image.Resampling.LANCZOS).save(tmp_path / "x.png")
    read = open_image(tmp_path / "x.png", size=(32, 48), resize=True).stored
    assert read.note is None
    assert [way.resizing for way in read.readings()] == [
        None,
        *(Resizing((6, 10), name, "bicubic") for name in FILTERS),
    ]
