"""Belonging images against those of other architectures.

python scripts/evaluate.py --config=configs/evaluate/paper/architectures.py --out=FILE.json

Two generators are of one architecture where they are of one class. A published checkpoint besides:
--config.generators="({'name': 'sg2', 'source': 'network.pkl', 'kind': 'stylegan2_ada'},)"; the
zoo's generators of its image size are then among the foreign ones.
"""

import ml_collections

from benchmarks.settings import evaluation_config, without_sets


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = without_sets(evaluation_config())
    config.title = "Belonging images against those of other architectures"
    config.others = "other_architectures"
    config.photographs = False
    return config
