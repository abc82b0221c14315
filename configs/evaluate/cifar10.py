"""Each generator of the zoo against all others, and against sets of images at 32 px.

python scripts/evaluate.py --config=configs/evaluate/cifar10.py --data=DIR --out=FILE.json

Several names are written --config.methods="('ronan', 'origin')", and a set's file
'--config.sets["cifake"]=FOLDER'. All settings: benchmarks/settings.py.
"""

import ml_collections

from benchmarks.settings import evaluation_config


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = evaluation_config()
    config.title = "Each generator against all others, and against sets of images"
    return config
