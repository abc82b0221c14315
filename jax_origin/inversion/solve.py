"""Inversion as a pure function, for use inside of one's own jitted code."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_origin.inversion.first_order import Render, spread
from jax_origin.inversion.program import Encode, begun, stepped
from jax_origin.inversion.recipe import EVENNESS_COST, Recipe, Stage
from jax_origin.inversion.result import ENDINGS, Inversion

_FINISHED, _FLOOR = ENDINGS.index("finished"), ENDINGS.index("floor")


class _Task(NamedTuple):
    """What `solve` was asked for."""

    render: Render
    targets: Any
    recipe: Recipe
    encode: Encode | None


class _Found(NamedTuple):
    """What N images with R lanes each have found so far.

    Attributes:
      latents: The best of each lane, [N, R, *latent_shape].
      distances: Theirs, [N, R].
      restarts: Which restart each lane is, [N, R].
      cost: Gradient evaluations, [N].
      going: Whether the image goes on, bool [N].
      curve: The lowest distance up to each check, [N, checks]; infinite where none has been yet.
    """

    latents: jax.Array
    distances: jax.Array
    restarts: jax.Array
    cost: jax.Array
    going: jax.Array
    curve: jax.Array


def solve(
    render: Render,
    targets: Any,
    recipe: Recipe,
    start: jax.Array,
    key: jax.Array,
    *,
    encode: Encode | None = None,
) -> Inversion:
    """Inverts images by a recipe: the engine's steps, without classes, files or hosts.

    It is pure, and runs inside the caller's own `jax.jit`, `jax.vmap` or `jax.shard_map`. Images
    that are done wait for the others. On a CPU a convolution inside a loop is slow (jax issue
    12868): there `jax_origin.invert`, which calls each step from Python, is several times faster.

    Args:
      render: Latents [L, *latent_shape] to images [L, H, W, C] in [0, 1].
      targets: What the recipe's distance compares images with, as `Distance.target` makes it, each
        leaf with a first axis of N: for distances on pixels the images themselves, [N, H, W, C].
      recipe: Stages, distance and floor; its `start`, `lane_block`, `compute` and `driver` play no
        part here.
      start: Where lanes begin, [N, R, *latent_shape], R the recipe's `restarts`.
      key: A JAX key, for stages that hop; hops are drawn from N(0, I).
      encode: Images [L, H, W, C], and the latents whose images they are to replace, to latents;
        for stages of `solvers.EncoderSteps`.

    Returns:
      The inversion, JAX arrays. `loss` is the mean of the distance's squared residual, which is the
      mean squared error for distances on pixels. `ended` is an index into `ENDINGS`. `restart` is
      the row of `start`.

    Raises:
      ValueError: If `start` has no such axis of restarts.
    """
    task, num = _Task(render, targets, recipe, encode), len(jax.tree.leaves(targets)[0])
    if start.shape[:2] != (num, recipe.lanes):
        raise ValueError(
            f"start is {start.shape}: for {num} images and {recipe.lanes} restarts its first axes "
            f"must be ({num}, {recipe.lanes})"
        )
    found = _Found(
        latents=start,
        distances=jnp.full((num, recipe.lanes), jnp.inf),
        restarts=jnp.broadcast_to(jnp.arange(recipe.lanes), (num, recipe.lanes)),
        cost=jnp.zeros(num),
        going=jnp.ones(num, bool),
        curve=jnp.full((num, recipe.checks), jnp.inf),
    )
    checks = 0
    for number, (stage, lanes) in enumerate(zip(recipe.stages, recipe.stage_lanes, strict=True)):
        found = _of_lanes(found, jnp.argsort(found.distances, axis=1)[:, :lanes])
        found = _through(task, stage, found, jax.random.fold_in(key, number), checks)
        checks += stage.rounds * stage.checks(recipe.chunk)
    return _result(task, found)


def _nearest(found: _Found) -> _Found:
    return _of_lanes(found, jnp.argmin(found.distances, axis=1)[:, None])


def _of_lanes(found: _Found, order: jax.Array) -> _Found:
    """What was found of these lanes of each image, indices [N, R]."""
    along = order.reshape(*order.shape, *(1,) * (found.latents.ndim - 2))
    return found._replace(
        latents=jnp.take_along_axis(found.latents, along, axis=1),
        distances=jnp.take_along_axis(found.distances, order, axis=1),
        restarts=jnp.take_along_axis(found.restarts, order, axis=1),
    )


def _through(task: _Task, stage: Stage, found: _Found, key: jax.Array, first: int) -> _Found:
    """All rounds of a stage; its checks are written from column `first` of the curve on."""
    each = stage.checks(task.recipe.chunk)

    def one_round(i: Any, found: _Found) -> _Found:
        return _round(task, stage, found, jax.random.fold_in(key, i), first + i * each)

    if stage.rounds == 1:  # A loop of one turn is not free: see jax issue 12868.
        return one_round(0, found)
    return jax.lax.fori_loop(0, stage.rounds, one_round, found)


def _round(task: _Task, stage: Stage, found: _Found, key: jax.Array, first: Any) -> _Found:
    """One round of a stage."""
    num, lanes, *shape = found.latents.shape
    render, targets, recipe, encode = task
    found = _asked(task, stage, found)

    def flat(array: jax.Array) -> jax.Array:
        return array.reshape(num * lanes, *array.shape[2:])

    points, before = flat(found.latents), flat(found.distances)
    if stage.hop:
        pairs = jax.random.normal(key, (2, *points.shape))
        points = points + stage.hop * (pairs[0] - pairs[1]) / np.sqrt(2.0).astype(np.float32)
        before = jnp.full_like(before, jnp.inf)
    lane_targets = jax.tree.map(lambda array: jnp.repeat(array, lanes, axis=0), targets)
    carry = begun(stage, points, lane_targets)
    running = jnp.repeat(found.going, lanes)

    def more(state: tuple) -> jax.Array:
        check, _, _, running, _ = state
        return (check < stage.checks(recipe.chunk)) & jnp.any(running)

    def to_the_next_check(state: tuple) -> tuple:
        check, carry, before, running, found = state
        cost = carry.cost

        def step(_: Any, carry: Any) -> Any:
            going = running & (carry.taken < stage.steps)
            return stepped(stage, recipe.distance, render, carry, going, encode)

        carry = jax.lax.fori_loop(0, stage.chunk(recipe.chunk), step, carry)
        image_running = jnp.any(running.reshape(num, lanes), axis=1)
        better = running & (carry.distance < flat(found.distances))
        latents = jnp.where(spread(better, points), carry.best, flat(found.latents))
        distances = jnp.where(better, carry.distance, flat(found.distances)).reshape(num, lanes)
        lowest = jnp.min(distances, axis=1)
        now = jnp.where(image_running, lowest, found.curve[:, first + check])
        going = found.going & ~(lowest <= recipe.floor)
        spent = jnp.sum((carry.cost - cost).reshape(num, lanes), axis=1)
        over = carry.taken >= stage.steps
        if stage.tolerance:
            over |= carry.distance > (1 - stage.tolerance) * before
        found = found._replace(
            latents=latents.reshape(num, lanes, *shape),
            distances=distances,
            cost=found.cost + spent,
            going=going,
            curve=found.curve.at[:, first + check].set(now),
        )
        running &= ~over & jnp.repeat(going, lanes)
        return check + 1, carry, carry.distance, running, found

    state = (0, carry, before, running, found)
    return jax.lax.while_loop(more, to_the_next_check, state)[-1]


def _asked(task: _Task, stage: Stage, found: _Found) -> _Found:
    """Lets those images go on that a stage lets in by their evenness."""
    if not stage.asks:
        return found
    even = task.recipe.distance.evenness(task.render(_nearest(found).latents[:, 0]), task.targets)
    cost = found.cost + EVENNESS_COST * found.going
    return found._replace(cost=cost, going=found.going & (even <= stage.evenness))


def _result(task: _Task, found: _Found) -> Inversion:
    nearest = _nearest(found)
    latents, distance = nearest.latents[:, 0], nearest.distances[:, 0]
    images = task.render(latents)
    at_floor = distance <= task.recipe.floor
    return Inversion(
        loss=task.recipe.distance.l2(images, task.targets),
        distance=distance,
        latent=latents,
        reconstruction=images,
        restart=nearest.restarts[:, 0],
        steps=jnp.ceil(found.cost - 1e-3).astype(jnp.int32),
        ended=jnp.where(at_floor, _FLOOR, _FINISHED).astype(jnp.int32),
        curve=jax.lax.cummin(found.curve, axis=1),
        reading=jnp.zeros(distance.shape, jnp.int32),
    )
