"""A question about one image: ``jax-origin ask IMAGE --config=MY_COPY.py``."""

from ml_collections import ConfigDict

from jax_origin.cli.options import ask, settings


def get_config() -> ConfigDict:
    """Every setting at its default; each is a flag too, and --help explains it."""
    return settings(ask)
