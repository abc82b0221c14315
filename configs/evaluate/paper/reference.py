"""With and without the reference: the loss, or its ratio to a reference model's (RONAN, eq. 4).

python scripts/evaluate.py --config=configs/evaluate/paper/reference.py --out=FILE.json

Another reference, one of the zoo or of --config.generators, is --config.reference=NAME.
"""

import dataclasses

import ml_collections

from benchmarks.settings import evaluation_config, without_sets
from jax_origin import METHODS
from jax_origin.scores import ReferenceRatio


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = without_sets(evaluation_config())
    config.title = "With and without a reference model"
    config.inspected = ("dcgan-cifar10", "dcgan-cifar10-b")
    config.reference = "vae-cifar10"
    ratio = dataclasses.replace(
        METHODS["ronan"], name="ronan over reference", score=ReferenceRatio()
    )
    config.methods = ("ronan", ratio)
    config.num_images = 50
    return config
