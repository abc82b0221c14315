"""Files of older versions are read as what version 5 would hold."""

import json
import pathlib

import numpy as np
import pytest

import jax_origin
from jax_origin.calibration import (
    Calibration,
    CalibrationError,
    Conformal,
    Grubbs,
    Measured,
    Published,
    Rates,
    TwoErrors,
    decide_arrays,
)

ZOO = sorted(pathlib.Path(jax_origin.__path__[0]).glob("zoo/*/calibration-*.json"))

ADAM = {
    "steps": 10,
    "solver": "adam",
    "objective": "stored_l1",
    "learning_rate": 0.1,
    "schedule": "cosine",
    "options": [["b1", 0.8]],
    "lanes": None,
    "tolerance": 0.0,
}
GAUSS_NEWTON = ADAM | {
    "solver": "gauss_newton",
    "objective": "l2",
    "options": [["memory", 8]],
    "hop": 0.2,
    "rounds": 20,
    "evenness": 0.88,
}
INVERSION = {
    "start": "learned",
    "restarts": 1,
    "scales": [0.0],
    "stages": [ADAM, GAUSS_NEWTON],
    "distance": "stored",
    "floor": 5e-7,
    "futility": [0.3, 0.2],
    "lane_block": 16,
    "compute": "float32",
    "driver": "auto",
    "chunk": 10,
}
METHOD = {
    "name": "mine",
    "inversion": INVERSION,
    "score": "typicality",
    "draws": 2,
    "typical": [-1.0, 0.5, 2.0],
    "rule": "conformal",
    "rule_options": {"confidence": 0.95},
    "decision": "two_errors",
    "alpha": 0.05,
    "beta": 0.02,
    "floor": 1e-6,
    "conditions": ["jpeg-75"],
    "num_images": 30,
    "reference": "f" * 64,
    "looks_resized": True,
    "scored_block": 32,
}


def write(path, *, version=3, method=METHOD):
    image = {"latent_shape": [4], "image_shape": [8, 8, 3]}
    content = {
        "format": "jax_origin calibration",
        "version": version,
        "generator": {"name": "tiny", "fingerprint": "a", **image},
        "method": method,
        "seed": 0,
        "keys": {},
        "packages": {},
        "platform": "cpu",
        "start": None,
        "belonging": np.linspace(0.001, 0.1, 80).tolist(),
        "conditions": {"jpeg-75": np.linspace(0.01, 0.2, 80).tolist()},
        "foreign": {"photos": {"independent": 80, "scores": np.linspace(1, 2, 80).tolist()}},
    }
    if version == 2:
        del content["conditions"]
    path.write_text(json.dumps(content))
    return path


def test_a_file_of_version_3_is_read_as_one_of_version_5(tmp_path):
    read = Calibration.load(write(tmp_path / "a.json"))
    adam = {"optimizer": "adam", "learning_rate": 0.1, "schedule": "cosine"}
    gauss_newton = {"kind": "gauss_newton", "iterations": 8, "memory": 8, "damping": 1e-4}
    alike = {"steps": 10, "lanes": None, "tolerance": 0.0}
    assert read.method["recipe"] == {
        "start": {"kind": "learned", "scales": [0.0]},
        "stages": [
            {
                "solver": {"kind": "optax", **adam, "options": [["b1", 0.8]]},
                "objective": "l1",
                **alike,
                **{"hop": 0.0, "rounds": 1, "evenness": 1.0},
            },
            {
                "solver": gauss_newton,
                "objective": "l2",
                **alike,
                **{"hop": 0.2, "rounds": 20, "evenness": 0.88},
            },
        ],
        "distance": {"kind": "file_set", "margin": 1.0},
        "restarts": 1,
        "floor": 5e-7,
        "lane_block": 16,
        "compute": "float32",
        "driver": "auto",
        "chunk": 10,
    }
    assert (read.method["name"], read.method["draws"]) == ("mine", 2)
    assert read.method["score"] == {"kind": "typicality", "typical": None}
    assert (read.method["conditions"], read.method["num_images"]) == (["jpeg-75"], 30)
    assert (read.rule, read.decision) == (Conformal(0.95), TwoErrors())
    assert (read.rates, read.floor) == (Rates(0.05, 0.02), 1e-6)
    typical = {"log_loss": -1.0, "log_loss_deviation": 0.5, "prior_deviation": 2.0}
    fitted = {"kind": "typicality", "typical": typical}
    assert read.measured == Measured(fitted, (0.3, 0.2), True, 32)
    assert read.reference == "f" * 64
    # Saved and loaded, it is of the present version, and the same.
    read.save(tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text())["version"] == 5
    assert Calibration.load(tmp_path / "b.json") == read


