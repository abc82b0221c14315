"""Crops of the photographs at hand."""

import numpy as np
import pytest

from jax_origin.images import photograph_crops

PARTS = ["calibration", "demonstration"]


@pytest.mark.parametrize("part", PARTS)
def test_the_seed_says_which_crops(part):
    crops, sources = photograph_crops(20, (16, 16), seed=3, part=part)
    again, sources_again = photograph_crops(20, (16, 16), seed=3, part=part)
    other, _ = photograph_crops(20, (16, 16), seed=4, part=part)
    assert crops.shape == (20, 16, 16, 3)
    assert crops.dtype == np.uint8
    np.testing.assert_array_equal(crops, again)
    assert sources == sources_again
    assert not np.array_equal(crops, other)
    assert len(np.unique(crops, axis=0)) == 20


def test_a_seed_gives_the_same_crops_everywhere():
    crops, sources = photograph_crops(5, (8, 8), seed=0, part="demonstration")
    assert sources == ["grass", "rocket", "motorcycle_left", "chelsea", "coins"]
    # Decoders of JPEG may differ by a level; other crops would differ by much more.
    means = [122.297, 64.510, 85.089, 108.219, 90.609]
    np.testing.assert_allclose(crops.mean(axis=(1, 2, 3)), means, atol=0.5)


def test_the_parts_share_no_photograph():
    calibration, demonstration = (
        set(photograph_crops(50, (8, 8), seed=0, part=part)[1]) for part in PARTS
    )
    assert len(calibration) >= 5
    assert len(demonstration) >= 5
    assert not calibration & demonstration
    # One scene from two places.
    assert not {"motorcycle_left", "motorcycle_right"} <= calibration | demonstration


@pytest.mark.parametrize("part", PARTS)
def test_photographs_take_turns_and_many_are_in_colour(part):
    crops, sources = photograph_crops(140, (32, 32), seed=0, part=part)
    counts = np.unique(sources, return_counts=True)[1]
    assert counts.max() - counts.min() <= 1
    in_colour = np.any(crops != crops[..., :1], axis=(1, 2, 3))
    assert 0.4 < in_colour.mean() < 0.8


@pytest.mark.parametrize("part", PARTS)
def test_every_crop_has_content(part):
    crops, _ = photograph_crops(140, (32, 32), seed=1, part=part)
    assert np.all(crops.mean(axis=3).std(axis=(1, 2)) / 255 >= 0.04)


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (24, 16), (256, 256)])
def test_any_size_up_to_that_of_the_photographs(size):
    for part in PARTS:
        assert photograph_crops(7, size, seed=0, part=part)[0].shape == (7, *size, 3)


@pytest.mark.parametrize(
    ("num", "size", "part", "message"),
    [
        (1, (8, 8), "test", "part must be one of calibration, demonstration; got 'test'"),
        (0, (8, 8), "calibration", "num and size must be at least 1"),
        (1, (8, 0), "calibration", "num and size must be at least 1"),
        (7, (512, 512), "calibration", "size 512x512 is larger than a photograph"),
    ],
)
def test_a_wrong_argument_is_named(num, size, part, message):
    with pytest.raises(ValueError, match=message):
        photograph_crops(num, size, seed=0, part=part)
