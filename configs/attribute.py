"""The settings of `jax-origin attribute`; copy the file named here to change them."""

from jax_origin.cli.configs.attribute import get_config as get_config
