"""Belonging images against the same architecture's, trained on other data.

python scripts/evaluate.py --config=configs/evaluate/paper/training_data.py --out=FILE.json

The zoo's two DCGANs saw disjoint halves of CIFAR-10. Two checkpoints of your own are named in
--config.generators, and both names in --config.inspected.
"""

import ml_collections

from benchmarks.settings import evaluation_config, without_sets


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = without_sets(evaluation_config())
    config.title = "Belonging images against the same architecture's, trained on other data"
    config.inspected = ("dcgan-cifar10", "dcgan-cifar10-b")
    config.others = "same_architecture"
    config.photographs = False
    return config
