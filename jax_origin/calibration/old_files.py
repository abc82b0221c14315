"""Reads the content of calibration files of versions 2 to 4 as that of version 5."""

from collections.abc import Mapping
from typing import Any

from jax_origin.calibration.checks import CalibrationError
from jax_origin.parts import one_of

# Version 2 has no conditions, and is else version 3; version 4 lacks what may be left out in 5.
VERSIONS = (2, 3, 4)

_STAGE = ("steps", "objective", "lanes", "tolerance", "hop", "rounds", "evenness")
_STAGE_DEFAULTS = {"hop": 0.0, "rounds": 1, "evenness": 1.0}  # Early files lack these.
_OF_SOLVER = ("solver", "learning_rate", "schedule", "options")
_RECIPE = ("restarts", "floor", "lane_block", "compute", "driver", "chunk")
_TURNED = ("start", "scales", "stages", "distance", "futility")
_WITH_SCALES = ("scaled", "encoder", "learned")
# Solvers other than optax's, with the options that a stage had where it named none.
_SOLVERS: dict[str, dict[str, Any]] = {
    "lbfgs": {"memory_size": 10, "max_linesearch_steps": 8},
    "levenberg_marquardt": {"updates": 8, "damping": 1e-3},
    "gauss_newton": {"iterations": 8, "memory": 3, "damping": 1e-4},
}
_UNSET = {"typicality": {"typical": None}, "conformal": {"confidence": None}}
_DISTANCES = {
    "l1": {"kind": "l1"},
    "l2": {"kind": "l2"},
    "stored": {"kind": "file_set", "margin": 1.0},
}


def as_version_5(content: Mapping[str, Any]) -> dict[str, Any]:
    """Turns the JSON of a file of an older version into that of version 5.

    What is not turned is passed on unchecked. Raises CalibrationError where the method is neither.
    """
    version = content["version"]
    content = {"conditions": {}, **content, "version": 5}
    if version == 4:
        return content
    if "start" in content:
        content["encoders"] = content.pop("start")
    method = content.get("method")
    try:
        if not isinstance(method, Mapping):
            raise TypeError("it must hold values by name")
        content["method"] = _method(method)
        content["measured"] = {
            "score": _measured_score(method),
            "futility": method["inversion"]["futility"],
            "looks_resized": method.get("looks_resized", False),
            "scored_block": method.get("scored_block"),
        }
        content["reference"] = method["reference"]
    except KeyError as error:
        raise CalibrationError(f"method lacks {error.args[0]!r:.50}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise CalibrationError(f"method cannot be read: {error!s:.100}") from None
    return content


def _method(method: Mapping[str, Any]) -> dict[str, Any]:
    rates = {name: method[name] for name in ("alpha", "beta")}
    score, rule = (
        {"kind": kind, **_UNSET.get(kind, {})} for kind in (method["score"], method["rule"])
    )
    return {
        "name": method["name"],
        "recipe": _recipe(method["inversion"]),
        "score": score,
        "rule": {**rule, **method.get("rule_options", {})},
        "decision": {"kind": method["decision"]},
        "rates": {**rates, "max_false_attribution": None},
        "draws": method.get("draws", 1),
        "floor": method["floor"],
        "conditions": method.get("conditions", []),
        "num_images": method.get("num_images", 100),
    }


def _recipe(inversion: Mapping[str, Any]) -> dict[str, Any]:
    _check_known(inversion, {*_RECIPE, *_TURNED})
    one_of("distance", inversion["distance"], _DISTANCES)
    start = {"kind": inversion["start"]}
    if inversion["start"] in _WITH_SCALES:
        start["scales"] = inversion["scales"]
    return {
        "start": start,
        "stages": [_stage(stage) for stage in inversion["stages"]],
        "distance": _DISTANCES[inversion["distance"]],
        **{name: inversion[name] for name in _RECIPE},
    }


def _stage(values: Mapping[str, Any]) -> dict[str, Any]:
    values = {**_STAGE_DEFAULTS, **values}
    _check_known(values, {*_STAGE, *_OF_SOLVER})
    name, rate, schedule, options = (values[field] for field in _OF_SOLVER)
    if name in _SOLVERS:
        solver = {"kind": name, **_SOLVERS[name], **dict(options)}
    else:
        solver = {"kind": "optax", "optimizer": name, "learning_rate": rate, "schedule": schedule}
        solver["options"] = sorted(list(pair) for pair in dict(options).items())
    objective = values["objective"].removeprefix("stored_")
    return {"solver": solver, **{field: values[field] for field in _STAGE}, "objective": objective}


def _measured_score(method: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the score was fitted to; None for scores that measure nothing."""
    if method.get("typical") is None:
        return None
    names = ("log_loss", "log_loss_deviation", "prior_deviation")
    typical = dict(zip(names, method["typical"], strict=True))
    return {"kind": method["score"], "typical": typical}


def _check_known(values: Mapping[str, Any], names: set[str]) -> None:
    if unknown := sorted(set(values) - names):
        raise ValueError(f"unknown settings {', '.join(unknown)}")
