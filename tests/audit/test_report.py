"""The report of an audit, and its tables."""

import dataclasses

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
from jax_origin.audit.evidence_tables import attribution_table, cost_table, excluded_at_most
from jax_origin.audit.named_table import unexamined_section
from jax_origin.calibration import ForeignGroup, Measured, Rates
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


def findings(candidates=CANDIDATES, *, sized: str | None = None, **options):
    """Five images; with `sized` a sixth, which is why b could not be asked about it."""
    records = {
        name: [
            *(record(path, *values[k]) for path, values in IMAGES.items()),
            unread("x/photos/5.png", "is empty"),
        ]
        for k, name in enumerate(NAMES)
    }
    if sized is not None:
        records["a"].append(record("x/photos/6.png", LEAST, 0.6, 6.0))
        records["b"].append(unread("x/photos/6.png", sized))
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
        ["not recognised", "photos/4.png", ""],
        ["error", "photos/5.png", "is empty"],
    ]
    assert findings_table(found, most=2).endswith("\n... and 3 more")
    assert cells(folder_table(found)) == [
        ["folder", "a", "b", "not recognised", "undecided", "error"],
        ["a", "1", "0", "0", "1", "0"],
        ["b", "1", "0", "0", "0", "0"],
        ["photos", "0", "0", "1", "0", "1"],
    ]
    assert truth_line(found) == "right 2, wrong 1, undecided or not read 2"


def test_images_that_were_not_examined_are_listed_with_their_reasons():
    reason = "is 9x8 pixels, must be 8x8; pass --resize to allow resizing"
    found = findings(sized=reason)
    report = findings_report(found, CANDIDATES)
    _, _, section = report.partition("## Images that could not be examined\n\n")
    assert cells(section.partition("\n\n")[0]) == [
        ["image", "reason"],
        ["photos/5.png", "is empty"],
        ["photos/6.png", f"b: {reason}"],
    ]
    _, _, more = unexamined_section(found, most=1)
    assert more == "... and 1 more: `findings.jsonl` has them all."


def test_candidates_that_cannot_be_told_apart_share_a_column():
    found = findings(indistinguishable=[("a", "b")])
    head, *rows = cells(folder_table(found))
    assert head[1:3] == ["a or b", "not recognised"]
    assert [row[1] for row in rows] == ["1", "1", "0"]
    assert truth_line(found) == "right 3, wrong 0, undecided or not read 2"


