"""Was this image made by this model? Attribution by inverting the model, in JAX.

Names are imported when they are first used: what is not needed costs no time at the start.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jax_origin import audit as audit
    from jax_origin import distances as distances
    from jax_origin import scores as scores
    from jax_origin.calibration import Calibration as Calibration
    from jax_origin.calibration import CalibrationError as CalibrationError
    from jax_origin.calibration import Rates as Rates
    from jax_origin.calibration import decision_rules as decision_rules
    from jax_origin.calibration import rules as rules
    from jax_origin.checkpoints import CheckpointError as CheckpointError
    from jax_origin.generators import FunctionGenerator as FunctionGenerator
    from jax_origin.generators import Generator as Generator
    from jax_origin.images import ImageError as ImageError
    from jax_origin.inversion import Inversion as Inversion
    from jax_origin.inversion import Recipe as Recipe
    from jax_origin.inversion import Run as Run
    from jax_origin.inversion import Stage as Stage
    from jax_origin.inversion import StartEncoder as StartEncoder
    from jax_origin.inversion import StartTraining as StartTraining
    from jax_origin.inversion import Statistics as Statistics
    from jax_origin.inversion import invert as invert
    from jax_origin.inversion import learn_start as learn_start
    from jax_origin.inversion import progress_bar as progress_bar
    from jax_origin.inversion import solve as solve
    from jax_origin.inversion import solvers as solvers
    from jax_origin.inversion import starts as starts
    from jax_origin.parts import register as register
    from jax_origin.workflow import METHODS as METHODS
    from jax_origin.workflow import Attributor as Attributor
    from jax_origin.workflow import BelongingImages as BelongingImages
    from jax_origin.workflow import ForeignImages as ForeignImages
    from jax_origin.workflow import Method as Method
    from jax_origin.workflow import Verdict as Verdict
    from jax_origin.workflow import aeroblade as aeroblade
    from jax_origin.workflow import attribute as attribute
    from jax_origin.workflow import attribute_stream as attribute_stream
    from jax_origin.workflow import calibrate as calibrate
    from jax_origin.workflow import load_calibration as load_calibration
    from jax_origin.workflow import reencoded_images as reencoded_images
    from jax_origin.zoo import load_generator as load_generator
    from jax_origin.zoo import zoo_names as zoo_names

# fmt: off
_NAMES = {
    "calibration": ("Calibration", "CalibrationError", "Rates"),
    "checkpoints": ("CheckpointError",),
    "generators": ("FunctionGenerator", "Generator"),
    "images": ("ImageError",),
    "inversion": (
        "Inversion", "Recipe", "Run", "Stage", "StartEncoder", "StartTraining", "Statistics",
        "invert", "learn_start", "progress_bar", "solve",
    ),
    "parts": ("register",),
    "workflow": (
        "METHODS", "Attributor", "BelongingImages", "ForeignImages", "Method", "Verdict",
        "aeroblade", "attribute", "attribute_stream", "calibrate", "load_calibration",
        "reencoded_images",
    ),
    "zoo": ("load_generator", "zoo_names"),
}
_MODULES = {
    "audit": "audit", "decision_rules": "calibration.decision_rules", "distances": "distances",
    "rules": "calibration.rules", "scores": "scores", "solvers": "inversion.solvers",
    "starts": "inversion.starts",
}
# fmt: on
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = sorted([*_HOMES, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"jax_origin.{_MODULES[name]}")
    if name not in _HOMES:
        raise AttributeError(f"module 'jax_origin' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"jax_origin.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
