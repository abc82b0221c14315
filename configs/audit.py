"""The settings of `jax-origin audit`; copy the file named here to change them."""

from jax_origin.cli.configs.audit import get_config as get_config
