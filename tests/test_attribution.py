import dataclasses
import itertools

import jax
import numpy as np
import pytest
from flax import nnx

import jax_origin.attribution
import jax_origin.calibrating
from jax_origin import (
    METHODS,
    Calibration,
    CalibrationError,
    FunctionGenerator,
    StartTraining,
    Statistics,
    Verdict,
    learn_start,
)
from jax_origin.attribution import attribute, attribute_stream, check_calibration
from jax_origin.calibrating import calibrate, evaluations_to_calibrate
from jax_origin.calibration import accepting_score, attribution_threshold, decide
from jax_origin.foreign_images import ForeignImages
from jax_origin.generators import fingerprint
from jax_origin.methods import get_method
from jax_origin.scoring import belonging_images, learned_starts, score_images, score_stream

KEY = jax.random.key(7)
UNKNOWN = "false_attribution: unknown"


@pytest.fixture(scope="module")
def own(generator):
    return belonging_images(generator, 6, key=jax.random.key(11))


@pytest.fixture(scope="module")
def foreign(make_generator):
    """Foreign images that no calibration has seen: noise, and another generator's."""
    noise = np.random.default_rng(12).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    return np.concatenate([noise, belonging_images(make_generator(1), 4, key=jax.random.key(12))])


@pytest.fixture(scope="module")
def verdicts(generator, calibration, own, foreign):
    return attribute(np.concatenate([own, foreign]), generator, calibration, key=KEY)


@pytest.fixture(scope="module")
def broken(make_generator):
    """A generator whose weights are NaN."""
    model = make_generator(0)
    nnx.update(model, jax.tree.map(lambda w: w * np.nan, nnx.state(model, nnx.Param)))
    return model


def words(verdicts):
    return [verdict.verdict for verdict in verdicts]


def without_foreign(calibration):
    return dataclasses.replace(calibration, foreign={})


def test_own_images_belong_and_foreign_ones_do_not(verdicts):
    assert words(verdicts) == ["belongs"] * 6 + ["foreign"] * 8
    assert all(verdict.error is verdict.reason is None for verdict in verdicts)


def test_a_verdict_carries_all_that_it_rests_on(verdicts, own, calibration, method):
    first = verdicts[0]
    assert isinstance(first, Verdict)
    assert (first.generator, first.method) == ("tiny-0", "tiny")
    assert (first.index, first.score_kind) == (0, "upper_bound")
    assert first.steps < method.inversion.evaluations((6,))
    assert first.score == first.loss <= calibration.floor
    assert first.p == 1.0 and first.q == pytest.approx(0.01, abs=1e-3)
    assert first.reconstruction.shape == (8, 8, 3)
    error = ((first.reconstruction - own[0] / 255) ** 2).mean()
    assert first.loss == pytest.approx(error, rel=1e-3)
    last = verdicts[-1]
    assert (last.index, last.score_kind) == (13, "full")
    assert last.steps == method.inversion.evaluations((6,)) == 2 * 40 + 60
    assert last.p == pytest.approx(0.01) and last.q > 0.01
    assert last.score > calibration.floor


def test_stricter_rates_can_be_asked_for_but_need_more_images(calibration, generator, own):
    strict = attribute(own[:1], generator, calibration, key=KEY, beta=0.001)[0]
    assert strict.verdict == "undecided"
    assert strict.reason.startswith("too few calibration images: beta=0.001 needs at least 999")
    loose = attribute(own[:1], generator, calibration, key=KEY, alpha=0.2, beta=0.2)[0]
    assert loose.verdict == "belongs"


def test_too_few_belonging_images_leave_a_foreign_image_undecided(generator, calibration, foreign):
    small = dataclasses.replace(calibration, belonging=calibration.belonging[:20])
    verdict = attribute(foreign[:1], generator, small, key=KEY)[0]
    assert verdict.verdict == "undecided"
    assert "alpha=0.01 needs at least 99 belonging images, this calibration has 20" in (
        verdict.reason
    )


def test_without_foreign_images_the_verdict_says_what_is_unknown(
    generator, calibration, own, foreign
):
    images = np.concatenate([own[:1], foreign[:1]])
    found = attribute(images, generator, without_foreign(calibration), key=KEY)
    assert words(found) == ["belongs", "foreign"]
    assert [(verdict.q, verdict.reason) for verdict in found] == [(None, UNKNOWN)] * 2


def test_an_image_alone_gets_the_verdict_that_it_gets_in_a_batch(
    generator, calibration, own, foreign, verdicts
):
    alone = attribute(own[2:3], generator, calibration, key=KEY)
    assert alone == [dataclasses.replace(verdicts[2], index=0)]
    assert attribute(foreign[[5, 0]], generator, calibration, key=KEY) == [
        dataclasses.replace(verdicts[11], index=0),
        dataclasses.replace(verdicts[6], index=1),
    ]


