import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_origin.calibration import (
    AS_MADE,
    Calibration,
    CalibrationError,
    ForeignGroup,
    origin_and_condition,
)
from jax_origin.evidence import (
    LogisticRatio,
    PavRatio,
    Ratios,
    cautious_log10_lr,
    cllr,
    cllr_interval,
    cross_fitted,
    leave_one_group_out,
    pav_points,
    scores_under,
    tippett,
)
from jax_origin.evidence.ratios import pooled_log10_lr


def group(scores, independent=None, **options):
    return ForeignGroup(np.asarray(scores, float), independent or len(scores), **options)


BELONGING, PHOTOS = np.linspace(0.01, 0.1, 100), group(np.linspace(1, 2, 100))
MODELS = (PavRatio, LogisticRatio, partial(LogisticRatio, floor=1e-5))


@pytest.mark.parametrize("model", MODELS)
def test_fully_separated_scores_support_one_over_the_upper_limit_of_none(model):
    # 0 of 200 is at most 1 - 0.05^(1 / 200) = 1.49% at 95%: one in 67.
    most = 1 / (1 - 0.05 ** (1 / 200))
    assert round(most) == 67
    ratio = model(np.linspace(0.01, 0.1, 200), group(np.linspace(1, 2, 200)))
    low, high = ratio.log10_lr([5.0, 1e-9])
    assert (low, high) == pytest.approx(ratio.limits) == (-math.log10(most), math.log10(most))
    # Each bound is that of its own count: 0 of 9 own images is at most 28%.
    few = model(np.linspace(0.01, 0.1, 9), group(np.linspace(1, 2, 200)))
    assert 10 ** few.limits[0] == pytest.approx(1 - 0.05 ** (1 / 9))
    assert few.limits[1] == pytest.approx(math.log10(most))


@pytest.mark.parametrize("model", MODELS)
def test_misleading_scores_lower_the_cap_from_where_they_lie(model):
    # One of 100 foreign scores lies among the own: at and over it, 1 of 100 is at most 4.66%.
    ratio = model(BELONGING, group([0.03, *np.linspace(1, 2, 99)]))
    under, over = 10 ** ratio.log10_lr([0.029, 0.03])
    assert over == pytest.approx(1 / 0.04656, rel=1e-3) and over < under


@pytest.mark.parametrize("model", MODELS)
def test_between_own_and_foreign_scores_there_is_no_data(model):
    ratio = model(BELONGING, PHOTOS)
    inside = ratio.log10_lr([0.1001, 0.5, 0.999])
    assert np.isnan(inside).all()
    # At the outermost calibration scores, and beyond them, there is.
    own, foreign = ratio.log10_lr([0.1, 1.0])
    assert own > 1 and foreign < -1
    # An own image among the foreign scores leaves the gap as it is, one inside it parts it.
    stray = model([*BELONGING, 1.5], PHOTOS).log10_lr([0.5])
    assert np.isnan(stray).all()
    parted = model([*BELONGING, 0.5], PHOTOS).log10_lr([0.3, 0.5, 0.7])
    assert np.isnan(parted).tolist() == [False, False, True]


def test_a_ratio_of_one_between_the_kinds_is_no_gap():
    # Own 1 to 9, both kinds at 10, foreign 11 to 19: as many of each at 10 say nothing.
    ratio = PavRatio(np.arange(1.0, 11), group(np.arange(10.0, 20)))
    values = ratio.log10_lr([9.5, 10.0, 10.5])
    assert values[0] > 0 > values[2] and values[1] == pytest.approx(0, abs=1e-12)


def test_pav_by_hand():
    # In rising order b f b b f, and f b f b b f b with the misleading ones. No share may rise:
    # (f b f b b) pools to 3/5, and (f b) to 1/2.
    ratio = PavRatio([1.0, 3.0, 4.0], group([2.0, 5.0]))
    # The odds before are 4/3. From 2 on, 1 of 2 foreign scores is as low: at most sqrt(0.95).
    expected = [9 / 8, *[1 / math.sqrt(0.95)] * 3, 3 / 4]
    assert 10 ** ratio.log10_lr([1, 2, 3, 4, 5]) == pytest.approx(expected)
    # Beyond the scores it is constant; between 4 and 5 is the gap.
    assert 10 ** ratio.log10_lr([0, 9]) == pytest.approx([expected[0], expected[4]])
    assert np.isnan(ratio.log10_lr([4.001, 4.999])).all()


