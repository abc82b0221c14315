"""Recipes of inversion that are tried on each generator, to choose the default from.

python scripts/benchmark.py --suite=recovery --out=FILE.json

Some of them: --config.only="('origin', 'learned-l1-100')". One setting of one of them is changed in
this file.
"""

import dataclasses
from typing import Any

import ml_collections

from jax_origin import METHODS, Descent, InversionConfig

FLOOR = 1e-5  # an image at this loss is done: it is recovered


def get_config() -> ml_collections.ConfigDict:
    """Every field can be overridden on the command line."""
    config = ml_collections.ConfigDict()
    config.num_belonging = 100  # images of the generator's own
    config.num_foreign = 102  # in all: the zoo's other generators, and photographs
    config.seed = 0  # images for choosing; no seed makes those that are reported on
    config.only = ()  # names of recipes; empty: all
    config.start_steps = 1500  # of a learned start's training, where no calibration brings one
    config.cache = "~/.cache/jax_origin"  # folder of learned starts
    config.recipes = ml_collections.ConfigDict(recipes())
    return config


def recipes() -> dict[str, InversionConfig]:
    """The recipes by name: start, objective and steps of the descent, then what follows it."""
    made = {"ronan": METHODS["ronan"].inversion, "origin": METHODS["origin"].inversion}
    # Start, objective and length of one descent.
    for objective in ("l1", "l2", "log_l2"):
        made[f"prior-{objective}-100"] = _recipe("prior", _adam(100, objective))
        made[f"scaled-{objective}-100"] = _recipe("scaled", _adam(100, objective), scales=(0.05,))
        made[f"learned-{objective}-100"] = _recipe("learned", _adam(100, objective, rate=0.1))
    made["learned-log_l2-50"] = _recipe("learned", _adam(50, "log_l2", rate=0.1))
    for steps in (10, 20, 50, 200):
        made[f"learned-l1-{steps}"] = _recipe("learned", _adam(steps, rate=0.1))
    # The generator's arithmetic in bfloat16: what it does to scores.
    for name, recipe in (("origin", made["origin"]), ("learned-l1-50", made["learned-l1-50"])):
        made[f"{name}-bfloat16"] = dataclasses.replace(recipe, compute="bfloat16")
    # Restarts, and successive halving among them.
    four = {"restarts": 4, "scales": (0.05, 0.2, 0.4, 0.8)}
    around = {"restarts": 4, "scales": (0.0, 0.2, 0.4, 0.6)}
    polish = _adam(200, "log_l2", rate=0.1, lanes=1)
    made["scaled-l1-100x4"] = _recipe("scaled", _adam(100), **four)
    made["scaled-l1-100x4-log_l2-200"] = _recipe("scaled", _adam(100), polish, **four)
    made["learned-l1-30x4"] = _recipe("learned", _adam(30, rate=0.1), **around)
    halving = (_adam(10, rate=0.1), _adam(20, rate=0.1, lanes=2), _adam(40, rate=0.1, lanes=1))
    made["learned-halving-10x4-20x2-40"] = _recipe("learned", *halving, **around)
    # A second solver from where the first one ended.
    for steps in (10, 30, 60):
        for jacobians in (2, 8):
            stages = (_adam(steps, rate=0.1), _marquardt(jacobians))
            made[f"learned-l1-{steps}-lm-{jacobians}"] = _recipe("learned", *stages)
    for steps in (5, 10, 20):
        for iterations in (4, 8, 12):
            stages = (_adam(steps, rate=0.1), _gauss_newton(10, iterations))
            made[f"learned-l1-{steps}-gn-10x{iterations}"] = _recipe("learned", *stages)
    for percent in (10, 30, 50):  # How soon a lane that moves little is given up.
        stages = (_adam(10, rate=0.1), _gauss_newton(10, tolerance=percent / 100))
        made[f"learned-l1-10-gn-10-tolerance-{percent}"] = _recipe("learned", *stages)
    plain = _gauss_newton(10, memory=0)
    made["learned-l1-10-gn-10-no-memory"] = _recipe("learned", _adam(10, rate=0.1), plain)
    descent = _adam(30, rate=0.1)
    made["learned-l1-30-log_l2-100"] = _recipe("learned", descent, _adam(100, "log_l2", rate=0.05))
    made["learned-l1-30-lbfgs-20"] = _recipe("learned", descent, _lbfgs(20))
    # A second solver alone.
    made["learned-lm-8"] = _recipe("learned", _marquardt(8))
    made["learned-lbfgs-30"] = _recipe("learned", _lbfgs(30))
    made["learned-gn-20"] = _recipe("learned", _gauss_newton(20))
    made["prior-lm-40"] = _recipe("prior", _marquardt(40))
    # Thorough: several lanes, and steps until nothing moves.
    for name, second in (
        ("lm-20x2", _marquardt(20, lanes=2)),
        ("gn-40x2", _gauss_newton(40, tolerance=0.02, lanes=2)),
    ):
        made[f"learned-l1-60x4-{name}"] = _recipe("learned", _adam(60, rate=0.1), second, **around)
    made["scaled-l1-100x4-gn-40x2"] = _recipe(
        "scaled", _adam(100), _gauss_newton(40, tolerance=0.02, lanes=2), **four
    )
    # The encoder that a VAE brings.
    made["encoder-l1-10-gn-10"] = _recipe("encoder", _adam(10, rate=0.1), _gauss_newton(10))
    return made


def _recipe(start: str, *stages: Descent, **settings: Any) -> InversionConfig:
    settings = {"restarts": 1, "scales": (0.0,), "floor": FLOOR, **settings}
    return InversionConfig(start=start, stages=stages, **settings)


def _adam(
    steps: int, objective: str = "l1", rate: float = 0.2, lanes: int | None = None
) -> Descent:
    return Descent(
        steps=steps, objective=objective, learning_rate=rate, schedule="cosine", lanes=lanes
    )


def _marquardt(steps: int, lanes: int | None = None) -> Descent:
    return Descent(steps=steps, solver="levenberg_marquardt", tolerance=0.02, lanes=lanes)


def _gauss_newton(
    steps: int,
    iterations: int = 8,
    *,
    memory: int = 3,
    tolerance: float = 0.2,
    lanes: int | None = None,
) -> Descent:
    options = {"iterations": iterations, "memory": memory}
    return Descent(
        steps=steps, solver="gauss_newton", options=options, tolerance=tolerance, lanes=lanes
    )


def _lbfgs(steps: int) -> Descent:
    return Descent(steps=steps, solver="lbfgs", objective="log_l2", tolerance=0.02)
