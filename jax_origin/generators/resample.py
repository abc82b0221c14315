"""Doubling a grid with the filter [1, 3, 3, 1], alone or after a convolution, as in StyleGAN2.

The arithmetic is that of ``upfirdn2d`` and ``conv2d_resample`` in NVlabs/stylegan2-ada-pytorch
(NVIDIA Source Code License; nothing is copied): zeros between pixels, zero padding, the filter
with gain 4, its phase. Other filters are not known here.
"""

import jax
import jax.numpy as jnp

_TAPS = (0.25, 0.75, 0.75, 0.25)  # [1, 3, 3, 1] / 8, times 2 for the zeros between


def upsample(x: jax.Array) -> jax.Array:
    """Twice the height and width, filtered.

    Output row 2g is 3/4 of input row g and 1/4 of row g - 1; row 2g + 1 is 3/4 of g and 1/4 of
    g + 1; rows outside are zero. Columns likewise.

    Args:
      x: [N, H, W, C].

    Returns:
      [N, 2H, 2W, C].
    """
    n, h, w, channels = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    even = 0.25 * padded[:, :-2] + 0.75 * x
    odd = 0.75 * x + 0.25 * padded[:, 2:]
    x = jnp.stack([even, odd], axis=2).reshape(n, 2 * h, w, channels)
    padded = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    even = 0.25 * padded[:, :, :-2] + 0.75 * x
    odd = 0.75 * x + 0.25 * padded[:, :, 2:]
    return jnp.stack([even, odd], axis=3).reshape(n, 2 * h, 2 * w, channels)


def upsampling_conv_3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A 3x3 transposed convolution of stride 2, then the filter: twice the height and width.

    The transposed convolution is a matrix product and a sum of shifted grids, for the reasons that
    `transposed_conv_4x4` gives. One 3x3 convolution to four times as many channels, with the
    filter folded into its kernel, computes the same in up to three times as long on CPU: it has
    four times as many multiplications.

    Input row j reaches row 2j + t of 2H + 1 rows with tap t; output row i filters rows i - 1 to
    i + 2.

    Args:
      x: [N, H, W, in].
      kernel: [3, 3, in, out].

    Returns:
      [N, 2H, 2W, out].
    """
    n, h, w, channels = x.shape
    out = kernel.shape[-1]
    taps = kernel.transpose(2, 0, 1, 3).reshape(channels, 9 * out)
    products = (x.reshape(-1, channels) @ taps).reshape(n, h, w, 3, 3, out)
    rows = _interleave(products[:, :, :, 0], products[:, :, :, 1], products[:, :, :, 2], axis=1)
    grid = _interleave(rows[:, :, :, 0], rows[:, :, :, 1], rows[:, :, :, 2], axis=2)
    # Each side has a row that is not there, and one that the filter needs: 2H + 3 in all.
    grid = jnp.pad(grid, ((0, 0), (1, 0), (1, 0), (0, 0)))
    a, b, c, d = (tap * grid[:, i : i + 2 * h] for i, tap in enumerate(_TAPS))
    grid = a + b + c + d
    a, b, c, d = (tap * grid[:, :, i : i + 2 * w] for i, tap in enumerate(_TAPS))
    return a + b + c + d


def _interleave(first: jax.Array, second: jax.Array, third: jax.Array, *, axis: int) -> jax.Array:
    """Lays tap t of row j down at row 2j + t, of 2 size + 2; the last one stays zero."""
    before = [(0, 0)] * first.ndim
    before[axis] = (1, 0)
    after = [(0, 0)] * first.ndim
    after[axis] = (0, 1)
    even = jnp.pad(first, after) + jnp.pad(third, before)
    odd = jnp.pad(second, after)
    shape = list(even.shape)
    shape[axis] *= 2
    return jnp.stack([even, odd], axis=axis + 1).reshape(shape)