def test_pav_interpolates_between_blocks_on_one_side_of_one():
    # f b b b | b f b f ... pools to 3/4 up to 3 and to 1/2 over 4 to 7, before odds of 8/8.
    ratio = PavRatio([1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 9.0], group([5.0, 7.0, *range(10, 15)]))
    block, other = ratio.log10_lr([3.0, 4.0])
    assert ratio.log10_lr([3.5])[0] == pytest.approx((block + other) / 2)


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=30),
    st.lists(st.integers(1, 9), min_size=1, max_size=30),
    st.sampled_from(MODELS),
)
@settings(deadline=None, max_examples=150)
def test_ratios_fall_with_the_score_and_stay_within_the_counts(belonging, foreign, model):
    ratio = model(belonging, group(foreign))
    values = ratio.log10_lr(np.linspace(0.1, 12, 200))
    known = values[~np.isnan(values)]
    assert np.isfinite(known).all() and (np.diff(known) <= 1e-12).all()
    assert known.max() <= -math.log10(1 - 0.05 ** (1 / len(foreign))) + 1e-12
    assert known.min() >= math.log10(1 - 0.05 ** (1 / len(belonging))) - 1e-12
    # A calibration score always has a ratio, and what has none lies between two neighbours.
    scores = {*belonging, *foreign}
    assert np.isfinite(ratio.log10_lr(sorted(scores))).all()
    gap = np.linspace(0.1, 12, 200)[np.isnan(values)]
    assert not gap.size or not any(gap[0] <= score <= gap[-1] for score in scores)


@pytest.mark.parametrize("model", MODELS)
def test_ratios_are_those_of_known_densities(model):
    rng = np.random.default_rng(0)
    # Log-normal scores: the log ratio is a straight line in log score.
    belonging, foreign = np.exp(rng.normal(0, 1, 4000)), np.exp(rng.normal(2, 1, 4000))
    points = np.array([-0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    true = ((points - 2) ** 2 - points**2) / 2 / math.log(10)
    found = model(belonging, group(foreign)).log10_lr(np.exp(points))
    assert found == pytest.approx(true, abs=0.2)


def test_a_source_counts_once_however_many_its_crops():
    ten = group(np.linspace(1, 2, 100), 10)
    named = group(np.linspace(1, 2, 100), 10, sources=np.arange(100) // 10)
    for model in MODELS:
        for foreign in (ten, named):
            assert model(BELONGING, foreign).limits[1] < math.log10(11)
    uneven = group([1.0, 1.0, 1.0, 5.0], 2, sources=[7, 7, 7, 8])
    assert uneven.weights() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])


def test_beyond_the_calibration_scores_the_ratio_is_constant():
    rng = np.random.default_rng(7)
    for model in MODELS:
        # Of scores that say little, a straight line would in the end say much.
        ratio = model(rng.uniform(1, 2, 50), group(rng.uniform(1, 2, 50)))
        low, high = ratio.log10_lr([1e3, 1e-3])
        assert ratio.log10_lr([1e9, 1e-9]) == pytest.approx([low, high])
        assert (low, high) == pytest.approx(ratio.limits) and high < 0.5


def test_logistic_needs_a_logarithm():
    with pytest.raises(ValueError, match="no logarithm: give a floor over 0"):
        LogisticRatio([0.0, 0.1], PHOTOS)
    floored = LogisticRatio([0.0, 0.1], PHOTOS, floor=1e-5)
    assert floored.log10_lr([0.0]) == floored.log10_lr([1e-5])
    same = LogisticRatio([1.0, 1.0], group([1.0, 1.0]))
    assert same.log10_lr([0.5, 1.0, 2.0]) == pytest.approx([0, 0, 0], abs=1e-6)


def test_ratios_are_by_group_and_a_mixture_has_to_be_named():
    foreign = {"photos": PHOTOS, "near": group(np.linspace(0.05, 0.2, 50))}
    ratios = cautious_log10_lr([0.02, 0.09, 1.5], BELONGING, foreign).by_group
    assert list(ratios) == ["photos", "near"]
    assert ratios["photos"][1] > 1.5 > ratios["near"][1]
    half = pooled_log10_lr(ratios, {"photos": 0.5, "near": 0.5})
    by_hand = 1 / (0.5 * 10.0 ** -ratios["photos"] + 0.5 * 10.0 ** -ratios["near"])
    assert 10**half == pytest.approx(by_hand)
    only = pooled_log10_lr(ratios, {"near": 1.0, "photos": 0.0})
    assert only == pytest.approx(ratios["near"])
    # A group without data is missed in every mixture that it is in, and in no other.
    gap = {"photos": [math.nan], "near": [0.5]}
    assert np.isnan(pooled_log10_lr(gap, {"photos": 0.01, "near": 0.99})).all()
    assert pooled_log10_lr(gap, {"photos": 0.0, "near": 1.0}) == pytest.approx([0.5])


def test_upper_bounds_have_no_ratio():
    with pytest.raises(ValueError, match="1 of the scores are upper bounds"):
        cautious_log10_lr(
            [0.1, 0.2], BELONGING, {"photos": PHOTOS}, score_kinds=["full", "upper_bound"]
        )


@pytest.mark.parametrize("model", MODELS)
def test_cross_fitted_ratios_know_nothing_of_their_own_score(model):
    rng = np.random.default_rng(3)
    # Scores that say nothing: fitted on themselves they would seem to.
    belonging, foreign = rng.random(60) + 0.1, group(rng.random(60) + 0.1)
    fitted = model(belonging, foreign)
    resubstituted = cllr(fitted.log10_lr(belonging), fitted.log10_lr(foreign.scores))
    crossed = cross_fitted(belonging, foreign, model=model)
    assert resubstituted.cllr < 1.0 < cllr(*crossed).cllr + 0.02
    assert cllr(*crossed).cllr > resubstituted.cllr
    again = cross_fitted(belonging, foreign, model=model)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(crossed, again, strict=True))
    # One fold at a time: a score's ratio does not move with its own value's neighbours in the fold.
    apart = cross_fitted(BELONGING, PHOTOS, model=model)
    assert isinstance(apart, Ratios) and cllr(*apart).cllr < 0.1


