import re

import numpy as np
import pytest

from jax_origin.calibration import (
    Conformal,
    Decision,
    ForeignGroup,
    Grubbs,
    Measured,
    Published,
    Rates,
    decide,
)
from jax_origin.calibration.decision_rules import FITS_BOTH, FITS_NEITHER
from jax_origin.calibration.rules import percent
from jax_origin.evidence import explain, explain_run
from tests.calibration import made_up

OWN = np.linspace(0.001, 0.1, 100)
PHOTOS = np.linspace(1, 2, 100)


def calibrated(foreign=None, *, belonging=OWN, **method):
    return made_up.calibrated(belonging, foreign, of="dcgan", **method)


def told(score, calibration, *, least=0.0, **options):
    (decision,) = decide([score], calibration, rates=options.get("rates"), least=least)
    text = explain(decision, calibration, score=score, image="cat.png", **options)
    assert "\n" not in text and "  " not in text and "None" not in text and "nan" not in text
    assert 1 <= len(re.findall(r"[.](?: |$)", text)) <= 8 and len(text) < 900
    return decision, text


def test_belongs():
    decision, text = told(0.0601, calibrated({"photographs": PHOTOS}))
    assert decision.verdict == "belongs"
    assert text.startswith(
        "The findings support that dcgan made cat.png. It fits dcgan's own images, and none of the "
        "foreign groups compared: photographs."
    )
    assert "Of 100 images known to be its own, 40 fit no better than this one." in text
    assert "No foreign image compared fits as well as this one." in text
    assert "at most 1% would be attributed, on average over such calibrations." in text
    # No source of 100 may lie as low: the upper limit of 0 of 100 is 1 - 0.05^(1/100).
    assert "For this calibration (not this image) the counts support at most 2.95% in" in text
    # And the ratio is at most the inverse of that.
    assert "is estimated to be at least 34 times as probable for an image that dcgan made" in text
    assert text.endswith(". So few images support no larger claim with 95% confidence.")


def test_not_recognised():
    groups = {"photographs": PHOTOS, "vae": PHOTOS - 0.5}
    decision, text = told(1.5, calibrated(groups), rates=Rates(0.02))
    assert decision.verdict == "not_recognised"
    assert text.startswith("There is no evidence that dcgan made cat.png, as it is. Other edits")
    assert "it does not mean that somebody else made it." in text
    assert "Of 100 images known to be its own, all fit better than this one." in text
    assert "of vae, the foreign group of which the largest share does, all fit as well" in text
    assert "Of its own images at most 2% would be missed so, on average" in text
    # A ratio would not weigh that it is an own image that met another edit.
    assert "times as probable" not in text and "did not make" not in text


def test_conditions_are_named():
    edited = calibrated({"photos": PHOTOS}, conditions={"jpeg-75": np.linspace(0.2, 0.4, 100)})
    _, text = told(0.3, edited)
    assert "that dcgan made cat.png. It fits dcgan's own images after jpeg-75, and" in text
    assert "Of 100 images known to be its own, after jpeg-75, " in text
    _, text = told(1.5, edited)
    assert "as it is or after the calibrated edits. Other edits are not excluded," in text


def test_the_count_is_of_the_condition_that_is_named():
    # After jpeg-75 own scores are higher: p is the largest, and there 94 fit no better.
    edited = calibrated({"photos": PHOTOS}, conditions={"jpeg-75": 10 * OWN})
    decision, text = told(0.0601, edited)
    assert (decision.condition, decision.p) == ("as made", 95 / 101)
    assert "Of 100 images known to be its own, 40 fit no better than this one." in text
    # Without a score it is not known what either condition says; nor of an image accepted early,
    # which condition it met.
    own = "Of the images known to be its own,"
    assert f"{own} 94.1% fit no better than this one, its" in explain(decision, edited)
    assert "is under the condition compared that it fits best." in explain(decision, edited)
    (decision,) = decide([0.5], edited)
    text = explain(decision._replace(condition=None), edited, score=0.5, early=True)
    assert f"{own} at least {percent(decision.p)} fit no better" in text
    grubbs = calibrated({"photos": PHOTOS}, conditions={"jpeg-75": OWN}, rule=Grubbs())
    (decision,) = decide([0.05], grubbs)
    assert "By the grubbs rule p is 1 under the condition compared" in explain(decision, grubbs)
    # Scores under the floor tie.
    tied = calibrated({"photos": PHOTOS}, belonging=OWN[:5].repeat(20), floor=0.2)
    assert "known to be its own, all fit no better" in told(0.15, tied)[1]


def test_foreign_images_that_met_another_edit_are_counted_where_they_decide():
    foreign = {"photos": PHOTOS, "photos after blur": np.linspace(0.01, 0.2, 100)}
    decision, text = told(0.05, calibrated(foreign, conditions={"blur": 1.5 * OWN}))
    assert (decision.reason, decision.condition) == (FITS_BOTH, "as made")
    assert "Of 100 independent sources of photos after blur, the foreign group of which" in text
    assert "does, 21 fit as well as this one." in text and "No foreign image" not in text
    assert "Under that condition such a score is estimated to be at least" in text


