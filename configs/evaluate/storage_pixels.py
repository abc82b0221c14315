"""What configs/evaluate/storage.py evaluates, with distances on pixels instead of stored numbers.

python scripts/evaluate.py --config=configs/evaluate/storage_pixels.py --data=DIR --out=FILE.json

Chroma at half resolution alone. Calibrations are made on the way, of images as made: what counts
here is the TPR at 1% FPR, in which they play no part.
"""

import dataclasses

import ml_collections

from benchmarks.settings import evaluation_config
from jax_origin import METHODS
from jax_origin.distances import L2


def get_config() -> ml_collections.ConfigDict:
    """The defaults of `evaluation_config`, and what this evaluation changes."""
    config = evaluation_config()
    config.title = "All images stored alike, distances on pixels"
    config.num_images = 50
    config.num_calibration = 100
    config.edits = ("clean", *(f"jpeg-{quality}" for quality in (95, 90, 75, 50, 30)))
    origin = METHODS["origin"]
    recipe = dataclasses.replace(origin.recipe, distance=L2())
    config.methods = (
        dataclasses.replace(origin, name="origin, pixels", recipe=recipe, conditions=()),
    )
    return config