def test_floats_get_the_verdict_of_their_8_bit_images(generator, calibration, own, verdicts):
    assert attribute(own / np.float32(255), generator, calibration, key=KEY) == verdicts[:6]


def test_no_images_are_no_verdicts(generator, calibration, own):
    assert attribute(own[:0], generator, calibration, key=KEY) == []


def test_images_of_another_size_are_refused(generator, calibration):
    with pytest.raises(ValueError, match=r"images are \(16, 16, 3\).*makes \(8, 8, 3\)"):
        attribute(np.zeros((1, 16, 16, 3), np.uint8), generator, calibration, key=KEY)


def test_a_calibration_of_another_model_is_refused(make_generator, calibration, own):
    with pytest.raises(CalibrationError, match=r"was made for generator 'tiny-0'.*not 'tiny-1'"):
        attribute(own, make_generator(1), calibration, key=KEY)


def test_a_calibration_of_the_same_model_with_one_other_weight_is_refused(
    make_generator, calibration, own
):
    changed = make_generator(0)
    state = nnx.state(changed, nnx.Param)
    leaves, tree = jax.tree.flatten(state)
    leaves[-1] = leaves[-1].at[(0,) * leaves[-1].ndim].add(1e-3)
    nnx.update(changed, jax.tree.unflatten(tree, leaves))
    with pytest.raises(CalibrationError, match="was made for generator 'tiny-0'"):
        attribute(own, changed, calibration, key=KEY)


def test_a_calibration_says_what_it_was_made_with(calibration, generator, method):
    assert calibration.generator == {
        "name": "tiny-0",
        "fingerprint": fingerprint(generator),
        "latent_shape": [6],
        "image_shape": [8, 8, 3],
    }
    assert calibration.method["name"] == "tiny"
    assert calibration.method["reference"] is None
    assert calibration.method["inversion"]["restarts"] == method.inversion.restarts
    assert calibration.seed == 0
    assert calibration.keys["key"] == [0, 0]
    assert calibration.packages["jax"] == jax.__version__
    assert calibration.platform == "cpu"
    assert len(calibration.belonging) == 99
    assert {name: group.independent for name, group in calibration.foreign.items()} == {
        "noise": 25,
        "other": 99,
    }


def test_a_calibration_from_a_file_gives_the_same_verdicts(
    tmp_path, generator, calibration, own, verdicts
):
    calibration.save(tmp_path / "calibration.json")
    loaded = Calibration.load(tmp_path / "calibration.json")
    assert attribute(own[:3], generator, loaded, key=KEY) == verdicts[:3]


def test_calibration_scores_are_those_of_fresh_images_from_other_starts(
    generator, calibration, method
):
    key = jax.random.key(0)
    images = belonging_images(generator, 99, key=jax.random.fold_in(key, 0))
    starts = jax.random.fold_in(key, 1)
    scores = score_images(generator, images[:4], method, key=starts)
    assert np.array_equal(scores, calibration.belonging[:4])
    streamed = sorted(score_stream(generator, images[:4], method, key=starts), key=lambda s: s[0])
    assert [(i, float(score)) for i, score, _ in streamed] == list(enumerate(scores))
    assert [float(found.loss) for _, _, found in streamed] == scores.tolist()


def test_several_draws_are_averaged(generator, method, own, foreign):
    images = np.concatenate([own, foreign])
    once = dataclasses.replace(method, score="latent_prior")
    twice = dataclasses.replace(once, draws=2)
    statistics = Statistics()
    streamed = score_stream(generator, iter(images), twice, key=KEY, statistics=statistics)
    found = {index: (score, one) for index, score, one in streamed}
    assert sorted(found) == list(range(14)) and statistics.images == 14
    each = [
        {
            index: (score, one)
            for index, score, one in score_stream(generator, images, once, key=key)
        }
        for key in (KEY, jax.random.fold_in(KEY, 1))
    ]
    for index, (score, one) in found.items():
        (first, kept), (second, other) = (draw[index] for draw in each)
        assert first != second and score == (first + second) / 2
        assert one.loss == kept.loss and np.array_equal(one.latent, kept.latent)
        assert one.steps == kept.steps + other.steps
    alone = score_images(generator, images[3:4], twice, key=KEY)
    assert alone == pytest.approx(found[3][0], rel=1e-5)
    assert twice.evaluations((6,)) == 2 * method.inversion.evaluations((6,))


