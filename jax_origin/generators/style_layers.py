"""StyleGAN2's layers: equalised linear layers, modulated convolutions, blocks of them.

Names and arithmetic follow ``training/networks.py`` of NVlabs/stylegan2-ada-pytorch (NVIDIA Source
Code License; no code is taken). Weights are kept as they are trained there, with deviation about 1
(1/0.01 in the mapping network), and scaled when they are used.
"""

import functools
import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from jax_origin.generators.convolution import convolve
from jax_origin.generators.resample import upsample, upsampling_conv_3x3

SLOPE, GAIN = 0.2, math.sqrt(2)  # of the leaky ReLU, and the factor after it


class Buffer(nnx.Variable):
    """Numbers that belong to a module and are not trained."""


def normalize(x: jax.Array) -> jax.Array:
    """Scales [N, size] so that the mean square of each row is 1."""
    return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-8)


def activate(x: jax.Array, *, gain: float = 1.0, clamp: float | None = None) -> jax.Array:
    """Leaky ReLU times sqrt(2) and `gain`, then clamped to +-(`clamp` times `gain`)."""
    x = jnp.where(x >= 0, x, x * SLOPE) * (GAIN * gain)
    return x if clamp is None else jnp.clip(x, -clamp * gain, clamp * gain)


class Dense(nnx.Module):
    """A linear layer whose weight and bias are multiplied by a learning rate when they are used."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        rate: float = 1.0,
        bias: float = 0.0,
        rngs: nnx.Rngs,
    ):
        self.rate = rate
        self.gain = rate / math.sqrt(in_features)
        drawn = jax.random.normal(rngs.params(), (in_features, out_features))
        self.kernel = nnx.Param(drawn / rate)
        self.bias = nnx.Param(jnp.full(out_features, bias))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, in] -> [N, out]."""
        return x @ (self.kernel[...] * self.gain) + (self.bias[...] * self.rate)[None]


class StyledConv(nnx.Module):
    """A 3x3 convolution whose input channels are scaled by a style, then noise, bias, activation.

    The reference scales a kernel for each sample, and divides it by its norm. Here the input is
    multiplied by the style and the output by the inverse norm, around one convolution that all
    samples share: the same, and as fast for many lanes as a convolution is. With `up` the side of
    the image doubles, to `side`; `clamp` limits the activations.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        w_dim: int,
        side: int,
        up: bool,
        noise: bool,
        clamp: float | None,
        rngs: nnx.Rngs,
    ):
        self.up = up
        self.clamp = clamp
        self.affine = Dense(w_dim, in_features, bias=1.0, rngs=rngs)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (3, 3, in_features, out_features)))
        self.bias = nnx.Param(jnp.zeros(out_features))
        self.noise = Buffer(jax.random.normal(rngs.params(), (side, side))) if noise else None
        self.noise_strength = nnx.Param(jnp.zeros(())) if noise else None

    def __call__(self, x: jax.Array, w: jax.Array, *, gain: float = 1.0) -> jax.Array:
        """[N, H, W, in] and [N, w_dim] -> [N, H, W, out], or twice the sides."""
        styles, kernel = self.affine(w), self.kernel[...]
        norms = (styles**2) @ jnp.sum(kernel**2, axis=(0, 1))
        conv: Callable[..., jax.Array] = upsampling_conv_3x3 if self.up else _conv_3x3
        x = conv(x * _each(styles), kernel) * _each(jax.lax.rsqrt(norms + 1e-8))
        if self.noise is not None and self.noise_strength is not None:
            x = x + (self.noise[...] * self.noise_strength[...])[None, :, :, None]
        return activate(x + self.bias[...][None, None, None], gain=gain, clamp=self.clamp)


class ToImage(nnx.Module):
    """A 1x1 convolution to the image's channels, scaled by a style and not normalised."""

    def __init__(
        self, features: int, channels: int, *, w_dim: int, clamp: float | None, rngs: nnx.Rngs
    ):
        self.clamp = clamp
        self.gain = 1 / math.sqrt(features)
        self.affine = Dense(w_dim, features, bias=1.0, rngs=rngs)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (1, 1, features, channels)))
        self.bias = nnx.Param(jnp.zeros(channels))

    def __call__(self, x: jax.Array, w: jax.Array) -> jax.Array:
        """[N, H, W, features] and [N, w_dim] -> [N, H, W, channels]."""
        styles = self.affine(w) * self.gain
        image = (x * _each(styles)) @ self.kernel[0, 0] + self.bias[...][None, None, None]
        return image if self.clamp is None else jnp.clip(image, -self.clamp, self.clamp)


