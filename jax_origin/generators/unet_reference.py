"""Published U-Net files: their names, and the configuration that they store or imply.

Two families of names are read: diffusers' ``UNet2DModel`` (Apache-2.0; attention under old names
and new ones), and OpenAI's ``UNetModel`` of guided-diffusion and consistency_models (MIT).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jax_origin.checkpoints.rename import CheckpointError, Rename, conv, linear
from jax_origin.generators.reference_names import (
    Layers,
    count_places,
    linear_of_conv,
    named,
    renames,
)
from jax_origin.generators.unet import UNetConfig

_ENDS = {"input": conv, "time1": linear, "time2": linear, "norm": None, "output": conv}
_BLOCK = {"norm1": None, "conv1": conv, "embed": linear, "norm2": None, "conv2": conv}
_BLOCK["shortcut"] = conv
_ATTENTION = {"norm": None, "query": linear, "key": linear, "value": linear, "output": linear}
_DIFFUSERS_ENDS = named(
    _ENDS,
    *("conv_in", r"time_embedding\.linear_1", r"time_embedding\.linear_2"),
    *("conv_norm_out", "conv_out"),
)
_DIFFUSERS_BLOCK = named(
    _BLOCK, "norm1", "conv1", "time_emb_proj", "norm2", "conv2", "conv_shortcut"
)
_DIFFUSERS_ATTENTION = named(
    _ATTENTION,
    *("group_norm", "(?:to_q|query)", "(?:to_k|key)", "(?:to_v|value)"),
    r"(?:to_out\.0|proj_attn)",
)
_OPENAI_ENDS = named(
    _ENDS, r"input_blocks\.0\.0", r"time_embed\.0", r"time_embed\.2", r"out\.0", r"out\.2"
)
_OPENAI_BLOCK = named(
    _BLOCK,
    *(r"in_layers\.0", r"in_layers\.2", r"emb_layers\.1", r"out_layers\.0", r"out_layers\.3"),
    "skip_connection",
)
UNET_FIELDS = frozenset({"unet", "num_channels", "block_out_channels"})
"""A stored configuration with one of these entries is diffusers' or OpenAI's."""


def unet_renames(config: UNetConfig) -> list[Rename]:
    """The table from either family's names to those of `UNet`, held as ``unet``."""
    return [*_diffusers_renames(), *_openai_renames(config)]


def _diffusers_renames() -> list[Rename]:
    table = renames("", "unet", _DIFFUSERS_ENDS)
    table.append(Rename(r"class_embedding\.weight", "unet.labels.embedding"))
    places = (
        (r"(down|up)_blocks\.(\d+)\.", r"unet.\1.\2", r"\3"),
        (r"mid_block\.", "unet.middle", r"\1"),
    )
    for theirs, ours, index in places:
        block, attention = rf"{theirs}resnets\.(\d+)\.", rf"{theirs}attentions\.(\d+)\."
        table += renames(block, f"{ours}.blocks.{index}", _DIFFUSERS_BLOCK)
        table += renames(attention, f"{ours}.attentions.{index}", _DIFFUSERS_ATTENTION)
    resample = r"(down|up)_blocks\.(\d+)\.(?:down|up)samplers\.0\."
    table += renames(resample, r"unet.\1.\2.resample", (*_DIFFUSERS_BLOCK, ("conv", "conv", conv)))
    return table


