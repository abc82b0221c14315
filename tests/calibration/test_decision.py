import dataclasses
import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_origin import parts
from jax_origin.calibration import (
    Conformal,
    Decider,
    Decision,
    DecisionRule,
    Grubbs,
    KernelDensity,
    PredictionInterval,
    Published,
    Rates,
    Rule,
    TwoErrors,
    accepting_score,
    decide,
    decide_arrays,
    edited_group,
)
from jax_origin.calibration.decision_rules import (
    FALSE_ATTRIBUTION_UNKNOWN,
    FITS_BOTH,
    FITS_NEITHER,
    Outcome,
)

from .made_up import calibrated

BELONGING = np.linspace(0.001, 0.1, 100)
RULES = (Conformal(), Conformal(confidence=0.9), Grubbs(), PredictionInterval(), KernelDensity())
GRUBBS_ALONE = {"rule": Grubbs(), "decision": Published(), "beta": None}


def verdicts(scores, calibration, **rates):
    return [(d.verdict, d.reason) for d in decide(scores, calibration, rates=Rates(**rates))]


def test_four_cells_where_the_groups_lie_apart():
    calibration = calibrated(BELONGING, {"photos": np.linspace(1, 2, 100)})
    assert verdicts([0.05, 1.5, 0.5], calibration) == [
        ("belongs", None),
        ("not_recognised", None),
        ("undecided", FITS_NEITHER),
    ]


def test_fits_both_where_the_groups_overlap():
    calibration = calibrated(BELONGING, {"photos": np.linspace(0.03, 1, 100)})
    assert verdicts([0.02, 0.05, 0.5], calibration) == [
        ("belongs", None),
        ("undecided", FITS_BOTH),
        ("not_recognised", None),
    ]


def test_p_and_q_are_reported_and_q_is_that_of_the_nearest_group():
    groups = {"photos": [0.5, 0.6, 0.7], "vae": [0.2, 0.4, 0.8, 0.9]}
    calibration = calibrated([0.1, 0.2, 0.3], groups)
    low, tied, high = decide([0.05, 0.2, 0.75], calibration, rates=Rates(0.3, 0.3))
    assert low == Decision(4 / 4, 1 / 4, "belongs", None)
    assert tied[:2] == (3 / 4, 2 / 5)  # A tie counts for belonging in p, and for foreign in q.
    assert high == Decision(1 / 4, 4 / 4, "not_recognised", None)


@given(
    st.lists(st.integers(1, 8), min_size=3, max_size=25),
    st.lists(st.lists(st.integers(1, 8), min_size=1, max_size=25), min_size=1, max_size=3),
    st.floats(0.02, 0.6),
    st.floats(0.02, 0.6),
)
@settings(deadline=None, max_examples=60)
def test_verdicts_follow_the_table_and_never_turn_towards_belonging_as_the_score_rises(
    belonging, groups, alpha, beta
):
    calibration = calibrated(belonging, {f"g{i}": group for i, group in enumerate(groups)})
    decisions = decide(np.arange(11), calibration, rates=Rates(alpha, beta))
    for score, decision in zip(range(11), decisions, strict=True):
        p = (1 + sum(b >= score for b in belonging)) / (len(belonging) + 1)
        q = max((1 + sum(f <= score for f in group)) / (len(group) + 1) for group in groups)
        assert decision[:2] == (p, q)
        expected = {
            (True, True): "belongs",
            (False, False): "not_recognised",
        }.get((p > alpha, q <= beta), "undecided")
        if 1 / (len(belonging) + 1) > alpha:
            expected = "undecided"
        assert decision.verdict == expected
        assert (decision.reason is not None) == (expected == "undecided")
    ranks = [["belongs", "undecided", "not_recognised"].index(d.verdict) for d in decisions]
    assert ranks == sorted(ranks)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=25), st.floats(0.02, 0.6))
@settings(deadline=None)
def test_at_most_beta_of_exchangeable_foreign_scores_are_attributed(foreign, beta):
    attributed = 0
    for i, score in enumerate(foreign):
        calibration = calibrated([10.0, 11.0], {"photos": foreign[:i] + foreign[i + 1 :]})
        (decision,) = decide([score], calibration, rates=Rates(beta=beta))
        attributed += decision.verdict == "belongs"
    assert attributed <= beta * len(foreign) * (1 + 1e-12)


