"""A convolutional variational autoencoder (Kingma, Welling; ICLR 2014); its decoder generates."""

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import numpy as np
from flax import nnx

from jax_origin.checkpoints.rename import (
    CheckpointError,
    Rename,
    batch_norm,
    conv,
    linear_from_grid,
    linear_to_grid,
    transposed_conv,
    weight_and_bias,
)
from jax_origin.generators.base import SquareGenerator
from jax_origin.generators.blocks import (
    ConvNormRelu,
    NormReluUp,
    clip_straight_through,
    stages_to_4x4,
)


class VAE(SquareGenerator):
    """Strided convolutions down to a 4x4 grid, a Gaussian latent, transposed convolutions back.

    In PyTorch's terms a stage of the encoder is ``Conv2d(4, 2, 1, bias=False)``, ``BatchNorm2d``,
    ``ReLU``; one of the decoder is ``BatchNorm2d``, ``ReLU``, ``ConvTranspose2d(4, 2, 1,
    bias=False)``, and a sigmoid ends it.

    Args:
      image_size: Side of the image: 4 times a power of two, at least 8.
      latent_dim: Length of the latent vector.
      width: Channels of the outermost hidden stage; each stage inwards has twice as many.
      channels: Image channels.
      rngs: Keys for the initial weights.
    """

    kind: ClassVar[str] = "vae"
    arguments = ("image_size", "latent_dim", "width", "channels")

    def __init__(
        self,
        *,
        image_size: int = 32,
        latent_dim: int = 64,
        width: int = 48,
        channels: int = 3,
        rngs: nnx.Rngs,
    ):
        depth = stages_to_4x4(image_size)
        self.image_size = image_size
        self.latent_dim = latent_dim
        self.width = width
        self.channels = channels
        sizes = [channels, *(width * 2**i for i in range(depth))]
        pairs = list(itertools.pairwise(sizes))
        grid = 16 * sizes[-1]
        self.encoder = nnx.List([_down(i, o, rngs=rngs) for i, o in pairs])
        self.mean = nnx.Linear(grid, latent_dim, rngs=rngs)
        self.log_variance = nnx.Linear(grid, latent_dim, rngs=rngs)
        self.project = nnx.Linear(latent_dim, grid, rngs=rngs)
        self.decoder = nnx.List([NormReluUp(o, i, rngs=rngs) for i, o in reversed(pairs)])

    def posterior(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Images [N, H, W, C] to the latent's mean and log variance, [N, latent_dim] each."""
        x = images
        for stage in self.encoder:
            x = stage(x)
        x = x.reshape(x.shape[0], -1)
        return self.mean(x), self.log_variance(x)

    def encode(self, images: jax.Array) -> jax.Array:
        """The posterior's mean, [N, latent_dim]."""
        return self.posterior(images)[0]

    def __call__(self, latents: jax.Array) -> jax.Array:
        """Latents [N, latent_dim] to images [N, H, W, C] in [0, 1]."""
        x = self.project(latents).reshape(latents.shape[0], 4, 4, -1)
        for stage in self.decoder:
            x = stage(x)
        return clip_straight_through(nnx.sigmoid(x))

    @classmethod
    def reference_renames(cls, config: Mapping[str, Any]) -> list[Rename]:
        """Names of the same network in PyTorch: ``encoder.0.weight``, ``mean.weight``, ..."""
        depth = stages_to_4x4(config.get("image_size", 32))
        table = [
            *weight_and_bias(r"(mean|log_variance)", r"\1", linear_from_grid(4)),
            Rename(r"project\.weight", "project.kernel", linear_to_grid(4)),
            Rename(r"project\.bias", "project.bias", linear_to_grid(4)),
        ]
        for i in range(depth):
            table += [
                Rename(rf"encoder\.{3 * i}\.weight", f"encoder.{i}.conv.kernel", conv),
                Rename(
                    rf"decoder\.{3 * i + 2}\.weight", f"decoder.{i}.conv.kernel", transposed_conv
                ),
                *batch_norm(rf"encoder\.{3 * i + 1}", f"encoder.{i}.norm"),
                *batch_norm(rf"decoder\.{3 * i}", f"decoder.{i}.norm"),
            ]
        return table

    @classmethod
    def infer_config(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """As `Generator` has it."""
        names = [k for k, v in arrays.items() if k.startswith("encoder.") and v.ndim == 4]
        project = arrays.get("project.weight")
        if "encoder.0.weight" not in names or project is None or project.ndim != 2:
            raise CheckpointError("no VAE: it has no encoder.0.weight or no project.weight")
        width, channels = arrays["encoder.0.weight"].shape[:2]
        return {
            "image_size": 4 * 2 ** len(names),
            "latent_dim": project.shape[1],
            "width": width,
            "channels": channels,
        }


def _down(ins: int, outs: int, *, rngs: nnx.Rngs) -> ConvNormRelu:
    conv = nnx.Conv(ins, outs, (4, 4), strides=2, padding=1, use_bias=False, rngs=rngs)
    return ConvNormRelu(conv, outs, rngs=rngs)
