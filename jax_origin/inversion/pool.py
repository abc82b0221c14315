"""The pool of one stage: lanes in their places, and the images that wait for one."""

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from jax_origin.inversion.program import StagePrograms
from jax_origin.inversion.recipe import Stage


def stack(targets: Sequence[Any]) -> Any:
    """What lanes are compared with, as one."""
    return jax.tree.map(lambda *arrays: np.stack(arrays), *targets)


def _stacked(rows: Iterable[tuple[np.ndarray, Any]]) -> tuple[np.ndarray, Any]:
    """Latents and targets of lanes, as one of each."""
    latents, targets = zip(*rows, strict=True)
    return np.stack(latents), stack(targets)


@dataclasses.dataclass(eq=False)
class ImageUnderWay:
    """An image under way: the lanes that it still has, and the best that each has found.

    Attributes:
      tag: Whatever the engine knows the image by.
      pixels: float32 [H, W, C].
      target: What the distance compares with.
      latents: The best of each lane, [lanes, *latent_shape]; where it begins, at first.
      hops: Where each lane hops, [lanes, hops, *latent_shape].
      accept: The image is done at this distance; None for never.
      floor: At this distance it has come to the floor.
      unit: The levels of futility are times this.
      promising: At this distance or under it the image is not given up.
      ahead: See `Item`.
      cost: Gradient evaluations so far.
      distances: Of the latents, [lanes].
      restarts: Which restart each lane is, [lanes].
      slots: Each running lane's place in its pool.
      curve: The lowest distance up to each check.
      round: Of its stage.
      ended: One of `ENDINGS`; empty while it goes on.
    """

    tag: Any
    pixels: np.ndarray
    target: Any
    latents: np.ndarray
    hops: np.ndarray
    accept: float | None
    floor: float
    unit: float
    promising: float
    ahead: float
    cost: float
    slots: dict[int, int] = dataclasses.field(default_factory=dict)
    curve: list[float] = dataclasses.field(default_factory=list)
    round: int = 0
    ended: str = ""

    def __post_init__(self) -> None:
        self.distances = np.full(len(self.latents), np.inf, np.float32)
        self.restarts = np.arange(len(self.latents))

    def keep(self, lanes: int) -> None:
        """Goes on to a stage with the best so many lanes."""
        self.round = 0
        order = np.argsort(self.distances, kind="stable")[:lanes]
        self.latents, self.distances = self.latents[order], self.distances[order]
        self.restarts, self.hops = self.restarts[order], self.hops[order]


