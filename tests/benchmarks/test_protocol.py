import dataclasses
import functools
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from benchmarks import score_cache
from benchmarks.chosen import chosen_methods, chosen_sets
from benchmarks.circumstances import circumstances
from benchmarks.protocol import (
    Comparison,
    comparison_scores,
    comparisons,
    decisions,
    evaluate,
    foreign_generators,
)
from benchmarks.result_table import result_table
from benchmarks.sampling import (
    ProtocolError,
    chosen_images,
    generated_images,
    starting_key,
)
from benchmarks.score_cache import cached_scores
from benchmarks.settings import evaluation_config
from jax_origin import (
    Calibration,
    CalibrationError,
    FunctionGenerator,
    ImageError,
    Rates,
    calibrate,
)
from jax_origin.calibration import ForeignGroup, Futility, Grubbs, Measured, Published
from jax_origin.generators import DCGAN, DDIM, fingerprint, save_generator
from jax_origin.images import edit_images, save_png
from jax_origin.inversion import (
    Inversion,
    Recipe,
    Run,
    Stage,
    StartTraining,
    learn_start,
)
from jax_origin.inversion.solvers import Optax
from jax_origin.inversion.starts import Learned, Prior, Scaled
from jax_origin.scores import CodeRatio, LatentPrior, Typical, Typicality
from jax_origin.workflow import Method, Scorer
from jax_origin.workflow.scorer import Asked, Scored
from jax_origin.zoo import load_generator

ROOT = Path(__file__).parents[2]
ORIGIN = Method(
    "origin",
    Recipe(start=Scaled((0.2, 0.8)), stages=(Stage(steps=4),), lane_block=8, driver="host"),
    rates=Rates(0.1, 0.1),
)
RONAN = Method(
    "ronan",
    Recipe(
        start=Prior(),
        stages=(Stage(Optax("adam", 0.1, "constant"), steps=6, objective="l2"),),
        lane_block=8,
        driver="host",
    ),
    rule=Grubbs(),
    decision=Published(),
    rates=Rates(0.05),
    floor=0.0,
)


def sigmoid_of_sums(weights, latents):
    return jax.nn.sigmoid(latents @ weights).reshape(-1, 8, 8, 3)


def tiny_generator(name, *, seed=0):
    weights = jax.random.normal(jax.random.key(seed), (3, 8 * 8 * 3))
    return FunctionGenerator(
        sigmoid_of_sums, weights, latent_shape=(3,), image_shape=(8, 8, 3), name=name
    )


def calibration_of(generator, method, *, belonging=None, foreign=None):
    belonging = np.arange(1, 10) * 1e-3 if belonging is None else belonging
    foreign = {"photos": np.arange(11, 20) * 1e-3} if foreign is None else foreign
    return Calibration(
        generator={
            "name": generator.name,
            "fingerprint": fingerprint(generator),
            "latent_shape": list(generator.latent_shape),
            "image_shape": list(generator.image_shape),
        },
        method=method.to_json(),
        measured=measured_by(method),
        belonging=belonging,
        foreign={name: ForeignGroup(scores, len(scores)) for name, scores in foreign.items()},
        seed=0,
        keys={},
        packages={},
        platform="cpu",
    )


def measured_by(method):
    """What a calibration would have measured for a score that is fitted already."""
    return Measured(score=method.score.to_json() if method.score.fits else None)


def noise(num, *, size=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num, size, size, 3), np.uint8)


def pair_of_generators():
    return {"a": tiny_generator("a", seed=1), "b": tiny_generator("b", seed=2)}


def two_generators_compared(
    *, methods=(ORIGIN, RONAN), num=5, seed=0, limit=None, edits=("clean",)
):
    generators = pair_of_generators()
    calibrations = {
        (name, method.name): calibration_of(generator, method)
        for name, generator in generators.items()
        for method in methods
    }
    generated = generated_images(generators, num, seed=seed)
    sets = {"noise": noise(num)}
    return comparisons(
        generators, calibrations, generated=generated, sets=sets, limit=limit, edits=edits
    )


@pytest.fixture
def inverted(monkeypatch):
    """Counts the images that are really inverted; at `.stop_before` of them the run is killed."""

    class Inverted:
        images = 0
        stop_before = None

    class Counting(Scorer):
        def stream(self, items):
            for found in super().stream(items):
                if Inverted.images == Inverted.stop_before:
                    raise KeyboardInterrupt
                Inverted.images += 1
                yield found

    monkeypatch.setattr(score_cache, "Scorer", Counting)
    return Inverted


