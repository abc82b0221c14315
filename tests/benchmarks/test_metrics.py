import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.metrics import (
    accuracy,
    auc,
    auc_interval,
    decision_intervals,
    decision_rates,
    equal_error_rate,
    operating_point,
    rate_interval,
    score_cllr,
    tpr_at_fpr,
)
from jax_origin.calibration import ForeignGroup
from jax_origin.evidence import LogisticRatio

# Few distinct values, so that ties are common; a failed image may score infinity.
tied_scores = st.lists(
    st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.5, 1.0, math.inf]), min_size=1, max_size=25
)
words = st.lists(
    st.sampled_from(["belongs", "not_recognised", "undecided"]), min_size=1, max_size=20
)


@given(tied_scores, tied_scores)
@settings(deadline=None)
def test_auc_is_the_share_of_pairs_in_order_ties_counted_half(belonging, foreign):
    pairs = [(b < f) + 0.5 * (b == f) for b in belonging for f in foreign]
    assert auc(belonging, foreign) == sum(pairs) / len(pairs)
    assert auc(belonging, foreign) + auc(foreign, belonging) == pytest.approx(1.0)


def test_auc_of_scores_apart_alike_and_reversed():
    assert auc([0.1, 0.2], [0.3, 0.4]) == 1.0
    assert auc([0.1, 0.2], [0.1, 0.2]) == 0.5
    assert auc([0.3, 0.4], [0.1, 0.2]) == 0.0


def test_auc_of_many_scores_is_exact():
    scores = np.random.default_rng(0).random(100_000)
    assert auc(scores, scores) == 0.5


@given(tied_scores, tied_scores, st.floats(0, 1) | st.integers(0, 25))
@settings(deadline=None)
def test_tpr_is_that_of_the_best_threshold_that_keeps_the_fpr(belonging, foreign, fpr):
    if isinstance(fpr, int):  # A rate that occurs, where "at most" is decided by equality.
        fpr = min(fpr, len(foreign)) / len(foreign)
    values = sorted({*belonging, *foreign})
    best = 0.0  # The threshold under every score accepts nothing.
    for threshold in values:
        if sum(f <= threshold for f in foreign) / len(foreign) <= fpr:
            best = max(best, sum(b <= threshold for b in belonging) / len(belonging))
    assert tpr_at_fpr(belonging, foreign, fpr=fpr) == best


def test_tpr_at_one_percent_of_hundred_foreign_scores_lets_one_through():
    foreign = np.linspace(1, 2, 100)  # the second lowest is 1.0101
    assert tpr_at_fpr([0.5, 1.005, 1.02], foreign) == 2 / 3
    assert tpr_at_fpr([0.5, 1.005, 1.02], foreign[:99]) == 1 / 3
    assert tpr_at_fpr([0.5, 1.0, 1.02], foreign, fpr=0.0) == 1 / 3


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda: auc([], [0.1]), "need at least one score of each kind; got 0 belonging, 1 for"),
        (lambda: tpr_at_fpr([0.1], []), "got 1 belonging, 0 foreign"),
        (lambda: auc([math.nan], [0.1]), "belonging scores hold 1 NaN"),
        (lambda: auc([0.1], [[0.1]]), "foreign scores must have one number for each image"),
        (lambda: tpr_at_fpr([0.1], [0.1], fpr=1.5), "fpr must lie between 0 and 1; got 1.5"),
        (lambda: tpr_at_fpr([0.1], [0.1], fpr=math.nan), "fpr must lie between 0 and 1"),
        (lambda: auc_interval([0.1], [0.1], method="exakt"), 'method must be "delong" or "exact"'),
        (lambda: auc_interval([0.1], [0.1], confidence=1), "confidence must lie strictly"),
        (lambda: operating_point([0.1], [0.1], fpr=1), "fpr must be at least 0 and under 1; got 1"),
        (lambda: operating_point([0.1], []), "got 1 belonging, 0 foreign"),
        (lambda: equal_error_rate([], [1]), "got 0 belonging, 1 foreign"),
        (lambda: rate_interval(3, 2), "got 3 of 2"),
        (lambda: score_cllr([0.1] * 9, ForeignGroup([1.0] * 20, 20)), "10 folds of 9 belonging"),
        (lambda: accuracy([], ["not_recognised"]), "verdicts_belonging is empty"),
        (lambda: accuracy(["belongs"], ["no"]), "verdicts_foreign: 'no' is no verdict"),
        (
            lambda: decision_rates("belongs", ["not_recognised"]),
            "verdicts_belonging: 'b' is no verdict",
        ),
    ],
)
def test_wrong_input_is_named(measure, message):
    with pytest.raises(ValueError, match=message):
        measure()