def test_one_image_of_a_large_group_is_not_passed_over_for_none_of_a_small_one():
    foreign = {"large": np.linspace(0.02, 2, 1000), "small": PHOTOS}
    decision, text = told(0.0215, calibrated(foreign, beta=0.02))
    assert decision.q == 1 / 101  # That of the small group: 2 / 1001 is less.
    assert "Of 1,000 independent sources of large, the foreign group of which" in text
    assert "does, 1 fits as well as this one." in text


def test_an_image_that_was_accepted_early_has_bounds():
    calibration = calibrated({"photographs": PHOTOS})
    (decision,) = decide([0.0601], calibration)
    text = explain(decision._replace(condition=None), calibration, score=0.0601, early=True)
    assert "near enough before the search ended, so the numbers are bounds." in text
    assert "at least 40 fit no better" in text
    assert "No foreign image compared fits as well as this one." in text
    assert "times as probable" not in text
    sized = calibrated({"a": PHOTOS, "b": PHOTOS[:19]}, beta=0.05)
    (decision,) = decide([0.0601], sized)
    text = explain(decision._replace(condition=None), sized, early=True)
    assert "at most 5% of the sources fit as well as this one, itself counted in." in text


def test_groups_of_different_size_are_told_by_their_share():
    _, text = told(1.0, calibrated({"photographs": PHOTOS, "vae": PHOTOS[:19]}))
    assert "Of 19 independent sources of vae, the foreign group of which the largest" in text


def test_sources_are_counted_and_not_images():
    crops = ForeignGroup(np.linspace(1, 2, 400), 100, sources=np.arange(400) % 100)
    _, text = told(0.05, calibrated({"photographs": crops}))
    assert "No foreign image compared fits as well" in text
    _, text = told(1.2, calibrated({"photographs": crops}))
    # 81 of 400 crops are under 1.2, all of the first 81 photographs.
    assert "Of 100 independent sources of photographs, the foreign group" in text
    assert "does, 80 fit as well as this one." in text


def test_fits_both():
    decision, text = told(0.05, calibrated({"photographs": np.linspace(0.03, 1, 100)}))
    assert decision.reason == FITS_BOTH
    assert text.startswith(
        "Undecided whether dcgan made cat.png: it fits dcgan's own images, and foreign ones as"
    )


def test_fits_neither():
    decision, text = told(0.5, calibrated({"photographs": PHOTOS}))
    assert decision.reason == FITS_NEITHER
    assert "it fits neither dcgan's own images nor foreign ones. An edited image" in text
    # Between own and foreign scores no calibration image lies: no ratio is made up.
    assert text.endswith("No likelihood ratio is given: no calibration image scored like this one.")


def test_too_little_in_it_says_what_would_be_needed():
    decision, text = told(1.2, calibrated({"photographs": PHOTOS}), least=1.2)
    assert decision.reason == "too little in it"
    assert "there is too little in it." in text and "A version with more detail" in text
    assert "times as probable" not in text


def test_too_few_calibration_images_are_named():
    decision, text = told(0.05, calibrated({"photographs": PHOTOS}, belonging=OWN[:20]))
    assert decision.verdict == "undecided"
    assert "alpha=0.01 needs at least 99 belonging images, this calibration has 20." in text


def test_a_reason_of_another_kind_is_repeated():
    calibration = calibrated({"photographs": PHOTOS})
    text = explain(Decision(0.5, 0.01, "undecided", "too wide a gap"), calibration)
    assert text == "Undecided whether dcgan made this image: too wide a gap."
    drift = "drift: lossy WebP; calibrated: ..."
    text = explain(Decision(0.5, 0.01, "undecided", drift), calibration)
    assert f"calibrated says nothing of a file like this one ({drift})." in text


@pytest.mark.parametrize(
    ("score", "begins"), [(0.05, "The findings support"), (0.5, "There is no")]
)
def test_without_foreign_images_what_is_unknown_is_said(score, begins):
    decision, text = told(score, calibrated())
    assert text.startswith(begins)
    assert ("no foreign image was scored." in text) == (decision.verdict == "belongs")


def test_the_published_rule_keeps_no_rate():
    published = {"decision": Published(), "rule": Grubbs(), "alpha": 0.05, "beta": None}
    decision, text = told(0.05, calibrated({"photographs": PHOTOS}, **published))
    assert decision.verdict == "belongs"
    assert "By the grubbs rule, set on 100 images known to be its own, p is 1" in text
    assert "would be attributed is not kept to any rate." in text
    decision, text = told(0.5, calibrated({"photographs": PHOTOS}, **published))
    assert decision.verdict == "not_recognised"
    assert "The rule asks that 5% of its own images be missed so; how many are depends" in text


def test_a_confidence_is_told():
    calibration = calibrated({"photographs": PHOTOS}, alpha=0.05, rule=Conformal(0.95))
    _, text = told(0.0995, calibration)
    assert "at most 4.66% of its own fit no better than this one, with 95% confidence." in text
    _, text = told(1.5, calibration)
    assert "at most 5% would be missed so, with 95% confidence." in text


