"""Arrays in, verdicts out: what a verdict says, when an image ends early, and what is refused."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from flax import nnx

from jax_origin import (
    METHODS,
    Attributor,
    Calibration,
    CalibrationError,
    FunctionGenerator,
    Rates,
    Run,
    Statistics,
    Verdict,
    attribute,
    attribute_stream,
    calibrate,
    distances,
    scores,
)
from jax_origin.calibration import accepting_score, decide
from jax_origin.generators import fingerprint
from jax_origin.workflow import Scorer, belonging_images
from jax_origin.workflow.calibrate import require_key

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
def attributor(generator, calibration):
    return Attributor(generator, calibration, key=KEY)


@pytest.fixture(scope="module")
def verdicts(attributor, own, foreign):
    return attributor(np.concatenate([own, foreign]))


@pytest.fixture(scope="module")
def broken(make_generator):
    """A generator whose weights are NaN."""
    model = make_generator(0)
    nnx.update(model, jax.tree.map(lambda w: w * np.nan, nnx.state(model, nnx.Param)))
    return model


def words(verdicts):
    return [verdict.verdict for verdict in verdicts]


def records(verdicts):
    """All that verdicts say, in plain values."""
    return [verdict.record() for verdict in verdicts]


def with_method(calibration, **changes):
    return dataclasses.replace(calibration, method={**calibration.method, **changes})


def without_foreign(calibration):
    return dataclasses.replace(calibration, foreign={})


def test_own_images_belong_and_foreign_ones_do_not(verdicts):
    assert words(verdicts) == ["belongs"] * 6 + ["not_recognised"] * 8
    assert all(verdict.error is verdict.reason is None for verdict in verdicts)


def test_a_verdict_carries_all_that_it_rests_on(verdicts, own, calibration, method):
    first = verdicts[0]
    assert isinstance(first, Verdict)
    assert (first.generator, first.method) == ("tiny-0", "tiny")
    assert (first.tag, first.score_kind, first.path) == (0, "full", None)  # It is at the floor.
    assert first.steps == first.inversion.steps < method.recipe.evaluations((6,))
    assert first.score == first.loss == first.inversion.distance <= calibration.floor
    assert first.p == first.decision.p == 1.0 and first.q == pytest.approx(0.01, abs=1e-3)
    assert (first.condition, first.verdict) == (first.decision.condition, first.decision.verdict)
    assert first.reconstruction.shape == (8, 8, 3)
    error = ((first.reconstruction - own[0] / 255) ** 2).mean()
    assert first.loss == pytest.approx(error, rel=1e-3)
    last = verdicts[-1]
    assert (last.tag, last.score_kind) == (13, "full")
    assert last.steps == method.recipe.evaluations((6,)) == 2 * 40 + 60
    assert last.p == pytest.approx(0.01) and last.q > 0.01
    assert last.score > calibration.floor


def test_a_record_holds_a_verdict_in_plain_values(verdicts):
    record = verdicts[0].record()
    assert all(value is None or type(value) in (str, int, float) for value in record.values())
    for name in ("generator", "method", "score", "score_kind", "loss", "p", "q"):
        assert record[name] == getattr(verdicts[0], name) is not None
    assert record["condition"] == verdicts[-1].condition == "as made"
    assert record["reference"] is None  # What the score of this method is held against.
    assert (record["verdict"], record["reason"], record["error"]) == ("belongs", None, None)
    assert (record["steps"], record["stored"]) == (verdicts[0].steps, "pixels")
    assert record["path"] is record["sha256"] is record["note"] is None
    assert "array" not in repr(verdicts[0])


def test_one_attributor_serves_any_number_of_calls(attributor, own, verdicts):
    assert records(attributor(own[:2])) == records(attributor(own[:2])) == records(verdicts[:2])


def test_rates_that_the_calibration_cannot_keep_are_refused_before_any_work(
    calibration, generator, own
):
    def refused(words, of=calibration, **rates):
        told = []
        run = Run(progress=lambda *news: told.append(news))
        with pytest.raises(CalibrationError, match=words) as caught:
            attribute(own[:1], generator, of, key=KEY, run=run, **rates)
        assert told == [] and "\n" not in str(caught.value)

    refused("alpha=0.001 needs at least 999 belonging images, .*has 99", alpha=0.001)
    refused("beta=0.001 needs at least 999 independent sources .*'noise' has 99", beta=0.001)
    refused(
        "max_false_attribution=0.0297: .* 1 more of 'noise', 1 more", max_false_attribution=0.0297
    )
    edited = {"jpeg-75": calibration.belonging[:30]}
    refused("calibration has 30", dataclasses.replace(calibration, conditions=edited), alpha=0.02)
    loose = attribute(own[:1], generator, calibration, key=KEY, alpha=0.2, beta=0.2)[0]
    assert loose.verdict == "belongs"


def test_a_calibration_too_small_for_its_own_rates_leaves_images_undecided(
    generator, calibration, foreign
):
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
    assert words(found) == ["belongs", "not_recognised"]
    assert [(verdict.q, verdict.reason) for verdict in found] == [(None, UNKNOWN)] * 2


def test_an_image_alone_gets_the_verdict_that_it_gets_in_a_batch(
    attributor, own, foreign, verdicts
):
    def at(place, tag):
        return dataclasses.replace(verdicts[place], tag=tag)

    assert attributor(own[2:3]) == [at(2, 0)]
    assert records(attributor(foreign[[5, 0]])) == records([at(11, 0), at(6, 1)])


def test_floats_get_the_verdict_of_their_8_bit_images(attributor, own, verdicts):
    assert records(attributor(own / np.float32(255))) == records(verdicts[:6])


def test_no_images_are_no_verdicts(attributor, own):
    assert attributor(own[:0]) == [] == attributor([])


def test_images_of_another_size_are_refused(attributor):
    with pytest.raises(ValueError, match=r"images are \(16, 16, 3\).*makes \(8, 8, 3\)"):
        attributor(np.zeros((1, 16, 16, 3), np.uint8))


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


def test_a_calibration_from_a_file_gives_the_same_verdicts(
    tmp_path, generator, calibration, own, verdicts
):
    calibration.save(tmp_path / "calibration.json")
    loaded = Calibration.load(tmp_path / "calibration.json")
    assert records(attribute(own[:3], generator, loaded, key=KEY)) == records(verdicts[:3])


def test_ronan_excludes_by_grubbs_test_alone(generator, method, noise, own, foreign):
    # The published decision; the inversion that is compiled already stands in for 1,500 steps.
    ronan = dataclasses.replace(METHODS["ronan"], recipe=method.recipe)
    calibration = calibrate(
        generator, method=ronan, num_belonging=20, foreign={"noise": noise[:5]}, key=KEY
    )
    found = attribute(np.concatenate([own, foreign]), generator, calibration, key=KEY)
    assert words(found)[6:] == ["not_recognised"] * 8
    assert words(found)[:6].count("belongs") >= 5
    assert all(verdict.method == "ronan" and verdict.reason is None for verdict in found)
    assert all((verdict.verdict == "not_recognised") == (verdict.p <= 0.05) for verdict in found)
    alone = attribute(own[:1], generator, without_foreign(calibration), key=KEY)[0]
    assert (alone.p, alone.q, alone.reason) == (found[0].p, None, UNKNOWN)
    # Grubbs' one-sided critical value for N = 20 at 0.05 (Grubbs and Beck, 1972) is 2.557.
    scores = calibration.belonging
    bound = scores.mean() + 2.557 * scores.std(ddof=1)
    for score, expected in {0.999 * bound: "belongs", 1.001 * bound: "not_recognised"}.items():
        assert decide([score], calibration)[0].verdict == expected
    assert all((verdict.verdict == "belongs") == (verdict.score < bound) for verdict in found)


def test_weights_of_nan_give_an_error_and_no_verdict(broken, calibration, own):
    of_broken = {**calibration.generator, "fingerprint": fingerprint(broken)}
    found = attribute(
        own[:2], broken, dataclasses.replace(calibration, generator=of_broken), key=KEY
    )
    for verdict in found:
        assert verdict.error == "the generator gave no finite image for any latent that was tried"
        assert verdict.verdict is verdict.p is verdict.score is verdict.loss is None
        assert verdict.record()["error"] == verdict.error


def plain(weight, latents):
    return jax.nn.sigmoid(latents @ weight).reshape(-1, 8, 8, 3)


def test_a_plain_function_is_calibrated_and_attributed(method):
    weight = np.random.default_rng(0).normal(size=(6, 192)).astype(np.float32)
    model = FunctionGenerator(plain, weight, latent_shape=(6,), image_shape=(8, 8, 3), name="plain")
    method = dataclasses.replace(method, rates=Rates(0.05, 0.05))
    calibration = calibrate(model, method=method, num_belonging=19, key=KEY)
    own = belonging_images(model, 2, key=jax.random.key(1))
    images = np.concatenate([own, np.zeros_like(own)])
    found = attribute(images, model, calibration, key=KEY)
    assert words(found) == ["belongs", "belongs", "not_recognised", "not_recognised"]
    assert {verdict.generator for verdict in found} == {"plain"}


@pytest.mark.parametrize("name", ["alpha", "beta", "max_false_attribution"])
@pytest.mark.parametrize("rate", [0.0, 1.0, float("nan")])
def test_a_wrong_rate_is_refused_before_any_work(generator, calibration, own, name, rate):
    with pytest.raises(ValueError, match=f"{name} must lie strictly between 0 and 1"):
        attribute(own, generator, calibration, key=KEY, **{name: rate})


@pytest.mark.parametrize(
    "changes",
    [
        {"score": {"kind": "entropy"}},
        {"recipe": {"step": 3}},
        {"recipe": {"start": {"kind": "scaled", "scales": 3}}},
        {"recipe": {"stages": [{"solver": {"kind": "adamm"}}]}},
        {"recipe": {"stages": []}},
        {"draws": 0},
    ],
)
def test_a_method_that_cannot_be_run_is_refused_in_one_line(generator, calibration, own, changes):
    other = with_method(calibration, **changes)
    with pytest.raises(CalibrationError, match="its method cannot be run: ") as caught:
        attribute(own, generator, other, key=KEY)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def many(generator, make_generator):
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
    sharp = with_method(calibration, floor=1e-7)
    full = attribute(many, generator, sharp, key=KEY, full_scores=True, **rates)
    early = attribute(many, generator, sharp, key=KEY, **rates)
    assert {verdict.score_kind for verdict in full} == {"full"}
    assert words(early) == words(full)
    assert [verdict.reason for verdict in early] == [verdict.reason for verdict in full]
    accept = accepting_score(sharp, rates=Rates(**rates))
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
    strict = with_method(calibration, rates=Rates(0.01, 0.001).to_json())
    found = attribute(many[:10], generator, strict, key=KEY)
    assert {verdict.score_kind for verdict in found} == {"full"}
    assert [verdict.score for verdict in found] == [verdict.score for verdict in in_full[:10]]
    assert {verdict.verdict for verdict in found} == {"undecided"}
    assert found[0].reason.startswith("too few calibration images: beta=0.001 needs at least 999")


def test_nothing_ends_early_where_the_score_is_not_the_tracked_distance(
    many, generator, calibration, method
):
    # A bound that the tracked distance is soon under as well.
    by_latent = dataclasses.replace(
        with_method(without_foreign(calibration), score=scores.LatentPrior().to_json()),
        belonging=np.full(99, 1.0),
    )
    assert accepting_score(by_latent) == 1.0
    found = attribute(many[:5], generator, by_latent, key=KEY)
    assert {verdict.score_kind for verdict in found} == {"full"}
    assert {verdict.steps for verdict in found} == {method.recipe.evaluations((6,))}
    full = attribute(many[:5], generator, by_latent, key=KEY, full_scores=True)
    assert records(found) == records(full) and words(found) == ["belongs"] * 5


def test_the_distance_that_is_tracked_is_the_one_that_is_scored(
    many, generator, calibration, method
):
    recipe = dataclasses.replace(method.recipe, distance=distances.L1())
    by_l1 = dataclasses.replace(
        with_method(calibration, recipe=recipe.to_json()), belonging=np.full(99, 0.005)
    )
    full = attribute(many[:5], generator, by_l1, key=KEY, full_scores=True)
    for verdict, image in zip(full, many[:5], strict=True):
        error = abs(verdict.reconstruction - image / 255).mean()
        assert verdict.score == verdict.inversion.distance == pytest.approx(error, rel=1e-3)
        assert verdict.loss < verdict.score
    early = attribute(many[:5], generator, by_l1, key=KEY)
    assert {verdict.score_kind for verdict in early} == {"upper_bound"}
    assert words(early) == words(full) == ["belongs"] * 5


def test_an_inversion_that_its_own_recipe_ends_is_a_full_one(many, generator, calibration, method):
    recipe = dataclasses.replace(method.recipe, floor=1e-5).to_json()
    # The largest belonging score is the floor, where the recipe ends an image as well.
    to_the_floor = dataclasses.replace(
        with_method(calibration, recipe=recipe), belonging=np.full(99, 5e-6)
    )
    assert accepting_score(to_the_floor) == 1e-5
    found = attribute(many[:10], generator, to_the_floor, key=KEY)
    assert words(found) == ["belongs"] * 10
    assert {verdict.score_kind for verdict in found} == {"full"}
    assert all(verdict.steps < method.recipe.evaluations((6,)) for verdict in found)
    full = attribute(many[:10], generator, to_the_floor, key=KEY, full_scores=True)
    assert records(found) == records(full)


@pytest.mark.parametrize("full_scores", [False, True])
def test_a_stream_gives_each_image_the_verdict_that_attribute_gives_it(
    many, generator, calibration, full_scores
):
    options = {"key": KEY, "full_scores": full_scores}
    found = list(attribute_stream(iter(many), generator, calibration, **options))
    tags = [verdict.tag for verdict in found]
    assert sorted(tags) == list(range(100))
    assert tags != sorted(tags)  # what comes to the floor comes early
    found.sort(key=lambda verdict: verdict.tag)
    assert records(found) == records(attribute(many, generator, calibration, **options))


def test_a_stream_takes_images_as_it_needs_them(many, generator, calibration, method):
    taken = 0

    def without_end():
        nonlocal taken
        for index in itertools.count():
            taken += 1
            yield many[index % 100]

    run = Run(statistics=Statistics())
    stream = attribute_stream(without_end(), generator, calibration, key=KEY, run=run)
    assert taken == 0
    first = list(itertools.islice(stream, 150))
    assert len({verdict.tag for verdict in first}) == 150
    ahead = 128  # Images are opened in threads, so many before they are needed.
    assert taken <= 150 + 3 * method.recipe.block + ahead
    stream.close()
    assert 150 <= run.statistics.images <= taken
    assert run.statistics.evaluations >= sum(verdict.steps for verdict in first) - 150
    assert 0.8 < run.statistics.occupancy <= 1


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"generator": 1}, CalibrationError, "was made for generator 'tiny-0'"),
        ({"reference": 1}, CalibrationError, "was made with no reference"),
        ({"alpha": 0.0}, ValueError, "alpha must lie strictly between 0 and 1"),
        ({"beta": 1.0}, ValueError, "beta must lie strictly between 0 and 1"),
        ({"source": "jpeg"}, ValueError, 'source must be "lossless" or "unknown", not .jpeg.'),
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


@pytest.mark.parametrize("key", [0, None, np.zeros(2), "key"])
def test_what_is_no_key_is_refused_in_one_line(generator, calibration, own, key):
    for use in (
        lambda: attribute(own, generator, calibration, key=key),
        lambda: calibrate(generator, key=key),
    ):
        with pytest.raises(ValueError, match=r"key must be a JAX key, such as jax.random.key\(0\)"):
            use()


def test_an_old_style_key_is_a_key():
    require_key(jax.random.PRNGKey(7))


def test_progress_is_told_in_images_whatever_ends_early(many, generator, calibration, method):
    told = []
    run = Run(progress=lambda *news: told.append(news))
    found = attribute(many[:20], generator, calibration, key=KEY, run=run)
    assert {(what, total) for what, _, total in told} == {("attributing", 20)}
    done = [part for _, part, _ in told]
    assert done == sorted(done) and done[-1] == pytest.approx(20)
    assert max(verdict.steps for verdict in found) < method.recipe.evaluations((6,))
    told.clear()
    list(attribute_stream(iter(many[:2]), generator, calibration, key=KEY, run=run))
    assert told[-1] == ("attributing", pytest.approx(2), None)  # Nobody knows how many will come.


def test_nothing_goes_on_below_the_floor_that_scores_are_clamped_at(generator, method, own):
    def found(floor):
        scorer = Scorer(generator, dataclasses.replace(method, floor=floor), key=KEY)
        return scorer.found(own)

    assert method.floor > 0
    at_floor, in_full = found(method.floor), found(0.0)
    assert {str(each.inversion.ended) for each in at_floor} == {"floor"}
    assert sum(each.inversion.steps for each in at_floor) < sum(
        each.inversion.steps for each in in_full
    )
    for here, there in zip(at_floor, in_full, strict=True):
        assert there.score <= here.score <= method.floor
