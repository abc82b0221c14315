import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_origin.generators.undo_step import draw_input, undo_step

pytestmark = pytest.mark.outer

SIZE = 12


def linear(eigenvalues):
    """A symmetric map with these eigenvalues, its own for each of two images."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(2, SIZE, SIZE)))[0]
    return jnp.asarray((turn * eigenvalues) @ turn.transpose(0, 2, 1), jnp.float32)


def apply(matrix, x):
    return jnp.einsum("nij,nj->ni", matrix, x)


def draw(seed):
    return jax.random.normal(jax.random.key(seed), (2, SIZE))


def test_a_step_is_undone_where_plain_iteration_diverges():
    matrix = linear(np.repeat([0.5, 0.9, 2.3], SIZE // 3))
    x = draw(0)
    found = undo_step(
        lambda x: apply(matrix, x), apply(matrix, x), draw(1), pace=1.0, iterations=15
    )
    np.testing.assert_allclose(found, x, atol=1e-4)


def test_what_the_step_takes_out_stays_as_it_was_guessed():
    kept = np.tile(np.arange(SIZE) < SIZE // 2, (2, 1))
    guess, target = draw(0), draw(1) * kept
    found = undo_step(lambda x: x * kept, target, guess, pace=0.7, iterations=10)
    np.testing.assert_allclose(found, np.where(kept, target, guess), atol=1e-4)


def test_the_nearest_that_was_met_is_returned():
    # Nothing is found here: each iteration is worse than the guess.
    found = undo_step(lambda x: -3 * x, draw(0), 1e-3 * draw(1), pace=1.0, iterations=2)
    np.testing.assert_array_equal(found, 1e-3 * draw(1))


def test_images_do_not_depend_on_each_other():
    matrix, x, guess = linear(np.linspace(0.3, 1.4, SIZE)), draw(0), draw(1)

    def alone(rows):
        step = lambda x: apply(matrix[rows], x)  # noqa: E731
        return undo_step(step, step(x[rows]), guess[rows], pace=1.0, iterations=5)

    first = alone(slice(1))
    np.testing.assert_allclose(alone(slice(2))[:1], first, atol=1e-5)


def test_an_input_is_drawn_from_what_the_output_leaves_of_the_prior():
    matrix, mean, noise = linear(np.linspace(0.0, 1.4, SIZE)), draw(0), draw(1)
    deviation, rounding = 0.3, 0.1
    output = apply(matrix, mean + deviation * draw(2))
    found = draw_input(
        lambda x: apply(matrix, x),
        output,
        mean=mean,
        deviation=deviation,
        noise=noise,
        rounding=rounding,
    )
    # Of a linear step the draw has a closed form.
    wanted = []
    for a, m, e, y in zip(*map(np.float64, (matrix, mean, noise, output)), strict=True):
        normal = deviation**2 / rounding**2 * a.T @ a + np.eye(SIZE)
        missing = deviation / rounding**2 * a.T @ (y - a @ (m + deviation * e))
        wanted.append(m + deviation * (e + np.linalg.solve(normal, missing)))
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_what_the_step_takes_out_stays_as_it_was_drawn():
    kept = np.tile(np.arange(SIZE) < SIZE // 2, (2, 1))
    options = {"mean": draw(0), "deviation": 0.3, "noise": draw(1), "rounding": 1e-3}
    found = draw_input(lambda x: x * kept, draw(2) * kept, **options)
    np.testing.assert_allclose(found, np.where(kept, draw(2), draw(0) + 0.3 * draw(1)), atol=1e-3)