@dataclasses.dataclass(eq=False)
class Pool:
    """Lanes of one stage: a block on each device, and the images that wait for a place.

    Attributes:
      stage, programs: The stage, and what runs it.
      lanes: Lanes of one image.
      width: Lanes of all devices.
      devices: How many they are.
      checks_before, hops_before: Those of one image in the stages before.
      waiting: Images that wait, for this pool or another one of the stage.
    """

    stage: Stage
    programs: StagePrograms
    lanes: int
    width: int
    devices: int
    checks_before: int
    hops_before: int
    waiting: collections.deque[ImageUnderWay] = dataclasses.field(default_factory=collections.deque)

    def __post_init__(self) -> None:
        self.length = self.programs.length
        self._refilled = max(1, self.width // self.devices // 4)  # On each device, at a time.
        self._free = list(range(self.width))
        self._images: list[ImageUnderWay] = []
        self._count = np.zeros(self.width, np.int64)  # steps that the lane in each slot has done
        self._before = np.full(self.width, np.inf, np.float32)  # its distance at the last check
        self._cost = np.zeros(self.width, np.float32)
        self._distance = np.full(self.width, np.inf, np.float32)
        self._best: np.ndarray | None = None  # the lanes' latents, when they are asked for
        self._carry: Any = None

    @property
    def running(self) -> int:
        """Lanes that run."""
        return self.width - len(self._free)

    @property
    def load(self) -> int:
        """Lanes that run, or wait and may enter."""
        return self.running + self.lanes * len(self.waiting)

    @property
    def useful_steps(self) -> int:
        """Steps that the lanes in their places will make of the next advance."""
        slots = [slot for image in self._images for slot in image.slots.values()]
        return int(np.minimum(self.stage.steps - self._count[slots], self.length).sum())

    def admit(self) -> None:
        """Gives free places to waiting images, all lanes of an image or none."""
        entering: list[ImageUnderWay] = []
        while self.waiting and len(self._free) >= self.lanes:
            image = self.waiting.popleft()
            image.slots = {lane: self._free.pop(0) for lane in range(self.lanes)}
            # Checks that were saved in the stage before leave this stage's where they are.
            before = self.checks_before + image.round * self.stage.checks(self.length)
            image.curve += image.curve[-1:] * (before - len(image.curve))
            entering.append(image)
        if not entering:
            return
        self._images += entering
        begin: dict[int, tuple[np.ndarray, Any]] = {}  # latents and target, by place
        for image in entering:
            for lane, slot in image.slots.items():
                latents = image.latents[lane]
                self._before[slot] = image.distances[lane]
                if self.stage.hop:  # It comes from further off than it was before.
                    direction = image.hops[lane, self.hops_before + image.round]
                    latents = latents + self.stage.hop * direction
                    self._before[slot] = np.inf
                begin[slot] = latents, image.target
        self._count[list(begin)], self._cost[list(begin)] = 0, 0.0
        if self._carry is None:
            # Where no lane enters stands a copy of one: a place is never without numbers.
            one = next(iter(begin.values()))
            self._carry = self.programs.init(
                *_stacked(begin.get(s, one) for s in range(self.width))
            )
        else:
            self._refill(begin)

    def _refill(self, begin: dict[int, tuple[np.ndarray, Any]]) -> None:
        """Sends the lanes that begin to their devices, and no others."""
        block = self.width // self.devices
        of_device = [[s for s in begin if s // block == device] for device in range(self.devices)]
        one = next(iter(begin.values()))
        for first in range(0, max(map(len, of_device)), self._refilled):
            places, rows = [], []
            for slots in of_device:
                sent = slots[first : first + self._refilled]
                spare = self._refilled - len(sent)
                places += [slot % block for slot in sent] + [block] * spare
                rows += [begin[slot] for slot in sent] + [one] * spare
            at = np.array(places, np.int32)
            self._carry = self.programs.refill(at, *_stacked(rows), self._carry)

    def advance(self, weights: list[jax.Array]) -> None:
        """Sends all lanes on their way to the next check; see `wait`."""
        self._carry = self.programs.advance(weights, self._carry)
        self._count += self.length

    def wait(self) -> None:
        """Waits until all lanes have come to the check."""
        self._distance, self._best = np.asarray(self._carry.distance), None

    def look(self) -> list[tuple[ImageUnderWay, float]]:
        """Notes down how far each image has come, and takes the lanes that are done out.

        It gives the images that had lanes here, and the evaluations that each took since last time.
        """
        cost = np.asarray(self._carry.cost)
        spent = cost - self._cost
        over = self._count >= self.stage.steps
        if self.stage.tolerance:  # Without one, a distance rounded up would look like no progress.
            over |= self._distance > (1 - self.stage.tolerance) * self._before
        self._before, self._cost = self._distance.copy(), cost.copy()
        looked = []
        for image in self._images:
            slots = list(image.slots.values())
            image.curve.append(float(min(image.distances.min(), self._distance[slots].min())))
            looked.append((image, float(spent[slots].sum())))
            image.cost += looked[-1][1]
            self._take_out(image, [lane for lane, slot in image.slots.items() if over[slot]])
        self._images = [image for image in self._images if image.slots]
        return looked

    def release(self, image: ImageUnderWay) -> None:
        """Takes an image's lanes out."""
        if image.slots:
            self._take_out(image, list(image.slots))
            self._images.remove(image)

    def _take_out(self, image: ImageUnderWay, lanes: list[int]) -> None:
        for lane in lanes:
            slot = image.slots.pop(lane)
            self._free.append(slot)
            if self._distance[slot] < image.distances[lane]:
                if self._best is None:
                    self._best = np.asarray(self._carry.best)
                image.distances[lane] = self._distance[slot]
                image.latents[lane] = self._best[slot]
