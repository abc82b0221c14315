"""The autoencoder of Wan 2.1 (Wan Team, arXiv 2503.20314) and of Qwen-Image, on single images.

It is made for videos: its convolutions are over time as well, and see the frames before. An image
is a video's first frame, before which there are zeros. So of a kernel's frames the last alone
counts, and what halves or doubles the number of frames leaves the first one as it is.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_origin.checkpoints.rename import CheckpointError, Rename, conv
from jax_origin.generators.autoencoders.base import (
    Autoencoder,
    Numbers,
    autoencoder_of,
    rematerialised,
    whitening,
)
from jax_origin.generators.autoencoders.kl_blocks import Level, Middle
from jax_origin.generators.convolution import Conv
from jax_origin.generators.reference_names import count_places, linear_of_conv
from jax_origin.generators.unet_blocks import Downsample, repeat_pixels

_MOST = 64  # levels, and blocks of a level: what a file says is built one by one
_LEAST_LENGTH = 1e-12  # of a pixel's channels, by which they are divided
# The whitening of both published models, of 16 channels; a file of weights alone does not say it.
_MEAN = (
    *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
    *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
)
_STD = (
    *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
    *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
)
_UNREAD = "is not read here, only that of Wan 2.1 and Qwen-Image"


class AutoencoderWan(Autoencoder):
    """diffusers' ``AutoencoderKLWan`` and ``AutoencoderKLQwenImage`` (Apache-2.0), on one frame.

    Wan's own files are read too. Wan 2.2's autoencoder, in patches and with residual levels, is
    another network.

    Args:
      image_size: As `Autoencoder`, like the other arguments that it has.
      latent_channels: Channels of a latent.
      widths: Channels of each level, the full resolution first; each level halves the size.
      decoder_widths: Those of the decoder; None for the same.
      blocks: Residual blocks of a level of the encoder; the decoder has one more.
      channels: Image channels.
      margin: Pixels around the image.
      phase: Where in a cell the image begins.
      latent_mean: The latents' mean.
      latent_std: The latents' deviation.
      rngs: Keys for the initial weights.
    """

    kind: ClassVar[str] = "autoencoder_wan"
    reference_classes: ClassVar[frozenset[str]] = frozenset(
        {"AutoencoderKLWan", "AutoencoderKLQwenImage"}
    )
    reference_fields: ClassVar[frozenset[str]] = frozenset({"vae", "z_dim"})
    arguments = ("widths", "decoder_widths", "blocks")

    def __init__(
        self,
        *,
        image_size: int | Sequence[int] = 1024,
        latent_channels: int = 16,
        widths: Sequence[int] = (96, 192, 384, 384),
        decoder_widths: Sequence[int] | None = None,
        blocks: int = 2,
        channels: int = 3,
        margin: int = 0,
        phase: Sequence[int] = (0, 0),
        latent_mean: Numbers = 0.0,
        latent_std: Numbers = 1.0,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            image_size=image_size,
            latent_channels=latent_channels,
            channels=channels,
            margin=margin,
            phase=phase,
            latent_mean=latent_mean,
            latent_std=latent_std,
        )
        self.widths, self.blocks = tuple(widths), blocks
        self.decoder_widths = self.widths if decoder_widths is None else tuple(decoder_widths)
        _check(self.widths, self.decoder_widths, blocks)
        moments = 2 * latent_channels
        self.encoder = _Encoder(channels, moments, self.widths, blocks, rngs=rngs)
        self.quant = Conv(moments, moments, 1, rngs=rngs)
        self.post_quant = Conv(latent_channels, latent_channels, 1, rngs=rngs)
        self.decoder = _Decoder(
            latent_channels, channels, self.decoder_widths, blocks + 1, rngs=rngs
        )

    @property
    def factor(self) -> int:
        """Pixels along the side of a latent's cell: 8 with four levels."""
        return 2 ** (len(self.widths) - 1)

    def posterior(self, canvases: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Canvases in [-1, 1] to mean and log variance of the decoder's input, [N, h, w, C]."""
        mean, log_variance = jnp.split(self.quant(self.encoder(canvases)), 2, axis=-1)
        return mean, jnp.clip(log_variance, -30.0, 20.0)

    def decode(self, latents: jax.Array) -> jax.Array:
        """The decoder's input [N, h, w, C] to canvases [N, H, W, channels] in [-1, 1]."""
        return self.decoder(self.post_quant(latents))

    @classmethod
    def reference_renames(cls, config: Mapping[str, Any]) -> list[Rename]:
        """Diffusers' names, and Wan's own, which count blocks and resampling in one row."""
        half = r"(encoder|decoder)\."
        table = [
            Rename(r".*\.time_conv\..*", None),
            *_conv("(?:quant_conv|conv1)", "quant"),
            *_conv("(?:post_quant_conv|conv2)", "post_quant"),
            *_conv(rf"{half}(?:conv_in|conv1)", r"\1.input"),
            *_norm(rf"{half}(?:norm_out|head\.0)", r"\1.norm"),
            *_conv(rf"{half}(?:conv_out|head\.2)", r"\1.output"),
            *_attention(
                rf"{half}(?:mid_block\.attentions\.0|middle\.1)", r"\1.middle.attentions.0"
            ),
        ]
        for i in range(2):
            theirs = rf"{half}(?:mid_block\.resnets\.{i}|middle\.{2 * i})"
            table += _block(theirs, rf"\1.middle.blocks.{i}")
        for theirs, ours in _places(len(config["widths"]), config["blocks"]):
            table += [*_block(theirs, ours), *_conv(rf"{theirs}\.resample\.1", f"{ours}.conv")]
        return table

    @classmethod
    def infer_config(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """As `Generator` has it; images of 1024 px, and the published models' whitening."""
        return _inferred(arrays)

    @classmethod
    def reference_config(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Our configuration for diffusers'; widths and blocks are those of the file."""
        stored = autoencoder_of(stored, cls.reference_parts)
        for name, usual in (("is_residual", False), ("patch_size", None), ("attn_scales", [])):
            if (stored.get(name) or usual) != usual:
                raise ValueError(f"an autoencoder with {name}={stored[name]!r} {_UNREAD}")
        return whitening(stored)


class _Norm(nnx.Module):
    """Divides each pixel by its channels' root mean square (Zhang, Sennrich; NeurIPS 2019)."""

    def __init__(self, channels: int):
        self.scale = nnx.Param(jnp.ones(channels))

    def __call__(self, x: jax.Array, latents: jax.Array) -> jax.Array:
        """[N, H, W, C] -> the same; it heeds no latents."""
        squared = jnp.square(x).sum(-1, keepdims=True)
        factor = x.shape[-1] ** 0.5 * jax.lax.rsqrt(jnp.maximum(squared, _LEAST_LENGTH**2))
        return x * factor * self.scale[...][None, None, None]


class _Up(nnx.Module):
    """Twice the size by repetition, then a convolution to half the channels."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        self.conv = Conv(channels, channels // 2, 3, rngs=rngs)

    def __call__(self, x: jax.Array, latents: jax.Array) -> jax.Array:
        """[N, H, W, C] -> [N, 2H, 2W, C/2]; it heeds no latents."""
        return self.conv(repeat_pixels(x))


class _Encoder(nnx.Module):
    """Images [N, H, W, ins] in [-1, 1] to moments of latents, [N, h, w, outs]."""

    def __init__(self, ins: int, outs: int, widths: Sequence[int], blocks: int, *, rngs: nnx.Rngs):
        def down(width: int) -> nnx.Module:
            return Downsample(width, 0, rngs=rngs)

        self.input = Conv(ins, widths[0], 3, rngs=rngs)
        levels, before = [], widths[0]
        for width, resample in zip(widths, [*[down] * (len(widths) - 1), None], strict=True):
            sizes = [before, *[width] * blocks]
            levels.append(Level(sizes, _Norm, attention=False, resample=resample, rngs=rngs))
            before = width
        self.down = nnx.List(levels)
        self.middle = Middle(before, _Norm, attention=True, rngs=rngs)
        self.norm = _Norm(before)
        self.output = Conv(before, outs, 3, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        x = self.input(images)
        for level in (*self.down, self.middle):
            x = rematerialised(images.shape[1:], level)(x, x)
        return self.output(nnx.silu(self.norm(x, x)))


class _Decoder(nnx.Module):
    """Latents [N, h, w, ins] to images in [-1, 1], [N, H, W, outs]."""

    def __init__(self, ins: int, outs: int, widths: Sequence[int], blocks: int, *, rngs: nnx.Rngs):
        def up(width: int) -> nnx.Module:
            return _Up(width, rngs=rngs)

        before = widths[-1]
        self.input = Conv(ins, before, 3, rngs=rngs)
        self.middle = Middle(before, _Norm, attention=True, rngs=rngs)
        levels = []
        for width, resample in zip(widths[::-1], [*[up] * (len(widths) - 1), None], strict=True):
            sizes = [before, *[width] * blocks]
            levels.append(Level(sizes, _Norm, attention=False, resample=resample, rngs=rngs))
            before = width // 2
        self.up = nnx.List(levels)
        self.norm = _Norm(widths[0])
        self.output = Conv(widths[0], outs, 3, rngs=rngs)

    def __call__(self, latents: jax.Array) -> jax.Array:
        times = 2 ** (len(self.up) - 1)
        canvas = [times * side for side in latents.shape[1:3]]
        x = self.input(latents)
        for level in (self.middle, *self.up):
            x = rematerialised(canvas, level)(x, x)
        return self.output(nnx.silu(self.norm(x, x)))


def _last_frame(array: np.ndarray) -> np.ndarray:
    """A kernel over time [out, in, frames, h, w], or over an image alone: [h, w, in, out]."""
    return conv(array[:, :, -1] if array.ndim == 5 else array)


def _flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1)


def _conv(theirs: str, ours: str) -> list[Rename]:
    kernel = Rename(rf"{theirs}\.weight", f"{ours}.kernel", _last_frame)
    return [kernel, Rename(rf"{theirs}\.bias", f"{ours}.bias")]


def _norm(theirs: str, ours: str) -> list[Rename]:
    return [Rename(rf"{theirs}\.gamma", f"{ours}.scale", _flat)]


def _block(theirs: str, ours: str) -> list[Rename]:
    """The lines for a residual block, by diffusers' names or by places in Wan's own."""
    return [
        *_norm(rf"{theirs}\.(?:norm1|residual\.0)", f"{ours}.norm1"),
        *_conv(rf"{theirs}\.(?:conv1|residual\.2)", f"{ours}.conv1"),
        *_norm(rf"{theirs}\.(?:norm2|residual\.3)", f"{ours}.norm2"),
        *_conv(rf"{theirs}\.(?:conv2|residual\.6)", f"{ours}.conv2"),
        *_conv(rf"{theirs}\.(?:conv_shortcut|shortcut)", f"{ours}.shortcut"),
    ]


def _attention(theirs: str, ours: str) -> list[Rename]:
    parts = [f"{ours}.pixels.{name}" for name in ("query", "key", "value")]
    kernels, biases = (tuple(f"{part}.{name}" for part in parts) for name in ("kernel", "bias"))
    return [
        *_norm(rf"{theirs}\.norm", f"{ours}.norm"),
        Rename(rf"{theirs}\.to_qkv\.weight", kernels, linear_of_conv),
        Rename(rf"{theirs}\.to_qkv\.bias", biases),
        Rename(rf"{theirs}\.proj\.weight", f"{ours}.pixels.output.kernel", linear_of_conv),
        Rename(rf"{theirs}\.proj\.bias", f"{ours}.pixels.output.bias"),
    ]


def _places(levels: int, blocks: int) -> Iterator[tuple[str, str]]:
    """A pattern and our name for each part of each level.

    Wan's own files number all parts of a half in one row; diffusers does so in the encoder.
    """
    for half, count in (("encoder", blocks), ("decoder", blocks + 1)):
        row = itertools.count()
        for i in range(levels):
            parts = [(rf"resnets\.{j}", f"blocks.{j}") for j in range(count)]
            for theirs, ours in [*parts, (r"upsamplers\.0", "resample")]:
                place = next(row)
                if half == "encoder":
                    pattern, way = rf"(?:downsamples|down_blocks)\.{place}", "down"
                else:
                    pattern, way = rf"(?:upsamples\.{place}|up_blocks\.{i}\.{theirs})", "up"
                yield rf"{half}\.{pattern}", f"{half}.{way}.{i}.{ours}"


def _inferred(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    first = "conv_in" if "encoder.conv_in.weight" in arrays else "conv1"
    kernel = arrays.get(f"encoder.{first}.weight")
    if kernel is None or kernel.ndim != 5:
        raise CheckpointError(f"no AutoencoderWan: it has no encoder.{first} over time")
    nested = re.compile(r"encoder\.(?:down_blocks\.\d+\.resnets|downsamples\.\d+\.downsamples)\.")
    if any(nested.match(name) for name in arrays):
        raise CheckpointError(f"an autoencoder with residual levels, as Wan 2.2's, {_UNREAD}")
    try:
        if first == "conv_in":
            encoder = _by_level(arrays, "encoder.down_blocks", "conv1")
            decoder = [
                [int(arrays[f"decoder.up_blocks.{i}.resnets.0.conv1.weight"].shape[0])]
                for i in range(len(encoder))
            ]
        else:
            encoder = _by_level(arrays, "encoder.downsamples", "residual.2")
            decoder = _by_level(arrays, "decoder.upsamples", "residual.2")
        channels = int(arrays[f"decoder.{first}.weight"].shape[1])
        found = {
            "image_size": 1024,
            "channels": int(kernel.shape[1]),
            "latent_channels": channels,
            "widths": [widths[0] for widths in encoder],
            "decoder_widths": [widths[0] for widths in decoder[::-1]],
            "blocks": len(encoder[0]),
        }
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(f"no whole AutoencoderWan: {error} is missing or misshapen") from None
    whitened = {"latent_mean": list(_MEAN), "latent_std": list(_STD)}
    return found | (whitened if channels == len(_MEAN) else {})


def _by_level(arrays: Mapping[str, np.ndarray], row: str, block: str) -> list[list[int]]:
    """The widths of the blocks of each level, of which each but the last ends in a resampling."""
    levels: list[list[int]] = [[]]
    for place in range(count_places(arrays, rf"{re.escape(row)}\.(\d+)\.")):
        kernel = arrays.get(f"{row}.{place}.{block}.weight")
        if kernel is None:
            levels.append([])
        else:
            levels[-1].append(int(kernel.shape[0]))
    return levels


def _check(widths: Sequence[int], decoder_widths: Sequence[int], blocks: int) -> None:
    for name, given in (("widths", widths), ("decoder_widths", decoder_widths)):
        if len(given) != len(widths) or not 1 <= len(given) <= _MOST:
            raise ValueError(f"{name} must be of 1 to {_MOST} levels, the same in both halves")
        if not all(isinstance(width, int) and width > 0 for width in given):
            raise ValueError(f"{name} must be numbers of channels, not {given!r:.100}")
    if any(width % 2 for width in decoder_widths[1:]):
        raise ValueError(f"decoder_widths must be even but for the first, not {decoder_widths!r}")
    if not isinstance(blocks, int) or not 1 <= blocks <= _MOST:
        raise ValueError(f"blocks must be 1 to {_MOST} a level, not {blocks!r}")
