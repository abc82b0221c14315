"""A convolution whose derivatives are as fast inside ``lax.scan`` as outside."""

import functools
from typing import Any

import jax
from flax import nnx
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

Padding = tuple[tuple[int, int], tuple[int, int]]


def convolve(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
    """Convolution of images with a kernel.

    JAX transposes a convolution by exchanging the kernel's channel axes. In a loop XLA's CPU
    compiler then takes a routine 20 times as slow (jax 0.10 and 0.12). This one is a primitive of
    its own, whose transpose changes the axes beforehand.

    [N, H, W, in] and a kernel [h, w, in, out] -> [N, H', W', out]. The stride is that of both
    sides; the padding is of zeros above and below, left and right.
    """
    return _convolution.bind(x, kernel, stride=stride, padding=padding)


def _convolve(
    x: jax.Array, kernel: jax.Array, *, stride: int, padding: Padding, kernel_axes: str = "HWIO"
) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", kernel_axes, "NHWC")
    )


def _made(x: Any, kernel: Any, **how: Any) -> Any:
    made = jax.eval_shape(lambda x, kernel: _convolve(x, kernel, **how), x, kernel)
    return x.update(shape=made.shape, dtype=made.dtype)


def _to_images(cotangent: jax.Array, x: Any, kernel: jax.Array, **how: Any) -> jax.Array:
    # With the axes changed here, JAX changes them back, to the fast order.
    swapped = kernel.swapaxes(2, 3)
    made = functools.partial(_convolve, kernel=swapped, kernel_axes="HWOI", **how)
    transpose = jax.linear_transpose(made, x.aval)
    return transpose(cotangent)[0]


def _to_kernel(cotangent: jax.Array, x: jax.Array, kernel: Any, **how: Any) -> jax.Array:
    transpose = jax.linear_transpose(lambda kernel: _convolve(x, kernel, **how), kernel.aval)
    return transpose(cotangent)[0]


def _batched(
    arrays: tuple[jax.Array, jax.Array], axes: tuple[Any, Any], **how: Any
) -> tuple[jax.Array, int]:
    x, kernel = arrays
    if axes[1] is not None:  # A kernel for each: the order of its axes is JAX's then.
        return jax.vmap(lambda x, kernel: _convolve(x, kernel, **how), in_axes=axes)(x, kernel), 0
    x = jax.numpy.moveaxis(x, axes[0], 0)
    made = _convolution.bind(x.reshape(-1, *x.shape[2:]), kernel, **how)
    return made.reshape(*x.shape[:2], *made.shape[1:]), 0


_convolution = Primitive("convolve")
_convolution.def_impl(jax.jit(_convolve, static_argnames=("stride", "padding")))
_convolution.def_abstract_eval(_made)
ad.defbilinear(_convolution, _to_images, _to_kernel)
batching.primitive_batchers[_convolution] = _batched
mlir.register_lowering(_convolution, mlir.lower_fun(_convolve, multiple_results=False))


class Conv(nnx.Module):
    """The layer around `convolve`, with a square kernel of this size, and a bias unless not wanted.

    Padding is zeros before and after, along both sides; without it stride 1 keeps the size. With
    `zero` the kernel begins at zero.
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
        bias: bool = True,
        rngs: nnx.Rngs,
    ):
        init = nnx.initializers.zeros if zero else nnx.initializers.lecun_normal()
        self.stride = stride
        self.padding = padding or (size // 2, size // 2)
        self.kernel = nnx.Param(init(rngs.params(), (size, size, in_features, out_features)))
        self.bias: Any = nnx.Param(jax.numpy.zeros(out_features)) if bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, in] -> [N, H', W', out]."""
        padding = (self.padding, self.padding)
        made = convolve(x, self.kernel[...], self.stride, padding)
        return made if self.bias is None else made + self.bias[...][None, None, None]
