"""What the generators with a U-Net share: noise in, an image out, and their stored configurations.

`DDIM` and `Consistency` derive from it.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from flax import nnx

from jax_origin.checkpoints import Rename
from jax_origin.generators.base import SquareGenerator
from jax_origin.generators.unet import UNet, UNetConfig
from jax_origin.generators.unet_reference import (
    UNET_FIELDS,
    stored_size,
    unet_of_diffusers,
    unet_of_openai,
    unet_renames,
)

SEEN_LEVELS = (0.05, 0.1, 0.2)
"""Deviations of noise, of images in [-1, 1], that a network is told of where it looks at one."""
SEEN_BANDS = 8
_TINY = 1e-20


class DiffusionGenerator(SquareGenerator):
    """A U-Net that turns noise of the image's shape into an image.

    It raises a ValueError if the network's levels cannot halve `image_size`.
    """

    reference_fields: ClassVar[frozenset[str]] = UNET_FIELDS

    def __init__(
        self, network: UNetConfig, *, image_size: int, label: int | str | None, rngs: nnx.Rngs
    ):
        network.check_image_size(image_size)
        self.image_size = image_size
        self.label = label
        self.unet = UNet(network, rngs=rngs)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON."""
        return {**super().config, "unet": self.unet.config.as_dict()}

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The noise's, (H, W, C)."""
        return self.image_shape

    @property
    def channels(self) -> int:  # type: ignore[override]
        """Image channels."""
        return self.unet.config.in_channels

    def noise_in(self, images: jax.Array, deviation: float) -> jax.Array:
        """The noise that the network sees in images as they are, [N, H, W, C], about normal.

        Args:
          images: In [0, 1], [N, H, W, C].
          deviation: Of the noise that the network is told of, for images in [-1, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what noise it sees")

    def noise_spectra(self, images: jax.Array) -> jax.Array:
        """How much noise the network sees in images, by level, colour and frequency.

        Nothing is added to the images. A network that made them sees in them what its last steps
        left, and in others what these would have taken away.

        Args:
          images: In [0, 1], float32 [N, H, W, C].

        Returns:
          Logarithms of mean squares, float32 [N, levels, C, bands], at `SEEN_LEVELS`: of the
          orthonormal cosine transform of colours, in `SEEN_BANDS` rings of spatial frequency with
          equally many each.
        """
        _, height, width, channels = images.shape
        colours = scipy.fft.dct(np.eye(channels, dtype=np.float32), axis=0, norm="ortho")
        down, along = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
        radii = np.hypot(down, along).ravel()
        edges = np.quantile(radii, np.arange(1, SEEN_BANDS) / SEEN_BANDS)
        ring = np.searchsorted(edges, radii, side="right")
        rings = (ring[:, None] == np.arange(SEEN_BANDS)) / np.bincount(ring, minlength=SEEN_BANDS)
        found = []
        for deviation in SEEN_LEVELS:
            noise = jnp.einsum("nhwc,dc->ndhw", self.noise_in(images, deviation), colours)
            power = jnp.abs(jnp.fft.fft2(noise)) ** 2 / (height * width)
            power = power.reshape(len(images), channels, -1)
            found.append(
                jnp.log(jnp.einsum("ndp,pb->ndb", power, rings.astype(np.float32)) + _TINY)
            )
        return jnp.stack(found, axis=1)

    @classmethod
    def reference_renames(cls, config: Mapping[str, Any]) -> list[Rename]:
        """The names of diffusers' ``UNet2DModel``, and of OpenAI's U-Nets."""
        return unet_renames(UNetConfig.of(config["unet"]))


def stored_network(
    stored: Mapping[str, Any], *, heads_outermost: bool
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """The arguments ``image_size``, ``unet`` and ``label`` that a stored configuration says.

    Args:
      stored: diffusers' ``{"unet": config.json, "scheduler": scheduler_config.json}``, or the
        first alone; or the arguments of OpenAI's ``create_model_and_diffusion``.
      heads_outermost: How OpenAI's files arrange queries, keys and values.

    Returns:
      The arguments, and what is stored of the sampler.

    Raises:
      ValueError: If it describes a network that is not built here.
    """
    if "num_channels" in stored:
        unet = unet_of_openai(stored, heads_outermost=heads_outermost)
        size, sampler = stored["image_size"], stored
    else:
        network, sampler = stored.get("unet", stored), stored.get("scheduler", {})
        unet, size = unet_of_diffusers(network), network.get("sample_size")
    label = None if unet.classes is None else 0
    return {**stored_size(size), "unet": unet.as_dict(), "label": label}, sampler
