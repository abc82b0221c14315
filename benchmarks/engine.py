"""Rows about the engine itself: what its steps cost beside bare gradients, and how lanes are used.

All of them time compiled programs, but for `compile_seconds`. Where JAX keeps compiled programs on
disk, that one says how long reading them takes: turn the persistent cache off to measure compiling.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.subjects import (
    Attributed,
    Row,
    Sizes,
    Subject,
    attributed,
    ratio_row,
    starting_key,
    timed,
    timed_pairs,
)
from jax_origin.distances import L2
from jax_origin.generators import GeneratorLike, sample_latents
from jax_origin.inversion import Engine, Item, Recipe, Run, Stage
from jax_origin.inversion.solvers import Optax
from jax_origin.inversion.starts import Prior
from jax_origin.workflow import encoders_of
from jax_origin.workflow.scorer import INSPECTED

_OBJECTIVE = "l1"
_MATMUL = 8192


def engine_overhead(
    name: str,
    generator: GeneratorLike,
    *,
    pairs: int,
    lanes: int | None = None,
    compute: str = "float32",
) -> Row:
    """An engine's step against the bare jitted ``value_and_grad`` it is made around.

    A step's time is that of a chunk, from one look at the lanes to the next, over its steps: Adam,
    the best latents kept, and the look itself are in it.

    Args:
      name: What the row calls the generator.
      generator: The generator.
      pairs: Chunks that are timed, each beside as many bare gradients.
      lanes: The block; the one that recipes have on these devices without it.
      compute: Precision of the engine's arithmetic; the bare gradient is taken in float32.

    Returns:
      A row in seconds a step, ours over the bare gradient; "lanes" and "steps_a_chunk" beside.
    """
    lanes, chunk = lanes or Recipe().block, Recipe().chunk
    stage = Stage(Optax("adam", 0.1, "constant"), steps=chunk * (pairs + 2), objective=_OBJECTIVE)
    recipe = Recipe(start=Prior(), stages=(stage,), lane_block=lanes, chunk=chunk, compute=compute)
    engine = Engine(generator, recipe, key=starting_key(), run=_on_one_device())
    # Noise: no lane comes to the floor, and no program is compiled to make it.
    shape = (lanes, *generator.image_shape)
    targets = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    pool = engine._stages[0][0]
    cases = [engine._case(Item(i, image)) for i, image in enumerate(targets)]
    pool.waiting.extend(engine._enter(cases))
    bare = _bare_gradients(generator, targets, chunk)

    def step() -> None:
        # No lane ends within these steps, so nothing is yielded.
        engine._send(pool)
        for _ in engine._receive(pool):
            raise AssertionError("a lane ended while it was timed")

    step()
    bare()
    ours, reference = timed_pairs(step, bare, pairs)
    return ratio_row(
        "engine_overhead",
        name if compute == "float32" else f"{name}, {compute}",
        ours=[seconds / chunk for seconds in ours],
        reference=[seconds / chunk for seconds in reference],
        unit="s a step",
        speed_up=False,
        lanes=lanes,
        steps_a_chunk=chunk,
    )


def compile_seconds(subject: Subject) -> Row:
    """The first verdict in a process that has compiled nothing, against the same once more."""
    images = subject.own[:1]
    jax.clear_caches()
    first = attributed(subject, images)
    second = attributed(subject, images)
    return ratio_row(
        "compile_seconds",
        f"{subject.name}, first verdict",
        ours=[second.seconds],
        reference=[first.seconds],
        unit="s",
        compile_seconds=first.statistics.seconds["compile"],
        note="reference: the first call, which compiles; ours: the same call again",
    )


def early_accept_saving(subject: Subject, num: int) -> Row:
    """Gradient evaluations with full scores against those with early acceptance, on a mixture."""
    images, belongs = subject.mixed(num)
    early = attributed(subject, images)
    full = attributed(subject, images, full_scores=True)
    pairs = zip(early.verdicts, full.verdicts, strict=True)
    return ratio_row(
        "early_accept_saving",
        f"{subject.name}, {num} mixed images",
        ours=[early.evaluations],
        reference=[full.evaluations],
        unit="gradient evaluations an image",
        ours_by_origin=_evaluations_by_origin(early, belongs),
        reference_by_origin=_evaluations_by_origin(full, belongs),
        same_verdicts=all(a.verdict == b.verdict for a, b in pairs),
    )


def cost_against_work(subject: Subject, sizes: Sizes) -> list[Row]:
    """Seconds an image for more and more images; and how well the lanes were used.

    Returns:
      ``cost_against_work``, against the smallest number of images: at least 1 where the cost is
      flat or falling. ``lane_occupancy``: lane steps spent on undecided images over all.
    """
    rows = []
    least: list[float] = []
    for num in sizes.work:
        images, _ = subject.mixed(num)
        repeats = sizes.repeats if num <= 64 else 1
        runs = [attributed(subject, images) for _ in range(repeats)]
        seconds = [run.per_image for run in runs]
        least = least or seconds
        reference = least if len(least) == repeats else [float(np.median(least))] * repeats
        rows.append(
            ratio_row(
                "cost_against_work",
                f"{subject.name}, {num} mixed images",
                ours=seconds,
                reference=reference,
                unit="s an image",
                images=num,
            )
        )
        statistics = runs[-1].statistics
        rows.append(
            ratio_row(
                "lane_occupancy",
                f"{subject.name}, {num} mixed images",
                ours=[statistics.useful_lane_steps],
                reference=[statistics.lane_steps],
                unit="lane steps",
                speed_up=False,
                images=num,
            )
        )
    return rows


def peak_memory_per_lane(subject: Subject) -> list[Row]:
    """Bytes that a step of each stage holds for a lane, as the compiler plans it.

    The weights are divided among the lanes, on both sides.
    """
    recipe = subject.method.recipe
    engine = Engine(
        subject.generator,
        recipe,
        key=starting_key(),
        encoder=encoders_of(subject.calibration).get(INSPECTED),
        run=_on_one_device(),
    )
    used = _lowered_gradient(subject.generator, recipe.block).compile().memory_analysis()
    bare = used.temp_size_in_bytes + used.argument_size_in_bytes
    return [
        ratio_row(
            "peak_memory_per_lane",
            f"{subject.name}, stage {i + 1}: {plan.solver}",
            ours=[plan.bytes / plan.lanes],
            reference=[bare / plan.lanes],
            unit="bytes a lane",
            speed_up=False,
            lanes=plan.lanes,
            note="reference: the bare gradient of as many lanes",
        )
        for i, plan in enumerate(engine.plan(repeats=1))
    ]


def share_of_matmul_peak(
    name: str, generator: GeneratorLike, *, pairs: int, lanes: Sequence[int], size: int = _MATMUL
) -> list[Row]:
    """Floating-point operations a second of the engine, at the best number of lanes.

    Args:
      name: What the rows call the generator.
      generator: The generator.
      pairs: Chunks that are timed for each number of lanes.
      lanes: Numbers of lanes that are tried; those that memory does not hold are left out.
      size: Side of the square matrices whose product is the peak.

    Returns:
      One row for float32 and one for bfloat16: ours over the measured peak in that precision.
    """
    rows = []
    for compute in ("float32", "bfloat16"):
        speeds = {}
        for num in lanes:
            try:
                row = engine_overhead(name, generator, pairs=pairs, lanes=num, compute=compute)
            except jax.errors.JaxRuntimeError:  # Out of memory; more lanes would be, too.
                break
            counted = _lowered_gradient(generator, num).cost_analysis()
            speeds[num] = float(counted["flops"]) / row["ours"]
        if not speeds:
            continue
        best = max(speeds, key=lambda num: speeds[num])
        rows.append(
            ratio_row(
                "share_of_matmul_peak",
                f"{name}, {compute}",
                ours=[speeds[best]],
                reference=[_matmul_speed(size, compute)],
                unit="operations a second",
                speed_up=False,
                lanes=best,
                by_lanes={str(num): speed for num, speed in speeds.items()},
            )
        )
    return rows


def _evaluations_by_origin(run: Attributed, belongs: np.ndarray) -> dict[str, float]:
    steps = np.array([verdict.steps for verdict in run.verdicts], float)
    parts = {"belonging": steps[belongs], "foreign": steps[~belongs]}
    return {origin: float(part.mean()) for origin, part in parts.items() if part.size}


def _on_one_device() -> Run:
    return Run(devices=jax.local_devices()[:1])


def _value_and_grad(graph: Any) -> Callable[..., Any]:
    objective = L2().objective(_OBJECTIVE)

    def total(latents: jax.Array, weights: Any, targets: jax.Array) -> jax.Array:
        return jnp.sum(objective(nnx.merge(graph, weights)(latents), targets))

    gradient = jax.value_and_grad(total)
    return lambda weights, latents, targets: gradient(latents, weights, targets)


def _bare_gradients(generator: GeneratorLike, targets: np.ndarray, num: int) -> Callable[[], Any]:
    graph, state = nnx.split(generator)
    weights, tree = jax.tree.flatten(state)
    value_and_grad = _value_and_grad(graph)
    latents = sample_latents(generator, jax.random.key(1), len(targets))
    images = jnp.asarray(targets, jnp.float32) / 255

    @jax.jit
    def gradient(weights: Any, latents: jax.Array, images: jax.Array, before: jax.Array) -> Any:
        # Each waits for the one before, as steps do: on a CPU they would run together.
        return value_and_grad(jax.tree.unflatten(tree, weights), latents + 0 * before, images)

    def run() -> Any:
        made = (None, jnp.zeros_like(latents))
        for _ in range(num):
            made = gradient(weights, latents, images, made[1])
        return made

    return run


def _lowered_gradient(generator: GeneratorLike, lanes: int) -> Any:
    graph, weights = nnx.split(generator)
    latents = jax.ShapeDtypeStruct((lanes, *generator.latent_shape), jnp.float32)
    targets = jax.ShapeDtypeStruct((lanes, *generator.image_shape), jnp.float32)
    return jax.jit(_value_and_grad(graph)).lower(weights, latents, targets)


def _matmul_speed(size: int, compute: str, repeats: int = 5) -> float:
    matrix = jnp.ones((size, size), compute)
    product = jax.jit(jnp.matmul)
    multiply = functools.partial(product, matrix, matrix)
    timed(multiply)
    return 2 * size**3 / min(timed(multiply) for _ in range(repeats))
