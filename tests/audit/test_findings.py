"""Records of several candidates say together who made an image."""

import json
import math

import numpy as np
import pytest

from jax_origin.audit import combine, write_findings
from jax_origin.calibration import Rates
from jax_origin.evidence import PavRatio
from jax_origin.runs import RecordError

from .findings_data import NAMES, made_up, record, unread

LEAST = 1 / 101
MOST = -math.log10(1 - 0.05 ** (1 / 100))  # What 0 of 100 supports: a ratio of 34.
# Of each image: p, q and score under a, then under b.
IMAGES = {
    "own/of_a.png": [(0.5, LEAST, 5e-3), (LEAST, 0.5, 5.0)],
    "own/of_b.png": [(LEAST, 0.5, 5.0), (0.5, LEAST, 5e-3)],
    "other/nobody.png": [(LEAST, 0.6, 6.0), (LEAST, 0.7, 7.0)],
    "other/both.png": [(0.3, LEAST, 5e-3), (0.2, LEAST, 5e-3)],
    "other/near.png": [(0.02, 0.3, 0.01), (LEAST, 0.9, 9.0)],
}
PATHS = [*IMAGES, "other/broken.png", "other/half.png"]


@pytest.fixture
def records():
    found = {}
    for k, name in enumerate(NAMES):
        rows = [record(path, *values[k]) for path, values in IMAGES.items()]
        rows.append(unread("other/broken.png", "is empty (zero bytes)"))
        half = record("other/half.png", 0.5, LEAST, 5e-3)
        if name == "b":
            half |= dict.fromkeys(("p", "q", "score", "score_kind", "condition"))
            half["error"] = "no finite image"
        found[name] = [*rows, half]
    return found


CALIBRATIONS = {name: made_up(name) for name in NAMES}
RATES = {"rates": Rates(0.01, 0.01)}


def lines(findings, folder) -> dict[str, dict]:
    write_findings(folder / "findings.jsonl", findings)
    text = (folder / "findings.jsonl").read_text()
    return {row["path"]: row for row in map(json.loads, text.splitlines())}


def test_each_image_gets_one_line_in_order(records, tmp_path):
    found = lines(combine(records, CALIBRATIONS, **RATES), tmp_path)
    assert list(found) == PATHS
    said = {path: (row["verdict"], row["named"], row["reason"]) for path, row in found.items()}
    assert said == {
        "own/of_a.png": ("named", ["a"], None),
        "own/of_b.png": ("named", ["b"], None),
        "other/nobody.png": ("none", [], None),
        "other/both.png": ("undecided", [], "several candidates fit: a, b"),
        "other/near.png": ("undecided", [], "fits both"),
        "other/broken.png": (None, [], None),
        "other/half.png": (None, [], None),
    }
    assert found["other/both.png"]["fitting"] == ["a", "b"]
    assert found["own/of_a.png"]["sha256"] == "sha of own/of_a.png"
    assert found["own/of_a.png"]["stored"] == "pixels"
    own = found["own/of_a.png"]["candidates"]["a"]
    assert (own["p"], own["q"], own["score"], own["condition"]) == (0.5, LEAST, 5e-3, "as made")


def test_an_image_that_one_candidate_could_not_be_asked_about_has_no_verdict(records, tmp_path):
    found = lines(combine(records, CALIBRATIONS, **RATES), tmp_path)
    assert found["other/broken.png"]["error"] == "is empty (zero bytes)"
    half = found["other/half.png"]
    assert half["error"] == "b: no finite image"
    assert half["candidates"]["b"]["error"] == "no finite image"
    assert half["candidates"]["b"]["p"] is half["candidates"]["b"]["log10_lr"] is None
    # What the other said stays there to read; it is no part of any decision.
    assert (
        half["candidates"]["a"]["p"] == 0.5 and half["candidates"]["a"]["exclusion_stands"] is None
    )


def test_an_image_like_none_that_one_calibration_has_is_undecided(records, tmp_path):
    drift = "drift: lossy WebP; calibrated: as made, jpeg-75"
    records["b"][0]["reason"] = drift
    found = lines(combine(records, CALIBRATIONS, **RATES), tmp_path)
    odd = found["own/of_a.png"]
    assert (odd["verdict"], odd["named"], odd["reason"]) == ("undecided", [], f"b: {drift}")
    assert odd["candidates"]["b"]["log10_lr"] is None
    assert (
        odd["candidates"]["a"]["exclusion_stands"]
        is odd["candidates"]["b"]["attribution_stands"]
        is None
    )
    # The others get what they got without it.
    assert (
        found["own/of_b.png"]["named"] == ["b"] and found["other/nobody.png"]["verdict"] == "none"
    )


