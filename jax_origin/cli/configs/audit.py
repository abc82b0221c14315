"""An audit of many images: ``jax-origin audit --config=MY_COPY.py --config.out=DIR``."""

from ml_collections import ConfigDict

from jax_origin.cli.options import audit, settings


def get_config() -> ConfigDict:
    """Every setting at its default; each is a flag too, and --help explains it."""
    return settings(audit)
