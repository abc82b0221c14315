"""How well verdicts and scores separate belonging images from foreign ones."""

from jax_origin.evaluation.metrics import accuracy, auc, decision_rates, tpr_at_fpr

__all__ = ["accuracy", "auc", "decision_rates", "tpr_at_fpr"]
