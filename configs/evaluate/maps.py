"""Maps of images of which a quarter is of another origin, and the cells that they tell.

python scripts/evaluate.py --config=configs/evaluate/maps.py --data=DIR --out=FILE.json
"""

import ml_collections

from configs.evaluate import readings


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = readings.get_config()
    config.study = "maps"  # the module of benchmarks/ that runs it
    config.title = "Where in the image: a quarter from elsewhere"
    config.edits = ("clean", "jpeg-90")
    config.seed = 6  # not used before
    return config