def test_rows_and_summary_are_those_computed_by_hand(tmp_path, monkeypatch):
    # belongs: up to 7e-3; fits both: 7.5e-3 to 9e-3; above that: foreign
    generator = tiny_generator("a")
    foreign = {"photos": np.array([7.5, 12, 13, 14, 15, 16, 17, 18, 19]) * 1e-3}
    calibration = calibration_of(generator, ORIGIN, foreign=foreign)
    known = {
        "a": [5e-6, 5e-5, 8e-3, 9.5e-3],
        "photos": [2e-3, 8e-3, 2e-2, np.inf],
        "other": [3e-2, 4e-2, 5e-2, 6e-2],
    }
    steps = {"a": 40, "photos": 10, "other": 10}
    images = {name: noise(4, seed=i) for i, name in enumerate(known)}
    found = {
        pixels.tobytes(): (known[name][i], steps[name])
        for name in known
        for i, pixels in enumerate(images[name])
    }

    class Lookup:
        def __init__(self, generator, method, *, key, encoders, futility, advance):
            assert (encoders, futility) == ({}, Futility())

        def asked(self, tag, image):
            return Asked(tag, image)

        def stream(self, items):
            # As an engine does: what is decided first comes first.
            for item in reversed(list(items)):
                score, steps = found[item.image.tobytes()]
                nothing = dict.fromkeys(set(Inversion._fields) - {"loss", "steps"})
                yield Scored(item.tag, score, Inversion(loss=score, steps=steps, **nothing), 0)

    monkeypatch.setattr(score_cache, "Scorer", Lookup)
    compared = Comparison(
        inspected="a",
        method=ORIGIN,
        generator=generator,
        calibration=calibration,
        belonging=images["a"],
        foreign={"photos": images["photos"], "other": images["other"]},
    )
    result = evaluate([compared], cache=tmp_path, seed=0)
    # What is read back from the cache, the infinite score too, says the same.
    assert evaluate([compared], cache=tmp_path, seed=0) == result
    seconds = [row.pop("seconds") for row in (*result["rows"], *result["summary"])]
    assert all(0 < each < 1 for each in seconds)
    assert result["rows"] == [
        {
            "inspected": "a",
            "group": "photos",
            "method": "origin",
            "edit": "clean",
            "stored": "png",
            "n": 4,
            "tpr": 0.5,
            "fpr": 0.25,
            "undecided_belonging": 0.25,
            "undecided_foreign": 0.25,
            "accuracy": 0.5,
            "auc": 12.5 / 16,
            "tpr_at_1_fpr": 0.5,
            "score_quantiles": [2e-3, 2e-3, 2e-3, 8e-3, 2e-2, None, None],
        },
        {
            "inspected": "a",
            "group": "other",
            "method": "origin",
            "edit": "clean",
            "stored": "png",
            "n": 4,
            "tpr": 0.5,
            "fpr": 0.0,
            "undecided_belonging": 0.25,
            "undecided_foreign": 0.0,
            "accuracy": 0.75,
            "auc": 1.0,
            "tpr_at_1_fpr": 1.0,
            "score_quantiles": [3e-2, 3e-2, 3e-2, 4e-2, 5e-2, 6e-2, 6e-2],
        },
    ]
    assert result["summary"] == [
        {
            "inspected": "a",
            "method": "origin",
            "edit": "clean",
            "n": 4,
            "tpr": 0.5,
            "undecided_belonging": 0.25,
            "worst_fpr": 0.25,
            "mean_fpr": 0.125,
            "smallest_tpr_at_1_fpr": 0.5,
            "smallest_auc": 12.5 / 16,
            "loss_under_1e-4": 0.5,
            "loss_under_1e-5": 0.25,
            "mean_steps": 20.0,
            "score_quantiles": [5e-6, 5e-6, 5e-6, 5e-5, 8e-3, 9.5e-3, 9.5e-3],
        }
    ]


