"""Edited images under calibrations that know no edits: `origin`'s without its conditions, RONAN's.

python scripts/evaluate.py --config=configs/evaluate/edits_clean_only.py --data=DIR --out=FILE.json

Stands beside configs/evaluate/edits.py, on the same test images, the first of each group: RONAN's
recipe takes a second an image on two cores.
"""

import dataclasses

import ml_collections

from benchmarks.settings import evaluation_config
from jax_origin import METHODS


def get_config() -> ml_collections.ConfigDict:
    """The defaults of `evaluation_config`, and what this evaluation changes."""
    config = evaluation_config()
    config.title = "All images edited alike, calibrations of images as made"
    config.methods = (
        dataclasses.replace(METHODS["origin"], name="origin, clean only", conditions=()),
        "ronan",
    )
    config.edits = ("clean", "jpeg-90", "jpeg-75", "resize-0.75")
    return config
