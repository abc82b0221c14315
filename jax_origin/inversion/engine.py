"""The engine: lanes, one (image, restart) pair each, run in fixed blocks by one jitted step.

    items ──> readings ──> starting points
                               │   waiting
               stage 1   ┌─────▼──────────────┐   a block of lanes on each device,
                  pool   │ ▓ ▓ ▓ ▓ ▓ ▓ ░ ░ │   ▓ holds a lane, ░ is free
                         └─────┬──────────────┘   some steps, then a check: a lane that is done
                               │   waiting           gives its place to the next one
               stage 2   ┌─────▼──────────────┐
                  pool   │ ▓ ▓ ░ ░ ░ ░ ░ ░ │ ◄─┐   a stage of several rounds is gone through
                         └─────┬──────────────┘ ──┘   again, from a hop away
                               ▼
                        (tag, Inversion)

Images wait in front of each stage. The deepest pool that can be filled is advanced, and when no
more images come the pools run empty from the first stage on. The lanes of one image enter a stage
together and are looked at together, so what becomes of an image depends on nothing but itself.
Several blocks of a stage may be in flight: the device goes on with one while the host looks at
another. Nothing is compiled again when lanes change places.
"""

import collections
import dataclasses
import itertools
import logging
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jax_origin.generators import GeneratorLike, inspected
from jax_origin.images import Stored, as_float, as_images, as_uint8, pixels_sha256, stored_pixels
from jax_origin.inversion.items import NEAR, RACE, Case, Heat, Item, ahead_of_turn
from jax_origin.inversion.planning import EmptyLanes, StagePlan, blocks_in_memory, plan_stages
from jax_origin.inversion.pool import ImageUnderWay, Pool, stack
from jax_origin.inversion.program import (
    Model,
    evenness,
    reconstruct_program,
    split_module,
    stage_programs,
    start_program,
)
from jax_origin.inversion.recipe import EVENNESS_COST, Recipe
from jax_origin.inversion.result import Inversion
from jax_origin.inversion.running import Run, Statistics, require_key
from jax_origin.inversion.start_encoder import StartEncoder

_LOG = logging.getLogger(__name__)


