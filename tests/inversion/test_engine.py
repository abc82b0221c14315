import dataclasses
import itertools
import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jax_origin import (
    FunctionGenerator,
    Recipe,
    Run,
    Stage,
    Statistics,
    distances,
    invert,
    solvers,
    starts,
)
from jax_origin.generators import inspected, sample_latents
from jax_origin.images import as_uint8
from jax_origin.inversion import Engine, Inversion, Item
from jax_origin.inversion.program import stage_programs
from jax_origin.inversion.starts import hop_directions

FLOOR = 1 / (12 * 255**2)  # mean squared error of rounding to 8 bits
KEY = jax.random.key(0)
TRACES: list[int] = []


def picture(params, latents):
    """8x8 images of a linear map and a sigmoid; notes each time that it is traced."""
    TRACES.append(1)
    flat = jax.nn.sigmoid(latents @ params["weight"] + params["bias"][None])
    return flat.reshape(-1, 8, 8, 3)


def parameters(seed):
    rng = np.random.default_rng(seed)
    return {
        "weight": rng.normal(size=(4, 192)).astype(np.float32),
        "bias": rng.normal(size=192).astype(np.float32),
    }


def tiny(seed=0, fn=picture, params=None):
    params = parameters(seed) if params is None else params
    return FunctionGenerator(fn, params, latent_shape=(4,), image_shape=(8, 8, 3))


def own_images(generator, num, seed=1):
    return as_uint8(generator(sample_latents(generator, jax.random.key(seed), num)))


QUICK = Recipe(
    start=starts.Scaled((0.2, 0.8)),
    restarts=2,
    stages=(Stage(steps=12),),
    lane_block=8,
    driver="host",
)
GOOD = dataclasses.replace(
    QUICK,
    stages=(
        Stage(steps=60),
        Stage(solvers.Optax("adam", 0.1), steps=90, objective="log_l2", lanes=1),
    ),
)


@pytest.fixture(scope="module")
def generator():
    return tiny()


@pytest.fixture(scope="module")
def images(generator):
    return own_images(generator, 7)


@pytest.fixture(scope="module")
def quick(generator, images):
    return invert(generator, images, QUICK, key=KEY)


def items(images):
    return (Item(index, image) for index, image in enumerate(images))


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_own_images_are_recovered_to_the_floor_of_8_bits_and_others_are_not(generator, images):
    noise = np.random.default_rng(2).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    found = invert(generator, np.concatenate([images, noise]), GOOD, key=KEY)
    assert (found.loss[:7] < 1.3 * FLOOR).all()
    assert (found.loss[7:] > 1e-2).all()
    assert np.abs(found.reconstruction[:7] * 255 - images).max() < 1


