"""Belonging images against photographs.

python scripts/evaluate.py --config=configs/evaluate/paper/real.py --data=DIR --out=FILE.json

Without --data, crops of scikit-image's photographs alone: '--config.sets["cifar10-test"]='
'--config.sets["tiny-imagenet"]='.
"""

import ml_collections

from benchmarks.settings import evaluation_config


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = evaluation_config()
    config.title = "Belonging images against photographs"
    config.others = "none"
    config.sets["cifake"] = ""  # no photographs
    config.photographs = True
    return config
