import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jax_origin.calibration import (
    CalibrationError,
    ForeignGroup,
    attribution_threshold,
    false_attribution_limits,
    limits_of_q,
    shared_images,
)
from jax_origin.calibration.false_attribution import TooFewNegatives, negatives_needed, upper_limit


def group(scores, independent=None, **options):
    return ForeignGroup(np.asarray(scores, float), independent or len(scores), **options)


@pytest.mark.parametrize(
    ("false", "num", "limit"),
    # Clopper and Pearson's tables, and -log(0.05) / n where none is false.
    [(0, 10, 0.2589), (0, 299, 0.00997), (0, 2995, 0.001), (1, 10, 0.3942), (5, 20, 0.4556)],
)
def test_upper_limits_are_the_published_ones(false, num, limit):
    assert upper_limit(false, num) == pytest.approx(limit, rel=3e-3)
    exact = stats.binomtest(false, num, alternative="less").proportion_ci(0.95, "exact").high
    assert upper_limit(false, num) == pytest.approx(exact, rel=1e-9)


def test_all_of_them_false_leaves_no_limit():
    assert upper_limit(7, 7) == 1.0


@pytest.mark.parametrize(
    ("rate", "false", "needed"), [(0.01, 0, 299), (0.001, 0, 2995), (0.01, 1, 473), (0.5, 3, 13)]
)
def test_negatives_needed_are_the_fewest_that_support_the_rate(rate, false, needed):
    assert negatives_needed(rate, false=false) == needed
    assert upper_limit(false, needed) <= rate < upper_limit(false, needed - 1)


def test_the_threshold_is_the_least_of_the_groups_bounds():
    # 1 of 100 supports 4.7%, 2 of 100 do not (6.2%); of 200, 5 support 5.2% and 4 4.5%.
    near, far = group(np.arange(100.0)), group(np.arange(200) + 50.0)
    found = attribution_threshold({"near": near, "far": far}, rate=0.05)
    assert found.allowed == {"near": 1, "far": 4}
    assert found.limits["near"] == pytest.approx(0.0466, abs=1e-4)
    assert found.below == 1.0 and found.accepting == np.nextafter(1.0, 0)
    assert attribution_threshold({"far": far}, rate=0.05).below == 54.0
    assert all(limit <= 0.05 for limit in found.limits.values())


def test_a_rate_that_the_counts_cannot_support_is_refused_with_what_is_lacking():
    groups = {"photos": group(np.arange(3000)), "sdxl": group(np.arange(95))}
    with pytest.raises(TooFewNegatives, match="needs 2995 independent negatives") as caught:
        attribution_threshold(groups, rate=0.001)
    assert caught.value.more == {"sdxl": 2900}
    assert "2900 more of 'sdxl'" in str(caught.value) and "photos" not in str(caught.value)
    # 95 with none below support 1 - 0.05^(1/95).
    assert str(caught.value).endswith("95 support no rate under 0.0311")
    many = {f"g{i}": group(np.arange(90 + i)) for i in range(9)}
    with pytest.raises(TooFewNegatives, match="'g0', 208 more of 'g1' and up to 207 more of 7 oth"):
        attribution_threshold(many, rate=0.01)
    groups["sdxl"] = group(np.arange(2995))
    assert attribution_threshold(groups, rate=0.001).below == 0.0


