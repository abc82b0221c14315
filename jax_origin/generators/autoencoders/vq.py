"""Autoencoders with a codebook: VQGAN (Esser et al., CVPR 2021) and MoVQ (Zheng et al., 2022)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_origin.checkpoints.rename import CheckpointError, Rename
from jax_origin.generators.autoencoders.base import Autoencoder, Numbers, autoencoder_of
from jax_origin.generators.autoencoders.kl_blocks import Decoder, Encoder
from jax_origin.generators.autoencoders.kl_reference import (
    autoencoder_of_diffusers,
    autoencoder_renames,
    infer_autoencoder,
)
from jax_origin.generators.convolution import Conv


class VQModel(Autoencoder):
    """diffusers' ``VQModel`` (Apache-2.0): VQ-Diffusion, Kandinsky 2, Amused.

    A latent is what the decoder takes, any vector for each cell. Those of images that the model
    made lie in the codebook, since they are `quantised`; a search may leave it.

    Args:
      image_size: As `Autoencoder`, like the other arguments that it has.
      latent_channels: Channels of a latent, those of the codebook's vectors.
      codes: Vectors in the codebook.
      features: Channels between the networks and the convolutions of one pixel; None for
        `latent_channels`.
      widths: Channels of each level, the full resolution first; each level halves the size.
      decoder_widths: Those of the decoder; None for the same.
      blocks: Residual blocks of a level of the encoder; the decoder has one more.
      groups: Groups of each norm.
      attention: The levels of the encoder with attention, 0 the full resolution.
      decoder_attention: Those of the decoder.
      middle_attention: Whether the middle has attention.
      spatial: Whether the decoder's norms heed the latents, as MoVQ's do.
      channels: Image channels.
      margin: Pixels around the image.
      phase: Where in a cell the image begins.
      latent_mean: The latents' mean.
      latent_std: The latents' deviation.
      rngs: Keys for the initial weights.
    """

    kind: ClassVar[str] = "vq_model"
    reference_parts: ClassVar[tuple[str, ...]] = ("vqvae", "movq", "vae")
    reference_classes: ClassVar[frozenset[str]] = frozenset({"VQModel"})
    reference_fields: ClassVar[frozenset[str]] = frozenset(
        {"vqvae", "movq", "num_vq_embeddings", "latent_channels"}
    )
    arguments = (
        *("codes", "features", "widths", "decoder_widths", "blocks", "groups"),
        *("attention", "decoder_attention", "middle_attention", "spatial"),
    )

    def __init__(
        self,
        *,
        image_size: int | Sequence[int] = 256,
        latent_channels: int = 4,
        codes: int,
        features: int | None = None,
        widths: Sequence[int] = (128, 256, 256, 512),
        decoder_widths: Sequence[int] | None = None,
        blocks: int = 2,
        groups: int = 32,
        attention: Sequence[int] = (),
        decoder_attention: Sequence[int] = (),
        middle_attention: bool = True,
        spatial: bool = False,
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
        self.codes, self.features = codes, latent_channels if features is None else features
        self.widths = tuple(widths)
        self.decoder_widths = self.widths if decoder_widths is None else tuple(decoder_widths)
        if len(self.widths) != len(self.decoder_widths):
            raise ValueError(
                f"decoder_widths are {len(self.decoder_widths)}, not {len(self.widths)}"
            )
        if spatial and self.features != latent_channels:
            raise ValueError(f"spatial norms need features={latent_channels}, not {features}")
        self.blocks, self.groups, self.middle_attention = blocks, groups, middle_attention
        self.attention, self.decoder_attention = tuple(attention), tuple(decoder_attention)
        self.spatial = spatial
        shared: dict[str, Any] = {"groups": groups, "middle_attention": middle_attention}
        self.encoder = Encoder(
            *(channels, self.features),
            widths=self.widths,
            blocks=blocks,
            attention=self.attention,
            **shared,
            rngs=rngs,
        )
        self.decoder = Decoder(
            *(self.features, channels),
            widths=self.decoder_widths,
            blocks=blocks + 1,
            attention=self.decoder_attention,
            spatial=spatial,
            **shared,
            rngs=rngs,
        )
        self.quant = Conv(self.features, latent_channels, 1, rngs=rngs)
        self.post_quant = Conv(latent_channels, self.features, 1, rngs=rngs)
        self.codebook = nnx.Embed(codes, latent_channels, rngs=rngs)

    @property
    def factor(self) -> int:
        """Pixels along the side of a latent's cell."""
        return 2 ** (len(self.widths) - 1)

    def quantised(self, latents: jax.Array) -> jax.Array:
        """The vectors of the codebook nearest to the decoder's inputs, [N, h, w, C]."""
        table = self.codebook.embedding[...]
        # The inputs' own squares make no difference.
        far = jnp.sum(table**2, axis=1)[None, None, None] - 2 * latents @ table.T
        return table[jnp.argmin(far, axis=-1)]

    def posterior(self, canvases: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Canvases in [-1, 1] to the decoder's input, [N, h, w, C], and minus infinity."""
        found = self.quantised(self.quant(self.encoder(canvases)))
        return found, jnp.full_like(found, -jnp.inf)

    def decode(self, latents: jax.Array) -> jax.Array:
        """The decoder's input [N, h, w, C] to canvases [N, H, W, channels] in [-1, 1]."""
        return self.decoder(self.post_quant(latents), latents)

    @classmethod
    def reference_renames(cls, config: Mapping[str, Any]) -> list[Rename]:
        """Diffusers' names, and CompVis's."""
        book = Rename(r"quantize\.embedding\.weight", "codebook.embedding")
        averages = Rename(r"quantize\.(?:embedding\.)?(?:cluster_size|embed_avg)", None)
        return [book, averages, *autoencoder_renames(len(config["widths"]))]

    @classmethod
    def infer_config(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """As `Generator` has it; images of 256 px."""
        if (book := arrays.get("quantize.embedding.weight")) is None or book.ndim != 2:
            raise CheckpointError("no VQModel: it has no quantize.embedding.weight")
        found = infer_autoencoder(arrays)
        codes, channels = map(int, book.shape)
        return {
            **found,
            "image_size": 256,
            "features": found["latent_channels"],
            "latent_channels": channels,
            "codes": codes,
            "spatial": "decoder.mid_block.resnets.0.norm1.conv_y.weight" in arrays
            or "decoder.mid.block_1.norm1.conv_y.weight" in arrays,
        }

    @classmethod
    def reference_config(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Our configuration for diffusers'."""
        stored = autoencoder_of(stored, cls.reference_parts)
        return {
            **autoencoder_of_diffusers(stored),
            "blocks": stored.get("layers_per_block", 1),
            "spatial": stored.get("norm_type", "group") == "spatial",
        }
