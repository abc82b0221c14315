"""What an evaluation's settings ask for: generators, methods, images."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from benchmarks.recovery import limited
from benchmarks.sampling import Images, ProtocolError, chosen_images
from jax_origin.generators import GeneratorLike
from jax_origin.images import faded_images, photograph_crops, plain_images
from jax_origin.images.plain import PLAIN
from jax_origin.workflow import Method, get_method
from jax_origin.zoo import load_generator, zoo_names

_PLAIN_SEED = 1000  # added to the evaluation's: no calibration draws the same pictures


def chosen_generators(
    config: ConfigDict, *, data: str = "."
) -> tuple[dict[str, GeneratorLike], list[str]]:
    """All generators by name, and the names of those that are inspected.

    Args:
      config: As `benchmarks.settings.evaluation_config` makes it.
      data: The folder that ``{data}`` in a source stands for.

    Raises:
      ProtocolError: If an entry of config.generators is none, or has a name of the zoo; if nothing
        is inspected.
      CheckpointError: If a generator does not load.
    """
    generators: dict[str, GeneratorLike] = {}
    for entry in config.generators:
        options = dict(entry)
        try:
            name, source = options.pop("name"), options.pop("source")
            made: Any = load_generator(source.replace("{data}", data), **options)
            made.name, generators[name] = name, made
        except (KeyError, TypeError):
            raise ProtocolError(
                f"config.generators: {entry!r} must hold name and source, and may hold kind and "
                "config"
            ) from None
    own = list(generators)
    for name in zoo_names():
        if name in generators:
            raise ProtocolError(f"config.generators: {name!r} is a name of the zoo: choose another")
        generators[name] = load_generator(name)
    inspected = list(config.inspected or own or zoo_names(calibrated="origin"))
    if not inspected:
        raise ProtocolError("the zoo has no calibrated generators: config.inspected names them")
    for name in inspected:
        if name not in generators:
            generators[name] = load_generator(name)
    return generators, inspected


def chosen_methods(
    config: ConfigDict, generator: GeneratorLike, *, limit_steps: int | None = None
) -> list[Method]:
    """The methods that a generator is inspected by.

    Args:
      config: As `evaluation_config` makes it.
      generator: The generator; "origin" is the recipe of its family.
      limit_steps: No stage is longer than this; None for the methods as they are.

    Raises:
      ProtocolError: If a name is unknown, two methods have one, or there is none.
    """
    try:
        methods = [get_method(method, generator) for method in config.methods]
    except ValueError as error:
        raise ProtocolError(f"config.methods: {error}") from None
    if not methods:
        raise ProtocolError("no methods to evaluate: --config.methods=\"('origin',)\"")
    if len({method.name for method in methods}) < len(methods):
        raise ProtocolError("config.methods: two methods have one name")
    return [
        dataclasses.replace(method, recipe=limited(method.recipe, limit_steps))
        for method in methods
    ]


def chosen_reference(
    config: ConfigDict, generators: Mapping[str, GeneratorLike], methods: Sequence[Method]
) -> GeneratorLike | None:
    """The reference generator; None where no method's score needs one.

    Raises:
      ProtocolError: If config.reference names none.
    """
    if not any(method.score.needs_reference for method in methods):
        return None
    if config.reference not in generators:
        raise ProtocolError(
            f"config.reference={config.reference!r}: choose from {', '.join(generators)}"
        )
    return generators[config.reference]


def chosen_sets(
    config: ConfigDict, shapes: Sequence[tuple[int, ...]], *, data: str
) -> Iterator[tuple[str, Images]]:
    """Foreign images that no generator made, with their names.

    Args:
      config: As `evaluation_config` makes it.
      shapes: Image shapes of the inspected generators: photographs are cut to each. Of a set's
        larger images a window is taken, where these are of one size.
      data: The folder that holds the sets' files.

    Raises:
      ProtocolError: As `chosen_images`; or plain pictures are asked for, and the shapes differ.
      ImageError: As `chosen_images`.
    """
    num, seed = config.num_images, config.seed
    sizes = {(shape[0], shape[1]) for shape in shapes if shape[2] == 3}
    only = next(iter(sizes)) if len(sizes) == 1 else None
    sets = {}
    for name, file in config.sets.items():
        if file:
            path = os.path.join(data, file)
            sets[name] = chosen_images(path, num, name=name, seed=seed, size=only)
            yield name, sets[name]
    if config.plain:
        if len({*shapes}) > 1:
            listed = ", ".join(map(str, sorted({*shapes})))
            raise ProtocolError(f"config.plain: the inspected generators make images of {listed}")
        height, width, channels = shapes[0]
        drawn, kinds = plain_images(
            num * len(PLAIN), (height, width), channels=channels, seed=seed + _PLAIN_SEED
        )
        for kind in PLAIN:
            yield f"plain, {kind}", drawn[np.array(kinds) == kind]
        for name, images in sets.items():
            yield f"{name}, faded", faded_images(images, seed=seed + _PLAIN_SEED)
    for size in sorted(sizes) if config.photographs else []:
        crops, _ = photograph_crops(num, size, seed=seed, part="demonstration")
        yield "photographs" if len(sizes) == 1 else f"photographs, {size[0]}x{size[1]}", crops
