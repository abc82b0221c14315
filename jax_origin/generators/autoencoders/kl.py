"""AutoencoderKL (Rombach et al., CVPR 2022): Stable Diffusion, SDXL, SD 3, FLUX.1 and FLUX.2."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_origin.checkpoints.rename import Rename
from jax_origin.generators.autoencoders.base import (
    Autoencoder,
    Numbers,
    autoencoder_of,
    whitening,
)
from jax_origin.generators.autoencoders.kl_blocks import Decoder, Encoder
from jax_origin.generators.autoencoders.kl_reference import (
    autoencoder_of_diffusers,
    autoencoder_renames,
    infer_autoencoder,
)
from jax_origin.generators.convolution import Conv

# What a file of weights alone does not say: of 4 channels SD's factor, of 16 FLUX.1's.
_WHITENING = {
    4: {"latent_std": [1 / 0.18215]},
    16: {"latent_mean": [0.1159], "latent_std": [1 / 0.3611]},
}
_BATCH_NORM_EPSILON = 1e-4


class AutoencoderKL(Autoencoder):
    """diffusers' ``AutoencoderKL`` and ``AutoencoderKLFlux2`` (Apache-2.0), on any size.

    Args:
      image_size: As `Autoencoder`, like the other arguments that it has.
      latent_channels: Channels of a latent.
      widths: Channels of each level, the full resolution first; each level halves the size.
      decoder_widths: Those of the decoder; None for the same.
      blocks: Residual blocks of a level of the encoder; the decoder has one more.
      groups: Groups of each norm.
      attention: The levels of the encoder with attention, 0 the full resolution.
      decoder_attention: Those of the decoder.
      middle_attention: Whether the middle has attention.
      quant: Whether the encoder ends in a convolution of one pixel.
      post_quant: Whether the decoder begins with one.
      channels: Image channels.
      margin: Pixels around the image.
      phase: Where in a cell the image begins.
      latent_mean: The latents' mean; FLUX.2's file holds it in a batch norm.
      latent_std: The latents' deviation. A file of weights alone does not say it: SD's is taken
        for 4 channels, FLUX.1's for 16. It sets where a search begins, not what can be made.
      rngs: Keys for the initial weights.
    """

    kind: ClassVar[str] = "autoencoder_kl"
    reference_classes: ClassVar[frozenset[str]] = frozenset({"AutoencoderKL", "AutoencoderKLFlux2"})
    arguments = (
        *("widths", "decoder_widths", "blocks", "groups"),
        *("attention", "decoder_attention", "middle_attention"),
    )

    def __init__(
        self,
        *,
        image_size: int | Sequence[int] = 512,
        latent_channels: int = 4,
        widths: Sequence[int] = (128, 256, 512, 512),
        decoder_widths: Sequence[int] | None = None,
        blocks: int = 2,
        groups: int = 32,
        attention: Sequence[int] = (),
        decoder_attention: Sequence[int] = (),
        middle_attention: bool = True,
        quant: bool = True,
        post_quant: bool = True,
        channels: int = 3,
        margin: int = 0,
        phase: Sequence[int] = (0, 0),
        latent_mean: Numbers = 0.0,
        latent_std: Numbers = 1.0,
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
        if len(self.widths) != len(self.decoder_widths):
            raise ValueError(
                f"decoder_widths are {len(self.decoder_widths)}, not {len(self.widths)}"
            )
        self.blocks, self.groups, self.middle_attention = blocks, groups, middle_attention
        self.attention, self.decoder_attention = tuple(attention), tuple(decoder_attention)
        self.quant: Conv | None = _pixel_conv(2 * latent_channels, rngs) if quant else None
        self.post_quant: Conv | None = _pixel_conv(latent_channels, rngs) if post_quant else None
        shared: dict[str, Any] = {"groups": groups, "middle_attention": middle_attention}
        self.encoder = Encoder(
            *(channels, 2 * latent_channels),
            widths=self.widths,
            blocks=blocks,
            attention=self.attention,
            **shared,
            rngs=rngs,
        )
        self.decoder = Decoder(
            *(latent_channels, channels),
            widths=self.decoder_widths,
            blocks=blocks + 1,
            attention=self.decoder_attention,
            **shared,
            rngs=rngs,
        )

    @property
    def factor(self) -> int:
        """Pixels along the side of a latent's cell: 8 with four levels."""
        return 2 ** (len(self.widths) - 1)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON."""
        quants = {name: getattr(self, name) is not None for name in ("quant", "post_quant")}
        return {**super().config, **quants}

    def posterior(self, canvases: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Canvases in [-1, 1] to mean and log variance of the decoder's input, [N, h, w, C]."""
        moments = self.encoder(canvases)
        if self.quant is not None:
            moments = self.quant(moments)
        mean, log_variance = jnp.split(moments, 2, axis=-1)
        return mean, jnp.clip(log_variance, -30.0, 20.0)

    def decode(self, latents: jax.Array) -> jax.Array:
        """The decoder's input [N, h, w, C] to canvases [N, H, W, channels] in [-1, 1]."""
        features = latents if self.post_quant is None else self.post_quant(latents)
        return self.decoder(features, features)

    @classmethod
    def reference_renames(cls, config: Mapping[str, Any]) -> list[Rename]:
        """Diffusers' names, and CompVis's."""
        return autoencoder_renames(len(config["widths"]))

    @classmethod
    def infer_config(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """As `Generator` has it; images of 512 px."""
        found = infer_autoencoder(arrays)
        channels = found["latent_channels"]
        found |= {"image_size": 512, **_WHITENING.get(channels, {})}
        found |= {"quant": "quant_conv.weight" in arrays}
        found |= {"post_quant": "post_quant_conv.weight" in arrays}
        if "bn.running_mean" in arrays:
            deviation = np.sqrt(arrays["bn.running_var"].astype(np.float64) + _BATCH_NORM_EPSILON)
            found["latent_mean"] = _by_cell(arrays["bn.running_mean"], channels)
            found["latent_std"] = _by_cell(deviation, channels)
        return found

    @classmethod
    def reference_config(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Our configuration for diffusers'."""
        stored = autoencoder_of(stored, cls.reference_parts)
        found = autoencoder_of_diffusers(stored)
        return {**found, "blocks": stored.get("layers_per_block", 1), **whitening(stored)}


def _pixel_conv(channels: int, rngs: nnx.Rngs) -> Conv:
    return Conv(channels, channels, 1, rngs=rngs)


def _by_cell(numbers: np.ndarray, channels: int) -> list[float]:
    """FLUX.2's numbers by channel and place in a square of cells, in our order: place, channel."""
    side = round((numbers.size / channels) ** 0.5)
    return numbers.reshape(channels, side, side).transpose(1, 2, 0).ravel().tolist()
