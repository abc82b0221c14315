"""The settings of `jax-origin serve`; copy the file named here to change them."""

from jax_origin.cli.configs.serve import get_config as get_config