def test_decision_rates_of_a_small_table():
    belonging = ["belongs", "belongs", "belongs", "not_recognised", "undecided"]
    foreign = np.array(
        ["not_recognised", "not_recognised", "not_recognised", "belongs", "undecided"] * 2
    )
    assert decision_rates(belonging, foreign) == {
        "tpr": 3 / 5,
        "fpr": 2 / 10,
        "undecided_belonging": 1 / 5,
        "undecided_foreign": 2 / 10,
        "accuracy": 9 / 15,
    }
    assert accuracy(belonging, foreign) == 9 / 15


@given(words, words)
@settings(deadline=None)
def test_rates_do_not_depend_on_order_and_repeating_changes_nothing(belonging, foreign):
    rates = decision_rates(belonging, foreign)
    assert decision_rates(reversed(belonging), sorted(foreign)) == rates
    assert decision_rates(belonging * 3, foreign * 3) == pytest.approx(rates)
    assert all(0.0 <= rate <= 1.0 for rate in rates.values())


def test_the_interval_of_the_area_is_delongs():
    # By the definition: the variance of each score's share of pairs in order.
    rng = np.random.default_rng(0)
    b, f = rng.normal(0, 1, 30).round(1), rng.normal(1, 1, 40).round(1)
    order = (b[:, None] < f) + 0.5 * (b[:, None] == f)
    area = order.mean()
    variance = order.mean(1).var(ddof=1) / 30 + order.mean(0).var(ddof=1) / 40
    width = 1.95996 * math.sqrt(variance) / (area * (1 - area))
    found = auc_interval(b, f)
    assert found.value == pytest.approx(area)
    for end, sign in ((found.low, -1), (found.high, 1)):
        assert math.log(end / (1 - end)) == pytest.approx(
            math.log(area / (1 - area)) + sign * width, abs=1e-4
        )


@pytest.mark.parametrize(("method", "least"), [("delong", 0.92), ("exact", 0.95)])
def test_the_interval_of_the_area_covers_as_often_as_stated(method, least):
    rng, held = np.random.default_rng(1), 0
    true = stats.norm.cdf(1.5 / math.sqrt(2))
    for _ in range(400):
        found = auc_interval(rng.normal(0, 1, 25), rng.normal(1.5, 1, 40), method=method)
        assert found.low <= found.value <= found.high
        held += found.low <= true <= found.high
    assert held / 400 >= least


def test_perfect_separation_is_no_certainty():
    # Twenty pairs of twenty in order: Clopper and Pearson's lower limit 0.025^(1/20).
    for method in ("delong", "exact"):
        found = auc_interval(np.arange(20), np.arange(30) + 50, method=method)
        assert found == (1.0, pytest.approx(0.025 ** (1 / 20)), 1.0)
    assert auc_interval([5.0, 6.0], [1.0, 2.0]) == (0.0, 0.0, pytest.approx(1 - 0.025**0.5))
    assert auc_interval([1.0], [2.0]).low == pytest.approx(0.025)
    tied = auc_interval([1.0] * 9, [1.0] * 9)
    assert tied.low < 0.2 and tied.high > 0.8 and tied.value == 0.5


