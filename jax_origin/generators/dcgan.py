"""DCGAN's generator (Radford, Metz, Chintala; ICLR 2016), as in PyTorch's examples."""

import itertools
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_origin.checkpoints.arrays import LazyArray, LazyArrays
from jax_origin.checkpoints.rename import (
    CheckpointError,
    Rename,
    batch_norm,
    transposed_conv,
    weight_and_bias,
)
from jax_origin.generators.base import SquareGenerator
from jax_origin.generators.blocks import (
    ConvNormRelu,
    Projection,
    TransposedConv,
    clip_straight_through,
    stages_to_4x4,
)


class DCGAN(SquareGenerator):
    """Transposed convolutions from a latent vector to an image, with batch norm, ReLU and tanh.

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
      bias: Whether the transposed convolutions have biases; those of PyTorch's example have none.
      rngs: Keys for the initial weights, drawn as in the reference (normal, deviation 0.02).
    """

    kind: ClassVar[str] = "dcgan"
    arguments = ("image_size", "latent_dim", "width", "channels", "output_size")
    reference_sequential: ClassVar[str] = "main"

    def __init__(
        self,
        *,
        image_size: int = 64,
        latent_dim: int = 100,
        width: int = 64,
        channels: int = 3,
        output_size: int | None = None,
        bias: bool = False,
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
        self.bias = bool(bias)
        features = [width * 2 ** (depth - 1 - i) for i in range(depth)]
        layers: list[nnx.Module] = [Projection(latent_dim, features[0], bias=bias, rngs=rngs)]
        layers += [
            TransposedConv(i, o, bias=bias, rngs=rngs) for i, o in itertools.pairwise(features)
        ]
        self.stages = nnx.List(
            [ConvNormRelu(layer, o, rngs=rngs) for layer, o in zip(layers, features, strict=True)]
        )
        self.output = TransposedConv(features[-1], channels, bias=bias, rngs=rngs)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON."""
        # Without biases there is no entry: such fingerprints stay as they were.
        return {**super().config, **({"bias": True} if self.bias else {})}

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
        """``main.0.weight`` and so on, the names of PyTorch's examples."""
        depth = stages_to_4x4(config.get("image_size", 64))
        convs = {3 * i: f"stages.{i}.conv" for i in range(depth)} | {3 * depth: "output"}
        table: list[Rename] = []
        for place, ours in convs.items():
            table += weight_and_bias(rf"main\.{place}", ours, transposed_conv)
        for i in range(depth):
            table += batch_norm(rf"main\.{3 * i + 1}", f"stages.{i}.norm")
        return table

    @classmethod
    def infer_config(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """As `Generator` has it."""
        kernels = _kernels({name: array.shape for name, array in arrays.items()})
        order = sorted(kernels)
        if len(order) < 2:
            raise CheckpointError("no DCGAN generator: it has no main.0.weight, main.3.weight, ...")
        first, last = kernels[order[0]], kernels[order[-1]]
        config = {
            "image_size": 4 * 2 ** (len(order) - 1),
            "latent_dim": first[0],
            "width": last[0],
            "channels": last[1],
        }
        biased = any(f"main.{place}.bias" in arrays for place in order)
        return {**config, "bias": True} if biased else config

    @classmethod
    def complete_reference(
        cls, arrays: LazyArrays, beside: LazyArrays, config: Mapping[str, Any]
    ) -> LazyArrays:
        """The arrays, with biases of zero where only some layers have one."""
        if not config.get("bias"):
            return arrays
        kernels = _kernels(arrays.shapes)
        zeros = {f"main.{place}.bias": _zeros(shape[1]) for place, shape in kernels.items()}
        return LazyArrays({**zeros, **arrays.entries})


def _kernels(shapes: Mapping[str, tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """The shapes of the convolutions' kernels, by their place in the Sequential."""
    places = {name: re.fullmatch(r"main\.(\d{1,9})\.weight", name) for name in shapes}
    return {int(m[1]): shapes[name] for name, m in places.items() if m and len(shapes[name]) == 4}


def _zeros(size: int) -> LazyArray:
    return LazyArray((size,), np.dtype(np.float32), lambda: np.zeros(size, np.float32))
