"""Encoder and decoder of deep compression autoencoders (Chen et al., ICLR 2025).

They are those of diffusers' ``autoencoder_dc.py`` (Apache-2.0), with its multiscale linear
attention (EfficientViT: Cai et al., ICCV 2023) and its gated convolutions (SANA: Xie et al., ICLR
2025).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from jax_origin.generators.autoencoders.base import rematerialised
from jax_origin.generators.blocks import pytorch_batch_norm
from jax_origin.generators.convolution import Conv
from jax_origin.generators.unet_blocks import repeat_pixels

ACTIVATIONS = {"relu": nnx.relu, "silu": nnx.silu}
NORMS = ("rms_norm", "batch_norm")
_EPSILON = 1e-5
_LEAST_WEIGHT = 1e-15  # added to the sum of an attention's weights
_WIDER = 4  # by how much a gated convolution has more channels inside


class Stage(NamedTuple):
    """What one level of a network is.

    Attributes:
      width: Channels.
      blocks: Blocks; the full resolution may have none, and is then left at once.
      attention: None for blocks of convolutions; else blocks with attention, which asks also
        convolutions of these sizes.
      norm: One of `NORMS`; that after a gated convolution is always "rms_norm".
      activation: One of `ACTIVATIONS`, in blocks of convolutions.
    """

    width: int
    blocks: int
    attention: tuple[int, ...] | None
    norm: str = "rms_norm"
    activation: str = "silu"


class ChannelNorm(nnx.Module):
    """Divides each pixel by its channels' root mean square (Zhang, Sennrich; NeurIPS 2019)."""

    def __init__(self, channels: int):
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, C] -> the same."""
        scale, bias = self.scale[...][None, None, None], self.bias[...][None, None, None]
        power = jnp.square(x).mean(-1, keepdims=True)
        return x * jax.lax.rsqrt(power + _EPSILON) * scale + bias


class ConvBlock(nnx.Module):
    """Two convolutions and a norm beside a shortcut."""

    def __init__(self, stage: Stage, *, rngs: nnx.Rngs):
        self.activation = stage.activation
        self.conv1 = Conv(stage.width, stage.width, 3, rngs=rngs)
        self.conv2 = Conv(stage.width, stage.width, 3, bias=False, rngs=rngs)
        self.norm = _norm(stage, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, C] -> the same."""
        return x + self.norm(self.conv2(ACTIVATIONS[self.activation](self.conv1(x))))


class AttentionBlock(nnx.Module):
    """Attention, then a gated convolution, each beside a shortcut."""

    def __init__(self, stage: Stage, head: int, *, rngs: nnx.Rngs):
        self.attention = LinearAttention(stage, head, rngs=rngs)
        self.gated = GatedConv(stage.width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, C] -> the same."""
        x = x + self.attention(x)
        return x + self.gated(x)


class LinearAttention(nnx.Module):
    """Attention with ReLU for a kernel, whose cost grows with the pixels, not with their square.

    A head's queries, keys and values are three runs of `head` channels, one after the other, of
    all queries, keys and values in a row, and of what convolutions make of these.
    """

    def __init__(self, stage: Stage, head: int, *, rngs: nnx.Rngs):
        self.head, scales = head, stage.attention or ()
        inner = stage.width // head * head
        if not inner:
            raise ValueError(f"{stage.width} channels are less than a head's {head}")
        self.query, self.key, self.value = (
            nnx.Linear(stage.width, inner, use_bias=False, rngs=rngs) for _ in range(3)
        )
        self.scales = nnx.List([Surroundings(3 * inner, head, size, rngs=rngs) for size in scales])
        wide = inner * (1 + len(scales))
        self.output = nnx.Linear(wide, stage.width, use_bias=False, rngs=rngs)
        self.norm = _norm(stage, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, C] -> the same."""
        n, height, width, _ = x.shape
        asked = jnp.concatenate([self.query(x), self.key(x), self.value(x)], axis=-1)
        asked = jnp.concatenate([asked, *(scale(asked) for scale in self.scales)], axis=-1)
        heads = asked.reshape(n, height * width, -1, 3, self.head)
        query, key, value = nnx.relu(heads[..., 0, :]), nnx.relu(heads[..., 1, :]), heads[..., 2, :]
        memory = jnp.einsum("nphk,nphv->nhkv", key, value)
        mixed = jnp.einsum("nphk,nhkv->nphv", query, memory)
        weight = jnp.einsum("nphk,nhk->nph", query, key.sum(1))[..., None]
        mixed = mixed / (weight + _LEAST_WEIGHT)
        return self.norm(self.output(mixed.reshape(n, height, width, -1)))


