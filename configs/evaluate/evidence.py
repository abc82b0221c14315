"""Errors on fresh images and sources against the rates promised; what likelihood ratios cost.

python scripts/evaluate.py --config=configs/evaluate/evidence.py --data=DIR --out=FILE.json

Test images as those of configs/evaluate/edits.py, whose scores are used again with --cache=DIR.
Calibrations of your own: --config.calibrations='FOLDER/{inspected}-{method}.json'.
"""

import ml_collections

from benchmarks.settings import evaluation_config


def get_config() -> ml_collections.ConfigDict:
    """The defaults of `evaluation_config`, and what this evaluation changes."""
    config = evaluation_config()
    config.title = "Errors on fresh images and sources, and the cost of likelihood ratios"
    config.methods = ("origin",)
    config.edits = ("clean", "jpeg-90", "jpeg-75", "resize-0.75")
    config.source_splits = 200
    return config
