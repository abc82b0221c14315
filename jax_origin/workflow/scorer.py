"""Scores of images under a generator, as calibrations and verdicts rest on them."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from jax_origin.calibration import Calibration, CalibrationError, Futility
from jax_origin.generators import GeneratorLike
from jax_origin.images import Stored, as_float, as_images, as_uint8, map_ahead
from jax_origin.inversion import Engine, Inversion, Item, Run, StartEncoder, encoder_from_arrays
from jax_origin.inversion.items import Heat
from jax_origin.scores import Score
from jax_origin.workflow.judged_windows import Window, joined, windows_of
from jax_origin.workflow.methods import Method

INSPECTED, REFERENCE = "generator", "reference"
"""Models that an image is inverted under, by what they are for: their roles."""

_TOGETHER = 4  # Blocks of files of one size, other than that of their images, are run together.
_NEVER = Futility()
_AGAIN = 2**31  # A tag that a key is folded with; draws have the numbers from 1.


class Asked(NamedTuple):
    """An image to be scored.

    Attributes:
      tag: Whatever the caller knows it by; what is found comes with it.
      image: As `jax_origin.inversion.Item` has it.
      reference: What its distance is held against; see `jax_origin.scores.Score.reference`.
      accept: The image is done as soon as it is sure to score at most this.
      windows: Those that are inverted instead of the image; empty where it is inverted itself.
      heats: As `jax_origin.inversion.Item` has them.
    """

    tag: Any
    image: Any
    reference: float | None = None
    accept: float | None = None
    windows: tuple[Window, ...] = ()
    heats: tuple[Heat, ...] = ()


class Scored(NamedTuple):
    """What was found of one image.

    Attributes:
      tag: The caller's.
      score: What is ranked; not finite where the generator gave no finite image.
      inversion: Under the inspected generator, without a first axis: the first one of several
        draws, or the image's and not its reconstruction's, with the evaluations of all.
      least: The lowest score that the image could have; see `jax_origin.scores.Score.least`.
      unit: The distance at which it scores 1; 1 where the distance alone does not say it.
    """

    tag: Any
    score: float
    inversion: Inversion
    least: float
    unit: float = 1.0


class Scorer:
    """Inverts images and scores them by a method, whose rule plays no part. It is made once.

    Its engines take the same key, levels of futility and run, and `encoders` has theirs, by role;
    for these see `jax_origin.invert`, and for `advance` see `Engine`. A score may need a reference
    generator.

    `looking` is the score whose look at images is kept in what is found (`Score.looking`); without
    it the method's.

    Where a score looks at each image twice (`Score.twice`), the last engine inverts what the first
    one reconstructs, as it comes.
    """

    def __init__(
        self,
        generator: GeneratorLike,
        method: Method,
        *,
        key: jax.Array,
        reference: GeneratorLike | None = None,
        encoders: Mapping[str, StartEncoder] | None = None,
        futility: Futility = _NEVER,
        run: Run | None = None,
        advance: Callable[[float], None] | None = None,
        looking: Score | None = None,
    ) -> None:
        self._method, self._score, self._draws = method, method.score, method.draws
        look = (looking or method.score).looking(generator)
        self._look = None if look is None else nnx.jit(look)
        self._generator, self._twice = generator, method.score.twice
        self._run = run or Run()
        self._statistics = self._run.statistics
        levels, self._futility = futility.levels, futility
        models = [
            (INSPECTED, generator, jax.random.fold_in(key, draw) if draw else key, levels)
            for draw in range(method.draws)
        ]
        if reference is not None:
            models.append((REFERENCE, reference, key, levels))
        if self._twice:
            # Given up early, a reconstruction would make its image look nearer than it is.
            models.append((INSPECTED, generator, jax.random.fold_in(key, _AGAIN), ()))
        told = advance or (lambda share: None)
        self.engines = [
            Engine(
                model,
                method.recipe,
                key=own_key,
                encoder=(encoders or {}).get(role),
                futility=given_up,
                run=run,
                advance=lambda share: told(share / len(models)),
            )
            for role, model, own_key, given_up in models
        ]

    def asked(self, tag: Any, image: Any) -> Asked:
        """An image to be scored, with what its distance is held against; none has an `accept`.

        A ValueError says so if it is too small to be judged.
        """
        if not isinstance(stored := image, Stored):
            (pixels,) = as_uint8(image[None])
            stored = Stored("pixels", pixels, "grey" if pixels.shape[2] == 1 else "rgb")
        windows = judged_windows(stored, self._generator, self._method)
        reference = held_against(stored, windows, self._generator, self._method)
        return Asked(tag, image, reference, windows=windows)

    def stream(self, items: Iterable[Asked]) -> Iterator[Scored]:
        """Scores images as they come, each as soon as it can be; see `Engine.run`.

        Files of another size than their images (`Stored.room`) wait for others of theirs.
        """
        source, waiting = iter(items), dict[tuple[int, int], list[Asked]]()
        full: list[Asked] = []

        def of_one_size() -> Iterator[Asked]:
            for item in source:
                room = item.image.room if isinstance(item.image, Stored) else None
                if room is None:
                    yield item
                    continue
                some = waiting.setdefault(room, [])
                some.append(item)
                if len(some) == _TOGETHER * self._method.recipe.block:
                    full.extend(waiting.pop(room))
                    return

        yield from self._stream(of_one_size())
        while full or waiting:
            some = full or waiting.pop(next(iter(waiting)))
            yield from self._stream(iter(some))
            if full:
                full.clear()
                yield from self._stream(of_one_size())

    def _stream(self, items: Iterator[Asked]) -> Iterator[Scored]:
        """Scores images whose targets have one shape."""
        # The engines take turns, so that few images wait for what is still to be found of them.
        whole = itertools.chain.from_iterable(map(self._items, items))
        engines = self.engines[:-1] if self._twice else self.engines
        sources = itertools.tee(whole, len(engines))
        streams = [engine.run(source) for engine, source in zip(engines, sources, strict=True)]
        if self._twice:
            streams[0], reconstructions = itertools.tee(streams[0])
            streams.append(self._again(reconstructions))
        waiting: dict[int, dict[tuple[int, int], Inversion]] = {}
        for turn in zip(*streams, strict=True):
            for which, ((item, part), one) in enumerate(turn):
                found = waiting.setdefault(id(item), {})
                found[which, part] = one
                if len(found) == len(self.engines) * max(1, len(item.windows)):
                    del waiting[id(item)]
                    yield self._scored(item, found)

    def _again(self, found: Iterable[tuple[Any, Inversion]]) -> Iterator[tuple[Any, Inversion]]:
        """The inversions of reconstructions, by the tags of those that gave them."""

        def items() -> Iterator[Item]:
            for (item, part), one in found:
                # One that is not finite has no score in any case.
                seen = np.nan_to_num(one.reconstruction, nan=0.5)
                yield Item((item, part), seen, share=1 / max(1, len(item.windows)))

        return self.engines[-1].run(items())

    def _items(self, item: Asked) -> list[Item]:
        """An image for the engines: itself, or its windows."""
        accept = item.accept
        if accept is not None:
            accept = self._score.distance_at(accept, item.reference)
        # Scores are clamped at the method's floor: a distance that comes to it need not go lower.
        floor = self._score.distance_at(self._method.floor, item.reference) or 0.0
        unit, promising = 1.0, 0.0
        if self._futility.power:
            unit = float(self._futility.unit(self._unit(item.reference)))
            if self._futility.spares:
                promising = self._score.distance_at(self._score.promising, item.reference) or 0.0
        heats: dict[str, Any] = {"heats": item.heats}
        ahead = self._futility.ahead
        goals = {"floor": floor, "unit": unit, "promising": promising, "ahead": ahead, **heats}
        if not item.windows:
            return [Item((item, 0), item.image, accept, **goals)]
        # Several are inverted in full: that one is near enough does not say that all are.
        several = len(item.windows) > 1
        share, accept = 1 / len(item.windows), None if several else accept
        return [
            Item((item, i), window.stored, accept, share, **goals)
            for i, window in enumerate(item.windows)
        ]

    def _unit(self, reference: float | None) -> float:
        """The distance of an image that scores 1; 1 where the distance alone does not say it."""
        return self._score.distance_at(1.0, reference) or 1.0

    def _scored(self, item: Asked, found: Mapping[tuple[int, int], Inversion]) -> Scored:
        parts = range(max(1, len(item.windows)))
        each = [[found[which, i] for i in parts] for which in range(len(self.engines))]
        whole = [joined(item.image, item.windows, ours) for ours in each]
        steps = 0
        options: dict[str, Any] = {}
        if self._twice:
            again = whole.pop()
            steps, options["again"] = again.steps, _batch(again)
        draws, theirs = whole[: self._draws], whole[self._draws :]
        if self._look is not None:
            pixels = item.image.pixels if isinstance(item.image, Stored) else item.image
            seen = np.asarray(self._look(self._generator, jnp.asarray(as_float(pixels[None]))))[0]
            draws = [each._replace(seen=seen) for each in draws]
        held: Any = theirs[0].distance if theirs else item.reference
        reference = None if held is None else np.array([held], np.float64)
        scores = [self._score(_batch(ours), reference, **options)[0] for ours in draws]
        if self._statistics is not None:  # An image counts once, however often it is inverted.
            self._statistics.images -= len(found) - 1
        steps = np.sum([steps, *(ours.steps for ours in draws)])
        least = self._score.least(item.reference)
        unit, first = self._unit(item.reference), draws[0]._replace(steps=steps)
        return Scored(item.tag, float(np.mean(scores)), first, least, unit)

    def scores(self, images: Any) -> NDArray[np.float64]:
        """The scores of images [N, H, W, C], or of N as files store them, float64 [N]."""
        return np.array([each.score for each in self.found(images)], np.float64)

    def found(self, images: Any, *, accept: float | None = None) -> list[Scored]:
        """What is found of each image, in order; `tag` is its place. For `accept` see `Asked`."""
        numbered = enumerate(as_images(images))
        items = map_ahead(lambda each: self.asked(*each)._replace(accept=accept), numbered)
        return sorted(self.stream(self._run.waiting_for(items)), key=lambda each: each.tag)


def judged_windows(image: Stored, generator: GeneratorLike, method: Method) -> tuple[Window, ...]:
    """The windows that are inverted instead of an image, as `windows_of` gives them; or none."""
    return windows_of(image, generator, method.windows) if method.windows else ()


def held_against(
    image: Stored, windows: Sequence[Window], generator: GeneratorLike, method: Method
) -> float | None:
    """What an image's distance is held against: of windows the mean. See `Score.reference`."""
    numbers, distance = math.prod(generator.latent_shape), method.recipe.distance
    parts = [(window.seen, window.share) for window in windows] or [(image, 1.0)]
    held = [
        method.score.reference(part, max(1, round(share * numbers)), distance)
        for part, share in parts
    ]
    known = [each for each in held if each is not None]
    return float(np.mean(known)) if known else None


def encoders_of(calibration: Calibration) -> dict[str, StartEncoder]:
    """The encoders that a calibration was made with, by role; none where nothing was trained.

    Raises:
      CalibrationError: If they cannot be made.
    """
    weights: dict[str, dict[str, np.ndarray]] = {INSPECTED: {}, REFERENCE: {}}
    for name, array in calibration.encoder_weights.items():
        role, _, within = name.partition(".")
        weights[role][within] = array
    configs = calibration.encoders or {}
    try:
        return {r: encoder_from_arrays(configs[r], weights[r]) for r in weights if r in configs}
    except ValueError as error:
        where = calibration.path or "the calibration"
        raise CalibrationError(f"{where}: {error}") from None


def _batch(found: Inversion) -> Inversion:
    return Inversion(*(part[None] for part in found))
