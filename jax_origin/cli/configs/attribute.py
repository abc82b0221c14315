"""Attribution of image files, and the demonstration.

jax-origin attribute --config=MY_COPY.py --config.images=DIR
"""

from ml_collections import ConfigDict

from jax_origin.cli.options import attribute, settings


def get_config() -> ConfigDict:
    """Every setting at its default; each is a flag too, and --help explains it."""
    return settings(attribute)
