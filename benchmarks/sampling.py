"""Test images of an evaluation: made afresh by generators, and chosen from sets."""

import os
import re
import zlib
from collections.abc import Callable, Mapping

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.generators import GeneratorLike
from jax_origin.images import (
    ImageError,
    decode_image,
    find_images,
    load_images,
    load_sources,
    textured_windows,
)
from jax_origin.workflow import belonging_images, reencoded_images
from jax_origin.zoo import has_prior

Images = NDArray[np.uint8]

# Tags that the seed's key is folded with. A calibration folds its own with other numbers: no
# evaluation, whatever its seed, tests on images that a calibration was made from.
_EVALUATION = int.from_bytes(b"eval", "big")
_IMAGES, _STARTS = 0, 1


class ProtocolError(ValueError):
    """An evaluation that cannot be run as asked for; one line says why."""


def generated_images(
    generators: Mapping[str, GeneratorLike],
    num: int,
    *,
    seed: int,
    photographs: Callable[[str, GeneratorLike], Images] | None = None,
) -> dict[str, Images]:
    """Fresh images of each generator, rounded to 8 bits.

    Args:
      generators: Generators by name.
      num: Images of each, at least 1.
      seed: Any whole number of at least 0. No calibration has drawn the same latents, whatever the
        seeds.
      photographs: Gives `num` images that a generator without a prior, by its name, makes its own
        of, as `jax_origin.workflow.reencoded_images` does. Without it these are left out.

    Returns:
      uint8 [num, H, W, C] by name. A generator's images do not depend on which others there are.

    Raises:
      ProtocolError: If num or seed is too small.
    """
    _check_at_least(1, num_images=num)
    key = jax.random.fold_in(_key(seed), _IMAGES)
    made = {}
    for name, generator in generators.items():
        own = jax.random.fold_in(key, _number(name))
        if has_prior(generator):
            made[name] = belonging_images(generator, num, key=own)
        elif photographs is not None:
            made[name] = reencoded_images(generator, photographs(name, generator), key=own).images
    return made


def chosen_images(
    path: str | os.PathLike[str],
    num: int,
    *,
    name: str,
    seed: int,
    size: tuple[int, int] | None = None,
    setting: str | None = None,
) -> Images:
    """A random choice of a set's images, without replacement.

    Args:
      path: An npz archive, or a folder of images; see `jax_origin.images.load_images`. An archive's
        may be followed by a part: ``#1/3`` is the second of three, which have no source in common
        (`jax_origin.images.load_sources`; without these, no image).
      num: How many, at least 1.
      name: The set's name, for messages; the choice depends on it.
      seed: Any whole number of at least 0.
      size: (height, width) that of larger images the window with most texture is taken; see
        `jax_origin.images.textured_windows`. Images are left as they are without it.
      setting: The setting that names the file, for messages; without it that of a set.

    Returns:
      uint8 [num, H, W, 3], in the order drawn.

    Raises:
      ProtocolError: If there is no such file or folder, it holds fewer images, or num or seed is
        too small.
      ImageError: If an image cannot be used, or the sizes of those chosen differ.
    """
    _check_at_least(1, num_images=num)
    _check_at_least(0, seed=seed)
    stem, is_part, part = os.fspath(path).partition(".npz#")
    path = f"{stem}.npz" if is_part else stem
    if not os.path.exists(path):
        leave_out = f"'--config.sets[\"{name}\"]=' leaves the set out"
        if setting is not None:
            leave_out = f"{setting} names the file"
        raise ProtocolError(
            f"set {name!r}: there is no {path}; --data names the folder that holds it, and "
            f"{leave_out}"
        )
    if path.lower().endswith(".npz") and not os.path.isdir(path):
        images = load_images(path)
        places = _part_of(path, part, len(images))
        drawn = places[_choice(len(places), num, name=name, seed=seed)]
        return _windows(images[drawn], size)
    files = find_images(path)
    files = [files[i] for i in _choice(len(files), num, name=name, seed=seed)]
    chosen = [decode_image(file).pixels for file in files]
    for file, pixels in zip(files, chosen, strict=True):
        if pixels.shape != chosen[0].shape:
            found, first = ("x".join(map(str, p.shape[:2])) for p in (pixels, chosen[0]))
            raise ImageError(file, f"is {found} (HxW), {files[0]} of the same set is {first}")
    return _windows(np.stack(chosen), size)


def _part_of(path: str, part: str, total: int) -> NDArray[np.int64]:
    """The places of an archive's images that are of a part of its sources; all without one."""
    if not part:
        return np.arange(total)
    found = re.fullmatch(r"(\d+)/(\d+)", part)
    if found is None or not int(found[1]) < int(found[2]):
        raise ProtocolError(f"{path}#{part}: a part is written #1/3, the second of three")
    sources = load_sources(path) or range(total)
    order = {source: i for i, source in enumerate(dict.fromkeys(sources))}
    which, of = int(found[1]), int(found[2])
    return np.array([i for i, source in enumerate(sources) if order[source] % of == which])


def _windows(images: Images, size: tuple[int, int] | None) -> Images:
    if size is None or images.shape[1:3] == size or min(np.subtract(images.shape[1:3], size)) < 0:
        return images
    places = [textured_windows(pixels, size, num=1)[0] for pixels in images]
    pairs = zip(images, places, strict=True)
    return np.stack([px[top : top + size[0], left : left + size[1]] for px, (top, left) in pairs])


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
