"""Doubling a grid with the filter [1, 3, 3, 1], alone or after a convolution, as in StyleGAN2.

The arithmetic is that of ``upfirdn2d`` and ``conv2d_resample`` in NVlabs/stylegan2-ada-pytorch
(NVIDIA Source Code License; nothing is copied): zeros between pixels, zero padding, the filter
with gain 4, its phase. Other filters are not known here.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jax_origin.generators.blocks import pad_axis

_TAPS = (0.25, 0.75, 0.75, 0.25)  # [1, 3, 3, 1] / 8, times 2 for the zeros between


def upsample(x: jax.Array) -> jax.Array:
    """Twice the height and width, filtered: [N, H, W, C] -> [N, 2H, 2W, C].

    Output row 2g is 3/4 of input row g and 1/4 of row g - 1; row 2g + 1 is 3/4 of g and 1/4 of
    g + 1; rows outside are zero. Columns likewise.
    """
    n, h, w, channels = x.shape
    for axis, shape in ((1, (n, 2 * h, w, channels)), (2, (n, 2 * h, 2 * w, channels))):
        padded, size = pad_axis(x, axis, 1, 1), x.shape[axis]
        before, after = (jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in (0, 2))
        even, odd = 0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after
        x = jnp.stack([even, odd], axis=axis + 1).reshape(shape)
    return x


def upsampling_conv_3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A 3x3 transposed convolution of stride 2, then the filter: twice the height and width.

    It is a matrix product a tap, and sums of shifted results, as `transposed_conv_4x4` is. One 3x3
    convolution with the filter folded into its kernel takes up to three times as long on CPU.
    [N, H, W, in] and a kernel [3, 3, in, out] -> [N, 2H, 2W, out].
    """
    n, h, w, channels = x.shape
    out = kernel.shape[-1]

    def tap(row: int, column: int) -> jax.Array:
        return (x.reshape(-1, channels) @ kernel[row, column]).reshape(n, h, w, out)

    columns = [_even_and_odd([tap(row, column) for row in range(3)], 1) for column in range(3)]
    rows = [jnp.stack(_even_and_odd(taps, 2), axis=3) for taps in zip(*columns, strict=True)]
    return jnp.stack(rows, axis=2).reshape(n, 2 * h, 2 * w, out)


def _even_and_odd(taps: Sequence[jax.Array], axis: int) -> tuple[jax.Array, jax.Array]:
    """The even and the odd rows of the filtered sum of three taps' results, along an axis.

    Tap t of input row j lands in row 2j + t of 2H + 1; row i of the output filters rows i - 1 to
    i + 2 of these. Rows outside are zero.
    """
    first, second, third = taps
    size = first.shape[axis]
    even = pad_axis(first, axis, 0, 1) + pad_axis(third, axis, 1, 0)
    odd = pad_axis(second, axis, 1, 1)
    even, even_after = (jax.lax.slice_in_dim(even, i, i + size, axis=axis) for i in (0, 1))
    odd_before, odd_after = (jax.lax.slice_in_dim(odd, i, i + size, axis=axis) for i in (0, 2))
    a, b, c, d = _TAPS
    return (
        a * odd_before + b * even + c * second + d * even_after,
        a * even + b * second + c * even_after + d * odd_after,
    )
