import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from jax_origin import METHODS, Calibration, CalibrationError, FunctionGenerator, Verdict
from jax_origin.attribution import ForeignImages, attribute, calibrate, check_calibration
from jax_origin.calibration import decide
from jax_origin.generators import fingerprint
from jax_origin.scoring import belonging_images, score_images, score_stream

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


def test_the_same_key_gives_the_same_calibration_and_another_key_another(generator, method):
    def make(seed):
        return calibrate(generator, method=method, num_belonging=5, key=jax.random.key(seed))

    first = make(3)
    assert make(3) == first
    assert make(3).digest == first.digest
    assert not np.array_equal(make(4).belonging, first.belonging)


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
    with pytest.raises(ValueError, match="unknown method 'orign'; choose from origin, ronan"):
        calibrate(generator, method="orign", key=KEY)


def test_foreign_images_of_another_size_are_refused(generator, method):
    groups = {"photos": np.zeros((3, 16, 16, 3), np.uint8)}
    with pytest.raises(ValueError, match=r"images are \(16, 16, 3\)"):
        calibrate(generator, method=method, num_belonging=3, foreign=groups, key=KEY)


def test_an_empty_foreign_group_is_refused(generator, method):
    groups = {"photos": np.zeros((0, 8, 8, 3), np.uint8)}
    with pytest.raises(CalibrationError, match="there are no foreign scores: need at least one"):
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