def test_crops_of_one_photograph_count_once():
    scores, sources = np.arange(300.0), np.repeat(np.arange(60), 5)
    with pytest.raises(TooFewNegatives) as caught:
        attribution_threshold({"photos": group(scores, 60)}, rate=0.01)
    assert caught.value.more == {"photos": 239}
    # 0 of 60 supports 4.9%. With three sources allowed, only knowing which is which helps.
    by_number = attribution_threshold({"photos": group(scores, 60)}, rate=0.13)
    by_source = attribution_threshold({"photos": group(scores, 60, sources=sources)}, rate=0.13)
    assert by_number.allowed == by_source.allowed == {"photos": 3}
    assert (by_number.below, by_source.below) == (3.0, 15.0)
    assert group(scores, 60).num_false(6.0) == 7
    assert group(scores, 60, sources=sources).num_false(6.0) == 2
    assert group(scores, 60).num_false(200.0) == 60


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=30))
@settings(deadline=None)
def test_sources_are_counted_by_their_lowest_score(pairs):
    scores, sources = zip(*pairs, strict=True)
    num = len(set(sources))
    known, unknown = group(scores, num, sources=sources), group(scores, num)
    for accepting in range(-1, 10):
        false = {source for score, source in pairs if score <= accepting}
        assert known.num_false(accepting) == len(false) <= unknown.num_false(accepting)


def test_limits_are_by_group_and_the_worst_is_the_largest_never_the_pooled_one():
    groups = {"easy": group(np.full(2000, 9.0)), "hard": group([0.5, *np.full(29, 9.0)])}
    report = false_attribution_limits(groups, accepting=1.0)
    assert report.groups["easy"][:2] == (0, 2000) and report.groups["hard"][:2] == (1, 30)
    assert report.worst == report.groups["hard"].limit == upper_limit(1, 30)
    assert report.worst > 40 * upper_limit(1, 2030)
    assert report.groups["hard"].joint_limit == upper_limit(1, 30, confidence=0.975)
    assert false_attribution_limits(groups, accepting=-np.inf).groups["hard"].false == 0


def test_no_bound_is_given_on_negatives_that_a_choice_used():
    groups = {
        "chosen": group(np.arange(400) + 1, used_for=("recipe",)),
        "fresh": group(np.arange(400) + 1),
    }
    report = false_attribution_limits(groups, accepting=1.0)
    used = report.groups["chosen"]
    assert used == (1, 400, None, None, ("recipe",))
    assert report.worst == report.groups["fresh"].limit
    # Only one group has a limit, so there is nothing to correct for.
    assert report.groups["fresh"].joint_limit == report.groups["fresh"].limit
    with pytest.raises(ValueError, match="'chosen' was used for recipe: a threshold with"):
        attribution_threshold(groups, rate=0.05)
    found = attribution_threshold({"fresh": groups["fresh"]}, rate=0.05)
    after = false_attribution_limits(found.foreign, accepting=found.accepting)
    assert after.worst is None and after.groups["fresh"].used_for == ("threshold",)


@pytest.mark.parametrize("sizes", [(300,), (100, 100, 100), (60, 300, 1000)])
@pytest.mark.parametrize("scales", [(1.0, 1.0, 1.0), (1.0, 0.8, 3.0)])
def test_the_worst_group_is_over_the_wanted_rate_as_rarely_as_promised(sizes, scales):
    rng, draws, wanted = np.random.default_rng(0), 600, 0.05
    rates = np.zeros(draws)
    for draw in range(draws):
        foreign = {
            str(i): group(scale * rng.random(num))
            for i, (num, scale) in enumerate(zip(sizes, scales, strict=False))
        }
        below = attribution_threshold(foreign, rate=wanted).below
        # The uniform distribution function, of the group that is worst.
        rates[draw] = max(min(1.0, below / scale) for scale in scales[: len(sizes)])
    # Three standard errors of the promised 5% are 2.7%.
    assert np.mean(rates > wanted) < 0.05 + 0.027


@pytest.mark.parametrize("true_rates", [(0.02,) * 4, (0.001, 0.01, 0.05, 0.2)])
def test_reported_limits_cover_the_true_rates_as_often_as_promised(true_rates):
    rng, draws, num = np.random.default_rng(1), 600, 120
    under = over = 0
    for _ in range(draws):
        foreign = {
            str(i): group((rng.random(num) > rate).astype(float))
            for i, rate in enumerate(true_rates)
        }
        report = false_attribution_limits(foreign, accepting=0.0)
        under += report.worst < max(true_rates)
        limits = [limit.joint_limit for limit in report.groups.values()]
        over += any(limit < rate for limit, rate in zip(limits, true_rates, strict=True))
    assert under / draws < 0.05 + 0.027
    assert over / draws < 0.05 + 0.027


