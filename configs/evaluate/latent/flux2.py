"""FLUX.2's tiny autoencoder on windows of photographs, by five methods, in every kind of file.

python scripts/evaluate.py --config=configs/evaluate/latent/flux2.py --data=DIR --out=FILE.json

Windows of 64 px; of 128 by --config=configs/evaluate/latent/flux2.py:128.

Photographs are few. So calibrations look at 45 own images alone, and the default decision is by p,
at 0.03. A third of the photographs each is for own images, foreign ones, and calibrations.
"""

import dataclasses
import pathlib
import runpy

import ml_collections

from benchmarks.settings import evaluation_config
from jax_origin import METHODS, Rates

_ZOO = runpy.run_path(str(pathlib.Path(__file__).with_name("zoo.py")))
_PHOTOGRAPHS = "photographs_256_webp.npz"


def get_config(size: str = "64") -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line. `size` is a window's height and width."""
    config = evaluation_config()
    config.title = "FLUX.2's tiny autoencoder"
    config.generators = (
        {
            "name": "taef2",
            "source": "{data}/taef2_decoder_f16.npz",
            "kind": "autoencoder_tiny",
            "config": {"image_size": int(size)},
        },
    )
    origin = dataclasses.replace(METHODS["origin-latent"], rates=Rates(0.03, 0.03))
    config.methods = (origin, *_ZOO["get_config"]().methods[1:])
    config.others = "none"
    config.edits = _ZOO["EDITS"]
    config.reencoded.tests = f"{_PHOTOGRAPHS}#0/3"
    config.reencoded.calibrations = f"{_PHOTOGRAPHS}#2/3"
    config.sets = {"photographs": f"{_PHOTOGRAPHS}#1/3"}
    config.num_images = 90
    config.num_calibration = 45
    return config