def test_choices_on_the_images_leave_no_limit():
    used = ForeignGroup(PHOTOS, 100, used_for=("recipe",))
    _, text = told(0.05, calibrated({"photographs": used}))
    assert "Choices were made on these images, so this calibration has no limit." in text
    assert "95% confidence in each" not in text


def test_what_all_of_a_run_rest_on():
    conditions = {"jpeg-75": OWN, "resize-0.5": OWN, "truncation_psi=0.7": OWN}
    calibration = calibrated(
        {"photographs": PHOTOS, "photographs after jpeg-75": PHOTOS},
        belonging=np.linspace(0.001, 0.1, 200),
        conditions=conditions,
    )
    text = explain_run(calibration)
    assert "200 images that dcgan made, also after jpeg-75, resize-0.5 and with trunc" in text
    assert "with foreign images, too: photographs (100 sources), each also edited likewise." in text
    assert "A photograph that someone passed through dcgan belongs, too." in text
    # Beta(2, 199): its 5% and 95% quantiles.
    assert "rate lies between 0.178% and 2.35% nine times in ten." in text
    assert "Of its own 200 images as made, 0 could not be told from foreign ones (0% to " in text
    # 0.01 * 999 false ones to 0.99 true ones.
    assert "If one in 1,000 were, and 99% of these belonged, up to 91% of the attrib" in text
    assert "did not look so" not in text


def test_a_rule_with_a_confidence_has_the_interval_of_its_own_rank():
    options = {"belonging": np.linspace(0.001, 0.1, 200), "rule": Conformal(0.95)}
    text = explain_run(calibrated({"photos": PHOTOS}, alpha=0.05, **options))
    # The largest k with P(Beta(k, 201 - k) > 0.05) <= 0.05 is 5: Beta(5, 196).
    assert "fail to fit them, with 95% confidence;" in text
    assert "rate lies between 0.99% and 4.52% nine times in ten." in text
    assert "nine times in ten" not in explain_run(calibrated({"photos": PHOTOS}, **options))


def test_conditions_that_a_file_may_not_show_are_told():
    calibration = calibrated(
        {"photos": PHOTOS},
        conditions={"resize-0.5": OWN},
        measured=Measured(unseen={"resize-0.5": 3}),
    )
    text = explain_run(calibration)
    # The upper limit of 3 of 100.
    assert "Of 100 of its own images after 'resize-0.5', 3 did not look as if" in text
    assert "at most 7.57%" in text


def test_a_knife_edge_is_told_with_the_images_that_would_settle_it():
    belonging = np.concatenate([np.linspace(0.001, 0.1, 198), [1.5, 1.6]])
    text = explain_run(calibrated({"photos": PHOTOS}, belonging=belonging))
    assert "as made, 2 could not be told from foreign ones (0.121% to 3.57%" in text
    assert "do not settle whether the rate is over 1% or under it" in text


def test_what_an_image_was_read_as():
    groups = calibrated({"photographs": PHOTOS})
    _, text = told(1.5, groups, rates=Rates(0.02), tried=("mirrored left to right",))
    assert "made cat.png, as it is or turned or mirrored. Other edits" in text
    _, text = told(1.5, groups, rates=Rates(0.02), tried=("mirrored left to right", "retouched"))
    assert "made cat.png, as it is, turned or mirrored or retouched. Other edits" in text
    every = ("mirrored left to right", "retouched", "reframed to 85% of a side or more")
    _, text = told(1.5, groups, rates=Rates(0.02), tried=every)
    assert "turned or mirrored, retouched or reframed to 85% of a side or more. Other" in text
    decision = Decision(0.4, 0.015, "belongs", None)
    reading = {"reading": "mirrored left to right", "share": 2 / 3}
    text = explain(decision, groups, score=0.0601, **reading)
    assert "judged as an image that had been mirrored left to right: as it is it does not" in text
    assert "66.7% of the chances" in text
    assert "at most 1% would be attributed by all such readings together, on average" in text
    run = explain_run(groups, read_again=True)
    assert "Each of the two attributes 1% of a foreign group at most, beside the 1%" in run
    assert "mirrored" not in explain_run(groups)
    # The ratio of 34 above, for two thirds of the chances.
    assert "estimated to be at least 23 times as probable" in text


def test_an_image_of_another_size_is_told_as_what_it_was_taken_for():
    groups = calibrated({"photographs": PHOTOS})
    words = "enlarged from 32x32 (bicubic)"
    text = explain(Decision(0.4, 0.005, "belongs", None), groups, score=0.0601, reading=words)
    assert f"It was judged as an image that had been {words}. " in text
    assert "as it is it does not fit" not in text and "all such readings" not in text
    tried = (words, "enlarged from 32x32 (lanczos)")
    _, text = told(1.5, groups, rates=Rates(0.02), tried=tried)
    assert f"made cat.png, {words} or enlarged from 32x32 (lanczos). Other edits" in text