@given(st.lists(st.floats(0, 1e-5), min_size=1, max_size=20))
@settings(deadline=None)
def test_differences_under_the_floor_carry_no_evidence(scores):
    # A few belonging scores lie lower on the calibrating device than the test's ever do.
    calibration = calibrated(np.linspace(1e-7, 8e-6, 100), {"photos": np.linspace(0.1, 1, 100)})
    assert set(decide(scores, calibration)) == {Decision(1.0, 1 / 101, "belongs", None)}
    unclamped = calibrated(np.linspace(1e-7, 8e-6, 100), floor=0)
    assert verdicts([9e-6], unclamped) == [("not_recognised", FALSE_ATTRIBUTION_UNKNOWN)]


def test_foreign_scores_are_clamped_as_well():
    calibration = calibrated([1e-6] * 3, {"photos": [2e-6, 3e-6, 0.5]})
    (decision,) = decide([1e-6], calibration, rates=Rates(0.3, 0.3))
    assert decision == Decision(1.0, 3 / 4, "undecided", FITS_BOTH)


def test_rates_default_to_the_calibrations_and_can_be_given():
    calibration = calibrated(BELONGING, {"photos": [1.0] * 19}, alpha=0.05, beta=0.05)
    assert verdicts([0.05, 0.0971], calibration) == [
        ("belongs", None),
        ("undecided", FITS_NEITHER),
    ]
    assert verdicts([0.0971], calibration, alpha=0.01) == [("belongs", None)]
    assert verdicts([0.05], calibration, beta=0.01)[0][0] == "undecided"


PHOTOS = np.linspace(1, 2, 100)


def test_what_says_too_little_is_undecided_however_near_the_generator_comes():
    # q allows scores under 1, the lowest of PHOTOS: an image that could not be under it is bland.
    made = calibrated(BELONGING, {"photos": PHOTOS})
    found = decide([0.05, 0.05, 1.5, 50.0], made, least=[0.0, 1.01, 1.01, 0.99])
    assert [(d.verdict, d.reason) for d in found] == [
        ("belongs", None),
        ("undecided", "too little in it"),
        ("undecided", "too little in it"),
        ("not_recognised", None),
    ]
    # Without foreign images nothing says how much would be enough.
    alone = decide([0.05], calibrated(BELONGING), least=5.0)
    assert alone[0].verdict == "belongs"


@pytest.mark.parametrize(
    ("num_belonging", "foreign", "score", "reason"),
    [
        (
            20,
            {"photos": PHOTOS},
            1.5,
            "too few calibration images: alpha=0.01 needs at least 99 belonging images, "
            "this calibration has 20",
        ),
        (
            20,
            {},
            0.05,
            "too few calibration images: alpha=0.01 needs at least 99 belonging images, "
            "this calibration has 20",
        ),
        (
            100,
            {"photos": PHOTOS[:98], "vae": PHOTOS},
            0.05,
            "too few calibration images: beta=0.01 needs at least 99 independent sources of "
            "foreign group 'photos', this calibration has 98",
        ),
        (
            98,
            {"photos": PHOTOS[:5]},
            0.05,
            "too few calibration images: alpha=0.01 needs at least 99 belonging images, this "
            "calibration has 98; beta=0.01 needs at least 99 independent sources of foreign group "
            "'photos', this calibration has 5",
        ),
        # More photos could not help an image that fits a group which is large enough.
        (100, {"photos": PHOTOS[:5], "vae": BELONGING}, 0.05, FITS_BOTH),
    ],
)
def test_too_few_images_names_the_number_needed(num_belonging, foreign, score, reason):
    calibration = calibrated(np.linspace(0.001, 0.1, num_belonging), foreign)
    assert verdicts([score], calibration) == [("undecided", reason)]


def test_few_photographs_do_not_keep_an_image_from_being_foreign():
    few_photos = calibrated(BELONGING, {"photos": PHOTOS[:20]})
    assert verdicts([1.5], few_photos) == [("not_recognised", None)]


def test_where_nothing_can_be_excluded_nothing_is_attributed():
    few_belonging = calibrated(BELONGING[:20], {"photos": PHOTOS})
    words = "alpha=0.01 needs at least 99 belonging images, this calibration has 20"
    for score in (0.0, 0.005, 0.5, 5.0, math.inf):
        ((verdict, reason),) = verdicts([score], few_belonging)
        assert verdict == "undecided" and reason.endswith(words)
    assert accepting_score(few_belonging) is None


