"""`solve` gives what `invert` gives, and runs inside of jit, vmap and shard_map."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_origin import FunctionGenerator, Recipe, Stage, distances, invert, solve, solvers
from jax_origin.images import as_uint8
from jax_origin.inversion import ENDINGS
from jax_origin.inversion.starts import Start

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(4, 192)).astype(np.float32)
POINTS = RNG.normal(size=(3, 4)).astype(np.float32)
LATENTS = RNG.normal(size=(5, 4)).astype(np.float32)


def render(latents):
    return jax.nn.sigmoid(latents @ WEIGHT).reshape(-1, 8, 8, 3)


def bumpy(latents):
    """Latents can get stuck: a slope with waves on it."""
    return render(0.5 * (latents + 0.8 * jnp.sin(6 * latents)))


class Same(Start):
    """The same points for every image."""

    def points(self, generator, images, keys, encode=None):
        return points(len(images), keys.shape[1])


class Edges(distances.Distance):
    """Squared error of the differences between neighbouring rows."""

    def residual(self, images, targets):
        return jnp.diff(images - targets, axis=1)


def points(num, lanes):
    return jnp.broadcast_to(POINTS[None, :lanes], (num, lanes, 4))


@pytest.fixture(scope="module")
def images():
    """Five that can be made, and three of noise, as 8-bit files hold them."""
    noise = RNG.uniform(size=(3, 8, 8, 3)).astype(np.float32)
    return as_uint8(np.concatenate([render(LATENTS), noise]))


def both(images, recipe, *, of=render):
    """What `invert` and `solve` find of images."""
    model = FunctionGenerator(
        lambda params, latents: of(latents), (), latent_shape=(4,), image_shape=(8, 8, 3)
    )
    recipe = dataclasses.replace(recipe, start=Same(), lane_block=8)
    targets = images / np.float32(255)
    run = jax.jit(lambda targets, start, key: solve(of, targets, recipe, start, key))
    found = run(targets, points(len(images), recipe.restarts), KEY)
    return invert(model, images, recipe, key=KEY), jax.tree.map(np.asarray, found)


def assert_the_same(ours, theirs, rtol=2e-3):
    np.testing.assert_allclose(ours.distance, theirs.distance, rtol=rtol, atol=1e-8)
    np.testing.assert_allclose(ours.latent, theirs.latent, rtol=rtol, atol=2e-3)
    np.testing.assert_allclose(ours.reconstruction, theirs.reconstruction, atol=2e-3)
    np.testing.assert_array_equal(ours.restart, theirs.restart)


@pytest.mark.parametrize(
    "solver",
    [
        solvers.Optax("adam", 0.1),
        solvers.LevenbergMarquardt(updates=3),
        pytest.param(solvers.GaussNewton(iterations=4), marks=pytest.mark.outer),
        pytest.param(solvers.LBFGS(), marks=pytest.mark.outer),
    ],
    ids=lambda solver: solver.kind,
)
def test_it_gives_what_invert_gives_by_every_solver(images, solver):
    stages = (Stage(steps=11), Stage(solver, steps=4, objective="l2", lanes=1))
    theirs, ours = both(images, Recipe(restarts=3, stages=stages, chunk=4))
    assert_the_same(ours, theirs)
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=2e-3, atol=1e-8)
    np.testing.assert_allclose(ours.curve, theirs.curve, rtol=1e-2, atol=1e-8)
    assert ours.curve.shape == theirs.curve.shape
    # Of one whose line searches end elsewhere by a last bit, a trial more or less.
    np.testing.assert_allclose(ours.steps, theirs.steps, atol=2 * (solver.kind == "lbfgs"))
    assert [ENDINGS[i] for i in ours.ended] == theirs.ended.tolist() == ["finished"] * 8


def test_images_end_at_the_floor_and_lanes_by_their_tolerance(images):
    stages = (
        Stage(steps=24),
        Stage(solvers.LevenbergMarquardt(updates=3), steps=9, lanes=2, tolerance=0.2),
        Stage(solvers.GaussNewton(iterations=4), steps=5, lanes=1, tolerance=0.2),
    )
    theirs, ours = both(images, Recipe(restarts=3, stages=stages, floor=5e-6, chunk=6))
    assert set(theirs.ended[:5]) == {"floor"} and set(theirs.ended[5:]) == {"finished"}
    assert [ENDINGS[i] for i in ours.ended] == theirs.ended.tolist()
    assert theirs.steps.max() < 3 * 24 + 9 * 2 * 4
    np.testing.assert_array_equal(ours.steps, theirs.steps)
    assert_the_same(ours, theirs)


@pytest.mark.outer
def test_a_stage_asks_for_evenness_as_in_the_engine(images):
    newton = solvers.GaussNewton(iterations=4, memory=0)
    first = (Stage(steps=24), Stage(newton, steps=3))
    without, _ = both(images, Recipe(restarts=1, stages=first))
    even = distances.L2().evenness(without.reconstruction, images / np.float32(255))
    level = float(np.median(even))
    stages = (*first, Stage(newton, steps=2, evenness=level - 1e-3))
    theirs, ours = both(images, Recipe(restarts=1, stages=stages))
    assert len(set(theirs.steps)) == 2
    np.testing.assert_array_equal(ours.steps, theirs.steps)
    assert_the_same(ours, theirs)


@pytest.mark.parametrize(
    "distance",
    [pytest.param(distances.L1(), marks=pytest.mark.outer), Edges()],
    ids=["l1", "edges"],
)
def test_any_distance_will_do(images, distance):
    newton = solvers.GaussNewton(iterations=4, memory=0)
    stages = (Stage(steps=20), Stage(newton, steps=4, lanes=1))
    theirs, ours = both(images, Recipe(restarts=2, stages=stages, distance=distance))
    assert_the_same(ours, theirs, rtol=1e-2)
    targets = images / np.float32(255)
    squares = distance.residual(ours.reconstruction, targets) ** 2
    np.testing.assert_allclose(ours.loss, squares.mean((1, 2, 3)), rtol=1e-4)
    assert (ours.distance[:5] < 0.02 * ours.distance[5:].min()).all()


@pytest.mark.outer
def test_hops_find_what_lanes_that_are_stuck_do_not():
    images = np.asarray(bumpy(RNG.normal(size=(16, 4)).astype(np.float32)))
    first = Stage(solvers.GaussNewton(iterations=4, memory=0), steps=8, tolerance=0.2)
    hopping = dataclasses.replace(first, hop=0.2, rounds=12)

    def found(*stages, key=KEY):
        recipe = Recipe(stages=stages, restarts=1, floor=1e-9)
        return jax.jit(lambda x, z: solve(bumpy, x, recipe, z, key))(images, points(16, 1))

    without, hopped = found(first), found(first, hopping)
    # What a lane had found is kept where a hop finds nothing better.
    assert (hopped.distance <= without.distance).all()
    stuck = without.distance > 1e-4
    assert stuck.sum() >= 6 and (hopped.distance < 0.1 * without.distance)[stuck].sum() >= 3
    done = without.distance <= 1e-9  # Those do not hop.
    assert (hopped.steps[done] == without.steps[done]).all()
    assert (hopped.steps[~done] > without.steps[~done]).all()
    assert hopped.curve.shape == (16, 8 + 12 * 8)
    assert (np.diff(hopped.curve, axis=1) <= 0).all()


QUICK = Recipe(
    stages=(Stage(steps=6), Stage(solvers.GaussNewton(iterations=3), steps=2)),
    restarts=1,
    floor=1e-6,
)


def test_it_runs_inside_of_vmap(images):
    groups = jnp.asarray(images / np.float32(255)).reshape(4, 2, 8, 8, 3)
    begin = jax.random.normal(KEY, (4, 2, 1, 4))
    keys = jax.random.split(KEY, 4)

    def run(targets, start, key):
        return solve(render, targets, QUICK, start, key)

    together = jax.jit(jax.vmap(run))(groups, begin, keys)
    for i in range(4):
        alone = jax.jit(run)(groups[i], begin[i], keys[i])
        assert_the_same(jax.tree.map(lambda part, i=i: part[i], together), alone)


SHARDED = """
import jax, numpy as np
from jax.sharding import Mesh, PartitionSpec as P
from jax_origin import solve
from tests.inversion.test_solve import QUICK, render

