import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_origin.generators.blocks import (
    clip_straight_through,
    stages_to_4x4,
    transposed_conv_4x4,
)

pytestmark = pytest.mark.outer

N, H, W, IN, OUT = 3, 5, 4, 6, 2
TOLERANCE = 2e-5


def inputs():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, H, W, IN)).astype(np.float32)
    kernel = rng.normal(size=(4, 4, IN, OUT)).astype(np.float32)
    cotangent = rng.normal(size=(N, 2 * H, 2 * W, OUT)).astype(np.float32)
    return x, kernel, cotangent


def forward_and_gradients(function):
    """The map's images, and its derivatives by the input and by the weight."""
    x, kernel, cotangent = inputs()
    images, pull_back = jax.vjp(function, x, kernel)
    return [np.asarray(part) for part in (images, *pull_back(cotangent))]


def assert_same_map(ours, theirs):
    for what, mine, other in zip(("forward", "by x", "by kernel"), ours, theirs, strict=True):
        assert mine.shape == other.shape, what
        assert np.abs(mine - other).max() < TOLERANCE, what


def lax_transposed(x, kernel):
    # Both convolve the dilated input; a transposed convolution's kernel is turned half round.
    return jax.lax.conv_general_dilated(
        x,
        kernel[::-1, ::-1],
        window_strides=(1, 1),
        padding=((2, 2), (2, 2)),
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def lax_conv_transpose(x, kernel):
    # The kernel [h, w, out, in] of the forward convolution whose gradient this is.
    return jax.lax.conv_transpose(
        x,
        kernel.transpose(0, 1, 3, 2),
        strides=(2, 2),
        padding=((2, 2), (2, 2)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        transpose_kernel=True,
    )


def pixel_shuffle(x, kernel):
    # Output row 2i takes taps 3, 1 of input rows i - 1, i; row 2i + 1 taps 2, 0 of i, i + 1.
    taps = (((3, 0), (1, 1)), ((2, 1), (0, 2)))  # by parity: (tap, row of the 3x3 window)
    small = jnp.zeros((3, 3, IN, 2, 2, OUT))
    for row_parity in (0, 1):
        for column_parity in (0, 1):
            for tap_row, row in taps[row_parity]:
                for tap_column, column in taps[column_parity]:
                    place = (row, column, slice(None), row_parity, column_parity)
                    small = small.at[place].set(kernel[tap_row, tap_column])
    channels = jax.lax.conv_general_dilated(
        x,
        small.reshape(3, 3, IN, 4 * OUT),
        window_strides=(1, 1),
        padding=((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    n, h, w, _ = channels.shape
    split = channels.reshape(n, h, w, 2, 2, OUT).transpose(0, 1, 3, 2, 4, 5)
    return split.reshape(n, 2 * h, 2 * w, OUT)


@pytest.mark.parametrize("other", [lax_transposed, lax_conv_transpose, pixel_shuffle])
def test_transposed_conv_is_the_same_map_written_otherwise(other):
    assert_same_map(forward_and_gradients(transposed_conv_4x4), forward_and_gradients(other))


def test_transposed_conv_is_pytorchs():
    torch = pytest.importorskip("torch")
    x, kernel, cotangent = inputs()
    their_x = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    their_kernel = torch.tensor(kernel.transpose(2, 3, 0, 1), requires_grad=True)
    images = torch.nn.functional.conv_transpose2d(their_x, their_kernel, stride=2, padding=1)
    images.backward(torch.tensor(cotangent.transpose(0, 3, 1, 2)))
    theirs = [
        images.detach().numpy().transpose(0, 2, 3, 1),
        their_x.grad.numpy().transpose(0, 2, 3, 1),
        their_kernel.grad.numpy().transpose(2, 3, 0, 1),
    ]
    assert_same_map(forward_and_gradients(transposed_conv_4x4), theirs)


def test_transposed_conv_is_right_inside_a_scan():
    x, kernel, cotangent = inputs()
    kernels = np.stack([kernel, 2 * kernel, -kernel])

    def total(convolve, x, kernels):
        def body(carry, kernel):
            images = convolve(carry, kernel)
            return carry + 0.1 * images.mean(axis=-1, keepdims=True)[:, ::2, ::2], images

        last, images = jax.lax.scan(body, x, kernels)
        return (images * cotangent[None]).sum() + last.sum()

    run = jax.jit(jax.value_and_grad(total, argnums=(1, 2)), static_argnums=0)
    mine, other = (run(convolve, x, kernels) for convolve in (transposed_conv_4x4, lax_transposed))
    for ours, theirs in zip(jax.tree.leaves(mine), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def by_definition(x, kernel):
    """Each input pixel lays the kernel down at twice its place; then a border of one is cut off."""
    n, h, w, _ = x.shape
    laid = np.zeros((n, 2 * h + 2, 2 * w + 2, kernel.shape[-1]))
    for row, column in np.ndindex(h, w):
        footprint = np.einsum("ni,hwio->nhwo", x[:, row, column].astype(np.float64), kernel)
        laid[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += footprint
    return laid[:, 1:-1, 1:-1]


@settings(max_examples=10, deadline=None)
@given(
    n=st.integers(1, 3),
    h=st.integers(1, 5),
    w=st.integers(1, 5),
    channels=st.integers(1, 4),
    out=st.integers(1, 4),
)
def test_transposed_conv_is_its_definition_for_any_shape(n, h, w, channels, out):
    rng = np.random.default_rng((n, h, w, channels, out))
    x = rng.normal(size=(n, h, w, channels)).astype(np.float32)
    kernel = rng.normal(size=(4, 4, channels, out)).astype(np.float32)
    images = jax.jit(transposed_conv_4x4)(x, kernel)
    assert images.shape == (n, 2 * h, 2 * w, out)
    assert np.abs(images - by_definition(x, kernel)).max() < TOLERANCE


def test_transposed_conv_keeps_16_bits():
    x, kernel, _ = inputs()
    images = transposed_conv_4x4(jnp.asarray(x, jnp.bfloat16), jnp.asarray(kernel, jnp.bfloat16))
    assert images.dtype == jnp.bfloat16
    np.testing.assert_allclose(images.astype(jnp.float32), by_definition(x, kernel), atol=0.2)


def test_clip_straight_through_clips_and_passes_the_whole_gradient():
    values = jnp.array([-3.0, -0.1, 0.0, 0.4, 1.0, 1.7])
    assert clip_straight_through(values).tolist() == [0.0, 0.0, 0.0, jnp.float32(0.4), 1.0, 1.0]
    weights = jnp.arange(1.0, 7.0)
    gradient = jax.grad(lambda v: (weights * clip_straight_through(v)).sum())(values)
    assert gradient.tolist() == weights.tolist()


def test_clip_straight_through_is_exact_however_large_the_values_inside_a_scan():
    # x + stop_gradient(clip(x) - x) would lose the clipped value to rounding.
    values = jnp.array([-3e8, -1e-7, 0.0, 0.3, 1.0000001, 2.0, 3e8])

    @jax.jit
    def run(values):
        def body(carry, _):
            clipped, pull_back = jax.vjp(clip_straight_through, carry)
            return carry, (clipped, pull_back(carry)[0])

        return jax.lax.scan(body, values, length=2)[1]

    clipped, gradient = run(values)
    assert clipped.tolist() == [np.clip(values, 0, 1).tolist()] * 2
    assert gradient.tolist() == [values.tolist()] * 2


def test_clip_straight_through_has_the_same_derivative_forwards():
    values = jnp.array([-3.0, 0.4, 1.7])
    _, tangent = jax.jvp(clip_straight_through, (values,), (values,))
    assert tangent.tolist() == values.tolist()


def test_clip_straight_through_moves_a_saturated_value_inside_a_scan():
    def descend(value, _):
        gradient = jax.grad(lambda v: ((clip_straight_through(v) - 0.25) ** 2).sum())(value)
        return value - 0.4 * gradient, None

    start = jnp.array([-2.0, 3.0])
    end, _ = jax.jit(lambda start: jax.lax.scan(descend, start, length=60))(start)
    np.testing.assert_allclose(end, 0.25, atol=1e-4)


@pytest.mark.parametrize(("size", "stages"), [(8, 1), (16, 2), (32, 3), (64, 4)])
def test_stages_to_4x4_counts_the_halvings(size, stages):
    assert stages_to_4x4(size) == stages
    assert size / 2**stages == 4


@pytest.mark.parametrize("size", [4, 0, -8, 12, 33, 32.0, "32", None, True])
def test_stages_to_4x4_refuses_sizes_without_a_4x4_grid(size):
    with pytest.raises(ValueError, match=r"image_size must be 8, 16, 32, 64, \.\.\., not "):
        stages_to_4x4(size)
