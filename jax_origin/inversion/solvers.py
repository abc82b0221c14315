"""Solvers: how a block of lanes goes from one latent to the next."""

from jax_origin.inversion.first_order import (
    LBFGS,
    SCHEDULES,
    FirstOrder,
    Optax,
    Problem,
    Render,
    Solver,
    Step,
)
from jax_origin.inversion.least_squares import GaussNewton, LevenbergMarquardt

__all__ = [
    "LBFGS",
    "SCHEDULES",
    "FirstOrder",
    "GaussNewton",
    "LevenbergMarquardt",
    "Optax",
    "Problem",
    "Render",
    "Solver",
    "Step",
]
