"""Calibrations: what they hold, how they are made, and what is refused before the work."""

import dataclasses
import importlib

import jax
import numpy as np
import pytest
from flax import nnx

from jax_origin import (
    METHODS,
    Calibration,
    CalibrationError,
    ForeignImages,
    FunctionGenerator,
    Method,
    Rates,
    Run,
    Stage,
    Statistics,
    attribute,
    calibrate,
    register,
    rules,
    scores,
)
from jax_origin.calibration import TwoErrors, attribution_threshold
from jax_origin.generators import fingerprint
from jax_origin.workflow import Scorer, belonging_images, check_calibration, futility
from jax_origin.workflow.drift import score_again

KEY = jax.random.key(7)
# `jax_origin.workflow.calibrate` is the function.
CALIBRATE = importlib.import_module("jax_origin.workflow.calibrate")


@pytest.fixture(scope="module")
def own(generator):
    return belonging_images(generator, 6, key=jax.random.key(11))


@pytest.fixture(scope="module")
def few(method):
    """The method at rates that a handful of images can keep."""
    return dataclasses.replace(method, rates=Rates(0.4, 0.4))


def words(verdicts):
    return [verdict.verdict for verdict in verdicts]


def listening():
    """A run that notes its progress, and the notes."""
    told = []
    return Run(progress=lambda *news: told.append(news)), told


def test_a_calibration_says_what_it_was_made_with(calibration, generator, method):
    assert calibration.generator == {
        "name": "tiny-0",
        "fingerprint": fingerprint(generator),
        "latent_shape": [6],
        "image_shape": [8, 8, 3],
    }
    assert calibration.method == method.to_json()
    assert calibration.reference is None is calibration.encoders
    assert calibration.measured.futility == () and calibration.measured.score is None
    assert calibration.measured.scored_block == method.recipe.block
    assert calibration.seed == 0
    assert calibration.keys["key"] == [0, 0]
    assert calibration.packages["jax"] == jax.__version__
    assert calibration.platform == "cpu"
    assert len(calibration.belonging) == 99
    assert {name: group.independent for name, group in calibration.foreign.items()} == {
        "noise": 99,
        "other": 99,
    }


def test_a_calibration_is_shown_in_one_line(calibration):
    assert len(repr(calibration)) < 200 and "\n" not in repr(calibration)
    assert "'tiny' of 'tiny-0': 99 belonging scores" in repr(calibration)


def test_scores_are_those_of_fresh_images_from_other_starts(generator, calibration, method):
    key = jax.random.key(0)
    images = belonging_images(generator, 99, key=jax.random.fold_in(key, 0))
    scorer = Scorer(generator, method, key=jax.random.fold_in(key, 1))
    assert np.array_equal(scorer.scores(images[:4]), calibration.belonging[:4])
    found = scorer.found(images[:4])
    assert [(each.tag, each.score) for each in found] == list(enumerate(calibration.belonging[:4]))
    assert [float(each.inversion.loss) for each in found] == [each.score for each in found]


def test_several_draws_are_averaged(generator, method, own, noise):
    images = np.concatenate([own, noise[:8]])
    once = dataclasses.replace(method, score=scores.LatentPrior())
    twice = dataclasses.replace(once, draws=2)
    run = Run(statistics=Statistics())
    found = Scorer(generator, twice, key=KEY, run=run).found(images)
    assert [each.tag for each in found] == list(range(14)) and run.statistics.images == 14
    keys = (KEY, jax.random.fold_in(KEY, 1))
    draws = [Scorer(generator, once, key=key).found(images) for key in keys]
    for (_, score, one, *_), first, second in zip(found, *draws, strict=True):
        assert first.score != second.score and score == (first.score + second.score) / 2
        assert one.loss == first.inversion.loss
        assert np.array_equal(one.latent, first.inversion.latent)
        assert one.steps == first.inversion.steps + second.inversion.steps
    alone = Scorer(generator, twice, key=KEY).scores(images[3:4])
    assert alone == pytest.approx(found[3].score, rel=1e-5)


