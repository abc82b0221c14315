"""N and alpha: what a rule on p alone accepts, by the number of belonging scores it was made from.

python scripts/evaluate.py --config=configs/evaluate/paper/calibration_size.py --out=FILE.json

Belonging images are scored once. For each N, calibrations of N are drawn from their scores, and
judge the others and all foreign ones. What the rules do to scores of known
distributions: docs/rule_sizes.md.
"""

import ml_collections

from benchmarks.settings import evaluation_config, without_sets


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = without_sets(evaluation_config())
    config.title = "The number of belonging images, and alpha"
    config.num_belonging = 400
    config.calibration_sizes = (20, 50, 100, 200)
    config.picture = "sizes"
    return config
