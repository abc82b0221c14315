"""From scores to verdicts: calibrations, rules and the decision. NumPy and SciPy only, no JAX."""

from jax_origin.calibration.calibration import (
    AS_MADE,
    DECISIONS,
    Calibration,
    start_path,
)
from jax_origin.calibration.decision import (
    FALSE_ATTRIBUTION_UNKNOWN,
    FITS_BOTH,
    FITS_NEITHER,
    TOO_FEW,
    Decision,
    Decisions,
    accepting_score,
    decide,
    decide_arrays,
)
from jax_origin.calibration.errors import CalibrationError
from jax_origin.calibration.foreign import ForeignGroup
from jax_origin.calibration.rule import (
    RULES,
    Conformal,
    Grubbs,
    KernelDensity,
    PredictionInterval,
    Rule,
    scores_needed,
)

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
    "Decisions",
    "ForeignGroup",
    "Grubbs",
    "KernelDensity",
    "PredictionInterval",
    "Rule",
    "accepting_score",
    "decide",
    "decide_arrays",
    "scores_needed",
    "start_path",
]
