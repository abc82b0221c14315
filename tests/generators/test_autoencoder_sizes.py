"""Autoencoders on any size: images as parts of canvases; latents as diffusion models have them."""

import json

import jax
import numpy as np
import pytest
from flax import nnx

from jax_origin.checkpoints import CheckpointError, write_safetensors
from jax_origin.generators import AutoencoderKL, AutoencoderTiny, open_generator, save_generator
from jax_origin.generators.autoencoders.base import whitening
from jax_origin.generators.files import with_settings

from .diffusers_autoencoders import images

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def tiny():
    """Fresh weights, cells of 4 pixels."""
    return AutoencoderTiny(
        image_size=16,
        latent_channels=4,
        encoder=[("conv", 8), ("down", 8), ("pooled_block", 8), ("down_relu", 8), ("conv", 4)],
        decoder=[("conv_relu", 8), ("up", 8), ("block", 12), ("up", 8), ("conv", 3)],
        latent_mean=[0.1, 0.2, 0.3, 0.4],
        latent_std=[1.0, 2.0, 3.0, 4.0],
        rngs=nnx.Rngs(0),
    )


def test_a_size_that_is_no_multiple_is_completed_below_and_right(tiny):
    part = with_settings(tiny, {"image_size": [13, 18]})
    assert part.image_shape == (13, 18, 3)
    assert part.latent_shape == (4, 5, 4)
    whole = with_settings(tiny, {"image_size": [16, 20]})
    z = jax.random.normal(jax.random.key(0), (1, 4, 5, 4))
    np.testing.assert_array_equal(part(z), whole(z)[:, :13, :18])
    x = images(1, 13, 18)
    canvas = np.asarray(part.on_canvas(x))
    np.testing.assert_array_equal(canvas[:, :13, :18], x)
    np.testing.assert_array_equal(canvas[:, 13:], canvas[:, 11:8:-1])
    np.testing.assert_array_equal(part.encode(x), whole.encode(canvas))


def test_a_window_has_a_margin_and_a_phase(tiny):
    window = with_settings(tiny, {"image_size": [8, 8], "margin": 4, "phase": [1, 2]})
    assert window.canvas_shape == (20, 20, 3)
    assert window.latent_shape == (5, 5, 4)
    whole = with_settings(tiny, {"image_size": [20, 20]})
    z = jax.random.normal(jax.random.key(0), (1, 5, 5, 4))
    np.testing.assert_array_equal(window(z), whole(z)[:, 5:13, 6:14])
    canvas = np.asarray(whole(z))
    np.testing.assert_array_equal(window.encode(canvas), whole.encode(canvas))
    middle = np.asarray(window.on_canvas(window(z)))
    np.testing.assert_array_equal(middle[:, 5:13, 6:14], window(z))
    np.testing.assert_array_equal(middle[:, 4], middle[:, 6])


def test_a_margin_is_completed_to_whole_cells(tiny):
    window = with_settings(tiny, {"image_size": [8, 8], "margin": 3})
    assert window.canvas_shape == (16, 16, 3)
    whole = with_settings(tiny, {"image_size": [16, 16]})
    z = jax.random.normal(jax.random.key(0), (1, 4, 4, 4))
    np.testing.assert_array_equal(window(z), whole(z)[:, 4:12, 4:12])
    canvas = np.asarray(whole(z))
    around = np.asarray(window.on_canvas(canvas[:, 1:15, 1:15]))
    np.testing.assert_array_equal(around[:, 1:15, 1:15], canvas[:, 1:15, 1:15])


def test_latents_are_whitened_by_channel(tiny):
    plain = with_settings(tiny, {"latent_mean": 0.0, "latent_std": 1.0})
    x = images(1, 16, 16)
    mean, std = np.array([0.1, 0.2, 0.3, 0.4]), np.array([1.0, 2.0, 3.0, 4.0])
    z = np.asarray(tiny.encode(x))
    np.testing.assert_allclose(z * std + mean, plain.encode(x), atol=1e-5)
    again = (z * std + mean).astype(np.float32)
    np.testing.assert_allclose(tiny(z), plain(again), atol=1e-5)


def test_a_scale_without_a_shift_has_none():
    # So that the shift which a file's shapes let us guess does not stay beside it.
    assert whitening({"scaling_factor": 0.5}) == {"latent_mean": [0.0], "latent_std": [2.0]}
    shifted = whitening({"scaling_factor": 0.5, "shift_factor": 0.1})
    assert shifted == {"latent_mean": [0.1], "latent_std": [2.0]}
    assert whitening({}) == {}


