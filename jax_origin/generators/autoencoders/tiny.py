"""Tiny autoencoders for the latents of larger models (madebyollin/taesd, MIT)."""

import re
from collections.abc import Mapping, Sequence
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
from jax_origin.generators.convolution import Conv
from jax_origin.generators.reference_names import linear_of_conv
from jax_origin.generators.unet_blocks import GroupNorm, repeat_pixels

Layers = Sequence[tuple[str, int]]
"""The layers of a network, each a name in `_PLACES` and how many channels it makes."""

# Names of layers, and how many places of PyTorch's Sequential each takes.
_PLACES = {
    "conv": 1,
    "conv_relu": 2,
    "block": 1,
    "pooled_block": 1,  # a block with a pooled group norm before it
    "down": 1,  # half the size, no bias
    "down_relu": 2,  # half the size, then ReLU
    "up": 2,  # twice the size by repetition, then a convolution without a bias
}
_GROUPS = 4
_MOST = 256  # layers: what a file says is built one by one


class AutoencoderTiny(Autoencoder):
    """TAESD and its like: diffusers' ``AutoencoderTiny`` (Apache-2.0), and the original's files.

    Among them are FLUX.2's, with pooled group norms, and those of 32 pixels a cell. The original
    has encoder and decoder in two files; the decoder's name is given, and the encoder's lies beside
    it, with ``encoder`` in its name instead.

    Args:
      image_size: As `Autoencoder`, like the other arguments that it has.
      latent_channels: Channels of a latent.
      encoder: Its layers, pairs of a name and channels: "conv", "conv_relu", "block",
        "pooled_block", "down", "down_relu".
      decoder: Its layers; "up" instead of "down" and "down_relu".
      channels: Image channels.
      margin: Pixels around the image.
      phase: Where in a cell the image begins.
      latent_mean: The latents' mean.
      latent_std: The latents' deviation.
      rngs: Keys for the initial weights.
    """

    kind: ClassVar[str] = "autoencoder_tiny"
    reference_classes: ClassVar[frozenset[str]] = frozenset({"AutoencoderTiny"})
    reference_halves: ClassVar[bool] = True

    def __init__(
        self,
        *,
        image_size: int | Sequence[int] = 512,
        latent_channels: int = 4,
        encoder: Layers,
        decoder: Layers,
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
        self.encoder = _Network(channels, encoder, rngs=rngs)
        self.decoder = _Network(latent_channels, decoder, rngs=rngs)
        ends = (self.encoder.layers[-1][1], self.decoder.layers[-1][1])
        if ends != (latent_channels, channels):
            raise ValueError(f"the layers end in {ends} channels, not {latent_channels, channels}")
        scales = {self.encoder.scale, 1 / self.decoder.scale}
        if len(scales) > 1:
            raise ValueError("the encoder makes images smaller than the decoder makes them larger")

    @property
    def factor(self) -> int:
        """Pixels along the side of a latent's cell."""
        return round(self.decoder.scale)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON."""
        halves = {"encoder": self.encoder.layers, "decoder": self.decoder.layers}
        return super().config | {name: [list(x) for x in of] for name, of in halves.items()}

    def posterior(self, canvases: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Canvases in [-1, 1] to the decoder's input, [N, h, w, C], and minus infinity."""
        found = self.encoder(canvases / 2 + 0.5)
        return found, jnp.full_like(found, -jnp.inf)

    def decode(self, latents: jax.Array) -> jax.Array:
        """The decoder's input [N, h, w, C] to canvases [N, H, W, channels] in [-1, 1]."""
        return 2 * self.decoder(3 * jnp.tanh(latents / 3)) - 1

    @classmethod
    def reference_renames(cls, config: Mapping[str, Any]) -> list[Rename]:
        """Diffusers' names, and the original's, whose decoder begins a place later."""
        table = []
        for half, first in (("encoder", 0), ("decoder", 1)):
            place = 0
            for i, (name, _) in enumerate(config[half]):
                at = place + (name == "up")  # The repetition comes first.
                theirs = rf"{half}\.(?:layers\.{at}|{at + first})\."
                table += _of_layer(theirs, f"{half}.parts.{i}")
                place += _PLACES[name]
        return table

    @classmethod
    def infer_config(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """As `Generator` has it; images of 512 px."""
        encoder, decoder = (_layers_of(arrays, half) for half in ("encoder", "decoder"))
        return {
            "image_size": 512,
            "latent_channels": encoder[-1][1],
            "channels": decoder[-1][1],
            "encoder": encoder,
            "decoder": decoder,
        }

    @classmethod
    def reference_config(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Our configuration for diffusers'; layers are those of the file."""
        stored = autoencoder_of(stored, cls.reference_parts)
        known = {"act_fn": "relu", "upsample_fn": "nearest", "upsampling_scaling_factor": 2}
        for name, value in known.items():
            if stored.get(name, value) != value:
                raise ValueError(f"AutoencoderTiny with {name}={stored[name]!r} is not read here")
        return whitening(stored)


class _Network(nnx.Module):
    """Layers one after the other. `scale` is by how much they make the image's sides larger."""

    def __init__(self, channels: int, layers: Layers, *, rngs: nnx.Rngs):
        self.layers = tuple((str(name), int(width)) for name, width in layers)
        if not 1 <= len(self.layers) <= _MOST:
            raise ValueError(f"a network has 1 to {_MOST} layers, not {len(self.layers)}")
        unknown = sorted({name for name, _ in self.layers} - set(_PLACES))
        if unknown:
            raise ValueError(f"unknown layers {', '.join(unknown)}; known: {', '.join(_PLACES)}")
        self.scale = 1.0
        parts: list[nnx.Module] = []
        for name, width in self.layers:
            if name.endswith("block"):
                parts.append(_Block(channels, width, pooled=name == "pooled_block", rngs=rngs))
            else:
                bias, down = name not in ("down", "up"), name.startswith("down")
                options: dict[str, Any] = {"stride": 2 if down else 1, "padding": (1, 1)}
                parts.append(Conv(channels, width, 3, bias=bias, **options, rngs=rngs))
                self.scale *= 0.5 if down else 2 if name == "up" else 1
            channels = width
        self.parts = nnx.List(parts)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, in] -> [N, H', W', out]."""
        canvas = [round(side * max(1, self.scale)) for side in x.shape[1:3]]
        for (name, _), part in zip(self.layers, self.parts, strict=True):
            if name.endswith("block"):
                x = rematerialised(canvas, part)(x)
            else:
                x = part(repeat_pixels(x) if name == "up" else x)
                x = nnx.relu(x) if name.endswith("relu") else x
        return x


class _Block(nnx.Module):
    """Three convolutions beside a shortcut; before them, perhaps, what groups of channels say."""

    def __init__(self, ins: int, outs: int, *, pooled: bool, rngs: nnx.Rngs):
        self.pool: _Pooled | None = _Pooled(ins, rngs=rngs) if pooled else None
        sizes = [(ins, outs), (outs, outs), (outs, outs)]
        self.convs = nnx.List([Conv(i, o, 3, rngs=rngs) for i, o in sizes])
        same = ins == outs
        self.shortcut: Conv | None = None if same else Conv(ins, outs, 1, bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, in] -> [N, H, W, out]."""
        if self.pool is not None:
            x = x + self.pool(x)
        first, second, third = self.convs
        hidden = third(nnx.relu(second(nnx.relu(first(x)))))
        return nnx.relu(hidden + (x if self.shortcut is None else self.shortcut(x)))


class _Pooled(nnx.Module):
    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        wide = channels * _GROUPS
        self.widen = nnx.Linear(channels, wide, use_bias=False, rngs=rngs)
        self.norm = GroupNorm(wide, _GROUPS, 1e-5)
        self.narrow = nnx.Linear(wide, channels, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, C] -> the same."""
        return self.narrow(nnx.relu(self.norm(self.widen(x))))


def _of_layer(theirs: str, ours: str) -> list[Rename]:
    """The lines for one place of PyTorch's Sequential, whatever stands there."""
    table = [
        Rename(rf"{theirs}weight", f"{ours}.kernel", conv),
        Rename(rf"{theirs}bias", f"{ours}.bias"),
        Rename(rf"{theirs}skip\.weight", f"{ours}.shortcut.kernel", conv),
        Rename(rf"{theirs}pool\.0\.weight", f"{ours}.pool.widen.kernel", linear_of_conv),
        Rename(rf"{theirs}pool\.1\.weight", f"{ours}.pool.norm.scale"),
        Rename(rf"{theirs}pool\.1\.bias", f"{ours}.pool.norm.bias"),
        Rename(rf"{theirs}pool\.3\.weight", f"{ours}.pool.narrow.kernel", linear_of_conv),
    ]
    for i in range(3):
        inner = rf"{theirs}conv\.{2 * i}\."
        table.append(Rename(rf"{inner}weight", f"{ours}.convs.{i}.kernel", conv))
        table.append(Rename(rf"{inner}bias", f"{ours}.convs.{i}.bias"))
    return table


def _layers_of(arrays: Mapping[str, np.ndarray], half: str) -> list[tuple[str, int]]:
    """A network's layers, as names and gaps between the places of a Sequential show them."""
    form = re.compile(rf"{half}\.(?:layers\.)?(\d+)\.(.+)")
    places: dict[int, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        if match := form.fullmatch(name):
            places.setdefault(int(match[1]), {})[match[2]] = array
    layers, order = [], sorted(places)
    if not order:
        beside = "; of two files, name the decoder's, with the encoder's beside it"
        raise CheckpointError(f"no AutoencoderTiny: it has no {half}.0{beside}")
    for place, following in zip(order, [*order[1:], None], strict=True):
        inside, gap = places[place], following is not None and following > place + 1
        if (kernel := inside.get("conv.0.weight")) is not None:
            name = "pooled_block" if "pool.0.weight" in inside else "block"
        elif (kernel := inside.get("weight")) is None or kernel.ndim != 4:
            raise CheckpointError(f"no AutoencoderTiny: what is {half}.{place}?")
        elif "bias" not in inside:
            name = "down" if half == "encoder" else "up"
        elif gap:
            name = "down_relu" if half == "encoder" else "conv_relu"
        else:
            name = "conv"
        layers.append((name, int(kernel.shape[0])))
    return layers
