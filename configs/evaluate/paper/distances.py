"""What is descended on and tracked: absolute and squared errors, to pixels and to files.

python scripts/evaluate.py --config=configs/evaluate/paper/distances.py --out=FILE.json

RONAN's recipe and `origin`, with one distance after the other. On pixels the
score is the mean squared error at the latent found, whatever was descended on; to the set of
images that a file may have come from, the distance itself. jax_origin.distance has no others.
"""

import dataclasses

import ml_collections

from jax_origin import METHODS, Method
from jax_origin.evaluation.settings import evaluation_config, without_sets


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = without_sets(evaluation_config())
    config.title = "Distances: what is descended on"
    config.inspected = ("dcgan-cifar10", "vae-cifar10")
    config.num_images = 50
    config.methods = (
        "ronan",  # l2
        _descending("ronan", "l1", distance="l1"),
        _descending("ronan", "log_l2", distance="l2"),
        _descending("ronan", "stored_l1", distance="stored"),
        _descending("ronan", "stored_l2", distance="stored"),
        "origin",  # stored_l1, then least squares to the stored
        _descending("origin", "stored_l2", distance="stored"),
        _descending("origin", "l1", distance="l2"),
        _descending("origin", "l2", distance="l2"),
    )
    return config


def _descending(name: str, objective: str, *, distance: str) -> Method:
    """The method with all that has an objective descending on this one.

    It is calibrated on images as made alone, which is what the test images are: 50, where a test of
    belonging scores alone decides, and the least that two rates of 0.01 need where foreign ones do.
    """
    method = METHODS[name]
    stages = tuple(
        stage if stage.least_squares else dataclasses.replace(stage, objective=objective)
        for stage in method.inversion.stages
    )
    inversion = dataclasses.replace(method.inversion, stages=stages, distance=distance)
    return dataclasses.replace(
        method,
        name=f"{name}, {objective}",
        inversion=inversion,
        conditions=(),
        num_images=50 if method.beta is None else 100,
    )
