"""How to invert: small frozen settings that a calibration can carry."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

import optax

from jax_origin.distance import DISTANCES, OBJECTIVES
from jax_origin.inversion.start import STARTS

SCHEDULES = {
    "constant": lambda rate, steps: rate,
    "cosine": optax.cosine_decay_schedule,
}
"""How the learning rate goes over the steps of a descent."""

DRIVERS = ("auto", "host", "scan")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Descent:
    """One run of a first-order optimiser.

    Attributes:
      steps: Gradient evaluations of each lane.
      objective: What is descended on, one of `jax_origin.distance.OBJECTIVES`.
      optimizer: Name of an optax optimiser that takes a learning rate: "adam", "lion", "sgd", ...
      learning_rate: Its learning rate, the largest where a schedule changes it.
      schedule: One of `SCHEDULES`.
      options: The optimiser's other arguments, as (name, value) pairs or a mapping.
    """

    steps: int = 100
    objective: str = "l1"
    optimizer: str = "adam"
    learning_rate: float = 0.2
    schedule: str = "cosine"
    options: tuple[tuple[str, Any], ...] | Mapping[str, Any] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(sorted(dict(self.options).items())))
        _at_least("steps", self.steps, 1)
        _one_of("objective", self.objective, OBJECTIVES)
        _one_of("schedule", self.schedule, SCHEDULES)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, not {self.learning_rate}")
        self.transformation()

    def transformation(self) -> optax.GradientTransformation:
        """The optax optimiser that these settings name."""
        make: Any = getattr(optax, self.optimizer, None)
        if make is None:
            hint = _suggest(self.optimizer, dir(optax))
            raise ValueError(f"optimizer {self.optimizer!r}: optax has none of this name{hint}")
        rate = SCHEDULES[self.schedule](self.learning_rate, self.steps)
        try:
            transformation = make(rate, **dict(self.options))
            if not isinstance(transformation, optax.GradientTransformation):
                raise TypeError("it makes no gradient transformation")
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"optimizer {self.optimizer!r} with options {dict(self.options)}: not an optax "
                f"optimiser that can be made so ({error})"
            ) from None
        return transformation


@dataclasses.dataclass(frozen=True, kw_only=True)
class InversionConfig:
    """A recipe of inversion: starting points, a search from all of them, a polish of the best.

    Attributes:
      start: Kind of starting point, one of `jax_origin.inversion.start.STARTS`.
      restarts: Starting points for each image; the best one counts.
      scales: For the start "scaled": the scale of the prior at which restart i is drawn is
        ``scales[i % len(scales)]``.
      search: The descent from every starting point.
      polish: A second descent from the best latents of the first one; None for none.
      polish_lanes: How many lanes of each image are polished.
      distance: What is tracked: the lowest value of it and its latent are kept.
      lane_block: Lanes that are computed together. Sums in XLA depend on it, so it is part of the
        recipe: the same block on the same machine gives the same losses to the bit.
      driver: "host" calls the jitted step from Python, "scan" runs chunks of steps on the device;
        "auto" takes host on CPU and scan elsewhere.
      chunk: Steps a chunk of the scan.
    """

    start: str = "scaled"
    restarts: int = 4
    scales: tuple[float, ...] = (0.05, 0.2, 0.4, 0.8)
    search: Descent = dataclasses.field(default_factory=Descent)
    polish: Descent | None = None
    polish_lanes: int = 1
    distance: str = "l2"
    lane_block: int = 64
    driver: str = "auto"
    chunk: int = 50

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))
        _one_of("start", self.start, STARTS)
        _one_of("distance", self.distance, DISTANCES)
        _one_of("driver", self.driver, DRIVERS)
        for name in ("restarts", "polish_lanes", "lane_block", "chunk"):
            _at_least(name, getattr(self, name), 1)
        if not self.scales or min(self.scales) < 0:
            raise ValueError(f"scales must be one or more numbers >= 0, not {self.scales}")
        if self.polish_lanes > self.restarts:
            raise ValueError(f"polish_lanes={self.polish_lanes} of only {self.restarts} restarts")

    @property
    def steps(self) -> int:
        """Gradient evaluations that one image takes."""
        polish = self.polish.steps * self.polish_lanes if self.polish else 0
        return self.search.steps * self.restarts + polish

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
        for name in ("search", "polish"):
            if isinstance(values.get(name), Mapping):
                _known(values[name], Descent)
                values[name] = Descent(**values[name])
        return cls(**values)


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
