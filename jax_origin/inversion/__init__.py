"""Inversion: the latent whose image is nearest to a given one, for many images at once."""

from jax_origin.inversion.engine import Engine, Item
from jax_origin.inversion.invert import invert
from jax_origin.inversion.planning import StagePlan
from jax_origin.inversion.recipe import Recipe, Stage
from jax_origin.inversion.result import ENDINGS, Inversion
from jax_origin.inversion.running import Progress, Run, Statistics, progress_bar
from jax_origin.inversion.solve import solve
from jax_origin.inversion.start_encoder import (
    StartEncoder,
    StartTraining,
    encoder_from_arrays,
    learn_start,
)

__all__ = [
    "ENDINGS",
    "Engine",
    "Inversion",
    "Item",
    "Progress",
    "Recipe",
    "Run",
    "Stage",
    "StagePlan",
    "StartEncoder",
    "StartTraining",
    "Statistics",
    "encoder_from_arrays",
    "invert",
    "learn_start",
    "progress_bar",
    "solve",
]
