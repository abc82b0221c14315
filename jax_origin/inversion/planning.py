"""What the stages of a recipe take on the devices at hand, before anything is inverted."""

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_origin.distances import L2
from jax_origin.inversion.pool import Pool
from jax_origin.inversion.program import Model

_SHARE_OF_MEMORY = 0.8  # that blocks may take; the rest is for weights, and what comes and goes
_MOST_BLOCKS = 4  # A device runs one at a time: more hide nothing of the host's work.


class EmptyLanes(NamedTuple):
    """Lanes of all devices that hold nothing: latents, pixels, and what is compared with them."""

    latents: np.ndarray
    pixels: np.ndarray
    targets: Any


class StagePlan(NamedTuple):
    """What a stage of a recipe takes on the devices at hand.

    Attributes:
      solver: Its solver.
      lanes: Lanes that run together, on all devices.
      steps: Steps of a lane at the most.
      evaluations: Gradient evaluations of an image at the most.
      flops: Floating-point operations of a lane's step, from the compiler's count for a gradient.
      bytes: Memory of one device's step, weights and lanes included, as the compiler plans it.
      seconds_per_step: Measured, all lanes together.
      lanes_per_image: Lanes of one image in the stage.
    """

    solver: str
    lanes: int
    steps: int
    evaluations: float
    flops: float
    bytes: int
    seconds_per_step: float
    lanes_per_image: int

    def seconds(self, images: int) -> float:
        """What so many images take that all go through the whole stage, last lanes half empty."""
        blocks = math.ceil(images * self.lanes_per_image / self.lanes)
        return blocks * self.steps * self.seconds_per_step


def plan_stages(
    model: Model,
    pools: Sequence[Pool],
    weights: list[jax.Array],
    empty: EmptyLanes,
    *,
    repeats: int,
) -> list[StagePlan]:
    """Compiles each stage's step and times it on lanes that hold nothing.

    Pools, one of each stage, stay as they are; weights are the generator's, where the lanes are. Of
    `repeats` steps that are timed the fastest counts.
    """

    def loss(latents: jax.Array) -> jax.Array:
        return jnp.sum(L2().l2(model.images(weights, latents), jnp.asarray(empty.pixels)))

    gradient = jax.jit(jax.value_and_grad(loss)).lower(empty.latents).compile()
    lanes, size = len(empty.latents), math.prod(empty.latents.shape[1:])
    flops = float((gradient.cost_analysis() or {}).get("flops", math.nan)) / lanes
    plans = []
    for pool in pools:
        stage = pool.stage
        carry = pool.programs.init(empty.latents, empty.targets)
        compiled = pool.programs.one.lower(weights, carry).compile()
        memory = compiled.memory_analysis()
        fastest = math.inf
        for _ in range(repeats):
            began = time.perf_counter()
            carry = jax.block_until_ready(compiled(weights, carry))
            fastest = min(fastest, time.perf_counter() - began)
        plans.append(
            StagePlan(
                solver=getattr(stage.solver, "optimizer", stage.solver.kind),
                lanes=lanes,
                steps=stage.steps * stage.rounds,
                evaluations=stage.evaluations(size, pool.lanes),
                flops=stage.solver.evaluations(size) * flops,
                bytes=memory.temp_size_in_bytes + memory.argument_size_in_bytes,
                seconds_per_step=fastest / pool.programs.steps_of_one,
                lanes_per_image=pool.lanes,
            )
        )
    return plans


def blocks_in_memory(
    devices: Sequence[jax.Device],
    pools: Sequence[Pool],
    weights: list[jax.Array],
    empty: EmptyLanes,
) -> int:
    """How many blocks each device holds at a time, 1 to 4, by what the compiler says of one.

    The device with the least memory decides; 1 where one does not say how much it has, as a CPU
    does not. For the other arguments see `plan_stages`.
    """
    limit = min((device.memory_stats() or {}).get("bytes_limit", 0) for device in devices)
    if not limit:
        return 1
    held, scratch = 0, 0  # A block waits in each stage, and one step is taken at a time.
    for pool in pools:
        carry = jax.eval_shape(pool.programs.init, empty.latents, empty.targets)
        memory = pool.programs.one.lower(weights, carry).compile().memory_analysis()
        held += memory.argument_size_in_bytes
        held += memory.output_size_in_bytes - memory.alias_size_in_bytes
        scratch = max(scratch, memory.temp_size_in_bytes)
    return max(1, min(_MOST_BLOCKS, int(_SHARE_OF_MEMORY * limit / (held + scratch))))
