"""Recipes of inversion that are tried on each generator, to choose the default from.

python scripts/benchmark.py --suite=recovery --out=FILE.json

They track what `origin` tracks, down to its floor: the distance to the images that a file may have
come from. Those named "pixels-" track the squared error on pixels, down to 1e-5. Some of them:
--config.only="('origin', 'learned-100')". One setting of one of them is changed in this file.
"""

import dataclasses
from typing import Any

import ml_collections

from jax_origin import METHODS, Recipe, Stage
from jax_origin.distances import L2
from jax_origin.inversion.least_squares import GaussNewton, LevenbergMarquardt
from jax_origin.inversion.solvers import LBFGS, Optax
from jax_origin.inversion.starts import Encoded, Learned, Prior, Scaled, Start

ORIGIN = METHODS["origin"].recipe
LADDER = Scaled((0.05, 0.2, 0.4, 0.8))
AROUND = Learned((0.0, 0.2, 0.4, 0.6))
PIXELS_FLOOR = 1e-5  # an image at this mean squared error is recovered


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.num_belonging = 100  # images of the generator's own
    config.num_foreign = 102  # in all: the zoo's other generators, and photographs
    config.seed = 0  # images for choosing; no seed makes those that are reported on
    config.only = ()  # names of recipes; empty: all
    config.start_steps = 1000  # of an encoder's training, where no calibration brings one
    config.cache = "~/.cache/jax_origin"  # folder of trained encoders
    config.recipes = ml_collections.ConfigDict(recipes())
    return config


def recipes() -> dict[str, Recipe]:
    """The recipes by name: start, steps of Adam, then what follows it."""
    made = {"ronan": METHODS["ronan"].recipe, "origin": ORIGIN}  # corrected-4-gn-16x5
    # The generator's arithmetic in bfloat16: what it does to scores.
    made["origin-bfloat16"] = dataclasses.replace(ORIGIN, compute="bfloat16")
    # Another start. "encoder" is the one that a VAE brings.
    for start in (Prior(), Scaled((0.05,)), Encoded()):
        made[f"{start.kind}-10-gn-10"] = _recipe(start, _adam(10), _gauss_newton(10))
    # More or less of either part of it.
    for corrections in (0, 2, 3, 6):
        start, (seen, last) = Learned(corrections=corrections), ORIGIN.stages
        made[f"corrected-{corrections}-gn-16x5"] = _recipe(start, seen, last)
    for steps, iterations, percent in ((26, 3, 10), (20, 4, 12), (10, 8, 20)):
        stages = (seen, _gauss_newton(steps, iterations, tolerance=percent / 100))
        made[f"corrected-4-gn-{steps}x{iterations}"] = _recipe(ORIGIN.start, *stages)
    stages = (seen, _adam(5), last)
    made["corrected-4-adam-5-gn-16x5"] = _recipe(ORIGIN.start, *stages)
    # One descent alone.
    for steps in (20, 50, 100, 200):
        made[f"learned-{steps}"] = _recipe(Learned(), _adam(steps))
    made["learned-l2-100"] = _recipe(Learned(), _adam(100, "l2"))
    made["prior-100"] = _recipe(Prior(), _adam(100, rate=0.2))
    made["learned-gn-20"] = _recipe(Learned(), _gauss_newton(20))
    # Steps of Adam instead of corrections, and how soon a lane that moves little is given up.
    for steps in (5, 10, 20):
        made[f"learned-{steps}-gn-10"] = _recipe(Learned(), _adam(steps), _gauss_newton(10))
    for iterations in (4, 12):
        stages = (_adam(10), _gauss_newton(10, iterations))
        made[f"learned-10-gn-10x{iterations}"] = _recipe(Learned(), *stages)
    for percent in (10, 30, 50):
        stages = (_adam(10), _gauss_newton(10, tolerance=percent / 100))
        made[f"learned-10-gn-10-tolerance-{percent}"] = _recipe(Learned(), *stages)
    stages = (_adam(10), _gauss_newton(10, memory=0))
    made["learned-10-gn-10-no-memory"] = _recipe(Learned(), *stages)
    # Another second solver.
    for jacobians in (2, 8):
        made[f"learned-30-lm-{jacobians}"] = _recipe(Learned(), _adam(30), _marquardt(jacobians))
    made["learned-30-lbfgs-20"] = _recipe(Learned(), _adam(30), _lbfgs(20))
    # Restarts, and successive halving among them.
    made["scaled-100x4"] = _recipe(LADDER, _adam(100, rate=0.2))
    made["learned-30x4"] = _recipe(AROUND, _adam(30))
    halving = (_adam(10), _adam(20, lanes=2), _adam(40, lanes=1))
    made["learned-halving-10x4-20x2-40"] = _recipe(AROUND, *halving)
    # Thorough: several lanes, and steps until nothing moves.
    made["origin-thorough"] = METHODS["origin-thorough"].recipe
    many = _gauss_newton(40, tolerance=0.02, lanes=2)
    made["learned-60x4-gn-40x2"] = _recipe(AROUND, _adam(60), many)
    made["learned-60x4-lm-20x2"] = _recipe(AROUND, _adam(60), _marquardt(20, lanes=2))
    made["scaled-100x4-gn-40x2"] = _recipe(LADDER, _adam(100, rate=0.2), many)
    # What is tracked: squared errors on pixels.
    pixels = {"distance": L2(), "floor": PIXELS_FLOOR}
    made["pixels-10-gn-10"] = _recipe(Learned(), _adam(10), _gauss_newton(10), **pixels)
    made["pixels-gn-20"] = _recipe(Learned(), _gauss_newton(20), **pixels)
    for objective in ("l1", "l2", "log_l2"):
        made[f"pixels-{objective}-100"] = _recipe(Learned(), _adam(100, objective), **pixels)
    return made


def _recipe(start: Start, *stages: Stage, **settings: Any) -> Recipe:
    tracked = {"distance": ORIGIN.distance, "floor": ORIGIN.floor}
    return Recipe(start=start, stages=stages, **{**tracked, **settings})


def _adam(steps: int, objective: str = "l1", rate: float = 0.1, lanes: int | None = None) -> Stage:
    return Stage(Optax("adam", rate), steps=steps, objective=objective, lanes=lanes)


def _marquardt(steps: int, lanes: int | None = None) -> Stage:
    return Stage(LevenbergMarquardt(), steps=steps, tolerance=0.02, lanes=lanes)


def _gauss_newton(
    steps: int,
    iterations: int = 8,
    *,
    memory: int = 3,
    tolerance: float = 0.2,
    lanes: int | None = None,
) -> Stage:
    solver = GaussNewton(iterations=iterations, memory=memory)
    return Stage(solver, steps=steps, tolerance=tolerance, lanes=lanes)


def _lbfgs(steps: int) -> Stage:
    return Stage(LBFGS(), steps=steps, objective="l2", tolerance=0.02)
