"""Images for `calibrate`: files and standard groups, fitted to the generator."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray
from PIL import Image

from jax_origin.calibration.rules import scores_needed
from jax_origin.cli.command import CommandError
from jax_origin.cli.settings import files_in
from jax_origin.generators import GeneratorLike
from jax_origin.images import (
    decode_image,
    faded_images,
    load_images,
    load_sources,
    lossy_share,
    plain_images,
)
from jax_origin.workflow import ForeignImages, Method
from jax_origin.zoo import PLAIN, MadeImages, standard_foreign, zoo_names

FADED = "faded"
"""Name of the group of photographs, one of each source, that were blurred or lost contrast."""


def foreign_groups(
    config: ConfigDict, generator: GeneratorLike, method: Method, *, key: jax.Array
) -> dict[str, ForeignImages]:
    """The foreign groups that the flags ask for, by name.

    Raises:
      CommandError: If a flag is wrong, or an image is of another size and `--fit` is not given.
      ImageError: If images cannot be read.
    """
    num = method.num_images if config.num_foreign is None else config.num_foreign
    shape = tuple(generator.image_shape)
    groups: dict[str, ForeignImages] = {}
    for entry in config.foreign:
        name, _, where = entry.partition("=")
        if not name or not where:
            raise CommandError(f"--foreign={entry}: write NAME=DIR")
        if name in groups:
            raise CommandError(f"--foreign={entry}: there is a group {name!r} already")
        groups[name] = chosen_images(where, num, generator, method, config, key)
        if lossy_share(where, all_files=config.all_files) == 1:
            print(
                f"warning: all files of {name!r} may be lossy (JPEG, say), and the generator's own "
                "images are not: what tells them apart may be the format. Give foreign images that "
                "were never stored with loss, or judge such files by this calibration alone"
            )
    in_zoo = config.generator in zoo_names()
    if config.standard_foreign and not in_zoo:
        raise CommandError(
            f"--standard_foreign: {config.generator!r} is not of the zoo, whose generators are "
            f"{', '.join(zoo_names())}; name its groups with --foreign"
        )
    wanted = config.standard_foreign or not groups
    if in_zoo and wanted and method.rates.beta is not None:
        remade = _remade(config, num, generator, method, jax.random.fold_in(key, 2))
        standard = standard_foreign(config.generator, num, key=key, photographs=remade)
        if twice := sorted(groups.keys() & standard.keys()):
            raise CommandError(f"--foreign={twice[0]}=...: a standard group is called so")
        groups |= {name: ForeignImages(**made._asdict()) for name, made in standard.items()}
    if config.plain and method.rates.beta is not None and groups and shape[2] in (1, 3):
        _add_plain(groups, num, shape, jax.random.fold_in(key, 1), scores_needed(method.rates.beta))
    return _marked(groups, config.used_for)


def _remade(
    config: ConfigDict, num: int, generator: GeneratorLike, method: Method, key: jax.Array
) -> MadeImages | None:
    """What the zoo's other autoencoders make their images of: photographs of `--reencode`."""
    if not config.reencode:
        return None
    whole = dataclasses.replace(method, windows=0)
    settings = ConfigDict({"fit": config.fit or "crop", "all_files": config.all_files})
    found = chosen_images(config.reencode, num, generator, whole, settings, key)
    assert found.sources is not None
    return MadeImages(found.images, [str(source) for source in found.sources])


def _add_plain(
    groups: dict[str, ForeignImages], num: int, shape: tuple[int, ...], key: jax.Array, needed: int
) -> None:
    """Adds drawn pictures that say little, and blurred and faded ones of the files' groups."""
    seed = int(jax.random.key_data(key)[-1])
    if PLAIN not in groups and num >= needed:
        drawn, _ = plain_images(num, (shape[0], shape[1]), channels=shape[2], seed=seed)
        groups[PLAIN] = ForeignImages(drawn)
    first: dict[Any, NDArray[np.uint8]] = {}  # One image of each source.
    for name, group in groups.items():
        if group.made_by is None and group.sources is not None and name != PLAIN:
            for image, source in zip(group.images, group.sources, strict=True):
                first.setdefault((name, source), image)
    if len(first) >= needed and FADED not in groups:
        order = np.asarray(jax.random.permutation(key, len(first)))[:num]
        chosen = [list(first.values())[i] for i in order]
        groups[FADED] = ForeignImages(faded_images(chosen, seed=seed))


def _marked(groups: dict[str, ForeignImages], used_for: Iterable[str]) -> dict[str, ForeignImages]:
    """The groups, each with the choices that it took part in."""
    for entry in used_for:
        named, is_named, word = entry.rpartition("=")
        if not word or not groups or (is_named and named not in groups):
            raise CommandError(
                f"--used_for={entry}: write WORD, or GROUP=WORD with a group of "
                f"{', '.join(groups) or 'those that there are (none)'}"
            )
        for name in [named] if is_named else list(groups):
            groups[name] = groups[name]._replace(used_for=(*groups[name].used_for, word))
    return groups


def chosen_images(
    where: str,
    num: int,
    generator: GeneratorLike,
    method: Method,
    config: ConfigDict,
    key: jax.Array,
) -> ForeignImages:
    """At most `num` images of a folder, pattern or archive, drawn at random.

    A file is a source; an archive may say of which one each image is. A method that judges windows
    takes larger images as they are. The settings say how others are fitted, and which files of a
    folder are looked into.
    """
    shape = tuple(generator.image_shape)
    if where.lower().endswith(".npz"):
        archive, known = load_images(where), load_sources(where)
        order = np.asarray(jax.random.permutation(key, len(archive)))[:num]
        named = [(f"{where}[{i}]", archive[i]) for i in order]
        sources = order.tolist() if known is None else [known[i] for i in order]
    else:
        files = files_in(where, config)
        sources = [files[i] for i in jax.random.permutation(key, len(files))[:num]]
        named = [(file, decode_image(file, channels=shape[2]).pixels) for file in sources]
    images = []
    for name, pixels in named:
        larger = all(np.greater_equal(pixels.shape[:2], shape[:2]))
        wanted = (*pixels.shape[:2], shape[2]) if method.windows and larger else shape
        images.append(_fitted(name, pixels, wanted, config.fit))
    return ForeignImages(images if method.windows else np.stack(images), sources=sources)


def _fitted(
    name: str, pixels: NDArray[np.uint8], shape: tuple[int, ...], fit: str | None
) -> NDArray[np.uint8]:
    """One image, uint8 [h, w, 1 or 3], as one of the generator's shape (H, W, C)."""
    (height, width, channels), found = shape, pixels.shape[:2]
    image = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    image = image.convert("L" if channels == 1 else "RGB")
    if found != (height, width):
        says = f"{name}: is {found[0]}x{found[1]} (HxW), the generator makes {height}x{width}"
        if fit is None:
            raise CommandError(f"{says}; give --fit=crop or --fit=resize")
        if fit == "resize":
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        elif found[0] < height or found[1] < width:
            raise CommandError(f"{says}, and nothing that large can be cut out; give --fit=resize")
        else:
            left, top = (found[1] - width) // 2, (found[0] - height) // 2
            image = image.crop((left, top, left + width, top + height))
    return np.asarray(image, np.uint8).reshape(shape)