def _openai_renames(config: UNetConfig) -> list[Rename]:
    table = renames("", "unet", _OPENAI_ENDS)
    table.append(Rename(r"label_emb\.weight", "unet.labels.embedding"))

    def block(theirs: str, ours: str, index: int, level: int) -> list[Rename]:
        lines = renames(rf"{theirs}0\.", f"{ours}.blocks.{index}", _OPENAI_BLOCK)
        if level in config.attention:
            place, width = f"{ours}.attentions.{index}", config.widths[level]
            lines += _openai_attention(rf"{theirs}1\.", place, config, width)
        return lines

    last = len(config.widths) - 1
    for level in range(last + 1):
        for i in range(config.blocks):
            place = rf"input_blocks\.{1 + level * (config.blocks + 1) + i}\."
            table += block(place, f"unet.down.{level}", i, level)
        if level < last:
            place = rf"input_blocks\.{(level + 1) * (config.blocks + 1)}\.0\."
            layers = (*_OPENAI_BLOCK, ("op", "conv", conv))
            table += renames(place, f"unet.down.{level}.resample", layers)
    width = config.widths[-1]
    table += renames(r"middle_block\.0\.", "unet.middle.blocks.0", _OPENAI_BLOCK)
    table += _openai_attention(r"middle_block\.1\.", "unet.middle.attentions.0", config, width)
    table += renames(r"middle_block\.2\.", "unet.middle.blocks.1", _OPENAI_BLOCK)
    for step, level in enumerate(reversed(range(last + 1))):
        for i in range(config.blocks + 1):
            place = rf"output_blocks\.{step * (config.blocks + 1) + i}\."
            table += block(place, f"unet.up.{step}", i, level)
        if level:
            within = 1 + (level in config.attention)
            place = rf"output_blocks\.{(step + 1) * (config.blocks + 1) - 1}\.{within}\."
            layers = (*_OPENAI_BLOCK, ("conv", "conv", conv))
            table += renames(place, f"unet.up.{step}.resample", layers)
    return table


def _openai_attention(theirs: str, ours: str, config: UNetConfig, width: int) -> list[Rename]:
    """One array holds queries, keys and values: as [3, heads, size], or as [heads, 3, size]."""
    heads = config.heads if config.head_channels is None else width // config.head_channels

    def by_part(array: np.ndarray) -> np.ndarray:
        if not config.heads_outermost:
            return array
        parts = array.reshape(heads, 3, -1, *array.shape[1:])
        return parts.swapaxes(0, 1).reshape(array.shape)

    def kernel(array: np.ndarray) -> np.ndarray:
        return linear_of_conv(by_part(array))

    qkv = ("query", "key", "value")
    layers: Layers = (("norm", "norm", None), ("proj_out", "output", linear_of_conv))
    return [
        *renames(theirs, ours, layers),
        Rename(theirs + r"qkv\.weight", tuple(f"{ours}.{name}.kernel" for name in qkv), kernel),
        Rename(theirs + r"qkv\.bias", tuple(f"{ours}.{name}.bias" for name in qkv), by_part),
    ]


