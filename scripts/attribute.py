"""Was this image made by this model? `jax-origin attribute`, from a checkout."""

import sys

from jax_origin.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["attribute", *sys.argv[1:]]))
