"""Steps and learning rate of RONAN's recipe and of `origin`.

python scripts/evaluate.py --config=configs/evaluate/paper/steps.py --out=FILE.json
"""

import dataclasses

import ml_collections

from benchmarks.settings import evaluation_config, without_sets
from jax_origin import METHODS, Method
from jax_origin.inversion.starts import Learned


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = without_sets(evaluation_config())
    config.title = "Steps and learning rate"
    config.inspected = ("dcgan-cifar10", "vae-cifar10")
    config.num_images = 50
    config.methods = (
        *(_changed("ronan", 0, "steps", steps) for steps in (100, 200, 500, 1000)),
        "ronan",  # 1,500 steps at 0.1
        *(_changed("ronan", 0, "learning rate", rate) for rate in (0.01, 0.03, 0.3)),
        *(_corrected(corrections) for corrections in (0, 2, 8)),
        "origin",  # 4 corrections, then at most 16 steps of Gauss-Newton
        *(_changed("origin", -1, "steps", steps) for steps in (1, 3, 5, 10)),
    )
    config.picture = "methods"
    return config


def _corrected(corrections: int) -> Method:
    """`origin` with its start corrected so often; calibrated as `_changed` has it."""
    method = METHODS["origin"]
    recipe = dataclasses.replace(method.recipe, start=Learned(corrections=corrections))
    title = f"origin, {corrections} corrections"
    return dataclasses.replace(method, name=title, recipe=recipe, conditions=())


def _changed(name: str, place: int, what: str, value: float) -> Method:
    """The method with one stage's steps or learning rate changed, as its name says.

    It is calibrated on images as made alone, which is what the test images are.
    """
    method = METHODS[name]
    stages = list(method.recipe.stages)
    stage = stages[place]
    if what == "steps":
        stages[place] = dataclasses.replace(stage, steps=value)
    else:
        solver = dataclasses.replace(stage.solver, learning_rate=value)
        stages[place] = dataclasses.replace(stage, solver=solver)
    recipe = dataclasses.replace(method.recipe, stages=stages)
    solver_name = getattr(stage.solver, "optimizer", stage.solver.kind)
    title = f"{name}, {solver_name} {what} {value}"
    return dataclasses.replace(method, name=title, recipe=recipe, conditions=())
