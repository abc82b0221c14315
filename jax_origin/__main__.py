"""``python -m jax_origin`` is the command ``jax-origin``."""

import sys

from jax_origin.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
