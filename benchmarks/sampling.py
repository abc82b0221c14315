"""Test images of an evaluation: made afresh by generators, and chosen from sets."""

import os
import zlib
from collections.abc import Mapping

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.generators import GeneratorLike
from jax_origin.images import ImageError, decode_image, find_images, load_images
from jax_origin.workflow import belonging_images

Images = NDArray[np.uint8]

# Tags that the seed's key is folded with. A calibration folds its own with other numbers: no
# evaluation, whatever its seed, tests on images that a calibration was made from.
_EVALUATION = int.from_bytes(b"eval", "big")
_IMAGES, _STARTS = 0, 1


class ProtocolError(ValueError):
    """An evaluation that cannot be run as asked for; one line says why."""


def generated_images(
    generators: Mapping[str, GeneratorLike], num: int, *, seed: int
) -> dict[str, Images]:
    """Fresh images of each generator, rounded to 8 bits.

    Args:
      generators: Generators by name.
      num: Images of each, at least 1.
      seed: Any whole number of at least 0. No calibration has drawn the same latents, whatever the
        seeds.

    Returns:
      uint8 [num, H, W, C] by name. A generator's images do not depend on which others there are.

    Raises:
      ProtocolError: If num or seed is too small.
    """
    _check_at_least(1, num_images=num)
    key = jax.random.fold_in(_key(seed), _IMAGES)
    return {
        name: belonging_images(generator, num, key=jax.random.fold_in(key, _number(name)))
        for name, generator in generators.items()
    }


def chosen_images(path: str | os.PathLike[str], num: int, *, name: str, seed: int) -> Images:
    """A random choice of a set's images, without replacement.

    Args:
      path: An npz archive, or a folder of images; see `jax_origin.images.load_images`.
      num: How many, at least 1.
      name: The set's name, for messages; the choice depends on it.
      seed: Any whole number of at least 0.

    Returns:
      uint8 [num, H, W, 3], in the order drawn.

    Raises:
      ProtocolError: If there is no such file or folder, it holds fewer images, or num or seed is
        too small.
      ImageError: If an image cannot be used, or the sizes of those chosen differ.
    """
    _check_at_least(1, num_images=num)
    _check_at_least(0, seed=seed)
    path = os.fspath(path)
    if not os.path.exists(path):
        raise ProtocolError(
            f"set {name!r}: there is no {path}; --data names the folder that holds it, and "
            f"'--config.sets[\"{name}\"]=' leaves the set out"
        )
    if path.lower().endswith(".npz") and not os.path.isdir(path):
        images = load_images(path)
        return images[_choice(len(images), num, name=name, seed=seed)]
    files = find_images(path)
    files = [files[i] for i in _choice(len(files), num, name=name, seed=seed)]
    chosen = [decode_image(file).pixels for file in files]
    for file, pixels in zip(files, chosen, strict=True):
        if pixels.shape != chosen[0].shape:
            found, first = ("x".join(map(str, p.shape[:2])) for p in (pixels, chosen[0]))
            raise ImageError(file, f"is {found} (HxW), {files[0]} of the same set is {first}")
    return np.stack(chosen)


def starting_key(seed: int) -> jax.Array:
    """The key of an evaluation's starting points, which no images share.

    Args:
      seed: Any whole number of at least 0.

    Returns:
      A JAX key.

    Raises:
      ProtocolError: If the seed is too small.
    """
    return jax.random.fold_in(_key(seed), _STARTS)


def _choice(total: int, num: int, *, name: str, seed: int) -> NDArray[np.int64]:
    if total < num:
        raise ProtocolError(
            f"set {name!r} holds {total} images, {num} are wanted: --config.num_images={total}"
        )
    return np.random.default_rng([seed, _number(name)]).choice(total, num, replace=False)


def _key(seed: int) -> jax.Array:
    _check_at_least(0, seed=seed)
    return jax.random.fold_in(jax.random.key(seed), _EVALUATION)


def _number(name: str) -> int:
    return zlib.crc32(name.encode())


def _check_at_least(least: int, **settings: int) -> None:
    for name, value in settings.items():
        if value < least:
            raise ProtocolError(f"{name} must be at least {least}, not {value}")
