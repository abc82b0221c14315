"""Calibrating and attributing through the file: conditions, stored images, and their limits."""

import dataclasses
import io

import jax
import numpy as np
import pytest
from PIL import Image

import jax_origin as jo
from jax_origin.audit import explanations
from jax_origin.images import decode_stored, stored_images
from jax_origin.inversion import Descent, InversionConfig
from jax_origin.scoring import belonging_images

RNG = np.random.default_rng(0)
# Smooth pictures: each latent number is a wave over the image, with a colour of its own.
ROWS, COLUMNS = np.mgrid[0:16, 0:16] / 16 * np.pi
WAVES = np.stack(
    [
        np.cos(i * ROWS)[..., None] * np.cos(j * COLUMNS)[..., None] * RNG.normal(0, 0.35, 3)
        for i in range(3)
        for j in range(3)
    ]
).astype(np.float32)


def picture(waves, latents):
    return jax.nn.sigmoid(jax.numpy.einsum("ni,ihwc->nhwc", latents, waves))


MINE = jo.FunctionGenerator(picture, WAVES, latent_shape=(9,), image_shape=(16, 16, 3))
METHOD = jo.Method(
    name="quick",
    inversion=InversionConfig(
        start="scaled",
        restarts=1,
        scales=(0.05,),
        stages=(
            Descent(steps=10, objective="stored_l1", learning_rate=0.1),
            Descent(steps=12, solver="gauss_newton", tolerance=0.05),
        ),
        distance="stored",
        floor=2e-6,
        lane_block=16,
    ),
    floor=2e-6,
    alpha=0.1,
    beta=0.1,
    conditions=("jpeg-75", "jpeg-50"),
)
NOISE = RNG.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
FRESH = RNG.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)


def calibrated(**options):
    return jo.calibrate(
        MINE,
        **{
            "method": METHOD,
            "num_belonging": 20,
            "foreign": {"noise": NOISE},
            "key": jax.random.key(0),
            **options,
        },
    )


@pytest.fixture(scope="module")
def calibration():
    return calibrated()


def verdicts(images, calibration, **options):
    return jo.attribute(images, MINE, calibration, key=jax.random.key(1), **options)


def test_belonging_and_foreign_images_are_scored_after_each_edit(calibration, tmp_path):
    edits = ["jpeg-75", "jpeg-50"]
    assert list(calibration.conditions) == edits
    assert list(calibration.foreign) == ["noise", *(f"noise after {edit}" for edit in edits)]
    assert all(len(scores) == 20 for scores in calibration.belonging_by_condition.values())
    calibration.save(tmp_path / "c.json")
    assert jo.Calibration.load(tmp_path / "c.json") == calibration


def test_own_images_belong_as_png_and_at_qualities_that_were_not_calibrated(calibration):
    own = belonging_images(MINE, 12, key=jax.random.key(7))
    for edit in ("clean", "jpeg-90", "jpeg-60-444"):
        found = verdicts(stored_images(own, edit), calibration)
        assert [v.verdict for v in found].count("belongs") >= 10, edit
        assert {v.verdict for v in verdicts(stored_images(FRESH, edit), calibration)} == {"foreign"}


def test_pixels_alone_cannot_tell_what_the_file_can(calibration):
    own = belonging_images(MINE, 12, key=jax.random.key(7))
    stored = stored_images(own, "jpeg-50")
    through_file = verdicts(stored, calibration)
    as_pixels = verdicts(np.stack([image.pixels for image in stored]), calibration)
    assert max(v.score for v in through_file) < min(v.score for v in as_pixels)


def test_a_file_on_disk_is_read_with_its_set(calibration, tmp_path):
    own = belonging_images(MINE, 1, key=jax.random.key(7))[0]
    data = io.BytesIO()
    Image.fromarray(own).save(data, "JPEG", quality=50)
    (tmp_path / "own.jpg").write_bytes(data.getvalue())
    decoded, stored = decode_stored(tmp_path / "own.jpg")
    assert stored.kind == "jpeg" and stored.note is None
    np.testing.assert_array_equal(stored.pixels, decoded.pixels)
    (verdict,) = verdicts([stored], calibration)
    assert (verdict.verdict, verdict.condition) == ("belongs", "jpeg-50")
    assert verdict.score < 1e-4 < verdict.loss


def test_conditions_can_be_others_or_none():
    assert calibrated(conditions=()).conditions == {}
    assert list(calibrated(conditions=("clean", "resize-0.5")).conditions) == ["resize-0.5"]
    with pytest.raises(jo.CalibrationError, match=r"unknown edit 'jpg-75'; did you mean"):
        calibrated(conditions=("jpg-75",))


def test_a_limit_on_false_attribution_is_kept_or_refused(calibration):
    own = belonging_images(MINE, 6, key=jax.random.key(7))
    # None of 20 supports 14% at 95% confidence.
    kept = verdicts(own, calibration, max_false_attribution=0.15)
    assert [v.verdict for v in kept] == [v.verdict for v in verdicts(own, calibration)]
    with pytest.raises(jo.CalibrationError, match=r"39 more of 'noise'"):
        verdicts(own, calibration, max_false_attribution=0.05)
    # Foreign scores as low as its own: nothing can be attributed at such a rate.
    groups = {
        name: dataclasses.replace(group, scores=np.zeros(20))
        for name, group in calibration.foreign.items()
    }
    mixed = dataclasses.replace(calibration, foreign=groups)
    found = verdicts(own, mixed, beta=0.99, max_false_attribution=0.15)
    assert "belongs" not in {v.verdict for v in found}


def test_verdicts_are_told_in_plain_words(calibration):
    own = belonging_images(MINE, 1, key=jax.random.key(7))
    (verdict,) = verdicts(own, calibration)
    record = {**dataclasses.asdict(verdict), "path": "own.png"}
    text = explanations([record, {"verdict": None}], calibration)
    assert "own.png was made by picture" in text.replace("\n", " ")
    assert "as made and after jpeg-75" in text.replace("\n", " ")