def test_with_a_reference_an_image_has_one_draw(generator, make_generator, method):
    twice = dataclasses.replace(method, score="latent_prior", draws=2)
    ratio = calibrate(
        generator, method=twice, num_belonging=2, reference=make_generator(2), key=KEY
    )
    assert (ratio.method["score"], ratio.method["draws"]) == ("reference_ratio", 1)


def test_the_same_key_gives_the_same_calibration_and_another_key_another(generator, method):
    def make(seed):
        return calibrate(generator, method=method, num_belonging=5, key=jax.random.key(seed))

    first = make(3)
    assert make(3) == first
    assert make(3).digest == first.digest
    assert not np.array_equal(make(4).belonging, first.belonging)


def test_a_method_says_how_many_images_it_is_calibrated_with(generator, method):
    few = dataclasses.replace(method, num_images=7)
    assert len(calibrate(generator, method=few, key=KEY).belonging) == 7
    assert len(calibrate(generator, method=few, num_belonging=5, key=KEY).belonging) == 5
    assert METHODS["origin"].num_images == 200 and METHODS["ronan"].num_images == 100


def test_belonging_images_are_8_bit_and_of_fresh_latents(generator):
    images = belonging_images(generator, 103, key=KEY)  # more than are made at once
    assert images.dtype == np.uint8 and images.shape == (103, 8, 8, 3)
    assert len(np.unique(images.reshape(103, -1), axis=0)) == 103
    assert not np.array_equal(belonging_images(generator, 1, key=jax.random.key(8))[0], images[0])


def test_ronan_excludes_by_grubbs_test_alone(generator, method, noise, own, foreign):
    published = METHODS["ronan"]
    # The published decision; the inversion that is compiled already stands in for 1,500 steps.
    ronan = dataclasses.replace(published, inversion=method.inversion)
    calibration = calibrate(
        generator, method=ronan, num_belonging=20, foreign={"noise": noise[:5]}, key=KEY
    )
    found = attribute(np.concatenate([own, foreign]), generator, calibration, key=KEY)
    assert words(found)[6:] == ["foreign"] * 8
    assert words(found)[:6].count("belongs") >= 5
    assert all(verdict.method == "ronan" and verdict.reason is None for verdict in found)
    assert all((verdict.verdict == "foreign") == (verdict.p <= 0.05) for verdict in found)
    alone = attribute(own[:1], generator, without_foreign(calibration), key=KEY)[0]
    assert (alone.p, alone.q, alone.reason) == (found[0].p, None, UNKNOWN)


def test_a_reference_model_makes_the_score_a_ratio(
    generator, make_generator, method, noise, own, foreign
):
    reference = make_generator(2)
    calibration = calibrate(
        generator,
        method=method,
        num_belonging=20,
        foreign={"noise": ForeignImages(noise[:20], 20)},
        reference=reference,
        key=KEY,
    )
    assert calibration.method["score"] == "reference_ratio"
    assert calibration.method["reference"] == fingerprint(reference)
    images = np.concatenate([own[:2], foreign[:2]])
    rates = {"alpha": 0.05, "beta": 0.05}
    found = attribute(images, generator, calibration, key=KEY, reference=reference, **rates)
    assert words(found)[:2] == ["belongs"] * 2
    assert "belongs" not in words(found)[2:]
    loss = score_images(generator, images, method, key=KEY)
    other = score_images(reference, images, method, key=KEY)
    np.testing.assert_allclose([verdict.score for verdict in found], loss / other, rtol=1e-6)
    np.testing.assert_allclose([verdict.loss for verdict in found], loss, rtol=1e-6)

    with pytest.raises(CalibrationError, match=r"was made with reference \w{12}...; here.* none"):
        attribute(images, generator, calibration, key=KEY)
    with pytest.raises(CalibrationError, match=r"with reference \w{12}...; here.* reference \w"):
        check_calibration(calibration, generator, reference=make_generator(1))


def test_a_reference_that_the_calibration_knows_nothing_of_is_refused(
    generator, make_generator, calibration, own
):
    with pytest.raises(CalibrationError, match="was made with no reference"):
        attribute(own, generator, calibration, key=KEY, reference=make_generator(1))


def test_weights_of_nan_cannot_be_calibrated(broken, method):
    with pytest.raises(CalibrationError, match=r"'tiny-0' makes images with NaN.*damaged"):
        calibrate(broken, method=method, num_belonging=3, key=KEY)


