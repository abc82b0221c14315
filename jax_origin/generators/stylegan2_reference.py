"""Checkpoints of NVlabs/stylegan2-ada-pytorch: names, shapes and stored arguments, as ours."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jax_origin.checkpoints.rename import CheckpointError, Rename, conv, linear

FILTER = (1, 3, 3, 1)
# Arguments that change how the reference computes, not what.
_WITHOUT_EFFECT = {"num_fp16_res", "fp16_channels_last", "w_avg_beta", "epochs"}


def renames(sides: tuple[int, ...], *, noise: bool) -> list[Rename]:
    """The table from the reference's names to ours.

    Args:
      sides: Sides of the blocks, from 4 up.
      noise: Whether the fixed noise is kept.
    """
    table = [
        Rename(r".*\.resample_filter", None),
        Rename(r"mapping\.w_avg", "mapping.w_avg"),
        Rename(r"mapping\.embed\.weight", "mapping.embed.kernel", linear),
        Rename(r"mapping\.embed\.bias", "mapping.embed.bias"),
        Rename(r"mapping\.fc(\d+)\.weight", r"mapping.layers.\1.kernel", linear),
        Rename(r"mapping\.fc(\d+)\.bias", r"mapping.layers.\1.bias"),
        Rename(r"synthesis\.b4\.const", "const", _to_grid),
    ]
    for i, side in enumerate(sides):
        theirs, ours = rf"synthesis\.b{side}\.(conv0|conv1|torgb)", rf"blocks.{i}.\1"
        table += [
            Rename(theirs + r"\.weight", ours + ".kernel", conv),
            Rename(theirs + r"\.bias", ours + ".bias"),
            Rename(theirs + r"\.affine\.weight", ours + ".affine.kernel", linear),
            Rename(theirs + r"\.affine\.bias", ours + ".affine.bias"),
            Rename(theirs + r"\.noise_const", ours + ".noise" if noise else None),
            Rename(theirs + r"\.noise_strength", ours + ".noise_strength" if noise else None),
            Rename(rf"synthesis\.b{side}\.skip\.weight", f"blocks.{i}.skip.kernel", conv),
        ]
    return table


def config_of_arrays(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that names and shapes imply; the filters' values are checked, if there.

    Args:
      arrays: The reference's arrays, or anything that has their shapes.

    Raises:
      CheckpointError: If an array that is needed is missing or misshapen, or a filter is another.
    """

    def shape(name: str, rank: int) -> tuple[int, ...]:
        if name not in arrays:
            raise CheckpointError(f"no StyleGAN2 generator: it has no {name}")
        found = tuple(arrays[name].shape)
        if len(found) != rank:
            raise CheckpointError(f"{name!r} has the wrong shape, {found}")
        return found

    _check_filters(arrays)
    blocks = {int(m[1]) for name in arrays if (m := re.match(r"synthesis\.b(\d+)\.", name))}
    sides = sorted(blocks | {4})
    layers = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in arrays)
    mapping_width, mapping_in = shape("mapping.fc0.weight", 2)
    (w_dim,) = shape("mapping.w_avg", 1)
    c_dim = embed_width = 0
    if "mapping.embed.weight" in arrays:
        embed_width, c_dim = shape("mapping.embed.weight", 2)
    if "synthesis.b4.torgb.weight" in arrays:
        architecture = "skip"
    else:
        resnet = any(name.endswith(".skip.weight") for name in arrays)
        architecture = "resnet" if resnet else "orig"
    return {
        "image_size": sides[-1],
        "widths": [shape(f"synthesis.b{side}.conv1.weight", 4)[0] for side in sides],
        "channels": shape(f"synthesis.b{sides[-1]}.torgb.weight", 4)[0],
        "z_dim": mapping_in - embed_width,
        "w_dim": w_dim,
        "c_dim": c_dim,
        "mapping_layers": layers,
        "mapping_width": mapping_width if layers > 1 else w_dim,
        "embed_width": embed_width or w_dim,
        "architecture": architecture,
        "noise_mode": "const" if "synthesis.b4.conv1.noise_const" in arrays else "none",
    }


def config_of_arguments(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that the network's stored arguments say.

    Args:
      stored: The ``init_kwargs`` of ``training.networks.Generator``.

    Raises:
      CheckpointError: If one is missing, unknown, or of a network that is not made here.
    """
    network = _Arguments("generator", stored)
    mapping = _Arguments("mapping_kwargs", network.take("mapping_kwargs", {}))
    synthesis = _Arguments("synthesis_kwargs", network.take("synthesis_kwargs", {}))
    side, w_dim = network.take("img_resolution"), network.take("w_dim")
    base, most = synthesis.take("channel_base", 32768), synthesis.take("channel_max", 512)
    config = {
        "image_size": side,
        "widths": [min(int(base) // 2**i, most) for i in range(2, int(side).bit_length())],
        "channels": network.take("img_channels"),
        "z_dim": network.take("z_dim"),
        "w_dim": w_dim,
        "c_dim": network.take("c_dim"),
        "mapping_layers": mapping.take("num_layers", 8),
        "mapping_width": mapping.take("layer_features", None) or w_dim,
        "embed_width": mapping.take("embed_features", None) or w_dim,
        "mapping_rate": mapping.take("lr_multiplier", 0.01),
        "architecture": synthesis.take("architecture", "skip"),
        "noise_mode": "const" if synthesis.take("use_noise", True) else "none",
        "conv_clamp": synthesis.take("conv_clamp", None),
    }
    mapping.require("activation", "lrelu")
    synthesis.require("activation", "lrelu")
    synthesis.require("kernel_size", 3)
    synthesis.require("resample_filter", list(FILTER))
    for arguments in (network, mapping, synthesis):
        arguments.finish()
    return config


class _Arguments:
    """Stored arguments, each taken once; what is left over is unknown."""

    def __init__(self, where: str, stored: Mapping[str, Any]):
        self.where = where
        self.left = dict(stored)

    def take(self, name: str, *default: Any) -> Any:
        if name not in self.left and not default:
            raise CheckpointError(f"no StyleGAN2 generator: its arguments lack {name}")
        return self.left.pop(name, *default)

    def require(self, name: str, value: Any) -> None:
        found = self.left.pop(name, value)
        if isinstance(value, list):
            found = list(found)
        if found != value:
            raise CheckpointError(f"{self.where}: only {name}={value!r} is known, not {found!r}")

    def finish(self) -> None:
        unknown = sorted(set(self.left) - _WITHOUT_EFFECT)
        if unknown:
            raise CheckpointError(f"{self.where}: unknown arguments {', '.join(unknown)}")


def _check_filters(arrays: Mapping[str, Any]) -> None:
    taps = np.asarray(FILTER) / sum(FILTER)
    for name, array in arrays.items():
        if not name.endswith(".resample_filter"):
            continue
        known = tuple(array.shape) == (4, 4)
        if known and isinstance(array, np.ndarray):
            known = np.allclose(array, np.outer(taps, taps), atol=1e-4)
        if not known:
            raise CheckpointError(f"{name!r} is another filter than {list(FILTER)}")


def _to_grid(array: np.ndarray) -> np.ndarray:
    return array.transpose(1, 2, 0)
