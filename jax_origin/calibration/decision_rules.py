"""Decision rules: how what p and q say becomes a verdict, and the rates of error it keeps."""

import dataclasses
from typing import ClassVar, Literal, NamedTuple

from jax_origin.calibration.checks import CalibrationError, check_rate
from jax_origin.parts import Part, register

FITS_BOTH = "fits both"
FITS_NEITHER = "fits neither"
TOO_FEW = "too few calibration images"
TOO_LITTLE = "too little in it"
DRIFT = "drift"
IN_PART = "in part"
EDITED = "edited"
RETOUCHED = "retouched"
REFRAMED = "reframed"
FALSE_ATTRIBUTION_UNKNOWN = "false_attribution: unknown"

Verdict = Literal["belongs", "not_recognised", "undecided"]


class Outcome(NamedTuple):
    """A verdict, and why it is undecided or what is not known of it; None for nothing."""

    verdict: Verdict
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class DecisionRule(Part):
    """Turns two answers into a verdict: whether p is over alpha, and whether q is over beta.

    Attributes:
      judges_q: Whether the rule looks at q, and so needs a beta.
    """

    family: ClassVar[str] = "decision"
    judges_q: ClassVar[bool] = True

    def outcome(self, fits: bool, fits_foreign: bool | None) -> Outcome:
        """The verdict on an image. A lower score must never turn it away from "belongs".

        Args:
          fits: Whether the image fits the generator's own images, p > alpha.
          fits_foreign: Whether it fits some foreign group, q > beta. None where q is not judged:
            the calibration has no foreign group, or `judges_q` is false.
        """
        raise NotImplementedError(f"{type(self).__name__} has no outcome")


@register
@dataclasses.dataclass(frozen=True)
class Published(DecisionRule):
    """p alone decides, as published with RONAN; q is reported where there are foreign groups."""

    kind: ClassVar[str] = "published"
    judges_q: ClassVar[bool] = False

    def outcome(self, fits: bool, fits_foreign: bool | None) -> Outcome:
        """What fits belongs; see `DecisionRule.outcome`."""
        return Outcome("belongs" if fits else "not_recognised")


@register
@dataclasses.dataclass(frozen=True)
class TwoErrors(DecisionRule):
    r"""p guards against false exclusion, q against false attribution.

    =============  ===========================  ========================
    \              q <= beta                    q > beta
    =============  ===========================  ========================
    p > alpha      belongs                      undecided: fits both
    p <= alpha     undecided: fits neither      not_recognised
    =============  ===========================  ========================

    Without foreign groups p alone decides.
    """

    kind: ClassVar[str] = "two_errors"

    def outcome(self, fits: bool, fits_foreign: bool | None) -> Outcome:
        """The table's cell; see `DecisionRule.outcome`."""
        if fits and fits_foreign:
            return Outcome("undecided", FITS_BOTH)
        if not fits and fits_foreign is False:
            return Outcome("undecided", FITS_NEITHER)
        return Outcome("belongs" if fits else "not_recognised")


@dataclasses.dataclass(frozen=True)
class Rates(Part):
    """The rates of error that are asked for; None stands for the calibration's own.

    Attributes:
      alpha: False exclusion, in (0, 1): how often the generator's own image may be rejected.
      beta: False attribution, in (0, 1): how often an image of any one foreign group may be
        accepted as it is, on average over calibrations. An `Attributor` that reads images again
        accepts as many once more.
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

    def require(self, *, judges_q: bool) -> None:
        """Raises CalibrationError unless these are the rates that a method needs for itself."""
        if self.alpha is None:
            raise CalibrationError("method.rates must name an alpha")
        if self.beta is None and judges_q:
            raise CalibrationError("method.rates must name a beta where the decision needs one")

    def over(self, default: "Rates") -> "Rates":
        """These rates; where one is None, that of `default`."""
        given = {name: rate for name, rate in vars(self).items() if rate is not None}
        return dataclasses.replace(default, **given)
