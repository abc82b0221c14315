"""Own images that are given, or made of photographs, for generators without a prior."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

import jax_origin as jo
from jax_origin.evidence.explain import explain_run
from jax_origin.generators import AutoencoderTiny
from jax_origin.images import as_float
from jax_origin.workflow import belonging_images, score_again

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def autoencoder():
    """A tiny autoencoder with fresh weights, 8 px in cells of 2."""
    return AutoencoderTiny(
        image_size=8,
        latent_channels=4,
        encoder=[("conv", 8), ("down", 8), ("conv", 4)],
        decoder=[("conv_relu", 8), ("up", 8), ("conv", 3)],
        rngs=nnx.Rngs(0),
    )


@pytest.fixture(scope="module")
def few(method):
    return dataclasses.replace(method, rates=jo.Rates(0.2, 0.2))


def test_images_that_are_given_are_scored_and_named(generator, few, noise):
    own = belonging_images(generator, 9, key=jax.random.key(11))
    given = jo.BelongingImages(own, "images of a folder")
    foreign = {"noise": noise[:9]}
    made = jo.calibrate(generator, method=few, belonging=given, foreign=foreign, key=KEY)
    assert made.belonging.shape == (9,)
    assert made.belonging.max() < made.foreign["noise"].scores.min()
    assert made.measured.belonging == "images of a folder"
    assert "Its own images are images of a folder." in explain_run(made)
    assert score_again(generator, made) is None
    prior = jo.calibrate(generator, method=few, num_belonging=9, foreign=foreign, key=KEY)
    assert prior.measured.belonging == "draws of its prior"
    assert "Its own images are" not in explain_run(prior)


def test_what_is_fitted_beforehand_gets_images_of_its_own(generator, few, noise):
    own = belonging_images(generator, 20, key=jax.random.key(11))
    made = jo.calibrate(generator, method=few, belonging=own, futility=True, key=KEY)
    assert made.belonging.shape == (10,)
    wanted = "need 20 images, and some more for what is fitted beforehand; got 20"
    with pytest.raises(jo.CalibrationError, match=wanted):
        jo.calibrate(generator, method=few, belonging=own, num_belonging=20, futility=True, key=KEY)


def test_given_images_have_the_generators_shape_and_one_setting(generator, few):
    with pytest.raises(ValueError, match=r"belonging: images are \(9, 9, 3\)"):
        jo.calibrate(generator, method=few, belonging=np.zeros((9, 9, 9, 3), np.uint8), key=KEY)


def test_an_autoencoder_has_no_prior_to_calibrate_with(autoencoder, few):
    with pytest.raises(jo.CalibrationError, match="has no prior to draw images from"):
        jo.calibrate(autoencoder, method=few, key=KEY)


@pytest.mark.parametrize(("count", "futility"), [(0, False), (1, True)])
def test_too_few_images_are_refused_before_any_is_inverted(autoencoder, few, count, futility):
    given = np.zeros((count, 8, 8, 3), np.uint8)
    with pytest.raises(jo.CalibrationError, match=f"belonging: need 1 images.*; got {count}"):
        jo.calibrate(autoencoder, method=few, belonging=given, futility=futility, key=KEY)


def test_an_autoencoder_of_ones_own_takes_photographs_of_its_size(noise):
    class Own(AutoencoderTiny):
        kind = "own"

    layers = {"encoder": [("down", 3)], "decoder": [("up", 3)]}
    own = Own(image_size=8, latent_channels=3, **layers, rngs=nnx.Rngs(0))
    assert jo.reencoded_images(own, noise[:2], key=KEY).images.shape == (2, 8, 8, 3)
    with pytest.raises(ValueError, match=r"photographs are \(6, 8, 3\)"):
        jo.reencoded_images(own, noise[:2, :6], key=KEY)


def test_photographs_are_encoded_perturbed_and_decoded(autoencoder, generator, noise):
    single = {"precisions": ["float32"]}
    plain = jo.reencoded_images(
        autoencoder, noise[:10], key=KEY, amount=0.0, source="noise", **single
    )
    assert plain.source == "encodings of noise, perturbed by 0 and decoded in float32"
    images = as_float(noise[:10])
    wanted = np.asarray(autoencoder(autoencoder.encode(images)))
    assert np.abs(as_float(plain.images) - wanted).max() <= 0.51 / 255
    moved = jo.reencoded_images(autoencoder, noise[:10], key=KEY, amount=0.5, **single)
    assert np.abs(as_float(moved.images) - wanted).mean() > 1 / 255
    with pytest.raises(ValueError, match=r"has no encode\(images\)"):
        jo.reencoded_images(generator, noise[:10], key=KEY)
    with pytest.raises(ValueError, match=r"photographs are \(8, 8, 1\)"):
        jo.reencoded_images(autoencoder, np.zeros((1, 8, 8, 1), np.uint8), key=KEY)


def test_every_other_image_is_decoded_in_bfloat16_as_pipelines_do(autoencoder, noise):
    made, *alone = (
        jo.reencoded_images(autoencoder, noise[:10], key=KEY, precisions=precisions)
        for precisions in (None, ["float32"], ["bfloat16"])
    )
    assert made.source.endswith("decoded in float32 and bfloat16")
    for i, dtype in enumerate(alone):
        np.testing.assert_array_equal(made.images[i::2], dtype.images[i::2])
    differ = np.abs(alone[0].images.astype(int) - alone[1].images)
    assert 0.05 < (differ > 0).mean() < 0.9
    assert differ.max() <= 12
