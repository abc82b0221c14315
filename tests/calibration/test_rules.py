import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jax_origin.calibration import (
    Conformal,
    Grubbs,
    KernelDensity,
    PredictionInterval,
    Rule,
    Threshold,
)
from jax_origin.calibration.rules import scores_needed
from jax_origin.parts import kinds_of

RULES = (Conformal(), Conformal(confidence=0.9), Grubbs(), PredictionInterval(), KernelDensity())

# Few distinct values, so that ties are common.
tied_scores = st.lists(st.integers(0, 6).map(lambda i: i / 8), min_size=1, max_size=30)
rates = st.floats(0.001, 0.999)


@given(tied_scores, tied_scores)
@settings(deadline=None)
def test_conformal_p_counts_the_belonging_scores_at_or_above(belonging, scores):
    counted = [(1 + sum(b >= a for b in belonging)) / (len(belonging) + 1) for a in scores]
    assert Conformal().fit(belonging).p_value(scores).tolist() == counted


@given(tied_scores, rates | st.integers(1, 30))
@settings(deadline=None)
def test_conformal_accepts_under_its_threshold_exactly_where_p_is_over_alpha(belonging, alpha):
    if isinstance(alpha, int):  # A p-value that occurs, where p > alpha is decided by equality.
        alpha = min(alpha, len(belonging)) / (len(belonging) + 1)
    rule = Conformal().fit(belonging)
    scores = np.array([*belonging, -1.0, 0.3, 2.0])
    assert ((scores <= rule.threshold(alpha)) == (rule.p_value(scores) > alpha)).all()


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), rates)
@settings(deadline=None)
def test_conformal_excludes_at_most_alpha_of_exchangeable_scores_ties_or_not(scores, alpha):
    # Each of the N + 1 scores in turn is the test one: all equally likely under exchangeability.
    excluded = sum(
        Conformal().fit(scores[:i] + scores[i + 1 :]).p_value([score])[0] <= alpha
        for i, score in enumerate(scores)
    )
    assert excluded <= alpha * len(scores) * (1 + 1e-12)


def test_conformal_rejects_nothing_where_alpha_is_out_of_reach():
    scores = np.linspace(0.1, 0.9, 99)
    assert Conformal().fit(scores[1:]).threshold(0.01) == math.inf
    assert Conformal().fit(scores).threshold(0.01) == scores[-1]


def test_rate_of_one_conformal_calibration_follows_the_stated_beta_law():
    calibrations = np.random.default_rng(0).random((2000, 100))
    # Of uniform scores, the part over the threshold is the rate of false exclusion.
    false_exclusion = [1 - Conformal().fit(scores).threshold(0.05) for scores in calibrations]
    law = stats.beta(5, 96)
    assert stats.kstest(false_exclusion, law.cdf).pvalue > 0.01
    assert law.interval(0.90) == pytest.approx((0.020, 0.089), abs=5e-4)


def test_a_rank_with_confidence_is_that_of_the_binomial():
    scores = np.arange(1.0, 101)
    rule = Conformal(0.95).fit(scores)
    assert rule.threshold(0.05) == 99.0  # k = 2: the second largest
    # P(Beta(k, N + 1 - k) > alpha) = P(Binomial(N, alpha) < k): 0.037 at k = 2, 0.118 at k = 3.
    for k, chance in ((2, 0.0371), (3, 0.1183)):
        assert stats.beta(k, 101 - k).sf(0.05) == pytest.approx(chance, abs=1e-4)
        assert stats.binom(100, 0.05).cdf(k - 1) == pytest.approx(chance, abs=1e-4)
    for confidence in (0.5, 0.8, 0.95, 0.99):
        for alpha in (0.01, 0.03, 0.05, 0.2, 0.7):
            # Rank k has k - 1 belonging scores above its threshold.
            ranks = np.count_nonzero(stats.binom.cdf(np.arange(100), 100, alpha) <= 1 - confidence)
            expected = scores[100 - ranks] if ranks else math.inf
            assert Conformal(confidence).fit(scores).threshold(alpha) == expected


