"""The zoo's generators against pictures that say little, as files of all kinds.

python scripts/evaluate.py --config=configs/evaluate/plain.py --data=DIR --out=FILE.json

Uniform colours, gradients, blobs, faint textures, text, drawings and noise are drawn anew; the
sets' photographs are blurred or faded, and stand beside as they are.
"""

import ml_collections

from benchmarks.settings import evaluation_config


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = evaluation_config()
    config.title = "Pictures that say little"
    config.methods = ("origin",)
    config.inspected = ("dcgan-cifar10", "dcgan-cifar10-b", "vae-cifar10")
    config.others = "none"
    config.plain = True
    config.num_images = 24
    config.edits = ("clean", "jpeg-90", "jpeg-50", "jpeg-30", "webp-80")
    return config