def test_a_source_stays_in_one_fold():
    sources = np.repeat(np.arange(10), 6)
    foreign = group(np.linspace(1, 2, 60), 10, sources=sources)
    crossed = cross_fitted(BELONGING, foreign, folds=10)
    # Each fold leaves out one whole source: the models know nine sources.
    assert 10 ** np.nanmax(crossed.belonging) == pytest.approx(1 / (1 - 0.05 ** (1 / 9)))
    with pytest.raises(CalibrationError, match="give the group's sources"):
        cross_fitted(BELONGING, group(np.linspace(1, 2, 60), 10), folds=5)
    with pytest.raises(ValueError, match="11 folds of 10 foreign sources"):
        cross_fitted(BELONGING, foreign, folds=11)


def test_the_outermost_scores_fall_into_the_gap_that_their_fold_leaves():
    crossed = cross_fitted(BELONGING, PHOTOS, folds=10)
    assert np.isnan(crossed.belonging).nonzero()[0].tolist() == [99]
    assert np.isnan(crossed.foreign).nonzero()[0].tolist() == [0]
    assert crossed.num_without_data == 2


def test_no_data_costs_as_much_as_a_ratio_of_one():
    nan = math.nan
    assert cllr([2.0, nan], [-2.0, -2.0]) == cllr([2.0, 0.0], [-2.0, -2.0])
    # Left out, it would cost nothing: half of the images at 1 bit each.
    assert cllr([math.inf, nan], [-math.inf, nan]).cllr == pytest.approx(0.5)
    same = [cllr_interval(own, [-2.0, -1.0], resamples=50) for own in ([2.0, nan], [2.0, 0.0])]
    assert same[0] == same[1]
    assert tippett([2.0, nan], [-1.0]).log10_lr.tolist() == [-1, 0, 2]
    assert tippett([2.0, nan], [-1.0]).belonging == pytest.approx([1, 1, 1 / 2])
    assert pav_points([2.0, nan], [-1.0])[0].tolist() == [-1, 0, 2]