def test_a_part_that_one_candidate_made_yields_to_another_that_made_the_whole(records, tmp_path):
    for name, verdict in (("a", "belongs"), ("b", "undecided")):
        records[name][0]["verdict"] = verdict
    for place in (0, 2):  # One of a's own; one that nobody made as a whole.
        records["b"][place]["reason"] = "in part: 60% of it"
    found = lines(combine(records, CALIBRATIONS, **RATES), tmp_path)
    assert found["own/of_a.png"]["named"] == ["a"]
    odd = found["other/nobody.png"]
    assert (odd["verdict"], odd["reason"]) == ("undecided", "b: in part: 60% of it")


def test_ratios_compare_with_what_met_the_same_condition(records, tmp_path):
    records["a"][0] |= {"condition": "jpeg-75", "score": 0.05}
    records["a"][1]["score"] = 1e-9
    found = lines(combine(records, CALIBRATIONS, **RATES), tmp_path)
    own = CALIBRATIONS["a"]
    after = found["own/of_a.png"]["candidates"]["a"]
    expected = {
        group: PavRatio(own.conditions["jpeg-75"], own.foreign[f"{group} after jpeg-75"])
        for group in ("b", "photos")
    }
    assert after["log10_lr_by_group"] == pytest.approx(
        {group: model.log10_lr([0.05])[0] for group, model in expected.items()}
    )
    assert after["log10_lr"] == min(after["log10_lr_by_group"].values())
    assert after["log10_lr_limits"] == pytest.approx([-MOST, MOST])
    # Under the floor there is no more evidence than at it.
    assert found["own/of_b.png"]["candidates"]["a"]["log10_lr"] == pytest.approx(MOST)


def test_a_score_between_own_and_foreign_ones_has_no_ratio_and_says_so(records, tmp_path):
    # As made 0.05 lies above all own scores and below all foreign ones; 1.5 only below photos.
    records["a"][0]["score"], records["a"][1]["score"] = 0.05, 1.5
    found = lines(combine(records, CALIBRATIONS, **RATES), tmp_path)
    gap, partly = (found[f"own/of_{x}.png"]["candidates"]["a"] for x in "ab")
    assert gap["log10_lr"] is None
    assert partly["log10_lr"] == partly["log10_lr_by_group"]["b"] < 0
    assert gap["log10_lr_note"] == "no data: no image was calibrated between the scores of a and b"
    assert gap["log10_lr_by_group"] == {} and list(partly["log10_lr_by_group"]) == ["b"]


def test_a_ratio_under_one_says_what_it_does_not_weigh(records, tmp_path):
    found = lines(combine(records, CALIBRATIONS, **RATES), tmp_path)["own/of_a.png"]["candidates"]
    assert found["b"]["log10_lr"] == pytest.approx(-MOST)
    assert found["b"]["log10_lr_note"] == (
        "against b; does not weigh that b made it and an edit that was not calibrated came after"
    )
    assert found["a"]["log10_lr"] > 0 and found["a"]["log10_lr_note"] is None


def test_the_cautious_ratio_is_against_the_group_named(records, tmp_path):
    foreign = dict(CALIBRATIONS["a"].foreign)
    foreign["photos"] = type(foreign["photos"])(foreign["photos"].scores, 7)
    few = {**CALIBRATIONS, "a": made_up("a", foreign)}
    own = lines(combine(records, few, **RATES), tmp_path)["own/of_a.png"]["candidates"]["a"]
    # Seven photographs support no more than 2.9, a hundred images of b 34.
    assert own["against"] == "photos"
    assert own["log10_lr"] == own["log10_lr_limits"][1]
    assert own["log10_lr"] == pytest.approx(-math.log10(1 - 0.05 ** (1 / 7)))
    assert own["log10_lr_by_group"]["b"] == pytest.approx(MOST)


