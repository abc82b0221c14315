import dataclasses
import json

import optax
import pytest

from jax_origin import METHODS, Recipe, Stage, distances, solvers, starts

FULL = Recipe(
    start=starts.Prior(),
    restarts=3,
    stages=(
        Stage(
            solvers.Optax("sgd", options={"momentum": 0.9}), steps=7, objective="l2", tolerance=0.1
        ),
        Stage(solvers.Optax("adamw", 0.01, schedule="constant"), steps=9, lanes=2),
        Stage(
            solvers.LevenbergMarquardt(updates=3),
            steps=2,
            lanes=1,
            hop=0.5,
            rounds=4,
            evenness=0.5,
        ),
    ),
    floor=1e-5,
    compute="bfloat16",
    distance=distances.L1(),
    lane_block=16,
    driver="scan",
    chunk=5,
)


@pytest.mark.parametrize(
    "recipe",
    [Recipe(), FULL, *(method.recipe for method in METHODS.values())],
    ids=["default", "full", *METHODS],
)
def test_settings_survive_json_exactly(recipe):
    again = Recipe.from_json(json.loads(json.dumps(recipe.to_json(), allow_nan=False)))
    assert again == recipe
    assert hash(again) == hash(recipe)


def test_json_may_leave_settings_out():
    assert Recipe.from_json({"restarts": 2}) == Recipe(restarts=2)
    found = Recipe.from_json({"stages": [{"steps": 3}]})
    assert found.stages == (Stage(steps=3),)


def test_a_block_suits_the_devices_unless_the_recipe_says_another(monkeypatch):
    assert Recipe(lane_block=5).block == 5
    assert Recipe().block == 16  # on a CPU
    assert [Recipe(restarts=n).block for n in (1, 5, 9, 20)] == [16, 20, 18, 20]
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert [Recipe(restarts=n).block for n in (1, 5, 9, 100)] == [64, 65, 72, 100]


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().restarts = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Stage().steps = 2


def test_steps_count_the_gradient_evaluations_of_one_image():
    # A Jacobian of 30 columns, its forward pass, and three more to try updates with: 64 thirds,
    # 8 times; and 4 times a third to ask how evenly what is missed is spread.
    assert FULL.evaluations((30,)) == FULL.evaluations((2, 15)) == 3 * 7 + 2 * 9 + 172
    assert Recipe(restarts=5, stages=(Stage(steps=10),)).evaluations((4,)) == 50


def test_lanes_of_a_stage_are_those_that_came_there_where_none_are_said():
    assert FULL.stage_lanes == (3, 2, 1)
    stages = (Stage(), Stage(lanes=2), Stage())
    assert Recipe(restarts=5, stages=stages).stage_lanes == (5, 2, 2)
    assert Recipe(restarts=5).stage_lanes == (5,)


