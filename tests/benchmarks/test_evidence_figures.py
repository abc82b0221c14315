"""The cost of likelihood ratios is what the counts behind them allow."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.ratio_costs import SHARES, ratio_cost_rows
from benchmarks.sampling import ProtocolError

RNG = np.random.default_rng(0)
OWN = RNG.lognormal(-13, 0.3, 100)
FAR = {"photos": RNG.lognormal(-5, 0.3, 100), "other": RNG.lognormal(-6, 0.3, 100)}


def least_ratio(num, lost=0):
    """What a ratio is at least: the upper 95% limit of a rate of which `lost` of num were seen."""
    return stats.beta.ppf(0.95, lost + 1, num - lost)


def test_the_cost_of_separated_scores_is_what_their_number_allows():
    found = ratio_cost_rows(OWN, FAR)
    # Fitted on 90 of each, ratios are 1 / 30.5 and 30.5. The one of each kind that is nearest to
    # the other kind lies in the gap that its own fold leaves: it has no ratio, and costs a bit.
    cost = 0.99 * math.log2(1 + least_ratio(90)) + 0.01
    assert cost == pytest.approx(0.056, abs=1e-4)
    for row in found:
        assert row["cllr"] == pytest.approx(cost)
        assert row["discrimination"] == pytest.approx(0.01)  # These two are not told apart.
        assert row["cllr_low"] <= row["cllr"] <= row["cllr_high"]
        assert row["calibration"] == pytest.approx(row["cllr"] - row["discrimination"])
    # A group farther than all that the ratios know is beyond their gap; they are fitted on all 100
    # of the other group. A nearer one lies in it.
    left_out = {row["group"]: row["left_out"] for row in found}
    beyond = math.log2(1 + least_ratio(100))
    assert left_out["photos"] == pytest.approx((0.99 * beyond + 0.01 + beyond) / 2)
    assert left_out["other"] > 0.3


def test_unrecovered_images_cost_what_they_must():
    own = np.random.default_rng(1).lognormal(-13, 0.3, 1000)
    foreign = np.random.default_rng(2).lognormal(-5, 0.3, 1000)
    (row,) = ratio_cost_rows(own, {"photos": foreign}, draws=2)
    costs = [row["cllr"], *(row[f"unrecovered_{share:g}"] for share in SHARES)]
    assert costs == sorted(costs)
    for share in SHARES:  # Of 900 that it is fitted on: the ratio of a foreign score is its limit.
        ratio = least_ratio(900, round(900 * share))
        bits = share * math.log2(1 + 1 / ratio) + (1 - share) * math.log2(1 + least_ratio(900))
        cost = (bits + math.log2(1 + ratio)) / 2
        assert row[f"unrecovered_{share:g}"] == pytest.approx(cost, rel=0.03)
    # By the same reckoning 2.9% cost 0.099, and 3% 0.101.
    assert 0.025 <= row["tolerated"] <= 0.03 and row["left_out"] is None
    (row,) = ratio_cost_rows(own, {"photos": foreign}, draws=2, target=0.001)
    assert row["tolerated"] is None


def test_an_infinite_foreign_score_is_as_far_as_any():
    (row,) = ratio_cost_rows(OWN, {"photos": np.append(FAR["photos"][:99], np.inf)})
    assert row["cllr"] == pytest.approx(0.056, abs=1e-4)  # As above.


@pytest.mark.parametrize(
    ("own", "foreign", "message"),
    [
        (OWN[:9], FAR, "9 images of the inspected generator cannot be divided into 10 parts"),
        (OWN, {"few": OWN[:5]}, "5 images of few cannot"),
        (np.append(OWN, np.inf), FAR, "no finite score"),
    ],
)
def test_scores_that_have_no_ratios_are_refused(own, foreign, message):
    with pytest.raises(ProtocolError, match=message):
        ratio_cost_rows(own, foreign)
