"""A page on this machine on which images are dropped: ``jax-origin serve --config=MY_COPY.py``."""

from ml_collections import ConfigDict

from jax_origin.cli.options import serve, settings


def get_config() -> ConfigDict:
    """Every setting at its default; each is a flag too, and --help explains it."""
    return settings(serve)
