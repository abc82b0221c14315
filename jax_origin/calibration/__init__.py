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
    Compared,
    Fit,
    compared_with,
    edited_group,
    origin_of,
    q_over_groups,
)
from jax_origin.calibration.decision import (
    DRIFT,
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
from jax_origin.calibration.evidence import (
    Ratios,
    cross_fitted,
    leave_one_group_out,
    log10_lr_by_group,
    pooled_log10_lr,
)
from jax_origin.calibration.explain import (
    explain,
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
from jax_origin.calibration.likelihood_ratio import (
    LR_MODELS,
    LogisticRatio,
    PavRatio,
    RatioModel,
    empirical_bounds,
)
from jax_origin.calibration.ratio_cost import (
    Cllr,
    CllrInterval,
    Tippett,
    cllr,
    cllr_interval,
    pav_points,
    tippett,
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
    "DRIFT",
    "FALSE_ATTRIBUTION_UNKNOWN",
    "FITS_BOTH",
    "FITS_NEITHER",
    "LR_MODELS",
    "RULES",
    "SEVERAL_FIT",
    "TOO_FEW",
    "AttributionThreshold",
    "Calibration",
    "CalibrationError",
    "Cllr",
    "CllrInterval",
    "Compared",
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
    "LogisticRatio",
    "Naming",
    "PavRatio",
    "Power",
    "PredictionInterval",
    "RatioModel",
    "Ratios",
    "Rule",
    "Tippett",
    "TooFewNegatives",
    "accepting_score",
    "attribution_threshold",
    "attributions",
    "cllr",
    "cllr_interval",
    "compare",
    "compared_with",
    "cross_fitted",
    "decide",
    "decide_arrays",
    "discovery_power",
    "edited_group",
    "empirical_bounds",
    "exclusions",
    "explain",
    "false_attribution_limits",
    "indistinguishable_groups",
    "leave_one_group_out",
    "log10_lr_by_group",
    "name_candidates",
    "negatives_needed",
    "origin_of",
    "pav_points",
    "pooled_log10_lr",
    "q_over_groups",
    "require_full_scores",
    "scores_needed",
    "start_path",
    "tippett",
    "upper_limit",
]
