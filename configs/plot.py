"""The settings of `jax-origin plot`; copy the file named here to change them."""

from jax_origin.cli.configs.plot import get_config as get_config
