"""Inversion: the latent whose image is nearest to a given one, for many images at once."""

from jax_origin.inversion.engine import Engine as Engine
from jax_origin.inversion.engine import invert as invert
from jax_origin.inversion.items import Item as Item
from jax_origin.inversion.planning import StagePlan as StagePlan
from jax_origin.inversion.progress import ProgressBar as ProgressBar
from jax_origin.inversion.progress import progress_bar as progress_bar
from jax_origin.inversion.recipe import Recipe as Recipe
from jax_origin.inversion.recipe import Stage as Stage
from jax_origin.inversion.result import ENDINGS as ENDINGS
from jax_origin.inversion.result import Inversion as Inversion
from jax_origin.inversion.running import Progress as Progress
from jax_origin.inversion.running import Run as Run
from jax_origin.inversion.running import Statistics as Statistics
from jax_origin.inversion.running import require_key as require_key
from jax_origin.inversion.solve import solve as solve
from jax_origin.inversion.start_encoder import StartEncoder as StartEncoder
from jax_origin.inversion.start_encoder import StartTraining as StartTraining
from jax_origin.inversion.start_encoder import encoder_from_arrays as encoder_from_arrays
from jax_origin.inversion.start_encoder import learn_start as learn_start
