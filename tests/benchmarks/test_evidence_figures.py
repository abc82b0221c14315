"""Random halves of scores keep to the law of ranks, and the cost of ratios to what counts allow."""

import dataclasses
import math

import numpy as np
import pytest

from benchmarks.ratio_costs import SHARES, ratio_cost_rows
from benchmarks.resplits import resplit_rows
from benchmarks.sampling import ProtocolError
from jax_origin.calibration import Calibration
from jax_origin.workflow import METHODS

RNG = np.random.default_rng(0)
OWN = RNG.lognormal(-13, 0.3, 100)
FAR = {"photos": RNG.lognormal(-5, 0.3, 100), "other": RNG.lognormal(-6, 0.3, 100)}
BY_RANK = ("ranked", "limit_low", "limit_high", "inside", "kept")


def calibration(name="origin", **method):
    shapes = {"latent_shape": [3], "image_shape": [8, 8, 3]}
    return Calibration(
        generator={"name": "tiny", "fingerprint": "f", **shapes},
        method={**METHODS[name].to_json(), "floor": 0.0, **method},
        belonging=np.arange(1.0, 10.0),
        conditions={"jpeg-75": np.arange(1.0, 10.0)},
        foreign={},
        seed=0,
        keys={},
        packages={},
        platform="cpu",
    )


def rows(belonging, foreign, made=None, **options):
    options = {"resplits": 200, "rate": 0.05, **options}
    found = resplit_rows(made or calibration(), belonging, foreign, **options)
    return {row["group"]: row for row in found}


def test_errors_follow_the_law_of_ranks():
    found = rows(OWN, FAR)
    assert list(found) == [None, "photos", "other"]
    for row in found.values():
        assert (row["n"], row["m"]) == (50, 50)
        # Two of 51 ranks are at most 0.05; the law's mean is 2 / 51, its limits 0 and 7 of 50.
        assert row["ranked"] == pytest.approx(2 / 51, abs=0.01)
        assert (row["limit_low"], row["limit_high"]) == (0.0, 0.14)
        assert row["inside"] >= 0.93
    assert found[None]["belongs"] == pytest.approx(1 - 2 / 51, abs=0.01)
    assert found[None]["held_out"] is None
    assert found["photos"]["belongs"] == found["photos"]["held_out"] == 0.0
    assert found["photos"]["kept"] == 1.0


def test_scores_of_which_many_tie_at_the_floor_turn_none_away():
    found = rows(OWN, FAR, calibration(floor=1.0))
    assert found[None]["ranked"] == 0.0 and found[None]["belongs"] == 0.0  # All fit both.
    found = rows(OWN, FAR, calibration(floor=1e-4))
    assert (found[None]["belongs"], found[None]["kept"]) == (1.0, 1.0)


def test_a_group_like_the_own_images_is_kept_out_unless_it_is_left_out():
    near = {**FAR, "near": RNG.lognormal(-13, 0.3, 100)}
    found = rows(OWN, near)
    assert found["near"]["belongs"] < 0.1 < 0.8 < found["near"]["held_out"]
    assert found["near"]["kept"] >= 0.93
    assert found[None]["belongs"] < 0.2


def test_a_rule_on_p_alone_has_no_limits_of_foreign_groups():
    found = rows(OWN, {"photos": FAR["photos"]}, calibration("ronan"))
    assert found[None]["ranked"] < 0.02  # Grubbs' bound lies beyond most of the scores.
    assert [found["photos"][field] for field in BY_RANK] == [None] * 5
    assert found["photos"]["belongs"] == 0.0 and found["photos"]["held_out"] is None


@pytest.mark.parametrize(
    ("own", "foreign", "message"),
    [
        (OWN[:30], FAR, "half of 30 images of the inspected generator are too few"),
        (OWN, {"few": OWN[:20]}, "half of 20 images of few are too few for a rate of 0.05"),
        (np.append(OWN, np.inf), FAR, "no finite score"),
    ],
)
def test_scores_that_cannot_be_halved_are_refused(own, foreign, message):
    with pytest.raises(ProtocolError, match=message):
        rows(own, foreign)


def test_the_cost_of_separated_scores_is_what_their_number_allows():
    found = ratio_cost_rows(OWN, FAR)
    for row in found:
        # Fitted on 90 of each, ratios lie within 1 / 91 and 91.
        assert row["cllr"] == pytest.approx(math.log2(1 + 1 / 91), abs=2e-3)
        assert row["discrimination"] == 0.0
        assert row["cllr_low"] <= row["cllr"] <= row["cllr_high"]
        assert row["calibration"] == pytest.approx(row["cllr"])
    # A group nearer than all that the ratios know misleads more than one that is farther.
    left_out = {row["group"]: row["left_out"] for row in found}
    assert left_out["photos"] < 0.05 < left_out["other"]


def test_unrecovered_images_cost_what_they_must():
    own = np.random.default_rng(1).lognormal(-13, 0.3, 1000)
    foreign = np.random.default_rng(2).lognormal(-5, 0.3, 1000)
    (row,) = ratio_cost_rows(own, {"photos": foreign}, draws=2)
    costs = [row["cllr"], *(row[f"unrecovered_{share:g}"] for share in SHARES)]
    assert costs == sorted(costs)
    for share in SHARES:  # Of 1: the ratio of a foreign score is then this share.
        least = (share * math.log2(1 + 1 / share) + math.log2(1 + share)) / 2
        assert row[f"unrecovered_{share:g}"] == pytest.approx(least, rel=0.1)
    assert 0.01 <= row["tolerated"] <= 0.015 and row["left_out"] is None
    (row,) = ratio_cost_rows(own, {"photos": foreign}, draws=2, target=0.001)
    assert row["tolerated"] is None


def test_an_infinite_foreign_score_is_as_far_as_any():
    (row,) = ratio_cost_rows(OWN, {"photos": np.append(FAR["photos"][:99], np.inf)})
    assert row["cllr"] < 0.02


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


def test_the_calibration_s_own_scores_play_no_part():
    made = calibration()
    other = dataclasses.replace(made, belonging=np.arange(5.0, 50.0), conditions={})
    assert rows(OWN, FAR, made, resplits=3) == rows(OWN, FAR, other, resplits=3)
