"""The settings of `jax-origin calibrate`; copy the file named here to change them."""

from jax_origin.cli.configs.calibrate import get_config as get_config
