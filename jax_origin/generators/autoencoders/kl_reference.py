"""Published files of `AutoencoderKL` and `VQModel`: their names, and what names and shapes imply.

Two families of names are read: diffusers' (Apache-2.0; attention under old names and new ones), and
CompVis's (MIT), which Stability's single files and FLUX's ``ae.safetensors`` have as well.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jax_origin.checkpoints.rename import CheckpointError, Rename, conv, weight_and_bias
from jax_origin.generators.reference_names import (
    Layers,
    count_places,
    linear_of_conv,
    named,
    renames,
)

_BLOCK = {"norm1": None, "conv1": conv, "norm2": None, "conv2": conv, "shortcut": conv}
_ATTENTION = {"norm": None} | dict.fromkeys(
    (f"pixels.{name}" for name in ("query", "key", "value", "output")), linear_of_conv
)
_ENDS = {"input": conv, "norm": None, "output": conv}
_DIFFUSERS_BLOCK = named(_BLOCK, "norm1", "conv1", "norm2", "conv2", "conv_shortcut")
_DIFFUSERS_ATTENTION = named(
    _ATTENTION,
    *("(?:group_norm|spatial_norm)", "(?:to_q|query)", "(?:to_k|key)", "(?:to_v|value)"),
    r"(?:to_out\.0|proj_attn)",
)
_COMPVIS_BLOCK = named(_BLOCK, "norm1", "conv1", "norm2", "conv2", "nin_shortcut")
_COMPVIS_ATTENTION = named(_ATTENTION, "norm", "q", "k", "v", "proj_out")
_ENDS_OF_BOTH = named(_ENDS, "conv_in", "(?:conv_norm_out|norm_out)", "conv_out")
_RESAMPLE: Layers = (("conv", "conv", conv),)


def autoencoder_renames(levels: int) -> list[Rename]:
    """The table from either family's names, for a decoder of so many levels."""
    half, place = r"(encoder|decoder)\.", r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\."
    table = [
        *weight_and_bias("quant_conv", "quant", conv),
        *weight_and_bias("post_quant_conv", "post_quant", conv),
        Rename(r"(?:loss|bn|model_ema)\..*", None),
        *_lines(half, r"\1", _ENDS_OF_BOTH),
        *_lines(rf"{place}resnets\.(\d+)\.", r"\1.\2.\3.blocks.\4", _DIFFUSERS_BLOCK),
        *_lines(rf"{place}attentions\.(\d+)\.", r"\1.\2.\3.attentions.\4", _DIFFUSERS_ATTENTION),
        *_lines(rf"{place}(?:down|up)samplers\.0\.", r"\1.\2.\3.resample", _RESAMPLE),
        *_lines(rf"{half}mid_block\.resnets\.(\d+)\.", r"\1.middle.blocks.\2", _DIFFUSERS_BLOCK),
        *_lines(
            rf"{half}mid_block\.attentions\.0\.", r"\1.middle.attentions.0", _DIFFUSERS_ATTENTION
        ),
        *_lines(rf"{half}mid\.attn_1\.", r"\1.middle.attentions.0", _COMPVIS_ATTENTION),
    ]
    for i in range(2):
        table += _lines(rf"{half}mid\.block_{i + 1}\.", rf"\1.middle.blocks.{i}", _COMPVIS_BLOCK)
    for i in range(levels):  # CompVis counts the decoder's levels from the full resolution.
        for theirs, ours in ((f"encoder.down.{i}", i), (f"decoder.up.{i}", levels - 1 - i)):
            way = theirs.rpartition(".")[0]
            table += _lines(
                rf"{theirs}\.block\.(\d+)\.", rf"{way}.{ours}.blocks.\1", _COMPVIS_BLOCK
            )
            table += _lines(
                rf"{theirs}\.attn\.(\d+)\.", rf"{way}.{ours}.attentions.\1", _COMPVIS_ATTENTION
            )
            table += _lines(rf"{theirs}\.(?:down|up)sample\.", f"{way}.{ours}.resample", _RESAMPLE)
    return table


