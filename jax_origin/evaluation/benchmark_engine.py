"""Rows about the engine itself: what its steps cost beside bare gradients, and how lanes are used.

All of them time compiled programs, but for `compile_seconds`. Where JAX keeps compiled programs on
disk, that one says how long reading them takes: turn the persistent cache off to measure compiling.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_origin.attribution import belonging_images
from jax_origin.distance import OBJECTIVES
from jax_origin.evaluation.benchmark import (
    Row,
    Sizes,
    Subject,
    attributed,
    ratio_row,
    starting_key,
    timed,
    timed_pairs,
)
from jax_origin.generators import GeneratorLike, sample_latents
from jax_origin.inversion import Descent, Engine, InversionConfig

_OBJECTIVE = "l1"
_MATMUL = 8192


def engine_overhead(
    name: str,
    generator: GeneratorLike,
    *,
    pairs: int,
    lanes: int = 64,
    compute: str = "float32",
) -> Row:
    """An engine's step against the bare jitted ``value_and_grad`` it is made around.

    A step's time is that of a chunk, from one look at the lanes to the next, over its steps: Adam,
    the best latents kept, and the look itself are in it.

    Args:
      name: What the row calls the generator.
      generator: The generator.
      pairs: Chunks that are timed, each beside as many bare gradients.
      lanes: The block.
      compute: Precision of the engine's arithmetic; the bare gradient is taken in float32.

    Returns:
      A row in seconds a step, ours over the bare gradient; "lanes" and "steps_a_chunk" beside.
    """
    chunk = InversionConfig().chunk
    stage = Descent(
        steps=chunk * (pairs + 2), objective=_OBJECTIVE, learning_rate=0.1, schedule="constant"
    )
    config = InversionConfig(
        start="prior", restarts=1, stages=(stage,), lane_block=lanes, chunk=chunk, compute=compute
    )
    devices = jax.local_devices()[:1]
    engine = Engine(generator, config, key=starting_key(), devices=devices)
    targets = belonging_images(generator, lanes, key=jax.random.key(0))
    pool = engine._pools[0]
    pool.waiting.extend(engine._enter(list(enumerate(targets))))
    bare = _bare_gradients(generator, targets, chunk)

    def step() -> None:
        # No lane ends within these steps, so nothing is yielded.
        for _ in engine._advance(pool):
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
    steps = {
        f"{which}_{kind}": float(
            np.mean([v.steps for v, own in _with(run, belongs) if own is kept])
        )
        for which, run in (("ours", early.verdicts), ("reference", full.verdicts))
        for kind, kept in (("belonging", True), ("foreign", False))
        if kept in belongs
    }
    return ratio_row(
        "early_accept_saving",
        f"{subject.name}, {num} mixed images",
        ours=[early.evaluations],
        reference=[full.evaluations],
        unit="gradient evaluations an image",
        evaluations=steps,
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
    """Bytes that a step of each stage holds for a lane, as the compiler says, weights left out."""
    generator, config = subject.generator, subject.method.inversion
    lanes = config.lane_block
    graph, weights = nnx.split(generator)
    latents = jax.ShapeDtypeStruct((lanes, *generator.latent_shape), jnp.float32)
    targets = jax.ShapeDtypeStruct((lanes, *generator.image_shape), jnp.float32)
    bare = _bytes(_value_and_grad(graph), weights, latents, targets) / lanes
    rows = []
    for i, stage in enumerate(config.stages):
        solver = stage.make_solver(config.distance)

        def step(weights: Any, latents: Any, targets: Any, state: Any, solver: Any = solver) -> Any:
            return solver.step(nnx.merge(graph, weights), targets, latents, state)

        state = jax.eval_shape(solver.init, latents)
        ours = _bytes(step, weights, latents, targets, state) / lanes
        rows.append(
            ratio_row(
                "peak_memory_per_lane",
                f"{subject.name}, stage {i + 1}: {stage.solver}",
                ours=[ours],
                reference=[bare],
                unit="bytes a lane",
                speed_up=False,
                lanes=lanes,
                note="reference: the bare gradient of as many lanes",
            )
        )
    return rows


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
            speeds[num] = _operations(generator, num) / row["ours"]
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


def _with(verdicts: Sequence[Any], belongs: np.ndarray) -> list[tuple[Any, bool]]:
    return list(zip(verdicts, map(bool, belongs), strict=True))


def _value_and_grad(graph: Any) -> Callable[..., Any]:
    def total(latents: jax.Array, weights: Any, targets: jax.Array) -> jax.Array:
        return jnp.sum(OBJECTIVES[_OBJECTIVE](nnx.merge(graph, weights)(latents), targets))

    gradient = jax.value_and_grad(total)
    return lambda weights, latents, targets: gradient(latents, weights, targets)


def _bare_gradients(generator: GeneratorLike, targets: np.ndarray, num: int) -> Callable[[], Any]:
    graph, weights = nnx.split(generator)
    gradient = jax.jit(_value_and_grad(graph))
    latents = sample_latents(generator, jax.random.key(1), len(targets))
    images = jnp.asarray(targets, jnp.float32) / 255

    def run() -> Any:
        for _ in range(num):
            made = gradient(weights, latents, images)
            if jax.default_backend() == "cpu":  # Calls that wait for nothing would run together.
                jax.block_until_ready(made)
        return made

    return run


def _bytes(fn: Callable[..., Any], weights: Any, *arguments: Any) -> int:
    """What a call holds at its peak, besides the weights; its first and last argument are given."""
    donated = tuple(i + 1 for i in range(len(arguments)) if i != 1)
    compiled = jax.jit(fn, donate_argnums=donated).lower(weights, *arguments).compile()
    used = compiled.memory_analysis()
    if used is None:
        return 0
    held = used.argument_size_in_bytes + used.output_size_in_bytes - used.alias_size_in_bytes
    return held + used.temp_size_in_bytes - sum(w.nbytes for w in jax.tree.leaves(weights))


def _operations(generator: GeneratorLike, lanes: int) -> float:
    """Floating-point operations of one gradient of a block, as the compiler counts them."""
    graph, weights = nnx.split(generator)
    latents = jax.ShapeDtypeStruct((lanes, *generator.latent_shape), jnp.float32)
    targets = jax.ShapeDtypeStruct((lanes, *generator.image_shape), jnp.float32)
    lowered = jax.jit(_value_and_grad(graph)).lower(weights, latents, targets)
    return float((lowered.cost_analysis() or {}).get("flops", math.nan))


def _matmul_speed(size: int, compute: str, repeats: int = 5) -> float:
    matrix = jnp.ones((size, size), compute)
    product = jax.jit(jnp.matmul)
    multiply = functools.partial(product, matrix, matrix)
    timed(multiply)
    return 2 * size**3 / min(timed(multiply) for _ in range(repeats))
