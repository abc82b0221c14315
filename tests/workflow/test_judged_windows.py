"""Images of any size, judged by windows of the generator's size."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

import jax_origin as jo
from jax_origin.evidence.explain import explain_run
from jax_origin.generators import AutoencoderTiny, decoder_fingerprint, with_settings
from jax_origin.images import save_png, stored_pixels
from jax_origin.workflow import METHODS, Scorer
from jax_origin.workflow.judged_windows import windows_of

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def autoencoder():
    """It makes images of blocks of 2x2 pixels of one colour: means of four, and their repetition.

    Windows of 32 pixels, with 4 around them.
    """
    model = AutoencoderTiny(
        image_size=32,
        latent_channels=3,
        encoder=[("down", 3)],
        decoder=[("up", 3)],
        margin=4,
        rngs=nnx.Rngs(0),
    )
    mean, same = np.zeros((2, 3, 3, 3, 3), np.float32)
    mean[1:, 1:] = np.eye(3) / 4
    same[1, 1] = np.eye(3)
    model.encoder.parts[0].kernel[...] = mean
    model.decoder.parts[0].kernel[...] = same
    return model


@pytest.fixture(scope="module")
def short():
    """The method for autoencoders, for a few images; a generic code says blocks as well."""
    stages = (jo.Stage(jo.solvers.GaussNewton(), steps=4),)
    origin = METHODS["origin-latent"]
    recipe = dataclasses.replace(origin.recipe, stages=stages)
    rates = jo.Rates(0.2, 0.2)
    options = {"recipe": recipe, "rates": rates, "windows": 2, "conditions": ("jpeg-75",)}
    return dataclasses.replace(origin, score=jo.scores.Loss(), floor=5e-7, **options)


def pictures(count, height, width, seed):
    """Pictures with some detail of a pixel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 12
    shape = (count, 1, 1, 3)
    waves = np.sin(x[None, ..., None] + rng.normal(size=shape)) + np.cos(
        y[None, ..., None] + rng.normal(size=shape)
    )
    noise = rng.normal(0, 12, (count, height, width, 3))
    return np.clip(128 + 40 * waves + noise, 20, 230).astype(np.uint8)


@pytest.fixture(scope="module")
def own(autoencoder):
    """Own images of two sizes."""
    photographs = [*pictures(4, 64, 96, 0), *pictures(3, 48, 48, 1)]
    return jo.reencoded_images(autoencoder, photographs, key=KEY)


@pytest.fixture(scope="module")
def calibrated(autoencoder, short, own):
    foreign = {"photographs": [*pictures(4, 64, 64, 2), *pictures(2, 40, 72, 3)]}
    return jo.calibrate(autoencoder, method=short, belonging=own, foreign=foreign, key=KEY)


def test_own_images_are_made_whole_and_judged_by_windows(own, calibrated):
    assert [image.shape for image in own.images] == [(64, 96, 3)] * 4 + [(48, 48, 3)] * 3
    np.testing.assert_array_equal(own.images[0][::2], own.images[0][1::2])
    assert calibrated.belonging.shape == (7,)
    assert calibrated.foreign["photographs"].scores.shape == (6,)
    assert 10 * calibrated.belonging.max() < calibrated.foreign["photographs"].scores.min()
    after = calibrated.foreign["photographs after jpeg-75"].scores
    assert calibrated.conditions["jpeg-75"].max() < after.min()


def test_the_calibration_names_the_decoder(autoencoder, calibrated):
    found = calibrated.generator["decoder"]
    assert found["fingerprint"] == decoder_fingerprint(autoencoder)
    said = explain_run(calibrated)
    assert "painted by this decoder last, whatever the model was. Other models may share it" in said
    shared = {"family": "blocks", "models": ["one", "two"]}
    generator = {**calibrated.generator, "decoder": {**found, **shared}}
    said = explain_run(dataclasses.replace(calibrated, generator=generator))
    assert "It is the decoder blocks, which one and two share" in said


