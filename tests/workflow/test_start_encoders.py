"""Methods that start from a trained encoder: who trains it, where it is kept, how it is read."""

import dataclasses
import importlib

import jax
import numpy as np
import pytest

from jax_origin import (
    METHODS,
    Calibration,
    CalibrationError,
    Rates,
    Run,
    StartTraining,
    attribute,
    attribute_stream,
    calibrate,
    learn_start,
)
from jax_origin.inversion import starts
from jax_origin.scores import Loss
from jax_origin.workflow import Scorer, belonging_images, encoders_of

pytestmark = pytest.mark.outer

KEY = jax.random.key(7)
CALIBRATE = importlib.import_module("jax_origin.workflow.calibrate")
SHORT = StartTraining(steps=40, batch_size=32, width=8, hidden=32)
ORIGIN = dataclasses.replace(METHODS["origin"], rates=Rates(0.05, 0.05), conditions=())


@pytest.fixture(scope="module")
def encoder(generator):
    return learn_start(generator, SHORT, key=jax.random.key(2))


@pytest.fixture(scope="module")
def origin(generator, make_generator, noise, encoder):
    """The calibration of `origin`, with an encoder of a short training."""
    other = belonging_images(make_generator(1), 40, key=jax.random.key(5))
    return calibrate(
        generator,
        method=ORIGIN,
        num_belonging=40,
        foreign={"noise": noise[:40], "other": other},
        encoder=encoder,
        key=jax.random.key(0),
    )


@pytest.fixture
def quickly(monkeypatch):
    """Has `calibrate` train for a moment only; notes what was trained."""
    trained = []

    def learn(model, training, *, key, run):
        trained.append(model)
        steps = SHORT.steps * training.steps // StartTraining().steps
        return learn_start(model, dataclasses.replace(SHORT, steps=steps), key=key, run=run)

    monkeypatch.setattr(CALIBRATE, "learn_start", learn)
    return trained


def test_origin_takes_its_encoder_from_the_calibration_and_its_file(
    tmp_path, generator, make_generator, encoder, origin
):
    own = belonging_images(generator, 60, key=jax.random.key(21))
    other = belonging_images(make_generator(1), 20, key=jax.random.key(22))
    fresh = np.random.default_rng(23).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    many = np.concatenate([own, other, fresh])
    assert origin.encoders["generator"] == encoder.config
    found = attribute(many, generator, origin, key=KEY)
    words = [verdict.verdict for verdict in found]
    assert words[:60].count("belongs") >= 54
    assert "belongs" not in words[60:]
    assert words[60:].count("not_recognised") >= 36
    # Own images need no more than the descent and a Jacobian or two.
    assert np.mean([verdict.steps for verdict in found[:60]]) < 50
    origin.save(tmp_path / "calibration.json")
    loaded = Calibration.load(tmp_path / "calibration.json")
    assert encoders_of(loaded)["generator"].digest == encoder.digest
    again = attribute(many, generator, loaded, key=KEY)
    assert [verdict.record() for verdict in again] == [verdict.record() for verdict in found]


def test_an_encoder_that_does_not_fit_its_calibration_is_refused_in_one_line(
    tmp_path, noise, generator, encoder, origin
):
    weights = dict(origin.encoder_weights)
    weights.pop("generator.output.bias")
    broken = dataclasses.replace(
        origin, encoders={"generator": encoder.config}, encoder_weights=weights
    )
    with pytest.raises(CalibrationError, match=r"the calibration: .*weights do"):
        attribute(noise[:1], generator, broken, key=KEY)
    # At once, and not when the first verdict is asked for.
    with pytest.raises(CalibrationError, match="weights do"):
        attribute_stream(noise[:1], generator, broken, key=KEY)
    broken.save(tmp_path / "a.json")
    with pytest.raises(CalibrationError, match=r"a\.json: .*weights do not fit"):
        encoders_of(Calibration.load(tmp_path / "a.json"))