@given(tied_scores, rates, st.floats(0.01, 0.99))
@settings(deadline=None)
def test_with_confidence_too_it_accepts_where_p_is_over_alpha(belonging, alpha, confidence):
    rule = Conformal(confidence).fit(belonging)
    scores = np.array([*belonging, -1.0, 0.3, 2.0])
    assert ((scores <= rule.threshold(alpha)) == (rule.p_value(scores) > alpha)).all()


def test_p_with_confidence_is_the_upper_clopper_pearson_limit():
    rule = Conformal(0.9).fit(np.arange(50))
    for above in (0, 1, 7, 49, 50):
        limit = stats.binomtest(above, 50, alternative="less").proportion_ci(0.9, "exact").high
        assert rule.p_value([49.5 - above])[0] == pytest.approx(limit, rel=1e-9)


def test_one_calibrations_rate_stays_under_alpha_with_the_confidence_asked_for():
    calibrations = np.random.default_rng(1).random((4000, 100))
    rates_ = [1 - Conformal(0.95).fit(scores).threshold(0.05) for scores in calibrations]
    # k = 2 by the law: 3.7% of calibrations are over; 0.3% is one standard error.
    assert np.mean(np.array(rates_) > 0.05) == pytest.approx(0.037, abs=0.01)
    assert stats.kstest(rates_, stats.beta(2, 99).cdf).pvalue > 0.01


@pytest.mark.parametrize("confidence", [None, 0.5, 0.95])
@pytest.mark.parametrize("rate", [0.5, 0.05, 0.03, 0.01, 0.001, 1e-8])
def test_the_number_of_scores_needed_is_the_smallest_that_can_exclude(rate, confidence):
    num = scores_needed(rate, confidence=confidence)
    if num < 10_000:
        assert Conformal(confidence).fit(np.arange(num)).threshold(rate) == num - 1
        if num > 1:
            fewer = Conformal(confidence).fit(np.arange(num - 1))
            assert fewer.threshold(rate) == math.inf
    assert scores_needed(0.001, confidence=0.95) == 2995
    assert scores_needed(0.01, confidence=0.95) == 299


def test_the_prediction_limit_is_students():
    # Hahn and Meeker's factor for one fresh observation at 95%, n = 10: 1.833 sqrt(1.1) = 1.9226.
    scores = np.random.default_rng(4).normal(size=10)
    rule = PredictionInterval().fit(scores)
    factor = (rule.threshold(0.05) - scores.mean()) / scores.std(ddof=1)
    assert factor == pytest.approx(1.9226, abs=1e-4)
    assert rule.p_value([rule.threshold(0.03), rule.threshold(0.6)]) == pytest.approx([0.03, 0.6])
    assert rule.p_value([-math.inf, math.inf]).tolist() == [1.0, 0.0]


def test_the_prediction_limit_excludes_alpha_of_normal_scores():
    rng = np.random.default_rng(5)
    calibrations = rng.normal(3, 2, size=(4000, 12))
    thresholds = [PredictionInterval().fit(scores).threshold(0.05) for scores in calibrations]
    assert stats.norm(3, 2).sf(thresholds).mean() == pytest.approx(0.05, abs=0.003)


def test_the_density_rule_is_the_published_recipe():
    scores = np.random.default_rng(6).gamma(3.0, size=80)
    # Kernel by kernel: Scott's width is s N^(-1/5).
    s = scores.std(ddof=1)
    grid = np.linspace(scores.min() - s, scores.max() + s, 10_000)
    width = s * 80 ** (-1 / 5)
    share = np.cumsum(stats.norm.pdf(grid[:, None], scores, width).sum(axis=1))
    expected = np.interp(0.95, share / share[-1], grid)
    assert KernelDensity().fit(scores).threshold(0.05) == pytest.approx(expected, rel=1e-12)
    rule = KernelDensity().fit(scores)
    assert rule.p_value([rule.threshold(a) for a in (0.01, 0.3)]) == pytest.approx([0.01, 0.3])
    assert rule.p_value([-math.inf, math.inf]).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("scale", [1e-160, 1e-6, 1e150])
