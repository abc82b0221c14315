import dataclasses
import json
import types

import pytest
from flax import nnx

from jax_origin import METHODS, Method, Rates, Recipe, Stage, rules, scores, solvers
from jax_origin.generators import DDIM, VAE, Consistency, StyleGAN2
from jax_origin.workflow import get_method


def test_ronan_is_the_published_recipe():
    ronan = get_method("ronan")
    (stage,) = ronan.recipe.stages
    assert stage == Stage(solvers.Optax("adam", 0.1, "constant"), steps=1500, objective="l2")
    assert (ronan.recipe.start.kind, ronan.recipe.restarts) == ("prior", 1)
    assert ronan.recipe.distance.kind == "l2"
    assert (ronan.rule.kind, ronan.decision.kind) == ("grubbs", "published")
    assert (ronan.rates, ronan.floor) == (Rates(0.05), 0.0)


def test_origin_bounds_both_errors_and_takes_fewer_evaluations_than_ronan():
    origin = get_method("origin")
    assert (origin.rule.kind, origin.decision.kind) == ("conformal", "two_errors")
    assert origin.rates == Rates(0.01, 0.01)
    # Images are done at the floor of 8-bit files; ratios to the generic code are clamped.
    assert (origin.floor, origin.score.kind) == (0.01, "code_ratio")
    assert origin.recipe.floor == origin.score.floor == 5e-7
    # With the zoo's latents, the largest of which have 128 numbers.
    ronan = get_method("ronan").recipe.evaluations((128,))
    assert ronan == 1500
    assert origin.recipe.evaluations((128,)) < ronan / 3


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_comes_back_from_json(name):
    method = METHODS[name]
    assert method.name == name
    assert Method.from_json(json.loads(json.dumps(method.to_json()))) == method
    assert hash(method) == hash(Method.from_json(method.to_json()))


def test_a_method_is_read_with_the_score_that_was_fitted(calibration):
    assert Method.of(calibration) == Method.from_json(calibration.method)
    typical = scores.Typicality(scores.Typical(1.0, 2.0, 3.0))
    measured = dataclasses.replace(calibration.measured, score=typical.to_json())
    fitted = dataclasses.replace(calibration, measured=measured)
    assert Method.of(fitted).score == typical


def test_a_method_is_its_own_method():
    method = Method("mine", Recipe())
    assert get_method(method) is method


def test_origin_needs_no_other_recipe_for_large_latents():
    first, second = METHODS["origin"].recipe.stages
    assert (first.solver.kind, second.solver.kind) == ("measure", "gauss_newton")
    # Its cost does not grow with the latent.
    evaluations = {METHODS["origin"].recipe.evaluations((size,)) for size in (8, 100_000)}
    assert len(evaluations) == 1


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (VAE, "origin"),
        (StyleGAN2, "origin-thorough"),
        (DDIM, "origin-diffusion"),
        (Consistency, "origin-consistency"),
    ],
)
def test_origin_is_the_recipe_that_the_generator_names(kind, name):
    assert kind.default_method == name
    inspected = types.SimpleNamespace(default_method=name)
    assert get_method("origin", inspected) is METHODS[name]
    assert get_method("ronan", inspected) is METHODS["ronan"]
    assert get_method(METHODS["origin"], inspected) is METHODS["origin"]


def test_origin_is_itself_for_a_module_that_names_none():
    assert get_method("origin", nnx.Linear(2, 2, rngs=nnx.Rngs(0))) is METHODS["origin"]


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match="unknown method 'ronin'; choose from origin, origin-patient, "
    ):
        get_method("ronin")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": "loss"}, "score must be an object, a Score; got 'loss'"),
        ({"rule": rules.Grubbs}, "rule must be an object, a Rule; got"),
        ({"decision": None}, "decision must be an object, a DecisionRule; got None"),
        ({"recipe": {}}, "recipe must be an object, a Recipe; got {}"),
        ({"rates": 0.1}, r"rates must be an object, a Rates; got 0\.1"),
        ({"draws": 2}, "draws=2 is for scores of the latent, not 'loss'"),
        ({"draws": 0}, "draws must be a whole number of at least 1, not 0"),
        ({"draws": 1.5}, r"draws must be a whole number of at least 1, not 1\.5"),
    ],
)
def test_what_is_wrong_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        Method(**{"name": "mine", "recipe": Recipe(), **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": {"kind": "los"}}, "unknown score 'los'; choose from loss, .*mean 'loss'"),
        ({"rule": {"kind": "grubs"}}, "unknown rule 'grubs'; .*mean 'grubbs'"),
        ({"decision": {"kind": "one"}}, "unknown decision 'one'; choose from published, two_err"),
        ({"rate": {}}, "Method has no 'rate'; did you mean 'rates'"),
        ({"rates": {"alpha": 2}}, "alpha must lie strictly between 0 and 1"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        Method.from_json({**METHODS["ronan"].to_json(), **changes})
