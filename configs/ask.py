"""The settings of `jax-origin ask`; copy the file named here to change them."""

from jax_origin.cli.configs.ask import get_config as get_config
