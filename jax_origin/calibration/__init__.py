"""From scores to verdicts: calibrations, rules and the decision. NumPy and SciPy only, no JAX."""

from jax_origin.calibration.calibration import (
    AS_MADE,
    DECISIONS,
    Calibration,
    CalibrationError,
    ForeignGroup,
    start_path,
)
from jax_origin.calibration.decision import (
    FALSE_ATTRIBUTION_UNKNOWN,
    FITS_BOTH,
    FITS_NEITHER,
    TOO_FEW,
    Decision,
    accepting_score,
    decide,
)
from jax_origin.calibration.rule import RULES, Conformal, Grubbs, Rule

__all__ = [
    "AS_MADE",
    "DECISIONS",
    "FALSE_ATTRIBUTION_UNKNOWN",
    "FITS_BOTH",
    "FITS_NEITHER",
    "RULES",
    "TOO_FEW",
    "Calibration",
    "CalibrationError",
    "Conformal",
    "Decision",
    "ForeignGroup",
    "Grubbs",
    "Rule",
    "accepting_score",
    "decide",
    "start_path",
]