def test_weights_of_nan_give_an_error_and_no_verdict(broken, calibration, own):
    of_broken = {**calibration.generator, "fingerprint": fingerprint(broken)}
    found = attribute(
        own[:2], broken, dataclasses.replace(calibration, generator=of_broken), key=KEY
    )
    for verdict in found:
        assert verdict.error == "the generator gave no finite image for any latent that was tried"
        assert verdict.verdict is verdict.p is verdict.score is verdict.loss is None


def test_an_unknown_method_is_refused_before_any_work(generator):
    with pytest.raises(
        ValueError, match="unknown method 'orign'; choose from origin, origin-thorough, ronan"
    ):
        calibrate(generator, method="orign", key=KEY)


def test_foreign_images_of_another_size_are_refused(generator, method):
    groups = {"photos": np.zeros((3, 16, 16, 3), np.uint8)}
    with pytest.raises(ValueError, match=r"images are \(16, 16, 3\)"):
        calibrate(generator, method=method, num_belonging=3, foreign=groups, key=KEY)


def test_an_empty_foreign_group_is_refused(generator, method):
    groups = {"photos": np.zeros((0, 8, 8, 3), np.uint8)}
    with pytest.raises(
        CalibrationError, match=r"group .photos. holds no images: need at least one"
    ):
        calibrate(generator, method=method, num_belonging=3, foreign=groups, key=KEY)


def test_progress_adds_up_over_all_groups_and_both_models(generator, make_generator, method):
    told: list[int] = []
    calibrate(
        generator,
        method=method,
        num_belonging=3,
        foreign={"black": np.zeros((2, 8, 8, 3), np.uint8)},
        reference=make_generator(2),
        key=KEY,
        progress=told.append,
    )
    assert sum(told) == 2 * (3 + 2) * method.inversion.evaluations((6,))
    # Of a ratio each model counts once, however many draws another score would take.
    twice = dataclasses.replace(method, draws=2, score="typicality")
    models = [generator, make_generator(2)]
    assert sum(told) == evaluations_to_calibrate(twice, models, num_belonging=3, num_foreign=2)


def test_progress_adds_up_with_edits_and_futility(generator, method, noise):
    told: list[int] = []
    calibrate(
        generator,
        method=method,
        num_belonging=20,
        foreign={"noise": noise[:6]},
        conditions=("jpeg-50",),
        futility=True,
        key=KEY,
        progress=told.append,
    )
    assert sum(told) == evaluations_to_calibrate(
        method,
        [generator],
        num_belonging=20,
        num_foreign=6,
        conditions=("jpeg-50",),
        futility=True,
    )
    assert sum(told) == (20 * 2 + 6 * 2 + 20 * 2) * method.inversion.evaluations((6,))


def test_edits_are_of_rgb_images_and_a_setting_is_no_edit():
    grey = FunctionGenerator(plain, None, latent_shape=(6,), image_shape=(8, 8, 1))
    colour = FunctionGenerator(plain, None, latent_shape=(6,), image_shape=(8, 8, 3))
    method = get_method("origin", colour)
    each = method.inversion.evaluations((6,))

    def needed(generator, **options):
        return evaluations_to_calibrate(
            method, [generator], num_belonging=5, num_foreign=3, **options
        )

    assert needed(grey) == (5 + 3) * each
    assert needed(colour) == (5 + 3) * (1 + len(method.conditions)) * each
    assert needed(colour, conditions=("steps=4",), futility=True) == (2 * 5 + 3 + 5) * each


def plain(weight, latents):
    return jax.nn.sigmoid(latents @ weight).reshape(-1, 8, 8, 3)


def test_a_plain_function_is_calibrated_and_attributed(method):
    weight = np.random.default_rng(0).normal(size=(6, 192)).astype(np.float32)
    model = FunctionGenerator(plain, weight, latent_shape=(6,), image_shape=(8, 8, 3), name="plain")
    calibration = calibrate(model, method=method, num_belonging=19, key=KEY)
    own = belonging_images(model, 2, key=jax.random.key(1))
    images = np.concatenate([own, np.zeros_like(own)])
    found = attribute(images, model, calibration, key=KEY, alpha=0.05)
    assert words(found) == ["belongs", "belongs", "foreign", "foreign"]
    assert {verdict.generator for verdict in found} == {"plain"}


@pytest.mark.parametrize("name", ["alpha", "beta"])
@pytest.mark.parametrize("rate", [0.0, 1.0, float("nan")])
def test_a_wrong_rate_is_refused_before_any_work(generator, calibration, own, name, rate):
    told: list[int] = []
    with pytest.raises(ValueError, match=f"{name} must lie strictly between 0 and 1"):
        attribute(own, generator, calibration, key=KEY, progress=told.append, **{name: rate})
    assert told == []


