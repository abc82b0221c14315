"""Autoencoders of latent models: a decoder as a generator, and the encoder that belongs to it."""

from jax_origin.generators.autoencoders.base import Autoencoder
from jax_origin.generators.autoencoders.dc import AutoencoderDC
from jax_origin.generators.autoencoders.kl import AutoencoderKL
from jax_origin.generators.autoencoders.tiny import AutoencoderTiny
from jax_origin.generators.autoencoders.vq import VQModel
from jax_origin.generators.autoencoders.wan import AutoencoderWan

__all__ = [
    "Autoencoder",
    "AutoencoderDC",
    "AutoencoderKL",
    "AutoencoderTiny",
    "AutoencoderWan",
    "VQModel",
]