def test_what_comes_back_belongs_together(generator, images, quick):
    assert quick.loss.shape == quick.distance.shape == quick.restart.shape == (7,)
    assert quick.latent.shape == (7, 4)
    assert quick.reconstruction.shape == (7, 8, 8, 3)
    assert quick.loss.dtype == quick.latent.dtype == quick.reconstruction.dtype == np.float32
    assert quick.reconstruction.min() >= 0 and quick.reconstruction.max() <= 1
    np.testing.assert_allclose(generator(quick.latent), quick.reconstruction, atol=1e-6)
    error = ((quick.reconstruction - images / 255) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(quick.loss, error, rtol=1e-3)
    assert np.array_equal(quick.steps, [24] * 7)
    assert set(quick.restart) <= {0, 1}


def test_both_drivers_give_the_same_result(generator, images, quick):
    # 12 steps in chunks of 5: the last chunk is a shorter one.
    recipe = dataclasses.replace(QUICK, driver="scan", chunk=5)
    scanned = invert(generator, images, recipe, key=KEY)
    np.testing.assert_allclose(scanned.loss, quick.loss, rtol=1e-4)
    np.testing.assert_allclose(scanned.latent, quick.latent, atol=1e-4)
    assert np.array_equal(scanned.restart, quick.restart)


def test_the_same_call_gives_the_same_bits(generator, images, quick):
    assert same(invert(generator, images, QUICK, key=KEY), quick)


def test_an_image_alone_gives_the_same_bits_as_in_a_batch(generator, images, quick):
    for i in (0, 6):
        alone = invert(generator, images[i : i + 1], QUICK, key=KEY)
        assert same(alone, [part[i : i + 1] for part in quick])


def test_the_order_of_images_changes_no_bit(generator, images, quick):
    order = np.asarray([3, 6, 0, 5, 1, 4, 2])
    assert same(invert(generator, images[order], QUICK, key=KEY), [part[order] for part in quick])


def test_an_image_twice_in_a_batch_gets_one_result(generator, images, quick):
    twice = invert(generator, images[[2, 0, 2]], QUICK, key=KEY)
    assert same(twice, [part[[2, 0, 2]] for part in quick])


def test_floats_give_the_same_bits_as_the_8_bit_image_that_they_are(generator, images, quick):
    assert same(invert(generator, images / np.float32(255), QUICK, key=KEY), quick)
    assert same(invert(generator, jnp.asarray(images), QUICK, key=KEY), quick)


def test_another_key_starts_elsewhere(generator, images, quick):
    other = invert(generator, images, QUICK, key=jax.random.key(1))
    assert (other.latent != quick.latent).any(axis=1).all()


def test_each_image_and_restart_starts_elsewhere(generator, images):
    # A step too small to move: the latent is the starting point.
    still = Stage(solvers.Optax("sgd", 1e-30), steps=1)
    recipe = dataclasses.replace(QUICK, start=starts.Prior(), stages=(still,), restarts=1)
    one = invert(generator, images, recipe, key=KEY).latent
    assert len(np.unique(one.round(4), axis=0)) == 7
    two = invert(generator, images, dataclasses.replace(recipe, restarts=2), key=KEY)
    # Another number of restarts is another program, whose last bit may differ.
    moved = ~np.isclose(two.latent, one, rtol=1e-5, atol=1e-6).all(axis=1)
    assert np.array_equal(moved, two.restart == 1) and moved.any() and not moved.all()
    scaled = dataclasses.replace(recipe, start=starts.Scaled((0.25,)))
    np.testing.assert_allclose(
        invert(generator, images, scaled, key=KEY).latent, one * 0.25, rtol=1e-6
    )


def test_more_restarts_are_never_worse(generator, images):
    recipe = dataclasses.replace(QUICK, start=starts.Prior(), restarts=1)
    one = invert(generator, images, recipe, key=KEY)
    three = invert(generator, images, dataclasses.replace(recipe, restarts=3), key=KEY)
    assert (three.loss <= one.loss).all()
    assert (three.loss < one.loss).any()


def test_a_polish_is_never_worse(generator, images, quick):
    # At this rate the polish jumps about: what the search found must stand.
    wild = Stage(solvers.Optax("sgd", 1e5), steps=4, objective="l2")
    kept = invert(
        generator, images, dataclasses.replace(QUICK, stages=(*QUICK.stages, wild)), key=KEY
    )
    assert (kept.loss <= quick.loss).all()
    fine = dataclasses.replace(
        QUICK,
        stages=(*QUICK.stages, Stage(solvers.Optax("adam", 0.02), steps=20, objective="log_l2")),
    )
    polished = invert(generator, images, fine, key=KEY)
    assert (polished.loss < quick.loss).all()
    assert np.array_equal(polished.steps, [2 * 12 + 2 * 20] * 7)


@pytest.mark.parametrize(
    "solver",
    [
        solvers.Optax("sgd", 5.0, options={"momentum": 0.5}),
        solvers.Optax("lion", 0.1),
        solvers.Optax("adamw", 0.2, options={"weight_decay": 1e-4}),
        optax.chain(optax.clip(1.0), optax.adam(0.2)),
    ],
    ids=["sgd", "lion", "adamw", "a chain"],
)
def test_any_optimiser_of_optax_descends(generator, images, solver):
    def loss(steps):
        stage = Stage(solver, steps=steps, objective="l2")
        recipe = dataclasses.replace(QUICK, restarts=1, stages=(stage,))
        return invert(generator, images, recipe, key=KEY).loss

    assert (loss(40) < 0.2 * loss(1)).all()


@pytest.mark.parametrize("objective", ["l1", "l2", "log_l2"])
def test_every_objective_descends(generator, images, objective):
    recipe = dataclasses.replace(QUICK, stages=(Stage(steps=40, objective=objective),))
    assert (invert(generator, images, recipe, key=KEY).loss < 1e-3).all()


def test_the_tracked_distance_may_be_l1_and_the_loss_stays_the_squared_error(generator, images):
    found = invert(generator, images, dataclasses.replace(QUICK, distance=distances.L1()), key=KEY)
    difference = found.reconstruction - images / np.float32(255)
    np.testing.assert_allclose(found.distance, np.abs(difference).mean((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(found.loss, (difference**2).mean((1, 2, 3)), rtol=1e-4)


class Autoencoder(nnx.Module):
    """`picture` with the exact inverse as its encoder."""

    latent_shape, image_shape = (4,), (8, 8, 3)

    def __init__(self):
        self.weight = nnx.Param(jnp.asarray(parameters(0)["weight"]))

    def __call__(self, latents):
        return jax.nn.sigmoid(latents @ self.weight[...]).reshape(-1, 8, 8, 3)

    def encode(self, images):
        flat = jnp.clip(images.reshape(-1, 192), 0.01, 0.99)
        return jnp.log(flat / (1 - flat)) @ jnp.linalg.pinv(self.weight[...])


def test_an_encoder_gives_the_start():
    model = Autoencoder()
    own = own_images(model, 3)
    encoded = dataclasses.replace(
        QUICK,
        start=starts.Encoded((0.0,)),
        restarts=1,
        stages=(Stage(solvers.Optax("adam", 1e-3), steps=1),),
    )
    found = invert(model, own, encoded, key=KEY)
    np.testing.assert_allclose(found.latent, model.encode(own / np.float32(255)), atol=1e-4)


def test_a_start_from_an_encoder_needs_one(generator, images):
    recipe = dataclasses.replace(QUICK, start=starts.Encoded())
    with pytest.raises(ValueError, match="Encoded: FunctionGenerator has no encode"):
        invert(generator, images, recipe, key=KEY)


class Projector(nnx.Module):
    """Shows half of its latent; the other half can be anything."""

    latent_shape, image_shape = (2, 8, 8, 3), (8, 8, 3)

    def __call__(self, latents):
        return jax.nn.sigmoid(latents[:, 0])

    def undo(self, images, latents):
        pixels = jnp.clip(images, 0.01, 0.99)
        return latents.at[:, 0].set(jnp.log(pixels / (1 - pixels)))


def test_a_generator_that_undoes_itself_gives_draws_for_starts():
    model = Projector()
    own = own_images(model, 3)
    stages = (Stage(solvers.Optax("adam", 1e-3), steps=1),)
    recipe = dataclasses.replace(QUICK, start=starts.Undone(), restarts=2, stages=stages)
    found = invert(model, own, recipe, key=KEY)
    assert found.loss.max() < 1e-4
    # What no image tells is as the prior draws it, for each image and each run anew.
    hidden = found.latent[:, 1]
    assert 0.9 < hidden.std() < 1.1
    assert abs(np.corrcoef(hidden.reshape(3, -1))[0, 1]) < 0.3
    again = invert(model, own, recipe, key=jax.random.key(9))
    assert np.abs(again.latent[:, 1] - hidden).mean() > 0.5


def test_a_start_that_is_undone_needs_its_generator(generator, images):
    recipe = dataclasses.replace(QUICK, start=starts.Undone())
    with pytest.raises(ValueError, match="Undone: FunctionGenerator has no undo"):
        invert(generator, images, recipe, key=KEY)


class Painter(nnx.Module):
    """A user's own module, of Flax's layers, with a grid as its latent and a prior of its own."""

    latent_shape, image_shape = (4, 4, 2), (8, 8, 1)

    def __init__(self, *, rngs):
        self.conv = nnx.Conv(2, 8, (3, 3), rngs=rngs)
        self.out = nnx.Conv(8, 1, (3, 3), rngs=rngs)

    def sample_latents(self, key, num):
        return jax.random.uniform(key, (num, 4, 4, 2), minval=-1)

    def __call__(self, latents):
        hidden = jnp.repeat(jnp.repeat(jnp.tanh(self.conv(latents)), 2, axis=1), 2, axis=2)
        return jax.nn.sigmoid(self.out(hidden))


@pytest.mark.outer
def test_a_module_of_the_user_is_inverted():
    model = Painter(rngs=nnx.Rngs(0))
    own = own_images(model, 4)
    recipe = dataclasses.replace(GOOD, restarts=1)
    found = invert(model, own, recipe, key=KEY)
    assert found.latent.shape == (4, 4, 4, 2)
    assert (found.loss < 4 * FLOOR).all()


def test_nothing_is_compiled_again_from_batch_to_batch(generator, images, quick):
    del quick  # by now this recipe has been compiled
    other = tiny(seed=3)
    inspected(other)  # A generator is tried once before it is inverted.
    before = len(TRACES)
    for num in (1, 5, 7):
        invert(generator, images[:num], QUICK, key=jax.random.key(num))
    # Other weights in the same architecture need no new program either.
    invert(other, images, QUICK, key=KEY)
    assert len(TRACES) == before


def hollow(params, latents):
    """An image of any latent, but not of those near 0."""
    there = jnp.sum(latents**2, axis=1) > 1e-6
    return jnp.where(there[:, None, None, None], picture(params, latents), jnp.nan)


@pytest.mark.parametrize("distance", [distances.L1(), distances.L2()], ids=["l1", "l2"])
def test_where_there_is_only_nan_the_loss_is_infinite(images, distance):
    recipe = dataclasses.replace(
        QUICK,
        start=starts.Scaled((0.0,)),
        distance=distance,
        stages=(Stage(steps=12), Stage(steps=2)),
    )
    found = invert(tiny(fn=hollow), images, recipe, key=KEY)
    assert np.isposinf(found.loss).all()
    assert np.isposinf(found.distance).all()


def test_a_generator_of_nan_is_refused(images):
    broken = tiny(params=jax.tree.map(lambda x: x * np.nan, parameters(0)))
    with pytest.raises(ValueError, match="NaN or infinite pixels"):
        invert(broken, images, QUICK, key=KEY)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((2, 8, 6, 3), np.uint8), r"images are \(8, 6, 3\).*makes \(8, 8, 3\)"),
        (np.zeros((2, 8, 8, 1), np.uint8), r"images are \(8, 8, 1\).*makes \(8, 8, 3\)"),
        (np.zeros((8, 8, 3), np.uint8), r"must be \[N, H, W, C\].*images\[None\]"),
        (np.zeros((2, 8, 8, 3), np.int32), "uint8, or floats"),
        (np.full((2, 8, 8, 3), 7.0), r"must lie in \[0, 1\]"),
        (np.full((2, 8, 8, 3), np.nan), "NaN"),
        (np.zeros((0, 8, 8, 3), np.uint8), "no images"),
    ],
)
def test_images_that_do_not_fit_are_refused(generator, wrong, message):
    with pytest.raises(ValueError, match=message):
        invert(generator, wrong, QUICK, key=KEY)


def grey(params, latents):
    return picture(params, latents)[..., :1]


def test_a_generator_that_makes_another_shape_than_it_says_is_refused(images):
    message = r"images of shape \(2, 8, 8, 1\).*image_shape says \(2, 8, 8, 3\)"
    with pytest.raises(ValueError, match=message):
        invert(tiny(fn=grey), images, QUICK, key=KEY)


@pytest.mark.parametrize("driver", ["host", "scan"])
def test_progress_is_told_in_images(generator, images, driver):
    told: list[tuple] = []
    recipe = dataclasses.replace(
        QUICK, driver=driver, chunk=5, stages=(Stage(steps=12), Stage(steps=12))
    )
    run = Run(progress=lambda *what: told.append(what))
    found = invert(generator, images, recipe, key=KEY, run=run)
    assert set(found.steps) == {recipe.evaluations((4,))}
    names, done, totals = zip(*told, strict=True)
    assert set(names) == {"inverting"} and set(totals) == {7}
    assert (np.diff(done) >= 0).all() and done[-1] == pytest.approx(7)
    # Not only as images come out.
    assert len(told) > 3 and 0 < done[0] < 7


# Three lanes, the best two, the best one; checks every four steps, then at each Jacobian.
FALLING = Recipe(
    start=starts.Scaled((0.2, 0.5, 0.8)),
    restarts=3,
    stages=(
        Stage(steps=18),
        Stage(solvers.Optax("adam", 0.1), steps=16, objective="log_l2", lanes=2, tolerance=0.02),
        Stage(solvers.LevenbergMarquardt(), steps=6, lanes=1, tolerance=0.02),
    ),
    lane_block=8,
    driver="host",
    chunk=4,
)


@pytest.fixture(scope="module")
def mixed(generator):
    """More images than there are lanes: 15 of the generator's own and 6 of noise, shuffled."""
    rng = np.random.default_rng(2)
    noise = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    order = rng.permutation(21)
    return np.concatenate([own_images(generator, 15), noise])[order], order < 15


@pytest.fixture(scope="module")
def in_full(generator, mixed):
    return invert(generator, mixed[0], FALLING, key=KEY)


@pytest.fixture(scope="module")
def levels(generator):
    """Above these no other image of the generator's own is at a check."""
    return 2 * invert(generator, own_images(generator, 30, seed=8), FALLING, key=KEY).curve.max(0)


def test_lanes_that_refill_change_no_bit(generator, mixed, levels):
    images, own = mixed
    recipe, how = dataclasses.replace(FALLING, floor=1.25e-6), {"accept": 4e-6, "futility": levels}
    found = invert(generator, images, recipe, key=KEY, **how)
    # Images ended in different ways, after different numbers of steps.
    assert set(found.ended[own]) >= {"accepted", "floor"}
    assert set(found.ended[~own]) == {"futile"}
    assert len(set(found.steps)) > 4
    for i in range(len(images)):
        alone = invert(generator, images[i : i + 1], recipe, key=KEY, **how)
        assert same(alone, [part[i : i + 1] for part in found])


def test_an_accepted_image_ends_early_at_a_loss_that_is_low_enough(generator, mixed, in_full):
    images, _ = mixed
    for accept in (1e-2, 1e-4, 2e-6):
        found = invert(generator, images, FALLING, key=KEY, accept=accept)
        accepted = found.ended == "accepted"
        assert accepted.any()
        # The very images that come so near in the end; the others are run in full.
        assert np.array_equal(found.loss <= accept, in_full.loss <= accept)
        assert np.array_equal(accepted, found.loss <= accept)
        assert (found.loss >= in_full.loss).all()
        assert (found.steps[accepted] <= in_full.steps[accepted]).all()
        assert (found.steps[accepted] < in_full.steps[accepted]).any()
        assert same([part[~accepted] for part in found], [part[~accepted] for part in in_full])
        # At the check before, the distance was still above.
        for row in found.curve[accepted]:
            first = int(np.argmax(row <= accept))
            assert (row[first:] == row[first]).all() and (row[:first] > accept).all()


def test_what_is_accepted_is_the_tracked_distance(generator, images):
    recipe = dataclasses.replace(QUICK, distance=distances.L1(), chunk=4)
    found = invert(generator, images, recipe, key=KEY, accept=0.05)
    accepted = found.ended == "accepted"
    assert accepted.any() and (found.distance[accepted] <= 0.05).all()
    assert (found.distance[~accepted] > 0.05).all()


def test_an_image_at_the_floor_is_done(generator, mixed, in_full):
    images, _ = mixed
    found = invert(generator, images, dataclasses.replace(FALLING, floor=1e-5), key=KEY)
    done = found.ended == "floor"
    assert np.array_equal(done, in_full.loss <= 1e-5) and done.any()
    assert (found.loss[done] <= 1e-5).all()
    assert (found.steps[done] < in_full.steps[done]).any()
    assert set(found.ended[~done]) == {"finished"}
    assert same([part[~done] for part in found], [part[~done] for part in in_full])
    # Where both would do, it is the floor: that end is part of the recipe.
    recipe = dataclasses.replace(FALLING, floor=1e-5)
    assert "accepted" not in invert(generator, images, recipe, key=KEY, accept=1e-5).ended


def test_images_that_fall_too_slowly_are_given_up(generator, mixed, in_full, levels):
    images, own = mixed
    found = invert(generator, images, FALLING, key=KEY, futility=levels)
    assert np.array_equal(found.ended == "futile", ~own)
    assert (found.steps[~own] < 0.5 * in_full.steps[~own]).all()
    assert same([part[own] for part in found], [part[own] for part in in_full])
    # They are given up at the first check that is above its level.
    for row in in_full.curve[~own]:
        assert (row > levels).any()
    for row, full in zip(found.curve[~own], in_full.curve[~own], strict=True):
        first = int(np.argmax(full > levels))
        assert np.array_equal(row[: first + 1], full[: first + 1])
        assert (row[first:] == full[first]).all()


def test_the_last_level_of_futility_counts_for_later_checks_too(generator, mixed, in_full):
    images, _ = mixed
    found = invert(generator, images, FALLING, key=KEY, futility=(1.0, 1.0, 1e-4))
    # At the third check, in the first stage, when hardly any image has come so near.
    assert np.array_equal(found.ended == "futile", in_full.curve[:, 2] > 1e-4)
    found = invert(generator, images, FALLING, key=KEY, futility=(*[1.0] * 5, 1e-4))
    assert np.array_equal(found.ended == "futile", (in_full.curve[:, 5:] > 1e-4).any(axis=1))


@pytest.mark.parametrize("level", [0.0, float("nan")])
def test_a_level_of_futility_is_a_positive_distance(generator, images, level):
    with pytest.raises(ValueError, match=f"futility.*positive.*{level}"):
        invert(generator, images, QUICK, key=KEY, futility=(0.1, level))


def test_the_best_lanes_enter_the_next_stage(generator, images):
    still = Stage(solvers.Optax("sgd", 1e-30), steps=1)
    recipe = dataclasses.replace(QUICK, start=starts.Prior(), restarts=4, stages=(still,))
    best = invert(generator, images, recipe, key=KEY)
    assert len(set(best.restart)) > 2
    # Sent on alone, the best starting point stays what it is.
    one = dataclasses.replace(still, lanes=1)
    for stages in ((still, one), (still, dataclasses.replace(still, lanes=2), one)):
        recipe = dataclasses.replace(recipe, stages=stages)
        found = invert(generator, images, recipe, key=KEY)
        assert np.array_equal(found.restart, best.restart)
        np.testing.assert_allclose(found.latent, best.latent, rtol=1e-6)
        np.testing.assert_allclose(found.loss, best.loss, rtol=1e-5)


def test_halving_goes_on_from_where_the_best_lanes_ended(generator, images):
    first = Stage(solvers.Optax("adam", 0.1, schedule="constant"), steps=10, objective="l2")
    recipe = dataclasses.replace(QUICK, start=starts.Prior(), restarts=4, stages=(first,))
    before = invert(generator, images, recipe, key=KEY)
    halving = (first, dataclasses.replace(first, lanes=2), dataclasses.replace(first, lanes=1))
    found = invert(generator, images, dataclasses.replace(recipe, stages=halving), key=KEY)
    assert found.steps.tolist() == [4 * 10 + 2 * 10 + 10] * 7
    assert (found.loss < 0.9 * before.loss).all()
    np.testing.assert_allclose(found.curve[:, 0], before.loss, rtol=1e-6)
    # Four lanes all the way take more evaluations, and come no nearer than these four's best.
    whole = (first, first, first)
    thorough = invert(generator, images, dataclasses.replace(recipe, stages=whole), key=KEY)
    assert thorough.steps.tolist() == [120] * 7
    assert (thorough.loss <= found.loss * (1 + 1e-4)).all()


WILD = solvers.Optax("sgd", 1e6)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (solvers.Optax(), WILD),
        (solvers.LevenbergMarquardt(), WILD),
        (solvers.LevenbergMarquardt(), solvers.LevenbergMarquardt()),
        (solvers.GaussNewton(), solvers.LevenbergMarquardt()),
    ],
)
def test_without_a_tolerance_every_step_is_made(generator, first, second):
    images = np.random.default_rng(2).integers(0, 256, (32, 8, 8, 3), dtype=np.uint8)
    # After the first stage there is nothing to gain, and at this rate nothing is found; that a loss
    # is rounded otherwise in another stage's program makes no difference.
    stages = (
        Stage(first, steps=12),
        Stage(second, steps=12, objective="l2"),
    )
    recipe = dataclasses.replace(QUICK, restarts=1, stages=stages, chunk=3)
    found = invert(generator, images, recipe, key=KEY)
    assert set(found.steps) == {recipe.evaluations((4,))}
    assert set(found.ended) == {"finished"}


