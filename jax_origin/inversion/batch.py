"""Inverting a batch of images, all of them in memory."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jax_origin.generators import GeneratorLike
from jax_origin.images import as_images
from jax_origin.inversion.engine import Accept, Engine
from jax_origin.inversion.learned_start import LearnedStart
from jax_origin.inversion.result import Inversion, Statistics
from jax_origin.inversion.settings import InversionConfig


def invert(
    generator: GeneratorLike,
    images: Any,
    config: InversionConfig | None = None,
    *,
    key: jax.Array,
    learned: LearnedStart | None = None,
    accept: Accept = None,
    devices: Sequence[jax.Device] | None = None,
    blocks: int | None = None,
    statistics: Statistics | None = None,
    progress: Callable[[int], None] | None = None,
) -> Inversion:
    """Finds for each image the latent whose image is nearest to it.

    An image's random numbers come from the key and the image's own pixels, so the result does not
    depend on which other images are in the batch, or on their order.

    Args:
      generator: The generator; any ``nnx.Module`` that keeps the contract of
        `jax_origin.generators.Generator`, in evaluation mode.
      images: uint8, or float in [0, 1]; [N, H, W, C] of the generator's image shape; or a list of
        `jax_origin.images.Stored`. For the distance "stored" an array is N lossless files.
      config: The recipe; `InversionConfig()` without it.
      key: A JAX key.
      learned: The encoder, for ``start="learned"``; see `jax_origin.learn_start`.
      accept: An image is done as soon as its tracked distance is at this or under it; or what says
        so of each image.
      devices: Devices among which lanes are divided; all of this process without it.
      blocks: Blocks of lanes on each device at a time; without it as many as its memory holds, up
        to 4, and 1 where it does not say how much it has. No result depends on it.
      statistics: Is added to.
      progress: Called with the number of gradient evaluations done since its last call; what an
        image that ends early has saved is counted as done.

    Returns:
      The best latent of each image, and how near it comes.

    Raises:
      ValueError: If the images are no such array, none, or not of the generator's shape; if the
        generator makes another shape than it says; if an encoder is needed and not given.
    """
    images = as_images(images)
    if len(images) == 0:
        raise ValueError("there are no images to invert")
    engine = Engine(
        generator,
        config,
        key=key,
        learned=learned,
        accept=accept,
        devices=devices,
        blocks=blocks,
        statistics=statistics,
        progress=progress,
    )
    rows: list[Any] = [None] * len(images)
    for index, found in engine.run(images):
        rows[index] = found
    return Inversion(*(np.stack(part) for part in zip(*rows, strict=True)))