def test_an_image_that_says_too_little_is_undecided_as_attribute_has_it():
    generator = tiny_generator("a")
    method = dataclasses.replace(ORIGIN, score=CodeRatio())
    images = np.stack([np.full((8, 8, 3), 120, np.uint8), *noise(1)])
    compared = Comparison(
        inspected="a",
        method=method,
        generator=generator,
        calibration=calibration_of(generator, method),
        belonging=images,
        foreign={"photos": images},
    )
    # The code says one colour without an error: its ratio is 0.5 at the least.
    plain, rich = decisions(compared, "photos", np.array([0.6, 0.6]))
    assert (plain.verdict, plain.reason) == ("undecided", "too little in it")
    assert rich.verdict == "not_recognised"


@pytest.mark.outer
def test_a_published_rule_is_judged_by_its_own_verdicts(tmp_path):
    generators = pair_of_generators()
    images = generated_images(generators, 6, seed=0)
    # It accepts whatever it sees.
    lenient = calibration_of(generators["a"], RONAN, belonging=[0.0, 1.0, 2.0])
    compared = comparisons(generators, {("a", "ronan"): lenient}, generated=images, sets={})
    (row,) = evaluate(compared, cache=tmp_path, seed=0)["rows"]
    assert (row["group"], row["n"], row["tpr"], row["fpr"]) == ("b", 6, 1.0, 1.0)
    assert (row["accuracy"], row["undecided_belonging"]) == (0.5, 0.0)


def untimed(result):
    """What an evaluation gave, but for the time that it took, as text."""
    rows = [row for part in ("rows", "summary") for row in result[part]]
    return json.dumps([{k: v for k, v in row.items() if k != "seconds"} for row in rows])


@pytest.mark.outer
def test_a_killed_run_goes_on_where_it_was(tmp_path, inverted):
    compared = two_generators_compared()
    total = 2 * 2 * 3 * 5  # generators, methods, groups, images
    whole = untimed(evaluate(compared, cache=tmp_path / "whole", seed=0))
    assert inverted.images == total

    inverted.images = 0
    inverted.stop_before = 22  # in the middle of the second comparison
    with pytest.raises(KeyboardInterrupt):
        evaluate(compared, cache=tmp_path / "killed", seed=0)
    assert inverted.images == 22
    # The kill came in the middle of a line.
    newest = max((tmp_path / "killed").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes() + b'{"group": "noise", "index": 3, "sha2')

    inverted.stop_before = None
    resumed = evaluate(compared, cache=tmp_path / "killed", seed=0)
    assert inverted.images == total
    assert untimed(resumed) == whole
    again = evaluate(compared, cache=tmp_path / "killed", seed=0)
    assert inverted.images == total
    assert untimed(again) == whole


def test_the_cache_says_of_which_image_each_score_is(tmp_path):
    (compared,) = two_generators_compared(methods=(ORIGIN,), num=2)[:1]
    evaluate([compared], cache=tmp_path, seed=0)
    (file,) = tmp_path.iterdir()
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(r["group"], r["index"]) for r in records] == [
        (group, index) for group in ("a", "b", "noise") for index in (0, 1)
    ]
    assert all({"sha256", "score", "loss", "steps"} < set(r) for r in records)
    assert {r["steps"] for r in records} == {8}


@pytest.mark.outer
def test_progress_counts_every_image_found_or_done(tmp_path):
    compared = two_generators_compared(methods=(ORIGIN,), num=3)
    compared[0] = dataclasses.replace(compared[0], belonging=np.repeat(noise(1), 3, axis=0))
    told = []
    for _ in range(2):
        told.clear()
        evaluate(compared, cache=tmp_path, seed=0, run=Run(progress=lambda *of: told.append(of)))
        what, done, total = told[-1]
        assert (what, total) == ("evaluating", 2 * 9)
        assert done == pytest.approx(total)


@pytest.mark.outer
def test_a_stale_cache_is_not_used(tmp_path, inverted):
    def inverted_by(compared, *, seed=0):
        inverted.images = 0
        evaluate([compared], cache=tmp_path, seed=seed)
        return inverted.images

    first, _ = two_generators_compared(methods=(ORIGIN,), num=3)
    assert inverted_by(first) == 9
    assert inverted_by(first) == 0
    assert inverted_by(first, seed=1) == 9
    changes = {"stages": (Stage(steps=5),), "floor": 1e-3, "compute": "bfloat16"}
    for name, value in changes.items():
        other = dataclasses.replace(ORIGIN.recipe, **{name: value})
        method = dataclasses.replace(ORIGIN, recipe=other)
        assert inverted_by(dataclasses.replace(first, method=method)) == 9
    assert inverted_by(dataclasses.replace(first, generator=tiny_generator("a", seed=5))) == 9
    other_images = dataclasses.replace(first, foreign={"noise": noise(3, seed=9)})
    assert inverted_by(other_images) == 3
    assert inverted_by(first) == 0