@pytest.mark.outer
def test_an_encoder_is_trained_for_each_model_where_none_is_given(
    generator, make_generator, encoder, quickly
):
    reference = make_generator(2)
    common = {"method": ORIGIN, "num_belonging": 20, "key": jax.random.key(0)}
    alone = calibrate(generator, **common)
    assert quickly == [generator] and set(encoders_of(alone)) == {"generator"}
    # Again the same, as the key says; and another one by another key.
    assert calibrate(generator, **common).digest == alone.digest
    other = calibrate(generator, **{**common, "key": jax.random.key(1)})
    assert other.encoders["sha256"] != alone.encoders["sha256"]

    quickly.clear()
    ratio = calibrate(generator, **common, reference=reference, encoder=encoder)
    assert quickly == [reference]
    encoders = encoders_of(ratio)
    assert set(encoders) == {"generator", "reference"}
    assert encoders["generator"].digest == encoder.digest
    images = belonging_images(generator, 4, key=jax.random.key(21))
    found = attribute(images, generator, ratio, key=KEY, alpha=0.1, reference=reference)
    assert {verdict.score_kind for verdict in found} == {"full"}
    # A ratio needs both losses in full: no inversion stops at the floor.
    recipe = dataclasses.replace(ORIGIN.recipe, floor=0.0)
    method = dataclasses.replace(ORIGIN, floor=0.0, recipe=recipe, score=Loss())
    ours = Scorer(generator, method, key=KEY, encoders=encoders).scores(images)
    theirs = Scorer(
        reference, method, key=KEY, encoders={"generator": encoders["reference"]}
    ).scores(images)
    np.testing.assert_allclose([v.score for v in found], ours / theirs, rtol=1e-6)


def test_a_start_is_trained_longer_where_own_images_are_missed(
    generator, encoder, quickly, monkeypatch
):
    # A recipe that looks where the start puts the image, and goes nowhere.
    seen = ORIGIN.recipe.stages[:1]
    looked = dataclasses.replace(ORIGIN.recipe, start=starts.Learned(), stages=seen)
    short = dataclasses.replace(ORIGIN, recipe=looked)
    patient = dataclasses.replace(ORIGIN, name="origin-patient")
    monkeypatch.setattr(CALIBRATE, "SHORT", short)
    monkeypatch.setattr(CALIBRATE, "LONGER", (patient,))
    options = {"method": short, "num_belonging": 20, "key": KEY}
    made = calibrate(generator, **options)
    assert made.method["name"] == "origin-patient" and quickly == [generator, generator]
    assert made.encoders["generator"]["training"]["steps"] == 3 * SHORT.steps
    found = made.measured.found_again
    assert found["origin"][0] < found["origin-patient"][0]
    # An encoder that is given stays, and so does the first one where what is longer finds no more.
    quickly.clear()
    made = calibrate(generator, encoder=encoder, **options)
    assert made.encoders["generator"] == encoder.config and quickly == []
    nowhere = dataclasses.replace(METHODS["ronan"].recipe, stages=seen)
    monkeypatch.setattr(CALIBRATE, "LONGER", (dataclasses.replace(patient, recipe=nowhere),))
    made = calibrate(generator, **options)
    assert made.method["name"] == "origin"
    assert made.encoders["generator"]["training"]["steps"] == SHORT.steps


def test_training_is_told_and_kept_for_the_next_calibration(generator, quickly, tmp_path):
    told = []
    run = Run(progress=lambda *news: told.append(news), cache=tmp_path / "kept")
    common = {"method": ORIGIN, "num_belonging": 20, "key": jax.random.key(0), "run": run}
    first = calibrate(generator, **common)
    training = [news for news in told if news[0] == "learning a start"]
    assert len(training) == training[-1][1] == training[-1][2] == SHORT.steps
    assert told[: len(training)] == training
    (kept,) = (tmp_path / "kept").iterdir()
    told.clear()
    written = kept.stat().st_mtime_ns
    assert calibrate(generator, **common) == first
    assert [news for news in told if news[0] == "learning a start"] == [
        ("learning a start", SHORT.steps, SHORT.steps)
    ]
    assert kept.stat().st_mtime_ns == written
