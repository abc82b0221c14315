"""What a calibration measures besides its scores."""

import dataclasses
from typing import Any

from jax_origin.calibration.checks import (
    CalibrationError,
    Fields,
    check_fields,
    is_number,
    is_whole,
    plain_json,
)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a calibration measures of the generator and of its run, besides the scores.

    Attributes:
      score: The fitted score as JSON (`Score.to_json`); None for a score that measures nothing.
      futility: For each check of an inversion, the distance above which an image is given up;
        positive; empty for never.
      looks_resized: Whether the generator's own images look as if they had been resized.
      scored_block: How many lanes were computed together, 1 or more; None where it is not known.

    Raises:
      CalibrationError: A value is unsound.
    """

    score: dict[str, Any] | None = dataclasses.field(default=None, hash=False)
    futility: tuple[float, ...] = ()
    looks_resized: bool = False
    scored_block: int | None = None

    def __post_init__(self) -> None:
        if self.score is not None:
            object.__setattr__(self, "score", plain_json(self.score, "measured.score"))
        check_fields(vars(self), _FIELDS, "measured")
        object.__setattr__(self, "futility", tuple(float(level) for level in self.futility))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; `from_json` reads it."""
        return {**vars(self), "futility": list(self.futility)}

    @classmethod
    def from_json(cls, values: Any) -> "Measured":
        """Reads what `to_json` gave; a `Measured` is returned as it is.

        Raises:
          CalibrationError: It is something else.
        """
        if isinstance(values, cls):
            return values
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(values, dict) or not set(values) <= set(names):
            raise CalibrationError(f"measured must hold {', '.join(names)}, and nothing else")
        return cls(**values)


def _are_positive(levels: Any) -> bool:
    return isinstance(levels, list | tuple) and all(is_number(v) and v > 0 for v in levels)


_FIELDS: Fields = {
    "futility": (_are_positive, "positive distances"),
    "looks_resized": (lambda v: isinstance(v, bool), "true or false"),
    "scored_block": (lambda v: v is None or (is_whole(v) and v > 0), "1 or more, or null"),
}
