"""Calibrations that the zoo ships."""

from jax_origin.calibration import Calibration
from jax_origin.generators import GeneratorLike, generator_name
from jax_origin.workflow.methods import get_method
from jax_origin.zoo import calibration_path


def load_calibration(generator: GeneratorLike, *, method: str = "origin") -> Calibration:
    """The calibration that the zoo ships for one of its generators.

    Of your own, `Calibration.load` reads the file.

    Args:
      generator: As `jax_origin.load_generator` gives it.
      method: A name in `jax_origin.METHODS`; "origin" is the one that suits the generator.

    Raises:
      CheckpointError: If the zoo ships none.
      ValueError: If there is no such method.
    """
    name = get_method(method, generator).name
    return Calibration.load(calibration_path(generator_name(generator), name))