def test_other_rates_decide_anew_on_the_same_scores(tmp_path, inverted):
    first, _ = two_generators_compared(methods=(ORIGIN,), num=3)
    before = evaluate([first], cache=tmp_path, seed=0)
    inverted.images = 0
    strict = dataclasses.replace(ORIGIN, rates=Rates(0.01, 0.1))
    calibration = calibration_of(first.generator, strict)
    changed = dataclasses.replace(first, method=strict, calibration=calibration)
    after = evaluate([changed], cache=tmp_path, seed=0)
    assert inverted.images == 0
    noise_before, noise_after = before["rows"][-1], after["rows"][-1]
    assert noise_before["undecided_foreign"] == 0.0
    assert noise_after["undecided_foreign"] == 1.0  # 9 belonging images cannot exclude at 1%
    assert noise_after["auc"] == noise_before["auc"]


@pytest.mark.outer
def test_limit_uses_the_first_images_and_their_scores(tmp_path, inverted):
    limited = two_generators_compared(methods=(ORIGIN,), num=5, limit=2)
    whole = two_generators_compared(methods=(ORIGIN,), num=5)
    np.testing.assert_array_equal(limited[0].belonging, whole[0].belonging[:2])
    assert [len(images) for images in limited[1].groups.values()] == [2, 2, 2]
    evaluate(limited, cache=tmp_path, seed=0)
    evaluate(whole, cache=tmp_path, seed=0)
    assert inverted.images == 2 * 3 * 5


@pytest.mark.outer
def test_what_was_scored_before_changes_no_score(tmp_path):
    part = two_generators_compared(methods=(RONAN,), num=5, limit=1)[0]
    whole = two_generators_compared(methods=(RONAN,), num=5)[0]
    evaluate([part], cache=tmp_path / "parts", seed=0)
    in_parts = evaluate([whole], cache=tmp_path / "parts", seed=0)
    assert untimed(in_parts) == untimed(evaluate([whole], cache=tmp_path / "whole", seed=0))


@pytest.mark.outer
def test_images_are_judged_by_the_score_of_the_method(tmp_path):
    method = dataclasses.replace(RONAN, score=LatentPrior())
    usual = [
        dataclasses.replace(RONAN, score=Typicality(Typical(log_loss, 1.0, 10.0)))
        for log_loss in (0.0, -10.0)
    ]
    plain, latent, near, far = (
        comparison_scores(
            two_generators_compared(methods=(one,), num=3)[0], cache=tmp_path, seed=0
        )["noise"]
        for one in (RONAN, method, *usual)
    )
    np.testing.assert_array_equal(plain.score, plain.loss)
    np.testing.assert_array_equal(latent.loss, plain.loss)
    assert (latent.score > plain.score).all()
    # What is typical is part of what scores are kept by.
    assert (far.score > near.score).all()
    np.testing.assert_array_equal(far.loss, plain.loss)


@pytest.mark.outer
def test_scores_belong_to_an_encoder(tmp_path, inverted):
    (compared,) = two_generators_compared(methods=(ORIGIN,), num=2)[:1]
    stages = (Stage(Optax("sgd", 1e-30), steps=1),)  # what is scored is the start
    recipe = dataclasses.replace(ORIGIN.recipe, start=Learned(), stages=stages)
    method = dataclasses.replace(ORIGIN, recipe=recipe)
    scores = []
    for seed in (0, 1):
        training = StartTraining(steps=2, batch_size=4, width=4, hidden=8)
        encoder = learn_start(compared.generator, training, key=jax.random.key(seed))
        calibration = calibration_of(compared.generator, method)
        calibration = dataclasses.replace(
            calibration,
            encoders={"generator": encoder.config},
            encoder_weights={f"generator.{name}": a for name, a in encoder.arrays().items()},
        )
        changed = dataclasses.replace(compared, method=method, calibration=calibration)
        inverted.images = 0
        evaluate([changed], cache=tmp_path, seed=0)
        assert inverted.images == 6
        evaluate([changed], cache=tmp_path, seed=0)
        assert inverted.images == 6
        found = cached_scores(
            compared.generator,
            method,
            changed.groups,
            folder=tmp_path,
            key=starting_key(0),
            encoder=encoder,
        )
        assert inverted.images == 6  # `evaluate` took the very start that the calibration holds
        scores.append(found["a"].score)
    assert (scores[0] != scores[1]).all()
    assert len(list(tmp_path.iterdir())) == 2


