"""Inversion: the latent whose image is nearest to a given one, for many images at once."""

from jax_origin.inversion.engine import Inversion, invert
from jax_origin.inversion.settings import Descent, InversionConfig

__all__ = ["Descent", "Inversion", "InversionConfig", "invert"]
