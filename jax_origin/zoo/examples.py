"""Images of known origin, made on the spot: for the zoo's calibrations and its demonstration."""

import os
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.generators import GeneratorLike, fingerprint, sample_latents
from jax_origin.generators.autoencoders.reencoding import reencoded
from jax_origin.generators.files import KINDS, read_card
from jax_origin.images import (
    as_float,
    as_uint8,
    find_images,
    photograph_crops,
    plain_images,
    save_png,
)
from jax_origin.runtime import wait_for_all
from jax_origin.zoo.load import load_generator
from jax_origin.zoo.members import member_folder, standard_names

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
    name: str,
    num: int,
    *,
    key: jax.Array,
    generators: Mapping[str, GeneratorLike] | None = None,
    photographs: MadeImages | None = None,
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
      photographs: What autoencoders make their images of, each of a choice of its own. Without
        them, generators that have no prior are left out.
    """
    generators = generators or _zoo(name)
    shape = tuple(generators[name].image_shape)
    groups = {}
    for other, made in generators.items():
        if other == name or tuple(made.image_shape) != shape:
            continue
        if has_prior(made):
            images = _samples(made, num, _own_key(key, other))
            groups[other] = MadeImages(images, range(num), fingerprint(made))
        elif photographs is not None:
            groups[other] = _remade(made, photographs, num, _own_key(key, other))
    height, width, channels = shape
    if channels in (1, 3):
        drawn, _ = plain_images(num, (height, width), channels=channels, seed=_seed(key))
        groups[PLAIN] = MadeImages(drawn, range(num))
    return groups


def demonstration_images(
    names: Sequence[str], *, own: int = 12, others: int = 8, key: jax.Array
) -> dict[str, NDArray[np.uint8]]:
    """A mixture to try zoo generators on: their own images, images of their like, and photographs.

    Like a generator are those of the zoo that have a shipped calibration and, as it has one, a
    prior, or have none. Autoencoders remake photographs. The calibrations use other photographs
    than these.

    Args:
      names: The inspected generators' names in the zoo; the first one's image shape counts.
      own: How many images of the first one's own.
      others: How many of each other group.
      key: A JAX key.

    Returns:
      Group name to uint8 images [N, H, W, C]; the first generator's own come first, under its name.
    """
    generators: dict[str, GeneratorLike] = {}
    for name in names:
        generators |= _zoo(name)
    first = names[0]
    height, width, channels = shape = tuple(generators[first].image_shape)
    groups: dict[str, NDArray[np.uint8]] = {}
    for name in (first, *(other for other in generators if other != first)):
        made, num, own_key = generators[name], own if name == first else others, _own_key(key, name)
        if tuple(made.image_shape) != shape:
            continue
        groups[name] = (
            _samples(made, num, own_key)
            if has_prior(made)
            else _remade(made, _crops(num, (height, width), own_key), num, own_key).images
        )
    if channels == 3:
        groups[PHOTOGRAPHS] = _crops(others, (height, width), key).images
    return groups


def _zoo(name: str) -> dict[str, GeneratorLike]:
    """This generator, and its like: those with a shipped calibration, and a prior as it has one."""
    own = load_generator(name)
    like = [other for other in standard_names() if _member_has_prior(other) == has_prior(own)]
    others = {other: load_generator(other) for other in like if other != name}
    return dict(sorted((others | {name: own}).items()))


def _member_has_prior(name: str) -> bool:
    """`has_prior` of a member of the zoo, which is not loaded for it."""
    folder = member_folder(name)
    return folder is not None and has_prior(KINDS[read_card(folder)["kind"]])


def demonstration_files(
    folder: str | os.PathLike[str], names: Sequence[str], *, key: jax.Array, others: int = 8
) -> list[str]:
    """Writes `demonstration_images` for a run's key; of several processes, the first one writes.

    Returns:
      The paths, sorted: in `folder`, a folder for each group.
    """
    if jax.process_index() == 0:
        key = jax.random.fold_in(key, 3)
        for group, images in demonstration_images(names, others=others, key=key).items():
            for i, pixels in enumerate(images):
                save_png(f"{os.fspath(folder)}/{group}/{i:03d}.png", pixels)
    wait_for_all("images")
    return find_images(folder)


def has_prior(generator: GeneratorLike | type[GeneratorLike]) -> bool:
    """Whether images of draws of N(0, I) are images that users of the generator get."""
    return bool(getattr(generator, "has_prior", True))


def _samples(generator: GeneratorLike, num: int, key: jax.Array) -> NDArray[np.uint8]:
    make = jax.jit(lambda key: generator(sample_latents(generator, key, num)))
    return as_uint8(make(key))


def _remade(
    generator: GeneratorLike, photographs: MadeImages, num: int, key: jax.Array
) -> MadeImages:
    """What an autoencoder makes of a choice of photographs; see `reencoded`."""
    chosen = np.asarray(jax.random.permutation(key, len(photographs.images)))[:num]
    shown = as_float(photographs.images[chosen])
    sources = [photographs.sources[i] for i in chosen]
    made = as_uint8(reencoded(generator, shown, key=key))
    return MadeImages(made, sources, fingerprint(generator))


def _crops(num: int, size: tuple[int, int], key: jax.Array) -> MadeImages:
    """Photographs that no calibration uses."""
    return MadeImages(*photograph_crops(num, size, seed=_seed(key), part="demonstration"))


def _own_key(key: jax.Array, name: str) -> jax.Array:
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def _seed(key: jax.Array) -> int:
    return int(jax.random.key_data(key)[-1])
