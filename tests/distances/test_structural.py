import jax
import numpy as np
import pytest
from scipy.ndimage import correlate1d
from skimage.metrics import structural_similarity

from jax_origin.distances import MSSSIM, SSIM

THREE = MSSSIM((0.3, 0.3, 0.4))
DISTANCES = [SSIM(), THREE]


def images_and_targets(shape, num=4):
    """Random images, and targets: noisy ones, a negative, one that is grey, one almost the same."""
    rng = np.random.default_rng(0)
    images = rng.random((num, *shape), np.float32)
    targets = np.clip(images + rng.normal(0, 0.1, images.shape), 0, 1).astype(np.float32)
    targets[1], targets[2], targets[3] = 1 - images[1], 0.5, 0.999 * images[3]
    return images, targets


def value(distance, images, targets):
    return np.asarray(jax.jit(distance.value)(images, targets))


def terms(first, second):
    """The two factors of SSIM, as the paper has them, at each window of planes [H, W]."""
    weights = np.exp(-((np.arange(-5, 6) / 1.5) ** 2) / 2)
    weights /= weights.sum()

    def mean(plane):
        return correlate1d(correlate1d(plane, weights, 0), weights, 1)[5:-5, 5:-5]

    one, two = mean(first), mean(second)
    variances = mean(first**2) + mean(second**2) - one**2 - two**2
    luminance = (2 * one * two + 1e-4) / (one**2 + two**2 + 1e-4)
    return luminance, (2 * (mean(first * second) - one * two) + 9e-4) / (variances + 9e-4)


def ms_ssim(first, second, weights):
    """MS-SSIM of planes [H, W]; negative means count as none."""
    product = 1.0
    for scale, weight in enumerate(weights):
        luminance, contrast = terms(first, second)
        similar = luminance * contrast if scale == len(weights) - 1 else contrast
        product *= max(similar.mean(), 0.0) ** weight
        first, second = (
            np.pad(plane, [(0, side % 2) for side in plane.shape], mode="edge")
            for plane in (first, second)
        )
        first, second = (
            (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 4
            for plane in (first, second)
        )
    return product


@pytest.mark.parametrize("shape", [(32, 32, 3), (23, 40, 3), (11, 11, 1)])
def test_ssim_is_that_of_scikit_image(shape):
    images, targets = images_and_targets(shape)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    wanted = [
        1 - structural_similarity(*pair, data_range=1, channel_axis=2, **options)
        for pair in zip(images.astype(float), targets.astype(float), strict=True)
    ]
    found = value(SSIM(), images, targets)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    # However near: 1 - SSIM in float32 would keep no digit.
    np.testing.assert_allclose(found[3], wanted[3], rtol=1e-3)


@pytest.mark.parametrize(
    ("distance", "shape"),
    [(MSSSIM(), (170, 161, 1)), (THREE, (45, 64, 3)), (MSSSIM((1.0,)), (16, 16, 3))],
)
def test_ms_ssim_is_the_product_over_scales_of_each_channel(distance, shape):
    images, targets = images_and_targets(shape)
    images, targets = images[[0, 3]], targets[[0, 3]]
    channels = np.moveaxis(np.stack([images, targets]).astype(float), -1, 2)
    wanted = [
        1 - np.mean([ms_ssim(*planes, distance.weights) for planes in zip(*pair, strict=True)])
        for pair in zip(*channels, strict=True)
    ]
    found = value(distance, images, targets)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_allclose(found[1], wanted[1], rtol=2e-3)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_nearer_image_has_a_lower_value_and_the_same_one_none(distance):
    images, noise = np.random.default_rng(1).random((2, 3, 48, 48, 3), np.float32)
    mixed = [value(distance, images + s * (noise - images), images) for s in (0, 0.2, 0.9)]
    assert np.array_equal(mixed[0], np.zeros(3))
    assert (mixed[0] < mixed[1]).all() and (mixed[1] < mixed[2]).all()
    forth, back = value(distance, images, noise), value(distance, noise, images)
    np.testing.assert_allclose(forth, back, rtol=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
def test_gradients_are_finite_and_images_of_a_batch_do_not_touch_each_other(distance):
    images, targets = images_and_targets((41, 41, 3))
    gradient = jax.jit(jax.grad(lambda x, y: distance.value(x, y).sum()))
    for other in (targets, images, 1 - images, np.zeros_like(images)):
        assert np.isfinite(gradient(images, other)).all()

    def of_one(image, target):
        return distance.value(image[None], target[None])[0]

    together = value(distance, images, targets)
    alone = [jax.jit(of_one)(*pair) for pair in zip(images, targets, strict=True)]
    mapped = jax.jit(jax.vmap(of_one))(images, targets)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(together, mapped, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("distance", "side", "least"), [(SSIM(), 10, "11"), (MSSSIM(), 160, "161"), (THREE, 40, "41")]
)
def test_images_that_are_too_small_are_refused_with_the_least_size(distance, side, least):
    images = np.zeros((1, side, 200, 3), np.float32)
    with pytest.raises(ValueError, match=rf"at least {least} x {least} pixels, not {side} x 200"):
        distance.value(images, images)


@pytest.mark.parametrize("weights", [(), (0.5, 0.0), (0.5, float("nan")), (float("inf"),)])
def test_weights_are_positive_numbers(weights):
    with pytest.raises(ValueError, match="weights must be one or more positive numbers"):
        MSSSIM(weights)
