import numpy as np
import pytest

from jax_origin.calibration import RULES, p_over_conditions, q_over_groups

OWN = {"clean": np.linspace(0, 1, 99), "jpeg": np.linspace(2, 3, 49)}


def test_p_is_that_of_the_condition_that_fits_best():
    fit = p_over_conditions([0.5, 1.5, 2.51, 9.0], OWN)
    assert fit.p == pytest.approx([1.0, 1.0, 0.5, 0.02])
    assert fit.which == ["jpeg", "jpeg", "jpeg", "jpeg"]
    alone = p_over_conditions([0.499, 1.5], {"clean": OWN["clean"]})
    assert alone.p == pytest.approx([0.51, 0.01])
    assert alone.which == ["clean", "clean"]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_and_its_floor_are_used_in_every_condition(rule):
    scores = np.linspace(0, 4, 50)
    fit = p_over_conditions(scores, OWN, rule=rule, floor=0.4)
    each = [
        RULES[rule](np.maximum(own, 0.4)).p_value(np.maximum(scores, 0.4)) for own in OWN.values()
    ]
    assert fit.p.tolist() == np.maximum(*each).tolist()
    confident = p_over_conditions(scores, OWN, confidence=0.95)
    assert (confident.p >= p_over_conditions(scores, OWN).p).all()


def test_no_condition_is_excluded_more_often_than_alpha():
    rng, alpha, draws = np.random.default_rng(0), 0.05, 1000
    laws = {"clean": (0.0, 1.0), "jpeg": (1.0, 0.5), "resized": (1.0, 2.0)}
    excluded = dict.fromkeys(laws, 0)
    for _ in range(draws):
        own = {name: rng.normal(*law, size=39) for name, law in laws.items()}
        for name, law in laws.items():
            excluded[name] += p_over_conditions([rng.normal(*law)], own).p[0] <= alpha
    assert max(excluded.values()) / draws <= 0.05 + 0.021
    # And the condition that lies highest loses nothing to the others.
    assert excluded["resized"] / draws > 0.025


def test_q_is_that_of_the_nearest_pair_of_group_and_condition():
    foreign = {
        ("photos", "clean"): np.linspace(5, 6, 99),
        ("photos", "blurred"): np.linspace(3, 6, 99),
        ("sdxl", "clean"): np.linspace(4, 5, 19),
    }
    fit = q_over_groups([1.0, 3.0, 5.5], foreign)
    assert fit.p == pytest.approx([0.05, 0.05, 1.0])
    assert fit.which == [("sdxl", "clean")] * 3
    del foreign["sdxl", "clean"]
    fit = q_over_groups([1.0, 3.0], foreign)
    assert fit.p == pytest.approx([0.01, 0.02])
    assert fit.which == [("photos", "clean"), ("photos", "blurred")]
    assert q_over_groups([0.5], {"a": [0.7]}, floor=0.8).p[0] == 1.0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: p_over_conditions([1.0], {}), "give scores of at least one condition"),
        (lambda: q_over_groups([1.0], {}), "give scores of at least one condition"),
        (lambda: q_over_groups([1.0], {"a": []}), "foreign group 'a' has no scores"),
        (lambda: p_over_conditions([1.0], OWN, rule="best"), "unknown rule 'best'; choose from"),
        (lambda: p_over_conditions([1.0], OWN, rule="t", confidence=0.9), "has no option"),
        (lambda: p_over_conditions([np.nan], OWN), "scores hold 1 NaN"),
    ],
)
def test_wrong_input_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
