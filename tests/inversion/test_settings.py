import dataclasses
import json

import pytest

from jax_origin import METHODS, Descent, InversionConfig
from jax_origin.inversion.solver import FirstOrder

FULL = InversionConfig(
    start="prior",
    restarts=3,
    scales=(0.1, 1),
    stages=(
        Descent(steps=7, objective="l2", solver="sgd", options={"momentum": 0.9}, tolerance=0.1),
        Descent(steps=9, solver="adamw", learning_rate=0.01, schedule="constant", lanes=2),
        Descent(
            steps=2,
            solver="levenberg_marquardt",
            options={"updates": 3},
            lanes=1,
            hop=0.5,
            rounds=4,
            evenness=0.5,
        ),
    ),
    floor=1e-5,
    futility=(0.5, 0.25),
    compute="bfloat16",
    distance="l1",
    lane_block=16,
    driver="scan",
    chunk=5,
)


@pytest.mark.parametrize(
    "config",
    [InversionConfig(), FULL, *(method.inversion for method in METHODS.values())],
    ids=["default", "full", *METHODS],
)
def test_settings_survive_json_exactly(config):
    again = InversionConfig.from_dict(json.loads(json.dumps(config.to_dict(), allow_nan=False)))
    assert again == config
    assert hash(again) == hash(config)


def test_json_may_leave_settings_out():
    assert InversionConfig.from_dict({"restarts": 2}) == InversionConfig(restarts=2)
    found = InversionConfig.from_dict({"stages": [{"steps": 3}]})
    assert found.stages == (Descent(steps=3),)


def test_a_block_suits_the_devices_unless_the_recipe_says_another(monkeypatch):
    assert InversionConfig(lane_block=5).block == 5
    assert InversionConfig().block == 16  # on a CPU
    assert [InversionConfig(restarts=n).block for n in (1, 5, 9, 20)] == [16, 20, 18, 20]
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert [InversionConfig(restarts=n).block for n in (1, 5, 9, 100)] == [64, 65, 72, 100]


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        InversionConfig().restarts = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Descent().steps = 2


def test_options_may_be_a_mapping_or_pairs_in_any_order():
    mapping = Descent(options={"b2": 0.99, "b1": 0.5})
    assert mapping == Descent(options=(("b1", 0.5), ("b2", 0.99)))
    assert mapping != Descent(options={"b1": 0.5})
    assert isinstance(mapping.make_solver("l2"), FirstOrder)


def test_steps_count_the_gradient_evaluations_of_one_image():
    # A Jacobian of 30 columns, its forward pass, and three more to try updates with: 64 thirds,
    # 8 times; and 4 times a third to ask how evenly what is missed is spread.
    assert FULL.evaluations((30,)) == FULL.evaluations((2, 15)) == 3 * 7 + 2 * 9 + 172
    assert InversionConfig(restarts=5, stages=(Descent(steps=10),)).evaluations((4,)) == 50


def test_lanes_of_a_stage_are_those_that_came_there_where_none_are_said():
    assert FULL.stage_lanes == (3, 2, 1)
    stages = (Descent(), Descent(lanes=2), Descent())
    assert InversionConfig(restarts=5, stages=stages).stage_lanes == (5, 2, 2)
    assert InversionConfig(restarts=5).stage_lanes == (5,)


