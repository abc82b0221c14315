"""Solvers: how a block of lanes goes from one latent to the next."""

from jax_origin.inversion.encoder_steps import EncoderSteps as EncoderSteps
from jax_origin.inversion.first_order import LBFGS as LBFGS
from jax_origin.inversion.first_order import SCHEDULES as SCHEDULES
from jax_origin.inversion.first_order import FirstOrder as FirstOrder
from jax_origin.inversion.first_order import Optax as Optax
from jax_origin.inversion.first_order import Problem as Problem
from jax_origin.inversion.first_order import Render as Render
from jax_origin.inversion.first_order import Solver as Solver
from jax_origin.inversion.first_order import Step as Step
from jax_origin.inversion.least_squares import GaussNewton as GaussNewton
from jax_origin.inversion.least_squares import LevenbergMarquardt as LevenbergMarquardt
from jax_origin.inversion.measure import Measure as Measure