@pytest.mark.parametrize(
    "changes",
    [
        {"score": "entropy"},
        {"inversion": {"step": 3}},
        {"inversion": {"scales": 3}},
        {"inversion": {"stages": [{"solver": "adamm"}]}},
        {"inversion": {"stages": []}},
    ],
)
def test_a_method_that_cannot_be_run_is_refused_in_one_line(generator, calibration, own, changes):
    other = dataclasses.replace(calibration, method={**calibration.method, **changes})
    with pytest.raises(CalibrationError, match="its method cannot be run: ") as caught:
        attribute(own, generator, other, key=KEY)
    assert "\n" not in str(caught.value)


def test_a_reference_of_another_size_is_refused_before_any_work(generator, method):
    small = FunctionGenerator(
        lambda weight, latents: latents.reshape(-1, 4, 4, 3) * weight,
        np.ones((), np.float32),
        latent_shape=(48,),
        image_shape=(4, 4, 3),
    )
    told: list[int] = []
    with pytest.raises(CalibrationError, match=r"reference makes images of \(4, 4, 3\)"):
        calibrate(
            generator,
            method=method,
            num_belonging=3,
            reference=small,
            key=KEY,
            progress=told.append,
        )
    assert told == []


@pytest.mark.parametrize(
    ("num", "rule", "words"),
    [(0, "conformal", "num_belonging must be at least 1"), (2, "grubbs", "at least 3 belonging")],
)
def test_too_few_images_for_a_calibration_are_refused(generator, method, num, rule, words):
    method = dataclasses.replace(method, rule=rule)
    with pytest.raises(CalibrationError, match=words):
        calibrate(generator, method=method, num_belonging=num, key=KEY)


def test_more_independent_sources_than_images_are_refused(generator, method, noise):
    groups = {"noise": ForeignImages(noise[:3], 4)}
    with pytest.raises(CalibrationError, match="from 1 to 3"):
        calibrate(generator, method=method, num_belonging=1, foreign=groups, key=KEY)


def grouped(generator, method, images, **known):
    """The foreign group that a calibration makes of images, as they are and edited."""
    method = dataclasses.replace(method, conditions=("jpeg-75",))
    group = ForeignImages(images, **known)
    calibration = calibrate(
        generator, method=method, num_belonging=1, foreign={"photos": group}, key=KEY
    )
    return [calibration.foreign[name] for name in ("photos", "photos after jpeg-75")]


def test_sources_and_choices_are_carried_to_all_edits(generator, method, noise):
    names = ["sea", "town", "sea", "wood", "town", "sea"]
    for group in grouped(generator, method, noise[:6], sources=names, used_for="recipe"):
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
def test_equal_images_are_of_one_source(generator, method, noise, order, known, sources):
    group, edited = grouped(generator, method, noise[order], **known)
    assert group.scores.size == 4 and len(set(group.digests)) == len(set(order))
    assert group.independent == edited.independent == (len(set(sources)) if sources else 4)
    for each in (group, edited):
        assert (each.sources is None) if sources is None else (each.sources.tolist() == sources)


def test_a_number_of_sources_counts_no_image_twice(generator, method, noise):
    group, _ = grouped(generator, method, noise[[0, 1, 0, 1]], independent=3)
    assert (group.independent, group.sources) == (2, None)


@pytest.mark.parametrize("known", [{"sources": [1, 2]}, {"sources": [1, 2, 3], "independent": 3}])
def test_sources_that_do_not_fit_the_images_are_refused(generator, method, noise, known):
    with pytest.raises(CalibrationError, match="'photos': sources must name one for each of the 3"):
        grouped(generator, method, noise[:3], **known)


def test_ronan_s_bound_is_the_published_one(generator, method, own):
    ronan = dataclasses.replace(METHODS["ronan"], inversion=method.inversion)
    calibration = calibrate(generator, method=ronan, num_belonging=10, key=KEY)
    scores = calibration.belonging
    # Grubbs' one-sided critical value for N = 10 at 0.05 (Grubbs and Beck, 1972) is 2.176.
    bound = scores.mean() + 2.176 * scores.std(ddof=1)
    levels = {0.999 * bound: "belongs", 1.001 * bound: "foreign"}
    for score, expected in levels.items():
        assert decide([score], calibration)[0].verdict == expected
    for verdict in attribute(own, generator, calibration, key=KEY):
        assert (verdict.verdict == "belongs") == (verdict.score < bound)


@pytest.fixture(scope="module")
def many(generator, make_generator, noise):
    """60 images of the generator's own, then 20 of another's and 20 of noise."""
    own = belonging_images(generator, 60, key=jax.random.key(21))
    other = belonging_images(make_generator(1), 20, key=jax.random.key(22))
    fresh = np.random.default_rng(23).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    return np.concatenate([own, other, fresh])


