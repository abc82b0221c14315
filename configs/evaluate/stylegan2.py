"""The zoo's StyleGAN2 against all other generators, and against sets of images at 32 px.

python scripts/evaluate.py --config=configs/evaluate/stylegan2.py --data=DIR --out=FILE.json
"""

import ml_collections

from benchmarks.settings import evaluation_config


def get_config() -> ml_collections.ConfigDict:
    """The defaults of `evaluation_config`, and what this evaluation changes."""
    config = evaluation_config()
    config.title = "A StyleGAN2 against all others, and against sets of images"
    config.inspected = ("stylegan2-cifar10",)
    config.methods = ("origin",)
    return config
