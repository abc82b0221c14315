"""Parts: made known by their kind, written as JSON, read again, and refused by name."""

import dataclasses
import importlib
import json
from typing import ClassVar

import pytest

from jax_origin import METHODS, Method, Recipe, Stage, register
from jax_origin.calibration import Conformal, DecisionRule, Rates, Rule, Threshold
from jax_origin.distances import L2, Distance
from jax_origin.inversion.solvers import FirstOrder, Optax, Solver
from jax_origin.inversion.starts import Encoded, Scaled, Start
from jax_origin.parts import Part, kinds_of, named
from jax_origin.scores import Score, Typical, Typicality

FAMILIES = (Distance, Solver, Start, Score, Rule, DecisionRule)
KINDS = [(family, kind) for family in FAMILIES for kind in kinds_of(family)]


def read_again(part, base):
    again = base.from_json(json.loads(json.dumps(part.to_json(), allow_nan=False)))
    assert again == part and hash(again) == hash(part) and type(again) is type(part)
    return again


def test_every_family_has_the_kinds_that_files_know():
    # Other tests may have registered parts of their own.
    ours = {
        family.family: {k for k in kinds_of(family) if "jax_origin" in named(family, k).__module__}
        for family in FAMILIES
    }
    assert ours == {
        "distance": {"l1", "l2", "psnr", "ssim", "ms_ssim", "lpips", "file_set"},
        "solver": {
            *("optax", "lbfgs", "levenberg_marquardt", "gauss_newton"),
            *("measure", "encoder_steps"),
        },
        "start": {"prior", "scaled", "encoder", "undone", "learned"},
        "score": {
            *("code_ratio", "loss", "reference_ratio", "latent_prior", "typicality"),
            *("double_reconstruction", "noise_spectrum"),
        },
        "rule": {"conformal", "grubbs", "t", "kde", "threshold"},
        "decision": {"two_errors", "published"},
    }


@pytest.mark.parametrize(("family", "kind"), KINDS, ids=[f"{f.family}-{k}" for f, k in KINDS])
def test_every_part_is_the_same_again_from_json(family, kind):
    part = named(family, kind)()
    assert part.to_json()["kind"] == kind
    read_again(part, family)


@pytest.mark.parametrize(
    ("part", "base"),
    [
        (Optax("sgd", 0.5, "constant", {"momentum": 0.9, "nesterov": True}), Solver),
        (Scaled((0.0, 0.5)), Start),
        (Encoded((0.0, 0.1), sampled=True), Start),
        (Threshold(0.5), Rule),
        (Conformal(confidence=0.9), Rule),
        (Typicality(Typical(-12.0, 0.5, 10.0)), Score),
        (Rates(0.01, None, 0.1), Rates),
        (Stage(Optax("lion"), steps=3, lanes=2, hop=0.1, rounds=2, evenness=0.5), Stage),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Part) else "",
)
def test_settings_of_a_part_are_the_same_again_from_json(part, base):
    read_again(part, base)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_the_same_again_from_json(name):
    read_again(METHODS[name], Method)


@pytest.mark.parametrize(
    ("base", "values", "words"),
    [
        (Distance, {"kind": "file-set"}, ["unknown distance 'file-set'", "mean 'file_set'?"]),
        (Solver, {"kind": "gaus_newton"}, ["unknown solver", "did you mean 'gauss_newton'?"]),
        (Solver, {}, ["unknown solver None", "choose from", "levenberg_marquardt"]),
        (Solver, {"kind": ["adam"]}, ["unknown solver ['adam']"]),
        (Score, {"kind": "mine"}, ["unknown score 'mine'", "jax_origin.register"]),
        (Rule, {"kind": "conformal", "confidenc": 1}, ["Conformal has no", "mean 'confidence'?"]),
        (Solver, {"kind": "gauss_newton", "iteration": 3}, ["mean 'iterations'?"]),
        (Stage, {"step": 3}, ["Stage has no 'step'", "did you mean 'steps'?"]),
        (Recipe, {"stages": [{"solver": {"kind": "adam"}}]}, ["unknown solver 'adam'"]),
        (Recipe, {"distance": "l2"}, ["made of values by name", "'l2'"]),
        (Method, {"name": "mine"}, ["Method", "recipe"]),
    ],
)
def test_what_is_unknown_is_refused_in_one_line_with_what_is_near(base, values, words):
    with pytest.raises(ValueError) as caught:
        base.from_json(values)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.fixture
def known(monkeypatch):
    """A registry that forgets what a test adds to it."""
    parts = importlib.import_module("jax_origin.parts")
    kinds = {family: dict(of) for family, of in parts._KINDS.items()}
    monkeypatch.setattr(parts, "_KINDS", kinds)


def half():
    """A distance of a user's."""

    @dataclasses.dataclass(frozen=True)
    class Half(L2):
        kind: ClassVar[str] = "half"
        share: float = 0.5

    return Half


def test_a_part_of_ones_own_is_read_once_it_is_registered(known):
    made = half()
    values = made(0.25).to_json()
    assert values == {"kind": "half", "share": 0.25}
    with pytest.raises(ValueError, match=r"unknown distance 'half'.*jax_origin\.register"):
        Distance.from_json(values)
    recipe = Recipe(distance=made(0.25))  # It runs in any case.
    assert register(made) is made
    assert Distance.from_json(values) == made(0.25)
    read_again(recipe, Recipe)


def test_a_class_that_is_defined_again_replaces_the_one_before(known):
    first, second = register(half()), register(half())
    assert first is not second
    assert named(Distance, "half") is second


def test_a_kind_that_another_class_has_is_refused(known):
    @dataclasses.dataclass(frozen=True)
    class Mine(Distance):
        kind: ClassVar[str] = "l2"

    with pytest.raises(ValueError, match=r"'l2' is jax_origin\.distances.*L2.*Mine"):
        register(Mine)
    assert named(Distance, "l2") is L2


def test_a_part_needs_a_kind_of_its_own_family(known):
    @dataclasses.dataclass(frozen=True)
    class Nameless(FirstOrder):
        pass

    with pytest.raises(TypeError, match="Nameless has no kind"):
        register(Nameless)

    # Another family may have it.
    @register
    @dataclasses.dataclass(frozen=True)
    class Loss(Distance):
        kind: ClassVar[str] = "loss"

    assert named(Distance, "loss") is Loss and named(Score, "loss") is not Loss


@pytest.mark.parametrize("derived", [object, Part, Distance])
def test_only_a_frozen_dataclass_of_a_family_is_registered(known, derived):
    class Plain(derived):
        kind = "plain"

    with pytest.raises(TypeError, match=r"'Plain' cannot be registered.*frozen=True"):
        register(Plain)


def test_no_file_holds_what_is_no_plain_value():
    with pytest.raises(ValueError, match="_Holder holds object, which no file can"):
        _Holder(object()).to_json()


@dataclasses.dataclass(frozen=True)
class _Holder(Part):
    value: object
