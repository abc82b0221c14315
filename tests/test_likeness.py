"""An image is compared with images that are stored as it is, and with no others."""

import dataclasses
import io

import jax
import numpy as np
import pytest
from PIL import Image

from jax_origin import Descent, InversionConfig, Method, attribute, calibrate
from jax_origin.attribution import decide_alike, likeness
from jax_origin.calibration import AS_MADE, Calibration
from jax_origin.images import decode_bytes, stored_image, stored_images
from jax_origin.scoring import belonging_images

KEY = jax.random.key(7)
STORED = Method(
    name="tiny",
    inversion=InversionConfig(
        restarts=2,
        scales=(0.2, 0.8),
        stages=(Descent(steps=60, objective="stored_l1"), Descent(steps=4, solver="gauss_newton")),
        distance="stored",
        floor=2e-6,
    ),
    floor=2e-6,
    conditions=("jpeg-90", "jpeg-50"),
)


@pytest.fixture(scope="module")
def under_storage(generator, make_generator, noise):
    other = belonging_images(make_generator(1), 60, key=jax.random.key(5))
    foreign = {"noise": noise[:60], "other": other}
    return calibrate(generator, method=STORED, num_belonging=60, foreign=foreign, key=KEY)


@pytest.fixture(scope="module")
def own(generator):
    return belonging_images(generator, 5, key=jax.random.key(11))


def file_of(pixels, form, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return stored_image(file.getvalue(), decode_bytes(file.getvalue(), path="made"))


def verdicts(images, generator, calibration, **options):
    found = attribute(images, generator, calibration, key=KEY, alpha=0.05, beta=0.05, **options)
    return [(verdict.verdict, verdict.condition) for verdict in found]


def test_each_file_is_decided_by_its_own_kind(generator, under_storage, own, noise):
    fresh = np.random.default_rng(3).integers(0, 256, noise.shape, dtype=np.uint8)[:5]
    for edit, condition in (("clean", AS_MADE), ("jpeg-50", "jpeg-50"), ("jpeg-95", "jpeg-90")):
        mine = verdicts(stored_images(own, edit), generator, under_storage)
        assert mine == [("belongs", condition)] * 5
        theirs = verdicts(stored_images(fresh, edit), generator, under_storage)
        assert theirs == [("foreign", condition)] * 5
        full = verdicts(stored_images(own, edit), generator, under_storage, full_scores=True)
        assert full == mine


def test_kinds_in_one_call_get_the_verdicts_that_they_get_alone(generator, under_storage, own):
    mixed = [stored_images(own[i : i + 1], edit)[0] for i, edit in enumerate(["clean", "jpeg-90"])]
    together = attribute(mixed, generator, under_storage, key=KEY)
    apart = [attribute([image], generator, under_storage, key=KEY)[0] for image in mixed]
    for a, b in zip(together, apart, strict=True):
        assert (a.verdict, a.p, a.q, a.condition) == (b.verdict, b.p, b.q, b.condition)


@pytest.mark.parametrize(
    ("form", "options", "differs"),
    [
        ("WEBP", {"quality": 80}, "lossy WebP"),
        ("JPEG", {"quality": 20}, "JPEG of a lower quality"),
    ],
)
def test_a_file_like_none_that_was_calibrated_is_undecided(
    generator, under_storage, own, form, options, differs
):
    image = file_of(own[0], form, **options)
    for calibration in (under_storage, dataclasses.replace(under_storage, foreign={})):
        (found,) = attribute([image], generator, calibration, key=KEY)
        assert found.verdict == "undecided" and found.score_kind == "full"
        assert found.reason == f"drift: {differs}; calibrated: as made, jpeg-90, jpeg-50"
        assert 0 < found.p <= 1


def test_limits_are_those_of_the_kind(generator, under_storage, own):
    # A foreign group that comes as near as the own images do after JPEG 50 forbids that alone.
    low = under_storage.foreign["noise after jpeg-50"]
    low = dataclasses.replace(low, scores=np.zeros(60), independent=60)
    near = dataclasses.replace(
        under_storage, foreign={**under_storage.foreign, "noise after jpeg-50": low}
    )
    found = verdicts(
        [*stored_images(own, "clean"), *stored_images(own, "jpeg-50")], generator, near
    )
    assert found == [("belongs", AS_MADE)] * 5 + [("undecided", "jpeg-50")] * 5


def test_arrays_are_lossless_and_the_published_decision_knows_no_kinds(under_storage, own):
    assert likeness(own[0], under_storage) == ((AS_MADE,), None)
    jpeg = file_of(own[0], "JPEG", quality=5)
    published = dataclasses.replace(
        under_storage, method={**under_storage.method, "decision": "published"}
    )
    assert likeness(jpeg, published) == (None, None)
    found = decide_alike(1.0, likeness(jpeg, published), published, alpha=0.05)
    assert found.verdict == "foreign"


def test_an_image_that_the_calibration_was_made_of_is_undecided(
    tmp_path, generator, under_storage, noise
):
    under_storage.save(tmp_path / "calibration.json")
    loaded = Calibration.load(tmp_path / "calibration.json")
    fresh = 255 - noise[:1]
    for edit, group in (("clean", "noise"), ("jpeg-90", "noise after jpeg-90")):
        images = [*stored_images(noise[7:8], edit), *stored_images(fresh, edit)]
        known, other = attribute(images, generator, loaded, key=KEY, alpha=0.05, beta=0.05)
        assert (known.verdict, known.score_kind) == ("undecided", "full")
        assert known.reason == (
            f"drift: the calibration's foreign group {group!r} was made of this very image"
        )
        assert other.verdict == "foreign"
    (as_floats,) = attribute(noise[7:8] / np.float32(255), generator, loaded, key=KEY)
    assert as_floats.reason.startswith("drift: the calibration's foreign group 'noise'")


def test_a_calibration_without_digests_knows_no_image(generator, under_storage, noise):
    old = {
        name: dataclasses.replace(group, digests=())
        for name, group in under_storage.foreign.items()
    }
    without = dataclasses.replace(under_storage, foreign=old)
    assert "digests" not in old["noise"].to_json()
    assert verdicts(noise[7:8], generator, without) == [("foreign", AS_MADE)]
