"""Layers that several generators share."""

import jax
import jax.numpy as jnp
from flax import nnx


@jax.custom_jvp
def clip_straight_through(images: jax.Array) -> jax.Array:
    """Clips to [0, 1]; its derivative is that of the identity.

    With the true derivative, zero, a lane that starts out saturated could not move.
    """
    return jnp.clip(images, 0.0, 1.0)


@clip_straight_through.defjvp
def _clip_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return clip_straight_through(*primals), tangents[0]


def transposed_conv_4x4(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Transposed convolution with a 4x4 kernel, stride 2, padding 1: twice the height and width.

    PyTorch's ``ConvTranspose2d(in, out, 4, 2, 1)``, as four matrix products whose results are
    summed, shifted against each other. On CPU the weight gradient of XLA's own takes about twenty
    times as long, and inside ``lax.scan`` it is three to twenty times slower. One product for all
    taps is as fast, but its derivative then puts all of them into one array.

    Input row j reaches output row 2j - 1 + t with tap t = 2a + r. Output rows 2g - 1 and 2g
    (r = 0, 1) make up grid row g, so tap t of input row j lands in grid row j + a.
    [N, H, W, in] and a kernel [4, 4, in, out] -> [N, 2H, 2W, out].
    """
    n, h, w, channels = x.shape
    out = kernel.shape[-1]
    taps = kernel.reshape(2, 2, 2, 2, channels, out).transpose(0, 2, 4, 1, 3, 5)  # a, b, in, r, s

    def landed(a: int, b: int) -> jax.Array:
        made = x.reshape(-1, channels) @ taps[a, b].reshape(channels, 4 * out)
        return pad_axis(made.reshape(n, h, w, 4 * out), 2, b, 1 - b)

    rows = [pad_axis(landed(a, 0) + landed(a, 1), 1, a, 1 - a) for a in (0, 1)]
    grid = (rows[0] + rows[1]).reshape(n, h + 1, w + 1, 2, 2, out)
    grid = grid.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h + 2, 2 * w + 2, out)
    return grid[:, 1:-1, 1:-1]


def pad_axis(x: jax.Array, axis: int, before: int, after: int) -> jax.Array:
    """`x` with so many zeros before and after it along one of its axes."""
    widths = [(0, 0)] * x.ndim
    widths[axis] = (before, after)
    return jnp.pad(x, widths)


def stages_to_4x4(image_size: int) -> int:
    """How often a side, 4 times a power of two and at least 8, is halved until 4 are left."""
    if not isinstance(image_size, int) or image_size < 8 or image_size & (image_size - 1):
        raise ValueError(f"image_size must be 8, 16, 32, 64, ..., not {image_size!r}")
    return image_size.bit_length() - 3


class TransposedConv(nnx.Module):
    """The layer around `transposed_conv_4x4`."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool = False, rngs: nnx.Rngs):
        init = nnx.initializers.normal(0.02)
        self.kernel = nnx.Param(init(rngs.params(), (4, 4, in_features, out_features)))
        self.bias = nnx.Param(jnp.zeros(out_features)) if bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, in] -> [N, 2H, 2W, out]."""
        return self._shifted(transposed_conv_4x4(x, self.kernel[...]))

    def _shifted(self, x: jax.Array) -> jax.Array:
        return x if self.bias is None else x + self.bias[...][None, None, None]


class Projection(TransposedConv):
    """A latent to a 4x4 grid: PyTorch's ``ConvTranspose2d(in, out, 4, 1, 0)`` on a 1x1 input."""

    def __call__(self, latents: jax.Array) -> jax.Array:
        """[N, in] -> [N, 4, 4, out]."""
        return self._shifted(jnp.einsum("ni,hwio->nhwo", latents, self.kernel[...]))


def pytorch_batch_norm(features: int, *, rngs: nnx.Rngs) -> nnx.BatchNorm:
    """Batch norm with PyTorch's defaults."""
    return nnx.BatchNorm(features, momentum=0.9, epsilon=1e-5, rngs=rngs)


class ConvNormRelu(nnx.Module):
    """A convolution, batch norm, ReLU: a stage of `DCGAN` and of the encoder of `VAE`."""

    def __init__(self, conv: nnx.Module, features: int, *, rngs: nnx.Rngs):
        self.conv = conv
        self.norm = pytorch_batch_norm(features, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """What `conv` takes -> [N, H, W, features]."""
        return nnx.relu(self.norm(self.conv(x)))


class NormReluUp(nnx.Module):
    """The same from norm to norm: batch norm, ReLU, and a convolution to twice the size."""

    def __init__(self, in_features: int, out_features: int, *, rngs: nnx.Rngs):
        self.norm = pytorch_batch_norm(in_features, rngs=rngs)
        self.conv = TransposedConv(in_features, out_features, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, in] -> [N, 2H, 2W, out]."""
        return self.conv(nnx.relu(self.norm(x)))