def test_the_report_says_what_was_found_and_what_it_refers_to():
    text = findings_report(findings(), CANDIDATES)
    flat = " ".join(text.split())
    for words in (
        "5 images were compared with 2 candidates",
        "Undecided because: several candidates fit: a, b (1).",
        "1 images could not be examined",
        "An image of a foreign group that all candidates' calibrations contain is given a name "
        "with a probability of at most 2% (2 x 1%)",
        "no evidence that any of them made the image, as made or after the calibrated edits",
        "so the share is at most 2.95%, and the ratio at most 34",
        "an own image that was mirrored gets a ratio under 1, although the candidate made it",
        "there is **no data**",
        "models this near are one (see docs/near_models.md)",
        "All candidates' calibrations contain: photos (as made, jpeg-75).",
        "no two have one fingerprint",
        "Over all 8 tests (images x candidates)",
        "by the procedure of Benjamini and Yekutieli.",
        "exclusions: with 100 calibration scores no p-value is under 0.0099",
        "(calibrated: jpeg-75)",
        "neither a candidate nor a foreign group of all calibrations (photos)",
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
    # Its p-values are no ranks: how many images they would take is not known.
    assert "exclusions: with" not in flat and "attributions: with 100 calibration" in flat


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
    drift = {"reason": "drift: lossy WebP; calibrated: as made"}
    records = {name: [record("x.png", 0.5, LEAST, 5e-3, **drift)] for name in NAMES}
    text = findings_report(combine(records, calibrations, rates=RATES), CANDIDATES)
    assert "No image was tested: all are undecided." in text and "examined" not in text


def test_own_images_that_do_not_look_edited_are_told_beside_the_rates():
    assert "look as if" not in findings_report(findings(), CANDIDATES)
    unseen = made_up("a", measured=Measured(unseen={"jpeg-75": 3}))
    candidates = [Candidate("a", "a", unseen), CANDIDATES[1]]
    flat = " ".join(findings_report(findings(candidates), candidates).split())
    assert "`excluded at most` are of images that look as if they had met their edit. - a: Of" in (
        flat
    )
    # The upper limit of 3 of 100.
    assert "after 'jpeg-75', 3 did not look as if they had met it (with 95% conf" in flat
    assert "at most 7.57%). So many more may fail to fit." in flat


def test_a_group_that_a_choice_used_has_no_limit():
    foreign = dict(made_up("a").foreign)
    foreign["photos"] = foreign["photos"].marked("threshold")
    found = cells(attribution_table({"a": made_up("a", foreign)}, rate=0.01))
    limit, joint = (100 * upper_limit(0, 100, confidence=c) for c in (0.95, 1 - 0.05 / 3))
    assert found == [
        ["candidate", "foreign group", "sources as low", "limit", "all at once", "conditions"],
        ["a", "b", "0 of 100", f"{limit:.3g}% (worst)", f"{joint:.3g}%", "as made, jpeg-75"],
        ["a", "photos", "0 of 100", "none: used for threshold", "-", "as made"],
        ["a", "photos", "0 of 100", f"{limit:.3g}% (worst)", f"{joint:.3g}%", "jpeg-75"],
    ]
    few = {"photos": ForeignGroup(np.linspace(1, 2, 50), 50)}
    (_, row) = cells(attribution_table({"a": made_up("a", few)}, rate=0.01))
    assert row[2:5] == ["0 of 50", "0%: too few to attribute", "0%"]


def test_the_rate_of_excluded_own_images_has_its_count_and_limit():
    own = made_up("a")
    # At alpha 0.01 no own score of 100 may be as high: 1 - 0.05^(1 / 100). At 0.05 there may be 4.
    assert excluded_at_most(own, 0.01) == "2.95% (0 of 100)"
    assert excluded_at_most(own, 0.05) == "8.92% (4 of 100)"
    # The worst condition counts; one that can exclude nothing keeps all.
    more = made_up("a", conditions={"jpeg-75": np.linspace(0.01, 0.1, 199)})
    assert excluded_at_most(more, 0.01) == "2.95% (0 of 100)"
    assert excluded_at_most(more, 0.005) == "0%: too few to exclude"
    sure = {**own.method, "rule": {"kind": "conformal", "confidence": 0.95}}
    assert excluded_at_most(made_up("a", method=sure), 0.05) == "4.66% (1 of 100)"
    grubbs = {**own.method, "rule": {"kind": "grubbs"}}
    assert excluded_at_most(made_up("a", method=grubbs), 0.05) == "not known (grubbs)"


def test_the_share_of_wrong_attributions_follows_from_the_rates():
    table = cells_of(findings_report(findings(), CANDIDATES))
    # 9, 99 and 999 others at 1%, against 0.99: 0.09 / 1.08, 0.99 / 1.98, 9.99 / 10.98.
    for row in (["1 in 10", "8%"], ["1 in 100", "50%"], ["1 in 1,000", "91%"]):
        assert row in table


def test_the_bound_on_names_is_of_groups_that_all_calibrations_have():
    more = {**made_up("a").foreign, "sketches": ForeignGroup(np.linspace(5, 6, NUM), NUM)}
    del more["photos after jpeg-75"]
    candidates = [Candidate("a", "a", made_up("a", more)), CANDIDATES[1]]
    text = findings_report(findings(candidates), candidates)
    assert "All candidates' calibrations contain: photos (as made)." in text
    assert "foreign group of all calibrations (photos)" in " ".join(text.split())
    table = cells_of(text)
    assert ["b", "sketches", "as made"] in table and ["a", "photos", "jpeg-75"] in table
    del more["photos"]
    candidates = [Candidate("a", "a", made_up("a", more)), CANDIDATES[1]]
    text = findings_report(findings(candidates), candidates)
    assert "No foreign group is in all candidates' calibrations" in text
    assert ["a", "photos", "as made, jpeg-75"] in cells_of(text)


def test_the_report_says_how_groups_were_matched_with_candidates():
    def report(made_by):
        foreign = {n: dataclasses.replace(g) for n, g in made_up("a").foreign.items()}
        for name in ("b", "b after jpeg-75"):
            foreign[name] = dataclasses.replace(foreign[name], made_by=made_by)
        candidates = [Candidate("a", "a", made_up("a", foreign)), CANDIDATES[1]]
        text = findings_report(findings(candidates), candidates)
        return " ".join(text.split()), cells_of(text)

    by_name, other = "matched with a candidate by name", "called like a candidate"
    flat, table = report(None)
    assert f"{by_name}, since they do not say which generator made their images: b of a's" in flat
    assert other not in flat
    flat, table = report("fingerprint of b")
    assert "their images: a of b's calibration." in flat and other not in flat
    assert not [row for row in table if row[:2] == ["b", "b (fingerprint )"]]
    flat, table = report("0123456789abcdef")
    assert "another model made their images: b (0123456789ab) of a's calibration." in flat
    # That model's images are foreign to both candidates, and b's calibration lacks them.
    assert ["b", "b (0123456789ab)", "as made, jpeg-75"] in table


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
    assert ratios.num_without_data == 3
    wanted += ", 3 no data"
    assert of_b[:4] == ["a", "b", wanted, "-"]
    # What was not cross-fitted is left out, and said; leaving the group out needs no sources.
    assert of_crops[:4] == ["a", "crops", "-", "-"]
    assert 0 < float(of_crops[4].partition(",")[0]) < 1
    assert "crops: which of the 100 foreign scores share one of the 7 sources" in text


def test_a_setting_that_a_calibration_does_not_have_needs_no_reason():
    own = made_up("a")
    more = made_up("a", conditions={**own.conditions, "truncation_psi=0.7": own.belonging})
    text = cost_table({"a": more, "b": made_up("b")})
    head, *rows = cells(text)
    assert head[4] == "truncation_psi=0.7" and [row[4] == "-" for row in rows] == [0, 0, 1, 1]
    assert "need at least" not in text


def test_pictures_of_the_evidence_are_drawn_where_there_is_any(tmp_path):
    pytest.importorskip("matplotlib")
    from PIL import Image

    from jax_origin.figures import draw_evidence

    path = tmp_path / "evidence.png"
    assert draw_evidence(made_up("a"), path, title="a")
    with Image.open(path) as picture:
        picture.load()
        assert picture.size == (1300, 936)  # One row for each condition.
        assert len(set(picture.convert("L").getdata())) > 20
    crops = {"photos": ForeignGroup(np.linspace(1, 2, NUM), 7)}
    assert not draw_evidence(made_up("a", crops), tmp_path / "none.png", title="a")
    assert not (tmp_path / "none.png").exists()
