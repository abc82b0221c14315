"""AutoencoderDC (Chen et al., ICLR 2025), the deep compression autoencoder: SANA and its like."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_origin.checkpoints.rename import CheckpointError, Rename, batch_norm, conv, linear
from jax_origin.generators.autoencoders.base import (
    Autoencoder,
    Numbers,
    autoencoder_of,
    whitening,
)
from jax_origin.generators.autoencoders.dc_blocks import (
    ACTIVATIONS,
    NORMS,
    Decoder,
    Encoder,
    Stage,
)
from jax_origin.generators.reference_names import Layers, count_places, renames

Scales = Sequence[Sequence[int] | None]
"""For each level None where it has no attention, else sizes of convolutions that it also asks."""

_MOST = 64  # levels, and blocks of a level: what a file says is built one by one
_SANA = (None, None, None, (5,), (5,), (5,))
_SANA_STD = 1 / 0.41407
_HEAD = 32  # channels of a head in all published models


class AutoencoderDC(Autoencoder):
    """diffusers' ``AutoencoderDC`` (Apache-2.0), on any size. The defaults are SANA's.

    Its posterior is a point: the encoder is deterministic.

    Args:
      image_size: As `Autoencoder`, like the other arguments that it has.
      latent_channels: Channels of a latent.
      widths: Channels of each level of the encoder, the full resolution first; each level halves
        the size.
      decoder_widths: Those of the decoder; None for the same.
      blocks: Blocks of each level of the encoder. The full resolution may have none: its width then
        counts for nothing.
      decoder_blocks: Those of the decoder.
      attention: For each level of the encoder None where blocks are of convolutions; where they
        have attention, the sizes of the convolutions that it also asks, perhaps none.
      decoder_attention: The same of the decoder.
      head: Channels of an attention's head.
      decoder_norms: The norms of each level of the decoder, "rms_norm" or "batch_norm".
      decoder_activations: The activations of its blocks of convolutions, "relu" or "silu".
      last_activation: The activation before the decoder's last convolution.
      unshuffle: Whether the encoder turns squares of pixels into channels; else it has strides.
      shuffle: Whether the decoder turns channels into squares of pixels; else it repeats pixels.
      encoder_shortcut: Whether averages of the encoder's last features are added to the latents.
      decoder_shortcut: Whether the decoder's first features have repetitions of the latents added.
      channels: Image channels.
      margin: Pixels around the image.
      phase: Where in a cell the image begins.
      latent_mean: The latents' mean.
      latent_std: The latents' deviation. A file of weights alone does not say it: SANA's is taken
        for its architecture, else 1. It sets where a search begins, not what can be made.
      rngs: Keys for the initial weights.
    """

    kind: ClassVar[str] = "autoencoder_dc"
    reference_classes: ClassVar[frozenset[str]] = frozenset({"AutoencoderDC"})
    arguments: ClassVar[tuple[str, ...]] = (
        *("widths", "decoder_widths", "blocks", "decoder_blocks", "attention", "decoder_attention"),
        *("head", "decoder_norms", "decoder_activations", "last_activation"),
        *("unshuffle", "shuffle", "encoder_shortcut", "decoder_shortcut"),
    )

    def __init__(
        self,
        *,
        image_size: int | Sequence[int] = 1024,
        latent_channels: int = 32,
        widths: Sequence[int] = (128, 256, 512, 512, 1024, 1024),
        decoder_widths: Sequence[int] | None = None,
        blocks: Sequence[int] = (2, 2, 2, 3, 3, 3),
        decoder_blocks: Sequence[int] = (3, 3, 3, 3, 3, 3),
        attention: Scales = _SANA,
        decoder_attention: Scales = _SANA,
        head: int = _HEAD,
        decoder_norms: Sequence[str] = ("rms_norm",) * 6,
        decoder_activations: Sequence[str] = ("silu",) * 6,
        last_activation: str = "relu",
        unshuffle: bool = False,
        shuffle: bool = False,
        encoder_shortcut: bool = True,
        decoder_shortcut: bool = True,
        channels: int = 3,
        margin: int = 0,
        phase: Sequence[int] = (0, 0),
        latent_mean: Numbers = 0.0,
        latent_std: Numbers = _SANA_STD,
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
        self.widths = tuple(widths)
        self.decoder_widths = self.widths if decoder_widths is None else tuple(decoder_widths)
        self.blocks, self.decoder_blocks = tuple(blocks), tuple(decoder_blocks)
        self.attention, self.decoder_attention = _scales(attention), _scales(decoder_attention)
        self.decoder_norms = tuple(decoder_norms)
        self.decoder_activations = tuple(decoder_activations)
        self.head, self.last_activation = head, last_activation
        self.unshuffle, self.shuffle = unshuffle, shuffle
        self.encoder_shortcut, self.decoder_shortcut = encoder_shortcut, decoder_shortcut
        _among("last_activation", [last_activation], ACTIVATIONS)
        _among("decoder_activations", self.decoder_activations, ACTIVATIONS)
        _among("decoder_norms", self.decoder_norms, NORMS)
        if not isinstance(head, int) or head < 1:
            raise ValueError(f"head must be a number of channels, not {head!r}")
        count = len(self.widths)
        encoder = _stages(count, self.widths, self.blocks, self.attention)
        decoder = _stages(
            count,
            *(self.decoder_widths, self.decoder_blocks, self.decoder_attention),
            *(self.decoder_norms, self.decoder_activations),
        )
        self.encoder = Encoder(
            *(channels, latent_channels, encoder),
            head=head,
            unshuffle=unshuffle,
            shortcut=encoder_shortcut,
            rngs=rngs,
        )
        self.decoder = Decoder(
            *(latent_channels, channels, decoder),
            head=head,
            shuffle=shuffle,
            shortcut=decoder_shortcut,
            activation=last_activation,
            rngs=rngs,
        )

    @property
    def factor(self) -> int:
        """Pixels along the side of a latent's cell: 32 with six levels."""
        return 2 ** (len(self.widths) - 1)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON."""
        scales = {name: getattr(self, name) for name in ("attention", "decoder_attention")}
        return super().config | {
            name: [None if sizes is None else list(sizes) for sizes in of]
            for name, of in scales.items()
        }

    def posterior(self, canvases: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Canvases in [-1, 1] to the decoder's input, [N, h, w, C], and minus infinity."""
        found = self.encoder(canvases)
        return found, jnp.full_like(found, -jnp.inf)

    def decode(self, latents: jax.Array) -> jax.Array:
        """The decoder's input [N, h, w, C] to canvases [N, H, W, channels] in [-1, 1]."""
        return self.decoder(latents)

    @classmethod
    def reference_renames(cls, config: Mapping[str, Any]) -> list[Rename]:
        """Diffusers' names."""
        half, ours = r"(encoder|decoder)\.", r"\1.levels.\2.parts.\3"
        place = rf"{half}(?:down|up)_blocks\.(\d+)\.(\d+)\."
        scale = rf"{place}attn\.to_qkv_multiscale\.(\d+)\."
        our_scale = rf"{ours}.attention.scales.\4"
        return [
            *batch_norm(r"decoder\.norm_out", "decoder.norm"),
            *batch_norm(rf"{place}norm", rf"{ours}.norm"),
            *batch_norm(rf"{place}attn\.norm_out", rf"{ours}.attention.norm"),
            *batch_norm(rf"{place}conv_out\.norm", rf"{ours}.gated.norm"),
            Rename(rf"{scale}proj_in\.weight", rf"{our_scale}.conv.kernel", conv),
            Rename(rf"{scale}proj_out\.weight", rf"{our_scale}.kernel", _by_run),
            *renames(place, ours, _PARTS),
            *renames(half, r"\1", _ENDS),
        ]

    @classmethod
    def infer_config(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """As `Generator` has it; images of 1024 px, activations and shortcuts of published models.

        A level with batch norms has ReLU.
        """
        try:
            return _inferred(arrays)
        except (KeyError, IndexError, ValueError) as error:
            raise CheckpointError(f"no AutoencoderDC: {error} is missing or misshapen") from None

    @classmethod
    def reference_config(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Our configuration for diffusers'; widths and blocks are those of the file."""
        stored = autoencoder_of(stored, cls.reference_parts)
        levels = len(stored.get("decoder_block_out_channels", range(6)))

        def by_level(name: str, usual: str) -> list[str]:
            given = stored.get(name, usual)
            return [given] * levels if isinstance(given, str) else list(given)

        return {
            "head": stored.get("attention_head_dim", _HEAD),
            "decoder_norms": by_level("decoder_norm_types", "rms_norm"),
            "decoder_activations": by_level("decoder_act_fns", "silu"),
            "last_activation": stored.get("decoder_conv_act_fn", "relu"),
            "unshuffle": _shuffles(stored, "downsample_block_type", "pixel_unshuffle", "conv"),
            "shuffle": _shuffles(stored, "upsample_block_type", "pixel_shuffle", "interpolate"),
            "encoder_shortcut": stored.get("encoder_out_shortcut", True),
            "decoder_shortcut": stored.get("decoder_in_shortcut", True),
            **whitening({"scaling_factor": 1.0, **stored}),
        }


_PARTS: Layers = (
    *((name, name, conv) for name in ("conv1", "conv2", "conv")),
    (r"attn\.to_q", "attention.query", linear),
    (r"attn\.to_k", "attention.key", linear),
    (r"attn\.to_v", "attention.value", linear),
    (r"attn\.to_out", "attention.output", linear),
    (r"conv_out\.conv_inverted", "gated.widen", conv),
    (r"conv_out\.conv_depth", "gated.depth", conv),
    (r"conv_out\.conv_point", "gated.narrow", conv),
)
_ENDS: Layers = (
    ("conv_in", "input", conv),
    (r"conv_in\.conv", "input.conv", conv),
    ("conv_out", "output", conv),
    (r"conv_out\.conv", "output.conv", conv),
)


def _by_run(array: np.ndarray) -> np.ndarray:
    """A grouped convolution of one pixel [runs * out, in, 1, 1] as [runs, in, out]."""
    inner = array.shape[1]
    return array.reshape(-1, inner, inner).transpose(0, 2, 1)


def _inferred(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    widths, blocks, attention = _levels(arrays, "encoder.down_blocks")
    decoder_widths, decoder_blocks, decoder_attention = _levels(arrays, "decoder.up_blocks")
    batch = [
        any(name.startswith(f"decoder.up_blocks.{i}.") and "running" in name for name in arrays)
        for i in range(len(decoder_widths))
    ]
    heads = (a for n, a in arrays.items() if n.endswith("to_qkv_multiscale.0.proj_out.weight"))
    scales = {tuple(sizes) for sizes in (*attention, *decoder_attention) if sizes is not None}
    output = arrays.get("decoder.conv_out.weight")
    through = arrays["decoder.conv_out.conv.weight"] if output is None else output
    shuffle = _made(arrays, r"decoder\.up_blocks\.(\d+)\.0\.conv\.weight", decoder_widths) != 1
    pixels = 4 if output is None and shuffle else 1
    latent_channels = int(arrays["decoder.conv_in.weight"].shape[1])
    return {
        "image_size": 1024,
        "channels": int(through.shape[0]) // pixels,
        "latent_channels": latent_channels,
        "widths": widths,
        "decoder_widths": decoder_widths,
        "blocks": blocks,
        "decoder_blocks": decoder_blocks,
        "attention": attention,
        "decoder_attention": decoder_attention,
        "head": next((int(a.shape[1]) for a in heads), _HEAD),
        "decoder_norms": ["batch_norm" if is_batch else "rms_norm" for is_batch in batch],
        "decoder_activations": ["relu" if is_batch else "silu" for is_batch in batch],
        "unshuffle": _made(arrays, r"encoder\.down_blocks\.(\d+)\.\d+\.conv\.weight", widths[1:])
        != 1,
        "shuffle": shuffle,
        "latent_std": [_SANA_STD if scales == {(5,)} and latent_channels == 32 else 1.0],
    }


def _levels(
    arrays: Mapping[str, np.ndarray], half: str
) -> tuple[list[int], list[int], list[list[int] | None]]:
    """Widths, blocks and attention of the levels of a network."""
    widths: list[int] = []
    blocks: list[int] = []
    attention: list[list[int] | None] = []
    for i in range(count_places(arrays, rf"{re.escape(half)}\.(\d+)\.")):
        places = range(count_places(arrays, rf"{re.escape(half)}\.{i}\.(\d+)\."))
        own = [f"{half}.{i}.{p}." for p in places if f"{half}.{i}.{p}.conv.weight" not in arrays]
        blocks.append(len(own))
        query = arrays.get(f"{own[0]}attn.to_q.weight") if own else None
        if query is None:
            widths.append(int(arrays[f"{own[0]}conv1.weight"].shape[0]) if own else 0)
            attention.append(None)
            continue
        widths.append(int(query.shape[1]))
        scale = f"{own[0]}attn.to_qkv_multiscale."
        sizes = range(count_places(arrays, rf"{re.escape(scale)}(\d+)\."))
        attention.append([int(arrays[f"{scale}{k}.proj_in.weight"].shape[-1]) for k in sizes])
    if len(widths) < 2 or 0 in widths[1:]:
        raise KeyError(f"{half}.1.0")
    # The width of a level without blocks counts for nothing.
    return [widths[0] or widths[1], *widths[1:]], blocks, attention


def _made(arrays: Mapping[str, np.ndarray], pattern: str, outs: Sequence[int]) -> float:
    """How many channels a convolution between levels makes for each of the next level's.

    Where there is none, it says 0.
    """
    for name, array in arrays.items():
        if match := re.fullmatch(pattern, name):
            return array.shape[0] / outs[int(match[1])]
    return 0.0


def _scales(given: Scales) -> tuple[tuple[int, ...] | None, ...]:
    found = tuple(None if sizes is None else tuple(sizes) for sizes in given)
    for size in itertools.chain.from_iterable(sizes or () for sizes in found):
        if not isinstance(size, int) or size < 1 or size % 2 == 0:
            raise ValueError(f"attention asks convolutions of odd sizes, not {size!r}")
    return found


def _stages(
    count: int,
    widths: Sequence[int],
    blocks: Sequence[int],
    attention: Sequence[tuple[int, ...] | None],
    norms: Sequence[str] | None = None,
    activations: Sequence[str] | None = None,
) -> list[Stage]:
    """The levels of a network, once they are found to be so many and of sizes that can be."""
    norms = ("rms_norm",) * count if norms is None else norms
    activations = ("silu",) * count if activations is None else activations
    given = (widths, blocks, attention, norms, activations)
    if not 2 <= count <= _MOST or {len(values) for values in given} != {count}:
        counts = ", ".join(str(len(values)) for values in given)
        raise ValueError(
            "widths, blocks, attention, norms and activations must be of the same "
            f"2 to {_MOST} levels, not of {counts}"
        )
    if not all(isinstance(width, int) and width > 0 for width in widths):
        raise ValueError(f"widths must be numbers of channels, not {widths!r:.100}")
    if not all(isinstance(b, int) and 0 <= b <= _MOST for b in blocks) or 0 in blocks[1:]:
        raise ValueError(
            f"blocks must be 1 to {_MOST} a level, or none in the first, not {blocks!r:.100}"
        )
    return [Stage(*values) for values in zip(*given, strict=True)]


def _shuffles(stored: Mapping[str, Any], name: str, yes: str, no: str) -> bool:
    kind = str(stored.get(name, yes)).lower()  # SANA's says "Conv".
    _among(name, [kind], (yes, no))
    return kind == yes


def _among(name: str, given: Sequence[str], known: Any) -> None:
    for value in given:
        if value not in known:
            raise ValueError(f"{name} must be {' or '.join(known)}, not {value!r}")