def test_a_lane_that_no_longer_falls_is_done_with_its_stage(generator, mixed):
    images, own = mixed
    patient = Stage(solvers.LevenbergMarquardt(), steps=12)
    recipe = dataclasses.replace(QUICK, start=starts.Scaled((0.2,)), restarts=1, stages=(patient,))
    full = invert(generator, images, recipe, key=KEY)
    hasty = dataclasses.replace(recipe, stages=(dataclasses.replace(patient, tolerance=0.1),))
    found = invert(generator, images, hasty, key=KEY)
    assert set(full.steps) == {recipe.evaluations((4,))}
    assert (found.steps < full.steps).all()
    assert (found.loss[own] < 1.3 * FLOOR).all()
    for index, row in enumerate(full.curve):
        falls = np.concatenate([[np.inf], row[:-1]])
        (stops,) = np.nonzero(row > 0.9 * falls)
        assert found.steps[index] == np.ceil((stops[0] + 1) * (2 * 4 + 9) / 3)
        assert found.loss[index] == row[stops[0]]


def test_a_stage_that_cannot_begin_better_than_the_one_before_ends_by_its_tolerance(
    generator, images
):
    still = Stage(solvers.Optax("sgd", 1e-30), steps=10, tolerance=0.1)
    recipe = dataclasses.replace(QUICK, stages=(*QUICK.stages, still), chunk=2)
    found = invert(generator, images, recipe, key=KEY)
    assert found.steps.tolist() == [2 * 12 + 2 * 2] * 7


