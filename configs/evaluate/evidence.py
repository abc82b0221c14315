"""What calibrations promise, held against random halves of the scores; what likelihood ratios cost.

python scripts/evaluate.py --config=configs/evaluate/evidence.py --data=DIR --out=FILE.json

Test images as those of configs/evaluate/cifar10.py, whose scores are used again with --cache=DIR.
"""

import ml_collections

from benchmarks.settings import evaluation_config


def get_config() -> ml_collections.ConfigDict:
    """The defaults of `evaluation_config`, and what this evaluation changes."""
    config = evaluation_config()
    config.title = "Random halves of the scores, and the cost of likelihood ratios"
    config.resplits = 200
    return config
