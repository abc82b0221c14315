"""What is descended on and tracked: absolute and squared errors, to pixels and to files.

python scripts/evaluate.py --config=configs/evaluate/paper/distances.py --out=FILE.json

RONAN's recipe and `origin`, with one distance after the other. On pixels the score is the mean
squared error at the latent found, whatever was descended on. To the set of images that a file may
have come from, it is the distance itself. jax_origin.distances has no others.
"""

import dataclasses
from typing import ClassVar

import ml_collections
import numpy as np
from numpy.typing import NDArray

from benchmarks.settings import evaluation_config, without_sets
from jax_origin import METHODS, Inversion, Method, register
from jax_origin.distances import L1, L2, Distance, FileSet
from jax_origin.scores import Loss, Score


@register
@dataclasses.dataclass(frozen=True)
class SquaredError(Score):
    """The mean squared error of the reconstruction, whatever distance is tracked."""

    kind: ClassVar[str] = "squared_error"

    def __call__(self, found: Inversion, reference: Inversion | None = None) -> NDArray[np.float64]:
        """The loss, float64 [N]."""
        return np.asarray(found.loss, np.float64)


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = without_sets(evaluation_config())
    config.title = "Distances: what is descended on"
    config.inspected = ("dcgan-cifar10", "vae-cifar10")
    config.num_images = 50
    config.methods = (
        "ronan",  # the squared error
        _descending("ronan, l1", "l1", L1(), score=SquaredError()),
        _descending("ronan, log_l2", "log_l2", L2()),
        _descending("ronan, stored_l1", "l1", FileSet()),
        _descending("ronan, stored_l2", "l2", FileSet()),
        "origin",  # least squares to the file's set
        _descending("origin, l2", "l2", L2()),
    )
    return config


def _descending(
    title: str, objective: str, distance: Distance, *, score: Score | None = None
) -> Method:
    """The method that the title begins with, with another distance.

    It is calibrated on images as made alone, which is what the test images are. Where a test of
    belonging scores alone decides, on 50. Else on the least that two rates of 0.01 need.
    """
    method = METHODS[title.partition(",")[0]]
    stages = tuple(
        dataclasses.replace(stage, objective=objective) for stage in method.recipe.stages
    )
    return dataclasses.replace(
        method,
        name=title,
        recipe=dataclasses.replace(method.recipe, stages=stages, distance=distance),
        score=score or Loss(),
        conditions=(),
        num_images=100 if method.decision.judges_q else 50,
    )