def bumpy(params, latents):
    """8x8 images in each of whose pixels a latent can get stuck: a slope with waves on it."""
    waves = latents + 0.8 * jnp.sin(6 * latents)
    flat = jax.nn.sigmoid(0.5 * waves @ params["weight"])
    return flat.reshape(-1, 8, 8, 3)


HOPPING = Recipe(
    start=starts.Prior(),
    restarts=2,
    stages=(
        Stage(solvers.GaussNewton(), steps=10, tolerance=0.2),
        Stage(solvers.GaussNewton(), steps=8, tolerance=0.2, hop=0.2, rounds=8),
        Stage(solvers.GaussNewton(), steps=8, tolerance=0.2, hop=0.2, lanes=1),
    ),
    floor=4e-6,
    lane_block=8,
)


@pytest.mark.outer
def test_hops_find_what_lanes_that_are_stuck_do_not():
    generator = tiny(fn=bumpy)
    images = own_images(generator, 24)
    still = dataclasses.replace(HOPPING, stages=HOPPING.stages[:1])
    without = invert(generator, images, still, key=KEY)
    found = invert(generator, images, HOPPING, key=KEY)
    # What a lane had found is kept where a hop finds nothing better.
    assert (found.distance <= without.distance).all()
    stuck = without.distance > 1e-4
    assert stuck.sum() >= 8 and (found.distance[stuck] < 1e-5).sum() >= 4
    made = generator(jnp.asarray(found.latent))
    np.testing.assert_allclose(made, found.reconstruction, atol=1e-5)
    # No hop for an image that is done.
    assert (found.steps[~stuck] == without.steps[~stuck]).all()
    assert found.curve.shape == (24, 10 + 8 * 8 + 8)
    assert (np.diff(found.curve, axis=1) <= 0).all()