def test_with_a_reference_an_image_has_one_draw(generator, make_generator, few):
    twice = dataclasses.replace(few, score=scores.LatentPrior(), draws=2)
    ratio = calibrate(
        generator, method=twice, num_belonging=2, reference=make_generator(2), key=KEY
    )
    assert (ratio.method["score"], ratio.method["draws"]) == ({"kind": "reference_ratio"}, 1)


def test_the_same_key_gives_the_same_calibration_and_another_key_another(generator, few):
    def make(seed):
        return calibrate(generator, method=few, num_belonging=5, key=jax.random.key(seed))

    first = make(3)
    assert make(3) == first
    assert make(3).digest == first.digest
    assert not np.array_equal(make(4).belonging, first.belonging)


def test_a_method_says_how_many_images_it_is_calibrated_with(generator, few):
    seven = dataclasses.replace(few, num_images=7)
    assert len(calibrate(generator, method=seven, key=KEY).belonging) == 7
    assert len(calibrate(generator, method=seven, num_belonging=5, key=KEY).belonging) == 5
    assert METHODS["origin"].num_images == 200 and METHODS["ronan"].num_images == 100


def test_belonging_images_are_8_bit_and_of_fresh_latents(generator):
    images = belonging_images(generator, 103, key=KEY)  # more than are made at once
    assert images.dtype == np.uint8 and images.shape == (103, 8, 8, 3)
    assert len(np.unique(images.reshape(103, -1), axis=0)) == 103
    assert not np.array_equal(belonging_images(generator, 1, key=jax.random.key(8))[0], images[0])


def test_a_reference_model_makes_the_score_a_ratio(generator, make_generator, method, noise, own):
    reference = make_generator(2)
    method = dataclasses.replace(method, rates=Rates(0.05, 0.05))
    calibration = calibrate(
        generator,
        method=method,
        num_belonging=20,
        foreign={"noise": ForeignImages(noise[:20], 20)},
        reference=reference,
        key=KEY,
    )
    assert calibration.method["score"] == {"kind": "reference_ratio"}
    assert calibration.reference == fingerprint(reference)
    images = np.concatenate([own[:2], noise[50:52]])
    found = attribute(images, generator, calibration, key=KEY, reference=reference)
    assert words(found)[:2] == ["belongs"] * 2
    assert "belongs" not in words(found)[2:]
    in_full = dataclasses.replace(method, floor=0.0)
    loss = Scorer(generator, in_full, key=KEY).scores(images)
    other = Scorer(reference, in_full, key=KEY).scores(images)
    np.testing.assert_allclose([verdict.score for verdict in found], loss / other, rtol=1e-6)
    np.testing.assert_allclose([verdict.loss for verdict in found], loss, rtol=1e-6)

    with pytest.raises(CalibrationError, match=r"was made with reference \w{12}...; here.* none"):
        attribute(images, generator, calibration, key=KEY)
    with pytest.raises(CalibrationError, match=r"with reference \w{12}...; here.* reference \w"):
        check_calibration(calibration, generator, reference=make_generator(1))


def test_weights_of_nan_cannot_be_calibrated(make_generator, few):
    broken = make_generator(0)
    nnx.update(broken, jax.tree.map(lambda w: w * np.nan, nnx.state(broken, nnx.Param)))
    with pytest.raises(CalibrationError, match=r"'tiny-0' makes images with NaN.*damaged"):
        calibrate(broken, method=few, num_belonging=3, key=KEY)


def test_an_unknown_method_is_refused_before_any_work(generator):
    with pytest.raises(
        ValueError, match="unknown method 'orign'; choose from origin, origin-patient, "
    ):
        calibrate(generator, method="orign", key=KEY)


