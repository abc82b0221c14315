"""The report of an audit, and its tables."""

import numpy as np
import pytest

from jax_origin.audit import (
    Candidate,
    combine,
    findings_report,
    findings_table,
    folder_table,
    truth_line,
)
from jax_origin.audit.evidence_tables import attribution_table, cost_table
from jax_origin.calibration import ForeignGroup, Rates
from jax_origin.calibration.false_attribution import upper_limit
from jax_origin.evidence import cllr_interval, cross_fitted

from .findings_data import NAMES, NUM, made_up, record, unread

LEAST = 1 / 101
IMAGES = {
    "x/a/1.png": [(0.5, LEAST, 5e-3), (LEAST, 0.5, 5.0)],
    "x/a/2.png": [(0.5, LEAST, 5e-3), (0.5, 0.5, 5e-3)],
    "x/b/3.png": [(0.5, LEAST, 5e-3), (LEAST, 0.5, 5.0)],
    "x/photos/4.png": [(LEAST, 0.6, 6.0), (LEAST, 0.7, 7.0)],
}
CANDIDATES = [Candidate(name, name, made_up(name)) for name in NAMES]


RATES = Rates(0.01, 0.01)


def findings(candidates=CANDIDATES, **options):
    records = {
        name: [
            *(record(path, *values[k]) for path, values in IMAGES.items()),
            unread("x/photos/5.png", "is empty"),
        ]
        for k, name in enumerate(NAMES)
    }
    calibrations = {candidate.name: candidate.calibration for candidate in candidates}
    return combine(records, calibrations, rates=RATES, **options)


