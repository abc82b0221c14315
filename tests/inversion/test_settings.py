import dataclasses
import json

import optax
import pytest

from jax_origin import METHODS, Descent, InversionConfig

FULL = InversionConfig(
    start="prior",
    restarts=3,
    scales=(0.1, 1),
    search=Descent(steps=7, objective="l2", optimizer="sgd", options={"momentum": 0.9}),
    polish=Descent(steps=9, optimizer="adamw", learning_rate=0.01, schedule="constant"),
    polish_lanes=2,
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
    found = InversionConfig.from_dict({"polish": {"steps": 3}})
    assert found.polish == Descent(steps=3)


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        InversionConfig().restarts = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Descent().steps = 2


def test_options_may_be_a_mapping_or_pairs_in_any_order():
    mapping = Descent(options={"b2": 0.99, "b1": 0.5})
    assert mapping == Descent(options=(("b1", 0.5), ("b2", 0.99)))
    assert mapping != Descent(options={"b1": 0.5})
    assert isinstance(mapping.transformation(), optax.GradientTransformation)


def test_steps_count_the_gradient_evaluations_of_one_image():
    assert FULL.steps == 3 * 7 + 2 * 9
    assert InversionConfig(restarts=5, search=Descent(steps=10)).steps == 50


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Descent(objective="l22"), ["objective='l22'", "l1, l2, log_l2", "'l2'?"]),
        (lambda: Descent(schedule="cosin"), ["schedule='cosin'", "did you mean 'cosine'?"]),
        (lambda: Descent(optimizer="adamm"), ["optimizer 'adamm'", "did you mean 'adam'?"]),
        (lambda: Descent(optimizer="apply_updates"), ["optimizer 'apply_updates'"]),
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
        (lambda: InversionConfig(restarts=2, polish_lanes=3), ["polish_lanes=3", "2 restarts"]),
        (lambda: InversionConfig.from_dict({"restart": 1}), ["'restart'", "mean 'restarts'?"]),
        (
            lambda: InversionConfig.from_dict({"search": {"learningrate": 1}}),
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
