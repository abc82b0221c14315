"""Encoder and decoder of latent diffusion (Rombach et al., CVPR 2022), as most models have them.

By their options they are those of diffusers' ``AutoencoderKL``, ``AutoencoderKLFlux2`` and
``VQModel`` (Apache-2.0), with the spatial norms of MoVQ (Zheng et al., NeurIPS 2022) among them.
"""

import itertools
from collections.abc import Callable, Collection, Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from jax_origin.generators.autoencoders.base import rematerialised
from jax_origin.generators.convolution import Conv
from jax_origin.generators.unet_blocks import Attention, Downsample, GroupNorm, Upsample

EPSILON = 1e-6
_MOST = 64  # levels, and blocks of a level: what a file says is built one by one

Norm = Callable[[int], nnx.Module]
"""Makes a norm of so many channels; it is called with features and with the latents."""


class PlainNorm(GroupNorm):
    """A group norm that heeds no latents."""

    def __call__(self, x: jax.Array, latents: jax.Array | None = None) -> jax.Array:
        """[N, H, W, C] -> the same."""
        return super().__call__(x)


class SpatialNorm(nnx.Module):
    """A group norm, scaled and shifted at each place by the latents there (MoVQ, equation 5)."""

    def __init__(self, channels: int, latent_channels: int, *, rngs: nnx.Rngs):
        self.norm = GroupNorm(channels, 32, EPSILON)
        self.scale = Conv(latent_channels, channels, 1, rngs=rngs)
        self.shift = Conv(latent_channels, channels, 1, rngs=rngs)

    def __call__(self, x: jax.Array, latents: jax.Array) -> jax.Array:
        """[N, H, W, C] and latents [N, h, w, c] -> [N, H, W, C]."""
        # 1x1 convolutions and repetition commute: there are fewer cells than pixels.
        scale, shift = (_repeated(part(latents), x.shape) for part in (self.scale, self.shift))
        return self.norm(x) * scale + shift


class ResnetBlock(nnx.Module):
    """Two convolutions, a norm and SiLU before each, beside a shortcut."""

    def __init__(self, ins: int, outs: int, norm: Norm, *, rngs: nnx.Rngs):
        self.norm1 = norm(ins)
        self.conv1 = Conv(ins, outs, 3, rngs=rngs)
        self.norm2 = norm(outs)
        self.conv2 = Conv(outs, outs, 3, rngs=rngs)
        self.shortcut = None if ins == outs else Conv(ins, outs, 1, rngs=rngs)

    def __call__(self, x: jax.Array, latents: jax.Array) -> jax.Array:
        """[N, H, W, ins] -> [N, H, W, outs]."""
        hidden = self.conv1(nnx.silu(self.norm1(x, latents)))
        hidden = self.conv2(nnx.silu(self.norm2(hidden, latents)))
        return hidden + (x if self.shortcut is None else self.shortcut(x))


class NormedAttention(nnx.Module):
    """A norm and self-attention of one head between pixels, beside a shortcut."""

    def __init__(self, channels: int, norm: Norm, *, rngs: nnx.Rngs):
        self.norm = norm(channels)
        self.pixels = Attention(channels, heads=1, groups=None, epsilon=EPSILON, rngs=rngs)

    def __call__(self, x: jax.Array, latents: jax.Array) -> jax.Array:
        """[N, H, W, C] -> the same."""
        return x + self.pixels.mixed(self.norm(x, latents))


class Level(nnx.Module):
    """Blocks of one resolution, with or without attention, and what leads to the next."""

    def __init__(
        self,
        widths: Sequence[int],
        norm: Norm,
        *,
        attention: bool,
        resample: Callable[[int], nnx.Module] | None,
        rngs: nnx.Rngs,
    ):
        pairs = list(itertools.pairwise(widths))
        self.blocks = nnx.List([ResnetBlock(i, o, norm, rngs=rngs) for i, o in pairs])
        mixers = [NormedAttention(o, norm, rngs=rngs) for _, o in pairs if attention]
        self.attentions = nnx.List(mixers)
        self.resample = resample(widths[-1]) if resample else None

    def __call__(self, x: jax.Array, latents: jax.Array) -> jax.Array:
        """[N, H, W, in] -> [N, H', W', out]."""
        for i, block in enumerate(self.blocks):
            x = block(x, latents)
            if len(self.attentions):
                x = self.attentions[i](x, latents)
        return x if self.resample is None else self.resample(x, latents)


class Middle(nnx.Module):
    """Two blocks, and attention between them or none."""

    def __init__(self, width: int, norm: Norm, *, attention: bool, rngs: nnx.Rngs):
        self.blocks = nnx.List([ResnetBlock(width, width, norm, rngs=rngs) for _ in range(2)])
        mixers = [NormedAttention(width, norm, rngs=rngs)] if attention else []
        self.attentions = nnx.List(mixers)

    def __call__(self, x: jax.Array, latents: jax.Array) -> jax.Array:
        """[N, h, w, C] -> the same."""
        x = self.blocks[0](x, latents)
        for attention in self.attentions:
            x = attention(x, latents)
        return self.blocks[1](x, latents)


