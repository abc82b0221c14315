"""From a generator to verdicts: methods, calibrating, attributing."""

from jax_origin.workflow.attributor import (
    Attributor,
    attribute,
    attribute_stream,
    check_calibration,
)
from jax_origin.workflow.belonging import belonging_images
from jax_origin.workflow.calibrate import calibrate
from jax_origin.workflow.foreign_images import ForeignImages
from jax_origin.workflow.likeness import Likeness, decider_alike, likeness
from jax_origin.workflow.methods import METHODS, Method, get_method
from jax_origin.workflow.scorer import Scorer, encoders_of
from jax_origin.workflow.verdict import Verdict

__all__ = [
    "METHODS",
    "Attributor",
    "ForeignImages",
    "Likeness",
    "Method",
    "Scorer",
    "Verdict",
    "attribute",
    "attribute_stream",
    "belonging_images",
    "calibrate",
    "check_calibration",
    "decider_alike",
    "encoders_of",
    "get_method",
    "likeness",
]