def test_the_density_rule_knows_no_scale(scale):
    scores = np.random.default_rng(6).gamma(3.0, size=80)
    threshold = KernelDensity().fit(scores * scale).threshold(0.05)
    assert threshold == pytest.approx(KernelDensity().fit(scores).threshold(0.05) * scale, rel=1e-9)


def test_a_threshold_is_the_same_whatever_was_calibrated():
    for own in ([1e-6, 2e-6], [3.0]):
        rule = Threshold().fit(own)
        assert [rule.threshold(rate) for rate in (0.001, 0.5)] == [1e-4, 1e-4]
        scores = [0.0, 1e-4, np.nextafter(1e-4, 1), math.inf]
        assert rule.p_value(scores).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert Threshold().keeps is None and not Threshold().heeds_rate


# One-sided critical values: Grubbs and Beck, Technometrics 14 (1972), table 1.
@pytest.mark.parametrize(
    ("num", "alpha", "critical"),
    [
        *[(3, 0.05, 1.153), (4, 0.05, 1.463), (5, 0.05, 1.672), (10, 0.05, 2.176)],
        *[(20, 0.05, 2.557), (30, 0.05, 2.745), (50, 0.05, 2.956)],
        *[(4, 0.01, 1.492), (5, 0.01, 1.749), (10, 0.01, 2.410), (20, 0.01, 2.884)],
        *[(100, 0.01, 3.600)],
    ],
)
def test_grubbs_threshold_is_the_published_critical_value(num, alpha, critical):
    scores = np.random.default_rng(num).gamma(2.0, size=num)
    bound = (Grubbs().fit(scores).threshold(alpha) - scores.mean()) / scores.std(ddof=1)
    assert bound == pytest.approx(critical, abs=1.1e-3)


def test_grubbs_at_100_scores_is_the_formulas_value_just_over_the_exact_one():
    scores = np.random.default_rng(100).normal(size=100)
    bound = (Grubbs().fit(scores).threshold(0.05) - scores.mean()) / scores.std(ddof=1)
    assert bound == pytest.approx(3.2095, abs=1e-4)
    # The table is exact, 3.207; the formula counts no overlaps, so it errs on the accepting side.
    assert 3.207 < bound < 3.207 + 3e-3


@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=40).filter(lambda x: np.std(x) > 1e-3),
    rates,
)
@settings(deadline=None)
def test_grubbs_p_at_the_threshold_is_alpha(belonging, alpha):
    rule = Grubbs().fit(belonging)
    # Near the end of the range p falls steeply, so the two are compared where rounding allows.
    beside = rule.threshold(alpha) + np.array([-1e-9, 1e-9])
    p_under, p_over = rule.p_value(beside)
    assert p_under >= alpha >= p_over


def test_grubbs_p_is_the_bonferroni_tail_of_student_t():
    scores = np.arange(12.0)
    mean, deviation, num = scores.mean(), scores.std(ddof=1), scores.size
    for z in (0.5, 1.5, 2.0, 2.5, 3.0):
        t = math.sqrt(z**2 * num * (num - 2) / ((num - 1) ** 2 - num * z**2))
        expected = min(1.0, num * stats.t.sf(t, num - 2))
        assert Grubbs().fit(scores).p_value([mean + z * deviation]) == pytest.approx(
            [expected], rel=1e-9
        )


def test_grubbs_p_is_one_under_the_mean_and_zero_beyond_the_largest_possible_value():
    scores = np.arange(5.0)  # mean 2, (N - 1) / sqrt(N) = 1.789 sample deviations of 1.581
    assert Grubbs().fit(scores).p_value([-math.inf, 0.0, 2.0]).tolist() == [1.0, 1.0, 1.0]
    assert Grubbs().fit(scores).p_value([4.83, 1e6, math.inf]).tolist() == [0.0, 0.0, 0.0]
    assert Grubbs().fit(scores).p_value([4.82])[0] > 0.0


