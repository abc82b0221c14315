"""From scores to verdicts: calibrations, rules and the decision. NumPy and SciPy only, no JAX."""

from jax_origin.calibration import decision_rules, rules
from jax_origin.calibration.calibration import AS_MADE, Calibration
from jax_origin.calibration.checks import CalibrationError, as_scores, check_rate
from jax_origin.calibration.conditions import (
    compared_with,
    edited_group,
    origin_and_condition,
    parse_condition,
)
from jax_origin.calibration.decision import (
    Decider,
    Decision,
    accepting_score,
    decide,
    decide_arrays,
)
from jax_origin.calibration.decision_rules import (
    DRIFT,
    DecisionRule,
    Published,
    TwoErrors,
)
from jax_origin.calibration.encoder_weights import start_path
from jax_origin.calibration.explain import explain
from jax_origin.calibration.false_attribution import (
    attribution_threshold,
    false_attribution_limits,
    limits_of_q,
)
from jax_origin.calibration.foreign import ForeignGroup, shared_images
from jax_origin.calibration.measured import Measured
from jax_origin.calibration.nearest_group import NearestGroup
from jax_origin.calibration.rates import Rates
from jax_origin.calibration.rules import (
    Conformal,
    Grubbs,
    KernelDensity,
    PredictionInterval,
    Rule,
)

__all__ = [
    "AS_MADE",
    "DRIFT",
    "Calibration",
    "CalibrationError",
    "Conformal",
    "Decider",
    "Decision",
    "DecisionRule",
    "ForeignGroup",
    "Grubbs",
    "KernelDensity",
    "Measured",
    "NearestGroup",
    "PredictionInterval",
    "Published",
    "Rates",
    "Rule",
    "TwoErrors",
    "accepting_score",
    "as_scores",
    "attribution_threshold",
    "check_rate",
    "compared_with",
    "decide",
    "decide_arrays",
    "decision_rules",
    "edited_group",
    "explain",
    "false_attribution_limits",
    "limits_of_q",
    "origin_and_condition",
    "parse_condition",
    "rules",
    "shared_images",
    "start_path",
]
