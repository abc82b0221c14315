"""The engine: lanes, one (image, restart) pair each, run in fixed blocks by one jitted step.

Each stage of a recipe has a pool of lanes, a block of ``lane_block`` on each device. A lane that is
done gives its place to the next one, without recompiling: images wait in front of each stage, the
deepest pool that can be filled is advanced, and when no more images come the pools run empty from
the first stage on. The lanes of one image enter a stage together and are looked at together, so
what becomes of an image depends on nothing but itself.
"""

import collections
import contextlib
import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, PartitionSpec

from jax_origin.distance import l2
from jax_origin.generators import GeneratorLike
from jax_origin.generators.blocks import clip_straight_through
from jax_origin.images import as_float, as_uint8, pixels_sha256
from jax_origin.inversion.learned_start import LearnedStart
from jax_origin.inversion.settings import Descent, InversionConfig
from jax_origin.inversion.start import starting_points

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


def invert(
    generator: GeneratorLike,
    images: Any,
    config: InversionConfig | None = None,
    *,
    key: jax.Array,
    learned: LearnedStart | None = None,
    accept: float | None = None,
    devices: Sequence[jax.Device] | None = None,
    statistics: Statistics | None = None,
    progress: Callable[[int], None] | None = None,
) -> Inversion:
    """Finds for each image the latent whose image is nearest to it.

    An image's random numbers come from the key and the image's own pixels, so the result does not
    depend on which other images are in the batch, or on their order.

    Args:
      generator: The generator; any ``nnx.Module`` that keeps the contract of
        `jax_origin.generators.Generator`, in evaluation mode.
      images: uint8, or float in [0, 1]; [N, H, W, C] of the generator's image shape.
      config: The recipe; `InversionConfig()` without it.
      key: A JAX key.
      learned: The encoder, for ``start="learned"``; see `jax_origin.learn_start`.
      accept: An image is done as soon as its tracked distance is at this or under it.
      devices: Devices among which lanes are divided; all of this process without it.
      statistics: Is added to.
      progress: Called with the number of gradient evaluations done since its last call; what an
        image that ends early has saved is counted as done.

    Returns:
      The best latent of each image, and how near it comes.

    Raises:
      ValueError: If the images are no such array, none, or not of the generator's shape; if the
        generator makes another shape than it says; if an encoder is needed and not given.
    """
    pixels = as_float(images)
    if len(pixels) == 0:
        raise ValueError("there are no images to invert")
    engine = Engine(
        generator,
        config,
        key=key,
        learned=learned,
        accept=accept,
        devices=devices,
        statistics=statistics,
        progress=progress,
    )
    rows: list[Any] = [None] * len(pixels)
    for index, found in engine.run(pixels):
        rows[index] = found
    return Inversion(*(np.stack(part) for part in zip(*rows, strict=True)))