@pytest.fixture(scope="module")
def in_full(many, generator, calibration):
    return attribute(many, generator, calibration, key=KEY, full_scores=True)


@pytest.mark.parametrize(
    ("rates", "least"),
    [({}, 50), ({"alpha": 0.3, "beta": 0.2}, 10), ({"alpha": 0.9, "beta": 0.02}, 0)],
)
def test_images_that_are_sure_to_belong_end_early_with_the_verdict_of_the_full_run(
    many, generator, calibration, rates, least
):
    # Most belonging scores lie above this floor, so that p is of them and not 1 for all.
    method = {**calibration.method, "floor": 1e-7}
    sharp = dataclasses.replace(calibration, method=method)
    full = attribute(many, generator, sharp, key=KEY, full_scores=True, **rates)
    early = attribute(many, generator, sharp, key=KEY, **rates)
    assert {verdict.score_kind for verdict in full} == {"full"}
    assert words(early) == words(full)
    assert [verdict.reason for verdict in early] == [verdict.reason for verdict in full]
    accept = accepting_score(sharp, **rates)
    for ours, theirs in zip(early, full, strict=True):
        if ours.score_kind == "full":
            assert ours == theirs and ours.verdict != "belongs"
            continue
        assert ours.score_kind == "upper_bound" and ours.verdict == "belongs"
        assert theirs.score <= ours.score == ours.loss <= accept
        assert ours.p <= theirs.p and ours.q >= theirs.q
        assert ours.steps <= theirs.steps
    saved = [theirs.steps - ours.steps for ours, theirs in zip(early, full, strict=True)]
    assert sum(steps > 0 for steps in saved) >= least
    assert {verdict.verdict for verdict in early[:60]} >= {"belongs"}


def test_nothing_ends_early_where_no_score_is_enough(many, generator, calibration, in_full):
    # 0.001 needs 999 foreign images in each group.
    found = attribute(many[:10], generator, calibration, key=KEY, beta=0.001)
    assert {verdict.score_kind for verdict in found} == {"full"}
    assert [verdict.score for verdict in found] == [verdict.score for verdict in in_full[:10]]
    assert {verdict.verdict for verdict in found} == {"undecided"}


def test_nothing_ends_early_where_the_score_is_not_the_tracked_distance(
    many, generator, calibration, method
):
    inversion = dataclasses.replace(method.inversion, distance="l1").to_dict()
    # A bound that the mean absolute error is soon under as well.
    by_l1 = dataclasses.replace(
        calibration,
        belonging=np.full(99, 0.005),
        method={**calibration.method, "inversion": inversion},
    )
    assert accepting_score(by_l1) == 0.005
    found = attribute(many[:5], generator, by_l1, key=KEY)
    assert {verdict.score_kind for verdict in found} == {"full"}
    assert {verdict.steps for verdict in found} == {method.inversion.evaluations((6,))}
    full = attribute(many[:5], generator, by_l1, key=KEY, full_scores=True)
    assert found == full and words(found) == ["belongs"] * 5


def test_an_inversion_that_its_own_recipe_ends_is_a_full_one(many, generator, calibration, method):
    inversion = dataclasses.replace(method.inversion, floor=1e-5).to_dict()
    # The largest belonging score is the floor, where the recipe ends an image as well.
    to_the_floor = dataclasses.replace(
        calibration,
        belonging=np.full(99, 5e-6),
        method={**calibration.method, "inversion": inversion},
    )
    assert accepting_score(to_the_floor) == 1e-5
    found = attribute(many[:10], generator, to_the_floor, key=KEY)
    assert words(found) == ["belongs"] * 10
    assert {verdict.score_kind for verdict in found} == {"full"}
    assert all(verdict.steps < method.inversion.evaluations((6,)) for verdict in found)
    assert found == attribute(many[:10], generator, to_the_floor, key=KEY, full_scores=True)


@pytest.mark.parametrize("full_scores", [False, True])
def test_a_stream_gives_each_image_the_verdict_that_attribute_gives_it(
    many, generator, calibration, full_scores
):
    options = {"key": KEY, "full_scores": full_scores}
    found = list(attribute_stream(iter(many), generator, calibration, **options))
    indices = [verdict.index for verdict in found]
    assert sorted(indices) == list(range(100))
    assert (indices == sorted(indices)) == full_scores  # what is accepted early comes early
    found.sort(key=lambda verdict: verdict.index)
    assert found == attribute(many, generator, calibration, **options)