def test_test_images_are_fresh(monkeypatch):
    generators = pair_of_generators()
    calibrated = []

    def no_inversion(self, images):
        calibrated.extend(pixels.tobytes() for pixels in images)
        return [Scored(i, 0.0, None, 0.0) for i in range(len(images))]

    monkeypatch.setattr(Scorer, "found", no_inversion)
    for seed in range(3):
        calibrate(generators["a"], method=ORIGIN, num_belonging=9, key=jax.random.key(seed))
    tested = [generated_images(generators, 5, seed=seed)["a"] for seed in range(3)]
    distinct = {pixels.tobytes() for images in tested for pixels in images} | set(calibrated)
    assert len(distinct) == 15 + 27
    alone = generated_images({"a": generators["a"]}, 5, seed=2)["a"]
    np.testing.assert_array_equal(alone, tested[2])
    assert alone.dtype == np.uint8 and alone.shape == (5, 8, 8, 3)


def test_starting_points_share_no_key_with_images(monkeypatch):
    used = []
    monkeypatch.setattr(
        "benchmarks.sampling.belonging_images",
        lambda generator, num, *, key: used.append(jax.random.key_data(key).tolist()),
    )
    generated_images(pair_of_generators(), 2, seed=3)
    keys = [*used, jax.random.key_data(starting_key(3)).tolist()]
    assert len({tuple(key) for key in keys}) == 3


@pytest.mark.outer
def test_belonging_and_foreign_images_are_edited_alike(tmp_path, inverted):
    edits = ("clean", "jpeg-50", "crop-1+jpeg-50")
    plain = two_generators_compared(methods=(ORIGIN,), num=3)
    compared = two_generators_compared(methods=(ORIGIN,), num=3, edits=(*edits, "clean"))
    assert [(c.inspected, c.edit) for c in compared] == [(n, e) for n in "ab" for e in edits]
    for comparison in compared:
        unedited = plain["ab".index(comparison.inspected)].groups
        assert list(comparison.groups) == list(unedited)
        for group, images in comparison.groups.items():
            shown = [getattr(image, "pixels", image) for image in images]
            np.testing.assert_array_equal(shown, edit_images(unedited[group], comparison.edit))
            kinds = {getattr(image, "kind", "pixels") for image in images}
            assert kinds == {"pixels" if comparison.edit == "clean" else "jpeg"}

    result = evaluate(compared, cache=tmp_path, seed=0)
    assert inverted.images == 2 * 3 * 3 * 3  # generators, edits, groups, images
    assert [(r["inspected"], r["edit"], r["group"]) for r in result["rows"]] == [
        (name, edit, group)
        for name, other in ("ab", "ba")
        for edit in edits
        for group in (other, "noise")
    ]
    assert [(s["inspected"], s["edit"]) for s in result["summary"]] == [
        (c.inspected, c.edit) for c in compared
    ]
    # The clean ones are what they would be by themselves, and are inverted once.
    alone = evaluate(plain, cache=tmp_path, seed=0)
    assert alone["rows"] == [row for row in result["rows"] if row["edit"] == "clean"]
    assert inverted.images == 2 * 3 * 3 * 3


def table_cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_edits_have_a_column_where_there_are_any(tmp_path):
    compared = two_generators_compared(methods=(ORIGIN,), num=1, edits=("clean", "jpeg-75"))
    result = evaluate(compared, cache=tmp_path, seed=0)
    rows, summary = (table_cells(table) for table in result_table(result).split("\n\n"))
    assert [line[:4] for line in (rows[0], rows[2], rows[4])] == [
        ["inspected", "method", "edit", "foreign group"],
        ["a", "origin", "clean", "b"],
        ["a", "origin", "jpeg-75", "b"],
    ]
    assert summary[0][:4] == ["inspected", "method", "edit", "n"]
    clean = {part: [r for r in result[part] if r["edit"] == "clean"] for part in result}
    assert "edit" not in result_table(clean)
    assert table_cells(result_table(clean))[0][:3] == ["inspected", "method", "foreign group"]


