"""The zoo's generators against sets of images at 32 px, all stored alike: as PNG, or as JPEG.

python scripts/evaluate.py --config=configs/evaluate/storage.py --data=DIR --out=FILE.json

Five qualities, chroma at half and at full resolution; calibrations know four of the ten.
"""

import ml_collections

from benchmarks.settings import evaluation_config

QUALITIES = (95, 90, 75, 50, 30)
EDITS = ("clean", *(f"jpeg-{q}{s}" for q in QUALITIES for s in ("", "-444")))


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = evaluation_config()
    config.title = "All images stored alike"
    config.methods = ("origin",)
    config.edits = EDITS
    return config
