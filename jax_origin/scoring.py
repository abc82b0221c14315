"""Scores of images under a generator, as calibrations and verdicts rest on them."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import Calibration, CalibrationError
from jax_origin.distance import TO_STORED
from jax_origin.generators import GeneratorLike, generator_name, sample_latents
from jax_origin.images import Stored, as_float, as_images, as_uint8, stored_pixels
from jax_origin.inversion import (
    Accept,
    Engine,
    Inversion,
    LearnedStart,
    Statistics,
    start_from_arrays,
)
from jax_origin.methods import Method
from jax_origin.score import SCORES

Progress = Callable[[int], None]

ROLES = ("generator", "reference")
"""Models that an image is inverted under, by what they are for."""


def belonging_images(generator: GeneratorLike, num: int, *, key: jax.Array) -> NDArray[np.uint8]:
    """Images that the generator makes from fresh latents, as 8-bit files would hold them.

    Args:
      generator: The generator.
      num: How many.
      key: A JAX key.

    Returns:
      uint8 [num, H, W, C].
    """
    latents = sample_latents(generator, key, num)
    make = jax.jit(lambda z: generator(z))
    blocks = [np.asarray(make(latents[i : i + 100])) for i in range(0, num, 100)]
    images = np.concatenate(blocks)
    if not np.isfinite(images).all():
        raise CalibrationError(
            f"{generator_name(generator)!r} makes images with NaN or infinite pixels: its weights "
            "are damaged"
        )
    return as_uint8(as_float(images))


def score_stream(
    generator: GeneratorLike,
    images: Iterable[Any],
    method: Method,
    *,
    key: jax.Array,
    reference: GeneratorLike | None = None,
    starts: Mapping[str, LearnedStart] | None = None,
    accept: Accept = None,
    devices: Sequence[jax.Device] | None = None,
    blocks: int | None = None,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[int, float, Inversion]]:
    """Inverts images and scores them, as `calibrate` and `attribute` do.

    Args:
      generator: The generator to inspect.
      images: uint8, or float in [0, 1], each [H, W, C] of the generator's image shape; or as files
        store them, `jax_origin.images.Stored`.
      method: How they are inverted, and what is scored; its rule plays no part here.
      key: A JAX key, for starting points. An image's score does not depend on the others'.
      reference: Another generator, where the score is the ratio of losses under the two.
      starts: Learned starts of the two, as "generator" and "reference".
      accept: An image is done as soon as its tracked distance is at this or under it; or what says
        so of each image.
      devices: Devices among which lanes are divided; all of this process without it.
      blocks: Blocks of lanes on each device at a time; see `jax_origin.invert`.
      statistics: Is added to.
      progress: Called with the number of gradient evaluations done since its last call.

    Yields:
      The image's place in the order in which it came; its score, not finite where the generator
      gave no finite image; and its inversion under the inspected generator, the first one of
      several draws, with the steps of all.

    Raises:
      ValueError: If an image is no such array, or the score needs a reference and has none.
    """
    score = SCORES[method.score]
    to_stored = method.inversion.distance in TO_STORED

    def lost(found: Inversion) -> np.ndarray:
        return found.distance if to_stored else found.loss

    models = [
        (ROLES[0], generator, jax.random.fold_in(key, draw) if draw else key)
        for draw in range(method.draws)
    ]
    if reference is not None:
        models.append((ROLES[1], reference, key))
    engines = [
        Engine(
            model,
            method.inversion,
            key=own_key,
            learned=(starts or {}).get(role),
            accept=accept,
            devices=devices,
            blocks=blocks,
            statistics=statistics,
            progress=None if to_stored else progress,
        )
        for role, model, own_key in models
    ]

    def inverted(engine: Engine, images: Iterable[Any]) -> Iterator[tuple[int, Inversion]]:
        if not to_stored:
            yield from engine.run(images)
            return
        for each in _invert_each(engine, images, statistics):
            if progress is not None:  # An image counts once, however many readings it has.
                progress(engine.evaluations)
            yield each

    # The engines take turns, so that few images wait for what is still to be found of them.
    sources = itertools.tee(images, len(engines))
    streams = [inverted(*each) for each in zip(engines, sources, strict=True)]
    waiting: dict[int, dict[int, Inversion]] = {}
    for turn in zip(*streams, strict=True):
        for which, (index, one) in enumerate(turn):
            found = waiting.setdefault(index, {})
            found[which] = one
            if len(found) < len(engines):
                continue
            del waiting[index]
            draws = [found[i] for i in range(method.draws)]
            theirs = None if reference is None else lost(found[method.draws])[None]
            scores = [
                score(lost(ours)[None], theirs, ours.latent[None], method.typical)[0]
                for ours in draws
            ]
            if statistics is not None:  # An image counts once, however often it is inverted.
                statistics.images -= len(engines) - 1
            steps = np.sum([ours.steps for ours in draws])
            yield index, float(np.mean(scores)), draws[0]._replace(steps=steps)


def _invert_each(
    engine: Engine, images: Iterable[Any], statistics: Statistics | None
) -> Iterator[tuple[int, Inversion]]:
    """Inverts images, each into all sets that it may be in; the nearest counts.

    Its evaluations are those of all of them; in the statistics it is one image.
    """
    owners: dict[int, int] = {}  # by the place of a reading
    under_way: dict[int, tuple[int, list[Inversion]]] = {}  # how many readings, and those found

    def readings() -> Iterator[Stored]:
        place = itertools.count()
        for index, image in enumerate(images):
            stored = image if isinstance(image, Stored) else stored_pixels(image[None])[0]
            sets = stored.readings()
            under_way[index] = (len(sets), [])
            for reading in sets:
                owners[next(place)] = index
                yield reading

    for place, one in engine.run(readings()):
        index = owners.pop(place)
        wanted, found = under_way[index]
        found.append(one)
        if len(found) == wanted:
            del under_way[index]
            if statistics is not None:
                statistics.images -= wanted - 1
            nearest = min(found, key=lambda each: float(each.distance))
            if any(each.ended == "accepted" for each in found):  # It might have come nearer still.
                nearest = nearest._replace(ended=np.asarray("accepted"))
            yield index, nearest._replace(steps=np.sum([each.steps for each in found]))


def score_images(
    generator: GeneratorLike,
    images: Any,
    method: Method,
    *,
    key: jax.Array,
    reference: GeneratorLike | None = None,
    starts: Mapping[str, LearnedStart] | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """The scores of images [N, H, W, C], or of N stored ones, float64 [N]; see `score_stream`."""
    images = as_images(images)
    scores = np.full(len(images), np.nan)
    for index, score, _ in score_stream(
        generator, images, method, key=key, reference=reference, starts=starts, progress=progress
    ):
        scores[index] = score
    return scores


def learned_starts(calibration: Calibration) -> dict[str, LearnedStart]:
    """The encoders that a calibration was made with, by role; none where nothing was learned.

    Raises:
      CalibrationError: If they cannot be made.
    """
    starts = {}
    for role in ROLES:
        if calibration.start is not None and role in calibration.start:
            arrays = {
                name.removeprefix(f"{role}."): array
                for name, array in calibration.start_weights.items()
                if name.startswith(f"{role}.")
            }
            try:
                starts[role] = start_from_arrays(calibration.start[role], arrays)
            except ValueError as error:
                where = calibration.path or "the calibration"
                raise CalibrationError(f"{where}: {error}") from None
    return starts
