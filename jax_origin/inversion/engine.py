"""The engine: lanes, one (image, restart) pair each, run in fixed blocks by one jitted step.

Each stage of a recipe has a pool of lanes, ``config.block`` of them on each device. A lane that is
done gives its place to the next one, without recompiling: images wait in front of each stage, the
deepest pool that can be filled is advanced, and when no more images come the pools run empty from
the first stage on. The lanes of one image enter a stage together and are looked at together, so
what becomes of an image depends on nothing but itself. Several blocks of a stage may be in flight:
the device goes on with one while the host looks at another.
"""

import collections
import functools
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jax_origin.distance import TO_STORED
from jax_origin.generators import GeneratorLike
from jax_origin.images import Stored, as_float, as_uint8, pixels_sha256, stored_pixels
from jax_origin.inversion.learned_start import LearnedStart
from jax_origin.inversion.planning import Nothing, blocks_in_memory, plan_stages
from jax_origin.inversion.pool import Image, Pool, stack
from jax_origin.inversion.program import (
    Model,
    evenness,
    reconstruct,
    stage_programs,
    start_program,
    take_apart,
)
from jax_origin.inversion.result import Inversion, StagePlan, Statistics
from jax_origin.inversion.settings import EVENNESS_COST, InversionConfig

Accept = float | Callable[[Any], float | None] | None


