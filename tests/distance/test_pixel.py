import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_origin.distance import DISTANCES, OBJECTIVES, TO_STORED, l1, l2, log_l2


@pytest.fixture(scope="module")
def pair():
    images = np.random.default_rng(0).random((2, 3, 8, 6, 3), np.float32)
    return jnp.asarray(images[0]), jnp.asarray(images[1])


def test_each_image_has_its_own_mean(pair):
    first, second = pair
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    np.testing.assert_allclose(l1(first, second), np.abs(difference).mean((1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(l2(first, second), (difference**2).mean((1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(log_l2(first, second), np.log(l2(first, second)), rtol=1e-5)


@pytest.mark.parametrize("name", sorted(set(DISTANCES) - set(TO_STORED)))
def test_a_distance_is_zero_for_the_same_image_and_does_not_depend_on_the_order(pair, name):
    first, second = pair
    assert np.array_equal(DISTANCES[name](first, first), np.zeros(3))
    assert np.array_equal(DISTANCES[name](first, second), DISTANCES[name](second, first))
    assert (DISTANCES[name](first, second) > 0).all()


def test_rounding_to_8_bits_costs_what_the_docstring_says():
    images = np.random.default_rng(1).random((1, 64, 64, 3), np.float32)
    rounded = np.rint(images * 255) / np.float32(255)
    assert float(l2(rounded, images)[0]) == pytest.approx(1.28e-6, rel=0.05)


@pytest.mark.parametrize("name", sorted(set(OBJECTIVES) - set(TO_STORED)))
def test_an_objective_has_a_finite_gradient_even_at_its_minimum(pair, name):
    first, second = pair
    for target in (first, second):
        gradient = jax.grad(lambda x, target=target: OBJECTIVES[name](x, target).sum())(first)
        assert np.isfinite(gradient).all()


def test_the_gradient_of_log_l2_does_not_fade_near_the_minimum(pair):
    _, image = pair
    near = image + 1e-3

    def size(objective):
        return float(jnp.abs(jax.grad(lambda x: objective(x, image).sum())(near)).max())

    assert size(log_l2) > 1e4 * size(l2)
