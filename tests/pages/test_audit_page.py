"""The page of an audit: what it says, that nothing in it runs or loads, and how large it is."""

import base64
import dataclasses
import hashlib
import re

import numpy as np
import pytest

from jax_origin.images import save_png
from jax_origin.pages import audit_page
from jax_origin.pages.charts import chart, thresholds
from jax_origin.pages.pictures import drawn
from jax_origin.pages.render import shown

from .pages_data import CANDIDATES, FOREIGN, HOSTILE, OWN, RATES, Page, audited, mixed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def text(folder) -> str:
    findings = mixed(folder)
    kept = folder / "a/reconstructions"
    digest = hashlib.sha256((folder / "a/1.png").read_bytes()).hexdigest()
    for records in findings.records.values():
        records[0]["sha256"] = digest
    save_png(kept / f"{digest}.png", np.full((8, 8, 3), 100, np.uint8))
    (folder / "findings.jsonl").write_text("{}\n")
    return audit_page(findings, CANDIDATES, folder, settings={"images": HOSTILE, "seed": 1})


def test_it_begins_with_the_answer_and_says_what_it_does_not_mean(text):
    said = Page(text).text
    for words in (
        "Which of 2 models made each of 7 images, or none?",
        "Of 7 images, the findings support that a made 1 and that b made 1; for 2 there is no "
        "evidence that any candidate made them; 2 are undecided; 1 could not be examined.",
        "“Not recognised” clears nobody.",
        "No number on this page is the probability that an answer is right.",
        "the image fits the own images of a, b : 1",
        "as an image of its own would be that met an edit which was not calibrated",
        "It could not be examined: is empty.",
        "given a name with a probability of at most 2% (2 candidates × 1%)",
        "Calibrated are: jpeg-75.",
        "at most 2.95%",
    ):
        assert words in said or words.replace(" :", ":") in said, words
    assert said.index("clears nobody") < said.index("What the words mean")


def test_right_and_wrong_are_counted_where_folders_are_called_like_candidates(text, folder):
    said = Page(text).text
    assert "Right and wrong, by folder" in said
    assert "a a 1 ✓ right 0 1 ✗ wrong 0 0" in said
    assert said.count("The folder says otherwise.") == 1
    path = str(folder / "elsewhere/1.png")
    said = Page(audit_page(audited({path: OWN}, {path: FOREIGN}), CANDIDATES, folder)).text
    assert "Right and wrong" not in said and "taken for the truth" not in said


def test_names_of_files_are_text_and_never_markup(text):
    page = Page(text)
    assert "<script>alert" not in text and len(page.all("script")) == 1
    assert "<script>alert(1)<_script>\"'&\\u202egnp.png" in page.text
    assert "\u202e" not in text
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    assert shown("a\nb\udc80") == "a\\nb\\udc80"


def test_it_loads_nothing_and_runs_but_its_own_script(text):
    page = Page(text)
    for _, attributes in page.elements:
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "url(" not in text and "@import" not in text
    (policy,) = [
        meta["content"]
        for meta in page.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    for tag in ("style", "script"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_each_image_has_its_pictures_and_those_that_cannot_see_them_are_told(text):
    page = Page(text)
    pictures = page.all("img")
    assert all(picture["alt"] for picture in pictures)
    # Six files are there; one of them has a reconstruction, and so a residual too.
    assert [p["alt"].partition(" ")[0] for p in pictures[:3]] == ["The", "The", "What"]
    assert len(pictures) == 3
    assert all("aria-labelledby" in each and each["role"] == "img" for each in page.all("svg"))
    assert {"lang": "en"} in page.all("html") and page.text.count("none kept") == 12


def test_hashes_and_settings_are_there(text, folder):
    said = Page(text).text
    assert hashlib.sha256(b"{}\n").hexdigest() in said
    for candidate in CANDIDATES:
        assert candidate.fingerprint in said and candidate.calibration.digest in said
    assert "seed 1" in said


def test_the_same_findings_make_the_same_page(text, folder):
    again = audit_page(mixed(folder), CANDIDATES, folder, settings={"images": HOSTILE, "seed": 1})
    assert Page(again).text.startswith(Page(text).text[:1000])


def test_of_many_images_some_are_shown_and_all_are_counted(folder):
    paths = [f"{folder}/many/{i}.png" for i in range(500)]
    found = audited(dict.fromkeys(paths, OWN), dict.fromkeys(paths, FOREIGN))
    text = audit_page(found, CANDIDATES, folder, samples=12)
    page = Page(text)
    assert "Of 500 images, the findings support that a made 500." in page.text
    assert "12 of 500 images." in page.text
    assert len([each for each in page.all("li") if "data-place" in each]) == 12
    assert len(text) < 300_000


def test_large_pictures_are_reduced_until_many_fit_on_a_page():
    noise = np.random.default_rng(0).integers(0, 256, (600, 400, 3), dtype=np.uint8)
    picture = drawn(noise, noise[::-1], made_by="a")
    assert picture.size * 240 < 10_000_000 and picture.image.startswith("data:image/jpeg")
    small = drawn(noise[:64, :64], noise[64:128, :64])
    assert small.image.startswith("data:image/png")  # With its very pixels.


def test_no_images_and_one_image_are_said(folder):
    path = str(folder / "a/1.png")
    one = Page(audit_page(audited({path: OWN}, {path: FOREIGN}), CANDIDATES, folder)).text
    assert "Of 1 image, the findings support that a made it." in one


def test_a_chart_shows_own_and_foreign_scores_and_the_limits_that_decide():
    drawn = chart(CANDIDATES[0], RATES, asked={0: 3}, score=1e-9)
    asked, own, edited, *others = drawn.strips
    assert (asked.num, own.num, edited.num) == (3, 100, 100)
    assert [(each.kind, each.num) for each in others] == [("foreign", 200), ("foreign", 200)]
    assert own.highest < 0.012 and others[0].lowest > 0.9
    over, up_to = thresholds(CANDIDATES[0].calibration, RATES)
    assert over == pytest.approx(0.1) and 0.1 < up_to < 1
    assert [line.score for line in drawn.limits] == [over, up_to]
    assert drawn.marker == pytest.approx(chart(CANDIDATES[0], RATES, score=1e-6).marker)
    for strip in drawn.strips:
        assert all(0 <= bar.x and bar.x + bar.width <= 480 for bar in strip.bars)


def test_a_chart_of_one_condition_has_its_scores_and_limits_alone():
    drawn = chart(CANDIDATES[0], RATES, score=0.05, condition="jpeg-75")
    own, *others = drawn.strips
    assert own.label == "Known to be a's, after jpeg-75" and own.num == 100
    assert [strip.num for strip in others] == [100, 100]
    as_made = thresholds(CANDIDATES[0].calibration, RATES, "as made")
    after = thresholds(CANDIDATES[0].calibration, RATES, "jpeg-75")
    assert as_made[0] == pytest.approx(0.01) and after[0] == pytest.approx(0.1)
    assert as_made[1] < after[1]


def test_a_calibration_without_foreign_images_is_said():
    alone = dataclasses.replace(CANDIDATES[0].calibration, foreign={})
    drawn = chart(dataclasses.replace(CANDIDATES[0], calibration=alone), RATES)
    assert [strip.kind for strip in drawn.strips] == ["own", "own"] and len(drawn.limits) == 1
