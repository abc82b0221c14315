"""The rates of error that a decision keeps."""

import dataclasses

from jax_origin.calibration.checks import check_rate
from jax_origin.parts import Part


@dataclasses.dataclass(frozen=True)
class Rates(Part):
    """The rates of error that are asked for; None stands for the calibration's own.

    Attributes:
      alpha: False exclusion, in (0, 1): how often the generator's own image may be rejected.
      beta: False attribution, in (0, 1): how often an image of any one foreign group may be
        accepted, on average over calibrations.
      max_false_attribution: An upper limit on false attribution that holds for this very
        calibration, in (0, 1); see `attribution_threshold`. An `Attributor` keeps it.

    Raises:
      ValueError: A rate is outside (0, 1).
    """

    alpha: float | None = None
    beta: float | None = None
    max_false_attribution: float | None = None

    def __post_init__(self) -> None:
        for name, rate in vars(self).copy().items():
            if rate is not None:
                check_rate(rate, name)
                object.__setattr__(self, name, float(rate))

    def over(self, default: "Rates") -> "Rates":
        """These rates; where one is None, that of `default`."""
        given = {name: rate for name, rate in vars(self).items() if rate is not None}
        return dataclasses.replace(default, **given)
