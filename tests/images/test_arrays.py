"""The forms of images in memory."""

import hashlib

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jax_origin.images import as_float, as_uint8, pixels_sha256

ALL_LEVELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)


def test_uint8_becomes_float_and_comes_back_exactly():
    images = as_float(ALL_LEVELS)
    assert images.dtype == np.float32
    assert images.min() == 0
    assert images.max() == 1
    np.testing.assert_array_equal(images.ravel(), np.arange(256, dtype=np.float32) / 255)
    np.testing.assert_array_equal(as_uint8(images), ALL_LEVELS)


@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        hnp.array_shapes(min_dims=4, max_dims=4, max_side=4),
        elements=st.floats(0, 1, width=16),
    )
)
def test_floats_are_rounded_to_the_nearest_level(images):
    rounded = as_uint8(images)
    assert rounded.dtype == np.uint8
    assert np.all(abs(rounded - as_float(images) * 255.0) <= 0.5 + 1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16])
def test_jax_arrays_are_taken(dtype):
    images = as_float(jnp.full((1, 2, 2, 3), 0.5, dtype))
    assert type(images) is np.ndarray
    assert images.dtype == np.float32
    assert np.all(images == 0.5)
    np.testing.assert_array_equal(as_uint8(jnp.asarray(ALL_LEVELS)), ALL_LEVELS)


def test_rounding_errors_at_the_ends_are_clipped():
    images = as_float(np.array([-5e-7, 1 + 5e-7]).reshape(1, 1, 2, 1))
    assert images.ravel().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros((8, 8, 3), np.uint8),
            r"got shape \[8, 8, 3\]; for one image pass images\[None\]",
        ),
        (np.zeros((8, 8)), r"got shape \[8, 8\]"),
        (np.zeros((1, 8, 8, 3), np.int64), "got int64"),
        (np.zeros((1, 8, 8, 3), bool), "got bool"),
        (np.array(["a"]).reshape(1, 1, 1, 1), "got <U1"),
        (np.full((1, 8, 8, 3), np.nan), "NaN"),
        (np.full((1, 8, 8, 3), 1.001), r"must lie in \[0, 1\]"),
        (np.full((1, 8, 8, 3), -0.001), r"must lie in \[0, 1\]"),
        (np.full((1, 8, 8, 3), np.inf), r"must lie in \[0, 1\]"),
        (np.full((1, 8, 8, 3), 255.0), "pass uint8, or divide by 255"),
    ],
)
def test_what_is_no_image_is_refused(images, message):
    for convert in (as_float, as_uint8):
        with pytest.raises(ValueError, match=message):
            convert(images)


def test_no_images_are_no_error():
    assert as_float(np.zeros((0, 8, 8, 3))).shape == (0, 8, 8, 3)


def test_the_hash_is_of_shape_and_pixels():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    expected = hashlib.sha256(b"2x4x3\0" + bytes(range(24))).digest()
    assert pixels_sha256(pixels) == expected
    assert pixels_sha256(np.asfortranarray(pixels)) == expected
    assert pixels_sha256(pixels.reshape(4, 2, 3)) != expected
    assert pixels_sha256(pixels[::-1]) != expected


def test_the_hash_refuses_what_is_no_image():
    for wrong in [np.zeros((2, 2, 3)), np.zeros((1, 2, 2, 3), np.uint8)]:
        with pytest.raises(ValueError, match=r"must be uint8 \[H, W, C\]"):
            pixels_sha256(wrong)
