"""StyleGAN2's checkpoints in two families of names: their arrays, shapes and arguments, as ours.

NVIDIA's are those of NVlabs/stylegan2-ada-pytorch. The others are those of the reimplementation
rosinality/stylegan2-pytorch (model.py), whose network is the same with skips to the image:

- a convolution's kernel has a leading axis of one, and the constant input too;
- the mapping is a Sequential whose first layer, the norm of z, has no arrays;
- the filters are kept with their gain of 4, once for each layer;
- w has no running mean inside the network.

No code of either is taken.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jax_origin.checkpoints.arrays import LazyArray, LazyArrays
from jax_origin.checkpoints.rename import CheckpointError, Rename, conv, linear, weight_and_bias

FILTER = (1, 3, 3, 1)
MOST_LAYERS = 64  # of the mapping network; published ones have 2 or 8
# Arguments that change how the reference computes, not what.
_WITHOUT_EFFECT = {"num_fp16_res", "fp16_channels_last", "w_avg_beta", "epochs"}
_MEAN_STYLE = "latent_avg"  # what rosinality's converted files call the mean of w
_STYLES = 4096  # of which the mean is measured, as in rosinality's generate.py


def renames(sides: tuple[int, ...], *, mapping_layers: int, noise: bool) -> list[Rename]:
    """The table from either family's names to ours, for blocks of these sides, from 4 up."""
    theirs = _renames_of_rosinality(sides, mapping_layers, noise)
    return [*_renames_of_nvidia(sides, noise), *theirs]


def _renames_of_nvidia(sides: tuple[int, ...], noise: bool) -> list[Rename]:
    table = [
        Rename(r".*\.resample_filter", None),
        Rename(r"mapping\.w_avg", "mapping.w_avg"),
        *weight_and_bias(r"mapping\.embed", "mapping.embed", linear),
        *weight_and_bias(r"mapping\.fc(\d+)", r"mapping.layers.\1", linear),
        Rename(r"synthesis\.b4\.const", "const", _to_grid),
    ]
    for i, side in enumerate(sides):
        theirs, ours = rf"synthesis\.b{side}\.(conv0|conv1|torgb)", rf"blocks.{i}.\1"
        table += [
            *weight_and_bias(theirs, ours, conv),
            *weight_and_bias(theirs + r"\.affine", ours + ".affine", linear),
            Rename(theirs + r"\.noise_const", ours + ".noise" if noise else None),
            Rename(theirs + r"\.noise_strength", ours + ".noise_strength" if noise else None),
            Rename(rf"synthesis\.b{side}\.skip\.weight", f"blocks.{i}.skip.kernel", conv),
        ]
    return table


def _renames_of_rosinality(
    sides: tuple[int, ...], mapping_layers: int, noise: bool
) -> list[Rename]:
    table = [
        Rename(r"(?:.*\.)?(?:blur|upsample)\.kernel", None),
        Rename(_MEAN_STYLE, "mapping.w_avg", np.ravel),
        Rename(r"input\.input", "const", lambda array: _to_grid(_only(array))),
    ]
    for i in range(min(mapping_layers, MOST_LAYERS)):  # more are refused later, by `StyleGAN2`
        table += weight_and_bias(rf"style\.{i + 1}", f"mapping.layers.{i}", linear)
    # The first block has one convolution, each later one two.
    places = {"conv1": "blocks.0.conv1"}
    images = {"to_rgb1": "blocks.0.torgb"}
    for i in range(1, len(sides)):
        places[rf"convs\.{2 * i - 2}"] = f"blocks.{i}.conv0"
        places[rf"convs\.{2 * i - 1}"] = f"blocks.{i}.conv1"
        images[rf"to_rgbs\.{i - 1}"] = f"blocks.{i}.torgb"
    for theirs, ours in (places | images).items():
        table += [
            Rename(rf"{theirs}\.conv\.weight", f"{ours}.kernel", lambda array: conv(_only(array))),
            *weight_and_bias(rf"{theirs}\.conv\.modulation", f"{ours}.affine", linear),
        ]
    for i, (theirs, ours) in enumerate(places.items()):
        strength, stored = f"{ours}.noise_strength", f"{ours}.noise"
        table += [
            Rename(rf"{theirs}\.activate\.bias", f"{ours}.bias"),
            Rename(rf"{theirs}\.noise\.weight", strength if noise else None, _only),
            Rename(rf"noises\.noise_{i}", stored if noise else None, lambda a: _only(_only(a))),
        ]
    for theirs, ours in images.items():
        table.append(Rename(rf"{theirs}\.bias", f"{ours}.bias", np.ravel))
    return table


