"""How to invert: small frozen settings that a calibration can carry."""

import dataclasses
import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax

from jax_origin.distance import DISTANCES, OBJECTIVES, TO_STORED
from jax_origin.inversion.least_squares import LEAST_SQUARES
from jax_origin.inversion.solver import LBFGS, FirstOrder, Solver
from jax_origin.inversion.start import STARTS

SCHEDULES = {
    "constant": lambda rate, steps: rate,
    "cosine": optax.cosine_decay_schedule,
}
"""How the learning rate goes over the steps of a descent."""

SECOND_ORDER: dict[str, Callable[..., Solver]] = {**LEAST_SQUARES, "lbfgs": LBFGS}
"""Solvers that are no optax optimiser with a learning rate, by name."""

DRIVERS = ("auto", "host", "scan")
COMPUTE = ("float32", "bfloat16")
EVENNESS_COST = 1 / 3  # Gradient evaluations: a forward pass.
_POINT = jax.ShapeDtypeStruct((1,), np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Descent:
    """One stage of an inversion: a solver, run on the best lanes of each image so far.

    Attributes:
      steps: Steps of each lane at the most.
      solver: Name of an optax optimiser that takes a learning rate ("adam", "lion", "sgd", ...);
        or "lbfgs", "levenberg_marquardt" (small latents) or "gauss_newton" (large ones).
      objective: What is descended on, one of `jax_origin.distance.OBJECTIVES`; for the distance
        "stored" it is "stored_l1" or "stored_l2", and only for it. The two solvers of least
        squares descend on the squares of the distance's residual, whatever is said here.
      learning_rate: An optax optimiser's learning rate, the largest where a schedule changes it.
      schedule: One of `SCHEDULES`, for the learning rate.
      options: The solver's other arguments, as (name, value) pairs or a mapping.
      lanes: How many lanes of each image enter, the best ones; None for all. Falling numbers from
        stage to stage are successive halving among an image's restarts.
      tolerance: A lane whose tracked distance fell by less than this share of itself since the
        last check, or since the stage before, is done with the stage; 0 for never.
      hop: Lanes enter so many times the prior's spread away from the best latents so far, which
        they may be stuck at; those are kept where the stage finds none better (basin hopping; Wales
        and Doye, J. Phys. Chem. A 101, 1997). 0 for no such hop.
      rounds: How many times a lane goes through the stage, hopping each time.
      evenness: An image enters the stage, and each further round of it, only where what it misses
        is spread over its sixteen parts at most so evenly
        (`jax_origin.distance.evenness_of_parts`): what is missed of a belonging image that is stuck
        is in few places. All others are done. 1 for every image.
    """

    steps: int = 100
    solver: str = "adam"
    objective: str = "l1"
    learning_rate: float = 0.2
    schedule: str = "cosine"
    options: tuple[tuple[str, Any], ...] | Mapping[str, Any] = ()
    lanes: int | None = None
    tolerance: float = 0.0
    hop: float = 0.0
    rounds: int = 1
    evenness: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(sorted(dict(self.options).items())))
        if self.least_squares:
            object.__setattr__(self, "objective", "l2")
        _at_least("steps", self.steps, 1)
        if self.lanes is not None:
            _at_least("lanes", self.lanes, 1)
        _one_of("objective", self.objective, OBJECTIVES)
        _one_of("schedule", self.schedule, SCHEDULES)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, not {self.learning_rate}")
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance must be 0 or more and under 1, not {self.tolerance}")
        if not self.hop >= 0:
            raise ValueError(f"hop must be 0 or more, not {self.hop}")
        _at_least("rounds", self.rounds, 1)
        if self.rounds > 1 and not self.hop:
            raise ValueError(f"rounds={self.rounds} without a hop would do the same again: set hop")
        if not 0 < self.evenness <= 1:
            raise ValueError(f"evenness must be over 0 and at most 1, not {self.evenness}")
        self.make_solver("l2")

    @property
    def first_order(self) -> bool:
        """Whether the solver is an optax optimiser with a learning rate."""
        return self.solver not in SECOND_ORDER

    @property
    def least_squares(self) -> bool:
        """Whether the solver has no objective but the distance's residual."""
        return self.solver in LEAST_SQUARES

    @property
    def of_a_step(self) -> "Descent":
        """These settings without those that its single steps do not depend on."""
        steps = self.steps if self.first_order else 1  # Rates have schedules.
        return dataclasses.replace(
            self, steps=steps, lanes=None, tolerance=0.0, hop=0.0, rounds=1, evenness=1.0
        )

    def make_solver(self, distance: str) -> Solver:
        """The solver that these settings name; it tracks the distance of this name."""
        options = dict(self.options)
        if not self.first_order:
            if self.solver == "lbfgs":
                options["objective"] = self.objective
            try:
                return SECOND_ORDER[self.solver](distance=distance, **options)
            except (TypeError, ValueError) as error:
                raise ValueError(f"solver {self.solver!r}, options {options}: {error}") from None
        make: Any = getattr(optax, self.solver, None)
        if make is None:
            hint = _suggest(self.solver, [*SECOND_ORDER, *dir(optax)])
            raise ValueError(f"solver {self.solver!r}: optax has none of this name{hint}")
        rate = SCHEDULES[self.schedule](self.learning_rate, self.steps)
        try:
            transformation = make(rate, **options)
            if not isinstance(transformation, optax.GradientTransformation):
                raise TypeError("it makes no gradient transformation")
            # Traced, not run: settings are made at import, when no device may be touched yet.
            jax.eval_shape(lambda x: transformation.update(x, transformation.init(x), x), _POINT)
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"solver {self.solver!r} with options {options}: not an optax optimiser that can "
                f"be made and stepped so ({error})"
            ) from None
        return FirstOrder(transformation, objective=self.objective, distance=distance)

    @property
    def hops(self) -> int:
        """How often a lane hops."""
        return self.rounds if self.hop else 0

    @property
    def asks(self) -> bool:
        """Whether it is asked how evenly what is missed is spread."""
        return self.evenness < 1

    def evaluations(self, distance: str, latent_size: int, lanes: int) -> float:
        """Gradient evaluations of an image with so many lanes, at the most."""
        each = self.steps * lanes * self.make_solver(distance).evaluations(latent_size)
        return self.rounds * (each + EVENNESS_COST * self.asks)

    def checks(self, chunk: int) -> int:
        """How often a lane is looked at each time that it goes through the stage."""
        return math.ceil(self.steps / self.chunk(chunk))

    def chunk(self, most: int) -> int:
        """Steps from one check to the next: equal parts of the stage, none longer than `most`."""
        return math.ceil(self.steps / math.ceil(self.steps / most)) if self.first_order else 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class InversionConfig:
    """A recipe of inversion: starting points, and the stages of descent from them.

    Attributes:
      start: Where lanes begin, one of `jax_origin.inversion.start.STARTS`.
      restarts: Starting points for each image; the best one counts.
      scales: Restart i begins ``scales[i % len(scales)]`` times a sample of the prior away from the
        start's centre (the prior's mean, the encoding of the image); not used by "prior".
      stages: The descents, one after the other, each from the best latents of those before.
      distance: What is tracked: the lowest value of it and its latent are kept. One of
        `jax_origin.distance.DISTANCES`: "l1" and "l2" compare with an image's pixels, "stored" with
        all images that its file may have come from.
      floor: An image whose tracked distance is at this or under it is done; 0 for never.
      futility: For each check, the tracked distance above which an image is given up; empty for
        never. `jax_origin.calibrate` fits them. The last one counts for later checks too.
      lane_block: Lanes that one device computes together. Sums in XLA depend on it, so it is part
        of the recipe: the same block on the same machine gives the same losses to the bit. None
        for what suits the devices at hand; see `block`.
      compute: Precision of the generator's arithmetic; latents, losses and the solver's state are
        float32 in any case.
      driver: "host" calls the jitted step from Python, "scan" runs the steps between two checks on
        the device; "auto" takes host on CPU and scan elsewhere.
      chunk: Steps of an optax optimiser between two checks, at the most; the other solvers are
        checked at each step.
    """

    start: str = "scaled"
    restarts: int = 4
    scales: tuple[float, ...] = (0.05, 0.2, 0.4, 0.8)
    stages: tuple[Descent, ...] = dataclasses.field(default_factory=lambda: (Descent(),))
    distance: str = "l2"
    floor: float = 0.0
    futility: tuple[float, ...] = ()
    lane_block: int | None = None
    compute: str = "float32"
    driver: str = "auto"
    chunk: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))
        object.__setattr__(self, "stages", tuple(self.stages))
        object.__setattr__(self, "futility", tuple(float(level) for level in self.futility))
        _one_of("start", self.start, STARTS)
        _one_of("distance", self.distance, DISTANCES)
        _one_of("driver", self.driver, DRIVERS)
        _one_of("compute", self.compute, COMPUTE)
        for name in ("restarts", "lane_block", "chunk"):
            if (value := getattr(self, name)) is not None:
                _at_least(name, value, 1)
        if not self.scales or not all(scale >= 0 for scale in self.scales):
            raise ValueError(f"scales must be one or more numbers >= 0, not {self.scales}")
        if not self.floor >= 0:
            raise ValueError(f"floor must be 0 or more, not {self.floor}")
        if not all(level > 0 for level in self.futility):
            raise ValueError(f"futility must hold positive distances, not {self.futility}")
        if not self.stages or not all(isinstance(stage, Descent) for stage in self.stages):
            raise ValueError("stages must be one or more Descent")
        if self.stages[0].asks:
            raise ValueError("stages[0].evenness: nothing is found yet that it could be asked of")
        lanes = self.restarts
        if self.lane_block is not None and lanes > self.lane_block:
            raise ValueError(
                f"restarts={lanes} lanes of an image do not fit in lane_block={self.lane_block}"
            )
        for i, stage in enumerate(self.stages):
            if (stage.lanes or lanes) > lanes:
                raise ValueError(f"stages[{i}].lanes={stage.lanes}: only {lanes} lanes come there")
            lanes = stage.lanes or lanes
            objective, same = stage.objective, (self.distance in TO_STORED)
            if not stage.least_squares and (objective in TO_STORED) != same:
                fitting = [name for name in OBJECTIVES if (name in TO_STORED) == same]
                raise ValueError(
                    f"stages[{i}].objective={objective!r} does not go with "
                    f"distance={self.distance!r}: choose from {', '.join(fitting)}"
                )

    @property
    def block(self) -> int:
        """Lanes that one device computes together.

        Where `lane_block` does not say, 64, and 16 on CPUs, which are no quicker with more: the
        last images of a batch leave fewer lanes idle then. Rounded up to whole images.
        """
        if self.lane_block is not None:
            return self.lane_block
        lanes = 16 if jax.default_backend() == "cpu" else 64
        return math.ceil(lanes / self.restarts) * self.restarts

    @property
    def stage_lanes(self) -> tuple[int, ...]:
        """Lanes of one image in each stage."""
        lanes = [self.restarts]
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
        each = [stage.evaluations(self.distance, size, lanes) for stage, lanes in stages]
        return math.ceil(sum(each) - 1e-6)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; `from_dict` reads them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "InversionConfig":
        """Settings from plain JSON values.

        Raises:
          ValueError: If a name is unknown or a value is wrong.
        """
        values = dict(values)
        _known(values, cls)
        if isinstance(values.get("stages"), list | tuple):
            values["stages"] = tuple(map(_descent, values["stages"]))
        return cls(**values)


def _descent(values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    _known(values, Descent)
    return Descent(**values)


def _known(values: Mapping[str, Any], cls: type) -> None:
    names = [field.name for field in dataclasses.fields(cls)]
    for name in values:
        if name not in names:
            raise ValueError(f"{cls.__name__} has no {name!r}{_suggest(name, names)}")


def _one_of(name: str, value: Any, choices: Any) -> None:
    if value not in choices:
        raise ValueError(
            f"{name}={value!r}: choose from {', '.join(choices)}{_suggest(str(value), choices)}"
        )


def _suggest(value: str, choices: Any) -> str:
    close = difflib.get_close_matches(value, list(choices), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _at_least(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
