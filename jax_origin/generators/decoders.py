"""Families of decoders: many models share one, and inversion finds the decoder alone."""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from jax_origin.generators.autoencoders import Autoencoder
from jax_origin.generators.base import flat_weights

_DECODER = ("decoder", "post_quant")  # What a latent goes through; the rest encodes.


class DecoderFamily(NamedTuple):
    """The models whose images one decoder makes.

    Attributes:
      name: What the family is called.
      models: Models that share the decoder.
    """

    name: str
    models: tuple[str, ...]


_FAMILIES: dict[str, DecoderFamily] = {}


def decoder_fingerprint(generator: Any) -> str | None:
    """SHA-256 over the weights of an autoencoder's decoder; None for another generator.

    Its encoder, its size and how its latents are scaled do not count. Weights are rounded to
    float16 before, so that a file of float16 has the fingerprint of the float32 one.

    Returns:
      64 hexadecimal digits.
    """
    if not isinstance(generator, Autoencoder):
        return None
    digest = hashlib.sha256(generator.kind.encode())
    for name, value in flat_weights(generator).items():
        if name.partition(".")[0] in _DECODER:
            with np.errstate(over="ignore"):
                array = np.asarray(value, np.float16)
            digest.update(f"\0{name}\0{array.shape}\0".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def register_decoder(decoder: Any, family: str, models: Iterable[str]) -> None:
    """Says which models share a decoder; what was said of it before counts no more.

    Args:
      decoder: An autoencoder, or the fingerprint of its decoder.
      family: What the family is called.
      models: The models, by name.

    Raises:
      TypeError: If it is neither.
    """
    fingerprint = decoder if isinstance(decoder, str) else decoder_fingerprint(decoder)
    if fingerprint is None:
        raise TypeError(f"{type(decoder).__name__} is no autoencoder: its decoder is not known")
    _FAMILIES[fingerprint] = DecoderFamily(family, tuple(models))


def decoder_family(decoder: Any) -> DecoderFamily | None:
    """The family of an autoencoder, or of a decoder's fingerprint; None where none is registered.

    A generator's directory may name it: ``"decoder_family": {"name": ..., "models": [...]}`` in its
    card.json.
    """
    fingerprint = decoder if isinstance(decoder, str) else decoder_fingerprint(decoder)
    return None if fingerprint is None else _FAMILIES.get(fingerprint)