def test_a_stream_takes_images_as_it_needs_them(many, generator, calibration, method):
    taken = 0

    def without_end():
        nonlocal taken
        for index in itertools.count():
            taken += 1
            yield many[index % 100]

    statistics = Statistics()
    stream = attribute_stream(without_end(), generator, calibration, key=KEY, statistics=statistics)
    assert taken == 0
    first = list(itertools.islice(stream, 150))
    assert len({verdict.index for verdict in first}) == 150
    assert taken <= 150 + 3 * method.inversion.block
    stream.close()
    assert 150 <= statistics.images <= taken
    assert statistics.evaluations >= sum(verdict.steps for verdict in first) - 150
    assert 0.8 < statistics.occupancy <= 1


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"generator": 1}, CalibrationError, "was made for generator 'tiny-0'"),
        ({"reference": 1}, CalibrationError, "was made with no reference"),
        ({"alpha": 0.0}, ValueError, "alpha must lie strictly between 0 and 1"),
        ({"beta": 1.0}, ValueError, "beta must lie strictly between 0 and 1"),
    ],
)
def test_a_stream_that_cannot_be_decided_is_refused_before_an_image_is_taken(
    generator, make_generator, calibration, changes, error, message
):
    def untouched():
        raise AssertionError("an image was taken")
        yield

    changes = {k: make_generator(v) if isinstance(v, int) else v for k, v in changes.items()}
    options = {"generator": generator, "calibration": calibration, "key": KEY, **changes}
    with pytest.raises(error, match=message):
        attribute_stream(untouched(), **options)


def test_progress_of_a_stream_adds_up_whatever_ends_early(many, generator, calibration, method):
    told: list[int] = []
    found = attribute(many[:20], generator, calibration, key=KEY, progress=told.append)
    assert sum(told) == 20 * method.inversion.evaluations((6,))
    assert sum(verdict.steps for verdict in found) < 0.95 * sum(told)
    assert min(told) >= 0


@pytest.fixture(scope="module")
def hopeless(generator, make_generator, method, noise):
    """A calibration that gives up what falls more slowly than belonging images do."""
    other = belonging_images(make_generator(1), 99, key=jax.random.key(5))
    return calibrate(
        generator,
        method=method,
        num_belonging=99,
        foreign={"noise": ForeignImages(noise, 25), "other": other},
        futility=True,
        key=jax.random.key(0),
        seed=0,
    )


def test_futility_gives_foreign_images_up_and_changes_no_verdict(
    tmp_path, many, generator, method, hopeless, in_full
):
    levels = hopeless.method["inversion"]["futility"]
    assert len(levels) == method.inversion.checks == 4 + 6
    assert levels == sorted(levels, reverse=True)
    assert 2e-6 < levels[-1] < 1e-4 and levels[0] > 1e-2
    hopeless.save(tmp_path / "calibration.json")
    found = attribute(
        many, generator, Calibration.load(tmp_path / "calibration.json"), key=KEY, full_scores=True
    )
    assert words(found)[60:] == words(in_full)[60:] == ["foreign"] * 40
    changed = [i for i in range(60) if words(found)[i] != words(in_full)[i]]
    assert len(changed) <= 3  # own images that were given up, as some of the calibration's were
    # Given up before the end, all of them, and the noise in the first stage.
    assert all(v.steps < f.steps for v, f in zip(found[60:], in_full[60:], strict=True))
    assert all(verdict.steps <= 2 * 40 for verdict in found[80:])
    kept = [i for i in range(60) if found[i].steps == in_full[i].steps]
    assert len(kept) >= 57
    assert all(found[i] == in_full[i] or i in changed for i in kept)


def test_what_futility_costs_is_in_the_scores_of_belonging_images(
    generator, method, calibration, hopeless, monkeypatch
):
    # The levels are of others of its own images: some of those that are calibrated with may be
    # given up, and their scores are what they were then.
    assert len(hopeless.belonging) == 99
    same = hopeless.belonging == calibration.belonging
    assert same.sum() >= 94
    assert (hopeless.belonging >= calibration.belonging).all()
    assert (hopeless.foreign["noise"].scores > calibration.foreign["noise"].scores).all()
    # With no margin at all, each level is the largest distance of those others at a check.
    monkeypatch.setattr(jax_origin.calibrating, "_FUTILITY_MARGIN", 1.0)
    strict = calibrate(
        generator, method=method, num_belonging=40, futility=True, key=jax.random.key(0)
    )
    plain = calibrate(generator, method=method, num_belonging=40, key=jax.random.key(0))
    assert (strict.belonging >= plain.belonging).all()
    assert (strict.belonging > 10 * plain.belonging).any()


