"""DCGAN's generator (Radford, Metz, Chintala; ICLR 2016), as in PyTorch's examples."""

import itertools
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_origin.checkpoints.rename import CheckpointError, Rename, batch_norm, transposed_conv
from jax_origin.generators.base import Generator
from jax_origin.generators.blocks import (
    Projection,
    TransposedConv,
    clip_straight_through,
    stages_to_4x4,
)


class _Stage(nnx.Module):
    def __init__(self, conv: nnx.Module, features: int, *, rngs: nnx.Rngs):
        self.conv = conv
        self.norm = nnx.BatchNorm(features, momentum=0.9, epsilon=1e-5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(self.norm(self.conv(x)))


class DCGAN(Generator):
    """Transposed convolutions from a latent vector to an image; no bias, batch norm, tanh.

    With ``image_size=64`` it is the generator of pytorch/examples/dcgan (``netG``); with
    ``output_size=32`` beside it, the one that RONAN inverts, whose 64 px image is halved. With
    ``image_size=32`` it has one stage fewer, and the same narrowest width.

    Args:
      image_size: Side of the image that the network makes: 4 times a power of two, at least 8.
      latent_dim: Length of the latent vector.
      width: Channels of the last hidden stage (``ngf``); each stage before has twice as many.
      channels: Image channels.
      output_size: Side to which the image is resized, bilinear without antialiasing (that is
        torchvision's ``Resize`` of tensors before 0.17); None leaves it.
      rngs: Keys for the initial weights, drawn as in the reference (normal, deviation 0.02).
    """

    kind: ClassVar[str] = "dcgan"

    def __init__(
        self,
        *,
        image_size: int = 64,
        latent_dim: int = 100,
        width: int = 64,
        channels: int = 3,
        output_size: int | None = None,
        rngs: nnx.Rngs,
    ):
        depth = stages_to_4x4(image_size)
        if output_size is not None and (not isinstance(output_size, int) or output_size < 1):
            raise ValueError(f"output_size must be at least 1, or None, not {output_size!r}")
        self.image_size = image_size
        self.latent_dim = latent_dim
        self.width = width
        self.channels = channels
        self.output_size = output_size
        features = [width * 2 ** (depth - 1 - i) for i in range(depth)]
        layers: list[nnx.Module] = [Projection(latent_dim, features[0], rngs=rngs)]
        layers += [TransposedConv(i, o, rngs=rngs) for i, o in itertools.pairwise(features)]
        self.stages = nnx.List(
            [_Stage(layer, size, rngs=rngs) for layer, size in zip(layers, features, strict=True)]
        )
        self.output = TransposedConv(features[-1], channels, rngs=rngs)

    @property
    def config(self) -> dict[str, Any]:
        """The arguments that make this architecture."""
        return {
            "image_size": self.image_size,
            "latent_dim": self.latent_dim,
            "width": self.width,
            "channels": self.channels,
            "output_size": self.output_size,
        }

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(latent_dim,)."""
        return (self.latent_dim,)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        side = self.output_size or self.image_size
        return (side, side, self.channels)

    def __call__(self, latents: jax.Array) -> jax.Array:
        """Latents [N, latent_dim] to images [N, H, W, C] in [0, 1]."""
        x = latents
        for stage in self.stages:
            x = stage(x)
        images = clip_straight_through(jnp.tanh(self.output(x)) / 2 + 0.5)
        if self.output_size:
            shape = (images.shape[0], *self.image_shape)
            images = jax.image.resize(images, shape, "bilinear", antialias=False)
        return images

    @classmethod
    def reference_renames(cls, config: Mapping[str, Any]) -> list[Rename]:
        """``main.0.weight`` and so on, the names of PyTorch's examples.

        Saved from inside DataParallel they begin with ``module.``.
        """
        depth = stages_to_4x4(config.get("image_size", 64))
        main = r"(?:module\.)?main"
        table = [Rename(rf"{main}\.{3 * depth}\.weight", "output.kernel", transposed_conv)]
        for i in range(depth):
            kernel = rf"{main}\.{3 * i}\.weight"
            table.append(Rename(kernel, f"stages.{i}.conv.kernel", transposed_conv))
            table += batch_norm(rf"{main}\.{3 * i + 1}", f"stages.{i}.norm")
        return table

    @classmethod
    def infer_config(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The configuration that a reference checkpoint's shapes imply."""
        kernels = {
            int(match[1]): array.shape
            for name, array in arrays.items()
            if (match := re.fullmatch(r"(?:module\.)?main\.(\d+)\.weight", name))
            and array.ndim == 4
        }
        order = sorted(kernels)
        if len(order) < 2:
            raise CheckpointError("no DCGAN generator: it has no main.0.weight, main.3.weight, ...")
        return {
            "image_size": 4 * 2 ** (len(order) - 1),
            "latent_dim": kernels[order[0]][0],
            "width": kernels[order[-1]][0],
            "channels": kernels[order[-1]][1],
        }