def test_a_file_of_version_2_has_less(tmp_path):
    method = METHOD | {"score": "loss", "rule": "grubbs", "decision": "published", "beta": None}
    for name in ("draws", "typical", "rule_options", "conditions", "num_images", "looks_resized"):
        del method[name]
    lion = ADAM | {"objective": "log_l2", "solver": "lion", "options": []}
    lbfgs = ADAM | {"solver": "lbfgs", "options": [["memory_size", 4]]}
    changes = {"start": "prior", "distance": "l2", "futility": [], "stages": [lion, lbfgs]}
    method["inversion"] = INVERSION | changes
    read = Calibration.load(write(tmp_path / "a.json", version=2, method=method))
    assert read.conditions == {} and read.measured == Measured(scored_block=32)
    assert (read.rule, read.decision, read.rates) == (Grubbs(), Published(), Rates(0.05))
    assert (read.method["draws"], read.method["num_images"]) == (1, 100)
    recipe = read.method["recipe"]
    assert (recipe["start"], recipe["distance"]) == ({"kind": "prior"}, {"kind": "l2"})
    first, second = recipe["stages"]
    assert (first["solver"]["optimizer"], first["objective"]) == ("lion", "log_l2")
    options = {"memory_size": 4, "max_linesearch_steps": 8}
    assert second["solver"] == {"kind": "lbfgs", **options}


@pytest.mark.parametrize("path", ZOO, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_calibration_of_the_zoo_is_read_and_decides(path):
    read = Calibration.load(path)
    assert read.generator["name"] == path.parent.name
    assert decide_arrays([np.inf], read).verdict.tolist() == ["not_recognised"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inversion": INVERSION | {"temperature": 1}}, "unknown settings temperature"),
        ({"inversion": INVERSION | {"stages": [{"steps": 1}]}}, "method lacks 'solver'"),
        ({"inversion": INVERSION | {"stages": 3}}, "method cannot be read"),
        ({"inversion": INVERSION | {"stages": [["adam"]]}}, "method cannot be read"),
        (
            {"inversion": INVERSION | {"distance": "ssim"}},
            "distance='ssim': choose from l1, l2, stored",
        ),
        ({"inversion": INVERSION | {"futility": [0]}}, "measured.futility must be positive"),
        ({"inversion": []}, "method"),
        ({"typical": [1.0]}, "method cannot be read"),
        ({"rule": "grubs", "rule_options": {}}, "unknown rule 'grubs'"),
        ({"rule_options": {"k": 1}}, "Conformal has no 'k'"),
        ({"rule_options": [1]}, "method cannot be read"),
        ({"alpha": 2}, "alpha must lie strictly"),
        ({"beta": None}, "must name a beta"),
    ],
)
def test_an_unsound_method_of_an_older_file_is_refused_in_one_line(tmp_path, changes, message):
    path = write(tmp_path / "a.json", method=METHOD | changes)
    with pytest.raises(CalibrationError, match=message) as caught:
        Calibration.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["inversion", "score", "rule", "decision", "alpha", "reference"])
def test_a_method_of_an_older_file_must_be_whole(tmp_path, name):
    method = {field: value for field, value in METHOD.items() if field != name}
    with pytest.raises(CalibrationError, match=f"method lacks '{name}'"):
        Calibration.load(write(tmp_path / "a.json", method=method))
