"""Inverting a batch of images, all of them in memory."""

from collections.abc import Sequence
from typing import Any

import jax

from jax_origin.generators import GeneratorLike
from jax_origin.images import as_images
from jax_origin.inversion.engine import Engine, Item
from jax_origin.inversion.recipe import Recipe
from jax_origin.inversion.result import Inversion
from jax_origin.inversion.running import Run
from jax_origin.inversion.start_encoder import StartEncoder


def invert(
    generator: GeneratorLike,
    images: Any,
    recipe: Recipe | None = None,
    *,
    key: jax.Array,
    encoder: StartEncoder | None = None,
    accept: float | None = None,
    futility: Sequence[float] = (),
    run: Run | None = None,
) -> Inversion:
    """Finds for each image the latent whose image is nearest to it.

    An image's random numbers come from the key and the image's own pixels, so the result does not
    depend on which other images are in the batch, or on their order.

    Args:
      generator: The generator; any ``nnx.Module`` that keeps the contract of
        `jax_origin.generators.Generator`, or a `FunctionGenerator`.
      images: uint8, or float in [0, 1]; [N, H, W, C] of the generator's image shape; or a list of
        `jax_origin.images.Stored`. For the distance `FileSet` an array is N lossless files.
      recipe: How; `Recipe()` without it.
      key: A JAX key.
      encoder: For a recipe that starts from a trained encoder; see `jax_origin.learn_start`.
      accept: An image is done as soon as its tracked distance is at this or under it.
      futility: For each check, the tracked distance above which an image is given up; empty for
        never. The last one counts for later checks too.
      run: Where and how; no result depends on it.

    Returns:
      The best latent of each image, and how near it comes.

    Raises:
      ValueError: If the images are no such array, none, or not of the generator's shape; if the
        generator breaks its contract; if an encoder is needed and not given.
    """
    images, run = as_images(images), run or Run()
    if len(images) == 0:
        raise ValueError("there are no images to invert")
    engine = Engine(
        generator,
        recipe,
        key=key,
        encoder=encoder,
        futility=futility,
        run=run,
        advance=run.counter("inverting", len(images)),
    )
    items = (Item(index, image, accept) for index, image in enumerate(images))
    found = dict(engine.run(items))
    return Inversion.stacked([found[index] for index in range(len(images))])
