"""Files, from calibration to verdict: an image is compared with images stored as it is."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from jax_origin import Calibration, CalibrationError, Rates, attribute, calibrate
from jax_origin.calibration import AS_MADE, decide
from jax_origin.generators import StyleGAN2, with_settings
from jax_origin.images import decode_bytes, stored_image, stored_images, stored_pixels
from jax_origin.runs import explanations
from jax_origin.workflow import Likeness, belonging_images, decider_alike, likeness

KEY = jax.random.key(7)


@pytest.fixture(scope="module")
def own(generator):
    return belonging_images(generator, 5, key=jax.random.key(11))


def file_of(pixels, form, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return stored_image(file.getvalue(), decode_bytes(file.getvalue(), path="made"))


def verdicts(images, generator, calibration, **options):
    found = attribute(images, generator, calibration, key=KEY, **options)
    return [(verdict.verdict, verdict.condition) for verdict in found]


def test_own_and_foreign_images_are_scored_as_made_and_after_each_edit(under_storage, tmp_path):
    edits = ["jpeg-90", "jpeg-50"]
    assert list(under_storage.conditions) == edits
    groups = ("noise", "other")
    edited = [f"{group} after {edit}" for group in groups for edit in edits]
    assert set(under_storage.foreign) == {*groups, *edited}
    own = under_storage.belonging_by_condition.values()
    foreign = (group.scores for group in under_storage.foreign.values())
    assert all(len(scores) == 60 for scores in (*own, *foreign))
    under_storage.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == under_storage


@pytest.mark.outer
def test_images_made_under_other_settings_are_a_condition(noise, stored_method):
    sizes = {"image_size": 8, "widths": (16, 8), "z_dim": 4, "w_dim": 4, "mapping_layers": 2}
    generator = StyleGAN2(**sizes, noise_mode="none", latent_space="z", rngs=nnx.Rngs(3))
    # A mean that is no w of its own: what is truncated towards it, z alone cannot reach.
    generator.mapping.w_avg[...] = jnp.asarray([1.0, -1.0, 1.0, -1.0])
    generator.eval()
    truncated = "truncation_psi=0.5"
    alone = calibrate(generator, method=stored_method, num_belonging=40, conditions=(), key=KEY)
    conditions = (f"{truncated}+jpeg-50", truncated)
    both = calibrate(
        generator,
        method=stored_method,
        num_belonging=40,
        foreign={"noise": noise[:40]},
        conditions=conditions,
        key=KEY,
    )
    assert list(both.conditions) == ["jpeg-50", f"{truncated}+jpeg-50", truncated]
    assert list(both.foreign) == ["noise", "noise after jpeg-50"]
    assert both.belonging.tolist() == alone.belonging.tolist()
    maker = with_settings(generator, {"truncation_psi": 0.5})
    made = belonging_images(maker, 12, key=jax.random.key(2))
    jpegs = stored_images(made, "jpeg-50")
    assert likeness(stored_pixels(made[:1])[0], both).conditions == (AS_MADE, truncated)
    assert likeness(jpegs[0], both).conditions == ("jpeg-50", f"{truncated}+jpeg-50")
    assert {verdict for verdict, _ in verdicts(made, generator, alone)} == {"not_recognised"}
    for images, condition in ((made, truncated), (jpegs, f"{truncated}+jpeg-50")):
        found = verdicts(images, generator, both, full_scores=True)
        # One of twenty is turned away at this alpha.
        assert [verdict for verdict, _ in found].count("belongs") >= 10
        assert condition in {fitted for _, fitted in found}


def test_conditions_can_be_others_or_none(generator, stored_method):
    few = dataclasses.replace(stored_method, rates=Rates(0.4, 0.4))

    def conditions(*edits):
        made = calibrate(generator, method=few, num_belonging=2, conditions=edits, key=KEY)
        return list(made.conditions)

    assert conditions() == []
    assert conditions("clean", "resize-0.5") == ["resize-0.5"]
    for name, words in (
        ("jpg-75", r"unknown edit 'jpg-75'; did you mean"),
        ("psi=0.7", r"condition 'psi=0.7': tiny-0: wrong dcgan config: .*'psi'"),
        ("output_size=4", r"condition 'output_size=4': images are \(4, 4, 3\)"),
    ):
        with pytest.raises(CalibrationError, match=words):
            conditions(name)


def test_each_file_is_decided_by_its_own_kind(generator, under_storage, own, noise):
    fresh = np.random.default_rng(3).integers(0, 256, noise.shape, dtype=np.uint8)[:5]
    for edit, conditions in (
        *(("clean", {AS_MADE}), ("jpeg-50", {"jpeg-50"})),
        *(("jpeg-95", {"jpeg-90"}), ("jpeg-60-444", {"jpeg-90", "jpeg-50"})),
    ):
        mine = verdicts(stored_images(own, edit), generator, under_storage)
        theirs = verdicts(stored_images(fresh, edit), generator, under_storage)
        for found, verdict in ((mine, "belongs"), (theirs, "not_recognised")):
            assert [each for each, _ in found] == [verdict] * 5, edit
            assert {condition for _, condition in found} <= conditions
        full = verdicts(stored_images(own, edit), generator, under_storage, full_scores=True)
        assert full == mine


def test_a_webp_is_decided_by_what_it_stores(generator, stored_method, own, noise):
    files, highest = stored_images(own, "webp-80"), []
    assert {file.kind for file in files} == {"webp"}
    for by_set in (True, False):  # False is what calibrations mean that do not say it.
        distance = dataclasses.replace(stored_method.recipe.distance, webp=by_set)
        recipe = dataclasses.replace(stored_method.recipe, distance=distance)
        method = dataclasses.replace(stored_method, recipe=recipe, conditions=("webp-80",))
        options = {"num_belonging": 40, "foreign": {"noise": noise[:40]}, "key": KEY}
        calibration = calibrate(generator, method=method, **options)
        found = attribute(files, generator, calibration, key=KEY)
        # Held against pixels one lies a little over those that were calibrated.
        belong = [each.verdict for each in found].count("belongs")
        assert belong >= len(found) - (not by_set)
        assert "not_recognised" not in {each.verdict for each in found}
        highest.append(max(calibration.conditions["webp-80"]))
    assert highest[0] < highest[1] / 50


def test_kinds_in_one_call_get_the_verdicts_that_they_get_alone(generator, under_storage, own):
    mixed = [stored_images(own[i : i + 1], edit)[0] for i, edit in enumerate(["clean", "jpeg-90"])]
    together = attribute(mixed, generator, under_storage, key=KEY)
    apart = [attribute([image], generator, under_storage, key=KEY)[0] for image in mixed]
    for a, b in zip(together, apart, strict=True):
        assert (a.verdict, a.p, a.q, a.condition) == (b.verdict, b.p, b.q, b.condition)


def test_pixels_alone_cannot_tell_what_the_file_can(generator, under_storage, own):
    stored = stored_images(own, "jpeg-50")
    through_file = attribute(stored, generator, under_storage, key=KEY)
    pixels = np.stack([image.pixels for image in stored])
    as_pixels = attribute(pixels, generator, under_storage, key=KEY)
    assert max(v.score for v in through_file) < min(v.score for v in as_pixels)


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


def test_a_limit_on_false_attribution_is_kept_or_refused(generator, under_storage, own):
    # None of 60 supports 4.9% at 95% confidence.
    kept = verdicts(own, generator, under_storage, max_false_attribution=0.05)
    assert kept == verdicts(own, generator, under_storage)
    with pytest.raises(CalibrationError, match=r"39 more of 'noise'"):
        verdicts(own, generator, under_storage, max_false_attribution=0.03)
    # Foreign scores as low as its own: nothing can be attributed at such a rate.
    groups = {
        name: dataclasses.replace(group, scores=np.zeros(60))
        for name, group in under_storage.foreign.items()
    }
    mixed = dataclasses.replace(under_storage, foreign=groups)
    found = attribute(own, generator, mixed, key=KEY, beta=0.99, max_false_attribution=0.05)
    assert "belongs" not in {verdict.verdict for verdict in found}


def test_verdicts_are_told_in_plain_words(generator, under_storage, own):
    (verdict,) = attribute(own[:1], generator, under_storage, key=KEY)
    record = {**verdict.record(), "path": "own.png"}
    text = explanations([record, {"verdict": None}], under_storage).replace("\n", " ")
    assert "The findings support that tiny-0 made own.png. It fits" in text
    assert "images that tiny-0 made, also after jpeg-90" in text


def test_arrays_are_lossless_and_the_published_decision_knows_no_kinds(under_storage, own):
    assert likeness(stored_pixels(own)[0], under_storage) == ((AS_MADE,), None)
    jpeg = file_of(own[0], "JPEG", quality=5)
    published = dataclasses.replace(
        under_storage, method={**under_storage.method, "decision": {"kind": "published"}}
    )
    assert likeness(jpeg, published) == (None, None)
    found = decider_alike(published)(1.0, likeness(jpeg, published))
    assert found.verdict == "not_recognised"


def test_each_image_is_decided_by_the_conditions_that_it_is_like(under_storage):
    alike = [(AS_MADE,), ("jpeg-90",), (AS_MADE, "jpeg-90"), None]
    worse = {**under_storage.conditions, "jpeg-90": np.linspace(0.01, 1.0, 60)}
    apart = dataclasses.replace(under_storage, conditions=worse)
    decided = decider_alike(apart)
    wanted, found = [], []
    for score in np.linspace(0.0, 1.0, 9):
        for conditions in alike:
            found.append(decided(score, Likeness(conditions, None)))
            wanted += decide([score], apart, conditions=conditions)
    assert found == wanted
    assert found[::4] != found[1::4] and found[::4] != found[2::4]  # The conditions count.
    unlike = decided(0.0, Likeness((AS_MADE,), "lossless"))
    assert (unlike.verdict, unlike.reason) == ("undecided", "drift: lossless")
    assert decided(1.0, Likeness((AS_MADE,), "lossless")).verdict == "undecided"
    # Of an image in grey less is asked: what does not even fit so is not recognised.
    assert decided(0.0, Likeness((AS_MADE,), "in grey")).verdict == "undecided"
    assert decided(1.0, Likeness((AS_MADE,), "in grey")).verdict == "not_recognised"


def test_an_image_that_the_calibration_was_made_of_is_undecided(
    tmp_path, generator, under_storage, noise
):
    under_storage.save(tmp_path / "calibration.json")
    loaded = Calibration.load(tmp_path / "calibration.json")
    fresh = 255 - noise[:1]
    for edit, group in (("clean", "noise"), ("jpeg-90", "noise after jpeg-90")):
        images = [*stored_images(noise[7:8], edit), *stored_images(fresh, edit)]
        known, other = attribute(images, generator, loaded, key=KEY)
        assert (known.verdict, known.score_kind) == ("undecided", "full")
        assert known.reason == (
            f"drift: the calibration's foreign group {group!r} was made of this very image"
        )
        assert other.verdict == "not_recognised"
    (as_floats,) = attribute(noise[7:8] / np.float32(255), generator, loaded, key=KEY)
    assert as_floats.reason.startswith("drift: the calibration's foreign group 'noise'")


def test_a_calibration_without_digests_knows_no_image(generator, under_storage, noise):
    old = {
        name: dataclasses.replace(group, digests=())
        for name, group in under_storage.foreign.items()
    }
    without = dataclasses.replace(under_storage, foreign=old)
    assert "digests" not in old["noise"].to_json()
    assert verdicts(noise[7:8], generator, without) == [("not_recognised", AS_MADE)]