def test_a_mixed_folder_is_decided_file_by_file(tmp_path):
    kinds = ("clean", "jpeg-75", "webp-80")
    mixed = "|".join(kinds)
    (both,) = two_generators_compared(methods=(ORIGIN,), num=5, edits=(mixed,))[:1]
    stored = [image.kind + (image.note or "") for image in both.belonging]
    assert stored == ["pixels", "jpeg", "webp", "pixels", "jpeg"]
    for i, kind in enumerate(kinds):
        (alone,) = two_generators_compared(methods=(ORIGIN,), num=5, edits=(kind,))[:1]
        pixels = [getattr(image, "pixels", image) for image in alone.belonging]
        np.testing.assert_array_equal(both.belonging[i].pixels, pixels[i])
    result = evaluate([both], cache=tmp_path, seed=0)
    # The calibration knows images as made alone: two files of five are such.
    assert result["summary"][0]["undecided_belonging"] == pytest.approx(0.6)
    assert "mixed, 3 kinds" in result_table(result)


def test_grey_images_are_evaluated_and_edited():
    generators = {
        name: FunctionGenerator(
            lambda weights, latents: jax.nn.sigmoid(latents @ weights).reshape(-1, 8, 8, 1),
            np.ones((3, 64), np.float32),
            latent_shape=(3,),
            image_shape=(8, 8, 1),
            name=name,
        )
        for name in "ab"
    }
    calibrations = {("a", "origin"): calibration_of(generators["a"], ORIGIN)}
    generated = {name: noise(2)[..., :1] for name in generators}
    compare = functools.partial(comparisons, generators, calibrations, generated=generated, sets={})
    assert len(compare()) == 1
    (edited,) = compare(edits=["jpeg-75"])
    assert {image.kind for image in edited.belonging} == {"jpeg"}


def test_plain_pictures_are_of_one_shape():
    config = evaluation_config()
    config.sets, config.plain, config.num_images = {}, True, 2
    drawn = dict(chosen_sets(config, [(8, 8, 3), (8, 8, 3)], data=""))
    assert {images.shape for images in drawn.values()} == {(2, 8, 8, 3)}
    with pytest.raises(ProtocolError, match=r"make images of \(8, 8, 3\), \(9, 8, 3\)"):
        list(chosen_sets(config, [(9, 8, 3), (8, 8, 3)], data=""))


def test_a_set_is_chosen_from_at_random_without_replacement(tmp_path):
    images = noise(20)
    np.savez(tmp_path / "set.npz", x=images)
    for i, pixels in enumerate(images):
        save_png(tmp_path / "folder" / f"{i:02d}.png", pixels)
    chosen = chosen_images(tmp_path / "set.npz", 10, name="s", seed=0)
    rows = [int(np.flatnonzero((images == c).all(axis=(1, 2, 3)))[0]) for c in chosen]
    assert len(set(rows)) == 10 and rows != sorted(rows)
    from_folder = chosen_images(tmp_path / "folder", 10, name="s", seed=0)
    np.testing.assert_array_equal(from_folder, chosen)
    other_seed = chosen_images(tmp_path / "set.npz", 10, name="s", seed=1)
    assert not np.array_equal(other_seed, chosen)


def test_a_set_that_cannot_be_used_is_named(tmp_path):
    np.savez(tmp_path / "few.npz", x=noise(3))
    with pytest.raises(ProtocolError, match=r"set 'few' holds 3 images, 4 are wanted"):
        chosen_images(tmp_path / "few.npz", 4, name="few", seed=0)
    with pytest.raises(ProtocolError, match=r"set 'lost': there is no .*nowhere.npz; --data names"):
        chosen_images(tmp_path / "nowhere.npz", 4, name="lost", seed=0)
    save_png(tmp_path / "mixed" / "0.png", noise(1)[0])
    save_png(tmp_path / "mixed" / "1.png", noise(1, size=9)[0])
    with pytest.raises(ImageError, match=r"of the same set is"):
        chosen_images(tmp_path / "mixed", 2, name="mixed", seed=0)
    with pytest.raises(ProtocolError, match="num_images must be at least 1, not 0"):
        chosen_images(tmp_path / "few.npz", 0, name="few", seed=0)
    with pytest.raises(ProtocolError, match="seed must be at least 0, not -1"):
        generated_images({}, 1, seed=-1)