def test_a_rules_options_are_the_calibrations():
    # The second highest of 100 belonging scores keeps the rate of this very calibration.
    calibration = calibrated(BELONGING, {"photos": PHOTOS}, alpha=0.05, rule=Conformal(0.95))
    assert accepting_score(calibration) == BELONGING[98]
    assert verdicts(BELONGING[97:], calibration)[-2:] == [
        ("belongs", None),
        ("undecided", FITS_NEITHER),
    ]
    few = calibrated(BELONGING[:58], {"photos": PHOTOS}, rule=Conformal(0.95))
    ((verdict, reason),) = verdicts([0.01], few, alpha=0.05)
    assert verdict == "undecided"
    assert "alpha=0.05 at confidence 0.95 needs at least 59 belonging images" in reason
    enough = calibrated(BELONGING[:59], {"photos": PHOTOS}, rule=Conformal(0.95))
    assert verdicts([0.01], enough, alpha=0.05) == [("belongs", None)]


@pytest.mark.parametrize(
    ("rate", "needed"),
    [(0.01, 99), (0.05, 19), (0.03, 33), (0.001, 999), (1 / 49, 48), (math.nextafter(0.05, 0), 20)],
)
def test_the_number_needed_is_the_smallest_that_suffices(rate, needed):
    def decided(num):
        return verdicts([9.0], calibrated(np.linspace(0.1, 1, num)), alpha=rate)[0]

    assert f"at least {needed} belonging" in decided(needed - 1)[1]
    assert decided(needed) == ("not_recognised", FALSE_ATTRIBUTION_UNKNOWN)


def test_without_foreign_groups_false_attribution_is_unknown():
    decisions = decide([0.05, 0.5], calibrated(BELONGING))
    assert decisions == [
        Decision(52 / 101, None, "belongs", FALSE_ATTRIBUTION_UNKNOWN),
        Decision(1 / 101, None, "not_recognised", FALSE_ATTRIBUTION_UNKNOWN),
    ]


def test_the_published_decision_is_grubbs_alone_and_q_plays_no_part():
    belonging = np.random.default_rng(0).normal(0.5, 0.1, 100)
    method = {**GRUBBS_ALONE, "alpha": 0.05, "floor": 0}
    # The published bound at N = 100, alpha = 0.05 is 3.2095 sample deviations.
    mean, deviation = belonging.mean(), belonging.std(ddof=1)
    scores = mean + deviation * np.array([-3.0, 3.2, 3.21])
    unknown = calibrated(belonging, **method)
    assert verdicts(scores, unknown) == [
        ("belongs", FALSE_ATTRIBUTION_UNKNOWN),
        ("belongs", FALSE_ATTRIBUTION_UNKNOWN),
        ("not_recognised", FALSE_ATTRIBUTION_UNKNOWN),
    ]
    known = decide(scores, calibrated(belonging, {"photos": belonging}, **method))
    assert [(d.verdict, d.reason) for d in known] == [
        ("belongs", None),
        ("belongs", None),
        ("not_recognised", None),
    ]
    assert [d.q for d in known][-1] == 1.0
    assert known[1].p > 0.05 > known[2].p


@pytest.mark.parametrize("groups", [{"photos": PHOTOS}, {"photos": PHOTOS, "few": PHOTOS[:9]}])
@pytest.mark.parametrize("decision", [TwoErrors(), Published()])
def test_one_decision_for_each_score_in_order(decision, groups):
    calibration = calibrated(BELONGING, groups, decision=decision)
    scores = np.random.default_rng(3).permutation(np.linspace(0, 2, 50)).astype(np.float32)
    each = [decide([score], calibration)[0] for score in scores]
    assert decide(scores, calibration) == each
    decider = Decider(calibration)  # It keeps nothing of the scores that it has decided.
    assert [*itertools.chain.from_iterable(decider([score]) for score in scores)] == each
    assert decide([], calibration) == decider([]) == []
    assert all(type(d.p) is float and type(d.q) is float for d in each)


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ([0.1, math.nan], {}, "scores hold 1 NaN, the first at index 1: leave that image out"),
        ([[0.1]], {}, "one number for each image"),
        ([0.1], {"alpha": 0.0}, "alpha must lie strictly between 0 and 1; got 0.0"),
        ([0.1], {"alpha": 1.0}, "alpha must lie strictly"),
        ([0.1], {"beta": -0.1}, "beta must lie strictly between 0 and 1; got -0.1"),
        ([0.1], {"beta": 5}, "beta must lie strictly"),
    ],
)
def test_wrong_input_is_named(scores, options, message):
    with pytest.raises(ValueError, match=message):
        decide(scores, calibrated(BELONGING), rates=Rates(**options))


