"""Attribution of image files: ``jax-origin attribute --config=MY_COPY.py``."""

from ml_collections import ConfigDict

from jax_origin.cli.options import attribute, settings


def get_config() -> ConfigDict:
    """Every setting at its default; each is a flag too, and --help explains it."""
    return settings(attribute)
