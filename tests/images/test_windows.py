"""Windows of larger images."""

import jax
import numpy as np
import pytest

from jax_origin.distances import FileSet
from jax_origin.images import cut_window, stored_images, stored_pixels, textured_windows
from jax_origin.images.windows import reflected


@pytest.fixture(scope="module")
def picture():
    """Uint8 [80, 112, 3], smooth with some noise."""
    y, x = np.mgrid[0:80, 0:112] / 20
    rng = np.random.default_rng(0)
    waves = np.stack([np.sin(x + k) * np.cos(y - k) for k in range(3)], axis=2)
    return np.clip(128 + 60 * waves + rng.normal(0, 6, waves.shape), 0, 255).astype(np.uint8)


def distance_to(stored, pixels):
    distance = FileSet()
    targets = jax.tree.map(lambda part: np.asarray(part)[None], distance.target(stored))
    return float(distance.value(pixels[None].astype(np.float32) / 255, targets)[0])


@pytest.mark.parametrize("edit", ["clean", "jpeg-75", "jpeg-50-444"])
def test_a_window_is_the_set_of_its_own_part_of_the_file(picture, edit):
    (whole,) = stored_images(picture[None], edit)
    window = cut_window(whole, 32, 48, (32, 48))
    inside = picture[32:64, 48:96]
    np.testing.assert_array_equal(window.pixels, whole.pixels[32:64, 48:96])
    assert window.kind == ("pixels" if edit == "clean" else "jpeg")
    assert distance_to(window, inside) == 0
    assert distance_to(window, picture[31:63, 48:96]) > 1e-6
    assert distance_to(window, picture[32:64, 49:97]) > 1e-6


@pytest.mark.parametrize("edit", ["jpeg-75", "jpeg-50-444"])
@pytest.mark.parametrize("size", [(24, 40), (36, 36), (20, 112)])
def test_blocks_that_reach_beyond_a_window_say_nothing_of_it(picture, edit, size):
    (whole,) = stored_images(picture[None], edit)
    window = cut_window(whole, 16, 0, size)
    inside = picture[16 : 16 + size[0], : size[1]]
    assert distance_to(window, inside) == 0
    assert distance_to(window, picture[15 : 15 + size[0], : size[1]]) > 1e-6


def test_a_small_window_is_judged_by_brightness_where_colours_have_no_whole_block(picture):
    (whole,) = stored_images(picture[None], "jpeg-75")
    window = cut_window(whole, 16, 0, (8, 8))
    assert distance_to(window, picture[16:24, :8]) == 0
    assert distance_to(window, 255 - picture[16:24, :8]) > 1e-3


@pytest.mark.parametrize("edit", ["jpeg-75", "jpeg-50-444"])
def test_a_window_that_is_the_image_has_all_of_its_blocks(picture, edit):
    (whole,) = stored_images(picture[None, :36, :52], edit)
    window = cut_window(whole, 0, 0, (36, 52))
    for ours, theirs in zip(window.coefficients, whole.coefficients, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_surroundings_are_the_images_own_and_beyond_it_their_reflection(picture):
    (whole,) = stored_pixels(picture[None])
    inner = cut_window(whole, 32, 48, (32, 48), margin=8)
    np.testing.assert_array_equal(inner.surroundings, picture[24:72, 40:104])
    corner = cut_window(whole, 0, 0, (32, 48), margin=8)
    np.testing.assert_array_equal(corner.surroundings[8:, 8:], picture[:40, :56])
    np.testing.assert_array_equal(corner.surroundings[7], corner.surroundings[9])


def test_windows_lie_where_there_is_texture_and_not_on_each_other():
    pixels = np.full((96, 160, 3), 100, np.uint8)
    rng = np.random.default_rng(0)
    pixels[32:64, 96:128] += rng.integers(0, 20, (32, 32, 3), dtype=np.uint8)
    pixels[0:32, 0:32] += rng.integers(0, 10, (32, 32, 3), dtype=np.uint8)
    first, second, third = textured_windows(pixels, (32, 32), num=3)
    assert (first, second) == ((32, 96), (0, 0))
    assert abs(third[0] - first[0]) >= 32 or abs(third[1] - first[1]) >= 32
    assert len(textured_windows(pixels, (32, 32), num=100)) <= 15
    assert textured_windows(pixels[:32, :32], (32, 32), num=4) == [(0, 0)]


def test_a_clear_edge_says_no_more_than_texture():
    pixels = np.zeros((32, 96, 3), np.uint8)
    pixels[:, 16:] = 255  # one edge
    pixels[:, 64:] = np.random.default_rng(0).integers(200, 256, (32, 32, 3), dtype=np.uint8)
    assert textured_windows(pixels, (32, 32), num=1) == [(0, 64)]


def test_places_outside_are_reflected():
    found = reflected(np.arange(-4, 8), 3)
    np.testing.assert_array_equal(found, [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1])
    np.testing.assert_array_equal(reflected(np.arange(-1, 2), 1), [0, 0, 0])