def test_checks_part_a_stage_evenly_and_look_at_each_step_of_a_second_order():
    # 7 steps in parts of 4 at the most 5, 9 in parts of 5, and 4 times 2 Jacobians.
    assert [stage.chunk(FULL.chunk) for stage in FULL.stages] == [4, 5, 1]
    assert FULL.checks == 2 + 2 + 4 * 2
    assert Descent(steps=30).chunk(10) == 10
    assert Descent(steps=31).chunk(10) == 8
    assert Descent(steps=3).chunk(10) == 3
    assert Descent(steps=30, solver="lbfgs").chunk(10) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Descent(objective="l22"), ["objective='l22'", "l1, l2, log_l2", "'l2'?"]),
        (lambda: Descent(schedule="cosin"), ["schedule='cosin'", "did you mean 'cosine'?"]),
        (lambda: Descent(solver="adamm"), ["solver 'adamm'", "did you mean 'adam'?"]),
        (lambda: Descent(solver="apply_updates"), ["solver 'apply_updates'"]),
        (lambda: Descent(options={"momentums": 1}), ["'adam'", "momentums"]),
        (lambda: Descent(steps=0), ["steps", "at least 1", "not 0"]),
        (lambda: Descent(steps=2.5), ["steps", "whole number", "2.5"]),
        (lambda: Descent(learning_rate=0.0), ["learning_rate", "positive", "0.0"]),
        (lambda: Descent(learning_rate=float("nan")), ["learning_rate", "positive", "nan"]),
        (lambda: InversionConfig(start="pior"), ["start='pior'", "did you mean 'prior'?"]),
        (lambda: InversionConfig(distance="log_l2"), ["distance='log_l2'", "l1, l2"]),
        (lambda: InversionConfig(driver="hots"), ["driver='hots'", "did you mean 'host'?"]),
        (lambda: InversionConfig(restarts=0), ["restarts", "at least 1"]),
        (lambda: InversionConfig(lane_block=0), ["lane_block", "at least 1"]),
        (lambda: InversionConfig(chunk=0), ["chunk", "at least 1"]),
        (lambda: InversionConfig(scales=()), ["scales", "one or more"]),
        (lambda: InversionConfig(scales=(0.1, -1)), ["scales", "-1"]),
        (lambda: InversionConfig(scales=(0.1, float("nan"))), ["scales", "nan"]),
        (lambda: InversionConfig(restarts=2, stages=(Descent(lanes=3),)), ["lanes=3", "2 lanes"]),
        (
            lambda: InversionConfig(stages=(Descent(lanes=2), Descent(), Descent(lanes=3))),
            ["stages[2].lanes=3", "2 lanes"],
        ),
        (lambda: InversionConfig(restarts=9, lane_block=8), ["restarts=9", "lane_block=8"]),
        (lambda: InversionConfig(stages=()), ["stages", "one or more"]),
        (lambda: InversionConfig(stages=({"steps": 3},)), ["stages", "Descent"]),
        (lambda: InversionConfig(floor=-1e-5), ["floor", "0 or more", "-1e-05"]),
        (lambda: InversionConfig(floor=float("nan")), ["floor", "nan"]),
        (lambda: InversionConfig(futility=(0.1, 0.0)), ["futility", "positive", "0.0"]),
        (lambda: InversionConfig(futility=(0.1, float("nan"))), ["futility", "positive", "nan"]),
        (lambda: InversionConfig(compute="float16"), ["compute='float16'", "float32, bfloat16"]),
        (lambda: Descent(lanes=0), ["lanes", "at least 1", "not 0"]),
        (lambda: Descent(tolerance=1.0), ["tolerance", "under 1", "1.0"]),
        (lambda: Descent(tolerance=-0.1), ["tolerance", "0 or more", "-0.1"]),
        (lambda: Descent(tolerance=float("nan")), ["tolerance", "nan"]),
        (lambda: Descent(hop=-0.1), ["hop", "0 or more", "-0.1"]),
        (lambda: Descent(hop=0.1, rounds=0), ["rounds", "at least 1", "0"]),
        (lambda: Descent(rounds=2), ["rounds=2 without a hop", "set hop"]),
        (lambda: Descent(evenness=0.0), ["evenness", "over 0 and at most 1", "0.0"]),
        (lambda: Descent(evenness=1.1), ["evenness", "1.1"]),
        (
            lambda: InversionConfig(stages=(Descent(evenness=0.5),)),
            ["stages[0].evenness", "nothing is found yet"],
        ),
        (lambda: InversionConfig.from_dict({"restart": 1}), ["'restart'", "mean 'restarts'?"]),
        (
            lambda: InversionConfig.from_dict({"stages": [{"learningrate": 1}]}),
            ["Descent has no 'learningrate'", "did you mean 'learning_rate'?"],
        ),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line_that_says_what_to_take(make, words):
    with pytest.raises(ValueError) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
