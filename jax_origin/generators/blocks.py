"""Layers that several generators share."""

import jax
import jax.numpy as jnp
from flax import nnx


@jax.custom_jvp
def clip_straight_through(images: jax.Array) -> jax.Array:
    """Clips to [0, 1]; its derivative is that of the identity.

    A clipped pixel would pass no gradient, and a lane that starts out saturated could not move.
    """
    return jnp.clip(images, 0.0, 1.0)


@clip_straight_through.defjvp
def _clip_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return clip_straight_through(*primals), tangents[0]


def transposed_conv_4x4(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Transposed convolution with a 4x4 kernel, stride 2, padding 1: twice the height and width.

    PyTorch's ``ConvTranspose2d(in, out, 4, 2, 1)``, written as one matrix product and a sum of
    four shifted grids. XLA's own transposed convolution computes the same, but on CPU its weight
    gradient takes about twenty times as long, and inside ``lax.scan`` it is three (jax 0.10) to
    twenty (jax 0.12) times slower; a matrix product has neither fault.

    Input row j reaches output row 2j - 1 + t with tap t = 2a + r. Output rows 2g - 1 and 2g
    (r = 0, 1) make up grid row g, so tap t of input row j lands in grid row j + a.

    Args:
      x: [N, H, W, in].
      kernel: [4, 4, in, out].

    Returns:
      [N, 2H, 2W, out].
    """
    n, h, w, channels = x.shape
    out = kernel.shape[-1]
    taps = kernel.transpose(2, 0, 1, 3).reshape(channels, 16 * out)
    products = (x.reshape(-1, channels) @ taps).reshape(n, h, w, 2, 2, 2, 2, out)
    grid = jnp.zeros((), x.dtype)
    for a in (0, 1):
        for b in (0, 1):
            shift = ((0, 0), (a, 1 - a), (b, 1 - b), (0, 0), (0, 0), (0, 0))
            grid = grid + jnp.pad(products[:, :, :, a, :, b], shift)
    rows = grid.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h + 2, 2 * w + 2, out)
    return rows[:, 1:-1, 1:-1]


def stages_to_4x4(image_size: int) -> int:
    """How often a side is halved until 4 are left.

    Args:
      image_size: 4 times a power of two, at least 8.

    Raises:
      ValueError: If it is another number, or none.
    """
    if not isinstance(image_size, int) or image_size < 8 or image_size & (image_size - 1):
        raise ValueError(f"image_size must be 8, 16, 32, 64, ..., not {image_size!r}")
    return image_size.bit_length() - 3


class TransposedConv(nnx.Module):
    """The layer around `transposed_conv_4x4`, without bias."""

    def __init__(self, in_features: int, out_features: int, *, rngs: nnx.Rngs):
        init = nnx.initializers.normal(0.02)
        self.kernel = nnx.Param(init(rngs.params(), (4, 4, in_features, out_features)))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, in] -> [N, 2H, 2W, out]."""
        return transposed_conv_4x4(x, self.kernel[...])


class Projection(nnx.Module):
    """A latent to a 4x4 grid: PyTorch's ``ConvTranspose2d(in, out, 4, 1, 0)`` on a 1x1 input."""

    def __init__(self, in_features: int, out_features: int, *, rngs: nnx.Rngs):
        init = nnx.initializers.normal(0.02)
        self.kernel = nnx.Param(init(rngs.params(), (4, 4, in_features, out_features)))

    def __call__(self, latents: jax.Array) -> jax.Array:
        """[N, in] -> [N, 4, 4, out]."""
        return jnp.einsum("ni,hwio->nhwo", latents, self.kernel[...])
