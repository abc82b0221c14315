"""From scores to verdicts: calibrations, rules and the decision. NumPy and SciPy only, no JAX."""

from jax_origin.calibration.calibration import (
    AS_MADE,
    DECISIONS,
    Calibration,
    start_path,
)
from jax_origin.calibration.candidates import (
    SEVERAL_FIT,
    Naming,
    name_candidates,
)
from jax_origin.calibration.conditions import (
    Fit,
    p_over_conditions,
    q_over_groups,
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
from jax_origin.calibration.discoveries import (
    Power,
    attributions,
    discovery_power,
    exclusions,
    require_full_scores,
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
from jax_origin.calibration.indistinguishable import (
    Comparison,
    compare,
    indistinguishable_groups,
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
    "SEVERAL_FIT",
    "TOO_FEW",
    "AttributionThreshold",
    "Calibration",
    "CalibrationError",
    "Comparison",
    "Conformal",
    "Decision",
    "Decisions",
    "FalseAttribution",
    "Fit",
    "ForeignGroup",
    "GroupLimit",
    "Grubbs",
    "KernelDensity",
    "Naming",
    "Power",
    "PredictionInterval",
    "Rule",
    "TooFewNegatives",
    "accepting_score",
    "attribution_threshold",
    "attributions",
    "compare",
    "decide",
    "decide_arrays",
    "discovery_power",
    "exclusions",
    "false_attribution_limits",
    "indistinguishable_groups",
    "name_candidates",
    "negatives_needed",
    "p_over_conditions",
    "q_over_groups",
    "require_full_scores",
    "scores_needed",
    "start_path",
    "upper_limit",
]