def test_groups_of_another_image_size_are_left_out():
    generators = pair_of_generators()
    calibrations = {("a", "origin"): calibration_of(generators["a"], ORIGIN)}
    generated = {**generated_images(generators, 2, seed=0), "large": noise(2, size=16)}
    (compared,) = comparisons(generators, calibrations, generated=generated, sets={})
    assert list(compared.foreign) == ["b"]


def test_each_generator_is_inspected_by_its_familys_recipe():
    config = evaluation_config()
    found = {
        cls.__name__: [method.name for method in chosen_methods(config, cls)]
        for cls in (DCGAN, DDIM)
    }
    assert found == {"DCGAN": ["ronan", "origin"], "DDIM": ["ronan", "origin-diffusion"]}


def test_only_generators_that_are_compared_need_images():
    def make(kind, shape=(8, 8, 3)):
        return type(kind, (), {"image_shape": shape})()

    one, other = make("A"), make("B")
    generators = {"a": one, "b": other, "a2": type(one)(), "small": make("A", (4, 4, 3))}
    wanted = {"all": ["b", "a2"], "none": [], "same_architecture": ["a2"]}
    for others, names in {**wanted, "other_architectures": ["b"]}.items():
        assert foreign_generators(generators, "a", others=others) == names


def test_what_cannot_be_compared_is_named():
    generators = pair_of_generators()
    a, b = generators.values()
    generated = generated_images(generators, 2, seed=0)
    good = {("a", "origin"): calibration_of(a, ORIGIN)}

    def compare(calibrations=good, generated=generated, **sets):
        return comparisons(generators, calibrations, generated=generated, sets=sets)

    with pytest.raises(CalibrationError, match=r"made for generator 'b'.*not 'a'"):
        compare({("a", "origin"): calibration_of(b, ORIGIN)})
    with pytest.raises(CalibrationError, match="made for method 'ronan', not 'origin'"):
        compare({("a", "origin"): calibration_of(a, RONAN)})
    with pytest.raises(ProtocolError, match="set 'b' has the name of a generator"):
        compare(b=noise(2))
    with pytest.raises(ProtocolError, match=r"set 's' holds images of \(9, 9, 3\)"):
        compare(s=noise(2, size=9))
    with pytest.raises(ProtocolError, match="nothing to compare 'a' with"):
        compare(generated={"a": generated["a"]})
    with pytest.raises(ProtocolError, match="did you mean 'jpeg-75'"):
        two_generators_compared(edits=("clean", "jpg-75"))
    with pytest.raises(ProtocolError, match="crop-4 leaves nothing of images of 8x8"):
        two_generators_compared(edits=("crop-4",))
    with pytest.raises(ProtocolError, match="no edits to evaluate under"):
        two_generators_compared(edits=())
    calibration = good["a", "origin"]
    unknown = {**calibration.method, "recipe": {"wings": 2}}
    with pytest.raises(CalibrationError, match="'wings'"):
        compare({("a", "origin"): dataclasses.replace(calibration, method=unknown)})


