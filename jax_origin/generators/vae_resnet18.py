"""The ResNet-18 variational autoencoder of Lightning Bolts; its decoder generates."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_origin.checkpoints.rename import (
    CheckpointError,
    Rename,
    batch_norm,
    conv,
    linear,
    linear_to_grid,
    weight_and_bias,
)
from jax_origin.generators.base import SquareGenerator
from jax_origin.generators.blocks import clip_straight_through, pytorch_batch_norm

# Mean and deviation of the pixels, by the name of the data that Lightning Bolts trains on
# (pl_bolts/transforms/dataset_normalizations.py).
_CIFAR10 = ((125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255))
_NORMALISATIONS = {
    "cifar10": _CIFAR10,
    "stl10": ((0.43, 0.42, 0.39), (0.27, 0.26, 0.27)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
_CONSTRUCTOR_NAMES = {"input_height": "image_size"} | {
    name: name for name in ("latent_dim", "first_conv", "maxpool1")
}


class ResNetVAE(SquareGenerator):
    """A ResNet-18 to a Gaussian latent, and the same network turned round back to an image.

    It is the VAE of Lightning-Universe/lightning-bolts (pl_bolts/models/autoencoders/basic_vae;
    Apache-2.0), whose checkpoint ``cifar10-resnet18`` RONAN inverts. It learned normalised images:
    a decoder's output times `std` plus `mean` lies in [0, 1]. RONAN (ZhentingWang/RONAN,
    inference_models.py) draws latents from N(0, I), uses CIFAR-10's statistics, which are the
    defaults here, and clamps; this class clips likewise, but lets the gradient pass.

    Args:
      image_size: Side of the image (``input_height``): a multiple of 8, of 16 with one of
        `first_conv` and `maxpool1`, of 32 with both.
      latent_dim: Length of the latent vector.
      width: Channels of the outermost hidden stage; 64 in the reference.
      first_conv: Whether the encoder begins with a 7x7 convolution of stride 2, and the decoder
        doubles its grid at the end.
      maxpool1: Whether the encoder goes on with max-pooling of stride 2, and the decoder's last
        stage doubles its grid.
      mean: What was subtracted from images in [0, 1], one number for each of the three channels.
      std: What they were divided by then; above 0.
      rngs: Keys for the initial weights.
    """

    kind: ClassVar[str] = "vae_resnet18"
    arguments = ("image_size", "latent_dim", "width", "first_conv", "maxpool1", "mean", "std")
    channels = 3
    reference_fields: ClassVar[frozenset[str]] = frozenset({"latent_dim", "input_height"})

    def __init__(
        self,
        *,
        image_size: int = 32,
        latent_dim: int = 256,
        width: int = 64,
        first_conv: bool = False,
        maxpool1: bool = False,
        mean: Sequence[float] = _CIFAR10[0],
        std: Sequence[float] = _CIFAR10[1],
        rngs: nnx.Rngs,
    ):
        factor = 8 * (2 if first_conv else 1) * (2 if maxpool1 else 1)
        if not isinstance(image_size, int) or image_size < factor or image_size % factor:
            raise ValueError(f"image_size must be a multiple of {factor}, not {image_size!r}")
        self.image_size = image_size
        self.latent_dim = latent_dim
        self.width = width
        self.first_conv = bool(first_conv)
        self.maxpool1 = bool(maxpool1)
        self.mean = _three(mean, "mean")
        self.std = _three(std, "std")
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, not {self.std}")
        resize = {"first_conv": first_conv, "maxpool1": maxpool1}
        self.encoder = _Encoder(width, **resize, rngs=rngs)
        self.fc_mu = nnx.Linear(8 * width, latent_dim, rngs=rngs)
        self.fc_var = nnx.Linear(8 * width, latent_dim, rngs=rngs)
        grid = image_size // factor
        self.decoder = _Decoder(latent_dim, width, grid=grid, **resize, rngs=rngs)

    def posterior(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Images [N, H, W, 3] in [0, 1] to the latent's mean and log variance, [N, latent_dim]."""
        mean, std = self._statistics(images.dtype)
        x = self.encoder((images - mean) / std)
        return self.fc_mu(x), self.fc_var(x)

    def encode(self, images: jax.Array) -> jax.Array:
        """The posterior's mean, [N, latent_dim]."""
        return self.posterior(images)[0]

    def __call__(self, latents: jax.Array) -> jax.Array:
        """Latents [N, latent_dim] to images [N, H, W, 3] in [0, 1]."""
        x = self.decoder(latents)
        mean, std = self._statistics(x.dtype)
        return clip_straight_through(x * std + mean)

    def _statistics(self, dtype: Any) -> tuple[jax.Array, jax.Array]:
        mean, std = jnp.array([self.mean, self.std], dtype).reshape(2, 1, 1, 1, 3)
        return mean, std

    @classmethod
    def reference_renames(cls, config: Mapping[str, Any]) -> list[Rename]:
        """Lightning Bolts' names: ``encoder.layer1.0.conv1.weight``, ``fc_mu.weight``, ..."""
        layers = r"((?:en|de)coder\.(?:layer[1-4]\.[01]\.)?{})"
        # Where a decoder's stage doubles the grid, its convolutions come second in a Sequential.
        resized = r"(?:\.1)?"
        shortcut = r"((?:en|de)coder\.layer[1-4]\.0)\.(?:down|up)sample\.{}"
        table = [
            Rename(layers.format("conv[12]") + resized + r"\.weight", r"\1.kernel", conv),
            Rename(shortcut.format("0") + resized + r"\.weight", r"\1.shortcut.conv.kernel", conv),
            *weight_and_bias(r"(fc_(?:mu|var))", r"\1", linear),
            Rename(r"decoder\.linear\.weight", "decoder.linear.kernel", linear_to_grid(4)),
            Rename(r"decoder\.linear\.bias", "decoder.linear.bias", linear_to_grid(4)),
        ]
        norms = {layers.format("bn[12]"): r"\1", shortcut.format("1"): r"\1.shortcut.bn"}
        for theirs, ours in norms.items():
            table += batch_norm(theirs, ours)
        return table

    @classmethod
    def infer_config(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """As `Generator` has it; `image_size`, `mean` and `std` keep their defaults."""
        if "encoder.layer1.0.conv3.weight" in arrays:
            raise CheckpointError("a VAE on ResNet-50; only the one on ResNet-18 is read")
        stem, project = arrays.get("encoder.conv1.weight"), arrays.get("decoder.linear.weight")
        if stem is None or project is None or stem.ndim != 4 or project.ndim != 2:
            names = "encoder.conv1.weight or no decoder.linear.weight"
            raise CheckpointError(f"no ResNet VAE: it has no {names}")
        return {
            "latent_dim": project.shape[1],
            "width": stem.shape[0],
            "first_conv": stem.shape[-1] == 7,
            "maxpool1": "decoder.layer4.0.upsample.0.1.weight" in arrays,
        }

    @classmethod
    def reference_config(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The part of the configuration that Lightning's ``hyper_parameters`` tell.

        `dataset`, which the reference's command line leaves there, gives `mean` and `std`.

        Raises:
          CheckpointError: If the network was another than ResNet-18.
        """
        encoder = stored.get("enc_type", "resnet18")
        if encoder != "resnet18":
            raise CheckpointError(f"a VAE with enc_type {encoder!r}; only 'resnet18' is read")
        config = {ours: stored[name] for name, ours in _CONSTRUCTOR_NAMES.items() if name in stored}
        statistics = _NORMALISATIONS.get(str(stored.get("dataset")))
        if statistics is not None:
            config["mean"], config["std"] = map(list, statistics)
        return config


class _Encoder(nnx.Module):
    def __init__(self, width: int, *, first_conv: bool, maxpool1: bool, rngs: nnx.Rngs):
        self.maxpool1 = maxpool1
        size, strides = (7, 2) if first_conv else (3, 1)
        self.conv1 = _conv(3, width, size, strides=strides, rngs=rngs)
        self.bn1 = pytorch_batch_norm(width, rngs=rngs)
        self.layer1 = _layer(width, width, width, rngs=rngs)
        self.layer2 = _layer(width, 2 * width, 2 * width, strides=2, rngs=rngs)
        self.layer3 = _layer(2 * width, 4 * width, 4 * width, strides=2, rngs=rngs)
        self.layer4 = _layer(4 * width, 8 * width, 8 * width, strides=2, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalised images [N, H, W, 3] to features [N, 8 * width]."""
        x = nnx.relu(self.bn1(self.conv1(x)))
        if self.maxpool1:
            x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        return _through(self, x).mean(axis=(1, 2))


class _Decoder(nnx.Module):
    def __init__(
        self,
        latent_dim: int,
        width: int,
        *,
        grid: int,
        first_conv: bool,
        maxpool1: bool,
        rngs: nnx.Rngs,
    ):
        self.grid = grid
        self.first_conv = first_conv
        self.linear = nnx.Linear(latent_dim, 4 * 4 * 8 * width, rngs=rngs)
        self.layer1 = _layer(8 * width, 8 * width, 4 * width, scale=2, rngs=rngs)
        self.layer2 = _layer(4 * width, 4 * width, 2 * width, scale=2, rngs=rngs)
        self.layer3 = _layer(2 * width, 2 * width, width, scale=2, rngs=rngs)
        self.layer4 = _layer(width, width, width, scale=2 if maxpool1 else 1, rngs=rngs)
        self.conv1 = _conv(width, 3, 3, rngs=rngs)

    def __call__(self, latents: jax.Array) -> jax.Array:
        """Latents [N, latent_dim] to normalised images [N, H, W, 3]."""
        x = self.linear(latents).reshape(latents.shape[0], 4, 4, -1)
        if self.grid != 4:
            nearest = np.arange(self.grid) * 4 // self.grid
            x = x[:, nearest][:, :, nearest]
        return self.conv1(_repeat(_through(self, x), 2 if self.first_conv else 1))


class _Block(nnx.Module):
    """Two convolutions beside a shortcut; strides halve the grid, a scale doubles it."""

    def __init__(
        self, ins: int, inner: int, outs: int, *, strides: int, scale: int, rngs: nnx.Rngs
    ):
        self.scale = scale
        self.conv1 = _conv(ins, inner, 3, strides=strides, rngs=rngs)
        self.bn1 = pytorch_batch_norm(inner, rngs=rngs)
        self.conv2 = _conv(inner, outs, 3, rngs=rngs)
        self.bn2 = pytorch_batch_norm(outs, rngs=rngs)
        changes = strides != 1 or scale != 1 or ins != outs
        self.shortcut = _Shortcut(ins, outs, strides, rngs=rngs) if changes else None

    def __call__(self, x: jax.Array) -> jax.Array:
        # A 1x1 convolution before the pixels are repeated gives what it would give after.
        identity = _repeat(self.shortcut(x), self.scale) if self.shortcut else x
        x = nnx.relu(self.bn1(self.conv1(x)))
        return nnx.relu(self.bn2(self.conv2(_repeat(x, self.scale))) + identity)


class _Shortcut(nnx.Module):
    def __init__(self, ins: int, outs: int, strides: int, *, rngs: nnx.Rngs):
        self.conv = _conv(ins, outs, 1, strides=strides, rngs=rngs)
        self.bn = pytorch_batch_norm(outs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.bn(self.conv(x))


def _through(network: Any, x: jax.Array) -> jax.Array:
    for i in range(1, 5):
        for block in getattr(network, f"layer{i}"):
            x = block(x)
    return x


def _layer(
    ins: int, inner: int, outs: int, *, strides: int = 1, scale: int = 1, rngs: nnx.Rngs
) -> nnx.List:
    first = _Block(ins, inner, outs, strides=strides, scale=scale, rngs=rngs)
    return nnx.List([first, _Block(outs, outs, outs, strides=1, scale=1, rngs=rngs)])


def _conv(ins: int, outs: int, size: int, *, strides: int = 1, rngs: nnx.Rngs) -> nnx.Conv:
    return nnx.Conv(
        ins, outs, (size, size), strides=strides, padding=size // 2, use_bias=False, rngs=rngs
    )


def _repeat(x: jax.Array, scale: int) -> jax.Array:
    """Repeats each pixel of [N, H, W, C] along both sides (the reference's Interpolate)."""
    return x if scale == 1 else jnp.repeat(jnp.repeat(x, scale, axis=1), scale, axis=2)


def _three(values: Sequence[float], name: str) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if len(numbers) != 3 or not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be three finite numbers, not {values!r}")
    return numbers
