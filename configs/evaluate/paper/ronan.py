"""RONAN's recipe beside `origin` on a StyleGAN2 and on a consistency model.

python scripts/evaluate.py --config=configs/evaluate/paper/ronan.py --data=DIR --out=FILE.json

docs/results.md has both on the DCGANs and the VAE. On two cores an image of these takes up to ten
seconds, and one of a diffusion model a quarter of an hour: docs/diffusion.md has a hundred steps.
"""

import ml_collections

from benchmarks.settings import evaluation_config


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = evaluation_config()
    config.title = "RONAN's recipe on a StyleGAN2 and on a consistency model"
    config.inspected = ("stylegan2-cifar10", "consistency-cifar10")
    config.num_images = 20
    config.num_calibration = 50
    return config
