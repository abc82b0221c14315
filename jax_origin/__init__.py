"""Was this image made by this model? Attribution by inverting the model, in JAX."""

from jax_origin.attribution import (
    Verdict,
    attribute,
    attribute_stream,
)
from jax_origin.calibrating import calibrate
from jax_origin.calibration import Calibration, CalibrationError
from jax_origin.checkpoints import CheckpointError
from jax_origin.foreign_images import ForeignImages
from jax_origin.generators import FunctionGenerator, Generator
from jax_origin.images import ImageError
from jax_origin.inversion import (
    Descent,
    Inversion,
    InversionConfig,
    LearnedStart,
    StartTraining,
    Statistics,
    invert,
    learn_start,
)
from jax_origin.methods import METHODS, Method
from jax_origin.zoo import load_generator, zoo_names

__all__ = [
    "METHODS",
    "Calibration",
    "CalibrationError",
    "CheckpointError",
    "Descent",
    "ForeignImages",
    "FunctionGenerator",
    "Generator",
    "ImageError",
    "Inversion",
    "InversionConfig",
    "LearnedStart",
    "Method",
    "StartTraining",
    "Statistics",
    "Verdict",
    "attribute",
    "attribute_stream",
    "calibrate",
    "invert",
    "learn_start",
    "load_generator",
    "zoo_names",
]