def infer_unet(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The options of `UNetConfig` that a file's names and shapes imply.

    The rest is as published. OpenAI's names, and diffusers' with resampling in residual blocks,
    have heads of 64 channels and norms of 32 groups. Diffusers' others follow Google's
    ddpm-cifar10-32: one head, epsilon 1e-6, padding below and right, sines before cosines.

    Raises:
      CheckpointError: If it is neither family's file.
    """
    try:
        if "conv_in.weight" in arrays:
            return _infer_diffusers(arrays)
        if "input_blocks.0.0.weight" in arrays:
            return _infer_openai(arrays)
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(f"no whole U-Net: {error} is missing or misshapen") from None
    raise CheckpointError("no U-Net: it has neither conv_in.weight nor input_blocks.0.0.weight")


def _infer_diffusers(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    levels = range(count_places(arrays, r"down_blocks\.(\d+)\."))
    widths = [arrays[f"down_blocks.{i}.resnets.0.conv1.weight"].shape[0] for i in levels]
    resnet = "down_blocks.0.downsamplers.0.conv1.weight" in arrays
    # Without a norm, the middle's attention is that of diffusers' scale_shift.
    norm = "mid_block.attentions.0.group_norm.weight" in arrays
    options = {
        **_infer_ends(arrays, "conv_in", "conv_out", "class_embedding"),
        **_infer_embedding(
            arrays["time_embedding.linear_1.weight"],
            arrays["down_blocks.0.resnets.0.time_emb_proj.weight"],
            widths,
        ),
        "widths": widths,
        "blocks": count_places(arrays, r"down_blocks\.0\.resnets\.(\d+)\."),
        "attention": [
            i for i in levels if count_places(arrays, rf"down_blocks\.{i}\.attentions\.(\d+)")
        ],
        "resample": "resnet" if resnet else "conv",
        "middle_attention": count_places(arrays, r"mid_block\.attentions\.(\d+)") > 0,
        "middle_norm_groups": 32 if norm else None,
    }
    if resnet:
        return {**options, "head_channels": 64}
    google = {"norm_epsilon": 1e-6, "flip_sin_to_cos": False, "freq_shift": 1.0}
    return {**options, **google, "downsample_padding": 0}


def _infer_openai(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    blocks = _openai_blocks(arrays)
    levels = range(count_places(arrays, r"output_blocks\.(\d+)\.") // (blocks + 1))
    first = [f"input_blocks.{1 + i * (blocks + 1)}" for i in levels]  # a level's first place
    widths = [arrays[f"{place}.0.in_layers.2.weight"].shape[0] for place in first]
    resnet = f"input_blocks.{blocks + 1}.0.in_layers.2.weight" in arrays
    return {
        **_infer_ends(arrays, "input_blocks.0.0", "out.2", "label_emb"),
        **_infer_embedding(
            arrays["time_embed.0.weight"], arrays["input_blocks.1.0.emb_layers.1.weight"], widths
        ),
        "widths": widths,
        "blocks": blocks,
        "attention": [i for i in levels if f"{first[i]}.1.qkv.weight" in arrays],
        "resample": "resnet" if resnet else "conv",
        "head_channels": 64,
    }


def _openai_blocks(arrays: Mapping[str, np.ndarray]) -> int:
    """Blocks a level: the way up has one more, and an upsampling in the last place of a level."""
    places = count_places(arrays, r"output_blocks\.(\d+)\.")
    for i in range(places):
        last = count_places(arrays, rf"output_blocks\.{i}\.(\d+)\.") - 1
        if last > 0 and f"output_blocks.{i}.{last}.qkv.weight" not in arrays:
            return i
    return places - 1


def _infer_ends(
    arrays: Mapping[str, np.ndarray], first: str, last: str, labels: str
) -> dict[str, Any]:
    table = arrays.get(f"{labels}.weight")
    return {
        "in_channels": arrays[f"{first}.weight"].shape[1],
        "out_channels": arrays[f"{last}.weight"].shape[0],
        "classes": None if table is None else table.shape[0],
    }


def _infer_embedding(time: np.ndarray, block: np.ndarray, widths: list[int]) -> dict[str, Any]:
    embedding, features = time.shape
    return {
        "time_channels": features,
        "embedding_channels": embedding,
        "scale_shift": block.shape[0] == 2 * widths[0],
    }


def stored_size(size: Any) -> dict[str, int]:
    """The image_size of a stored configuration, a side or two; nothing where it has none."""
    return {} if size is None else {"image_size": size if isinstance(size, int) else size[0]}


def unet_of_diffusers(stored: Mapping[str, Any]) -> UNetConfig:
    """The architecture in a ``UNet2DModel``'s config.json; a ValueError names what is unknown."""
    known: dict[str, tuple[Any, ...]] = {
        "time_embedding_type": ("positional",),
        "act_fn": ("silu", "swish"),
        "center_input_sample": (False,),
        "class_embed_type": (None,),
        "mid_block_type": ("UNetMidBlock2D",),
        "resnet_time_scale_shift": ("default", "scale_shift"),
    }
    for name, values in known.items():
        found = stored.get(name, values[0])
        if found not in values:
            raise ValueError(f"U-Net with {name}={found!r} is not read here, only {values}")
    down = _block_types(stored, "down", "AttnDownBlock2D", "DownBlock2D", "ResnetDownsampleBlock2D")
    up = _block_types(stored, "up", "AttnUpBlock2D", "UpBlock2D", "ResnetUpsampleBlock2D")
    if down != up[::-1]:
        raise ValueError("U-Net whose up_block_types do not mirror its down_block_types")
    resample = {kind for attention, kind in down[:-1]} or {"conv"}
    if len(resample) > 1:
        raise ValueError("U-Net that resamples in two ways; only one is read here")
    widths = stored["block_out_channels"]
    scale_shift = stored.get("resnet_time_scale_shift", "default") == "scale_shift"
    groups = stored.get("norm_num_groups", 32)
    middle_groups = stored.get("attn_norm_num_groups")
    if middle_groups is None and not scale_shift:
        middle_groups = groups
    return UNetConfig(
        widths=widths,
        blocks=stored.get("layers_per_block", 2),
        attention=tuple(i for i, (attention, _) in enumerate(down) if attention),
        in_channels=stored.get("in_channels", 3),
        out_channels=stored.get("out_channels", 3),
        classes=stored.get("num_class_embeds"),
        resample=resample.pop(),
        downsample_padding=stored.get("downsample_padding", 1),
        scale_shift=scale_shift,
        head_channels=stored.get("attention_head_dim", 8),
        norm_groups=groups,
        norm_epsilon=stored.get("norm_eps", 1e-5),
        middle_attention=stored.get("add_attention", True),
        middle_norm_groups=middle_groups,
        middle_divisor=float(stored.get("mid_block_scale_factor", 1)),
        time_channels=widths[0],
        embedding_channels=stored.get("time_embedding_dim") or 4 * widths[0],
        flip_sin_to_cos=stored.get("flip_sin_to_cos", True),
        freq_shift=float(stored.get("freq_shift", 0)),
    )


def _block_types(
    stored: Mapping[str, Any], way: str, attention: str, plain: str, resnet: str
) -> list[tuple[bool, str]]:
    """Whether each block of a way has attention, and how it resamples."""
    by_type = stored.get(f"{way}sample_type", "conv")
    kinds = {attention: (True, by_type), plain: (False, "conv"), resnet: (False, "resnet")}
    types = stored.get(f"{way}_block_types", ())
    for name in types:
        if name not in kinds:
            raise ValueError(f"U-Net with a {name} is not read here, only {', '.join(kinds)}")
    return [kinds[name] for name in types]


def unet_of_openai(stored: Mapping[str, Any], *, heads_outermost: bool) -> UNetConfig:
    """The architecture that the arguments of OpenAI's ``create_model`` describe.

    A ValueError says what is not built here. `heads_outermost` is as `UNetConfig` has it.
    """
    size, width = stored["image_size"], stored["num_channels"]
    factors = stored.get("channel_mult") or _CHANNEL_MULT.get(size)
    if factors is None:
        raise ValueError(f"U-Net of {size} px without channel_mult")
    if isinstance(factors, str):
        factors = [float(factor) for factor in factors.split(",")]
    resolutions = str(stored.get("attention_resolutions", "16")).split(",")
    rates = {size // int(resolution) for resolution in resolutions}
    heads, head_channels = stored.get("num_heads", 1), stored.get("num_head_channels", -1)
    if head_channels == -1 and stored.get("num_heads_upsample", -1) not in (-1, heads):
        raise ValueError("U-Net with another num_heads on the way up is not read here")
    return UNetConfig(
        widths=tuple(int(factor * width) for factor in factors),
        blocks=stored.get("num_res_blocks", 2),
        attention=tuple(i for i in range(len(factors)) if 2**i in rates),
        out_channels=6 if stored.get("learn_sigma", False) else 3,
        classes=1000 if stored.get("class_cond", False) else None,
        resample="resnet" if stored.get("resblock_updown", False) else "conv",
        scale_shift=stored.get("use_scale_shift_norm", False),
        head_channels=None if head_channels == -1 else head_channels,
        heads=heads,
        time_channels=width,
        embedding_channels=4 * width,
        heads_outermost=heads_outermost,
    )


_CHANNEL_MULT: dict[int, tuple[float, ...]] = {
    512: (0.5, 1, 1, 2, 2, 4, 4),
    256: (1, 1, 2, 2, 4, 4),
    128: (1, 1, 2, 3, 4),
    64: (1, 2, 3, 4),
}