class Skip(nnx.Module):
    """The residual architecture's way around a block: a 1x1 convolution, doubled and filtered."""

    def __init__(self, in_features: int, out_features: int, *, rngs: nnx.Rngs):
        self.gain = math.sqrt(0.5 / in_features)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (1, 1, in_features, out_features)))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, in] -> [N, 2H, 2W, out]."""
        return upsample(x @ (self.kernel[0, 0] * self.gain))


class Block(nnx.Module):
    """Two convolutions at one resolution (one at the first), and what is added to the image.

    The first block has no channels in, and doubles nothing. A block whose image has 0 channels adds
    nothing to it. Otherwise as `StyledConv`; `residual` puts a skip around the block.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        w_dim: int,
        side: int,
        channels: int,
        residual: bool,
        noise: bool,
        clamp: float | None,
        rngs: nnx.Rngs,
    ):
        conv = functools.partial(
            StyledConv, w_dim=w_dim, side=side, noise=noise, clamp=clamp, rngs=rngs
        )
        first = in_features == 0
        self.conv0 = None if first else conv(in_features, out_features, up=True)
        self.conv1 = conv(out_features, out_features, up=False)
        skips = residual and not first
        self.skip = Skip(in_features, out_features, rngs=rngs) if skips else None
        image = functools.partial(ToImage, w_dim=w_dim, clamp=clamp, rngs=rngs)
        self.torgb = image(out_features, channels) if channels else None

    def __call__(
        self, x: jax.Array, image: jax.Array | None, ws: jax.Array
    ) -> tuple[jax.Array, jax.Array | None]:
        """[N, H/2, W/2, in], the image so far [N, H/2, W/2, channels], ws [N, 2 or 3, w_dim].

        The first block takes [N, H, W, out] and no image. `ws` are a vector for each convolution,
        and one for the image. Returned are [N, H, W, out], and [N, H, W, channels] or None.
        """
        vectors = iter(jnp.moveaxis(ws, 1, 0))
        around = None if self.skip is None else self.skip(x)
        if self.conv0 is not None:
            x = self.conv0(x, next(vectors))
        if around is None:
            x = self.conv1(x, next(vectors))
        else:
            x = around + self.conv1(x, next(vectors), gain=math.sqrt(0.5))
        if image is not None:
            image = upsample(image)
        if self.torgb is not None:
            added = self.torgb(x, next(vectors))
            image = added if image is None else image + added
        return x, image


class Mapping(nnx.Module):
    """From z, and a label, to w; keeps the running mean of w while it is trained.

    It has so many linear `layers`, of one `width` between z and w, and their learning `rate`.
    `c_dim` is the number of classes, 0 for none; `embed_width` the size of a label's embedding.
    """

    def __init__(
        self,
        *,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        layers: int,
        width: int,
        embed_width: int,
        rate: float,
        rngs: nnx.Rngs,
    ):
        self.use_running_average = False  # what Module.eval() sets
        self.embed = Dense(c_dim, embed_width, rngs=rngs) if c_dim else None
        sizes = [z_dim + (embed_width if c_dim else 0), *[width] * (layers - 1), w_dim]
        self.layers = nnx.List(
            [Dense(i, o, rate=rate, rngs=rngs) for i, o in itertools.pairwise(sizes)]
        )
        self.w_avg = Buffer(jnp.zeros(w_dim))

    def __call__(self, z: jax.Array, label: int | None) -> jax.Array:
        """Z [N, z_dim] to w [N, w_dim], for one label; None is a label of zeros."""
        x = normalize(z)
        if self.embed is not None:
            classes = self.embed.kernel.shape[0]
            one = jnp.zeros((1, classes), x.dtype)
            if label is not None:
                one = one.at[0, label].set(1)
            embedded = normalize(self.embed(one))
            x = jnp.concatenate(
                [x, jnp.broadcast_to(embedded, (len(x), embedded.shape[1]))], axis=1
            )
        for layer in self.layers:
            x = activate(layer(x))
        if not self.use_running_average:
            mean = jax.lax.stop_gradient(x).mean(axis=0)
            self.w_avg[...] = 0.995 * self.w_avg[...] + 0.005 * mean
        return x


def _conv_3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return convolve(x, kernel, 1, ((1, 1), (1, 1)))


def _each(per_channel: jax.Array) -> jax.Array:
    return per_channel[:, None, None, :]
