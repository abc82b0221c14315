import numpy as np
import pytest

from jax_origin.calibration import Conformal, ForeignGroup, NearestGroup
from jax_origin.evidence import attributions, discovery_power, exclusions


def test_exclusions_are_benjamini_and_hochbergs():
    # Their paper's example: 15 p-values, four rejected at 0.05.
    p = [
        *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
        *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
    ]
    assert exclusions(p).tolist() == [True] * 4 + [False] * 11
    # Yekutieli's factor for 15 tests is 3.318: p_(3) <= 3/15 x 0.05 / 3.318 = 0.00301.
    assert exclusions(p, method="by").tolist() == [True] * 3 + [False] * 12
    assert exclusions(np.transpose([p, p])).shape == (15, 2)
    assert exclusions([]).tolist() == []


def test_several_candidates_or_groups_are_held_to_any_dependence():
    p = [0.001, 0.02, 0.03, 0.04]
    assert exclusions(p).all() and exclusions(np.transpose([p])).all()
    assert exclusions([p, p]).sum() < 8 == exclusions([p, p], method="bh").sum()
    assert attributions(p, num_groups=1).all()
    assert not attributions(p, num_groups=2).all()
    assert attributions(p, num_groups=2, method="bh").all()


def test_the_power_note_is_what_the_procedure_does():
    power = discovery_power(100, num_tests=1000)
    assert power.least_p == pytest.approx(1 / 101)
    assert power.needed_share == pytest.approx(0.198, abs=1e-3)
    assert power.needed_scores == 19_999
    assert "discovers nothing unless 0.2 of all tests have it" in power.note
    for count, found in ((198, False), (199, True)):
        p = np.where(np.arange(1000) < count, 1 / 101, 1.0)
        assert exclusions(p).any() == found
    one = np.where(np.arange(1000) < 1, 1 / (power.needed_scores + 1), 1.0)
    assert exclusions(one).sum() == 1
    one[0] = 1 / power.needed_scores
    assert not exclusions(one).any()
    hopeless = discovery_power(100, num_tests=10_000, method="by")
    assert hopeless.needed_share > 1 and "can discover nothing" in hopeless.note
    assert not exclusions(np.full(10_000, 1 / 101), method="by").any()


@pytest.mark.parametrize(("share", "num"), [(0.1, 999), (0.5, 200)])
def test_realised_false_discoveries_stay_under_the_rate(share, num):
    rng, images, rate = np.random.default_rng(0), 200, 0.1
    foreign = np.arange(images) < share * images
    false_bh, false_by, found = [], [], []
    for _ in range(400):
        # One calibration for all images, whose p-values therefore depend on each other.
        rule = Conformal().fit(rng.normal(size=num))
        p = rule.p_value(rng.normal(np.where(foreign, 4.0, 0.0)))
        for method, false in (("bh", false_bh), ("by", false_by)):
            excluded = exclusions(p, rate=rate, method=method)
            false.append((excluded & ~foreign).sum() / max(1, excluded.sum()))
        found.append(exclusions(p, rate=rate)[foreign].mean())
    # Three standard errors; the procedure's own rate is that of the images that belong.
    assert np.mean(false_bh) < rate * (1 - share) + 3 * np.std(false_bh) / 20
    assert np.mean(false_bh) > 0.5 * rate * (1 - share)
    assert np.mean(false_by) < np.mean(false_bh)
    assert np.mean(found) > 0.9


def test_realised_false_attributions_over_groups_stay_under_the_rate():
    rng, rate, false = np.random.default_rng(1), 0.1, []
    belongs = np.arange(100) < 30
    for _ in range(200):
        groups = {
            name: ForeignGroup(np.exp(rng.normal(mean, 1, 999)), 999)
            for name, mean in (("a", 4), ("b", 4.5))
        }
        means = np.where(belongs, 0.0, rng.choice([4, 4.5], 100))
        q = NearestGroup(groups).q(np.exp(rng.normal(means, 1)))
        attributed = attributions(q, num_groups=2, rate=rate)
        false.append((attributed & ~belongs).sum() / max(1, attributed.sum()))
    assert np.mean(false) < rate


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: exclusions([0.1], score_kinds=["full", "upper_bound"]), "1 of the scores are upp"),
        (lambda: attributions([0.1], num_groups=1, score_kinds="upper_bound"), "--full_scores"),
        (lambda: exclusions([1.1]), r"p must lie in \[0, 1\]"),
        (lambda: attributions([np.nan], num_groups=1), r"q must lie in \[0, 1\]"),
        (lambda: attributions([0.1], num_groups=0), "num_groups must be at least 1"),
        (lambda: exclusions(0.1), "got 0 axes"),
        (lambda: exclusions([0.1], method="holm"), "method must be"),
        (lambda: exclusions([0.1], rate=0), "rate must lie strictly"),
        (lambda: discovery_power(0, num_tests=1), "must be at least 1; got 0 and 1"),
        (lambda: discovery_power(1, num_tests=1, method="x"), "method must be"),
    ],
)
def test_wrong_input_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_full_scores_pass():
    assert exclusions([0.001], score_kinds=["full", None]).all()