def test_images_of_other_sizes_are_attributed(autoencoder, calibrated, tmp_path):
    fresh = jo.reencoded_images(autoencoder, pictures(2, 80, 48, 5), key=jax.random.key(6))
    attributor = jo.Attributor(autoencoder, calibrated, key=jax.random.key(1))
    for verdict in attributor(fresh.images):
        assert verdict.verdict == "belongs"
        assert verdict.score_kind == "full"
        assert verdict.reconstruction.shape == (80, 48, 3)
        grey = (verdict.reconstruction == 0.5).all(axis=2)
        assert 0 < grey.mean() < 0.9
        near = np.abs(verdict.reconstruction - verdict.image.pixels / 255)[~grey]
        assert near.max() < 2 / 255
    save_png(tmp_path / "other.png", pictures(1, 33, 50, 7)[0])
    save_png(tmp_path / "small.png", pictures(1, 31, 50, 7)[0])
    other, small = sorted(attributor(tmp_path), key=lambda verdict: verdict.path)
    assert other.verdict == "not_recognised"
    assert "makes at least (32, 32, 3); pass --resize to allow resizing" in small.error


def test_bytes_of_a_file_that_is_too_small_are_one_of_many(autoencoder, calibrated, tmp_path):
    save_png(tmp_path / "small.png", pictures(1, 31, 50, 7)[0])
    data = (tmp_path / "small.png").read_bytes()
    (verdict,) = jo.attribute([data], autoencoder, calibrated, key=jax.random.key(1))
    assert "makes at least (32, 32, 3)" in verdict.error


def test_a_file_that_is_too_small_may_be_enlarged(autoencoder, calibrated, own, tmp_path):
    save_png(tmp_path / "long.png", pictures(1, 24, 60, 7)[0])
    save_png(tmp_path / "large.png", own.images[0])
    save_png(tmp_path / "thread.png", pictures(1, 1, 70_000, 7)[0])
    options = {"key": jax.random.key(1), "resize": True}
    attributor = jo.Attributor(autoencoder, calibrated, **options)
    large, long, thread = sorted(attributor(tmp_path), key=lambda verdict: verdict.path)
    assert (large.verdict, large.image.note) == ("belongs", None)
    assert long.image.pixels.shape == (32, 80, 3)
    assert (long.image.size, long.image.note) == ((24, 60), "resized from 24x60 to 32x80")
    assert long.verdict == "undecided"
    assert long.decision.reason.startswith("drift: resized to 24x60 and back; calibrated: as made")
    assert "is 1x70000 (HxW), and enormous at 32x2240000: more than" in thread.error
    data = (tmp_path / "long.png").read_bytes()
    (again,) = jo.attribute([data], autoencoder, calibrated, **options)
    assert again.score == long.score


def test_arrays_of_other_channels_are_named_by_these(autoencoder, calibrated, short, own):
    grey = pictures(2, 64, 64, 7)[..., :1]
    wrong = r"images are \(64, 64, 1\) \(H, W, C\): the wrong number of channels, .* makes 3"
    with pytest.raises(ValueError, match=wrong):
        jo.attribute(grey, autoencoder, calibrated, key=KEY)
    with pytest.raises(ValueError, match=wrong):
        Scorer(autoencoder, short, key=KEY).scores(grey)
    with pytest.raises(ValueError, match=f"foreign group 'grey': {wrong}"):
        jo.calibrate(autoencoder, method=short, belonging=own, foreign={"grey": grey}, key=KEY)


@pytest.mark.parametrize("windows", [0, 2])
def test_grey_arrays_are_scored_as_their_files_are(windows, short):
    layers = {"encoder": [("down", 1)], "decoder": [("up", 1)]}
    grey = AutoencoderTiny(image_size=32, latent_channels=1, channels=1, **layers, rngs=nnx.Rngs(0))
    method = dataclasses.replace(short, score=jo.scores.CodeRatio(), windows=windows)
    shown = pictures(2, 32, 32, 4)[..., :1]
    scorer = Scorer(grey, method, key=KEY)
    np.testing.assert_allclose(scorer.scores(shown), scorer.scores(stored_pixels(shown)), rtol=1e-6)


def test_a_window_alone_may_be_accepted_early(autoencoder, calibrated):
    fresh = jo.reencoded_images(autoencoder, pictures(1, 32, 32, 5), key=jax.random.key(6))
    options = {"key": jax.random.key(1)}
    (early,) = jo.attribute(fresh.images, autoencoder, calibrated, **options)
    (full,) = jo.attribute(fresh.images, autoencoder, calibrated, full_scores=True, **options)
    assert (early.verdict, full.verdict) == ("belongs", "belongs")
    assert early.steps <= full.steps