def small_reference():
    return FunctionGenerator(
        lambda weight, latents: latents.reshape(-1, 4, 4, 3) * 0.0 + weight,
        np.ones((), np.float32),
        latent_shape=(48,),
        image_shape=(4, 4, 3),
    )


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"num_belonging": 0}, CalibrationError, "num_belonging must be at least 1, not 0"),
        ({"num_belonging": 20}, CalibrationError, "alpha=0.01 needs at least 99 belonging images"),
        (
            {"foreign": {"a": 6}},
            CalibrationError,
            "'a' holds images of 6 independent sources: at beta=0.01 .* least 99",
        ),
        ({"foreign": {"a": 100, "b": 98}}, CalibrationError, "'b' holds images of 98 ind"),
        ({"foreign": {"a": 0}}, CalibrationError, "group 'a' holds no images: need at least one"),
        ({"foreign": {"a": (16, 16, 3)}}, ValueError, r"images are \(16, 16, 3\)"),
        ({"reference": True}, CalibrationError, r"reference makes images of \(4, 4, 3\)"),
        ({"conditions": ("jpg-75",)}, CalibrationError, "unknown edit 'jpg-75'; did you mean"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_before_any_work(
    generator, method, noise, options, error, words
):
    if "foreign" in options:
        sizes = options["foreign"].items()
        made = {
            name: noise[:n] if isinstance(n, int) else np.zeros((3, *n), np.uint8)
            for name, n in sizes
        }
        options = {**options, "foreign": made}
    if "reference" in options:
        options = {**options, "reference": small_reference()}
    run, told = listening()
    with pytest.raises(error, match=words) as caught:
        calibrate(generator, method=method, **options, key=KEY, run=run)
    assert told == [] and "\n" not in str(caught.value)


def test_a_rule_that_needs_more_images_says_so(generator, few):
    grubbs = dataclasses.replace(few, rule=rules.Grubbs())
    with pytest.raises(CalibrationError, match="at least 3 belonging"):
        calibrate(generator, method=grubbs, num_belonging=2, key=KEY)
    sure = dataclasses.replace(few, rule=rules.Conformal(confidence=0.9))
    with pytest.raises(CalibrationError, match=r"alpha=0\.4 at confidence 0\.9 needs at least 5"):
        calibrate(generator, method=sure, num_belonging=4, key=KEY)


def test_a_published_decision_needs_no_number_of_foreign_images(generator, method, noise):
    ronan = dataclasses.replace(METHODS["ronan"], recipe=method.recipe)
    made = calibrate(
        generator, method=ronan, num_belonging=3, foreign={"noise": noise[:2]}, key=KEY
    )
    assert made.foreign["noise"].scores.size == 2


def test_progress_tells_images_of_all_groups_under_both_models(
    generator, make_generator, few, noise
):
    run, told = listening()
    calibrate(
        generator,
        method=few,
        num_belonging=3,
        foreign={"noise": noise[:2]},
        reference=make_generator(2),
        key=KEY,
        run=run,
    )
    assert {(what, total) for what, _, total in told} == {("scoring", 5)}
    done = [part for _, part, _ in told]
    assert done == sorted(done) and done[-1] == pytest.approx(5)


def test_progress_tells_edits_and_futility(generator, few, noise):
    run, told = listening()
    calibrate(
        generator,
        method=few,
        num_belonging=20,
        foreign={"noise": noise[:6]},
        conditions=("jpeg-50",),
        futility=True,
        key=KEY,
        run=run,
    )
    ends = {what: (done, total) for what, done, total in told}
    assert list(ends) == ["fitting futility", "scoring"]
    assert ends["fitting futility"] == (pytest.approx(160), 160)  # Four times 20, twice.
    assert ends["scoring"] == (pytest.approx(20 * 2 + 6 * 2), 52)


def test_more_independent_sources_than_images_are_refused(generator, few, noise):
    groups = {"noise": ForeignImages(noise[:3], 4)}
    with pytest.raises(CalibrationError, match="from 1 to 3"):
        calibrate(generator, method=few, num_belonging=2, foreign=groups, key=KEY)


def grouped(generator, method, images, **known):
    """The foreign group that a calibration makes of images, as they are and edited."""
    method = dataclasses.replace(method, conditions=("jpeg-75",))
    group = ForeignImages(images, **known)
    calibration = calibrate(
        generator, method=method, num_belonging=2, foreign={"photos": group}, key=KEY
    )
    return [calibration.foreign[name] for name in ("photos", "photos after jpeg-75")]


def test_sources_and_choices_are_carried_to_all_edits(generator, few, noise):
    names = ["sea", "town", "sea", "wood", "town", "sea"]
    for group in grouped(generator, few, noise[:6], sources=names, used_for="recipe"):
        assert group.independent == 3 and group.used_for == ("recipe",)
        assert group.sources.tolist() == [0, 1, 0, 2, 1, 0]
        assert group.counting_scores().size == 3
        with pytest.raises(ValueError, match="was used for recipe"):
            attribution_threshold({"photos": group}, rate=0.9)


@pytest.mark.parametrize(
    ("order", "known", "sources"),
    [
        ([0, 1, 2, 3], {}, None),
        ([0, 1, 0, 2], {}, [0, 1, 0, 2]),
        ([0, 1, 0, 2], {"sources": [7, 7, 8, 9]}, [0, 0, 0, 1]),
        ([0, 1, 1, 0], {"sources": list("abcd")}, [0, 1, 1, 0]),
    ],
)
def test_equal_images_are_of_one_source(generator, few, noise, order, known, sources):
    group, edited = grouped(generator, few, noise[order], **known)
    assert group.scores.size == 4 and len(set(group.digests)) == len(set(order))
    assert group.independent == edited.independent == (len(set(sources)) if sources else 4)
    for each in (group, edited):
        assert (each.sources is None) if sources is None else (each.sources.tolist() == sources)


def test_a_number_of_sources_counts_no_image_twice(generator, few, noise):
    group, _ = grouped(generator, few, noise[[0, 1, 0, 1]], independent=3)
    assert (group.independent, group.sources) == (2, None)


@pytest.mark.parametrize("known", [{"sources": [1, 2]}, {"sources": [1, 2, 3], "independent": 3}])
def test_sources_that_do_not_fit_the_images_are_refused(generator, few, noise, known):
    with pytest.raises(CalibrationError, match="'photos': sources must name one for each of the 3"):
        grouped(generator, few, noise[:3], **known)


def test_a_method_without_a_rate_that_it_needs_is_refused_before_anything_is_inverted(
    generator, method
):
    def started(what, done, total):
        raise AssertionError(f"{what}: {total} images")

    for rates, what in ((Rates(0.1), "a beta where the decision needs one"), (Rates(), "an alpha")):
        nameless = dataclasses.replace(method, decision=TwoErrors(), rates=rates)
        with pytest.raises(CalibrationError, match=f"method.rates must name {what}"):
            calibrate(
                generator,
                method=nameless,
                foreign={},
                key=jax.random.key(0),
                run=Run(progress=started),
            )


@pytest.fixture(scope="module")
def hopeless(generator, make_generator, method, noise):
    """A calibration that gives up what falls more slowly than belonging images do."""
    other = belonging_images(make_generator(1), 99, key=jax.random.key(5))
    return calibrate(
        generator,
        method=method,
        num_belonging=99,
        foreign={"noise": ForeignImages(noise, 99), "other": other},
        futility=True,
        key=jax.random.key(0),
        seed=0,
    )


def test_futility_gives_foreign_images_up_and_changes_no_verdict(
    tmp_path, generator, make_generator, method, calibration, hopeless
):
    own = belonging_images(generator, 60, key=jax.random.key(21))
    other = belonging_images(make_generator(1), 20, key=jax.random.key(22))
    fresh = np.random.default_rng(23).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    many = np.concatenate([own, other, fresh])
    in_full = attribute(many, generator, calibration, key=KEY, full_scores=True)
    levels = hopeless.measured.futility
    assert len(levels) == method.recipe.checks == 4 + 6
    assert list(levels) == sorted(levels, reverse=True)
    assert 2e-6 < levels[-1] < 1e-4 and levels[0] > 1e-2
    hopeless.save(tmp_path / "calibration.json")
    found = attribute(
        many, generator, Calibration.load(tmp_path / "calibration.json"), key=KEY, full_scores=True
    )
    assert words(found)[60:] == words(in_full)[60:] == ["not_recognised"] * 40
    changed = [i for i in range(60) if words(found)[i] != words(in_full)[i]]
    assert len(changed) <= 3  # own images that were given up, as some of the calibration's were
    # Given up before the end, all of them, and the noise in the first stage.
    assert all(v.steps < f.steps for v, f in zip(found[60:], in_full[60:], strict=True))
    assert all(verdict.steps <= 2 * 40 for verdict in found[80:])
    kept = [i for i in range(60) if found[i].steps == in_full[i].steps]
    assert len(kept) >= 57
    assert all(found[i].record() == in_full[i].record() or i in changed for i in kept)


def test_what_futility_costs_is_in_the_scores_of_belonging_images(
    generator, few, calibration, hopeless, monkeypatch
):
    # The levels are of others of its own images: some of those that are calibrated with may be
    # given up, and their scores are what they were then.
    assert len(hopeless.belonging) == 99
    same = hopeless.belonging == calibration.belonging
    assert same.sum() >= 94
    assert (hopeless.belonging >= calibration.belonging).all()
    assert (hopeless.foreign["noise"].scores > calibration.foreign["noise"].scores).all()
    # With no margin at all, each level is the largest distance of a few others at a check.
    monkeypatch.setattr(futility, "_MARGIN", 0.0)
    monkeypatch.setattr(futility, "_TIMES", 1)
    common = {"method": few, "num_belonging": 40, "key": jax.random.key(0)}
    strict, plain = calibrate(generator, **common, futility=True), calibrate(generator, **common)
    assert (strict.belonging >= plain.belonging).all()
    assert (strict.belonging > 10 * plain.belonging).any()


def test_futility_beside_a_reference_is_refused(generator, make_generator, method):
    with pytest.raises(CalibrationError, match="leave out futility, or the reference"):
        calibrate(generator, method=method, futility=True, reference=make_generator(2), key=KEY)


def test_edits_are_calibrated_wherever_files_can_hold_them():
    def conditions(channels):
        made = CALIBRATE.Calibrator(
            FunctionGenerator(
                lambda _, z: jax.nn.sigmoid(z).reshape(-1, 8, 8, channels),
                None,
                latent_shape=(64 * channels,),
                image_shape=(8, 8, channels),
            ),
            "origin",
            conditions=None,
            reference=None,
            key=KEY,
            run=None,
        )
        return tuple(made.edits)

    assert conditions(3) == conditions(1) == METHODS["origin"].conditions
    assert conditions(2) == ()  # No file holds such an image.


@register
@dataclasses.dataclass(frozen=True)
class Contrast(scores.Loss):
    """The distance; an image whose grey levels deviate by less says too little."""

    kind = "contrast"
    enough: float = 40.0

    def reference(self, image, numbers, distance):
        return float(image.pixels.std())

    def least(self, reference):
        return 0.0 if reference >= self.enough else 1.0


def test_own_images_that_say_too_little_are_left_out(generator, few, tmp_path):
    images = belonging_images(generator, 40, key=jax.random.key(3))
    enough = float(np.median([image.std() for image in images]))
    method = dataclasses.replace(few, score=Contrast(enough), enough=0.5, num_images=40)
    made = calibrate(generator, method=method, belonging=images, conditions=("blur-1",), key=KEY)
    assert len(made.belonging) == 20 and made.measured.plain["as made"] == 20
    # Blurred, too few say enough to exclude any at alpha: it is no condition.
    assert made.measured.plain["blur-1"] > 38 and not made.conditions
    made.save(tmp_path / "made.json")
    assert Calibration.load(tmp_path / "made.json").measured == made.measured
    plain = next(image for image in images if image.std() < enough)
    (verdict,) = attribute(plain[None], generator, made, key=KEY)
    assert verdict.verdict == "undecided" and verdict.reason == "too little in it"
    # Drawn from the prior, own images are scored again where they say enough.
    drawn = calibrate(generator, method=method, num_belonging=40, conditions=(), key=KEY)
    again = score_again(generator, drawn, num=8)
    assert again.num < 8 and again.moved == 0 and drawn.measured.plain
    least = dataclasses.replace(method, score=Contrast(200.0))
    with pytest.raises(CalibrationError, match="40 of 40 belonging images say too little"):
        calibrate(generator, method=least, belonging=images, conditions=(), key=KEY)


def test_conditions_that_leave_another_size_are_refused(generator, few):
    with pytest.raises(CalibrationError, match=r"'cut-0.5': its images are \(4, 4, 3\)"):
        calibrate(generator, method=few, num_belonging=3, conditions=("cut-0.5",), key=KEY)


def test_origin_takes_the_longer_recipe_where_the_shorter_misses_own_images(
    generator, few, tmp_path, monkeypatch
):
    hasty = dataclasses.replace(few.recipe, stages=(Stage(steps=2),))
    short = dataclasses.replace(few, name="origin", recipe=hasty)
    monkeypatch.setattr(CALIBRATE, "SHORT", short)
    longer = (
        dataclasses.replace(short, name="origin-patient"),
        dataclasses.replace(few, name="origin-thorough"),
    )
    monkeypatch.setattr(CALIBRATE, "LONGER", longer)
    options = {"num_belonging": 5, "key": KEY}
    made = calibrate(generator, method=short, num_belonging=100, key=KEY)
    found = made.measured.found_again
    assert list(found) == ["origin", "origin-patient", "origin-thorough"]
    assert found["origin"][0] < 99 <= found["origin-thorough"][0] and found["origin"][1] == 100
    assert Method.of(made).recipe == few.recipe and made.method["name"] == "origin-thorough"
    assert np.count_nonzero(made.belonging > made.floor) <= 2
    assert len(made.measured.futility) == few.recipe.checks and made.measured.futility_power == 0.65
    made.save(tmp_path / "made.json")
    assert Calibration.load(tmp_path / "made.json").measured == made.measured
    # One that finds enough stays, and so does a method of another name.
    monkeypatch.setattr(CALIBRATE, "SHORT", dataclasses.replace(few, name="origin"))
    enough = calibrate(generator, method=CALIBRATE.SHORT, **options)
    assert enough.measured.found_again == {"origin": (100, 100)}
    assert enough.method["name"] == "origin" and enough.measured.futility == ()  # Too few.
    many = calibrate(generator, method=CALIBRATE.SHORT, num_belonging=100, key=KEY)
    assert len(many.measured.futility) == few.recipe.checks
    options["num_belonging"] = 100
    other = calibrate(generator, method=dataclasses.replace(short, name="hasty"), **options)
    assert other.measured.found_again == {} and Method.of(other).recipe == hasty
    assert other.measured.futility == ()  # It has to be asked for.


def test_an_image_is_found_where_its_score_comes_to_the_methods_floor(generator, few, monkeypatch):
    # All come nearer than the floor as a number, and none so near as a hundredth of a generic code.
    brief = dataclasses.replace(few.recipe, stages=(Stage(steps=1),))
    short = dataclasses.replace(
        few, name="origin", recipe=brief, score=scores.CodeRatio(), floor=0.01
    )
    longer = dataclasses.replace(short, name="origin-thorough", recipe=few.recipe)
    monkeypatch.setattr(CALIBRATE, "SHORT", short)
    monkeypatch.setattr(CALIBRATE, "LONGER", (longer,))
    options = {"num_belonging": 100, "key": KEY}
    made = calibrate(generator, method=short, conditions=(), futility=True, **options)
    found = made.measured.found_again
    assert found["origin"][0] < 50 < found["origin-thorough"][0]
    assert made.measured.futility