SHORT = StartTraining(steps=40, batch_size=32, width=8, hidden=32)


@pytest.fixture(scope="module")
def learned(generator):
    return learn_start(generator, SHORT, key=jax.random.key(2))


@pytest.fixture(scope="module")
def origin(generator, make_generator, noise, learned):
    """The calibration of `origin`, with an encoder of a short training."""
    other = belonging_images(make_generator(1), 40, key=jax.random.key(5))
    return calibrate(
        generator,
        method="origin",
        num_belonging=40,
        foreign={"noise": noise[:40], "other": other},
        learned=learned,
        key=jax.random.key(0),
    )


def test_origin_takes_its_encoder_from_the_calibration_and_its_file(
    tmp_path, many, generator, learned, origin
):
    assert origin.start["generator"] == learned.config
    found = attribute(many, generator, origin, key=KEY, alpha=0.05, beta=0.05)
    assert words(found)[:60].count("belongs") >= 54
    assert "belongs" not in words(found)[60:]
    assert words(found)[60:].count("foreign") >= 36
    # Own images need no more than the descent and a Jacobian or two.
    assert np.mean([verdict.steps for verdict in found[:60]]) < 50
    origin.save(tmp_path / "calibration.json")
    loaded = Calibration.load(tmp_path / "calibration.json")
    assert learned_starts(loaded)["generator"].digest == learned.digest
    assert attribute(many, generator, loaded, key=KEY, alpha=0.05, beta=0.05) == found


def test_an_encoder_that_does_not_fit_its_calibration_is_refused_in_one_line(
    tmp_path, own, generator, learned, origin
):
    weights = dict(origin.start_weights)
    weights.pop("generator.output.bias")
    broken = dataclasses.replace(origin, start={"generator": learned.config}, start_weights=weights)
    with pytest.raises(CalibrationError, match="the calibration: the learned start's weights do"):
        attribute(own, generator, broken, key=KEY)
    # At once, and not when the first verdict is asked for.
    with pytest.raises(CalibrationError, match="the learned start's weights do"):
        attribute_stream(own, generator, broken, key=KEY)
    broken.save(tmp_path / "a.json")
    with pytest.raises(CalibrationError, match=r"a\.json: the learned start's weights do not fit"):
        learned_starts(Calibration.load(tmp_path / "a.json"))


def test_an_encoder_is_trained_for_each_model_where_none_is_given(
    generator, make_generator, noise, learned, monkeypatch
):
    trained = []

    def quickly(model, *, key):
        trained.append(model)
        return learn_start(model, SHORT, key=key)

    monkeypatch.setattr(jax_origin.calibrating, "learn_start", quickly)
    reference = make_generator(2)
    common = {"method": "origin", "num_belonging": 20, "key": jax.random.key(0)}
    alone = calibrate(generator, **common)
    assert trained == [generator] and set(learned_starts(alone)) == {"generator"}
    # Again the same, as the key says; and another one by another key.
    assert calibrate(generator, **common).digest == alone.digest
    other = calibrate(generator, **{**common, "key": jax.random.key(1)})
    assert other.start["sha256"] != alone.start["sha256"]

    trained.clear()
    ratio = calibrate(generator, **common, reference=reference, learned=learned)
    assert trained == [reference]
    starts = learned_starts(ratio)
    assert set(starts) == {"generator", "reference"}
    assert starts["generator"].digest == learned.digest
    images = belonging_images(generator, 4, key=jax.random.key(21))
    found = attribute(images, generator, ratio, key=KEY, alpha=0.1, reference=reference)
    assert {verdict.score_kind for verdict in found} == {"full"}
    # A ratio needs both losses in full: no inversion stops at the floor.
    inversion = dataclasses.replace(METHODS["origin"].inversion, floor=0.0)
    method = dataclasses.replace(METHODS["origin"], floor=0.0, inversion=inversion)
    ours = score_images(generator, images, method, key=KEY, starts=starts)
    theirs = score_images(
        reference, images, method, key=KEY, starts={"generator": starts["reference"]}
    )
    np.testing.assert_allclose([v.score for v in found], ours / theirs, rtol=1e-6)


def test_futility_beside_a_reference_is_refused(generator, make_generator, method):
    levels = dataclasses.replace(method.inversion, futility=(0.1,))
    for chosen, asked in ((method, True), (dataclasses.replace(method, inversion=levels), False)):
        with pytest.raises(CalibrationError, match="leave out futility, or the reference"):
            calibrate(
                generator, method=chosen, futility=asked, reference=make_generator(2), key=KEY
            )