def test_grubbs_at_100_scores_rejects_a_thousandth_of_normal_scores_not_a_twentieth():
    calibrations = np.random.default_rng(1).normal(size=(1000, 100))
    rejected = [stats.norm.sf(Grubbs().fit(scores).threshold(0.05)) for scores in calibrations]
    assert np.mean(rejected) == pytest.approx(0.001, abs=2e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-5, 1 / 3])
@pytest.mark.parametrize("rule", RULES[2:])
def test_of_equal_scores_the_common_value_is_accepted_and_nothing_above(rule, value):
    fitted = rule.fit([value] * 7)
    assert fitted.threshold(0.05) == value
    assert fitted.p_value([0.0, value, value + 1e-9]).tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("rule", RULES)
def test_p_never_rises_with_the_score_and_nor_does_the_threshold_with_alpha(rule):
    fitted = rule.fit(np.random.default_rng(2).random(50))
    p = fitted.p_value(np.linspace(-1, 3, 200))
    assert p.dtype == np.float64
    assert (np.diff(p) <= 0).all()
    assert (p >= 0).all() and (p <= 1).all()
    thresholds = [fitted.threshold(alpha) for alpha in (0.03, 0.1, 0.3, 0.9)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert fitted.p_value([]).shape == (0,)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_a_value_that_goes_through_json(rule):
    again = Rule.from_json(json.loads(json.dumps(rule.to_json())))
    assert again == rule and hash(again) == hash(rule) and type(again) is type(rule)
    scores = np.random.default_rng(3).random(40)
    assert again.fit(scores).p_value(scores).tolist() == rule.fit(scores).p_value(scores).tolist()


def test_every_rule_of_the_package_is_known_by_its_kind():
    assert {"conformal", "grubbs", "t", "kde", "threshold"} <= set(kinds_of(Rule))
    for values, message in [
        ({"kind": "grubs"}, "unknown rule 'grubs'.*did you mean 'grubbs'.*must be registered"),
        ({"kind": "t", "k": 1}, "PredictionInterval has no 'k'"),
        ({"kind": "conformal", "confidence": "1"}, "confidence must lie strictly"),
        ("conformal", "made of values by name"),
    ]:
        with pytest.raises(ValueError, match=message):
            Rule.from_json(values)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: Conformal().fit([]),
            "conformal rule needs at least 1 belonging scores",
        ),
        (lambda: Grubbs().fit([1, 2]), "the grubbs rule needs at least 3 belonging scores; got 2"),
        (
            lambda: PredictionInterval().fit([1]),
            "the t rule needs at least 2 belonging scores",
        ),
        (lambda: KernelDensity().fit([1]), "the kde rule needs at least 2 belonging scores; got 1"),
        (lambda: Threshold().fit([]), "the threshold rule needs at least 1 belonging scores"),
        (lambda: Threshold(math.inf), "value must be finite and 0 or more, not inf"),
        (lambda: Threshold(-1), "value must be finite and 0 or more, not -1"),
        (lambda: Threshold("1e-4"), "value must be a number, not '1e-4'"),
        (lambda: Conformal(1), "confidence must lie strictly between 0 and 1"),
        (
            lambda: Conformal().fit([1, math.nan]),
            "belonging scores hold 1 NaN, the first",
        ),
        (lambda: Grubbs().fit([1, 2, math.inf]), "must be finite"),
        (lambda: Conformal().fit([[1.0]]), r"shape \[N\]; got shape \[1, 1\]"),
        (lambda: Conformal().fit(["1"]), "must be a row of numbers"),
        (lambda: Conformal().fit([[1], [1, 2]]), "must be a row of numbers"),
        (
            lambda: Conformal().fit([1]).p_value([2, math.nan]),
            "scores hold 1 NaN, the first",
        ),
        (lambda: Conformal().fit([1]).p_value(1.0), r"got shape \[\]"),
        (
            lambda: Conformal().fit([1]).threshold(0),
            "must lie strictly between 0 and 1; got 0",
        ),
        (
            lambda: Grubbs().fit([1, 2, 3]).threshold(1),
            "must lie strictly between 0 and 1; got 1",
        ),
        (lambda: Grubbs().fit([1, 2, 3]).threshold(math.nan), "got nan"),
    ],
)
def test_wrong_input_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
