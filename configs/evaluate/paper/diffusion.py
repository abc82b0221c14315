"""A diffusion model and a consistency model, each against all others and against sets of images.

python scripts/evaluate.py --config=configs/evaluate/paper/diffusion.py --data=DIR --out=FILE.json

Losses say nothing of them: `origin` is `origin-diffusion` for the one, `origin-consistency` for the
other (docs/diffusion.md).
"""

import ml_collections

from benchmarks.settings import evaluation_config


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = evaluation_config()
    config.title = "Diffusion and consistency models, by their noise"
    config.inspected = ("ddim-cifar10", "consistency-cifar10")
    config.methods = ("origin",)
    config.num_images = 100
    return config