@given(tied_scores, tied_scores)
@settings(deadline=None)
def test_intervals_of_any_scores_hold_their_value(belonging, foreign):
    for method in ("delong", "exact"):
        found = auc_interval(belonging, foreign, method=method)
        assert 0 <= found.low <= found.value <= found.high <= 1
    point = operating_point(belonging, foreign, fpr=0.1)
    assert point.tpr.value == tpr_at_fpr(belonging, foreign, fpr=0.1)
    assert point.fpr.value <= 0.1
    for rate in (point.tpr, point.fpr):
        assert 0 <= rate.low <= rate.value <= rate.high <= 1


def test_an_operating_points_false_positive_rate_is_an_estimate():
    rng, held = np.random.default_rng(2), 0
    for _ in range(500):
        foreign = rng.random(200)
        point = operating_point(rng.random(5), foreign, fpr=0.05)
        assert point.fpr.value == 0.05
        held += point.fpr.low <= point.below <= point.fpr.high  # uniform: F(t) = t
    assert 0.92 <= held / 500 <= 0.98
    none = operating_point([0.5], np.linspace(1, 2, 299), fpr=0.0, confidence=0.9)
    assert none.below == 1.0 and none.tpr.value == 1.0
    assert none.fpr == (0.0, 0.0, pytest.approx(0.00997, rel=1e-3))


def test_equal_error_rate_of_small_cases():
    assert equal_error_rate([1, 2], [3, 4]) == 0.0
    assert equal_error_rate([3, 4], [1, 2]) == 1.0
    assert equal_error_rate([1, 2], [1, 2]) == 0.5
    assert equal_error_rate([1.0], [1.0]) == 0.5
    # Under 2.5 one of three belonging is refused and one of three foreign accepted.
    assert equal_error_rate([1, 2, 3], [2.2, 4, 5]) == pytest.approx(1 / 3)
    rng = np.random.default_rng(3)
    found = equal_error_rate(rng.normal(0, 1, 50_000), rng.normal(2, 1, 50_000))
    assert found == pytest.approx(stats.norm.cdf(-1), abs=5e-3)


@pytest.mark.parametrize("count", [0, 3, 10])
def test_rate_intervals_are_clopper_and_pearsons(count):
    expected = stats.binomtest(count, 10).proportion_ci(0.9, "exact")
    assert rate_interval(count, 10, confidence=0.9) == pytest.approx((count / 10, *expected))


def test_decision_intervals_are_those_of_the_rates():
    belonging, foreign = ["belongs"] * 18 + ["undecided"] * 2, ["not_recognised"] * 30
    found, rates = decision_intervals(belonging, foreign), decision_rates(belonging, foreign)
    assert {name: interval.value for name, interval in found.items()} == {
        name: rate for name, rate in rates.items() if name != "accuracy"
    }
    assert found["fpr"] == rate_interval(0, 30)
    assert found["tpr"] == rate_interval(18, 20)


def test_the_cost_of_scores_is_that_of_their_ratios():
    rng = np.random.default_rng(4)
    far = score_cllr(np.arange(100) / 100, ForeignGroup(np.arange(100) / 100 + 5, 100))
    # Fitted on 90 of each, a ratio is 1 / limit or limit, the upper 95% limit of 0 of 90: 1 / 30.5.
    # The nearest one of each kind lies in the gap that its fold leaves: no data costs a bit.
    limit = 1 - 0.05 ** (1 / 90)
    assert far.value.cllr == pytest.approx(0.99 * math.log2(1 + limit) + 0.01 * 1)
    assert far.value.cllr == pytest.approx(0.056, abs=1e-4)
    logistic = functools.partial(LogisticRatio, floor=1e-5)
    nothing = score_cllr(rng.random(100), ForeignGroup(rng.random(100), 100), model=logistic)
    assert nothing.value.cllr == pytest.approx(1, abs=0.05)
