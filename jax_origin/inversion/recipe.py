"""How to invert: a recipe of parts, a small frozen value that a calibration can carry."""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import jax
import optax

from jax_origin.distances import L2, OBJECTIVES, Distance
from jax_origin.inversion.solvers import Optax, Solver
from jax_origin.inversion.starts import Scaled, Start
from jax_origin.parts import Part, at_least, one_of

DRIVERS = ("auto", "host", "scan")
COMPUTE = ("float32", "bfloat16")
EVENNESS_COST = 1 / 3  # Gradient evaluations: a forward pass.


@dataclasses.dataclass(frozen=True)
class Stage(Part):
    """One stage of an inversion: a solver, run on the best lanes of each image so far.

    Attributes:
      solver: One of `jax_origin.solvers`, your own, or any `optax.GradientTransformation`.
      steps: Steps of each lane at the most.
      objective: What is descended on, one of `jax_origin.distances.OBJECTIVES`. Solvers of least
        squares descend on the squares of the distance's residual, whatever is said here.
      lanes: How many lanes of each image enter, the best ones; None for all. Falling numbers from
        stage to stage are successive halving among an image's restarts.
      tolerance: A lane is done with the stage once its tracked distance fell by less than this
        share of itself since the last check, or since the stage before; 0 for never.
      hop: Lanes enter so many times the prior's spread away from the best latents so far, which
        they may be stuck at. Those are kept where the stage finds none better (basin hopping; Wales
        and Doye, J. Phys. Chem. A 101, 1997). 0 for no such hop.
      rounds: How many times a lane goes through the stage, hopping each time.
      evenness: An image enters the stage, and each further round of it, only where what it misses
        is spread at most so evenly over its sixteen parts (`Distance.evenness`). What is missed of
        a belonging image that is stuck is in few places. All others are done. 1 for every image.
    """

    nested: ClassVar = {"solver": Solver}
    solver: Solver | optax.GradientTransformation = dataclasses.field(default_factory=Optax)
    _: dataclasses.KW_ONLY
    steps: int = 100
    objective: str = "l1"
    lanes: int | None = None
    tolerance: float = 0.0
    hop: float = 0.0
    rounds: int = 1
    evenness: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.solver, optax.GradientTransformation):
            object.__setattr__(self, "solver", Optax(self.solver))
        if not isinstance(self.solver, Solver):
            raise ValueError(
                "solver must be one of jax_origin.solvers, or an optax.GradientTransformation; "
                f"got {self.solver!r:.100}"
            )
        if self.solver.objective_free:
            object.__setattr__(self, "objective", "l2")
        one_of("objective", self.objective, OBJECTIVES)
        at_least("steps", self.steps, 1)
        at_least("rounds", self.rounds, 1)
        if self.lanes is not None:
            at_least("lanes", self.lanes, 1)
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance must be 0 or more and under 1, not {self.tolerance}")
        if not self.hop >= 0:
            raise ValueError(f"hop must be 0 or more, not {self.hop}")
        if self.rounds > 1 and not self.hop:
            raise ValueError(f"rounds={self.rounds} without a hop would do the same again: set hop")
        if not 0 < self.evenness <= 1:
            raise ValueError(f"evenness must be over 0 and at most 1, not {self.evenness}")

    @property
    def of_a_step(self) -> "Stage":
        """This stage without the settings that its single steps do not depend on."""
        steps = self.steps if self.solver.chunked else 1  # Rates have schedules.
        return Stage(self.solver, steps=steps, objective=self.objective)

    @property
    def hops(self) -> int:
        """How often a lane hops."""
        return self.rounds if self.hop else 0

    @property
    def asks(self) -> bool:
        """Whether it is asked how evenly what is missed is spread."""
        return self.evenness < 1

    def evaluations(self, latent_size: int, lanes: int) -> float:
        """Gradient evaluations of an image with so many lanes, at the most."""
        each = self.steps * lanes * self.solver.evaluations(latent_size)
        return self.rounds * (each + EVENNESS_COST * self.asks)

    def checks(self, chunk: int) -> int:
        """How often a lane is looked at each time that it goes through the stage."""
        return math.ceil(self.steps / self.chunk(chunk))

    def chunk(self, most: int) -> int:
        """Steps from one check to the next: equal parts of the stage, none longer than `most`."""
        return math.ceil(self.steps / math.ceil(self.steps / most)) if self.solver.chunked else 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(Part):
    """A recipe of inversion: starting points, and the stages of descent from them.

    Attributes:
      start: Where lanes begin, one of `jax_origin.starts`.
      stages: The descents, one after the other, each from the best latents of those before.
      distance: What is tracked: the lowest value of it and its latent are kept. One of
        `jax_origin.distances`.
      restarts: Starting points for each image; the best one counts. None for what the
        start says.
      floor: An image whose tracked distance is at this or under it is done; 0 for never.
      lane_block: Lanes that one device computes together. Sums in XLA depend on it, so it is part
        of the recipe: the same block on the same machine gives the same losses to the bit. None
        for what suits the devices at hand; see `block`.
      compute: Precision of the generator's arithmetic, "float32" or "bfloat16"; latents, losses and
        the solver's state are float32 in any case.
      driver: "host" calls the jitted step from Python, "scan" runs the steps between two checks on
        the device; "auto" takes host on CPU and scan elsewhere.
      chunk: Steps of a `chunked` solver between two checks, at the most; the others are checked at
        each step.
    """

    nested: ClassVar = {"start": Start, "stages": Stage, "distance": Distance}
    start: Start = dataclasses.field(default_factory=Scaled)
    stages: tuple[Stage, ...] = dataclasses.field(default_factory=lambda: (Stage(),))
    distance: Distance = dataclasses.field(default_factory=L2)
    restarts: int | None = None
    floor: float = 0.0
    lane_block: int | None = None
    compute: str = "float32"
    driver: str = "auto"
    chunk: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        for name, of in (("start", Start), ("distance", Distance)):
            if not isinstance(value := getattr(self, name), of):
                raise ValueError(
                    f"{name} must be one of jax_origin.{name}s, as an object; got {value!r:.100}"
                )
        if self.restarts is None:
            object.__setattr__(self, "restarts", self.start.restarts)
        one_of("driver", self.driver, DRIVERS)
        one_of("compute", self.compute, COMPUTE)
        at_least("restarts", self.restarts, 1)
        at_least("chunk", self.chunk, 1)
        if self.lane_block is not None:
            at_least("lane_block", self.lane_block, 1)
        if not self.floor >= 0:
            raise ValueError(f"floor must be 0 or more, not {self.floor}")
        if not self.stages or not all(isinstance(stage, Stage) for stage in self.stages):
            raise ValueError("stages must be one or more Stage")
        if self.stages[0].asks:
            raise ValueError("stages[0].evenness: nothing is found yet that it could be asked of")
        lanes = self.lanes
        if self.lane_block is not None and lanes > self.lane_block:
            raise ValueError(
                f"restarts={lanes} lanes of an image do not fit in lane_block={self.lane_block}"
            )
        for i, stage in enumerate(self.stages):
            if (stage.lanes or lanes) > lanes:
                raise ValueError(f"stages[{i}].lanes={stage.lanes}: only {lanes} lanes come there")
            lanes = stage.lanes or lanes

    @property
    def lanes(self) -> int:
        """Lanes of one image that begin."""
        assert self.restarts is not None  # The start has said it.
        return self.restarts

    @property
    def block(self) -> int:
        """Lanes that one device computes together.

        Where `lane_block` does not say, 64, and 16 on CPUs, which are no quicker with more: the
        last images of a batch leave fewer lanes idle then. Rounded up to whole images.
        """
        if self.lane_block is not None:
            return self.lane_block
        lanes = 16 if jax.default_backend() == "cpu" else 64
        return math.ceil(lanes / self.lanes) * self.lanes

    @property
    def stage_lanes(self) -> tuple[int, ...]:
        """Lanes of one image in each stage."""
        lanes = [self.lanes]
        for stage in self.stages:
            lanes.append(stage.lanes or lanes[-1])
        return tuple(lanes[1:])

    @property
    def hops(self) -> int:
        """How often a lane hops, in all stages together."""
        return sum(stage.hops for stage in self.stages)

    @property
    def checks(self) -> int:
        """How often an image is looked at that goes through all stages."""
        return sum(stage.rounds * stage.checks(self.chunk) for stage in self.stages)

    def evaluations(self, latent_shape: Sequence[int]) -> int:
        """Gradient evaluations that one image takes at the most."""
        size = math.prod(latent_shape)
        stages = zip(self.stages, self.stage_lanes, strict=True)
        descents = sum(stage.evaluations(size, lanes) for stage, lanes in stages)
        return math.ceil(self.start.evaluations + descents - 1e-6)

    def evaluations_by_check(self, latent_shape: Sequence[int]) -> list[float]:
        """Gradient evaluations of an image up to each check, where it goes through all stages.

        Beside `Inversion.curve`, it says what each of its values cost.
        """
        size, spent = math.prod(latent_shape), self.start.evaluations
        found = []
        for stage, lanes in zip(self.stages, self.stage_lanes, strict=True):
            each = lanes * stage.solver.evaluations(size)
            chunk = stage.chunk(self.chunk)
            for _ in range(stage.rounds):
                begun = spent = spent + EVENNESS_COST * stage.asks
                for check in range(stage.checks(self.chunk)):
                    spent = begun + min((check + 1) * chunk, stage.steps) * each
                    found.append(spent)
        return found
