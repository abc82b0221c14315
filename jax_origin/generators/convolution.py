"""A convolution whose gradient is as fast inside ``lax.scan`` as outside."""

import functools

import jax
from flax import nnx

Padding = tuple[tuple[int, int], tuple[int, int]]


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def convolve(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
    """Convolution of images with a kernel.

    JAX transposes a convolution by letting the kernel's two channel axes change their roles. XLA's
    CPU compiler puts such a kernel into the order that its fast routine needs at the top of a
    program, but not in the body of a loop, where the slow routine takes 20 times as long (jax
    0.10 and 0.12; a forward pass is as fast in either place). Here the derivative is written with
    the axes changed beforehand, so that its transpose has them in the fast order.

    Args:
      x: [N, H, W, in].
      kernel: [h, w, in, out].
      stride: Along both sides.
      padding: Zeros above and below, left and right.

    Returns:
      [N, H', W', out].
    """
    return _convolve(x, kernel, stride, padding, "HWIO")


@convolve.defjvp
def _convolve_jvp(
    stride: int,
    padding: Padding,
    primals: tuple[jax.Array, jax.Array],
    tangents: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array]:
    (x, kernel), (x_dot, kernel_dot) = primals, tangents
    along_x = _convolve(x_dot, kernel.swapaxes(2, 3), stride, padding, "HWOI")
    along_kernel = _convolve(x, kernel_dot, stride, padding, "HWIO")
    return convolve(x, kernel, stride, padding), along_x + along_kernel


def _convolve(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Padding, kernel_axes: str
) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", kernel_axes, "NHWC")
    )


class Conv(nnx.Module):
    """The layer around `convolve`, with a bias; parameters as in ``nnx.Conv``.

    Args:
      in_features: Channels in.
      out_features: Channels out.
      size: Side of the kernel.
      stride: 1, or more to make the image smaller.
      padding: Zeros before and after, along both sides; None keeps the size at stride 1.
      zero: Begin with a kernel of zeros.
      rngs: Keys for the initial weights.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        size: int,
        *,
        stride: int = 1,
        padding: tuple[int, int] | None = None,
        zero: bool = False,
        rngs: nnx.Rngs,
    ):
        init = nnx.initializers.zeros if zero else nnx.initializers.lecun_normal()
        self.stride = stride
        self.padding = padding or (size // 2, size // 2)
        self.kernel = nnx.Param(init(rngs.params(), (size, size, in_features, out_features)))
        self.bias = nnx.Param(jax.numpy.zeros(out_features))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, in] -> [N, H', W', out]."""
        padding = (self.padding, self.padding)
        made = convolve(x, self.kernel[...], self.stride, padding)
        return made + self.bias[...][None, None, None]