def test_leaving_a_group_out_shows_where_ratios_do_not_carry_over():
    rng = np.random.default_rng(4)
    foreign = {
        "photos": group(rng.uniform(3, 4, 100)),
        "sdxl": group(rng.uniform(3, 4, 100)),
        "sibling": group(rng.uniform(0.0, 0.12, 100)),
    }
    found = leave_one_group_out(BELONGING, foreign)
    costs = {name: cllr(*ratios).cllr for name, ratios in found.items()}
    assert costs["sibling"] > 2 and costs["photos"] < 0.6 and costs["sdxl"] < 0.6
    assert {name: len(r.foreign) for name, r in found.items()} == dict.fromkeys(foreign, 100)
    with pytest.raises(ValueError, match="at least two; got 1"):
        leave_one_group_out(BELONGING, {"photos": PHOTOS})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cautious_log10_lr([1.0], BELONGING, {}), "there is no foreign group"),
        (lambda: cautious_log10_lr([1.0], [], {"a": PHOTOS}), "at least 1 belonging scores"),
        (lambda: cautious_log10_lr([math.inf], [1.0], {"a": PHOTOS}), "scores must be finite"),
        (lambda: pooled_log10_lr({"a": [0.0]}, {"b": 1.0}), "names b, which have no ratios"),
        (lambda: pooled_log10_lr({"a": [0.0]}, {"a": 0.5}), "sum to 1"),
        (lambda: pooled_log10_lr({"a": [0.0], "b": [0.0]}, {"a": 2, "b": -1}), "0 or more"),
        (lambda: cllr([], [0.0]), "need at least one ratio of each kind; got 0 belonging"),
        (lambda: cllr([[1.0]], [0.0]), "belonging ratios must have one number for each image"),
        (lambda: cllr_interval([0.0], [0.0], resamples=0), "resamples must be at least 1"),
        (lambda: cllr_interval([0.0], [0.0], sources=[1, 2]), r"sources must be \[1\]"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_cllr_of_small_cases():
    assert cllr([0, 0], [0]) == (1.0, 1.0, 0.0)
    perfect = cllr([math.inf], [-math.inf])
    assert perfect == (0.0, 0.0, 0.0)
    # LR 3 and 1/3: log2(4/3) each way; perfectly ordered, so all of it is calibration.
    cost, discrimination, calibration = cllr([math.log10(3)], [-math.log10(3)])
    assert cost == calibration == pytest.approx(math.log2(4 / 3)) and discrimination == 0.0
    assert cllr([-math.inf], [0.0]).cllr == math.inf
    # LR 7 for a foreign image: (log2(2) + log2(8)) / 2; recalibration makes both say nothing.
    assert cllr([0.0], [math.log10(7)]) == pytest.approx((2.0, 1.0, 1.0))


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=20),
    st.lists(st.integers(-3, 3), min_size=1, max_size=20),
)
@settings(deadline=None)
def test_no_rising_recalibration_beats_cllr_min(belonging, foreign):
    b, f = np.array(belonging, float), np.array(foreign, float)
    least = cllr(b, f).discrimination
    assert -1e-12 <= least <= 1 + 1e-12
    assert cllr(b, f).calibration >= -1e-12
    for rescale in (lambda x: 0 * x, lambda x: x / 3, lambda x: x + 1, lambda x: np.sign(x) * 9):
        assert cllr(rescale(b), rescale(f)).cllr >= least - 1e-12
        assert cllr(b * 2 - 5, f * 2 - 5).discrimination == pytest.approx(least)


@pytest.mark.outer
def test_the_bootstrap_interval_covers_as_often_as_stated():
    rng = np.random.default_rng(5)
    true = cllr(rng.normal(1, 1, 400_000), rng.normal(-1, 1, 400_000)).cllr
    held = 0
    for i in range(200):
        found = cllr_interval(
            rng.normal(1, 1, 80), rng.normal(-1, 1, 80), resamples=200, confidence=0.9, seed=i
        )
        assert found.low <= found.value.cllr <= found.high
        held += found.low <= true <= found.high
    # Three standard errors are 6%; percentile intervals are a little short.
    assert 0.82 <= held / 200 <= 0.96


def test_sources_widen_the_interval():
    rng = np.random.default_rng(6)
    by_source = np.repeat(rng.normal(-1, 1, 12), 20)
    belonging, sources = rng.normal(3, 1, 200), np.repeat(np.arange(12), 20)
    narrow = cllr_interval(belonging, by_source)
    wide = cllr_interval(belonging, by_source, sources=sources)
    assert wide.value == narrow.value
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_the_points_of_the_plots():
    points = tippett([1.0, 2.0, 2.0], [-1.0, 1.0])
    assert points.log10_lr.tolist() == [-1, 1, 2]
    assert points.belonging == pytest.approx([1, 1, 2 / 3])
    assert points.foreign == pytest.approx([1, 1 / 2, 0])
    ratios, recalibrated = pav_points([1.0, 2.0, 2.0], [-1.0, 1.0])
    assert ratios.tolist() == [-1, 1, 2]
    assert recalibrated == pytest.approx([-math.inf, math.log10((1 / 3) / (1 / 2)), math.inf])


