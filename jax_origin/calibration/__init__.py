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
from jax_origin.calibration.errors import (
    CalibrationError,
)
from jax_origin.calibration.false_attribution import (
    AttributionThreshold,
    FalseAttribution,
    GroupLimit,
    TooFewNegatives,
    attribution_threshold,
    false_attribution_limits,
    negatives_needed,
    upper_limit,
)
from jax_origin.calibration.foreign import (
    ForeignGroup,
)
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
    "AttributionThreshold",
    "Calibration",
    "CalibrationError",
    "Conformal",
    "Decision",
    "Decisions",
    "FalseAttribution",
    "ForeignGroup",
    "GroupLimit",
    "Grubbs",
    "KernelDensity",
    "PredictionInterval",
    "Rule",
    "TooFewNegatives",
    "accepting_score",
    "attribution_threshold",
    "decide",
    "decide_arrays",
    "false_attribution_limits",
    "negatives_needed",
    "scores_needed",
    "start_path",
    "upper_limit",
]
