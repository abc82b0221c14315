"""Inversion: the latent whose image is nearest to a given one, for many images at once."""

from jax_origin.inversion.batch import invert
from jax_origin.inversion.engine import Accept, Engine
from jax_origin.inversion.learned_start import (
    LearnedStart,
    StartTraining,
    learn_start,
    start_from_arrays,
)
from jax_origin.inversion.result import Inversion, StagePlan, Statistics
from jax_origin.inversion.settings import Descent, InversionConfig

__all__ = [
    "Accept",
    "Descent",
    "Engine",
    "Inversion",
    "InversionConfig",
    "LearnedStart",
    "StagePlan",
    "StartTraining",
    "Statistics",
    "invert",
    "learn_start",
    "start_from_arrays",
]