def test_limits_of_q_are_those_of_the_ranks_it_allows():
    groups = {
        "hundred": group(np.arange(100.0)),
        "many": group(np.arange(999.0)),
        "few": group(np.arange(50.0)),
        "crops": group(np.arange(100.0), 7),
        "browsed": group(np.arange(100.0), used_for=["recipe"]),
    }
    found = limits_of_q(groups, rate=0.01)
    # q <= 0.01 needs a score under all of 100, under all but 9 of 999, and no score of 50 sources
    # or fewer does it.
    assert {name: g.false for name, g in found.groups.items()} == {
        **dict.fromkeys(("hundred", "few", "crops", "browsed"), 0),
        "many": 9,
    }
    limits = {name: g.limit for name, g in found.groups.items()}
    assert limits == {
        "hundred": upper_limit(0, 100),
        "many": upper_limit(9, 999),
        "few": 0.0,
        "crops": 0.0,  # of 7 sources: too few, however many scores they have
        "browsed": None,
    }
    assert found.worst == limits["hundred"]
    joint = found.groups["hundred"].joint_limit
    assert joint == pytest.approx(upper_limit(0, 100, confidence=1 - 0.05 / 4))
    assert limits_of_q({"crops": groups["crops"]}, rate=0.5).worst == upper_limit(3, 7)


@pytest.mark.parametrize(("num", "beta"), [(100, 0.01), (199, 0.05)])
def test_limits_of_q_hold_although_the_same_groups_decide(num, beta):
    rng, draws, over = np.random.default_rng(0), 2000, 0
    (limit,) = (g.limit for g in limits_of_q({"a": group(np.ones(num))}, rate=beta).groups.values())
    allowed = round(beta * (num + 1)) - 1
    for _ in range(draws):
        # Uniform scores: the rate of a score strictly under the bound is the bound itself.
        over += np.sort(rng.uniform(size=num))[allowed] > limit
    assert over / draws == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / draws))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: attribution_threshold({}, rate=0.1), "there is no foreign group"),
        (lambda: attribution_threshold({"a": group([1])}, rate=0), "rate must lie strictly"),
        (
            lambda: false_attribution_limits({"a": group([1])}, accepting=np.nan),
            "accepting must be a",
        ),
        (lambda: upper_limit(3, 2), "got 3 of 2"),
        (lambda: upper_limit(0, 0), "got 0 of 0"),
        (lambda: negatives_needed(0.1, false=-1), "false must be a whole number"),
        (lambda: upper_limit(0, 5, confidence=1.0), "confidence must lie strictly"),
    ],
)
def test_wrong_input_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": [0]}, "sources must hold a whole number, 0 or more, for each of the 2"),
        ({"sources": [0, -1]}, "sources must hold a whole number"),
        ({"sources": [0.0, 1.0]}, "sources must hold a whole number"),
        ({"sources": [3, 3]}, "sources name 1 different sources, independent says 2"),
        ({"used_for": "threshold"}, "used_for must hold words"),
        ({"used_for": [""]}, "used_for must hold words"),
        ({"digests": "0a"}, "digests must hold a word for each"),
        ({"digests": ["0a", "0 b"]}, "digests must hold a word for each"),
        ({"digests": ["0a"]}, "digests are of 1 images, scores of 2"),
    ],
)
def test_unsound_groups_are_refused(options, message):
    with pytest.raises(CalibrationError, match=message):
        group([0.1, 0.2], **options)


def test_images_that_two_groups_have_in_common_are_counted():
    groups = {
        "a": group([1, 2, 3], digests=["x", "y", "z"]),
        "b": group([1, 2, 3], digests=["z", "w", "x"]),
        "c": group([1], digests=["q"]),
        "old": group([1]),
    }
    assert shared_images(groups) == {("a", "b"): 2}