def test_circumstances_name_all_that_the_measures_depend_on():
    compared = two_generators_compared(methods=(ORIGIN,), num=2)
    found = json.loads(json.dumps(circumstances(compared)))
    assert found["generators"] == {each.inspected: fingerprint(each.generator) for each in compared}
    assert found["calibrations"][0]["digest"] == compared[0].calibration.digest
    assert found["calibrations"][0]["foreign"] == ["photos"]
    assert set(found["images"]) == {"a", "b", "noise"}
    assert found["versions"]["jax"] == jax.__version__

    edited = two_generators_compared(methods=(ORIGIN,), num=2, edits=("clean", "jpeg-75"))
    with_edits = circumstances(edited)
    assert with_edits["calibrations"] == found["calibrations"]
    assert {name: with_edits["images"][name] for name in found["images"]} == found["images"]
    names = {"a, jpeg-75", "b, jpeg-75", "noise, jpeg-75"}
    assert set(with_edits["images"]) == set(found["images"]) | names
    assert len({each["sha256"] for each in with_edits["images"].values()}) == 6


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A zoo of two generators that make images of 8x8, with calibrations; and a set."""
    folder = tmp_path_factory.mktemp("zoo")
    for seed, name in enumerate(("one", "two")):
        generator = DCGAN(image_size=8, latent_dim=3, width=2, rngs=nnx.Rngs(seed))
        save_generator(folder / name, generator, card={"name": name})
        generator = load_generator(folder / name)
        for method in (ORIGIN, RONAN):
            calibration = calibration_of(generator, method)
            calibration.save(folder / name / f"calibration-{method.name}.json")
    np.savez(folder / "photos.npz", x=noise(6))
    return folder


def run_script(zoo, *flags, config="cifar10"):
    """Runs the script on this zoo, in a process of its own."""
    program = (
        "import pathlib, runpy, sys; import jax_origin.zoo.members as members; "
        "members.ZOO = pathlib.Path(sys.argv[1]); sys.argv[:2] = ['scripts/evaluate.py']; "
        "runpy.run_path('scripts/evaluate.py', run_name='__main__')"
    )
    settings = [f"--config=configs/evaluate/{config}.py", "--config.num_images=4"]
    return subprocess.run(
        [sys.executable, "-c", program, zoo, *settings, *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.outer
def test_the_script_writes_rows_and_prints_them(zoo, tmp_path):
    out = tmp_path / "result.json"
    done = run_script(
        zoo,
        f"--data={zoo}",
        f"--out={out}",
        "--limit=3",
        "--config.inspected=('two',)",
        '--config.sets["cifar10-test"]=photos.npz',
        '--config.sets["cifake"]=',
        '--config.sets["tiny-imagenet"]=',
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert [(r["inspected"], r["group"], r["method"], r["n"]) for r in result["rows"]] == [
        ("two", group, method, 3)
        for method in ("ronan", "origin")
        for group in ("one", "cifar10-test")
    ]
    assert [s["mean_steps"] for s in result["summary"]] == [6.0, 8.0]
    assert (result["seed"], result["limit"], result["config"]["num_images"]) == (2, 3, 4)
    calibration = Calibration.load(zoo / "two" / "calibration-ronan.json")
    assert result["calibrations"][0]["digest"] == calibration.digest
    assert result_table(result) in done.stdout
    assert len(list((tmp_path / "result.json.cache").iterdir())) == 2


@pytest.mark.outer
def test_the_script_evaluates_under_edits(zoo, tmp_path):
    out = tmp_path / "result.json"
    done = run_script(
        zoo,
        f"--data={zoo}",
        f"--out={out}",
        "--limit=2",
        "--config.inspected=('two',)",
        '--config.sets["cifar10-test"]=photos.npz',
        '--config.sets["cifake"]=',
        '--config.sets["tiny-imagenet"]=',
        config="edits",
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    edits = result["config"]["edits"]
    assert {"clean", "jpeg-75", "resize-0.75"} < set(edits)
    assert [(r["edit"], r["group"], r["n"]) for r in result["rows"]] == [
        (edit, group, 2) for edit in edits for group in ("one", "cifar10-test")
    ]
    assert all({"tpr", "fpr"} < set(row) for row in result["rows"])
    assert result_table(result) in done.stdout


@pytest.mark.outer
def test_the_script_names_what_is_missing_in_one_line(zoo, tmp_path):
    done = run_script(zoo, f"--data={tmp_path}", f"--out={tmp_path / 'result.json'}")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"evaluate: set 'cifake': there is no {tmp_path}/cifake_sd14_fake_10k_jpegbytes.npz; "
        "--data names the folder that holds it, and '--config.sets[\"cifake\"]=' leaves the set out"
    ]
    assert not list(tmp_path.iterdir())


def test_parts_of_an_archive_have_no_source_in_common(tmp_path):
    images = np.arange(12, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    folder = tmp_path / "a#1"
    folder.mkdir()
    np.savez(folder / "set.npz", x=images, source=np.arange(12) // 2)
    parts = [
        chosen_images(f"{folder}/set.npz#{i}/3", 4, name="own", seed=0)[:, 0, 0, 0] // 2
        for i in range(3)
    ]
    assert [sorted({*part.tolist()}) for part in parts] == [[0, 3], [1, 4], [2, 5]]
    with pytest.raises(ProtocolError, match="a part is written #1/3"):
        chosen_images(f"{folder}/set.npz#3/3", 4, name="own", seed=0)
    with pytest.raises(ProtocolError, match=r"config\.reencoded\.tests names the file"):
        chosen_images("none.npz", 4, name="own", seed=0, setting="config.reencoded.tests")
