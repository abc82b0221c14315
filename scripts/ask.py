"""Which of these models made this image? `jax-origin ask`, from a checkout."""

import sys

from jax_origin.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["ask", *sys.argv[1:]]))
