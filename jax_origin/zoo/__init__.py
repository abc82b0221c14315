"""The zoo: small generators trained by this project, each with a card and calibrations."""

from jax_origin.zoo.examples import demonstration_images, standard_foreign
from jax_origin.zoo.load import ZOO, calibration_path, load_generator, zoo_names

__all__ = [
    "ZOO",
    "calibration_path",
    "demonstration_images",
    "load_generator",
    "standard_foreign",
    "zoo_names",
]
