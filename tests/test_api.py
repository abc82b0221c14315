"""What the package shows at its top, and what importing it costs."""

import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import jax_origin
from jax_origin.parts import Part, named

REPOSITORY = Path(__file__).parent.parent
NAMES = jax_origin.__all__
FUNCTIONS = [name for name in NAMES if inspect.isfunction(getattr(jax_origin, name))]
CLASSES = [name for name in NAMES if inspect.isclass(getattr(jax_origin, name))]
# What an option is told from: the data that a function works on may be given by position.
DATA = {
    "aeroblade": ["weights"],
    "attribute": ["images", "generator", "calibration"],
    "attribute_stream": ["images", "generator", "calibration"],
    "calibrate": ["generator"],
    "invert": ["generator", "images", "recipe"],
    "learn_start": ["generator", "training"],
    "load_calibration": ["generator"],
    "load_generator": ["source"],
    "reencoded_images": ["generator", "photographs"],
    "progress_bar": [],
    "register": ["cls"],
    "solve": ["render", "targets", "recipe", "start", "key"],
    "zoo_names": [],
}
# Rooms of parts: each holds a family's base class and the parts that there are.
FAMILIES = {
    "decision_rules": "DecisionRule",
    "distances": "Distance",
    "rules": "Rule",
    "scores": "Score",
    "solvers": "Solver",
    "starts": "Start",
}
PARTS = {
    f"{room}.{cls.__name__}": cls
    for room in FAMILIES
    for cls in vars(getattr(jax_origin, room)).values()
    if inspect.isclass(cls) and issubclass(cls, Part) and cls.kind
}
# Small values that are handed over whole.
SETTINGS = ["Method", "Rates", "Recipe", "Run", "Stage", "StartTraining", "Verdict"]


def test_every_name_exists_once_and_is_sorted_by_kind():
    assert len(set(NAMES)) == len(NAMES)
    assert all(hasattr(jax_origin, name) for name in NAMES)
    assert set(NAMES) == set(FUNCTIONS) | set(CLASSES) | set(FAMILIES) | {"METHODS", "audit"}


def test_nothing_else_is_shown():
    assert dir(jax_origin) == sorted(NAMES)
    with pytest.raises(AttributeError, match="'jax_origin' has no attribute 'atribute'"):
        jax_origin.atribute  # noqa: B018


@pytest.mark.parametrize("name", FUNCTIONS + CLASSES)
def test_every_name_has_a_docstring_of_its_own(name):
    documented = getattr(jax_origin, name).__doc__
    assert documented and len(documented.split()) >= 3
    # A dataclass or named tuple without one gets its signature.
    assert not documented.startswith(f"{name}(")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_options_are_given_by_name_only(name):
    parameters = inspect.signature(getattr(jax_origin, name)).parameters.values()
    by_position = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert by_position == DATA[name]
    for parameter in parameters:
        assert parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        assert parameter.annotation is not parameter.empty


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_is_explained(name):
    function = getattr(jax_origin, name)
    for parameter in inspect.signature(function).parameters:
        assert f"\n  {parameter}: " in inspect.getdoc(function)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_frozen_dataclasses_with_every_field_explained(name):
    cls = getattr(jax_origin, name)
    assert dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen
    for field in dataclasses.fields(cls):
        assert f"\n  {field.name}: " in inspect.getdoc(cls)


@pytest.mark.parametrize("name", ["Recipe", "Run", "StartTraining", "Verdict"])
def test_settings_with_many_fields_are_made_by_name_only(name):
    for parameter in inspect.signature(getattr(jax_origin, name)).parameters.values():
        assert parameter.kind is parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", ["Attributor", "FunctionGenerator"])
def test_arguments_of_what_is_made_once_are_explained(name):
    cls = getattr(jax_origin, name)
    _, *parameters = inspect.signature(cls.__init__).parameters
    assert len(parameters) > 5
    for name in parameters:
        assert f"\n  {name}: " in inspect.getdoc(cls)


def test_an_attributor_takes_the_options_of_its_doors():
    rates = {"alpha", "beta", "max_false_attribution"}
    made = set(inspect.signature(jax_origin.Attributor).parameters) - {"rates"}
    for door in ("attribute", "attribute_stream"):
        taken = set(inspect.signature(getattr(jax_origin, door)).parameters)
        assert taken == made | rates | {"images"}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_a_part_is_a_hashable_value_that_comes_back_from_json(part):
    assert dataclasses.is_dataclass(part) and part.__dataclass_params__.frozen
    assert part.__doc__ and not part.__doc__.startswith(f"{part.__name__}(")
    explained = "".join(inspect.getdoc(cls) or "" for cls in part.__mro__)
    for field in dataclasses.fields(part):
        assert f"\n  {field.name}: " in explained
    value, family = part(), part.__mro__[-3]
    assert named(family, part.kind) is part
    assert hash(value) == hash(part())
    assert family.from_json(json.loads(json.dumps(value.to_json()))) == value


def test_each_family_has_its_base_class_in_its_room():
    for room, base in FAMILIES.items():
        family = getattr(getattr(jax_origin, room), base)
        parts = [part for name, part in PARTS.items() if name.startswith(f"{room}.")]
        assert parts and all(issubclass(part, family) for part in parts)
        assert {part.family for part in parts} == {family.family}


def test_errors_are_value_errors():
    errors = [name for name in CLASSES if issubclass(getattr(jax_origin, name), Exception)]
    assert sorted(errors) == ["CalibrationError", "CheckpointError", "ImageError"]
    assert all(issubclass(getattr(jax_origin, name), ValueError) for name in errors)


IMPORT = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "diffusers", "transformers", "tensorflow"}:
            raise ImportError(f"{name} must not be needed")

sys.meta_path.insert(0, Refuse())
import jax_origin

assert jax_origin.load_generator("dcgan-cifar10").image_shape == (32, 32, 3)
assert "torch" not in sys.modules and "diffusers" not in sys.modules
print(jax_origin.__name__)
"""


def test_it_is_imported_and_a_generator_loaded_without_torch_or_diffusers():
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "jax_origin\n"


def test_importing_all_of_it_starts_no_device():
    program = """
import sys, jax_origin
assert "jax" not in sys.modules  # Nothing is imported before it is used.
for name in jax_origin.__all__:
    getattr(jax_origin, name)
from jax._src import xla_bridge
print(xla_bridge._backends)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "{}\n"