class Engine:
    """Inverts images one after the other, and holds those that are under way alone.

    Its arguments are those of `jax_origin.invert`; `advance` is called with the share of images
    done since its last call. `evaluations` are those that one reading takes at the most.

    A file may be read in several ways (`jax_origin.images.Stored.readings`). It is inverted into
    one set after the other, until one comes to the floor or is accepted; the nearest counts. Those
    that are none more likely than the others (`Stored.alternatives`) race. All begin at once, and
    at each further stage the nearest eighth goes on.

    Where a device runs out of memory, images that are under way begin again, half as many at a
    time; a warning is logged.
    """

    def __init__(
        self,
        generator: GeneratorLike,
        recipe: Recipe | None = None,
        *,
        key: jax.Array,
        encoder: StartEncoder | None = None,
        futility: Sequence[float] = (),
        run: Run | None = None,
        advance: Callable[[float], None] | None = None,
    ) -> None:
        require_key(key)
        generator, run = inspected(generator), run or Run()
        self._recipe = recipe = recipe or Recipe()
        self._key, self._futility = key, tuple(futility)
        if not all(level > 0 for level in self._futility):
            raise ValueError(f"futility must hold positive distances, not {self._futility}")
        self._image_shape = tuple(generator.image_shape)
        self._latent_shape = tuple(generator.latent_shape)
        self._statistics = run.statistics if run.statistics is not None else Statistics()
        self._advance = advance or (lambda share: None)
        self._devices = devices = tuple(run.devices or jax.local_devices())
        self._blocks = run.blocks
        self._block = recipe.block  # Fewer once memory was short.
        self.evaluations = recipe.evaluations(self._latent_shape)

        self._model, self._weights = split_module(generator, recipe.compute)
        # Where the lanes are, once: a program would copy them there each time that it is called.
        self._on_lanes = self._weights
        if len(devices) > 1:
            everywhere = NamedSharding(Mesh(np.asarray(devices), ("lanes",)), PartitionSpec())
            self._on_lanes = jax.device_put(self._weights, everywhere)
        encoding: Model | None = None
        self._encoder_weights: list[jax.Array] = []
        if recipe.start.needs_encoder and encoder is not None:
            encoder.require(generator)
            encoding, self._encoder_weights = split_module(encoder)
        self._begin = start_program(self._model, encoding, recipe.start, recipe.lanes, recipe.hops)
        self._reconstruct = reconstruct_program(self._model)  # Once: a model's hash takes long.
        self._stages = self._pools()
        self._running = False

    def _pools(self) -> list[list[Pool]]:
        """Of each stage, a pool for each block in flight; one for now."""
        recipe, devices = self._recipe, self._devices
        chosen = "host" if jax.default_backend() == "cpu" else "scan"
        on_host = (chosen if recipe.driver == "auto" else recipe.driver) == "host"
        stages, checks, hops = [], 0, 0
        for stage, lanes in zip(recipe.stages, recipe.stage_lanes, strict=True):
            length = stage.chunk(recipe.chunk)
            programs = stage_programs(
                self._model, stage.of_a_step, recipe.distance, length, on_host, devices
            )
            stages.append([Pool(stage, programs, lanes, self._width, len(devices), checks, hops)])
            checks += stage.rounds * stage.checks(recipe.chunk)
            hops += stage.hops
        return stages

    def run(self, items: Iterable[Item]) -> Iterator[tuple[Any, Inversion]]:
        """Inverts images as they come.

        Yields:
          The item's tag, and what came out for it (an `Inversion` without its first axis), as soon
          as it is decided.

        Raises:
          ValueError: If an image is no such array, or not of the generator's shape.
          RuntimeError: If the engine inverts other images at the time.
        """
        if self._running:
            raise RuntimeError("an engine inverts one stream of images at a time: make another")
        self._running = True
        try:
            self._stages = self._pools()  # Of a run that was left off nothing stays.
            yield from self._run(items)
        finally:
            self._running = False

    def _run(self, items: Iterable[Item]) -> Iterator[tuple[Any, Inversion]]:
        under_way: dict[Case, None] = {}  # in the order in which they came
        elsewhere = False

        def source() -> Iterator[Item]:
            nonlocal elsewhere
            try:
                yield from items
            except jax.errors.JaxRuntimeError:
                elsewhere = True
                raise

        coming = source()
        while True:
            try:
                yield from self._through(coming, under_way)
                return
            except jax.errors.JaxRuntimeError as error:
                if elsewhere or "RESOURCE_EXHAUSTED" not in str(error) or not self._lessen():
                    raise
            self._stages = self._pools()  # What was on the devices is lost, and in nobody's way.

    def _lessen(self) -> bool:
        """Halves what is on the devices at a time, down to one image; whether that was possible."""
        before, lanes = self._width * self.blocks, self._recipe.lanes
        if self.blocks > 1:
            self._blocks = self.blocks // 2
        else:
            block = math.ceil(self._block / 2 / lanes) * lanes
            if block == self._block:
                return False
            self._block = block
        now = self._width * self.blocks
        _LOG.warning("out of memory on the device: %d lanes at a time, not %d", now, before)
        return True

    @property
    def _width(self) -> int:
        """Lanes of a block on each device."""
        return self._block * len(self._devices)

    def _through(
        self, source: Iterator[Item], under_way: dict[Case, None]
    ) -> Iterator[tuple[Any, Inversion]]:
        more_to_come, block = True, self._block
        again: collections.deque[Case] = collections.deque()  # with another reading
        for case in under_way:  # They were when memory was short.
            case.begin_again()
            again.extend([case] * (len(case.readings) if case.raced else 1))
        for pools in self._stages:
            pools += [dataclasses.replace(pools[0]) for _ in range(self.blocks - len(pools))]
        in_flight: collections.deque[Pool] = collections.deque()
        while True:
            while len(in_flight) < len(self._stages[0]):
                if pool := self._ready(in_flight, last=not (more_to_come or again)):
                    self._send(pool)
                    in_flight.append(pool)
                elif more_to_come or again:
                    batch = [again.popleft() for _ in range(min(len(again), block))]
                    wanted = block - len(batch)
                    new = [self._case(item) for item in itertools.islice(source, wanted)]
                    under_way.update(dict.fromkeys(new))
                    for case in new:
                        again.extend([case] * (len(case.readings) - 1) * case.raced)
                    if more_to_come and len(new) < wanted:
                        more_to_come = False
                        again.extend(ahead_of_turn(under_way, batch + new, block))
                    if batch := batch + new:
                        self._stages[0][0].waiting.extend(self._enter(batch))
                else:
                    break
            if not in_flight:
                return
            for (case, index), found in self._receive(in_flight.popleft()):
                case.found[index] = found
                if (counting := case.counting()) is None:
                    if case.started == len(case.found) and case not in again:
                        again.append(case)
                elif not case.yielded:
                    case.yielded = True
                    del under_way[case]
                    self._statistics.images += 1
                    self._advance((1.0 - case.told) * case.item.share)
                    case.told = 1.0  # Readings that were begun ahead of their turn tell no more.
                    yield case.item.tag, case.result(counting)

    @property
    def blocks(self) -> int:
        """Blocks of lanes on each device at a time."""
        if self._blocks is None:
            self._blocks = blocks_in_memory(self._devices, *self._planned())
        return self._blocks

    def plan(self, *, repeats: int = 3) -> list[StagePlan]:
        """Compiles each stage's step and times it on empty lanes, the fastest of some repeats."""
        return plan_stages(self._model, *self._planned(), repeats=repeats)

    def _planned(self) -> tuple[list[Pool], list[jax.Array], EmptyLanes]:
        """A pool of each stage, weights and lanes, as plans are made of them."""
        pixels = np.zeros((self._width, *self._image_shape), np.float32)
        latents = np.zeros((self._width, *self._latent_shape), np.float32)
        (reading, *_) = self._readings(pixels[0])
        targets = stack([self._recipe.distance.target(reading)] * self._width)
        pools = [pool for pool, *_ in self._stages]
        return pools, self._on_lanes, EmptyLanes(latents, pixels, targets)

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

    def _case(self, item: Item) -> Case:
        image = item.image
        shape = np.shape(image.pixels if isinstance(image, Stored) else image)
        if shape != self._image_shape:
            raise ValueError(
                f"images are {shape} (H, W, C), the generator makes {self._image_shape}; resize "
                "them, or choose another generator"
            )
        raced = isinstance(image, Stored) and bool(image.alternatives)
        return Case(item, self._readings(image), raced)

    def _readings(self, image: Any) -> list[Any]:
        """What an image is inverted into: its pixels, or each set that its file may be."""
        if not self._recipe.distance.of_files:
            pixels = image.pixels if isinstance(image, Stored) else image
            return [as_float(np.asarray(pixels)[None])[0]]
        stored = image if isinstance(image, Stored) else stored_pixels(np.asarray(image)[None])[0]
        return stored.readings()

    def _enter(self, batch: Sequence[Case]) -> list[ImageUnderWay]:
        """Starting points for the next reading of each case, whose turn it is now."""
        readings, tags = [], []
        for case in batch:
            readings.append(case.readings[case.started])
            tags.append((case, case.started))
            case.started += 1
        with self._statistics.timed("refill"):
            shown = [each.pixels if isinstance(each, Stored) else each for each in readings]
            pixels = np.stack([as_float(image[None])[0] for image in shown])
            digests = b"".join(pixels_sha256(image) for image in as_uint8(pixels))
            words = np.frombuffer(digests, ">u4").astype(np.uint32).reshape(-1, 8)
            rows = _padded(len(batch), self._block)
            weights = self._weights, self._encoder_weights
            seen = np.stack([_seen(reading) for reading in readings])
            begun = self._begin(*weights, self._key, words[rows], seen[rows])
            points, hops = map(np.array, begun)
            targets = [self._recipe.distance.target(reading) for reading in readings]
        items = [case.item for case in batch]
        cost = self._recipe.start.evaluations
        goals = [(one.accept, one.floor, one.unit, one.promising, one.ahead, cost) for one in items]
        parts = zip(tags, pixels, targets, points, hops, goals, strict=False)  # And padding.
        return [ImageUnderWay(*part, *goal) for *part, goal in parts]

    def _send(self, pool: Pool) -> None:
        statistics = self._statistics
        with statistics.timed("refill"):
            pool.admit()
        with statistics.timed("device"):
            statistics.lane_steps += self._width * pool.length
            statistics.useful_lane_steps += pool.useful_steps
            pool.advance(self._on_lanes)

    def _receive(self, pool: Pool) -> Iterator[tuple[tuple[Case, int], Inversion]]:
        statistics = self._statistics
        with statistics.timed("device"):
            pool.wait()
        with statistics.timed("host"):
            looked = pool.look()
            for image, spent in looked:
                image.ended = self._ending(image)
                self._tell(image.tag[0], spent)
            through = [image for image, _ in looked if not (image.ended or image.slots)]
        self._send_on(through, pool)
        with statistics.timed("host"):
            done = [image for image, _ in looked if image.ended]
            for case in dict.fromkeys(im.tag[0] for im, _ in looked if im.tag[0].raced):
                done += self._let_best(case, [im for im in done if im.tag[0] is case])
            for image in done:
                pool.release(image)
                statistics.evaluations += image.cost
        for first in range(0, len(done), self._block):
            yield from self._leave(done[first : first + self._block])

    def _tell(self, case: Case, spent: float) -> None:
        """Tells how far an image has come, as a share of all that one reading may take."""
        case.spent += spent
        share = max(case.told, min(case.spent / self.evaluations, 1.0))
        self._advance((share - case.told) * case.item.share)
        case.told = share

    def _send_on(self, images: Sequence[ImageUnderWay], pool: Pool) -> None:
        """Has images that are through with a pool wait for what comes next, or end."""
        stage = next(i for i, pools in enumerate(self._stages) if pool in pools)
        following = next((pools[0] for pools in self._stages[stage + 1 :]), None)
        asked: dict[Pool, list[ImageUnderWay]] = {}
        for image in images:
            if image.round + 1 < pool.stage.rounds:
                image.round += 1
                asked.setdefault(pool, []).append(image)
            elif following and image.tag[0].raced:
                image.keep(following.lanes)
                image.tag[0].held.append((following, image))
            elif following:
                image.keep(following.lanes)
                asked.setdefault(following, []).append(image)
            else:
                image.ended = "finished"
        for to, some in asked.items():
            to.waiting.extend(self._let_in(some, to) if to.stage.asks else some)

    def _let_best(self, case: Case, ending: Sequence[ImageUnderWay]) -> list[ImageUnderWay]:
        """Has the best of a case's readings enter the stage that they wait for, once all do.

        It gives the others, which end. Where one that ended before, or ends now, came near enough,
        none goes on; nor where the best is not far enough ahead (`Item.heats`).
        """
        if not case.held or len(case.held) + len(case.found) + len(ending) < len(case.readings):
            return []
        order = [(float(image.distances.min()), image.tag[1]) for _, image in case.held]
        held, case.held = [case.held[i] for i in np.lexsort(np.transpose(order)[::-1])], []
        endings = [*(each.ended for each in case.found.values()), *(each.ended for each in ending)]
        near = any(each in NEAR for each in endings)
        pool, distances = held[0][0], sorted(distance for distance, _ in order)
        stage = next(i for i, pools in enumerate(self._stages) if pool in pools)
        usual = Heat(max(1, len(held) // RACE))
        heat = case.item.heats[stage - 1] if stage <= len(case.item.heats) else usual
        behind = len(held) > 1 and distances[0] > heat.ahead * np.median(distances)
        entering = 0 if near or behind else heat.going
        best, left = ([image for _, image in some] for some in (held[:entering], held[entering:]))
        let_in = self._let_in(best, pool) if pool.stage.asks and best else best
        pool.waiting.extend(let_in)
        for image in left:
            image.ended = "finished"
        return left + [image for image in best if image not in let_in]

    def _let_in(self, images: Sequence[ImageUnderWay], pool: Pool) -> list[ImageUnderWay]:
        """Those images that a pool's stage lets in by their evenness; the others end."""
        block = self._block
        let_in = []
        for first in range(0, len(images), block):
            some = images[first : first + block]
            rows = _padded(len(some), block)
            latents = np.stack([image.latents[np.argmin(image.distances)] for image in some])
            targets = stack([some[row].target for row in rows])
            parts = self._model, self._recipe.distance, self._weights
            with self._statistics.timed("device"):
                found = np.asarray(evenness(*parts, latents[rows], targets))
            for image, even in zip(some, found, strict=False):
                image.cost += EVENNESS_COST
                if even <= pool.stage.evenness:
                    let_in.append(image)
                else:  # So does one without a finite error.
                    image.ended = "finished"
        return let_in

    def _ending(self, image: ImageUnderWay) -> str:
        lowest = image.curve[-1]
        if lowest <= max(self._recipe.floor, image.floor):
            return "floor"
        if image.accept is not None and lowest <= image.accept:
            return "accepted"
        levels = self._futility
        if levels and lowest > image.promising:
            level = image.unit * levels[min(len(image.curve), len(levels)) - 1]
            before = image.curve[-2] if len(image.curve) > 1 else np.inf
            pace = lowest / before if before < np.inf else 1.0
            if lowest * pace**image.ahead > level:
                return "futile"
        return ""

    def _leave(self, images: list[ImageUnderWay]) -> Iterator[tuple[tuple[Case, int], Inversion]]:
        best = [int(np.argmin(image.distances)) for image in images]
        latents = np.stack([im.latents[b] for im, b in zip(images, best, strict=True)])
        pixels = np.stack([image.pixels for image in images])
        rows = _padded(len(images), self._block)
        with self._statistics.timed("device"):
            both = self._reconstruct(self._weights, latents[rows], pixels[rows])
            made, losses = map(np.asarray, both)
        tracks_loss = self._recipe.distance.kind == "l2"
        for i, image in enumerate(images):
            distance = image.distances[best[i]]
            missing = self._recipe.checks - len(image.curve)
            found = Inversion(
                loss=distance if tracks_loss or not np.isfinite(distance) else losses[i],
                distance=distance,
                latent=latents[i],
                reconstruction=made[i],
                restart=image.restarts[best[i]],
                steps=np.asarray(math.ceil(image.cost - 1e-3)),
                ended=np.asarray(image.ended),
                curve=np.asarray(image.curve + image.curve[-1:] * missing, np.float32),
                reading=np.asarray(image.tag[1]),
            )
            yield image.tag, found


def _seen(reading: Any) -> np.ndarray:
    """What a start sees of an image: with its surroundings, where it is a window."""
    if not isinstance(reading, Stored):
        return reading
    around = reading.pixels if reading.surroundings is None else reading.surroundings
    return as_float(around[None])[0]


def _padded(real: int, size: int) -> np.ndarray:
    """Indices 0 to real - 1, the last one repeated up to `size`."""
    return np.minimum(np.arange(size), real - 1)


def invert(
    generator: GeneratorLike,
    images: Any,
    recipe: Recipe | None = None,
    *,
    key: jax.Array,
    encoder: StartEncoder | None = None,
    accept: float | None = None,
    futility: Sequence[float] = (),
    run: Run | None = None,
) -> Inversion:
    """Finds for each image the latent whose image is nearest to it.

    An image's random numbers come from the key and the image's own pixels. So the result does not
    depend on which other images are in the batch, or on their order.

    Args:
      generator: The generator; any ``nnx.Module`` that keeps the contract of
        `jax_origin.generators.Generator`, or a `FunctionGenerator`.
      images: uint8, or float in [0, 1]; [N, H, W, C] of the generator's image shape; or a list of
        `jax_origin.images.Stored`. For the distance `FileSet` an array is N lossless files.
      recipe: How; `Recipe()` without it.
      key: A JAX key.
      encoder: For a recipe that starts from a trained encoder; see `jax_origin.learn_start`.
      accept: An image is done as soon as its tracked distance is at this or under it.
      futility: For each check, the tracked distance above which an image is given up; empty for
        never. The last one counts for later checks too.
      run: Where and how; no result depends on it.

    Raises:
      ValueError: If the images are no such array, none, or not of the generator's shape; if the
        generator breaks its contract; if an encoder is needed and not given.
    """
    images, run = as_images(images), run or Run()
    if len(images) == 0:
        raise ValueError("there are no images to invert")
    engine = Engine(
        generator,
        recipe,
        key=key,
        encoder=encoder,
        futility=futility,
        run=run,
        advance=run.counter("inverting", len(images)),
    )
    found = dict(engine.run(Item(i, image, accept) for i, image in enumerate(images)))
    return Inversion.stacked([found[index] for index in range(len(images))])