@pytest.mark.parametrize("foreign", [{}, {"photos": PHOTOS[:50], "vae": BELONGING}])
@pytest.mark.parametrize("rule", RULES)
def test_arrays_say_what_single_decisions_say(rule, foreign):
    calibration = calibrated(BELONGING, foreign, rule=rule)
    scores = np.linspace(0, 2, 300)
    arrays, each = decide_arrays(scores, calibration), decide(scores, calibration)
    assert arrays.p.tolist() == [d.p for d in each]
    assert (arrays.q is None) == (not foreign)
    if foreign:
        assert arrays.q.tolist() == [d.q for d in each]
    assert arrays.verdict.tolist() == [d.verdict for d in each]
    assert arrays.reason.tolist() == [d.reason for d in each]


def test_a_million_scores_are_decided_in_under_two_seconds():
    edits = ("jpeg-90", "jpeg-75", "jpeg-50", "jpeg-30", "webp-80", "resize-0.75")
    edited = [edited_group(name, edit) for name in ("photos", "vae", "dcgan") for edit in edits]
    calibration = dataclasses.replace(
        calibrated(BELONGING, dict.fromkeys(["photos", "vae", "dcgan", *edited], PHOTOS)),
        conditions=dict.fromkeys(edits, BELONGING),
    )
    scores = np.random.default_rng(0).random(1_000_000)
    start = time.process_time()  # Of this process: other work on the machine does not count.
    decisions = decide_arrays(scores, calibration)
    assert time.process_time() - start < 2.0
    assert decisions.verdict.shape == decisions.reason.shape == (1_000_000,)


@pytest.mark.parametrize("rule", RULES)
def test_large_audits_are_decided_at_a_hundred_thousand_scores_a_second_or_more(rule):
    calibration = calibrated(BELONGING, {"photos": PHOTOS, "vae": PHOTOS}, rule=rule)
    scores = np.random.default_rng(0).random(200_000)
    start = time.process_time()  # Of this process: other work on the machine does not count.
    decisions = decide(scores, calibration)
    assert time.process_time() - start < 2.0
    assert len(decisions) == 200_000


# Whole numbers, so that scores tie and fall on the floor.
@pytest.mark.outer
@given(
    st.lists(st.integers(0, 8), min_size=3, max_size=25),
    st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=25), max_size=3),
    st.floats(0.02, 0.6),
    st.floats(0.02, 0.6),
    st.sampled_from([0, 2.0, 3.5]),
    st.sampled_from(
        [
            {"rule": Conformal()},
            {"rule": Grubbs()},
            {"rule": Grubbs(), "decision": Published()},
            {"rule": PredictionInterval()},
            {"rule": Conformal(0.8)},
            GRUBBS_ALONE,
        ]
    ),
)
@settings(deadline=None, max_examples=300)
def test_an_image_belongs_at_the_accepting_score_and_below_it_and_nowhere_else(
    belonging, groups, alpha, beta, floor, method
):
    foreign = {f"g{i}": group for i, group in enumerate(groups)}
    calibration = calibrated(belonging, foreign, **{"floor": floor, "alpha": alpha, **method})
    rates = Rates() if method.get("beta", 0) is None else Rates(beta=beta)
    highest = accepting_score(calibration, rates=rates)
    points = np.linspace(0, 9, 181)
    points = [*points, *np.nextafter(points, 0), *np.nextafter(points, 10)]
    if highest is not None:
        points += [highest, np.nextafter(highest, 0), np.nextafter(highest, 10)]
    for point, decision in zip(points, decide(points, calibration, rates=rates), strict=True):
        accepted = highest is not None and point <= highest
        assert accepted == (decision.verdict == "belongs"), point


def test_the_accepting_score_is_the_lower_of_two_bounds():
    assert accepting_score(calibrated(BELONGING)) == BELONGING[-1]
    assert accepting_score(calibrated(BELONGING, {"photos": PHOTOS})) == BELONGING[-1]
    near = calibrated(BELONGING, {"far": PHOTOS, "near": np.linspace(0.03, 1, 100)})
    assert accepting_score(near) == np.nextafter(0.03, 0)
    # The third lowest of the nearer group bounds where two may lie as low.
    assert accepting_score(near, rates=Rates(beta=0.03)) == pytest.approx(
        0.03 + 2 * 0.97 / 99, rel=1e-12
    )
    # At 0.002 p is 100 / 101, and at 0.003 it is 99 / 101.
    assert accepting_score(near, rates=Rates(0.99, 0.03)) == 0.002
    published = calibrated(BELONGING, {"near": BELONGING}, **GRUBBS_ALONE, alpha=0.05)
    bound = BELONGING.mean() + 3.2095 * BELONGING.std(ddof=1)
    assert accepting_score(published) == pytest.approx(bound, rel=1e-4)


