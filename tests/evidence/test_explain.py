import re

import numpy as np
import pytest

from jax_origin.calibration import (
    Conformal,
    Decision,
    ForeignGroup,
    Grubbs,
    Published,
    Rates,
    decide,
    explain,
    false_attribution_limits,
)
from jax_origin.calibration.decision_rules import FITS_BOTH, FITS_NEITHER

from . import made_up

OWN = np.linspace(0.001, 0.1, 100)
PHOTOS = np.linspace(1, 2, 100)


def calibrated(foreign=None, *, belonging=OWN, **method):
    return made_up.calibrated(belonging, foreign, of="dcgan", **method)


def told(score, calibration, **options):
    (decision,) = decide([score], calibration, rates=options.get("rates"))
    text = explain(decision, calibration, image="cat.png", **options)
    assert text.startswith("The question was whether cat.png was made by dcgan.")
    assert text.endswith("and is not the probability that the verdict is right.")
    assert "edits of dcgan's images that were not calibrated" in text
    assert 4 <= len(re.findall(r"[.](?: |$)", text)) <= 8 and len(text) < 1200
    assert "\n" not in text and "  " not in text and "None" not in text
    return decision, text


def test_belongs():
    decision, text = told(0.0601, calibrated({"photographs": PHOTOS}))
    assert decision.verdict == "belongs"
    assert "Of 100 images known to be its own, 40 score as high as this one or higher." in text
    assert "Of 100 foreign images (photographs), none scores as low as this one or lower." in text
    assert "The verdict is that dcgan made it." in text
    assert "at most 1% would be called dcgan's, on average over such calibrations." in text
    assert "or other origins than photographs, and" in text


def test_foreign():
    decision, text = told(
        1.5, calibrated({"photographs": PHOTOS, "vae": PHOTOS - 0.5}), rates=Rates(0.02)
    )
    assert decision.verdict == "not_recognised"
    assert "Of 100 images known to be its own, none scores as high" in text
    assert "nearest (100 images; of photographs and vae), 100 score as low" in text
    assert "dcgan did not make it. Of dcgan's own images, at most 2% would be turned away" in text
    # Whether other origins are covered is no question for an image that is not its own.
    assert "other origins" not in text


def test_groups_of_different_size_are_told_by_their_share():
    _, text = told(1.0, calibrated({"photographs": PHOTOS, "vae": PHOTOS[:19]}))
    assert "comes nearest (of photographs and vae), about 10% score as low" in text


def test_one_score_in_the_singular():
    _, text = told(1.0, calibrated({"photographs": PHOTOS}, alpha=0.02, beta=0.02))
    assert "1 scores as low as this one or lower" in text


def test_fits_both():
    decision, text = told(0.05, calibrated({"photographs": np.linspace(0.03, 1, 100)}))
    assert decision.reason == FITS_BOTH
    assert "undecided: the image fits dcgan's own images and foreign ones alike." in text
    assert "made it" not in text


def test_fits_neither():
    decision, text = told(0.5, calibrated({"photographs": PHOTOS}))
    assert decision.reason == FITS_NEITHER
    assert "fits neither dcgan's own images nor the foreign ones, as an edited image" in text
    assert "An undecided image is not called foreign." in text


def test_too_few_calibration_images_are_named():
    decision, text = told(0.05, calibrated({"photographs": PHOTOS}, belonging=OWN[:20]))
    assert decision.verdict == "undecided"
    assert "alpha=0.01 needs at least 99 belonging images, this calibration has 20." in text


def test_a_reason_of_another_kind_is_repeated():
    calibration = calibrated({"photographs": PHOTOS})
    text = explain(Decision(0.5, 0.01, "undecided", "too wide a gap"), calibration)
    assert "The verdict is undecided: too wide a gap." in text
    text = explain(
        Decision(0.5, 0.01, "undecided", "drift: lossy WebP; calibrated: ..."), calibration
    )
    assert "calibrated says nothing of an image like this one (drift: lossy WebP" in text


@pytest.mark.parametrize(("score", "verdict"), [(0.05, "made it"), (0.5, "did not make it")])
def test_without_foreign_images_what_is_unknown_is_said(score, verdict):
    decision, text = told(score, calibrated())
    assert f"dcgan {verdict}." in text
    unknown = "called its own is not known: no foreign image was scored."
    assert (unknown in text) == (decision.verdict == "belongs")
    assert "other origins" not in text


def test_the_published_rule_keeps_no_rate():
    published = {"decision": Published(), "rule": Grubbs(), "alpha": 0.05, "beta": None}
    decision, text = told(0.05, calibrated({"photographs": PHOTOS}, **published))
    assert decision.verdict == "belongs"
    assert "By the grubbs rule, set on 100 images known to be its own, p is 1" in text
    assert "would be called its own is not kept to any rate." in text
    decision, text = told(0.5, calibrated({"photographs": PHOTOS}, **published))
    assert decision.verdict == "not_recognised"
    assert "The rule asks that 5% of dcgan's own images be turned away; how many are dep" in text


def test_a_confidence_is_told():
    calibration = calibrated({"photographs": PHOTOS}, alpha=0.05, rule=Conformal(0.95))
    _, text = told(0.0995, calibration)
    assert "at most 4.66% of its own score as high as this one or higher, with 95% conf" in text
    _, text = told(1.5, calibration)
    assert "at most 5% would be turned away so, with 95% confidence." in text


def test_limits_from_fresh_images_are_told_where_there_are_any():
    calibration = calibrated({"photographs": PHOTOS})
    fresh = {
        "photographs": ForeignGroup(PHOTOS, 50),
        "sdxl": ForeignGroup(np.linspace(0.05, 3, 300), 300),
    }
    limits = false_attribution_limits(fresh, accepting=0.1)
    _, text = told(0.05, calibration, limits=limits)
    assert "(0 of 50 in photographs and 6 of 300 in sdxl called its own)" in text
    assert "to at most 5.82%, with 95% confidence, in the worst group." in text
    used = {name: group.marked("threshold") for name, group in fresh.items()}
    _, text = told(0.05, calibration, limits=false_attribution_limits(used, accepting=0.1))
    assert "No limit is given for the foreign images at hand, since choices were made on" in text
    assert "95%" not in text
    # A limit on false attribution says nothing of an image that is not attributed.
    assert "95%" not in told(1.5, calibration, limits=limits)[1]
