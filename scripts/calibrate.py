"""Makes a calibration: `jax-origin calibrate`, from a checkout."""

import sys

from jax_origin.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["calibrate", *sys.argv[1:]]))
