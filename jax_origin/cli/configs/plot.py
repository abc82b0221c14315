"""A figure: ``jax-origin plot FIGURE INPUT... --config=MY_COPY.py``."""

from ml_collections import ConfigDict

from jax_origin.cli.options import plot, settings


def get_config() -> ConfigDict:
    """Every setting at its default; each is a flag too, and --help explains it."""
    return settings(plot)
