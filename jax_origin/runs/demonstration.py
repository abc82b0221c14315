"""Images on which a zoo generator is shown."""

import os

import jax

from jax_origin.images import find_images, save_png
from jax_origin.runtime import wait_for_all
from jax_origin.zoo import demonstration_images


def demonstration_files(
    folder: str | os.PathLike[str], name: str, *, key: jax.Array, others: int = 8
) -> list[str]:
    """Writes files to try a zoo generator on. Of several processes, the first one writes.

    Args:
      folder: Where they go, a folder for each group.
      name: The generator's name in the zoo.
      key: The run's key.
      others: How many images of each group but the generator's own.
    """
    if jax.process_index() == 0:
        images_key = jax.random.fold_in(key, 3)
        for group, images in demonstration_images(name, others=others, key=images_key).items():
            for i, pixels in enumerate(images):
                save_png(f"{os.fspath(folder)}/{group}/{i:03d}.png", pixels)
    wait_for_all("images")
    return find_images(os.fspath(folder))
