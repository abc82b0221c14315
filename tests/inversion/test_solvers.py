"""Each solver goes down, lane by lane, and says what it cost."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_origin import FunctionGenerator, Recipe, Run, Stage, distances, invert, solvers, starts
from jax_origin.generators import sample_latents
from jax_origin.images import as_uint8
from jax_origin.inversion import least_squares
from jax_origin.inversion.solvers import LBFGS, GaussNewton, LevenbergMarquardt, Optax, Problem

pytestmark = pytest.mark.outer

FLOOR = 1 / (12 * 255**2)  # mean squared error of rounding to 8 bits
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(5, 48)).astype(np.float32)
BIAS = RNG.normal(size=48).astype(np.float32)
TARGETS = RNG.uniform(size=(6, 4, 4, 3)).astype(np.float32)
LATENTS = RNG.normal(size=(6, 5)).astype(np.float32)

SOLVERS = {
    "adam": Optax("adam", 0.1, schedule="constant"),
    "lbfgs": LBFGS(),
    "levenberg_marquardt": LevenbergMarquardt(),
    "gauss_newton": GaussNewton(),
}
LEAST_SQUARES = ["levenberg_marquardt", "gauss_newton"]


def linear(latents):
    return (latents @ WEIGHT + BIAS[None]).reshape(-1, 4, 4, 3)


def bent(latents):
    return jax.nn.sigmoid(linear(latents))


def descend(solver, render, targets, latents, steps, *, objective="l2", distance=None):
    """All steps of a stage."""
    distance = distance or distances.L2()
    problem = Problem(
        render,
        targets,
        distance.value,
        distance.objective(objective),
        distance.residual,
        steps,
    )

    @jax.jit
    def step(latents, state):
        return solver.step(problem, latents, state)

    done, state = [], solver.init(latents, steps)
    for _ in range(steps):
        done.append(step(latents, state))
        latents, state = done[-1].latents, done[-1].state
    return done


def l2(images, targets):
    return distances.L2().l2(images, targets)


def picture(params, latents):
    flat = jax.nn.sigmoid(latents @ params["weight"] + params["bias"][None])
    return flat.reshape(-1, 8, 8, 3)


def plain_function():
    rng = np.random.default_rng(0)
    params = {"weight": rng.normal(size=(4, 192)), "bias": rng.normal(size=192)}
    params = {name: array.astype(np.float32) for name, array in params.items()}
    return FunctionGenerator(picture, params, latent_shape=(4,), image_shape=(8, 8, 3))


def own_images(generator, num):
    return as_uint8(generator(sample_latents(generator, jax.random.key(1), num)))


@pytest.mark.parametrize(
    ("solver", "steps", "atol"),
    [
        (LevenbergMarquardt(), 1, 3e-5),
        (LevenbergMarquardt(updates=1, damping=1e-6), 1, 3e-5),
        # As many iterations as there are unknowns; damping makes the first step a little short.
        (GaussNewton(iterations=5, damping=1e-3), 2, 3e-5),
        (GaussNewton(iterations=5, damping=1e-6), 1, 3e-5),
    ],
)
def test_linear_least_squares_are_solved_as_numpy_solves_them(solver, steps, atol):
    goals = (TARGETS.reshape(6, 48) - BIAS).astype(np.float64)
    exact, residuals, *_ = np.linalg.lstsq(WEIGHT.T.astype(np.float64), goals.T, rcond=None)
    assert np.abs(LATENTS - exact.T).max() > 1
    last = descend(solver, linear, TARGETS, LATENTS, steps)[-1]
    np.testing.assert_allclose(last.latents, exact.T, atol=atol)
    np.testing.assert_allclose(last.distance, residuals / 48, rtol=1e-5)


@pytest.mark.parametrize("name", LEAST_SQUARES)
@pytest.mark.parametrize("kind", ["dcgan", "function"])
def test_own_images_come_to_the_floor_of_8_bits_in_a_few_steps(generator, name, kind):
    model = generator if kind == "dcgan" else plain_function()
    recipe = Recipe(stages=(Stage(SOLVERS[name], steps=8),), lane_block=8)
    found = invert(model, own_images(model, 8), recipe, key=KEY)
    assert (found.loss < 1.3 * FLOOR).all()
    # In no more evaluations than these first-order steps, which do not get there.
    steps = recipe.evaluations(model.latent_shape) // 4
    recipe = Recipe(stages=(Stage(steps=steps, objective="l2"),), lane_block=8)
    assert (invert(model, own_images(model, 8), recipe, key=KEY).loss > 1.3 * FLOOR).any()


def test_jacobians_in_groups_give_what_they_give_at_once(monkeypatch):
    together: list[set[int]] = []

    def render(latents):
        together[-1].add(len(latents))
        return bent(latents)

    found = {}
    of_a_lane = 4 * 5 * 48
    # Six lanes, at most 6, 4, 2 and 1 at once: as many of these as divide them, one at the least.
    for limit in (6 * of_a_lane, 5 * of_a_lane - 1, 2 * of_a_lane, 1):
        monkeypatch.setattr(least_squares, "JACOBIAN_BYTES", limit)
        together.append(set())
        found[limit] = descend(LevenbergMarquardt(updates=2), render, TARGETS, LATENTS, 3)
    assert together == [{6}, {3}, {2}, {1}]
    whole, *grouped = found.values()
    for steps in grouped:
        for ours, theirs in zip(steps, whole, strict=True):
            for part, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
                np.testing.assert_allclose(part, other, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("name", SOLVERS)
def test_lanes_do_not_touch_each_other(name):
    targets, latents = TARGETS.copy(), LATENTS.copy()
    targets[[0, 2]] = 0.5
    latents[[0, 2]] = 7.0
    latents[5] = np.nan
    before = descend(SOLVERS[name], bent, TARGETS, LATENTS, 4)[-1]
    after = descend(SOLVERS[name], bent, targets, latents, 4)[-1]
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert len(one) == len(other) == 6
        assert np.array_equal(one[jnp.array([1, 3, 4])], other[jnp.array([1, 3, 4])])
    assert not np.array_equal(before.latents[2], after.latents[2])


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("distance", [distances.L1(), distances.L2()], ids=["l1", "l2"])
def test_the_distance_is_that_of_the_latents_that_were_seen(name, distance):
    for step in descend(SOLVERS[name], bent, TARGETS, LATENTS, 3, distance=distance):
        expected = distance.value(bent(step.seen), TARGETS)
        np.testing.assert_allclose(step.distance, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "solver",
    [
        SOLVERS["lbfgs"],
        LevenbergMarquardt(),
        LevenbergMarquardt(updates=1, damping=1e-6),
        GaussNewton(),
    ],
)
def test_the_error_never_rises(solver):
    # Far out, where the sigmoid is flat and a full step overshoots.
    steps = descend(solver, bent, bent(LATENTS), 4 * LATENTS[::-1], 12)
    found = np.array([step.distance for step in steps])
    assert (np.diff(found, axis=0) <= 1e-7).all()
    assert (found[-1] < 0.9 * found[0]).all()


@pytest.mark.parametrize("objective", ["l2", "log_l2"])
def test_lbfgs_descends(objective):
    steps = descend(LBFGS(), bent, bent(LATENTS), 0 * LATENTS, 20, objective=objective)
    assert (steps[-1].distance < 1e-3 * steps[0].distance).all()


def test_the_cost_of_lbfgs_is_its_gradients_and_the_trials_of_its_line_searches():
    calls: list[int] = []

    def counted(latent):
        jax.debug.callback(lambda: calls.append(1))
        return jnp.mean((bent(latent[None])[0] - target) ** 2)

    # Optax alone on one lane, where each evaluation runs just once.
    latent, target = 4 * LATENTS[0], np.asarray(bent(LATENTS[1:2])[0])
    search = optax.scale_by_zoom_linesearch(max_linesearch_steps=8, initial_guess_strategy="one")
    alone = optax.lbfgs(memory_size=10, linesearch=search)

    @jax.jit
    def step(latent, state):
        value, grad = jax.value_and_grad(counted)(latent)
        updates, state = alone.update(grad, state, latent, value=value, grad=grad, value_fn=counted)
        return optax.apply_updates(latent, updates), state

    state, expected = alone.init(latent), []
    for _ in range(6):
        calls.clear()
        latent, state = step(latent, state)
        jax.effects_barrier()
        expected.append(len(calls))
    steps = descend(SOLVERS["lbfgs"], bent, target[None], 4 * LATENTS[:1], 6)
    assert [int(step.cost[0]) for step in steps] == expected
    assert len(set(expected)) > 1 and min(expected) == 2
    np.testing.assert_allclose(steps[-1].latents[0], latent, rtol=1e-3)


@pytest.mark.parametrize(
    ("solver", "evaluations"),
    [
        (Optax(optax.sgd(0.1)), 1),
        # Five columns of the Jacobian at two thirds, and 1 + 8 or 1 + 2 forward passes at one.
        (LevenbergMarquardt(), 19 / 3),
        (LevenbergMarquardt(updates=2), 13 / 3),
        # Two thirds for each of the products, a third for each of the three forward passes.
        (GaussNewton(), (16 * 2 + 2 * 2 + 3) / 3),
        (GaussNewton(iterations=3), (6 * 2 + 2 * 2 + 3) / 3),
    ],
)
def test_a_step_costs_what_its_passes_cost(solver, evaluations):
    assert solver.evaluations(5) == pytest.approx(evaluations)
    (step,) = descend(solver, bent, TARGETS, LATENTS, 1)
    np.testing.assert_allclose(step.cost, np.full(6, evaluations), rtol=1e-6)


def test_an_image_is_charged_for_its_steps_in_all_stages():
    model = plain_function()
    stages = (
        Stage(steps=7),
        Stage(solvers.GaussNewton(**{"iterations": 4}), steps=3, lanes=2),
        Stage(solvers.LevenbergMarquardt(), steps=2, lanes=1),
    )
    recipe = Recipe(restarts=3, stages=stages, lane_block=8)
    # 3 * 7, 2 * 3 * (16 + 7) / 3 and 2 * (8 + 1 + 8) / 3: 78 and a third.
    assert recipe.evaluations((4,)) == 79
    found = invert(model, own_images(model, 3), recipe, key=KEY)
    assert found.steps.tolist() == [79] * 3
    (quasi,) = (Stage(solvers.LBFGS(), steps=5),)
    recipe = Recipe(restarts=2, stages=(quasi,), lane_block=8)
    told: list[float] = []
    run = Run(progress=lambda what, done, total: told.append(done))
    found = invert(model, own_images(model, 3), recipe, key=KEY, run=run)
    # A gradient and at least one trial a step, and no more than eight.
    assert recipe.evaluations((4,)) == 2 * 5 * 9
    assert (2 * 5 * 2 <= found.steps).all() and (found.steps <= 2 * 5 * 9).all()
    assert told[-1] == pytest.approx(3) and (np.diff(told) >= 0).all()


def hollow(params, latents):
    """An image of any latent, but not of those near 0."""
    there = jnp.sum(latents**2, axis=1) > 1e-6
    made = jnp.broadcast_to(
        params * jax.nn.sigmoid(latents[:, :1, None, None]), (len(latents), 8, 8, 3)
    )
    return jnp.where(there[:, None, None, None], made, jnp.nan)


@pytest.mark.parametrize("name", SOLVERS)
def test_where_there_is_only_nan_the_loss_is_infinite_and_the_latent_finite(name):
    model = FunctionGenerator(
        hollow, np.ones((), np.float32), latent_shape=(4,), image_shape=(8, 8, 3)
    )
    recipe = Recipe(
        start=starts.Scaled((0.0,)), stages=(Stage(SOLVERS[name], steps=3),), lane_block=8
    )
    found = invert(model, np.zeros((2, 8, 8, 3), np.uint8), recipe, key=KEY)
    assert np.isposinf(found.loss).all() and np.isposinf(found.distance).all()
    assert np.isposinf(found.curve).all()
    assert np.isfinite(found.latent).all()


@pytest.mark.parametrize("name", LEAST_SQUARES)
def test_an_update_into_nan_is_dropped(name):
    def half(latents):  # no image where the first number is negative
        return jnp.where(latents[:, :1, None, None] < 0, jnp.nan, linear(latents))

    start = np.abs(LATENTS)
    wanted = LATENTS.copy()
    wanted[:, 0] = -3.0  # where the full step leads
    goals = linear(wanted)
    steps = descend(SOLVERS[name], half, goals, start, 8)
    assert np.isfinite(steps[-1].latents).all()
    found = np.array([step.distance for step in steps])
    assert np.isfinite(found).all()
    assert (found[-1] < l2(half(start), goals)).all()
    assert (np.diff(found, axis=0) <= 1e-7).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_a_number_that_changes_nothing_in_the_image_stays_finite(name):
    def render(latents):
        return bent(latents * np.float32([[1, 1, 0, 1, 0]]))

    step = descend(SOLVERS[name], render, TARGETS, LATENTS, 6)[-1]
    assert np.isfinite(step.latents).all()
    assert np.array_equal(step.latents[:, [2, 4]], LATENTS[:, [2, 4]])
    assert (step.distance < l2(render(LATENTS), TARGETS)).all()

    def always_grey(latents):
        return 0 * linear(latents) + 0.5

    step = descend(SOLVERS[name], always_grey, TARGETS, LATENTS, 2)[-1]
    assert np.array_equal(step.latents, LATENTS)
    np.testing.assert_allclose(step.distance, ((TARGETS - 0.5) ** 2).mean((1, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("name", LEAST_SQUARES)
def test_a_grid_of_latents_is_solved_like_its_row_of_numbers(name):
    def render(latents):
        return bent(latents.reshape(-1, 6)[:, :5])

    row = np.pad(LATENTS, ((0, 0), (0, 1)))
    flat = descend(SOLVERS[name], render, TARGETS, row, 3)[-1]
    grid = descend(SOLVERS[name], render, TARGETS, row.reshape(6, 1, 2, 3), 3)[-1]
    assert grid.latents.shape == (6, 1, 2, 3)
    np.testing.assert_allclose(grid.latents.reshape(6, 6), flat.latents, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LevenbergMarquardt(updates=0), ["updates", "at least 1", "not 0"]),
        (lambda: LevenbergMarquardt(updates=2.5), ["updates", "whole number", "not 2.5"]),
        (lambda: LevenbergMarquardt(damping=0), ["damping must be positive", "not 0"]),
        (lambda: LevenbergMarquardt(damping=np.nan), ["damping must be positive", "nan"]),
        (lambda: GaussNewton(iterations=0), ["iterations", "at least 1", "not 0"]),
        (lambda: GaussNewton(memory=-1), ["memory", "at least 0", "not -1"]),
        (lambda: GaussNewton(damping=-1.0), ["damping must be positive", "not -1.0"]),
        (lambda: LBFGS(memory_size=0), ["memory_size", "at least 1", "not 0"]),
        (lambda: LBFGS(memory_size=2.5), ["memory_size", "whole number", "not 2.5"]),
        (lambda: LBFGS(max_linesearch_steps=0), ["max_linesearch_steps", "at least 1", "not 0"]),
        (lambda: Optax(learning_rate=0.0), ["learning_rate", "positive", "0.0"]),
        (lambda: Optax(learning_rate=np.nan), ["learning_rate", "positive", "nan"]),
        (lambda: Optax(schedule="cosin"), ["schedule='cosin'", "did you mean 'cosine'?"]),
        (lambda: Optax("adamm"), ["'adamm'", "did you mean 'adam'?"]),
        (lambda: Optax("apply_updates"), ["'apply_updates'"]),
        (lambda: Optax(options={"momentums": 1}), ["'adam'", "momentums"]),
        (lambda: read("levenberg_marquardt", update=3), ["'update'", "did you mean 'updates'?"]),
        (lambda: read("gauss_newton", updates=3), ["'updates'"]),
        (lambda: read("lbfgs", learning_rate=1.0), ["'learning_rate'"]),
        (lambda: read("levenberg"), ["'levenberg'", "did you mean 'levenberg_marquardt'?"]),
        (lambda: read("gauss-newton"), ["'gauss-newton'", "did you mean 'gauss_newton'?"]),
        (lambda: read("l_bfgs"), ["'l_bfgs'", "did you mean 'lbfgs'?"]),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(make, words):
    with pytest.raises(ValueError) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def read(kind, **options):
    return solvers.Solver.from_json({"kind": kind, **options})


def test_options_may_be_a_mapping_or_pairs_in_any_order():
    mapping = Optax(options={"b2": 0.99, "b1": 0.5})
    assert mapping == Optax(options=(("b1", 0.5), ("b2", 0.99)))
    assert mapping != Optax(options={"b1": 0.5})


@pytest.mark.parametrize("name", LEAST_SQUARES)
def test_least_squares_are_of_the_squared_error_whatever_is_said(name):
    assert Stage(SOLVERS[name], objective="l1").objective == "l2"
    assert not SOLVERS[name].chunked


def test_remembered_directions_bring_gauss_newton_further():
    # Curvatures from 1 to 1e4: few iterations of plain conjugate gradients see the steepest alone.
    rng = np.random.default_rng(1)
    rows, _ = np.linalg.qr(rng.normal(size=(48, 20)))
    weight = (rows * np.geomspace(1, 100, 20)).T.astype(np.float32)
    wanted, start = rng.normal(size=(2, 6, 20)).astype(np.float32)

    def render(latents):
        return (latents @ weight).reshape(-1, 4, 4, 3)

    plain, remembering = (
        descend(
            GaussNewton(iterations=4, memory=memory),
            render,
            render(wanted),
            start,
            8,
        )[-1].distance
        for memory in (0, 3)
    )
    assert (remembering < 0.1 * plain).all()


def test_a_quarter_of_an_update_is_taken_where_the_whole_goes_too_far():
    def render(latents):
        return jnp.broadcast_to(jnp.arctan(latents)[:, :, None, None], (len(latents), 1, 4, 3))

    start = np.array([[2.0], [0.5]], np.float32)
    (step,) = descend(GaussNewton(), render, np.zeros((2, 1, 4, 3)), start, 1)
    # Newton's step for arctan(x) = 0 is x - (1 + x^2) arctan(x); from 2 it ends at -3.5.
    newton = -(1 + start**2) * np.arctan(start)
    np.testing.assert_allclose(step.latents, start + [[0.25], [1.0]] * newton, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(step.distance, np.arctan(step.latents[:, 0]) ** 2, rtol=1e-5)