class Encoder(nnx.Module):
    """Images in [-1, 1] to features of the latents, each level half the size of the one before.

    Args:
      ins: Image channels.
      outs: Channels of the features.
      widths: Channels of each level, the full resolution first.
      blocks: Residual blocks a level.
      groups: Groups of each norm.
      attention: The levels with attention after each block, 0 the full resolution.
      middle_attention: Whether the middle has attention.
      rngs: Keys for the initial weights.
    """

    def __init__(
        self,
        ins: int,
        outs: int,
        *,
        widths: Sequence[int],
        blocks: int,
        groups: int,
        attention: Collection[int],
        middle_attention: bool,
        rngs: nnx.Rngs,
    ):
        _check(widths, blocks, attention)

        def norm(channels: int) -> nnx.Module:
            return PlainNorm(channels, groups, EPSILON)

        def down(width: int) -> nnx.Module:
            return Downsample(width, 0, rngs=rngs)

        self.input = Conv(ins, widths[0], 3, rngs=rngs)
        levels, before, last = [], widths[0], len(widths) - 1
        for i, width in enumerate(widths):
            resample = down if i < last else None
            sizes, attend = [before, *[width] * blocks], i in attention
            levels.append(Level(sizes, norm, attention=attend, resample=resample, rngs=rngs))
            before = width
        self.down = nnx.List(levels)
        self.middle = Middle(before, norm, attention=middle_attention, rngs=rngs)
        self.norm = norm(before)
        self.output = Conv(before, outs, 3, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """[N, H, W, ins] -> [N, h, w, outs]."""
        x = self.input(images)
        for level in (*self.down, self.middle):
            x = rematerialised(images.shape[1:], level)(x, x)
        return self.output(nnx.silu(self.norm(x, x)))


class Decoder(nnx.Module):
    """Latents to images in [-1, 1], each level twice the size of the one before.

    Args:
      ins: Channels of the latents.
      outs: Image channels.
      widths: Channels of each level, the full resolution first.
      blocks: Residual blocks a level; a decoder has one more than its encoder.
      groups: Groups of each norm.
      attention: The levels with attention after each block, 0 the full resolution.
      middle_attention: Whether the middle has attention.
      spatial: Whether norms are `SpatialNorm`.
      rngs: Keys for the initial weights.
    """

    def __init__(
        self,
        ins: int,
        outs: int,
        *,
        widths: Sequence[int],
        blocks: int,
        groups: int,
        attention: Collection[int],
        middle_attention: bool,
        spatial: bool = False,
        rngs: nnx.Rngs,
    ):
        _check(widths, blocks, attention)

        def norm(channels: int) -> nnx.Module:
            if spatial:
                return SpatialNorm(channels, ins, rngs=rngs)
            return PlainNorm(channels, groups, EPSILON)

        def up(width: int) -> nnx.Module:
            return Upsample(width, rngs=rngs)

        before = widths[-1]
        self.input = Conv(ins, before, 3, rngs=rngs)
        self.middle = Middle(before, norm, attention=middle_attention, rngs=rngs)
        levels = []
        for i in reversed(range(len(widths))):
            resample = up if i else None
            sizes, attend = [before, *[widths[i]] * blocks], i in attention
            levels.append(Level(sizes, norm, attention=attend, resample=resample, rngs=rngs))
            before = widths[i]
        self.up = nnx.List(levels)
        self.norm = norm(before)
        self.output = Conv(before, outs, 3, rngs=rngs)

    def __call__(self, features: jax.Array, latents: jax.Array) -> jax.Array:
        """[N, h, w, ins], and the latents that spatial norms heed, -> [N, H, W, outs]."""
        times = 2 ** (len(self.up) - 1)
        canvas = [times * side for side in features.shape[1:3]]
        x = self.input(features)
        for level in (self.middle, *self.up):
            x = rematerialised(canvas, level)(x, latents)
        return self.output(nnx.silu(self.norm(x, latents)))


def _repeated(cells: jax.Array, shape: Sequence[int]) -> jax.Array:
    """Cells [N, h, w, C] repeated to [N, H, W, C], H and W multiples of h and w."""
    for axis in (1, 2):
        cells = jnp.repeat(cells, shape[axis] // cells.shape[axis], axis=axis)
    return cells


def _check(widths: Sequence[int], blocks: int, attention: Collection[int]) -> None:
    if not 1 <= len(widths) <= _MOST or not all(isinstance(w, int) and w > 0 for w in widths):
        raise ValueError(f"widths must be 1 to {_MOST} numbers of channels, not {widths!r:.100}")
    if not isinstance(blocks, int) or not 1 <= blocks <= _MOST:
        raise ValueError(f"blocks must be 1 to {_MOST} a level, not {blocks!r}")
    if not set(attention) <= set(range(len(widths))):
        raise ValueError(f"attention at {attention}, but levels are {len(widths)}")