def test_a_condition_without_foreign_images_has_no_ratio(records, tmp_path):
    foreign = {name: g for name, g in CALIBRATIONS["a"].foreign.items() if "after" not in name}
    records["a"][0]["condition"] = "jpeg-75"
    only = {**CALIBRATIONS, "a": made_up("a", foreign)}
    found = lines(combine(records, only, **RATES), tmp_path)
    own = found["own/of_a.png"]["candidates"]["a"]
    assert own["log10_lr"] is own["against"] is own["log10_lr_limits"] is None
    assert own["log10_lr_note"] is None
    assert own["log10_lr_by_group"] == {}


def test_indistinguishable_candidates_are_named_together(records, tmp_path):
    together = {"indistinguishable": [("a", "b")], **RATES}
    found = lines(combine(records, CALIBRATIONS, **together), tmp_path)
    both = found["other/both.png"]
    assert (both["verdict"], both["named"]) == ("named", ["a", "b"])
    assert both["reason"] == "indistinguishable: a, b"


def test_a_calibration_that_is_too_small_attributes_nothing_and_says_so(records):
    small = {**CALIBRATIONS, "a": made_up("a", belonging=np.linspace(1e-3, 1e-2, 50))}
    naming = combine(records, small, **RATES).naming[0]
    # Its jpeg-75 images are many enough; the largest p over conditions is not.
    assert naming.reason == "too few calibration images: a can exclude nothing"
    foreign = dict(CALIBRATIONS["a"].foreign)
    foreign["photos"] = type(foreign["photos"])(foreign["photos"].scores[:50], 50)
    records["a"][0]["q"] = 1 / 51
    small = {**CALIBRATIONS, "a": made_up("a", foreign)}
    naming = combine(records, small, **RATES).naming[0]
    assert naming.reason == "too few calibration images: a can attribute nothing"


def test_what_survives_is_counted_over_all_images_and_candidates():
    num = 200
    paths = [f"{i}.png" for i in range(num)]
    # Half of the images are nobody's; the other half is a's. None of them is b's.
    p = {"a": np.where(np.arange(num) < 100, LEAST, 0.5), "b": np.full(num, LEAST)}
    records = {
        name: [record(path, float(p[name][i]), 0.5, 5.0) for i, path in enumerate(paths)]
        for name in NAMES
    }
    cautious = combine(records, CALIBRATIONS, **RATES)
    assert (cautious.excluded_by, cautious.attributed_by) == ("by", "by")
    # 300 of 400 at 1/101: 0.0099 is at most 0.05 x 0.75, and not so over Yekutieli's 6.57.
    assert not cautious.excluded.any() and not cautious.attributed.any()
    bold = combine(records, CALIBRATIONS, **RATES, procedure="bh")
    assert bold.excluded.sum() == 300 and bold.excluded[:, 1].all()
    assert combine(records, CALIBRATIONS, **RATES, fdr=0.2).excluded.sum() == 300


@pytest.mark.parametrize(("q", "attributed"), [(0.0166, True), (0.0168, False)])
def test_q_counts_three_times_where_images_were_read_again(q, attributed):
    """Turned, or retouched and reframed: two more chances of a small q, for any image."""
    alone = made_up("a", {"photos": CALIBRATIONS["a"].foreign["photos"]}, conditions={})

    def found(**changes):
        one = record("0.png", 0.5, q, 1e-3, **changes)
        return bool(combine({"a": [one]}, {"a": alone}, **RATES).attributed[0, 0])

    assert found(tried=["mirrored left to right"]) == attributed  # At 5%.
    assert found(tried=None)


def test_one_candidate_with_one_condition_and_group_is_held_to_hochbergs(records):
    alone = made_up("a", {"photos": CALIBRATIONS["a"].foreign["photos"]}, conditions={})
    found = combine({"a": records["a"]}, {"a": alone}, **RATES)
    assert (found.excluded_by, found.attributed_by) == ("bh", "bh")
    found = combine({"a": records["a"]}, {"a": CALIBRATIONS["a"]}, **RATES)
    assert (found.excluded_by, found.attributed_by) == ("by", "by")


def test_records_that_cannot_be_combined_are_refused(records):
    records["a"][0]["score_kind"] = "upper_bound"
    with pytest.raises(RecordError, match="1 of the scores are upper bounds"):
        combine(records, CALIBRATIONS, **RATES)


def test_nothing_could_be_read(tmp_path):
    records = {name: [unread("x.png", "is empty")] for name in NAMES}
    found = combine(records, CALIBRATIONS, **RATES)
    assert found.naming == [None] and not found.examined.any()
    assert lines(found, tmp_path)["x.png"]["error"] == "is empty"