assert jax.device_count() == 8
targets = render(np.random.default_rng(1).normal(size=(16, 4)).astype(np.float32))
start = jax.random.normal(jax.random.key(1), (16, 1, 4))

def run(targets, start):
    return solve(render, targets, QUICK, start, jax.random.key(0))

mesh = Mesh(np.asarray(jax.devices()), ("images",))
sharded = jax.shard_map(
    run, mesh=mesh, in_specs=P("images"), out_specs=P("images"), check_vma=False
)
ours, theirs = jax.jit(sharded)(targets, start), jax.jit(run)(targets, start)
assert len(ours.latent.sharding.device_set) == 8
for name in ("distance", "latent", "curve"):
    np.testing.assert_allclose(
        getattr(ours, name), getattr(theirs, name), rtol=2e-3, atol=1e-4, err_msg=name
    )
assert (ours.curve[:, -1] < ours.curve[:, 0]).all()
print("the same")
"""


@pytest.mark.outer
def test_it_runs_inside_of_shard_map():
    root = Path(__file__).parents[2]
    flags = "--xla_force_host_platform_device_count=8"
    environment = {**os.environ, "PYTHONPATH": str(root), "XLA_FLAGS": flags}
    done = subprocess.run(
        [sys.executable, "-c", SHARDED],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout == "the same\n", done.stderr


def test_points_of_another_number_are_refused(images):
    targets, recipe = images / np.float32(255), dataclasses.replace(QUICK, restarts=2)
    with pytest.raises(ValueError, match=r"start is \(8, 4\): for 8 images and 2 restarts"):
        solve(render, targets, recipe, np.zeros((8, 4), np.float32), KEY)
    with pytest.raises(ValueError, match=r"for 8 images and 1 restarts"):
        solve(render, targets, QUICK, np.zeros((5, 1, 4), np.float32), KEY)
