"""A page on which images are dropped. `jax-origin serve`, from a checkout."""

import sys

from jax_origin.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
