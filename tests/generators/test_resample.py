import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_origin.generators.resample import upsample, upsampling_conv_3x3

pytestmark = pytest.mark.outer

TAPS = np.array([1, 3, 3, 1]) / 8


def filtered(x, pad):
    """Zeros around, and each output the sum of 4x4 inputs; the gain makes up for the zeros."""
    x = np.pad(x, ((0, 0), pad, pad, (0, 0)))
    n, h, w, channels = x.shape
    out = np.zeros((n, h - 3, w - 3, channels))
    for i, j in np.ndindex(4, 4):
        out += 4 * TAPS[i] * TAPS[j] * x[:, i : i + h - 3, j : j + w - 3]
    return out


def upsample_by_definition(x):
    n, h, w, channels = x.shape
    spread = np.zeros((n, 2 * h, 2 * w, channels))
    spread[:, ::2, ::2] = x
    return filtered(spread, (2, 1))


def upsampling_conv_by_definition(x, kernel):
    """Each pixel lays the kernel down at twice its place; then the filter."""
    n, h, w, _ = x.shape
    laid = np.zeros((n, 2 * h + 1, 2 * w + 1, kernel.shape[-1]))
    for row, column in np.ndindex(h, w):
        footprint = np.einsum("ni,hwio->nhwo", x[:, row, column].astype(np.float64), kernel)
        laid[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += footprint
    return filtered(laid, (1, 1))


def draw(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))


@settings(max_examples=6, deadline=None)
@given(shape=SHAPES, out=st.integers(1, 4))
def test_both_are_their_definitions_for_any_shape(shape, out):
    x, kernel = draw(*shape), draw(3, 3, shape[-1], out)
    np.testing.assert_allclose(jax.jit(upsample)(x), upsample_by_definition(x), atol=1e-5)
    made = jax.jit(upsampling_conv_3x3)(x, kernel)
    np.testing.assert_allclose(made, upsampling_conv_by_definition(x, kernel), atol=3e-5)


def test_upsampling_leaves_a_flat_image_as_it_is_but_for_its_border():
    made = np.asarray(jax.jit(upsample)(jnp.ones((1, 6, 6, 2))))
    assert made[:, 1:-1, 1:-1].tolist() == np.ones((1, 10, 10, 2)).tolist()
    assert made[0, 0, 0, 0] == 0.75**2


def test_the_gradients_are_those_of_the_convolution_written_otherwise():
    x, kernel, cotangent = draw(2, 5, 4, 6), draw(3, 3, 6, 3), draw(2, 10, 8, 3)

    def otherwise(x, kernel):
        # The convolution of the spread image, then the filter, a channel at a time.
        laid = jax.lax.conv_general_dilated(
            x,
            kernel[::-1, ::-1],
            (1, 1),
            ((2, 2), (2, 2)),
            lhs_dilation=(2, 2),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        taps = jnp.asarray(4 * np.outer(TAPS, TAPS), jnp.float32)
        return jax.lax.conv_general_dilated(
            laid,
            jnp.tile(taps[:, :, None, None], (1, 1, 1, 3)),
            (1, 1),
            ((1, 1), (1, 1)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=3,
        )

    ours, theirs = (
        jax.jit(lambda x, kernel, f=f: jax.vjp(f, x, kernel)[1](cotangent))(x, kernel)
        for f in (upsampling_conv_3x3, otherwise)
    )
    for name, mine, other in zip(("x", "kernel"), ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=3e-5, err_msg=name)


def test_both_keep_16_bits():
    x, kernel = (jnp.asarray(a, jnp.bfloat16) for a in (draw(1, 3, 3, 2), draw(3, 3, 2, 2)))
    made = jax.eval_shape(lambda: (upsample(x), upsampling_conv_3x3(x, kernel)))
    assert [part.dtype for part in made] == [jnp.bfloat16] * 2