class Engine:
    """Inverts images one after the other, however many there are.

    It holds the images that are under way and no others. Its arguments are those of
    `jax_origin.invert`.
    """

    def __init__(
        self,
        generator: GeneratorLike,
        config: InversionConfig | None = None,
        *,
        key: jax.Array,
        learned: LearnedStart | None = None,
        accept: Accept = None,
        devices: Sequence[jax.Device] | None = None,
        blocks: int | None = None,
        statistics: Statistics | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        if blocks is not None and blocks < 1:
            raise ValueError(f"blocks must be at least 1, not {blocks}")
        self._config = config = config or InversionConfig()
        self._key = key
        self._accept = accept if callable(accept) else lambda image: accept
        self._image_shape = tuple(generator.image_shape)
        self._latent_shape = tuple(generator.latent_shape)
        self._statistics = statistics if statistics is not None else Statistics()
        self._progress = progress or (lambda evaluations: None)
        self._spent, self._told = 0.0, 0
        self._devices = devices = tuple(devices or jax.local_devices())
        self._blocks = blocks
        self._width = config.block * len(devices)

        self._model, self._weights = take_apart(generator, config.compute)
        # Where the lanes are, once: a program would copy them there each time that it is called.
        self._on_lanes = self._weights
        if len(devices) > 1:
            everywhere = NamedSharding(Mesh(np.asarray(devices), ("lanes",)), PartitionSpec())
            self._on_lanes = jax.device_put(self._weights, everywhere)
        encoder: Model | None = None
        self._encoder_weights: list[jax.Array] = []
        if config.start == "learned" and learned is not None:
            for name in ("image_shape", "latent_shape"):
                ours, theirs = (tuple(getattr(part, name)) for part in (generator, learned))
                if ours != theirs:
                    raise ValueError(
                        f"the learned start was made for {name} {theirs}, the generator has {ours}"
                    )
            encoder, self._encoder_weights = take_apart(learned, "float32")
        self._begin = start_program(
            self._model, encoder, config.start, config.scales, config.restarts, config.hops
        )
        on_host = config.driver == "host" or (
            config.driver == "auto" and jax.default_backend() == "cpu"
        )
        self._stages: list[list[Pool]] = []  # of each stage, a pool for each block in flight
        checks, hops, latent_size = 0, 0, math.prod(generator.latent_shape)
        self._most = 0.0
        for stage, lanes in zip(config.stages, config.stage_lanes, strict=True):
            length = stage.chunk(config.chunk)
            programs = stage_programs(
                self._model, stage.of_a_step, config.distance, length, on_host, devices
            )
            waiting: collections.deque[Image] = collections.deque()
            self._stages.append([Pool(stage, programs, self._width, lanes, checks, hops, waiting)])
            checks += stage.rounds * stage.checks(config.chunk)
            hops += stage.hops
            self._most += stage.evaluations(config.distance, latent_size, lanes)

    def run(self, images: Iterable[np.ndarray | Stored]) -> Iterator[tuple[int, Inversion]]:
        """Inverts images as they come.

        Args:
          images: uint8 or float in [0, 1], each [H, W, C] of the generator's image shape; or as
            they are stored, `jax_origin.images.Stored`.

        Yields:
          The image's place in the order in which it came, and what came out for it (an `Inversion`
          without its first axis); as soon as it is decided.

        Raises:
          ValueError: If an image is no such array, or not of the generator's shape.
        """
        source = enumerate(images)
        more_to_come = True
        self._add_blocks()
        in_flight: collections.deque[Pool] = collections.deque()
        while True:
            while len(in_flight) < len(self._stages[0]):
                if pool := self._ready(in_flight, last=not more_to_come):
                    self._send(pool)
                    in_flight.append(pool)
                elif more_to_come:
                    batch = list(itertools.islice(source, self._config.block))
                    more_to_come = len(batch) == self._config.block
                    if batch:
                        self._stages[0][0].waiting.extend(self._enter(batch))
                else:
                    break
            if not in_flight:
                return
            yield from self._receive(in_flight.popleft())

    @property
    def evaluations(self) -> int:
        """Gradient evaluations that an image takes at the most."""
        return self._config.evaluations(self._latent_shape)

    @property
    def blocks(self) -> int:
        """Blocks of lanes on each device at a time."""
        if self._blocks is None:
            pools = [pool for pool, *_ in self._stages]
            self._blocks = blocks_in_memory(self._devices, pools, self._on_lanes, self._nothing())
        return self._blocks

    def plan(self, *, repeats: int = 3) -> list[StagePlan]:
        """Compiles each stage's step and times it on lanes that hold nothing.

        Args:
          repeats: Steps that are timed; the fastest one counts.

        Returns:
          What each stage takes.
        """
        return plan_stages(
            self._model,
            self._config.distance,
            [pool for pool, *_ in self._stages],
            self._on_lanes,
            self._nothing(),
            repeats=repeats,
        )

    def _nothing(self) -> Nothing:
        pixels = np.zeros((self._width, *self._image_shape), np.float32)
        return Nothing(
            latents=np.zeros((self._width, *self._latent_shape), np.float32),
            pixels=pixels,
            targets=stack(self._targets(list(pixels), pixels)),
        )

    def _add_blocks(self) -> None:
        """Makes as many pools for each stage as there are to be blocks in flight."""
        for pools in self._stages:
            pools += [pools[0].another() for _ in range(self.blocks - len(pools))]

    def _ready(self, in_flight: Collection[Pool], *, last: bool) -> Pool | None:
        """The pool to advance next: of the deepest stage that can fill one.

        When no more images come (last) and nothing is in flight, one that is not full goes too.
        """
        free = [[pool for pool in pools if pool not in in_flight] for pools in self._stages]
        fullest = [max(pools, key=lambda pool: pool.running) for pools in free if pools]
        ready = [pool for pool in reversed(fullest) if pool.load >= self._width]
        if last and not in_flight:
            ready += [pool for pool in fullest if pool.load]
        return ready[0] if ready else None

    def _enter(self, batch: list[tuple[int, np.ndarray | Stored]]) -> list[Image]:
        images = [image for _, image in batch]
        shown = [image.pixels if isinstance(image, Stored) else image for image in images]
        for image in shown:
            if np.shape(image) != self._image_shape:
                raise ValueError(
                    f"images are {np.shape(image)} (H, W, C), the generator makes "
                    f"{self._image_shape}; resize them, or choose another generator"
                )
        with self._statistics.timed("refill"):
            # One by one: floats would make floats of the 8-bit images that they are stacked with.
            pixels = np.concatenate([as_float(np.asarray(image)[None]) for image in shown])
            targets = self._targets(images, pixels)
            digests = b"".join(pixels_sha256(image) for image in as_uint8(pixels))
            words = np.frombuffer(digests, ">u4").astype(np.uint32).reshape(-1, 8)
            rows = _padded(len(batch), self._config.block)
            begin = functools.partial(self._begin, self._weights, self._encoder_weights)
            points, hops = map(np.array, begin(self._key, words[rows], pixels[rows]))
        return [
            Image(
                index,
                pixels[i],
                targets[i],
                points[i],
                hops[i],
                restarts=self._config.restarts,
                accept=self._accept(image),
            )
            for i, (index, image) in enumerate(batch)
        ]

    def _targets(self, images: Sequence[Any], pixels: np.ndarray) -> list[Any]:
        """What the distance compares each image with."""
        if self._config.distance not in TO_STORED:
            return list(pixels)
        stored = [
            image if isinstance(image, Stored) else stored_pixels(pixels[i : i + 1])[0]
            for i, image in enumerate(images)
        ]
        return [image.to_arrays() for image in stored]

    def _send(self, pool: Pool) -> None:
        statistics = self._statistics
        with statistics.timed("refill"):
            pool.admit()
        with statistics.timed("device"):
            statistics.lane_steps += self._width * pool.length
            statistics.useful_lane_steps += pool.useful_steps
            pool.advance(self._on_lanes)

    def _receive(self, pool: Pool) -> Iterator[tuple[int, Inversion]]:
        statistics = self._statistics
        with statistics.timed("device"):
            pool.wait()
        with statistics.timed("host"):
            looked = pool.look()
            for image, spent in looked:
                self._spent += spent
                image.ended = self._ending(image)
            through = [image for image, _ in looked if not (image.ended or image.slots)]
        self._send_on(through, pool)
        with statistics.timed("host"):
            done = [image for image, _ in looked if image.ended]
            for image in done:
                pool.release(image)
                self._spent += self._most - image.cost
                statistics.images += 1
                statistics.evaluations += image.cost
        self._progress(int(self._spent + 1e-3) - self._told)
        self._told = int(self._spent + 1e-3)
        block = self._config.block
        for first in range(0, len(done), block):
            yield from self._leave(done[first : first + block])

    def _send_on(self, images: Sequence[Image], pool: Pool) -> None:
        """Has images that are through with a pool wait for what comes next, or end."""
        stage = next(i for i, pools in enumerate(self._stages) if pool in pools)
        following = [pools[0] for pools in self._stages[stage + 1 : stage + 2]]
        asked: dict[Pool, list[Image]] = {}
        for image in images:
            to = pool
            if image.round + 1 < pool.stage.rounds:
                image.round += 1
            elif following:
                (to,) = following
                image.keep(to.lanes)
            else:
                image.ended = "finished"
                continue
            asked.setdefault(to, []).append(image)
        for to, some in asked.items():
            to.waiting.extend(self._let_in(some, to) if to.stage.asks else some)

    def _let_in(self, images: Sequence[Image], pool: Pool) -> list[Image]:
        """Those images that a pool's stage lets in by their evenness; the others end."""
        block = self._config.block
        let_in = []
        for first in range(0, len(images), block):
            some = images[first : first + block]
            rows = _padded(len(some), block)
            latents = np.stack([image.latents[np.argmin(image.distances)] for image in some])
            targets = stack([some[row].target for row in rows])
            with self._statistics.timed("device"):
                spread = np.asarray(
                    evenness(
                        self._model, self._config.distance, self._weights, latents[rows], targets
                    )
                )
            for image, found in zip(some, spread, strict=False):
                image.cost += EVENNESS_COST
                self._spent += EVENNESS_COST
                if found <= pool.stage.evenness:
                    let_in.append(image)
                else:  # So does one without a finite error.
                    image.ended = "finished"
        return let_in

    def _ending(self, image: Image) -> str:
        lowest = image.curve[-1]
        if lowest <= self._config.floor:
            return "floor"
        if image.accept is not None and lowest <= image.accept:
            return "accepted"
        levels = self._config.futility
        if levels and lowest > levels[min(len(image.curve), len(levels)) - 1]:
            return "futile"
        return ""

    def _leave(self, images: list[Image]) -> Iterator[tuple[int, Inversion]]:
        best = [int(np.argmin(image.distances)) for image in images]
        latents = np.stack([im.latents[b] for im, b in zip(images, best, strict=True)])
        pixels = np.stack([image.pixels for image in images])
        rows = _padded(len(images), self._config.block)
        with self._statistics.timed("device"):
            made, losses = map(
                np.asarray, reconstruct(self._model, self._weights, latents[rows], pixels[rows])
            )
        for i, image in enumerate(images):
            distance = image.distances[best[i]]
            loss = distance if self._config.distance == "l2" else losses[i]
            if not np.isfinite(distance):
                loss = distance
            missing = self._config.checks - len(image.curve)
            found = Inversion(
                loss=loss,
                distance=distance,
                latent=latents[i],
                reconstruction=made[i],
                restart=image.restarts[best[i]],
                steps=np.asarray(math.ceil(image.cost - 1e-3)),
                ended=np.asarray(image.ended),
                curve=np.asarray(image.curve + image.curve[-1:] * missing, np.float32),
            )
            yield image.index, found


def _padded(real: int, size: int) -> np.ndarray:
    """Indices 0 to real - 1, the last one repeated up to `size`."""
    return np.minimum(np.arange(size), real - 1)
