"""Images of known origin, made on the spot: for the zoo's calibrations and its demonstration."""

import os
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.generators import GeneratorLike, fingerprint, sample_latents
from jax_origin.images import as_uint8, find_images, photograph_crops, plain_images, save_png
from jax_origin.runtime import wait_for_all
from jax_origin.zoo.load import load_generator, zoo_names

PHOTOGRAPHS = "photographs"
"""Name of the demonstration's crops from photographs that scikit-image ships."""
PLAIN = "plain"
"""Name of the group of drawn pictures that say little; see `jax_origin.images.plain_images`."""


class MadeImages(NamedTuple):
    """Images of known origin.

    Attributes:
      images: uint8 [N, H, W, C].
      sources: What each was made from: no two of one source are independent.
      made_by: The fingerprint of the generator that made them; None for photographs and drawings.
    """

    images: NDArray[np.uint8]
    sources: Sequence[str | int]
    made_by: str | None = None


def standard_foreign(
    name: str, num: int, *, key: jax.Array, generators: Mapping[str, GeneratorLike] | None = None
) -> dict[str, MadeImages]:
    """Foreign groups for a generator: all others of its image shape, and plain pictures.

    Photographs are for the caller to add: a group counts by its sources, and the few that a package
    carries are no group.

    Args:
      name: The inspected generator's name.
      num: Images a group.
      key: A JAX key.
      generators: Generators by name, the inspected one among them. By default the zoo's generators
        with a shipped calibration; the others stay origins that no calibration knows.
    """
    generators = generators or _zoo(name)
    groups = _others(name, num, key, generators)
    height, width, channels = generators[name].image_shape
    if channels in (1, 3):
        drawn, _ = plain_images(num, (height, width), channels=channels, seed=_seed(key))
        groups[PLAIN] = MadeImages(drawn, range(num))
    return groups


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
    foreign = {group: made.images for group, made in _others(name, others, key, generators).items()}
    height, width, channels = generators[name].image_shape
    if channels == 3:
        seed, part = _seed(key), "demonstration"
        foreign[PHOTOGRAPHS], _ = photograph_crops(others, (height, width), seed=seed, part=part)
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


def _others(
    name: str, num: int, key: jax.Array, generators: Mapping[str, GeneratorLike]
) -> dict[str, MadeImages]:
    """Images of each other generator of the same image shape."""
    shape = tuple(generators[name].image_shape)
    return {
        other: MadeImages(_samples(made, other, num, key), range(num), fingerprint(made))
        for other, made in generators.items()
        if other != name and tuple(made.image_shape) == shape
    }


def _seed(key: jax.Array) -> int:
    return int(jax.random.key_data(key)[-1])


def _samples(generator: GeneratorLike, name: str, num: int, key: jax.Array) -> NDArray[np.uint8]:
    own = jax.random.fold_in(key, zlib.crc32(name.encode()))
    make = jax.jit(lambda key: generator(sample_latents(generator, key, num)))
    return as_uint8(make(own))