def test_a_window_of_any_side_lies_where_there_is_texture(autoencoder):
    pixels = np.full((64, 96, 3), 100, np.uint8)
    pixels[32:, 64:] = pictures(1, 32, 32, 9)[0]
    odd = with_settings(autoencoder, {"image_size": [24, 20]})
    (found,) = windows_of(stored_pixels(pixels[None])[0], odd, 1)
    assert (found.top, found.left) == (32, 64)
    assert found.stored.pixels.shape == (24, 20, 3)


def test_what_is_too_small_or_of_other_channels_is_named(autoencoder, short, own):
    foreign = {"small": np.zeros((6, 31, 40, 3), np.uint8)}
    with pytest.raises(ValueError, match=r"foreign group 'small': images are \(31, 40, 3\)"):
        jo.calibrate(autoencoder, method=short, belonging=own, foreign=foreign, key=KEY)
    with pytest.raises(ValueError, match="windows=2 is not for scores of the latent"):
        dataclasses.replace(short, score=jo.scores.LatentPrior())


def test_a_cut_is_found_where_it_lies(autoencoder, short):
    (whole,) = jo.reencoded_images(autoencoder, pictures(1, 32, 32, 7), key=KEY).images
    (photograph,) = pictures(1, 32, 32, 8)
    cuts = [stored_pixels(image[None, 3:27, 4:29])[0] for image in (whole, photograph)]
    spent = []
    for stages in (
        (jo.Stage(jo.solvers.EncoderSteps(), steps=1), *short.recipe.stages),
        short.recipe.stages,
    ):
        recipe = dataclasses.replace(short.recipe, stages=stages)
        scorer = Scorer(autoencoder, dataclasses.replace(short, recipe=recipe), key=KEY)
        own, foreign = scorer.found(cuts)
        assert own.score < 1e-7 and foreign.score > 1e-4
        spent.append(foreign.inversion.steps)
    # Cells are 2 pixels wide: four places begin, and one goes on to a second stage.
    assert 2 * spent[0] < spent[1]
    assert own.inversion.reconstruction.shape == (24, 25, 3)
    np.testing.assert_allclose(own.inversion.reconstruction, cuts[0].pixels / 255, atol=0.01)
    assert float(own.inversion.loss) < 1e-5
    with pytest.raises(ValueError, match="makes at least"):
        scorer.found([stored_pixels(photograph[None, :12])[0]])


def test_a_cut_is_held_against_the_cuts_that_were_calibrated(autoencoder, short):
    own = jo.reencoded_images(autoencoder, pictures(8, 32, 32, 4), key=KEY)
    method = dataclasses.replace(short, conditions=("cut-0.75",))
    calibration = jo.calibrate(autoencoder, method=method, belonging=own, key=KEY)
    assert set(calibration.conditions) == {"cut-0.75"}
    attributor = jo.Attributor(autoencoder, calibration, key=KEY)
    (cut,) = attributor([own.images[0][1:26, 3:28]])
    assert cut.condition == "cut-0.75"
    (smaller,) = attributor([own.images[0][1:18, 3:20]])
    assert smaller.reason == "drift: cut to 53% of a side; calibrated: as made, cut-0.75"


def test_cuts_that_nothing_is_known_of_are_refused(autoencoder, short, own):
    method = dataclasses.replace(short, conditions=("cut-0.75",))
    with pytest.raises(jo.CalibrationError, match="cuts are calibrated with own images of"):
        jo.calibrate(autoencoder, method=method, belonging=own, key=KEY)
    method = dataclasses.replace(short, conditions=("cut-0.75+webp-80",))
    small = jo.reencoded_images(autoencoder, pictures(3, 32, 32, 4), key=KEY)
    with pytest.raises(jo.CalibrationError, match=r"'cut-0.75\+webp-80': its images are"):
        jo.calibrate(autoencoder, method=method, belonging=small, key=KEY)
    unknown = stored_pixels(small.images[:1, :25, :25], note="the file is unknown")[0]
    with pytest.raises(ValueError, match="makes at least"):
        windows_of(unknown, autoencoder, 1)
