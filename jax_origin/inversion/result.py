"""What an inversion gives, and what it takes."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

ENDINGS = ("finished", "floor", "accepted", "futile")
"""How an image's inversion ends: all stages run, at the floor, accepted early, or given up."""


class Inversion(NamedTuple):
    """What came out, for N images; NumPy arrays.

    Attributes:
      loss: Mean squared error of the reconstruction, float32 [N]; infinite where the generator
        gave no finite image.
      distance: The tracked distance, float32 [N]; the loss itself if that is "l2".
      latent: The best latent, float32 [N, *latent_shape].
      reconstruction: Its image, float32 [N, H, W, C] in [0, 1].
      restart: Which restart it came from, int [N].
      steps: Gradient evaluations that the image took, rounded up, int [N].
      ended: One of `ENDINGS`, str [N].
      curve: The lowest distance up to each check, float32 [N, checks]; the last one is repeated
        where an image ended early.
    """

    loss: np.ndarray
    distance: np.ndarray
    latent: np.ndarray
    reconstruction: np.ndarray
    restart: np.ndarray
    steps: np.ndarray
    ended: np.ndarray
    curve: np.ndarray


@dataclasses.dataclass
class Statistics:
    """Where the time of inversions went; an engine adds to it.

    Attributes:
      images: Images that are done.
      evaluations: Gradient evaluations spent on them.
      lane_steps: Steps of lanes, empty ones included.
      useful_lane_steps: Those of lanes that held an image which was not yet decided.
      seconds: By phase: "compile"; "refill", finding starting points and filling lanes; "device",
        waiting for steps and reconstructions; "host", looking at what came out.
    """

    images: int = 0
    evaluations: float = 0.0
    lane_steps: int = 0
    useful_lane_steps: int = 0
    seconds: dict[str, float] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(("compile", "refill", "device", "host"), 0.0)
    )

    @property
    def occupancy(self) -> float:
        """Share of lane steps that were spent on undecided images."""
        return self.useful_lane_steps / self.lane_steps if self.lane_steps else math.nan

    @contextlib.contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds the time that a block takes to a phase, and what it compiles to "compile"."""
        began, compiled = time.perf_counter(), _compile_seconds()
        try:
            yield
        finally:
            compiled = _compile_seconds() - compiled
            self.seconds["compile"] += compiled
            self.seconds[phase] += max(0.0, time.perf_counter() - began - compiled)


_compile_time: list[float] = []


def _compile_seconds() -> float:
    """Seconds that JAX has spent on tracing, lowering and compiling since it was first asked."""
    if not _compile_time:
        _compile_time.append(0.0)

        def listen(event: str, duration_secs: float, **_: Any) -> None:
            if event.startswith("/jax/core/compile/"):
                _compile_time[0] += duration_secs

        jax.monitoring.register_event_duration_secs_listener(listen)
    return _compile_time[0]


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