def test_the_cautious_ratio_is_the_nearest_to_one_of_any_mixture():
    groups = {"many": group(np.linspace(1, 2, 100)), "few": group(np.linspace(1.5, 3, 10))}
    scores = [0.001, 0.5, 1.2, 2.0]
    found = cautious_log10_lr(scores, BELONGING, groups)
    many, few = found.by_group["many"], found.by_group["few"]
    assert PavRatio(BELONGING, groups["few"]).log10_lr([0.001, 2.0]) == pytest.approx(few[[0, 3]])
    # 0 of 10 supports 3.9, 0 of 100 33: for belonging the cautious one is the least.
    assert found.log10_lr[0] == few[0] < many[0] and found.against[0] == "few"
    # In the gap of all groups there is no data. What lies in that of one alone, and over own images
    # by the other, is judged by the other.
    assert np.isnan(found.log10_lr[1]) and np.isnan(few[2])
    assert found.log10_lr[2] == many[2] < 0 and found.against[2] == "many"
    # So it is in whichever order the groups come.
    turned = cautious_log10_lr(scores, BELONGING, dict(reversed(groups.items())))
    assert turned.log10_lr[2] == many[2] and turned.against[2] == "many"
    # Against belonging it is the largest under 1.
    assert found.log10_lr[3] == max(many[3], few[3]) < 0
    for i, name in enumerate(found.against):
        assert (found.low[i], found.high[i]) == PavRatio(BELONGING, groups[name]).limits
    for share in (0.0, 0.3, 1.0):
        pooled = pooled_log10_lr(found.by_group, {"many": share, "few": 1 - share})
        assert abs(found.log10_lr[0]) <= abs(pooled[0]) + 1e-12
        assert abs(found.log10_lr[3]) <= abs(pooled[3]) + 1e-12
    with pytest.raises(ValueError, match="no foreign group"):
        cautious_log10_lr(scores, BELONGING, {})
    with pytest.raises(ValueError, match="upper bounds"):
        cautious_log10_lr(scores, BELONGING, groups, score_kinds=["upper_bound"])


def test_groups_that_disagree_are_no_evidence():
    class Fixed:
        limits = (-1.0, 1.0)

        def __init__(self, belonging, foreign):
            self.log10_lr = lambda scores: np.full(len(scores), foreign.scores[0] - 5)

    def cautious(*ratios):
        groups = {f"{ratio}": group([ratio + 5.0]) for ratio in ratios}
        found = cautious_log10_lr([0.0], [0.0], groups, model=Fixed)
        return found.log10_lr[0], found.against[0]

    assert cautious(0.5, -0.25, 1.0) == (0.0, "-0.25")
    assert cautious(0.5, 1.0) == (0.5, "0.5")
    assert cautious(-0.5, -1.0) == (-0.5, "-0.5")
    assert cautious(0.0, -1.0) == (0.0, "-1.0")


def test_scores_under_a_condition_are_those_edited_alike():
    names = ("photos", "photos after jpeg-75", "views after sunset")
    calibration = Calibration(
        generator={"name": "a", "fingerprint": "b", "latent_shape": [4], "image_shape": [8, 8, 3]},
        method={
            "name": "origin",
            "recipe": {},
            "score": {"kind": "loss"},
            "rule": {"kind": "conformal"},
            "decision": {"kind": "two_errors"},
            "rates": {"alpha": 0.01, "beta": 0.01},
            "floor": 0.02,
        },
        belonging=[0.01, 0.03],
        foreign={name: group([0.01, i + 1.0]) for i, name in enumerate(names)},
        conditions={"jpeg-75": [0.04], "jpeg-50": [0.05]},
        seed=0,
        keys={},
        packages={},
        platform="cpu",
    )
    own, foreign = scores_under(calibration, AS_MADE)
    assert own.tolist() == [0.02, 0.03]
    assert {name: g.scores.tolist() for name, g in foreign.items()} == {
        "photos": [0.02, 1.0],
        "views after sunset": [0.02, 3.0],
    }
    own, foreign = scores_under(calibration, "jpeg-75")
    assert own.tolist() == [0.04]
    assert {name: g.scores.tolist() for name, g in foreign.items()} == {"photos": [0.02, 2.0]}
    assert scores_under(calibration, "jpeg-50")[1] == {}
    assert scores_under(calibration, "blur")[0].size == 0
    assert origin_and_condition(names[1], calibration) == ("photos", "jpeg-75")
    assert origin_and_condition(names[2], calibration) == (names[2], AS_MADE)
