"""Where and how inversions run, and where their time goes; no result depends on it."""

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from jax_origin.images import Decoders

Image = TypeVar("Image")

_READERS = 4

Progress = Callable[[str, float, float | None], None]
"""Told what is being done, how much of it is, and how much there is; None where not known."""


@dataclasses.dataclass
class Statistics:
    """Where the time of inversions went; engines add to it.

    Attributes:
      images: Images that are done.
      evaluations: Gradient evaluations spent on them.
      lane_steps: Steps of lanes, empty ones included.
      useful_lane_steps: Those of lanes that held an image which was not yet decided.
      seconds: By phase: "compile"; "images", waiting for images to be read and opened; "refill",
        finding starting points and filling lanes; "device", waiting for steps and reconstructions;
        "host", looking at what came out.
    """

    images: int = 0
    evaluations: float = 0.0
    lane_steps: int = 0
    useful_lane_steps: int = 0
    seconds: dict[str, float] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(
            ("compile", "images", "refill", "device", "host"), 0.0
        )
    )

    @property
    def occupancy(self) -> float:
        """Share of lane steps that were spent on undecided images."""
        return self.useful_lane_steps / self.lane_steps if self.lane_steps else math.nan

    @property
    def starved(self) -> float:
        """Share of the time that was spent on waiting for images to be read and opened."""
        whole = sum(self.seconds.values())
        return self.seconds["images"] / whole if whole else math.nan

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """Where and how inversions run. No verdict depends on it.

    Attributes:
      devices: Devices among which lanes are divided; all of this process without it.
      blocks: Blocks of lanes on each device at a time. Without it as many as its memory holds, up
        to 4, and 1 where it does not say how much it has.
      statistics: Counters, updated in place.
      progress: Called as ``progress(what, done, total)``; see `progress_bar`.
      cache: A folder where trained encoders are kept, so that none is trained twice.
      decoders: Processes that open files, `jax_origin.images.Decoders`; without it threads do.
    """

    devices: Sequence[jax.Device] | None = None
    blocks: int | None = None
    statistics: Statistics | None = None
    progress: Progress | None = None
    cache: str | os.PathLike[str] | None = None
    decoders: Decoders | None = None

    def __post_init__(self) -> None:
        if self.devices is not None:
            object.__setattr__(self, "devices", tuple(self.devices))
        if self.blocks is not None and self.blocks < 1:
            raise ValueError(f"blocks must be at least 1, not {self.blocks}")

    @property
    def readers(self) -> int:
        """Threads that look at images ahead of their inversion."""
        return max(_READERS, self.decoders.num if self.decoders else 0)

    def waiting_for(self, images: Iterable[Image]) -> Iterator[Image]:
        """Images as they come; the time until each is there goes into the statistics."""
        if self.statistics is None:
            yield from images
            return
        images = iter(images)
        while True:
            with self.statistics.timed("images"):
                image = next(images, None)
            if image is None:
                return
            yield image

    def counter(self, what: str, total: float | None) -> Callable[[float], None]:
        """What tells `progress` of each part of `total` that is done."""
        done = 0.0

        def advance(part: float) -> None:
            nonlocal done
            done += part
            if self.progress is not None:
                self.progress(what, done, total)

        return advance


def require_key(key: Any) -> None:
    """Raises ValueError unless it is a JAX key, new or old."""
    kind = key.dtype if isinstance(key, jax.Array | np.ndarray) else None
    if kind is None or not (jax.numpy.issubdtype(kind, jax.dtypes.prng_key) or kind == np.uint32):
        raise ValueError(f"key must be a JAX key, such as jax.random.key(0); got {key!r:.60}")


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