def infer_autoencoder(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The options that a file's names and shapes imply.

    Raises:
      CheckpointError: If it is neither family's file.
    """
    if "encoder.conv_in.weight" not in arrays or "decoder.conv_in.weight" not in arrays:
        raise CheckpointError(
            "no autoencoder: it has no encoder.conv_in.weight or no decoder.conv_in.weight"
        )
    try:
        diffusers = "encoder.down_blocks.0.resnets.0.conv1.weight" in arrays
        down, up = ("down_blocks", "up_blocks") if diffusers else ("down", "up")
        block, attention = ("resnets", "attentions") if diffusers else ("block", "attn")
        levels = range(count_places(arrays, rf"encoder\.{down}\.(\d+)\."))

        def widths(way: str) -> list[int]:
            return [int(arrays[f"{way}.{i}.{block}.0.conv1.weight"].shape[0]) for i in levels]

        def attends(way: str) -> list[int]:
            return [
                i
                for i in levels
                if f"{way}.{i}.{attention}.0.norm.weight" in arrays
                or f"{way}.{i}.{attention}.0.group_norm.weight" in arrays
                or f"{way}.{i}.{attention}.0.spatial_norm.conv_y.weight" in arrays
                or f"{way}.{i}.{attention}.0.norm.conv_y.weight" in arrays
            ]

        decoder, decoder_attention = widths(f"decoder.{up}"), attends(f"decoder.{up}")
        if diffusers:
            decoder = decoder[::-1]
            decoder_attention = [len(levels) - 1 - i for i in decoder_attention][::-1]
        middle = any(
            name.startswith(("encoder.mid_block.attentions", "encoder.mid.attn_1"))
            for name in arrays
        )
        return {
            "channels": int(arrays["encoder.conv_in.weight"].shape[1]),
            "latent_channels": int(arrays["decoder.conv_in.weight"].shape[1]),
            "widths": widths(f"encoder.{down}"),
            "decoder_widths": decoder,
            "blocks": count_places(arrays, rf"encoder\.{down}\.0\.{block}\.(\d+)\."),
            "attention": attends(f"encoder.{down}"),
            "decoder_attention": decoder_attention,
            "middle_attention": middle,
        }
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(f"no whole autoencoder: {error} is missing or misshapen") from None


def autoencoder_of_diffusers(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The options in a config.json; a ValueError names what is unknown."""
    down = _attends(stored, "down_block_types", "AttnDownEncoderBlock2D", "DownEncoderBlock2D")
    up = _attends(stored, "up_block_types", "AttnUpDecoderBlock2D", "UpDecoderBlock2D")
    if stored.get("act_fn", "silu") not in ("silu", "swish"):
        raise ValueError(
            f"autoencoder with act_fn={stored['act_fn']!r} is not read here, only silu"
        )
    widths = list(stored.get("block_out_channels", (64,)))
    if not len(down) == len(up) == len(widths):
        raise ValueError("autoencoder whose block types and block_out_channels differ in number")
    return {
        "channels": stored.get("in_channels", 3),
        "widths": widths,
        "decoder_widths": list(stored.get("decoder_block_out_channels") or widths),
        "groups": stored.get("norm_num_groups", 32),
        "attention": [i for i, attends in enumerate(down) if attends],
        "decoder_attention": [i for i, attends in enumerate(up[::-1]) if attends],
        "middle_attention": stored.get("mid_block_add_attention", True),
    }


def _attends(stored: Mapping[str, Any], name: str, attention: str, plain: str) -> list[bool]:
    kinds = {attention: True, plain: False}
    types = stored.get(name, (plain,))
    for kind in types:
        if kind not in kinds:
            raise ValueError(f"autoencoder with a {kind} is not read here, only {', '.join(kinds)}")
    return [kinds[kind] for kind in types]


def _lines(theirs: str, ours: str, layers: Layers) -> list[Rename]:
    """The lines for layers, whose norms may be `SpatialNorm`."""
    table = renames(theirs, ours, layers)
    for name, part, layout in layers:
        if layout is None:
            inner: Layers = (
                ("norm_layer", "norm", None),
                ("conv_y", "scale", conv),
                ("conv_b", "shift", conv),
            )
            table += renames(rf"{theirs}{name}\.", f"{ours}.{part}", inner)
    return table
