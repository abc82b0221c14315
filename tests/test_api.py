"""What the package shows at its top, and what importing it costs."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import jax_origin

REPOSITORY = Path(__file__).parent.parent
NAMES = jax_origin.__all__
FUNCTIONS = [name for name in NAMES if inspect.isfunction(getattr(jax_origin, name))]
CLASSES = [name for name in NAMES if inspect.isclass(getattr(jax_origin, name))]
# What an option is told from: the data that a function works on may be given by position.
DATA = {
    "attribute": ["images", "generator", "calibration"],
    "attribute_stream": ["images", "generator", "calibration"],
    "calibrate": ["generator"],
    "invert": ["generator", "images", "config"],
    "learn_start": ["generator", "training"],
    "load_generator": ["source"],
    "zoo_names": [],
}


def test_every_name_exists_once_and_is_sorted_by_kind():
    assert len(set(NAMES)) == len(NAMES)
    assert all(hasattr(jax_origin, name) for name in NAMES)
    assert set(NAMES) == set(FUNCTIONS) | set(CLASSES) | {"METHODS"}


def test_nothing_else_is_public():
    shown = {
        name
        for name, value in vars(jax_origin).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert shown == set(NAMES)


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


@pytest.mark.parametrize(
    "name", ["Descent", "InversionConfig", "Method", "StartTraining", "Verdict"]
)
def test_settings_and_verdicts_are_made_by_name_only_and_explained(name):
    cls = getattr(jax_origin, name)
    for parameter in inspect.signature(cls).parameters.values():
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert f"\n  {parameter.name}: " in inspect.getdoc(cls)


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


def test_importing_it_starts_no_device():
    program = "import jax_origin, jax; from jax._src import xla_bridge; print(xla_bridge._backends)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "{}\n"