@pytest.mark.parametrize(
    ("belonging", "foreign", "rates"),
    [
        (BELONGING[:20], {}, Rates()),  # too few to exclude anything
        (BELONGING, {"photos": PHOTOS[:98]}, Rates()),  # too few to attribute anything
        (BELONGING, {"photos": PHOTOS, "vae": PHOTOS[:5]}, Rates()),
        (BELONGING, {"photos": [0.0] * 100}, Rates()),  # every score fits them
        (BELONGING, {"photos": [1e-6] * 50 + [0.5] * 50}, Rates(beta=0.1)),  # at the floor
    ],
)
def test_where_nothing_can_be_attributed_there_is_no_accepting_score(belonging, foreign, rates):
    calibration = calibrated(belonging, foreign)
    assert accepting_score(calibration, rates=rates) is None
    found = decide([0, 1e-5, 0.05, 1.5], calibration, rates=rates)
    assert "belongs" not in {decision.verdict for decision in found}


@pytest.mark.parametrize("num", [1, 2, 19, 39, 48, 99])
def test_the_accepting_score_is_right_at_every_step_of_q_and_a_hair_from_it(num):
    foreign = np.arange(1.0, num + 1)
    calibration = calibrated([200.0] * 3, {"photos": foreign})
    for count in range(1, num + 1):
        step = count / (num + 1)
        for beta in (math.nextafter(step, 0), step, math.nextafter(step, 1)):
            highest = accepting_score(calibration, rates=Rates(0.2, beta))
            found = decide(np.arange(0.5, num + 1), calibration, rates=Rates(0.2, beta))
            accepted = [decision.verdict == "belongs" for decision in found]
            # `sum(accepted)` of the points half way between belong.
            expected = None if not any(accepted) else np.nextafter(float(sum(accepted)), 0)
            if all(accepted):
                expected = 200.0
            assert highest == expected, (count, beta)


@pytest.mark.parametrize("name", ["alpha", "beta", "max_false_attribution"])
@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 5, math.nan, True, "0.1"])
def test_a_wrong_rate_is_refused_when_it_is_named(name, rate):
    with pytest.raises(ValueError, match=f"{name} must lie strictly between 0 and 1"):
        Rates(**{name: rate})


def test_rates_that_are_not_given_are_those_of_another():
    given = Rates(beta=np.float32(0.25))
    assert given.over(Rates(0.1, 0.2, 0.3)) == Rates(0.1, 0.25, 0.3)
    assert Rates.from_json(given.to_json()) == given and type(given.beta) is float
    with pytest.raises(ValueError, match="Rates has no 'bta'; did you mean 'beta'"):
        Rates.from_json({"bta": 0.1})


def test_a_decision_on_both_errors_needs_a_beta():
    published = calibrated(BELONGING, {"photos": PHOTOS}, decision=Published(), beta=None)
    method = published.method | {"decision": TwoErrors().to_json()}
    with pytest.raises(ValueError, match="must name a beta"):
        dataclasses.replace(published, method=method)


@parts.register
@dataclasses.dataclass(frozen=True)
class Cautious(DecisionRule):
    """A user's decision: what does not fit is never called foreign."""

    kind = "cautious"

    def outcome(self, fits, fits_foreign):
        return Outcome("belongs") if fits and not fits_foreign else Outcome("undecided", "unsure")


@parts.register
@dataclasses.dataclass(frozen=True)
class Median(Rule):
    """A user's rule: scores up to `times` the median fit."""

    kind = "median_times"
    times: float = 2.0

    def fit(self, scores):
        return FittedMedian(self.times * np.median(scores))


@dataclasses.dataclass(frozen=True)
class FittedMedian:
    most: float

    def p_value(self, scores):
        return np.where(np.asarray(scores) <= self.most, 1.0, 0.0)

    def threshold(self, rate):
        return self.most if rate < 0.5 else math.inf


def test_a_users_own_rule_and_decision_decide():
    own = {"rule": Median(3.0), "decision": Cautious()}
    calibration = calibrated(BELONGING, {"photos": PHOTOS}, **own)
    assert (calibration.rule, calibration.decision) == (Median(3.0), Cautious())
    assert verdicts([0.1, 0.2, 1.5], calibration) == [
        ("belongs", None),
        ("undecided", "unsure"),
        ("undecided", "unsure"),
    ]
    assert accepting_score(calibration) == 3 * np.median(BELONGING)
    ((verdict, reason),) = verdicts([0.1], calibration, alpha=0.5)
    assert verdict == "undecided" and "needs more than the 100 belonging images" in reason
    (known,) = verdicts([0.1], calibrated(BELONGING, **own))
    assert known == ("belongs", FALSE_ATTRIBUTION_UNKNOWN)
