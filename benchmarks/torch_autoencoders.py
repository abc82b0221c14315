"""LatentTracer's recipe in PyTorch, on the zoo's own autoencoders: what `origin-latent` is beside.

Wang et al., "How to Trace Latent Generative Model Generated Images without Artificial Watermark?",
ICML 2024. From the encoder's mean, 100 steps of Adam at 0.05 on the mean squared error. The rate is
halved after the first and after every fiftieth. The lowest loss is kept. The network is diffusers'.
"""

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.torch_recipes import TorchRecipe, torch_device
from jax_origin.checkpoints import write_safetensors
from jax_origin.generators import AutoencoderKL, GeneratorLike
from jax_origin.generators.base import flat_weights
from jax_origin.generators.convert import read_reference

_RATE, _HALVED = 0.05, 50


class TorchLatentTracer(TorchRecipe):
    """The recipe, one image at a time or in batches.

    Args:
      generator: A `jax_origin.generators.AutoencoderKL`.
      device: PyTorch's name of the device.

    Raises:
      TypeError: If the generator is another one.
    """

    def __init__(self, generator: GeneratorLike, *, device: str = "cpu"):
        super().__init__(device)
        self._model: Any = diffusers_autoencoder(generator).to(device)

    def start(self, images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        """The encoder's means."""
        del draws
        with torch.no_grad():
            means: torch.Tensor = self._model.encode(2 * images - 1).latent_dist.mean
        return means

    def render(self, latents: torch.Tensor) -> torch.Tensor:
        """The decoder's images, clipped."""
        made: torch.Tensor = self._model.decode(latents).sample
        return (made / 2 + 0.5).clamp(0, 1)

    def rate(self, step: int) -> float:
        """Halved after the first step, and after every fiftieth."""
        return _RATE * 0.5 ** ((step + _HALVED - 1) // _HALVED)


def make_peer(generator: GeneratorLike) -> TorchLatentTracer:
    """The recipe for an autoencoder, on the kind of device that JAX uses.

    Raises:
      TypeError: If there is no PyTorch counterpart of it.
    """
    return TorchLatentTracer(generator, device=torch_device())


def diffusers_autoencoder(generator: GeneratorLike) -> nn.Module:
    """The same autoencoder as diffusers has it, with the same weights, frozen.

    Diffusers' arrays are filled with the numbers of their places. Read as a checkpoint, these say
    which of our weights belongs where.

    Raises:
      TypeError: If the generator is no `AutoencoderKL`.
    """
    if not isinstance(generator, AutoencoderKL):
        raise TypeError(f"there is no PyTorch counterpart of {type(generator).__name__}")
    import diffusers

    config = _diffusers_config(generator.config)
    model: Any = diffusers.AutoencoderKL(**config)
    arrays = {name: np.array(value) for name, value in model.state_dict().items()}
    numbered: dict[str, NDArray[np.float32]] = {}
    first = 0
    for name, array in arrays.items():
        places = np.arange(first, first + array.size, dtype=np.float32)
        numbered[name] = places.reshape(array.shape)
        first += array.size
    if first > 2**24:
        raise TypeError(f"{first:,} weights are too many to be numbered in float32")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "numbered.safetensors"
        write_safetensors(path, numbered)
        read = read_reference(path, AutoencoderKL, config=generator.config).arrays
        where = {name: np.asarray(read[name]).astype(int) for name in read}
    flat = np.zeros(first, np.float32)
    for name, weights in flat_weights(generator).items():
        flat[where[name].ravel()] = np.asarray(weights).ravel()
    filled = {name: torch.from_numpy(flat[each.astype(int)]) for name, each in numbered.items()}
    model.load_state_dict(filled)
    made: nn.Module = model.eval().requires_grad_(False)
    return made


def _diffusers_config(ours: Mapping[str, Any]) -> dict[str, Any]:
    levels = len(ours["widths"])
    return {
        "block_out_channels": ours["widths"],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": ours["blocks"],
        "latent_channels": ours["latent_channels"],
        "norm_num_groups": ours["groups"],
        "mid_block_add_attention": ours["middle_attention"],
        "use_quant_conv": ours["quant"],
        "use_post_quant_conv": ours["post_quant"],
    }
