import numpy as np
import pytest

from jax_origin.images import faded_images, plain_images
from jax_origin.images.plain import PLAIN


@pytest.mark.parametrize("channels", [1, 3])
def test_each_kind_is_drawn_in_turn(channels):
    images, kinds = plain_images(2 * len(PLAIN), (24, 40), channels=channels, seed=3)
    assert images.shape == (2 * len(PLAIN), 24, 40, channels) and images.dtype == np.uint8
    assert kinds == 2 * list(PLAIN)
    again, _ = plain_images(2 * len(PLAIN), (24, 40), channels=channels, seed=3)
    other, _ = plain_images(2 * len(PLAIN), (24, 40), channels=channels, seed=4)
    assert np.array_equal(images, again) and not np.array_equal(images, other)
    assert len(np.unique(images, axis=0)) >= 2 * len(PLAIN) - 1  # Two may be all black.


def test_the_kinds_are_what_they_are_called():
    images, kinds = plain_images(20 * len(PLAIN), (32, 32), seed=0)
    levels = images.astype(float)
    spread = levels.std(axis=(1, 2)).max(axis=1)
    steps = np.abs(np.diff(levels, axis=2)).max(axis=(1, 2, 3))
    of = {kind: np.array(kinds) == kind for kind in PLAIN}
    assert spread[of["uniform"]].max() == 0
    assert (spread[of["gradient"]] > 0).all() and steps[of["gradient"]].max() < 40
    assert spread[of["faint"]].max() < 10
    assert (steps[of["noise"]] > 10).all()
    # Letters and shapes have borders.
    assert (steps[of["text"]] > 10).mean() > 0.7 and (steps[of["drawing"]] > 10).mean() > 0.7


def test_faded_images_are_smoother_or_have_less_contrast():
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    faded = faded_images(images, seed=1)
    assert faded.shape == images.shape and faded.dtype == np.uint8
    before, after = (x.astype(float).std(axis=(1, 2, 3)) for x in (images, faded))
    assert (after[::2] < 0.6 * before[::2]).all()  # blurred: noise averages out
    assert (after[1::2] < 0.21 * before[1::2]).all()
    means = [x.astype(float).mean(axis=(1, 2)) for x in (images, faded)]
    np.testing.assert_allclose(*means, atol=8)
    assert np.array_equal(faded, faded_images(images, seed=1))


@pytest.mark.parametrize("num,size,channels", [(0, (8, 8), 3), (1, (0, 8), 3), (1, (8, 8), 2)])
def test_numbers_out_of_range_are_named(num, size, channels):
    with pytest.raises(ValueError, match="num and size must be at least 1, channels 1 or 3"):
        plain_images(num, size, channels=channels, seed=0)
