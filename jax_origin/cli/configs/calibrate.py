"""A calibration for a generator: ``jax-origin calibrate --config=MY_COPY.py``."""

from ml_collections import ConfigDict

from jax_origin.cli.options import calibrate, settings


def get_config() -> ConfigDict:
    """Every setting at its default; each is a flag too, and --help explains it."""
    return settings(calibrate)