class Engine:
    """Inverts images one after the other, however many there are.

    It holds the images that are under way and no others. Its arguments are those of `invert`.
    """

    def __init__(
        self,
        generator: GeneratorLike,
        config: InversionConfig | None = None,
        *,
        key: jax.Array,
        learned: LearnedStart | None = None,
        accept: float | None = None,
        devices: Sequence[jax.Device] | None = None,
        statistics: Statistics | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._config = config = config or InversionConfig()
        self._key = key
        self._accept = -math.inf if accept is None else accept
        self._image_shape = tuple(generator.image_shape)
        self._statistics = statistics if statistics is not None else Statistics()
        self._progress = progress or (lambda evaluations: None)
        self._spent, self._told = 0.0, 0
        devices = tuple(devices or jax.local_devices())
        self._width = config.lane_block * len(devices)

        self._model, self._weights = _taken_apart(generator, config.compute)
        encoder: _Model | None = None
        self._encoder_weights: list[jax.Array] = []
        if config.start == "learned" and learned is not None:
            for name in ("image_shape", "latent_shape"):
                ours, theirs = (tuple(getattr(part, name)) for part in (generator, learned))
                if ours != theirs:
                    raise ValueError(
                        f"the learned start was made for {name} {theirs}, the generator has {ours}"
                    )
            encoder, self._encoder_weights = _taken_apart(learned, "float32")
        self._begin = _start_program(
            self._model, encoder, config.start, config.scales, config.restarts
        )
        on_host = config.driver == "host" or (
            config.driver == "auto" and jax.default_backend() == "cpu"
        )
        self._pools: list[_Pool] = []
        checks, latent_size = 0, math.prod(generator.latent_shape)
        self._most = 0.0
        for stage, lanes in zip(config.stages, config.stage_lanes, strict=True):
            programs = _stage_programs(
                self._model, stage, config.distance, stage.chunk(config.chunk), on_host, devices
            )
            pool = _Pool(stage, programs, self._width, lanes, checks, stage.chunk(config.chunk))
            self._pools.append(pool)
            checks += math.ceil(stage.steps / pool.length)
            per_step = stage.make_solver(config.distance).evaluations(latent_size)
            self._most += per_step * stage.steps * lanes

    def run(self, images: Iterable[np.ndarray]) -> Iterator[tuple[int, Inversion]]:
        """Inverts images as they come.

        Args:
          images: uint8 or float in [0, 1], each [H, W, C] of the generator's image shape.

        Yields:
          The image's place in the order in which it came, and what came out for it (an `Inversion`
          without its first axis); as soon as it is decided.

        Raises:
          ValueError: If an image is no such array, or not of the generator's shape.
        """
        source = enumerate(images)
        more_to_come = True
        while True:
            pool = next((p for p in reversed(self._pools) if p.load >= self._width), None)
            if pool is None and more_to_come:
                batch = list(itertools.islice(source, self._config.lane_block))
                more_to_come = len(batch) == self._config.lane_block
                if batch:
                    self._pools[0].waiting.extend(self._enter(batch))
                continue
            pool = pool or next((p for p in self._pools if p.load), None)
            if pool is None:
                return
            yield from self._advance(pool)

    def _enter(self, batch: list[tuple[int, np.ndarray]]) -> list["_Image"]:
        for _, image in batch:
            if np.shape(image) != self._image_shape:
                raise ValueError(
                    f"images are {np.shape(image)} (H, W, C), the generator makes "
                    f"{self._image_shape}; resize them, or choose another generator"
                )
        with self._statistics.timed("refill"):
            pixels = as_float(np.stack([image for _, image in batch]))
            digests = b"".join(pixels_sha256(image) for image in as_uint8(pixels))
            words = np.frombuffer(digests, ">u4").astype(np.uint32).reshape(-1, 8)
            rows = _padded(len(batch), self._config.lane_block)
            begin = functools.partial(self._begin, self._weights, self._encoder_weights)
            points = np.array(begin(self._key, words[rows], pixels[rows]))
        return [
            _Image(index, pixels[i], points[i], self._config.restarts)
            for i, (index, _) in enumerate(batch)
        ]

    def _advance(self, pool: "_Pool") -> Iterator[tuple[int, Inversion]]:
        statistics = self._statistics
        with statistics.timed("refill"):
            pool.admit()
        with statistics.timed("device"):
            statistics.lane_steps += self._width * pool.length
            statistics.useful_lane_steps += pool.useful_steps
            pool.advance(self._weights)
        done = []
        with statistics.timed("host"):
            following = self._pools[self._pools.index(pool) + 1 :]
            for image, spent in pool.look():
                self._spent += spent
                image.ended = self._ending(image)
                if not image.ended and not image.slots:
                    if following:
                        image.keep(following[0].lanes)
                        following[0].waiting.append(image)
                    else:
                        image.ended = "finished"
                if image.ended:
                    pool.release(image)
                    self._spent += self._most - image.cost
                    statistics.images += 1
                    statistics.evaluations += image.cost
                    done.append(image)
        self._progress(int(self._spent + 1e-3) - self._told)
        self._told = int(self._spent + 1e-3)
        block = self._config.lane_block
        for first in range(0, len(done), block):
            yield from self._leave(done[first : first + block])

    def _ending(self, image: "_Image") -> str:
        lowest = image.curve[-1]
        if lowest <= self._config.floor:
            return "floor"
        if lowest <= self._accept:
            return "accepted"
        levels = self._config.futility
        if levels and lowest > levels[min(len(image.curve), len(levels)) - 1]:
            return "futile"
        return ""

    def _leave(self, images: list["_Image"]) -> Iterator[tuple[int, Inversion]]:
        best = [int(np.argmin(image.distances)) for image in images]
        latents = np.stack([im.latents[b] for im, b in zip(images, best, strict=True)])
        pixels = np.stack([image.pixels for image in images])
        rows = _padded(len(images), self._config.lane_block)
        with self._statistics.timed("device"):
            made, losses = map(
                np.asarray, _reconstruct(self._model, self._weights, latents[rows], pixels[rows])
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


class _Image:
    """An image under way: the lanes that it still has, and the best that each has found."""

    def __init__(self, index: int, pixels: np.ndarray, points: np.ndarray, restarts: int) -> None:
        self.index = index
        self.pixels = pixels
        self.latents = points
        self.distances = np.full(restarts, np.inf, np.float32)
        self.restarts = np.arange(restarts)
        self.slots: dict[int, int] = {}  # of the pool, by lane
        self.curve: list[float] = []
        self.cost = 0.0
        self.ended = ""

    def keep(self, lanes: int) -> None:
        order = np.argsort(self.distances, kind="stable")[:lanes]
        self.latents, self.distances = self.latents[order], self.distances[order]
        self.restarts = self.restarts[order]


class _Pool:
    """The lanes of one stage: a block for each device, and the images that wait for a place."""

    def __init__(
        self,
        stage: Descent,
        programs: "_StagePrograms",
        width: int,
        lanes: int,
        checks_before: int,
        length: int,
    ) -> None:
        self.waiting: collections.deque[_Image] = collections.deque()
        self.lanes = lanes
        self.length = length
        self._stage, self._programs = stage, programs
        self._checks_before = checks_before
        self._free = list(range(width))
        self._images: list[_Image] = []
        self._count = np.zeros(width, np.int64)  # steps that the lane in each slot has done
        self._before = np.full(width, np.inf, np.float32)  # its distance at the last check
        self._cost = np.zeros(width, np.float32)
        self._distance = np.full(width, np.inf, np.float32)
        self._best: np.ndarray | None = None  # the lanes' latents, when they are asked for
        self._carry: Any = None

    @property
    def load(self) -> int:
        """Lanes that run or wait."""
        return len(self._count) - len(self._free) + self.lanes * len(self.waiting)

    @property
    def useful_steps(self) -> int:
        """Steps that the lanes in their places will make of the next advance."""
        slots = [slot for image in self._images for slot in image.slots.values()]
        return int(np.minimum(self._stage.steps - self._count[slots], self.length).sum())

    def admit(self) -> None:
        """Gives free places to waiting images, all lanes of an image or none."""
        entering: list[_Image] = []
        while self.waiting and len(self._free) >= self.lanes:
            image = self.waiting.popleft()
            image.slots = {lane: self._free.pop(0) for lane in range(self.lanes)}
            # Checks that were saved in the stage before leave this stage's where they are.
            image.curve += image.curve[-1:] * (self._checks_before - len(image.curve))
            entering.append(image)
        if not entering:
            return
        self._images += entering
        width = len(self._count)
        mask = np.zeros(width, bool)
        # Where no lane enters stands a copy of one: a place is never without numbers.
        latents = np.repeat(entering[0].latents[:1], width, axis=0)
        targets = np.repeat(entering[0].pixels[None], width, axis=0)
        for image in entering:
            for lane, slot in image.slots.items():
                mask[slot], latents[slot], targets[slot] = True, image.latents[lane], image.pixels
                self._before[slot] = image.distances[lane]
        self._count[mask], self._cost[mask] = 0, 0.0
        new = self._programs.init(latents, targets)
        self._carry = new if self._carry is None else self._programs.mix(mask, new, self._carry)

    def advance(self, weights: list[jax.Array]) -> None:
        """Takes all lanes from one check to the next, and waits for them."""
        self._carry = self._programs.advance(weights, self._carry)
        self._distance, self._best = np.asarray(self._carry.distance), None
        self._count += self.length

    def look(self) -> list[tuple[_Image, float]]:
        """Notes down how far each image has come, and takes the lanes that are done out.

        Returns:
          The images that had lanes in the pool, and the evaluations that they took since the last
          look.
        """
        cost = np.asarray(self._carry.cost)
        spent = cost - self._cost
        stuck = self._distance > (1 - self._stage.tolerance) * self._before
        over = (self._count >= self._stage.steps) | stuck
        self._before, self._cost = self._distance.copy(), cost.copy()
        looked = []
        for image in self._images:
            slots = list(image.slots.values())
            lowest = min(image.distances.min(), self._distance[slots].min())
            image.curve.append(float(lowest))
            looked.append((image, float(spent[slots].sum())))
            image.cost += float(spent[slots].sum())
            self._take_out(image, [lane for lane, slot in image.slots.items() if over[slot]])
        self._images = [image for image in self._images if image.slots]
        return looked

    def release(self, image: _Image) -> None:
        """Takes an image's lanes out."""
        if image.slots:
            self._take_out(image, list(image.slots))
            self._images.remove(image)

    def _take_out(self, image: _Image, lanes: list[int]) -> None:
        for lane in lanes:
            slot = image.slots.pop(lane)
            self._free.append(slot)
            if self._distance[slot] < image.distances[lane]:
                if self._best is None:
                    self._best = np.asarray(self._carry.best)
                image.distances[lane] = self._distance[slot]
                image.latents[lane] = self._best[slot]


def _padded(real: int, size: int) -> np.ndarray:
    """Indices 0 to real - 1, the last one repeated up to `size`."""
    return np.minimum(np.arange(size), real - 1)


class _Model(NamedTuple):
    """A module without its weights: hashable, so that compiled programs are kept by it."""

    graph: Any
    tree: Any
    compute: str

    def merge(self, weights: list[jax.Array]) -> Any:
        return nnx.merge(self.graph, jax.tree.unflatten(self.tree, weights))

    def images(self, weights: list[jax.Array], latents: jax.Array) -> jax.Array:
        generator = self.merge(weights)
        made = generator(latents.astype(self.compute)).astype(jnp.float32)
        # A wrong shape would broadcast against the images, and give a loss of something else.
        if made.shape[1:] != tuple(generator.image_shape):
            raise ValueError(
                f"{type(generator).__name__} makes images of shape {made.shape[1:]}; its "
                f"image_shape says {tuple(generator.image_shape)}"
            )
        return clip_straight_through(made)


def _taken_apart(module: Any, compute: str) -> tuple[_Model, list[jax.Array]]:
    graph, state = nnx.split(module)
    weights, tree = jax.tree.flatten(state)
    if compute != "float32":
        weights = [w.astype(compute) if w.dtype == jnp.float32 else w for w in weights]
    return _Model(graph, tree, compute), weights


class _Carry(NamedTuple):
    targets: jax.Array
    latents: jax.Array
    state: Any
    distance: jax.Array
    best: jax.Array
    cost: jax.Array
    taken: jax.Array  # steps


class _StagePrograms(NamedTuple):
    init: Callable[..., _Carry]
    mix: Callable[..., _Carry]
    advance: Callable[..., _Carry]


@functools.lru_cache(maxsize=64)
def _start_program(
    model: _Model,
    encoder: _Model | None,
    start: str,
    scales: tuple[float, ...],
    restarts: int,
) -> Callable[..., jax.Array]:
    @jax.jit
    def program(
        weights: list[jax.Array],
        encoder_weights: list[jax.Array],
        key: jax.Array,
        words: jax.Array,
        images: jax.Array,
    ) -> jax.Array:
        # An image's key is the run's, folded with the eight words of its pixels' SHA-256.
        def of_image(words: jax.Array) -> jax.Array:
            own = jax.lax.fori_loop(
                0, words.shape[0], lambda i, k: jax.random.fold_in(k, words[i]), key
            )
            return jax.vmap(lambda i: jax.random.fold_in(own, i))(jnp.arange(restarts))

        points = starting_points(
            model.merge(weights),
            jax.vmap(of_image)(words),
            images,
            start=start,
            scales=scales,
            encode=encoder.merge(encoder_weights) if encoder else None,
        )
        return points.astype(jnp.float32)

    return program


@functools.lru_cache(maxsize=64)
def _stage_programs(
    model: _Model,
    stage: Descent,
    distance: str,
    length: int,
    on_host: bool,
    devices: tuple[jax.Device, ...],
) -> _StagePrograms:
    solver = stage.make_solver(distance)

    def init(latents: jax.Array, targets: jax.Array) -> _Carry:
        lanes = len(latents)
        return _Carry(
            targets=targets,
            latents=latents,
            state=solver.init(latents),
            distance=jnp.full(lanes, jnp.inf),
            best=latents,
            cost=jnp.zeros(lanes),
            taken=jnp.zeros(lanes, jnp.int32),
        )

    def mix(mask: jax.Array, new: _Carry, old: _Carry) -> _Carry:
        return jax.tree.map(lambda n, o: jnp.where(_spread(mask, n), n, o), new, old)

    def step(weights: list[jax.Array], carry: _Carry) -> _Carry:
        render = functools.partial(model.images, weights)
        done = solver.step(render, carry.targets, carry.latents, carry.state)
        going = carry.taken < stage.steps
        better = going & (done.distance < carry.distance)
        return _Carry(
            targets=carry.targets,
            latents=done.latents,
            state=done.state,
            distance=jnp.where(better, done.distance, carry.distance),
            best=jnp.where(_spread(better, done.seen), done.seen, carry.best),
            cost=carry.cost + jnp.where(going, done.cost, 0.0),
            taken=carry.taken + 1,
        )

    def scan(weights: list[jax.Array], carry: _Carry) -> _Carry:
        return jax.lax.scan(lambda c, _: (step(weights, c), None), carry, length=length)[0]

    # Each device runs the same program on its own block, so the sums are those of one device.
    lanes, all_lanes = PartitionSpec("lanes"), PartitionSpec()
    mesh = Mesh(np.asarray(devices), ("lanes",))

    def program(
        fn: Callable[..., _Carry], *specs: PartitionSpec, donate: Sequence[int] = ()
    ) -> Any:
        sharded = jax.shard_map(fn, mesh=mesh, in_specs=specs, out_specs=lanes, check_vma=False)
        return jax.jit(sharded, donate_argnums=donate)

    one = program(step if on_host else scan, all_lanes, lanes, donate=(1,))

    def advance(weights: list[jax.Array], carry: _Carry) -> _Carry:
        for _ in range(length if on_host else 1):
            carry = one(weights, carry)
        return carry

    return _StagePrograms(
        init=program(init, lanes, lanes),
        mix=program(mix, lanes, lanes, lanes, donate=(2,)),
        advance=advance,
    )


def _spread(per_lane: jax.Array, like: jax.Array) -> jax.Array:
    return per_lane.reshape(-1, *(1,) * (like.ndim - 1))


@functools.partial(jax.jit, static_argnums=0)
def _reconstruct(
    model: _Model, weights: list[jax.Array], latents: jax.Array, images: jax.Array
) -> tuple[jax.Array, jax.Array]:
    made = model.images(weights, latents)
    return made, l2(made, images)
