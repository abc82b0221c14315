"""How well verdicts and scores separate belonging images from foreign ones."""

from jax_origin.evaluation.metrics import (
    Interval,
    OperatingPoint,
    accuracy,
    auc,
    auc_interval,
    decision_intervals,
    decision_rates,
    equal_error_rate,
    operating_point,
    rate_interval,
    score_cllr,
    tpr_at_fpr,
)

__all__ = [
    "Interval",
    "OperatingPoint",
    "accuracy",
    "auc",
    "auc_interval",
    "decision_intervals",
    "decision_rates",
    "equal_error_rate",
    "operating_point",
    "rate_interval",
    "score_cllr",
    "tpr_at_fpr",
]