def test_checks_part_a_stage_evenly_and_look_at_each_step_of_a_second_order():
    # 7 steps in parts of 4 at the most 5, 9 in parts of 5, and 4 times 2 Jacobians.
    assert [stage.chunk(FULL.chunk) for stage in FULL.stages] == [4, 5, 1]
    assert FULL.checks == 2 + 2 + 4 * 2
    assert Stage(steps=30).chunk(10) == 10
    assert Stage(steps=31).chunk(10) == 8
    assert Stage(steps=3).chunk(10) == 3
    assert Stage(solvers.LBFGS(), steps=30).chunk(10) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Stage(objective="l22"), ["objective='l22'", "l1, l2, log_l2", "'l2'?"]),
        (lambda: Stage(steps=0), ["steps", "at least 1", "not 0"]),
        (lambda: Stage(steps=2.5), ["steps", "whole number", "2.5"]),
        (lambda: Stage("adam"), ["solver must be one of jax_origin.solvers", "'adam'"]),
        (lambda: Recipe(start="prior"), ["start must be one of jax_origin.starts", "'prior'"]),
        (lambda: Recipe(distance="l2"), ["distance must be one of jax_origin.distances", "'l2'"]),
        (lambda: Recipe.from_json({"start": {"kind": "pior"}}), ["'pior'", "mean 'prior'?"]),
        (
            lambda: Recipe.from_json({"distance": {"kind": "l22"}}),
            ["'l22'", "file_set", "mean 'l2'?"],
        ),
        (lambda: Recipe(driver="hots"), ["driver='hots'", "did you mean 'host'?"]),
        (lambda: Recipe(restarts=0), ["restarts", "at least 1"]),
        (lambda: Recipe(lane_block=0), ["lane_block", "at least 1"]),
        (lambda: Recipe(chunk=0), ["chunk", "at least 1"]),
        (lambda: Recipe(start=starts.Scaled(())), ["scales", "one or more"]),
        (lambda: Recipe(start=starts.Scaled((0.1, -1))), ["scales", "-1"]),
        (lambda: Recipe(start=starts.Scaled((0.1, float("nan")))), ["scales", "nan"]),
        (lambda: Recipe(restarts=2, stages=(Stage(lanes=3),)), ["lanes=3", "2 lanes"]),
        (
            lambda: Recipe(stages=(Stage(lanes=2), Stage(), Stage(lanes=3))),
            ["stages[2].lanes=3", "2 lanes"],
        ),
        (lambda: Recipe(restarts=9, lane_block=8), ["restarts=9", "lane_block=8"]),
        (lambda: Recipe(stages=()), ["stages", "one or more"]),
        (lambda: Recipe(stages=({"steps": 3},)), ["stages", "Stage"]),
        (lambda: Recipe(floor=-1e-5), ["floor", "0 or more", "-1e-05"]),
        (lambda: Recipe(floor=float("nan")), ["floor", "nan"]),
        (lambda: Recipe(compute="float16"), ["compute='float16'", "float32, bfloat16"]),
        (lambda: Stage(lanes=0), ["lanes", "at least 1", "not 0"]),
        (lambda: Stage(tolerance=1.0), ["tolerance", "under 1", "1.0"]),
        (lambda: Stage(tolerance=-0.1), ["tolerance", "0 or more", "-0.1"]),
        (lambda: Stage(tolerance=float("nan")), ["tolerance", "nan"]),
        (lambda: Stage(hop=-0.1), ["hop", "0 or more", "-0.1"]),
        (lambda: Stage(hop=0.1, rounds=0), ["rounds", "at least 1", "0"]),
        (lambda: Stage(rounds=2), ["rounds=2 without a hop", "set hop"]),
        (lambda: Stage(evenness=0.0), ["evenness", "over 0 and at most 1", "0.0"]),
        (lambda: Stage(evenness=1.1), ["evenness", "1.1"]),
        (
            lambda: Recipe(stages=(Stage(evenness=0.5),)),
            ["stages[0].evenness", "nothing is found yet"],
        ),
        (lambda: Recipe.from_json({"restart": 1}), ["'restart'", "mean 'restarts'?"]),
        (
            lambda: Recipe.from_json({"stages": [{"stepps": 1}]}),
            ["Stage has no 'stepps'", "did you mean 'steps'?"],
        ),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line_that_says_what_to_take(make, words):
    with pytest.raises(ValueError) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_restarts_are_the_start_s_own_unless_said():
    assert Recipe().restarts == len(starts.Scaled().scales) == 4
    assert Recipe(start=starts.Scaled((0.1, 0.2))).restarts == 2
    assert Recipe(start=starts.Scaled((0.1, 0.2)), restarts=5).restarts == 5
    assert Recipe(start=starts.Prior()).restarts == Recipe(start=starts.Learned()).restarts == 1


def test_any_transformation_of_optax_is_a_solver_and_no_file_holds_it():
    stage = Stage(optax.sgd(0.1), steps=3)
    assert isinstance(stage.solver, solvers.Optax) and stage.solver.chunked
    with pytest.raises(ValueError, match="which no file can"):
        Recipe(stages=(stage,)).to_json()
