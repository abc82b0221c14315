import json
import types

import pytest
from flax import nnx

from jax_origin.inversion import Descent, InversionConfig
from jax_origin.methods import METHODS, Method, get_method


def test_ronan_is_the_published_recipe():
    ronan = get_method("ronan")
    (stage,) = ronan.inversion.stages
    assert stage == Descent(
        steps=1500, objective="l2", learning_rate=0.1, schedule="constant", solver="adam"
    )
    assert (ronan.inversion.start, ronan.inversion.restarts) == ("prior", 1)
    assert ronan.inversion.distance == "l2"
    assert (ronan.rule, ronan.decision, ronan.alpha) == ("grubbs", "published", 0.05)
    assert ronan.floor == 0.0


def test_origin_bounds_both_errors_and_takes_fewer_evaluations_than_ronan():
    origin = get_method("origin")
    assert (origin.rule, origin.decision) == ("conformal", "two_errors")
    assert origin.alpha == origin.beta == 0.01
    assert (origin.floor, origin.inversion.floor) == (5e-7, 5e-7)
    # With the zoo's latents, the largest of which have 128 numbers.
    ronan = get_method("ronan").inversion.evaluations((128,))
    assert ronan == 1500
    assert origin.inversion.evaluations((128,)) < ronan / 3


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_comes_back_from_json(name):
    method = METHODS[name]
    assert method.name == name
    assert Method.from_dict(json.loads(json.dumps(method.to_dict()))) == method


def test_what_a_calibration_adds_to_a_method_is_passed_over():
    values = {**METHODS["origin"].to_dict(), "reference": "0123"}
    assert Method.from_dict(values) == METHODS["origin"]


def test_a_method_is_its_own_method():
    method = Method(name="mine", inversion=InversionConfig())
    assert get_method(method) is method


def test_origin_needs_no_other_recipe_for_large_latents():
    first, second = METHODS["origin"].inversion.stages
    assert (first.first_order, second.solver) == (True, "gauss_newton")
    # Its cost does not grow with the latent.
    evaluations = {METHODS["origin"].inversion.evaluations((size,)) for size in (8, 100_000)}
    assert len(evaluations) == 1


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("dcgan", "origin"),
        ("vae", "origin"),
        ("stylegan2_ada", "origin-thorough"),
        ("ddim", "origin-diffusion"),
        ("consistency", "origin-consistency"),
    ],
)
def test_origin_is_the_recipe_of_the_family(kind, name):
    inspected = types.SimpleNamespace(kind=kind)
    assert get_method("origin", inspected) is METHODS[name]
    assert get_method("ronan", inspected) is METHODS["ronan"]
    assert get_method(METHODS["origin"], inspected) is METHODS["origin"]


def test_origin_is_itself_for_a_module_of_no_known_family():
    assert get_method("origin", nnx.Linear(2, 2, rngs=nnx.Rngs(0))) is METHODS["origin"]


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match="unknown method 'ronin'; choose from origin, origin-thorough, ronan"
    ):
        get_method("ronin")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": "los"}, "score='los': choose from loss, reference_ratio"),
        ({"rule": "grubs"}, "rule='grubs': choose from conformal, grubbs"),
        ({"decision": "one"}, "decision='one': choose from two_errors, published"),
        ({"draws": 2}, "draws=2 is for scores of the latent, not 'loss'"),
        ({"draws": 0}, "draws must be a whole number of at least 1, not 0"),
        ({"draws": 1.5}, "draws must be a whole number of at least 1, not 1.5"),
    ],
)
def test_what_is_wrong_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        Method(name="mine", inversion=InversionConfig(), **changes)
