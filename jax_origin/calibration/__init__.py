"""From scores to verdicts: calibrations, rules and the decision. NumPy and SciPy only, no JAX."""

from jax_origin.calibration.calibration import AS_MADE as AS_MADE
from jax_origin.calibration.calibration import Calibration as Calibration
from jax_origin.calibration.calibration import start_path as start_path
from jax_origin.calibration.checks import CalibrationError as CalibrationError
from jax_origin.calibration.checks import as_scores as as_scores
from jax_origin.calibration.checks import check_rate as check_rate
from jax_origin.calibration.conditions import compared_with as compared_with
from jax_origin.calibration.conditions import edited_group as edited_group
from jax_origin.calibration.conditions import origin_and_condition as origin_and_condition
from jax_origin.calibration.conditions import parse_condition as parse_condition
from jax_origin.calibration.decision import Decider as Decider
from jax_origin.calibration.decision import Decision as Decision
from jax_origin.calibration.decision import Stuck as Stuck
from jax_origin.calibration.decision import accepting_score as accepting_score
from jax_origin.calibration.decision import decide as decide
from jax_origin.calibration.decision import decide_arrays as decide_arrays
from jax_origin.calibration.decision import stuck_images as stuck_images
from jax_origin.calibration.decision_rules import DRIFT as DRIFT
from jax_origin.calibration.decision_rules import EDITED as EDITED
from jax_origin.calibration.decision_rules import IN_PART as IN_PART
from jax_origin.calibration.decision_rules import REFRAMED as REFRAMED
from jax_origin.calibration.decision_rules import RETOUCHED as RETOUCHED
from jax_origin.calibration.decision_rules import DecisionRule as DecisionRule
from jax_origin.calibration.decision_rules import Published as Published
from jax_origin.calibration.decision_rules import Rates as Rates
from jax_origin.calibration.decision_rules import TwoErrors as TwoErrors
from jax_origin.calibration.false_attribution import attribution_threshold as attribution_threshold
from jax_origin.calibration.false_attribution import (
    false_attribution_limits as false_attribution_limits,
)
from jax_origin.calibration.false_attribution import limits_of_q as limits_of_q
from jax_origin.calibration.foreign import ForeignGroup as ForeignGroup
from jax_origin.calibration.foreign import NearestGroup as NearestGroup
from jax_origin.calibration.foreign import shared_images as shared_images
from jax_origin.calibration.measured import FROM_PRIOR as FROM_PRIOR
from jax_origin.calibration.measured import Futility as Futility
from jax_origin.calibration.measured import Measured as Measured
from jax_origin.calibration.rules import Conformal as Conformal
from jax_origin.calibration.rules import Grubbs as Grubbs
from jax_origin.calibration.rules import KernelDensity as KernelDensity
from jax_origin.calibration.rules import PredictionInterval as PredictionInterval
from jax_origin.calibration.rules import Rule as Rule
from jax_origin.calibration.rules import Threshold as Threshold
