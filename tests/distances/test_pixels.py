import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_origin.distances import L1, L2, OBJECTIVES, PSNR, Distance

PIXELS = [L1(), L2(), PSNR()]


@pytest.fixture(scope="module")
def pair():
    images = np.random.default_rng(0).random((2, 3, 8, 6, 3), np.float32)
    return jnp.asarray(images[0]), jnp.asarray(images[1])


def test_each_image_has_its_own_mean(pair):
    first, second = pair
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    absolute, squared = np.abs(difference).mean((1, 2, 3)), (difference**2).mean((1, 2, 3))
    for distance in PIXELS:
        found = [distance.objective(name)(first, second) for name in ("l1", "l2", "log_l2")]
        np.testing.assert_allclose(found, [absolute, squared, np.log(squared)], rtol=1e-5)
    np.testing.assert_allclose(L1().value(first, second), absolute, rtol=1e-5)
    np.testing.assert_allclose(L2().value(first, second), squared, rtol=1e-5)


@pytest.mark.parametrize("distance", PIXELS)
def test_a_distance_is_zero_for_the_same_image_and_does_not_depend_on_the_order(pair, distance):
    first, second = pair
    assert np.array_equal(distance.value(first, first), np.zeros(3))
    assert np.array_equal(distance.value(first, second), distance.value(second, first))
    assert (distance.value(first, second) > 0).all()


def test_rounding_to_8_bits_costs_what_the_docstring_says():
    images = np.random.default_rng(1).random((1, 64, 64, 3), np.float32)
    rounded = np.rint(images * 255) / np.float32(255)
    assert float(L2().value(rounded, images)[0]) == pytest.approx(1.28e-6, rel=0.05)


def test_psnr_falls_short_of_100_decibels_by_less_the_nearer_an_image_is():
    errors = np.float32([1, 0.1, 0.01, 0.001])
    images = jnp.broadcast_to(jnp.asarray(errors)[:, None, None, None], (4, 8, 6, 3))
    found = PSNR().value(images, jnp.zeros_like(images))
    np.testing.assert_allclose(found, [100, 80, 60, 40], atol=1e-3)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("distance", PIXELS)
def test_an_objective_has_a_finite_gradient_even_at_its_minimum(pair, distance, name):
    (first, second), objective = pair, distance.objective(name)
    for target in (first, second):
        gradient = jax.grad(lambda x, target=target: objective(x, target).sum())(first)
        assert np.isfinite(gradient).all()


def test_the_gradient_of_log_l2_does_not_fade_near_the_minimum(pair):
    _, image = pair
    near = image + 1e-3

    def size(objective):
        return float(jnp.abs(jax.grad(lambda x: objective(x, image).sum())(near)).max())

    assert size(L2().log_l2) > 1e4 * size(L2().l2)


@pytest.mark.parametrize("distance", PIXELS)
def test_evenness_is_the_share_of_an_image_s_parts_that_an_error_is_in(distance):
    image = np.zeros((8, 12, 3), np.float32)
    errors = np.stack([image] * 5)
    errors[0] += 0.1  # alike in all
    errors[1, 2:4, 3:6, 1] = 0.2  # one part, all of it
    errors[2, 7, 11, 2] = -0.3  # one part, one number
    errors[3, :, :3] = 0.1  # four of sixteen
    errors[4, :4], errors[4, 4:] = 0.1, 0.3
    found = distance.evenness(jnp.asarray(image + errors), jnp.zeros((5, *image.shape)))
    wanted = [1, 1 / 16, 1 / 16, 4 / 16, ((0.1 + 0.3) / 2) ** 2 / ((0.01 + 0.09) / 2)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    # Sides that four does not divide, and one channel.
    odd = np.zeros((1, 10, 7, 1), np.float32)
    odd[0, 9, 6] = 0.5
    np.testing.assert_allclose(distance.evenness(odd, np.zeros_like(odd)), [1 / 16], rtol=1e-5)


def test_an_objective_that_is_not_there_is_refused_with_the_near_one():
    with pytest.raises(ValueError, match=r"objective='l22'.*did you mean 'l2'\?"):
        L1().objective("l22")


class Halves(Distance):
    """On rows of an image's left half alone."""

    def residual(self, images, targets):
        return (images - targets)[:, :, : images.shape[2] // 2]


def test_a_distance_needs_its_residual_alone(pair):
    first, second = pair
    left, other = (np.asarray(image)[:, :, :3] for image in pair)
    distance = Halves()
    for name in OBJECTIVES:
        expected = L2().objective(name)(jnp.asarray(left), jnp.asarray(other))
        np.testing.assert_allclose(distance.objective(name)(first, second), expected, rtol=1e-6)
    assert distance.evenness(first, second).shape == (3,)
