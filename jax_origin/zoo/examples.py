"""Images of known origin, made on the spot: for the zoo's calibrations and its demonstration."""

import os
import zlib
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.generators import GeneratorLike, sample_latents
from jax_origin.images import as_uint8, find_images, photograph_crops, save_png
from jax_origin.runtime import wait_for_all
from jax_origin.zoo.load import load_generator, zoo_names

PHOTOGRAPHS = "photographs"
"""Name of the group of crops from photographs that scikit-image ships."""

Groups = dict[str, tuple[NDArray[np.uint8], Sequence[str | int]]]
"""Images by group, uint8 [N, H, W, C], and what each was made from."""


def standard_foreign(
    name: str, num: int, *, key: jax.Array, generators: Mapping[str, GeneratorLike] | None = None
) -> Groups:
    """Foreign groups for a generator: all others of its image shape, and photographs.

    Args:
      name: The inspected generator's name.
      num: Images a group.
      key: A JAX key.
      generators: Generators by name, the inspected one among them. By default the zoo's generators
        with a shipped calibration; the others stay origins that no calibration knows.

    Returns:
      Group name to (uint8 [num, H, W, C], the source of each image): a photograph's name, or a
      number for each generated image.
    """
    return _groups(name, num, key, "calibration", generators or _zoo(name))


def demonstration_images(
    name: str, *, own: int = 12, others: int = 8, key: jax.Array
) -> dict[str, NDArray[np.uint8]]:
    """A mixture to try a zoo generator on: its own images, all others', and photographs.

    The calibrations use other photographs than these.

    Args:
      name: The inspected generator's name in the zoo.
      own: How many images of its own.
      others: How many of each other group.
      key: A JAX key.

    Returns:
      Group name to uint8 images [N, H, W, C]; the generator's own come first, under its name.
    """
    generators = _zoo(name)
    groups = _groups(name, others, key, "demonstration", generators)
    foreign = {group: images for group, (images, _) in groups.items()}
    return {name: _samples(generators[name], name, own, key), **foreign}


def _zoo(name: str) -> dict[str, GeneratorLike]:
    """This generator, and those of the zoo with a shipped calibration."""
    names = sorted({name, *zoo_names(calibrated="origin")})
    return {name: load_generator(name) for name in names}


def demonstration_files(
    folder: str | os.PathLike[str], name: str, *, key: jax.Array, others: int = 8
) -> list[str]:
    """Writes `demonstration_images` for a run's key; of several processes, the first one writes.

    Returns:
      The paths, sorted: in `folder`, a folder for each group.
    """
    if jax.process_index() == 0:
        key = jax.random.fold_in(key, 3)
        for group, images in demonstration_images(name, others=others, key=key).items():
            for i, pixels in enumerate(images):
                save_png(f"{os.fspath(folder)}/{group}/{i:03d}.png", pixels)
    wait_for_all("images")
    return find_images(folder)


def _groups(
    name: str, num: int, key: jax.Array, part: str, generators: Mapping[str, GeneratorLike]
) -> Groups:
    shape = tuple(generators[name].image_shape)
    groups: Groups = {}
    for other, generator in generators.items():
        if other != name and tuple(generator.image_shape) == shape:
            groups[other] = (_samples(generator, other, num, key), range(num))
    if shape[2] == 3:
        seed = int(jax.random.key_data(key)[-1])
        crops, sources = photograph_crops(num, (shape[0], shape[1]), seed=seed, part=part)
        groups[PHOTOGRAPHS] = (crops, sources)
    return groups


def _samples(generator: GeneratorLike, name: str, num: int, key: jax.Array) -> NDArray[np.uint8]:
    own = jax.random.fold_in(key, zlib.crc32(name.encode()))
    make = jax.jit(lambda key: generator(sample_latents(generator, key, num)))
    return as_uint8(make(own))
