"""Evidence from calibrated scores: likelihood ratios, many images, several candidates. No JAX."""

from jax_origin.evidence.discoveries import Procedure as Procedure
from jax_origin.evidence.discoveries import attributions as attributions
from jax_origin.evidence.discoveries import discovery_power as discovery_power
from jax_origin.evidence.discoveries import exclusions as exclusions
from jax_origin.evidence.discoveries import require_full_scores as require_full_scores
from jax_origin.evidence.explain import explain as explain
from jax_origin.evidence.explain import explain_run as explain_run
from jax_origin.evidence.likelihood_ratio import FitRatio as FitRatio
from jax_origin.evidence.likelihood_ratio import LogisticRatio as LogisticRatio
from jax_origin.evidence.likelihood_ratio import PavRatio as PavRatio
from jax_origin.evidence.naming import Naming as Naming
from jax_origin.evidence.naming import indistinguishable_groups as indistinguishable_groups
from jax_origin.evidence.naming import name_candidates as name_candidates
from jax_origin.evidence.ratio_cost import CllrInterval as CllrInterval
from jax_origin.evidence.ratio_cost import cllr as cllr
from jax_origin.evidence.ratio_cost import cllr_interval as cllr_interval
from jax_origin.evidence.ratio_cost import pav_points as pav_points
from jax_origin.evidence.ratio_cost import tippett as tippett
from jax_origin.evidence.ratios import Ratios as Ratios
from jax_origin.evidence.ratios import cautious_log10_lr as cautious_log10_lr
from jax_origin.evidence.ratios import cross_fitted as cross_fitted
from jax_origin.evidence.ratios import leave_one_group_out as leave_one_group_out
from jax_origin.evidence.ratios import scores_under as scores_under
