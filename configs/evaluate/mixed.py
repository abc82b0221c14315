"""The zoo's generators against sets of images at 32 px, in a folder of files of all kinds.

python scripts/evaluate.py --config=configs/evaluate/mixed.py --data=DIR --out=FILE.json

200 own images and five or more groups of 200: PNG, JPEG of many qualities, WebP, one after the
other. Calibrations know some of these; the others lie between.
"""

import ml_collections

from benchmarks.settings import evaluation_config

FILES = (
    *("clean", "jpeg-97", "jpeg-95", "jpeg-90", "jpeg-85", "jpeg-80-444", "jpeg-75"),
    *("jpeg-70", "jpeg-60", "jpeg-50-444", "jpeg-40", "jpeg-30", "webp-80", "webp-90"),
)


def get_config() -> ml_collections.ConfigDict:
    """The defaults of `evaluation_config`, and what this evaluation changes."""
    config = evaluation_config()
    config.title = "Generators of the zoo, in a folder of files of all kinds"
    config.methods = ("origin",)
    config.num_images = 200
    config.edits = ("|".join(FILES),)  # each image meets the next one
    return config