@pytest.mark.outer
def test_only_images_that_miss_little_in_few_places_go_on_where_a_stage_asks_for_it():
    generator = tiny(fn=bumpy)
    images = own_images(generator, 24)
    still = dataclasses.replace(HOPPING, stages=HOPPING.stages[:1])
    without = invert(generator, images, still, key=KEY)
    even = distances.L2().evenness(without.reconstruction, images / np.float32(255))
    even = np.asarray(even)
    undecided = without.distance > HOPPING.floor
    lower, higher = np.sort(even[undecided])[[undecided.sum() // 2 - 1, undecided.sum() // 2]]
    assert higher - lower > 1e-4  # No image is on the border.
    level = float((lower + higher) / 2)
    first, hopping, _ = HOPPING.stages
    asking = dataclasses.replace(hopping, evenness=level)
    recipe = dataclasses.replace(HOPPING, stages=(first, asking))
    told: list[tuple] = []
    run = Run(progress=lambda *what: told.append(what))
    found = invert(generator, images, recipe, key=KEY, run=run)
    out, let_in = (undecided & (even > level), undecided & (even <= level))
    assert out.sum() >= 3 and let_in.sum() >= 3
    assert (found.distance[~let_in] == without.distance[~let_in]).all()
    # Those that are left out have been asked once, and one that is done never.
    assert (found.steps[out] == np.ceil(without.steps[out] - 1e-3 + 1 / 3)).all()
    assert (found.steps[~undecided] == without.steps[~undecided]).all()
    assert (found.ended[out] == "finished").all()
    # The others hop as if all did, until they are asked again.
    everyone = dataclasses.replace(recipe, stages=(first, hopping))
    hopped = invert(generator, images, everyone, key=KEY)
    assert (found.steps[let_in] > without.steps[let_in] + 8).all()
    assert (found.distance[let_in] >= hopped.distance[let_in]).all()
    assert (found.distance[let_in] < without.distance[let_in]).any()
    most = sum(stage.evaluations(4, 2) for stage in recipe.stages)
    assert told[-1][1] == pytest.approx(24)
    assert recipe.evaluations(generator.latent_shape) == math.ceil(most)


@pytest.mark.outer
def test_where_a_lane_hops_depends_on_its_image_alone():
    generator = tiny(fn=bumpy)
    images = own_images(generator, 9)
    first, second, third = HOPPING.stages
    asking = (first, dataclasses.replace(second, evenness=0.9), third)
    for recipe in (HOPPING, dataclasses.replace(HOPPING, stages=asking)):
        found = invert(generator, images, recipe, key=KEY)
        assert same(invert(generator, images[::-1], recipe, key=KEY), [p[::-1] for p in found])
        assert same(invert(generator, images[4:5], recipe, key=KEY), [p[4:5] for p in found])
        several = invert(generator, images, recipe, key=KEY, run=Run(blocks=3))
        assert same(several, found)


def test_hops_are_draws_of_mean_0_spread_as_the_prior_is():
    class Aside(FunctionGenerator):
        def sample_latents(self, key, num):
            return 5 + 2 * jax.random.normal(key, (num, 4))

    generator = Aside(picture, parameters(0), latent_shape=(4,), image_shape=(8, 8, 3))
    keys = jax.random.split(KEY, (200, 2))
    found = np.asarray(hop_directions(generator, keys, 5))
    assert found.shape == (200, 2, 5, 4)
    assert abs(found.mean()) < 0.1 and found.std() == pytest.approx(2, rel=0.05)
    # Each lane and each hop has its own.
    assert len(np.unique(found.reshape(-1, 4), axis=0)) == 2000
    assert hop_directions(generator, keys, 0).shape == (200, 2, 0, 4)


@pytest.mark.parametrize("blocks", [2, 3, 7])
def test_blocks_in_flight_change_no_bit(generator, levels, blocks):
    images = own_images(generator, 60)
    recipe = dataclasses.replace(FALLING, restarts=2, lane_block=8)
    one, more = Statistics(), Statistics()
    alone, found = (
        invert(generator, images, recipe, key=KEY, accept=1e-5, futility=levels, run=run)
        for run in (Run(blocks=1, statistics=one), Run(blocks=blocks, statistics=more))
    )
    assert same(alone, found)
    assert more.images == 60 and more.evaluations == one.evaluations
    # At the end the blocks of a stage run empty one after the other.
    assert more.occupancy > 0.6


def test_several_blocks_are_in_flight_where_images_suffice(generator):
    sent, most = [], 0

    class Watched(Engine):
        def _send(self, pool):
            nonlocal most
            sent.append(pool)
            most = max(most, len(sent))
            super()._send(pool)

        def _receive(self, pool):
            sent.remove(pool)  # in the order in which they were sent
            yield from super()._receive(pool)

    recipe = dataclasses.replace(QUICK, lane_block=8)
    engine = Watched(generator, recipe, key=KEY, run=Run(blocks=3))
    assert len(list(engine.run(items(own_images(generator, 50))))) == 50
    assert most == 3 and not sent


class Device:
    """What the engine asks a device with so much memory."""

    def __init__(self, memory):
        self.memory = memory

    def memory_stats(self):
        return {"bytes_limit": self.memory} if self.memory else None


def test_as_many_blocks_as_memory_holds(generator):
    engine = Engine(generator, QUICK, key=KEY)
    # Of each stage what goes in, and of the largest what is needed on the way.
    one = max(plan.bytes for plan in engine.plan(repeats=1))

    def blocks(memory):
        engine._devices = [Device(memory), Device(None if memory is None else 2 * memory)]
        engine._blocks = None
        return engine.blocks

    assert blocks(None) == blocks(one // 10) == blocks(one) == 1
    assert blocks(100 * one) == 4
    found = [blocks(share * one) for share in range(1, 20)]
    assert found == sorted(found) and set(found) == {1, 2, 3, 4}
    with pytest.raises(ValueError, match="blocks must be at least 1, not 0"):
        Run(blocks=0)


@pytest.mark.parametrize("driver", ["host", "scan"])
@pytest.mark.parametrize(
    "solver",
    [
        # With numbers that no other test has: programs are kept from one to the next.
        solvers.Optax("adam", 0.07),
        solvers.GaussNewton(damping=2e-4),
        solvers.LevenbergMarquardt(damping=2e-3),
        pytest.param(solvers.Optax("lion", 0.07), marks=pytest.mark.outer),
        pytest.param(solvers.LBFGS(memory_size=9), marks=pytest.mark.outer),
    ],
)
def test_a_stage_compiles_one_program_for_all_its_steps(generator, solver, driver):
    stage = Stage(solver, steps=4)
    recipe = dataclasses.replace(QUICK, stages=(stage,), driver=driver, chunk=2, lane_block=2)
    engine = Engine(generator, recipe, key=KEY)
    # Three images in one block after the other: a carry comes from `init`, a step and `refill`.
    assert len(list(engine.run(items(own_images(generator, 3))))) == 3
    assert engine._stages[0][0].programs.one._cache_size() == 1


@pytest.mark.parametrize("restarts", [pytest.param(1, marks=pytest.mark.outer), 2])
def test_no_place_stays_empty_while_images_wait(generator, restarts):
    images = own_images(generator, 256)
    statistics = Statistics()
    stages = (Stage(steps=10), Stage(steps=10, objective="log_l2", lanes=1))
    recipe = dataclasses.replace(QUICK, restarts=restarts, stages=stages, lane_block=16)
    found = invert(generator, images, recipe, key=KEY, run=Run(statistics=statistics))
    assert set(found.steps) == {10 * restarts + 10}
    assert statistics.images == 256
    assert statistics.useful_lane_steps == 256 * (10 * restarts + 10)
    assert 0.95 <= statistics.occupancy <= 1


def test_places_are_filled_again_when_images_end_at_different_times(generator, levels):
    images = own_images(generator, 160)
    statistics = Statistics()
    recipe, run = dataclasses.replace(FALLING, restarts=2), Run(statistics=statistics)
    found = invert(generator, images, recipe, key=KEY, accept=1e-4, futility=levels, run=run)
    assert len(set(found.steps)) > 4
    # The last check after 18 steps, and the end when no more images come, leave some unused.
    assert 0.85 < statistics.occupancy < 1
    assert statistics.evaluations == pytest.approx(found.steps.sum(), rel=0.01)


def test_the_curve_falls_to_the_distance(generator, mixed, in_full):
    images, _ = mixed
    # 5 checks of 4 steps in 18, 4 in 16, and one after each of 6 Jacobians.
    assert FALLING.checks == 15
    by_l1 = dataclasses.replace(FALLING, distance=distances.L1())
    for found in (in_full, invert(generator, images, by_l1, key=KEY)):
        assert found.curve.shape == (21, 15) and found.curve.dtype == np.float32
        assert (np.diff(found.curve, axis=1) <= 0).all()
        assert np.array_equal(found.curve[:, -1], found.distance)
        assert (found.curve[:, 0] > found.curve[:, -1]).all()


def test_checks_fall_at_the_same_place_of_the_curve_whatever_was_saved_before(generator, images):
    # A first stage that ends at its first check, and one that goes through all of them.
    first = Stage(solvers.Optax("sgd", 1e-30), steps=12)
    second = Stage(solvers.LevenbergMarquardt(), steps=3)
    rows = []
    for tolerance in (0.0, 0.1):
        stages = (dataclasses.replace(first, tolerance=tolerance), second)
        recipe = dataclasses.replace(QUICK, stages=stages, chunk=3)
        rows.append(invert(generator, images, recipe, key=KEY))
    assert rows[0].curve.shape == rows[1].curve.shape == (7, 4 + 3)
    assert np.array_equal(rows[0].curve, rows[1].curve)
    assert (rows[0].steps > rows[1].steps).all()


def test_steps_are_counted_where_checks_do_not_divide_them(generator, images):
    def inverted(chunk):
        stages = (Stage(steps=11), Stage(steps=7, objective="l2"))
        recipe = dataclasses.replace(QUICK, stages=stages, chunk=chunk)
        statistics = Statistics()
        found = invert(generator, images, recipe, key=KEY, run=Run(statistics=statistics))
        assert statistics.useful_lane_steps == statistics.evaluations == 7 * 2 * 18
        return found

    coarse, fine = inverted(11), inverted(4)
    assert coarse.steps.tolist() == fine.steps.tolist() == [2 * 11 + 2 * 7] * 7
    assert coarse.curve.shape == (7, 2) and fine.curve.shape == (7, 3 + 2)
    assert np.array_equal(coarse.latent, fine.latent) and np.array_equal(coarse.loss, fine.loss)


@pytest.mark.parametrize(
    "solver",
    [
        solvers.LevenbergMarquardt(),
        pytest.param(solvers.GaussNewton(), marks=pytest.mark.outer),
        pytest.param(solvers.LBFGS(), marks=pytest.mark.outer),
    ],
)
def test_both_drivers_give_the_same_result_for_every_solver(generator, images, solver):
    stages = (Stage(steps=12), Stage(solver, steps=4, objective="l2", lanes=1))
    found = [
        invert(generator, images, dataclasses.replace(QUICK, stages=stages, driver=driver), key=KEY)
        for driver in ("host", "scan")
    ]
    np.testing.assert_allclose(found[0].loss, found[1].loss, rtol=2e-2)
    np.testing.assert_allclose(found[0].latent, found[1].latent, atol=2e-3)
    assert np.array_equal(found[0].restart, found[1].restart)
    assert found[0].curve.shape == found[1].curve.shape == (7, 2 + 4)


def test_bfloat16_comes_nearly_as_near(generator, images):
    half = dataclasses.replace(GOOD, compute="bfloat16")
    found = invert(generator, images, half, key=KEY)
    exact = invert(generator, images, GOOD, key=KEY)
    assert found.loss.dtype == found.latent.dtype == found.reconstruction.dtype == np.float32
    # A pixel near 1 is off by 1 / 512 at the most: no more than 8 bits are.
    assert (found.loss < 6 * FLOOR).all()
    assert (found.loss > exact.loss).all()
    np.testing.assert_allclose(found.latent, exact.latent, atol=0.03)
    error = ((found.reconstruction - images / np.float32(255)) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(found.loss, error, rtol=1e-3)
    # What it makes is of bfloat16.
    as_made = found.reconstruction.astype(jnp.bfloat16).astype(np.float32)
    assert np.array_equal(as_made, found.reconstruction)


def test_statistics_add_up(images):
    statistics = Statistics()
    assert np.isnan(statistics.occupancy)
    model = tiny(fn=lambda params, latents: picture(params, latents))  # not compiled before
    began = time.perf_counter()
    found = invert(model, images, QUICK, key=KEY, run=Run(statistics=statistics))
    wall = time.perf_counter() - began
    assert statistics.images == 7
    assert statistics.evaluations == found.steps.sum() == 7 * 2 * 12
    # Of 14 lanes eight run together and then six, twelve steps each.
    assert statistics.lane_steps == 2 * 8 * 12
    assert statistics.useful_lane_steps == 14 * 12
    assert statistics.occupancy == 14 / 16
    assert set(statistics.seconds) == {"compile", "images", "refill", "device", "host"}
    assert min(statistics.seconds.values()) >= 0
    assert statistics.seconds["compile"] > 0 and statistics.seconds["device"] > 0
    assert sum(statistics.seconds.values()) <= wall
    compiled = statistics.seconds["compile"]
    invert(model, images[:1], QUICK, key=KEY, run=Run(statistics=statistics))
    assert statistics.images == 8
    assert statistics.evaluations == 8 * 2 * 12
    assert statistics.lane_steps == 3 * 8 * 12
    assert statistics.seconds["compile"] == compiled


def test_images_without_end_are_inverted_as_they_come(generator, mixed):
    images, _ = mixed
    taken = 0

    def without_end():
        nonlocal taken
        for index in itertools.count():
            taken += 1
            yield Item(index, images[index % 21], 1e-4)

    seen = set()
    for index, found in Engine(generator, FALLING, key=KEY).run(without_end()):
        seen.add(index)
        assert found.latent.shape == (4,)
        # Lanes of three stages run, and less than a block of images waits.
        assert taken - len(seen) < 3 * FALLING.lane_block
        if len(seen) == 100:
            break
    assert len(seen) == 100 and max(seen) < taken


def test_an_image_comes_out_as_soon_as_it_is_decided(generator, mixed, levels):
    images, own = mixed
    engine = Engine(generator, FALLING, key=KEY, futility=levels)
    order = [index for index, _ in engine.run(items(images))]
    assert sorted(order) == list(range(21))
    assert order != sorted(order)
    # All the noise of the first block is given up before the first own image is through.
    through = min(order.index(i) for i in range(21) if own[i])
    assert all(order.index(i) < through for i in range(8) if not own[i])


def test_an_image_of_another_shape_is_refused_when_its_turn_comes(generator, images):
    many = [*images, *images, *images, np.zeros((8, 6, 3), np.uint8)]
    done = []
    with pytest.raises(ValueError, match=r"images are \(8, 6, 3\).*makes \(8, 8, 3\)"):
        done.extend(Engine(generator, QUICK, key=KEY).run(items(many)))


def test_floats_and_8_bit_images_may_follow_each_other(generator, images, quick):
    black = np.zeros((8, 8, 3), np.uint8)
    black[0, 0] = 1  # as a float this would be white
    stream = [*images[:3], images[3] / np.float32(255), black, *images[4:]]
    found = dict(Engine(generator, QUICK, key=KEY).run(items(stream)))
    assert all(same(found[i], [part[i] for part in quick]) for i in range(4))
    assert all(same(found[i + 1], [part[i] for part in quick]) for i in (4, 5, 6))
    alone = invert(generator, black[None], QUICK, key=KEY)
    assert same(found[4], [part[0] for part in alone])


@pytest.mark.parametrize("accept", [None, 1e-2])
def test_progress_counts_what_is_saved_as_done(generator, mixed, levels, accept):
    images, _ = mixed
    told: list[float] = []
    found = invert(
        generator,
        images,
        dataclasses.replace(FALLING, floor=1e-5),
        key=KEY,
        accept=accept,
        futility=levels,
        run=Run(progress=lambda what, done, total: told.append(done)),
    )
    assert found.steps.sum() < 0.9 * 21 * FALLING.evaluations((4,))
    assert told[-1] == pytest.approx(21) and (np.diff(told) >= 0).all()


def test_a_plan_says_what_each_stage_takes_and_leaves_the_engine_as_it_was(generator, images):
    engine = Engine(generator, FALLING, key=KEY)
    plans = engine.plan(repeats=1)
    assert [plan.solver for plan in plans] == ["adam", "adam", "levenberg_marquardt"]
    assert [plan.lanes for plan in plans] == [8, 8, 8]
    assert [plan.steps for plan in plans] == [18, 16, 6]
    # 3 lanes of 18 steps, 2 of 16, and 6 Jacobians of 4 columns with 9 forward passes.
    evaluations = [plan.evaluations for plan in plans]
    assert evaluations == pytest.approx([54, 32, 6 * 17 / 3])
    assert math.ceil(sum(evaluations)) == FALLING.evaluations((4,))
    assert [plan.lanes_per_image for plan in plans] == [3, 2, 1]
    for plan in plans:
        assert plan.flops > 0 and plan.bytes > 0 and plan.seconds_per_step > 0
    # 9 images: 27, 18 and 9 lanes, in blocks of 8; the last block costs as much as a full one.
    blocks = [plan.seconds(9) / (plan.steps * plan.seconds_per_step) for plan in plans]
    assert blocks == pytest.approx([4, 3, 2])
    assert plans[2].flops == pytest.approx(17 / 3 * plans[0].flops)
    found = dict(engine.run(items(images)))
    whole = invert(generator, images, FALLING, key=KEY)
    assert all(same(found[i], [part[i] for part in whole]) for i in range(7))


def counted(engine):
    """Has the engine note how many lanes go through `init` and through each call of `refill`."""
    sent = {"init": [], "refill": [], "lanes": []}

    def watched(programs):
        def init(latents, targets):
            sent["init"].append(len(latents))
            return programs.init(latents, targets)

        def refill(slots, latents, targets, carry):
            sent["refill"].append(len(latents))
            block = len(carry.distance)
            sent["lanes"] += [slot for slot in np.asarray(slots) if slot < block]
            return programs.refill(slots, latents, targets, carry)

        return programs._replace(init=init, refill=refill)

    made = engine._pools

    def pools():
        stages = made()
        for pool in itertools.chain(*stages):
            pool.programs = watched(pool.programs)
        return stages

    engine._pools = pools
    return sent


def test_a_refill_sends_the_lanes_that_begin_and_no_others(generator):
    recipe = dataclasses.replace(
        QUICK, start=starts.Prior(), restarts=1, stages=(Stage(steps=12),), lane_block=16
    )
    images = own_images(generator, 80)
    # Some end at their first check, the others at their last: places come free a few at a time.
    order = np.argsort(invert(generator, images, recipe, key=KEY).curve[:, 0])
    accept = np.full(80, -np.inf)
    accept[order[:40]] = np.inf
    engine = Engine(generator, recipe, key=KEY)
    sent = counted(engine)
    many = (Item(i, image, accept[i]) for i, image in enumerate(images))
    assert len(list(engine.run(many))) == 80
    # A whole block once, then quarters of one, hardly any of them in vain.
    assert sent["init"] == [16]
    assert set(sent["refill"]) == {4}
    assert len(sent["lanes"]) == 80 - 16
    assert sum(sent["refill"]) < 1.5 * (80 - 16)


def test_a_stream_that_is_left_off_leaves_the_engine_as_new(generator, images, quick):
    engine = Engine(generator, QUICK, key=KEY)
    stream = engine.run(items([*images[::-1], *images]))
    next(stream)
    stream.close()
    found = dict(engine.run(items(images)))
    assert all(same(found[i], [part[i] for part in quick]) for i in range(7))

    def failing():
        yield from items(images[:5])
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(engine.run(failing()))
    again = dict(engine.run(items(images)))
    assert all(same(again[i], found[i]) for i in range(7))


def test_an_engine_inverts_one_stream_at_a_time(generator, images, quick):
    engine = Engine(generator, QUICK, key=KEY)
    first = engine.run(items(images))
    found = dict([next(first)])
    with pytest.raises(RuntimeError, match="one stream of images at a time"):
        next(engine.run(items(images)))
    found |= dict(first)
    assert all(same(found[i], [part[i] for part in quick]) for i in range(7))


def test_each_item_is_accepted_at_its_own_distance(generator, mixed, in_full):
    images, own = mixed
    accept = np.where(np.arange(21) % 2, 1e-2, np.nan)
    many = [
        Item(("image", i), image, None if np.isnan(level) else level)
        for i, (image, level) in enumerate(zip(images, accept, strict=True))
    ]
    found = dict(Engine(generator, FALLING, key=KEY).run(many))
    for i in range(21):
        ours = found["image", i]
        if i % 2 and own[i]:
            assert ours.ended == "accepted" and ours.distance <= 1e-2
        else:
            assert same(ours, [part[i] for part in in_full])


@pytest.fixture
def short_of_memory(monkeypatch):
    """Makes devices run out of memory: whenever `fails(lanes)` says so before lanes advance."""

    def be(fails):
        def programs(*arguments):
            made = stage_programs(*arguments)

            def advance(weights, carry):
                if fails(len(carry.taken)):
                    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory, 9 bytes")
                return made.advance(weights, carry)

            return made._replace(advance=advance)

        monkeypatch.setattr("jax_origin.inversion.engine.stage_programs", programs)

    return be


def close(first, second):
    """Sums of another number of lanes differ in their last bits."""
    for name in ("restart", "steps", "ended", "reading"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    for name in ("loss", "distance", "latent", "reconstruction", "curve"):
        np.testing.assert_allclose(
            getattr(first, name), getattr(second, name), rtol=1e-3, atol=1e-5
        )


@pytest.mark.outer
def test_out_of_memory_half_of_the_blocks_find_the_same_to_the_bit(
    generator, images, short_of_memory, caplog
):
    recipe, calls = dataclasses.replace(QUICK, chunk=3), itertools.count()
    undisturbed = invert(generator, images, recipe, key=KEY)
    short_of_memory(lambda lanes: next(calls) == 5)  # In the middle of it.
    told, statistics = [], Statistics()
    run = Run(blocks=3, statistics=statistics)
    engine = Engine(generator, recipe, key=KEY, run=run, advance=told.append)
    found = dict(engine.run(items(images)))
    assert same(Inversion.stacked([found[i] for i in range(7)]), undisturbed)
    assert (engine.blocks, statistics.images) == (1, 7)
    assert sum(told) == pytest.approx(7) and min(told) >= 0  # Progress goes back for nobody.
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "out of memory on the device: 8 lanes at a time, not 24"


@pytest.mark.outer
def test_out_of_memory_fewer_lanes_find_the_same(generator, images, quick, short_of_memory, caplog):
    short_of_memory(lambda lanes: lanes > 3)
    found = invert(generator, images, QUICK, key=KEY)
    close(found, quick)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(": ")[2] for line in lines] == [
        "4 lanes at a time, not 8",
        "2 lanes at a time, not 4",
    ]


def test_out_of_memory_with_one_image_alone_is_an_error(generator, images, short_of_memory):
    short_of_memory(lambda lanes: lanes > 1)  # Each image has two.
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        invert(generator, images, QUICK, key=KEY)


def test_another_ones_memory_is_not_this_engines(generator, images):
    def failing():
        yield Item(0, images[0])
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: of whoever makes the images")

    with pytest.raises(jax.errors.JaxRuntimeError, match="whoever"):
        list(Engine(generator, QUICK, key=KEY).run(failing()))