def test_a_decoders_file_without_its_encoders_is_named(tmp_path):
    file = tmp_path / "taesd_decoder.safetensors"
    write_safetensors(file, {"1.weight": np.zeros((8, 4, 3, 3), np.float32)})
    with pytest.raises(CheckpointError, match=r"no encoder\.0; of two files, name the decoder's"):
        open_generator(file, kind="autoencoder_tiny")


def test_it_is_saved_and_opened(tiny, tmp_path):
    window = with_settings(tiny, {"image_size": [8, 12], "margin": 4, "phase": [1, 2]})
    save_generator(tmp_path, window, dtype=np.float32)
    again = open_generator(tmp_path)
    assert again.config == window.config
    z = jax.random.normal(jax.random.key(0), (1, *window.latent_shape))
    np.testing.assert_array_equal(again(z), window(z))


def test_numbers_by_cell_need_whole_squares_of_cells():
    options = {"latent_channels": 4, "widths": [8, 8], "groups": 4, "blocks": 1}
    numbers = list(np.arange(16) + 1.0)
    model = AutoencoderKL(image_size=6, latent_std=numbers, **options, rngs=nnx.Rngs(0))
    assert model.canvas_shape == (8, 8, 3)  # cells of 2 pixels, in squares of 2
    x = images(1, 6, 6)
    plain = with_settings(model, {"image_size": 8, "latent_std": 1.0})
    raw = np.asarray(plain.encode(model.on_canvas(x)))
    square = np.tile(np.reshape(numbers, (2, 2, 4)), (2, 2, 1))
    found = np.asarray(model.encode(x)) * square
    np.testing.assert_allclose(found, raw, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": [8]}, "image_size must be a side, or height and width"),
        ({"image_size": 0}, "image_size must be a side, or height and width"),
        ({"image_size": True}, "image_size must be a side, or height and width"),
        ({"image_size": [8.0, 8]}, "image_size must be a side, or height and width"),
        ({"image_size": 8.0}, "image_size must be a side, or height and width"),
        ({"margin": -1}, "margin must be a number of pixels"),
        ({"margin": np.float32(4)}, "margin must be a number of pixels"),
        ({"margin": np.True_}, "margin must be a number of pixels"),
        ({"phase": [1]}, "phase must be two whole numbers"),
        ({"phase": [1, False]}, "phase must be two whole numbers"),
        ({"phase": 1}, "phase must be two whole numbers"),
        ({"latent_mean": [1.0, 2.0]}, "2 numbers do not belong to 4 channels"),
        ({"latent_std": 0.0}, "latent_std must be positive"),
        ({"encoder": [["conv", 5]]}, "the layers end in"),
        ({"encoder": [["conv", 4]]}, "smaller than the decoder makes them larger"),
        ({"decoder": [["bloc", 3]]}, "unknown layers bloc"),
    ],
)
def test_what_is_wrong_is_named(tiny, settings, message):
    with pytest.raises(ValueError, match=message):
        AutoencoderTiny(**{**tiny.config, **settings}, rngs=nnx.Rngs(0))


def test_numbers_of_pixels_may_be_numpys(tiny):
    numbers = {"image_size": np.int64(8), "margin": np.uint8(4), "phase": np.array([1, 2])}
    made = AutoencoderTiny(**{**tiny.config, **numbers}, rngs=nnx.Rngs(0))
    wanted = {**tiny.config, "image_size": [8, 8], "margin": 4, "phase": [1, 2]}
    assert json.dumps(made.config) == json.dumps(wanted)
    assert with_settings(tiny, {"image_size": np.array([8, 12])}).image_shape == (8, 12, 3)


def test_an_image_is_encoded_within_what_latents_make(tiny):
    window = with_settings(tiny, {"image_size": [8, 8], "margin": 4})
    whole = with_settings(tiny, {"image_size": [16, 16]})
    z = jax.random.normal(jax.random.key(0), (1, 4, 4, 4))
    canvas = np.asarray(whole(z))
    same = np.asarray(window.encode_within(window(z), z))
    np.testing.assert_allclose(same, whole.encode(canvas), atol=1e-6)
    other = images(1, 8, 8)
    canvas = canvas.copy()
    canvas[:, 4:12, 4:12] = other
    np.testing.assert_allclose(window.encode_within(other, z), whole.encode(canvas), atol=1e-6)
    alone = images(1, 16, 16)
    np.testing.assert_array_equal(whole.encode_within(alone, z), whole.encode(alone))
