"""What a calibration measures of the generator and of its run, besides the scores."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np

from jax_origin.calibration.checks import (
    CalibrationError,
    Fields,
    check_fields,
    is_number,
    is_whole,
    plain_json,
)

FROM_PRIOR = "draws of its prior"
"""Where a generator's own images come from, unless they are given."""


class Futility(NamedTuple):
    """When an image is given up.

    Attributes:
      levels: For each check of an inversion, what an image is given up over; empty for never.
      power: Levels are distances over this power of the distance at which the image scores 1: 0 for
        distances as they are, 1 for scores.
      least: An image that scores 1 at less counts as one of this distance.
      ahead: Levels are held against where an image would be so many checks later, were it to fall
        as it did last; 0 for where it is.
      spares: Whether an image is never given up whose score is promising (`Score.promising`). A
        calibration's are: an edit that nobody calibrated may have kept them there.
    """

    levels: tuple[float, ...] = ()
    power: float = 0.0
    least: float = 0.0
    ahead: float = 0.0
    spares: bool = True

    def unit(self, distances: Any) -> Any:
        """What levels are times, of images that score 1 at such distances."""
        return np.maximum(distances, self.least) ** self.power


@dataclass(frozen=True)
class Measured:
    """What a calibration measures of the generator and of its run, besides the scores.

    Attributes:
      score: The fitted score as JSON (`Score.to_json`); None for a score that measures nothing.
      futility: For each check of an inversion, the level above which an image is given up;
        positive; empty for never.
      looks_resized: Whether the generator's own images look as if they had been resized.
      scored_block: How many lanes were computed together, 1 or more; None where it is not known.
      unseen: How many of the generator's own images under a condition do not look as if they had
        met it, by condition, where some do not. Such a one is judged by other conditions, which
        adds its share to the rate of false exclusion at the most.
      belonging: Where the generator's own images come from, in a few words. p refers to images such
        as these.
      plain: How many of the generator's own images under a condition say too little to be judged,
        by condition, where some do: the least score that they can have is over the method's
        `enough`. Their scores are left out, and images like them are undecided. A condition that
        too few are left of is none of the calibration's.
      found_again: Where a recipe was chosen: how many own images each that was tried found again,
        and of how many, by the method's name.
      futility_power: See `Futility.power`; 0 in files of older versions.
      futility_least: See `Futility.least`; 0 in files of older versions.

    Raises:
      CalibrationError: A value is unsound.
    """

    score: dict[str, Any] | None = field(default=None, hash=False)
    futility: tuple[float, ...] = ()
    looks_resized: bool = False
    scored_block: int | None = None
    unseen: dict[str, int] = field(default_factory=dict, hash=False)
    belonging: str = FROM_PRIOR
    plain: dict[str, int] = field(default_factory=dict, hash=False)
    found_again: dict[str, tuple[int, int]] = field(default_factory=dict, hash=False)
    futility_power: float = 0.0
    futility_least: float = 0.0

    def __post_init__(self) -> None:
        if self.score is not None:
            object.__setattr__(self, "score", plain_json(self.score, "measured.score"))
        check_fields(vars(self), _MEASURED_FIELDS, "measured")
        object.__setattr__(self, "futility", tuple(float(level) for level in self.futility))
        found = {name: (num, of) for name, (num, of) in self.found_again.items()}
        object.__setattr__(self, "found_again", found)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; `from_json` reads it."""
        values = {**vars(self), "futility": list(self.futility)}
        values["found_again"] = {name: list(share) for name, share in self.found_again.items()}
        # What files without these entries have always meant: they keep their digests.
        if self.belonging == FROM_PRIOR:
            del values["belonging"]
        for name in ("plain", "found_again", "futility_power", "futility_least"):
            if not values[name]:
                del values[name]
        return values

    @property
    def given_up(self) -> Futility:
        """When an image is given up."""
        return Futility(self.futility, self.futility_power, self.futility_least)

    def giving_up(self, futility: Futility) -> "Measured":
        """The same with another futility, whose `ahead` and `spares` are not kept."""
        levels, power, least, *_ = futility
        return replace(self, futility=levels, futility_power=power, futility_least=least)

    @classmethod
    def from_json(cls, values: Any) -> "Measured":
        """Reads what `to_json` gave; raises CalibrationError where it is something else."""
        if isinstance(values, cls):
            return values
        names = [field.name for field in fields(cls)]
        if isinstance(values, dict) and "futility_of_scores" in values:  # One older version has it.
            kept = {name: value for name, value in values.items() if name != "futility_of_scores"}
            values = {**kept, "futility_power": float(values["futility_of_scores"])}
        if not isinstance(values, dict) or not set(values) <= set(names):
            raise CalibrationError(f"measured must hold {', '.join(names)}, and nothing else")
        return cls(**values)


def _are_shares(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(share, list | tuple)
        and len(share) == 2
        and all(map(is_whole, share))
        and 0 <= share[0] <= share[1]
        for share in value.values()
    )


_COUNTS = (
    lambda v: isinstance(v, dict) and all(is_whole(count) and count > 0 for count in v.values()),
    "a count of images for each condition",
)
_MEASURED_FIELDS: Fields = {
    "belonging": (lambda v: isinstance(v, str), "text"),
    "futility": (
        lambda v: isinstance(v, list | tuple) and all(is_number(x) and x > 0 for x in v),
        "positive numbers",
    ),
    "futility_power": (lambda v: is_number(v) and 0 <= v <= 1, "a number in [0, 1]"),
    "futility_least": (lambda v: is_number(v) and v >= 0, "a number of 0 or more"),
    "looks_resized": (lambda v: isinstance(v, bool), "true or false"),
    "scored_block": (lambda v: v is None or (is_whole(v) and v > 0), "1 or more, or null"),
    "plain": _COUNTS,
    "unseen": _COUNTS,
    "found_again": (_are_shares, "how many of how many, by method"),
}