class Surroundings(nnx.Module):
    """A convolution of each channel by itself, then a mixture of each run of `head` channels."""

    def __init__(self, channels: int, head: int, size: int, *, rngs: nnx.Rngs):
        self.head = head
        self.conv = _conv_by_channel(channels, size, bias=False, rngs=rngs)
        init = nnx.initializers.lecun_normal(batch_axis=0)
        self.kernel = nnx.Param(init(rngs.params(), (channels // head, head, head)))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, C] -> the same."""
        runs = self.conv(x).reshape(*x.shape[:3], -1, self.head)
        return jnp.einsum("nyxrc,rcd->nyxrd", runs, self.kernel[...]).reshape(x.shape)


class GatedConv(nnx.Module):
    """A convolution by channel, half of whose output gates the other half."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        wide = _WIDER * channels
        self.widen = Conv(channels, 2 * wide, 1, rngs=rngs)
        self.depth = _conv_by_channel(2 * wide, 3, bias=True, rngs=rngs)
        self.narrow = Conv(wide, channels, 1, bias=False, rngs=rngs)
        self.norm = ChannelNorm(channels)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, C] -> the same."""
        passed, gate = jnp.split(self.depth(nnx.silu(self.widen(x))), 2, axis=-1)
        return self.norm(self.narrow(passed * nnx.silu(gate)))


class Down(nnx.Module):
    """Half the size by a convolution, beside averages of pixels.

    With `unshuffle` squares of pixels become channels after the convolution; else it has stride 2.
    """

    def __init__(self, ins: int, outs: int, *, unshuffle: bool, shortcut: bool, rngs: nnx.Rngs):
        if (unshuffle and outs % 4) or (shortcut and 4 * ins % outs):
            raise ValueError(f"{ins} channels do not become {outs} at half the size")
        self.unshuffle, self.shortcut, self.outs = unshuffle, shortcut, outs
        made, stride = (outs // 4, 1) if unshuffle else (outs, 2)
        self.conv = Conv(ins, made, 3, stride=stride, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, ins] -> [N, H/2, W/2, outs]."""
        made = self.conv(x)
        made = pixels_to_channels(made) if self.unshuffle else made
        return made + averaged(pixels_to_channels(x), self.outs) if self.shortcut else made


class Up(nnx.Module):
    """Twice the size by a convolution, beside repetitions of channels as pixels.

    With `shuffle` the convolution's channels become squares of pixels; else it follows a repetition
    of pixels.
    """

    def __init__(self, ins: int, outs: int, *, shuffle: bool, shortcut: bool, rngs: nnx.Rngs):
        if shortcut and 4 * outs % ins:
            raise ValueError(f"{ins} channels do not become {outs} at twice the size")
        self.shuffle, self.repeats = shuffle, 4 * outs // ins if shortcut else 0
        self.conv = Conv(ins, 4 * outs if shuffle else outs, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, ins] -> [N, 2H, 2W, outs]."""
        made = channels_to_pixels(self.conv(x)) if self.shuffle else self.conv(repeat_pixels(x))
        if not self.repeats:
            return made
        return made + channels_to_pixels(jnp.repeat(x, self.repeats, axis=-1))


class Level(nnx.Module):
    """Blocks of one resolution, and what leads to them or from them, one after the other."""

    def __init__(self, parts: Sequence[nnx.Module]):
        self.parts = nnx.List(parts)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, in] -> [N, H', W', out]."""
        for part in self.parts:
            x = part(x)
        return x


class Encoder(nnx.Module):
    """Images in [-1, 1] to latents, each level half the size of the one before.

    Args:
      ins: Image channels.
      outs: Channels of a latent.
      stages: The levels, the full resolution first.
      head: Channels of an attention's head.
      unshuffle: Whether squares of pixels become channels between levels.
      shortcut: Whether averages of the last features' channels are added to the latents.
      rngs: Keys for the initial weights.
    """

    def __init__(
        self,
        ins: int,
        outs: int,
        stages: Sequence[Stage],
        *,
        head: int,
        unshuffle: bool,
        shortcut: bool,
        rngs: nnx.Rngs,
    ):
        def down(ins: int, outs: int, shortcut: bool) -> Down:
            return Down(ins, outs, unshuffle=unshuffle, shortcut=shortcut, rngs=rngs)

        first, last = stages[0], stages[-1].width
        if shortcut and last % outs:
            raise ValueError(f"{last} channels have no averages of {outs} channels")
        self.outs, self.shortcut = outs, shortcut
        self.input: nnx.Module = (
            Conv(ins, first.width, 3, rngs=rngs)
            if first.blocks
            else down(ins, stages[1].width, False)
        )
        levels = []
        for stage, after in zip(stages, [*stages[1:], None], strict=True):
            parts = _blocks(stage, head, rngs)
            if after is not None and stage.blocks:
                parts.append(down(stage.width, after.width, True))
            levels.append(Level(parts))
        self.levels = nnx.List(levels)
        self.output = Conv(last, outs, 3, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """[N, H, W, ins] -> [N, h, w, outs]."""
        x = self.input(images)
        for level in self.levels:
            x = rematerialised(images.shape[1:], level)(x)
        made = self.output(x)
        return made + averaged(x, self.outs) if self.shortcut else made


class Decoder(nnx.Module):
    """Latents to images in [-1, 1], each level twice the size of the one before.

    Args:
      ins: Channels of a latent.
      outs: Image channels.
      stages: The levels, the full resolution first.
      head: Channels of an attention's head.
      shuffle: Whether channels become squares of pixels between levels.
      shortcut: Whether repetitions of the latents are added to the first features.
      activation: The last activation, one of `ACTIVATIONS`.
      rngs: Keys for the initial weights.
    """

    def __init__(
        self,
        ins: int,
        outs: int,
        stages: Sequence[Stage],
        *,
        head: int,
        shuffle: bool,
        shortcut: bool,
        activation: str,
        rngs: nnx.Rngs,
    ):
        def up(ins: int, outs: int, shortcut: bool) -> Up:
            return Up(ins, outs, shuffle=shuffle, shortcut=shortcut, rngs=rngs)

        first, last = stages[0], stages[-1].width
        if shortcut and last % ins:
            raise ValueError(f"{ins} channels do not repeat to {last}")
        self.repeats, self.activation = last // ins if shortcut else 0, activation
        self.input = Conv(ins, last, 3, rngs=rngs)
        levels = []
        for stage, before in zip(stages, [*stages[1:], None], strict=True):
            parts = _blocks(stage, head, rngs)
            if before is not None and stage.blocks:
                parts.insert(0, up(before.width, stage.width, True))
            levels.append(Level(parts))
        self.levels = nnx.List(levels)
        width = first.width if first.blocks else stages[1].width
        self.norm = ChannelNorm(width)
        self.output: nnx.Module = (
            Conv(width, outs, 3, rngs=rngs) if first.blocks else up(width, outs, False)
        )

    def __call__(self, latents: jax.Array) -> jax.Array:
        """[N, h, w, ins] -> [N, H, W, outs]."""
        times = 2 ** (len(self.levels) - 1)
        canvas = [times * side for side in latents.shape[1:3]]
        x = self.input(latents)
        if self.repeats:
            x = x + jnp.repeat(latents, self.repeats, axis=-1)
        for level in reversed(list(self.levels)):
            x = rematerialised(canvas, level)(x)
        return self.output(ACTIVATIONS[self.activation](self.norm(x)))


def pixels_to_channels(x: jax.Array) -> jax.Array:
    """Squares of pixels as channels, [N, 2H, 2W, C] -> [N, H, W, 4C]: channel, row, column."""
    n, height, width, channels = x.shape
    squares = x.reshape(n, height // 2, 2, width // 2, 2, channels)
    return squares.transpose(0, 1, 3, 5, 2, 4).reshape(n, height // 2, width // 2, 4 * channels)


def channels_to_pixels(x: jax.Array) -> jax.Array:
    """The inverse of `pixels_to_channels`, [N, H, W, 4C] -> [N, 2H, 2W, C]."""
    n, height, width, channels = x.shape
    squares = x.reshape(n, height, width, channels // 4, 2, 2)
    return squares.transpose(0, 1, 4, 2, 5, 3).reshape(n, 2 * height, 2 * width, channels // 4)


def averaged(x: jax.Array, channels: int) -> jax.Array:
    """Averages of neighbouring channels, so many that `channels` are left."""
    return x.reshape(*x.shape[:3], channels, -1).mean(-1)


def _blocks(stage: Stage, head: int, rngs: nnx.Rngs) -> list[nnx.Module]:
    if stage.attention is None:
        return [ConvBlock(stage, rngs=rngs) for _ in range(stage.blocks)]
    return [AttentionBlock(stage, head, rngs=rngs) for _ in range(stage.blocks)]


def _norm(stage: Stage, rngs: nnx.Rngs) -> Callable[[jax.Array], jax.Array]:
    if stage.norm == "rms_norm":
        return ChannelNorm(stage.width)
    return pytorch_batch_norm(stage.width, rngs=rngs)


def _conv_by_channel(channels: int, size: int, *, bias: bool, rngs: nnx.Rngs) -> nnx.Conv:
    return nnx.Conv(
        *(channels, channels, (size, size)),
        feature_group_count=channels,
        use_bias=bias,
        rngs=rngs,
    )
