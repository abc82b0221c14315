"""Autoencoders of latent models: a decoder as a generator, and the encoder that belongs to it."""

from jax_origin.generators.autoencoders.base import Autoencoder
from jax_origin.generators.autoencoders.kl import AutoencoderKL
from jax_origin.generators.autoencoders.tiny import AutoencoderTiny
from jax_origin.generators.autoencoders.vq import VQModel

__all__ = ["Autoencoder", "AutoencoderKL", "AutoencoderTiny", "VQModel"]
