"""Evidence from calibrated scores: likelihood ratios, many images, several candidates. No JAX."""

from jax_origin.evidence.discoveries import (
    Procedure,
    attributions,
    discovery_power,
    exclusions,
    require_full_scores,
)
from jax_origin.evidence.indistinguishable import indistinguishable_groups
from jax_origin.evidence.likelihood_ratio import FitRatio, LogisticRatio, PavRatio
from jax_origin.evidence.naming import Naming, name_candidates
from jax_origin.evidence.ratio_cost import (
    CllrInterval,
    cllr,
    cllr_interval,
    pav_points,
    tippett,
)
from jax_origin.evidence.ratios import (
    Ratios,
    cross_fitted,
    least_log10_lr,
    leave_one_group_out,
    scores_under,
)

__all__ = [
    "CllrInterval",
    "FitRatio",
    "LogisticRatio",
    "Naming",
    "PavRatio",
    "Procedure",
    "Ratios",
    "attributions",
    "cllr",
    "cllr_interval",
    "cross_fitted",
    "discovery_power",
    "exclusions",
    "indistinguishable_groups",
    "least_log10_lr",
    "leave_one_group_out",
    "name_candidates",
    "pav_points",
    "require_full_scores",
    "scores_under",
    "tippett",
]