def config_of_arrays(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that names and shapes imply; the filters' values are checked, if there.

    Raises:
      CheckpointError: If an array that is needed is missing or misshapen, or a filter is another.
    """
    _check_filters(arrays)
    return _of_rosinality(arrays) if "input.input" in arrays else _of_nvidia(arrays)


def _shape(arrays: Mapping[str, Any], name: str, rank: int) -> tuple[int, ...]:
    if name not in arrays:
        raise CheckpointError(f"no StyleGAN2 generator: it has no {name}")
    found = tuple(arrays[name].shape)
    if len(found) != rank:
        raise CheckpointError(f"{name!r} has the wrong shape, {found}")
    return found


def _of_nvidia(arrays: Mapping[str, Any]) -> dict[str, Any]:
    blocks = {int(m[1]) for name in arrays if (m := re.match(r"synthesis\.b(\d+)\.", name))}
    sides = sorted(blocks | {4})
    layers = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in arrays)
    mapping_width, mapping_in = _shape(arrays, "mapping.fc0.weight", 2)
    (w_dim,) = _shape(arrays, "mapping.w_avg", 1)
    c_dim = embed_width = 0
    if "mapping.embed.weight" in arrays:
        embed_width, c_dim = _shape(arrays, "mapping.embed.weight", 2)
    if "synthesis.b4.torgb.weight" in arrays:
        architecture = "skip"
    else:
        resnet = any(name.endswith(".skip.weight") for name in arrays)
        architecture = "resnet" if resnet else "orig"
    return {
        "image_size": sides[-1],
        "widths": [_shape(arrays, f"synthesis.b{side}.conv1.weight", 4)[0] for side in sides],
        "channels": _shape(arrays, f"synthesis.b{sides[-1]}.torgb.weight", 4)[0],
        "z_dim": mapping_in - embed_width,
        "w_dim": w_dim,
        "c_dim": c_dim,
        "mapping_layers": layers,
        "mapping_width": mapping_width if layers > 1 else w_dim,
        "embed_width": embed_width or w_dim,
        "architecture": architecture,
        "noise_mode": "const" if "synthesis.b4.conv1.noise_const" in arrays else "none",
    }


def _of_rosinality(arrays: Mapping[str, Any]) -> dict[str, Any]:
    layers = sum(re.fullmatch(r"style\.\d+\.weight", name) is not None for name in arrays)
    convs = sum(re.fullmatch(r"convs\.\d+\.conv\.weight", name) is not None for name in arrays)
    mapping_width, z_dim = _shape(arrays, "style.1.weight", 2)
    (w_dim, _) = _shape(arrays, f"style.{layers}.weight", 2)
    last = ["conv1", *(f"convs.{i}" for i in range(1, convs, 2))]
    return {
        "image_size": 4 * 2 ** (len(last) - 1),
        "widths": [_shape(arrays, f"{name}.conv.weight", 5)[1] for name in last],
        "channels": _shape(arrays, "to_rgb1.conv.weight", 5)[1],
        "z_dim": z_dim,
        "w_dim": w_dim,
        "mapping_layers": layers,
        "mapping_width": mapping_width if layers > 1 else w_dim,
        "architecture": "skip",
        "noise_mode": "const" if "noises.noise_0" in arrays else "none",
    }


def with_mean_style(
    arrays: LazyArrays, beside: LazyArrays, config: Mapping[str, Any]
) -> LazyArrays:
    """The arrays with rosinality's ``latent_avg``, the mean of w: from `beside`, else measured."""
    if "input.input" not in arrays or _MEAN_STYLE in arrays:
        return arrays
    mean = beside.entries.get(_MEAN_STYLE) or LazyArray(
        (config["w_dim"],), np.dtype(np.float32), lambda: _mean_style(arrays, config)
    )
    return LazyArrays({**arrays.entries, _MEAN_STYLE: mean})


def _mean_style(arrays: LazyArrays, config: Mapping[str, Any]) -> np.ndarray:
    """The mean of w, float32 [w_dim]: of fixed z, and rounded, so that all machines agree."""
    x = np.random.default_rng(0).standard_normal((_STYLES, config["z_dim"]))
    x /= np.sqrt(np.mean(x**2, axis=1, keepdims=True) + 1e-8)
    rate = config.get("mapping_rate", 0.01)
    for i in range(1, config["mapping_layers"] + 1):
        weight = arrays[f"style.{i}.weight"].astype(np.float64)
        x = x @ (weight.T * (rate / np.sqrt(weight.shape[1]))) + arrays[f"style.{i}.bias"] * rate
        x = np.where(x < 0, 0.2 * x, x) * np.sqrt(2)
    return (np.round(x.mean(axis=0) * 4096) / 4096).astype(np.float32)


def config_of_arguments(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration in the ``init_kwargs`` of ``training.networks.Generator``.

    A CheckpointError says which is missing, unknown, or of a network that is not made here.
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
    network.finish()
    mapping.finish(activation="lrelu")
    synthesis.finish(activation="lrelu", kernel_size=3, resample_filter=list(FILTER))
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

    def finish(self, **required: Any) -> None:
        """Refuses other values than those required, and arguments that are unknown."""
        for name, value in required.items():
            found = self.left.pop(name, value)
            found = list(found) if isinstance(value, list) else found
            if found != value:
                reason = f"only {name}={value!r} is known, not {found!r}"
                raise CheckpointError(f"{self.where}: {reason}")
        unknown = sorted(set(self.left) - _WITHOUT_EFFECT)
        if unknown:
            raise CheckpointError(f"{self.where}: unknown arguments {', '.join(unknown)}")


def _check_filters(arrays: Mapping[str, Any]) -> None:
    taps = np.asarray(FILTER) / sum(FILTER)
    gains = {".resample_filter": 1, "blur.kernel": 4, "upsample.kernel": 4}
    for name, array in arrays.items():
        gain = next((gain for end, gain in gains.items() if name.endswith(end)), None)
        if gain is None:
            continue
        known = tuple(array.shape) == (4, 4)
        if known and isinstance(array, np.ndarray):
            known = np.allclose(array, gain * np.outer(taps, taps), atol=1e-4)
        if not known:
            raise CheckpointError(f"{name!r} is another filter than {list(FILTER)}")


def _to_grid(array: np.ndarray) -> np.ndarray:
    return array.transpose(1, 2, 0)


def _only(array: np.ndarray) -> np.ndarray:
    """The one entry along the first axis; a ValueError if there are more."""
    return array.reshape(array.shape[1:])
