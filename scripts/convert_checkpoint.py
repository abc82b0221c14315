"""Converts a published checkpoint: `jax-origin convert`, from a checkout."""

import sys

from jax_origin.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
