"""Generators: frozen, differentiable maps from a latent to an image in [0, 1], NHWC."""

from jax_origin.generators.autoencoders import (
    Autoencoder,
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderTiny,
    AutoencoderWan,
    VQModel,
)
from jax_origin.generators.base import (
    FunctionGenerator,
    Generator,
    GeneratorLike,
    generator_name,
    sample_latents,
)
from jax_origin.generators.consistency import Consistency
from jax_origin.generators.contract import PackedLatents, inspected
from jax_origin.generators.dcgan import DCGAN
from jax_origin.generators.ddim import DDIM
from jax_origin.generators.decoders import (
    decoder_family,
    decoder_fingerprint,
    register_decoder,
)
from jax_origin.generators.files import KINDS, open_generator, save_generator, with_settings
from jax_origin.generators.fingerprints import fingerprint
from jax_origin.generators.stylegan2 import StyleGAN2
from jax_origin.generators.vae import VAE
from jax_origin.generators.vae_resnet18 import ResNetVAE

__all__ = [
    "DCGAN",
    "DDIM",
    "KINDS",
    "VAE",
    "Autoencoder",
    "AutoencoderDC",
    "AutoencoderKL",
    "AutoencoderTiny",
    "AutoencoderWan",
    "Consistency",
    "FunctionGenerator",
    "Generator",
    "GeneratorLike",
    "PackedLatents",
    "ResNetVAE",
    "StyleGAN2",
    "VQModel",
    "decoder_family",
    "decoder_fingerprint",
    "fingerprint",
    "generator_name",
    "inspected",
    "open_generator",
    "register_decoder",
    "sample_latents",
    "save_generator",
    "with_settings",
]