def cells(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [rows[0], *rows[2:]]


def test_images_are_listed_and_counted_by_folder():
    found = findings()
    assert cells(findings_table(found)) == [
        ["made by", "image", "reason"],
        ["a", "a/1.png", ""],
        ["undecided", "a/2.png", "several candidates fit: a, b"],
        ["a", "b/3.png", ""],
        ["none of these", "photos/4.png", ""],
        ["error", "photos/5.png", "is empty"],
    ]
    assert findings_table(found, most=2).endswith("\n... and 3 more")
    assert cells(folder_table(found)) == [
        ["folder", "a", "b", "none of these", "undecided", "error"],
        ["a", "1", "0", "0", "1", "0"],
        ["b", "1", "0", "0", "0", "0"],
        ["photos", "0", "0", "1", "0", "1"],
    ]
    assert truth_line(found) == "right 2, wrong 1, undecided or not read 2"


def test_candidates_that_cannot_be_told_apart_share_a_column():
    found = findings(indistinguishable=[("a", "b")])
    head, *rows = cells(folder_table(found))
    assert head[1:3] == ["a or b", "none of these"]
    assert [row[1] for row in rows] == ["1", "1", "0"]
    assert truth_line(found) == "right 3, wrong 0, undecided or not read 2"


def test_the_report_says_what_was_found_and_what_it_refers_to():
    text = findings_report(findings(), CANDIDATES)
    flat = " ".join(text.split())
    for words in (
        "5 images were compared with 2 candidates",
        "Undecided because: several candidates fit: a, b (1).",
        "1 images could not be examined",
        "is given a name with a probability of at most 2% (2 x 1%)",
        "no two have one fingerprint",
        "Over all 8 tests (images x candidates)",
        "by the procedure of Benjamini and Yekutieli.",
        "exclusions: with 100 calibration scores no p-value is under 0.0099",
        "(calibrated: jpeg-75)",
        "neither a candidate nor a calibrated foreign group (photos)",
        "and promises nothing of other origins",
    ):
        assert words in flat, words
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 100
    # p at most alpha: 1 of a's and 3 of b's; q at most beta: 3 and none.
    assert ["a", "1", "0", "3", "0"] in cells_of(text) and ["b", "3", "0", "0", "0"] in cells_of(
        text
    )
    assert "does not promise it" not in flat
    grubbs = {**CANDIDATES[0].calibration.method, "rule": {"kind": "grubbs"}}
    other = [Candidate("a", "a", made_up("a", method=grubbs)), CANDIDATES[1]]
    flat = " ".join(findings_report(findings(other), other).split())
    assert "The grubbs rule asks for that rate, and does not promise it." in flat


def cells_of(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_two_procedures_are_told_apart():
    alone = {"conditions": {}}
    candidate = Candidate("a", "a", made_up("a", **alone))
    records = {"a": [record("1.png", 0.5, LEAST, 5e-3)]}
    found = combine(records, {"a": candidate.calibration}, rates=RATES)
    flat = " ".join(findings_report(found, [candidate]).split())
    assert "compared with 1 candidate: which" in flat
    assert (
        "of Benjamini and Hochberg, and for attributions that of Benjamini and Yekutieli." in flat
    )


def test_nothing_examined_is_said():
    records = {name: [unread("x.png", "is empty")] for name in NAMES}
    calibrations = {c.name: c.calibration for c in CANDIDATES}
    found = combine(records, calibrations, rates=RATES)
    assert "No image was examined." in findings_report(found, CANDIDATES)


def test_a_group_that_a_choice_used_has_no_limit():
    foreign = dict(made_up("a").foreign)
    foreign["photos"] = foreign["photos"].marked("threshold")
    found = cells(attribution_table({"a": made_up("a", foreign)}, rate=0.01))
    limit, joint = (100 * upper_limit(0, 100, confidence=c) for c in (0.95, 1 - 0.05 / 3))
    assert found == [
        ["candidate", "foreign group", "sources", "limit", "all at once", "conditions"],
        ["a", "b", "100", f"{limit:.3g}% (worst)", f"{joint:.3g}%", "as made, jpeg-75"],
        ["a", "photos", "100", "none: used for threshold", "-", "as made"],
        ["a", "photos", "100", f"{limit:.3g}% (worst)", f"{joint:.3g}%", "jpeg-75"],
    ]


def test_costs_are_cross_fitted_and_gaps_explained():
    rng = np.random.default_rng(0)
    foreign = {
        "b": ForeignGroup(rng.uniform(5e-3, 1, NUM), NUM),
        "crops": ForeignGroup(rng.uniform(5e-3, 1, NUM), 7),
    }
    calibration = made_up("a", foreign)
    text = cost_table({"a": calibration})
    head, of_b, of_crops = cells(text)
    assert head == ["candidate", "against", "as made", "jpeg-75", "group left out"]
    ratios = cross_fitted(calibration.belonging, foreign["b"], folds=10)
    expected = cllr_interval(*ratios)
    wanted = f"{expected.value.cllr:.3f} ({expected.low:.3f} to {expected.high:.3f})"
    assert of_b[:4] == ["a", "b", wanted, "-"]
    # What was not cross-fitted is left out, and said; leaving the group out needs no sources.
    assert of_crops[:4] == ["a", "crops", "-", "-"]
    assert 0 < float(of_crops[4]) < 1
    assert "crops: which of the 100 foreign scores share one of the 7 sources" in text


def test_pictures_of_the_evidence_are_drawn_where_there_is_any(tmp_path):
    pytest.importorskip("matplotlib")
    from PIL import Image

    from jax_origin.audit.evidence_plot import draw_evidence

    path = tmp_path / "evidence.png"
    assert draw_evidence(made_up("a"), path, title="a")
    with Image.open(path) as picture:
        picture.load()
        assert picture.size == (1000, 720)  # One row for each condition.
        assert len(set(picture.convert("L").getdata())) > 20
    crops = {"photos": ForeignGroup(np.linspace(1, 2, NUM), 7)}
    assert not draw_evidence(made_up("a", crops), tmp_path / "none.png", title="a")
    assert not (tmp_path / "none.png").exists()
