"""The front door: attribute images, with a calibration made for the generator."""

import contextlib
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, NamedTuple

import jax
import numpy as np

from jax_origin.calibration import (
    Calibration,
    CalibrationError,
    Rates,
    accepting_score,
    attribution_threshold,
    compared_with,
)
from jax_origin.calibration.rules import scores_needed
from jax_origin.generators import GeneratorLike, fingerprint, generator_name, inspected
from jax_origin.images import (
    ImageError,
    OpenedImage,
    Stored,
    as_float,
    as_uint8,
    find_images,
    map_ahead,
    open_each,
    open_image,
)
from jax_origin.inversion import Run, require_key
from jax_origin.parts import one_of
from jax_origin.workflow.another_size import read_so
from jax_origin.workflow.drift import ScoredAgain, score_again
from jax_origin.workflow.judged_windows import check_shape, enlarged, may_be_cut
from jax_origin.workflow.likeness import Likeness, decider_alike, likeness
from jax_origin.workflow.looks import READINGS, Looks
from jax_origin.workflow.methods import Method
from jax_origin.workflow.scorer import Asked, Scored, Scorer, encoders_of
from jax_origin.workflow.verdict import Verdict

_AHEAD, _TOGETHER = 128, 8  # Images that are opened ahead; and in one message.
_ONE_IMAGE = (bytes, bytearray, Stored, OpenedImage)
_FILES = (str, os.PathLike, bytes, bytearray)
_NO_IMAGE = "the generator gave no finite image for any latent that was tried"


class _Looked(NamedTuple):
    """An image that was looked at: what it is, and what it is compared with."""

    tag: int
    path: str | None
    opened: OpenedImage | None = None
    like: Likeness | None = None
    reference: float | None = None  # What its distance is held against, where it says that itself.
    error: str | None = None


class Attributor:
    """Decides for images whether a generator made them. It is made once, for any number of them.

    Each image is judged only against calibration scores for edits that could have produced its kind
    of file; see `jax_origin.workflow.likeness`. Where none could, or where the calibration was made
    of this very image, it is undecided.

    An image that is sure to belong is not inverted any further. The tracked distance only falls, so
    its verdict is that of the full run, and its ``score_kind`` is "upper_bound". That holds where
    the score rises with the distance, and with nothing else that is still to be found
    (`Score.distance_at`). Other scores are always run in full.

    Args:
      generator: The generator to inspect.
      calibration: Made for this very generator; it says the method.
      key: A JAX key, for starting points. An image's verdict does not depend on the others'.
      rates: The rates of error; the calibration's own where one is not given. With
        `max_false_attribution`, false attribution keeps under it in every foreign group, with 95%
        confidence by exact counts of independent sources. An image that would belong by a score too
        high for that is undecided.
      reference: The reference generator, where the calibration was made with one.
      full_scores: Whether the inversion of an image goes on when it is sure to belong; likelihood
        ratios, multiple testing and rankings need that.
      resize: Whether files of another size are taken for images that were resized, which their
        records then say; see `jax_origin.images.rescaled`. Where windows are judged, only those too
        small for one are: they are enlarged until it fits.
      source: What arrays are: "lossless", the pixels of a lossless file; or "unknown", so that they
        are undecided wherever that matters. A decoded JPEG is no lossless file: hand over its path
        or bytes instead.
      readings: What else may have been done to an image that does not look like the generator's own
        as it is: "usual" for the turns and mirrorings that leave its size, then for a part of one
        where its size or its pixels show how large (`jax_origin.images.as_part`), then for changes
        of its colours or sharpness (`Retouching`) and small cuts and turns (`Frame`), both at once;
        "none" for nothing. One that fits as if it had been turned is judged by that; q is then
        divided by the turn's share of all chances (`jax_origin.images.TURNS`). All turns together
        attribute at most beta of a foreign group, and so do the others together, beside the beta
        that may be attributed as they are: three times beta in all. At last it is searched for a
        part that the generator made (`InPart`), which is never attributed. "all" looks besides for
        cuts to 60% of a side, and begins the last search from squares of the image, too. With
        `max_false_attribution`, with a reference, and by methods that look at pixels, judge windows
        or draw several times, nothing else is read. Images wait until a block is to be read again.
      run: Where and how.

    Raises:
      CalibrationError: If the calibration is for another generator or reference, or cannot keep the
        rates that were asked for: the message says how many more images it needs.
      ValueError: If the key is none, `source` or `readings` is another word, or the generator
        breaks its contract.
    """

    def __init__(
        self,
        generator: GeneratorLike,
        calibration: Calibration,
        *,
        key: jax.Array,
        rates: Rates | None = None,
        reference: GeneratorLike | None = None,
        full_scores: bool = False,
        resize: bool = False,
        source: str = "lossless",
        readings: str = "usual",
        run: Run | None = None,
    ) -> None:
        require_key(key)
        one_of("readings", readings, READINGS)
        if source not in ("lossless", "unknown"):
            raise ValueError(f'source must be "lossless" or "unknown", not {source!r}')
        self.generator, self.run = inspected(generator), run or Run()
        self._reference = reference
        self.calibration, self._resize, self._lossless = calibration, resize, source == "lossless"
        check_calibration(calibration, self.generator, reference=reference)
        self.method = Method.of(calibration)
        asked = rates or Rates()
        self.rates = asked.over(calibration.rates)
        _check_reach(calibration, asked, self.rates.max_false_attribution)
        self._decided = decider_alike(calibration, rates=self.rates)
        self._early = not full_scores
        self._advance = self.run.counter("attributing", None)
        self._looks = Looks(
            self.generator,
            self.method,
            calibration,
            readings=readings,
            rates=self.rates,
            key=key,
            run=self.run,
            advance=self._looked,
        )
        self._scorer = Scorer(
            self.generator,
            self.method,
            key=key,
            reference=reference,
            encoders=encoders_of(calibration),
            futility=calibration.measured.given_up,
            run=self.run,
            advance=self._looked,
        )
        self._highest = functools.cache(self._find_highest)
        self._accepting = functools.cache(self._find_accepting)

    def __call__(self, images: Any) -> list[Verdict]:
        """One verdict for each image, in order; see `stream` for what it takes."""
        return sorted(self.stream(images), key=lambda verdict: verdict.tag)

    def stream(self, source: Any) -> Iterator[Verdict]:
        """Decides for any number of images, each as soon as it can be.

        Files are read ahead of the inversion, in threads or in the run's `decoders`. One that
        cannot be read has its reason for an error, and the rest goes on.

        Args:
          source: An array [N, H, W, C], uint8 or float in [0, 1]; a file, a folder or a pattern
            such as "photos/*.png"; or any iterable of images, which are taken as they are needed
            and not kept: paths, bytes of files, arrays [H, W, C], `jax_origin.images.Stored`, and
            what `jax_origin.images.open_image` gives. One image in bytes or opened may stand alone.

        Yields:
          The verdicts, in the order in which they are decided; `tag` is the image's place in the
          order in which it came.

        Raises:
          ImageError: If there is no such folder, or nothing fits the pattern.
          ValueError: If an array holds no images of the generator's shape.
        """
        if isinstance(source, str | os.PathLike):
            source = find_images(source)
        elif isinstance(source, np.ndarray | jax.Array):
            source = as_float(source)
        elif isinstance(source, _ONE_IMAGE):
            source = [source]
        total = len(source) if isinstance(source, Sized) else None
        self._advance = self.run.counter("attributing", total)
        failed: list[Verdict] = []

        def items() -> Iterator[Asked]:
            together = _TOGETHER if self.run.decoders else 1
            looking = map_ahead(
                self._look_at,
                _batches(enumerate(source), together),
                workers=self.run.readers,
                ahead=_AHEAD // together,
            )
            for asked in self.run.waiting_for(itertools.chain.from_iterable(looking)):
                looked = asked.tag
                if looked.error is not None:
                    self._advance(1.0)
                    failed.append(self._verdict(looked, error=looked.error))
                    continue
                yield asked

        again: list[Verdict] = []
        for scored in self._scorer.stream(items()):
            while failed:
                yield failed.pop(0)
            verdict = self._judged(scored)
            if not self._looks.are_for(verdict):
                yield verdict
                continue
            again.append(verdict)
            if len(again) == self.method.recipe.block:
                yield from self._looks(again)
                again = []
        yield from self._looks(again)
        yield from failed

    def _looked(self, share: float) -> None:
        """Tells how much of an image's looks is done: the first one and those after it."""
        self._advance(share / (1 + len(self._looks)))

    @property
    def inversions(self) -> int:
        """How often an image is inverted at the most, by all windows, draws and models together.

        Each further look is one inversion more, and turns take the first stage of some others.
        """
        return max(1, self.method.windows) * len(self._scorer.engines) + len(self._looks)

    def score_again(self, num: int = 8) -> ScoredAgain | None:
        """Scores some of the calibration's own images again; see `score_again`."""
        options: dict[str, Any] = {"reference": self._reference, "run": self.run}
        return score_again(self.generator, self.calibration, num=num, **options)

    def _look_at(self, batch: Sequence[tuple[int, Any]]) -> list[Asked]:
        """Looks at some images, whose files go to another process in one message; in a thread."""
        images, decoders = [image for _, image in batch], self.run.decoders
        found: Sequence[OpenedImage | ImageError | None] = [None] * len(images)
        if decoders and len(images) > 1 and all(isinstance(each, _FILES) for each in images):
            # One that ends the process ends it for all: then each is opened by itself.
            with contextlib.suppress(ImageError):
                found = decoders(open_each, images, **self._reading())
        return [self._look(*each, first) for each, first in zip(batch, found, strict=True)]

    def _look(self, tag: int, image: Any, first: OpenedImage | ImageError | None = None) -> Asked:
        """Opens an image, and works out once what it is compared with; in a thread.

        The tag of what is asked says what it is. `first` is what came of opening it, if known.
        """
        path = os.fspath(image) if isinstance(image, str | os.PathLike) else None
        try:
            opened = self._open(image, first)
        except ImageError as error:
            failed = _Looked(tag, error.path if path is None else path, error=error.reason)
            return Asked(failed, None)
        is_array = isinstance(image, np.ndarray | jax.Array)
        as_given = is_array and not self.method.recipe.distance.of_files
        pixels = np.asarray(image) if as_given else opened.stored
        like = likeness(opened.stored, self.calibration)
        asked = self._scorer.asked(None, opened.stored)
        looked = _Looked(tag, opened.path, opened, like, asked.reference)
        return asked._replace(tag=looked, image=pixels, accept=self._accept(looked))

    def _reading(self) -> dict[str, Any]:
        """How files are opened: the options of `open_image`."""
        height, width, channels = self.generator.image_shape
        windows = self.method.windows
        read: dict[str, Any] = {"channels": channels, "resize": self._resize}
        read["lossless"] = self._lossless
        read["rescale"] = self.method.recipe.distance.of_files and not windows
        return {"size": None if windows else (height, width), **read}

    def _open(self, image: Any, first: OpenedImage | ImageError | None) -> OpenedImage:
        channels = self.generator.image_shape[2]
        if channels not in (1, 3):  # No file holds such an image, and none can tell of it.
            (pixels,) = as_uint8(np.asarray(image)[None])
            return OpenedImage(Stored("pixels", pixels), None, None, pixels.shape[:2], None)
        if isinstance(first, ImageError):
            raise first
        windows, read = self.method.windows, self._reading()
        is_file = isinstance(image, _FILES)
        decoders = self.run.decoders if is_file else None
        opening = functools.partial(decoders, open_image) if decoders else open_image
        opened = opening(image, **read) if first is None else first
        if windows and self._resize and is_file:
            found = opened.pixels.shape[:2]
            if (size := enlarged(found, self.generator)) != found:
                return opening(image, **{**read, "size": size})
        try:
            cut = may_be_cut(opened.stored)
            check_shape(opened.pixels.shape, self.generator, windows, "images", cut=cut)
        except ValueError as error:  # A file that is too small is one of many.
            if opened.sha256 is None:
                raise
            reason = f"{error}; pass --resize to allow resizing"
            raise ImageError(opened.path or "image in memory", reason) from None
        return opened

    def _accept(self, looked: _Looked) -> float | None:
        """The score at which an image is sure to belong; None if it is inverted in full."""
        like = looked.like
        if not self._early or like is None or like.unlike:
            return None
        return self._accepting(like.conditions)

    def _find_highest(self, conditions: tuple[str, ...] | None) -> float:
        """The score above which none of these conditions is attributed to."""
        rate = self.rates.max_false_attribution
        if rate is None:
            return np.inf
        foreign = compared_with(self.calibration, conditions).foreign
        return attribution_threshold(foreign, rate=rate).accepting

    def _find_accepting(self, conditions: tuple[str, ...] | None) -> float:
        found = accepting_score(self.calibration, rates=self.rates, conditions=conditions)
        return -np.inf if found is None else min(found, self._highest(conditions))

    def _judged(self, scored: Scored) -> Verdict:
        looked, score, found, least, _ = scored
        if not np.isfinite(score):
            return self._verdict(looked, inversion=found, error=_NO_IMAGE)
        decision = self._decided(score, looked.like, least)
        if decision.verdict == "belongs" and score > self._highest(looked.like.conditions):
            limit = self.rates.max_false_attribution
            reason = f"more than {limit:g} of a foreign group may score as low"
            decision = decision._replace(verdict="undecided", reason=reason)
        if found.ended == "accepted":  # Which condition it would have come to fit is not known.
            decision = decision._replace(condition=None)
        read = read_so(decision, looked.opened.stored, found)
        return self._verdict(looked, inversion=found, score=score, **read._asdict())

    def _verdict(self, looked: _Looked, **found: Any) -> Verdict:
        return Verdict(
            generator=self.calibration.generator["name"],
            method=self.method.name,
            tag=looked.tag,
            path=looked.path,
            image=looked.opened,
            reference=looked.reference,
            **found,
        )


def attribute(
    images: Any,
    generator: GeneratorLike,
    calibration: Calibration,
    *,
    key: jax.Array,
    alpha: float | None = None,
    beta: float | None = None,
    max_false_attribution: float | None = None,
    reference: GeneratorLike | None = None,
    full_scores: bool = False,
    resize: bool = False,
    source: str = "lossless",
    readings: str = "usual",
    run: Run | None = None,
) -> list[Verdict]:
    """Decides for each image whether the generator made it; see `Attributor`.

    Args:
      images: See `Attributor.stream`.
      generator: The generator to inspect.
      calibration: Made for this very generator; it says the method.
      key: A JAX key, for starting points.
      alpha: Rate of false exclusion; the calibration's own without it.
      beta: Rate of false attribution; the calibration's own without it.
      max_false_attribution: A limit on false attribution; see `Rates`.
      reference: The reference generator, where the calibration was made with one.
      full_scores: Whether an image is inverted to the end when it is sure to belong.
      resize: Whether files of another size are resized.
      source: What arrays are, "lossless" or "unknown"; see `Attributor`.
      readings: What else images are read as, "usual", "all" or "none"; see `Attributor`.
      run: Where and how.

    It gives one verdict for each image, in order.

    Raises:
      CalibrationError, ValueError: As `Attributor`; the latter, too, if a rate is not in (0, 1).
    """
    stream = attribute_stream(
        images,
        generator,
        calibration,
        key=key,
        alpha=alpha,
        beta=beta,
        max_false_attribution=max_false_attribution,
        reference=reference,
        full_scores=full_scores,
        resize=resize,
        source=source,
        readings=readings,
        run=run,
    )
    return sorted(stream, key=lambda verdict: verdict.tag)


def attribute_stream(
    images: Any,
    generator: GeneratorLike,
    calibration: Calibration,
    *,
    key: jax.Array,
    alpha: float | None = None,
    beta: float | None = None,
    max_false_attribution: float | None = None,
    reference: GeneratorLike | None = None,
    full_scores: bool = False,
    resize: bool = False,
    source: str = "lossless",
    readings: str = "usual",
    run: Run | None = None,
) -> Iterator[Verdict]:
    """Decides for any number of images, each as soon as it can be; see `Attributor.stream`.

    Args:
      images: See `Attributor.stream`.
      generator: The generator to inspect.
      calibration: Made for this very generator; it says the method.
      key: A JAX key, for starting points.
      alpha: Rate of false exclusion; the calibration's own without it.
      beta: Rate of false attribution; the calibration's own without it.
      max_false_attribution: A limit on false attribution; see `Rates`.
      reference: The reference generator, where the calibration was made with one.
      full_scores: Whether an image is inverted to the end when it is sure to belong.
      resize: Whether files of another size are resized.
      source: What arrays are, "lossless" or "unknown"; see `Attributor`.
      readings: What else images are read as, "usual", "all" or "none"; see `Attributor`.
      run: Where and how.

    It gives the verdicts in the order in which they are decided, and raises what `attribute` does.
    """
    attributor = Attributor(
        generator,
        calibration,
        key=key,
        rates=Rates(alpha, beta, max_false_attribution),
        reference=reference,
        full_scores=full_scores,
        resize=resize,
        source=source,
        readings=readings,
        run=run,
    )
    return attributor.stream(images)


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def check_calibration(
    calibration: Calibration, generator: GeneratorLike, *, reference: GeneratorLike | None = None
) -> None:
    """Makes sure that a calibration was made for this generator and this reference.

    Raises:
      CalibrationError: If it was not, or if its method or encoder is none that can be made here.
    """
    where = calibration.path or "the calibration"
    calibration.require(
        fingerprint=fingerprint(inspected(generator)), generator_name=generator_name(generator)
    )
    wanted = calibration.reference
    given = fingerprint(inspected(reference)) if reference is not None else None
    if wanted != given:
        made = f"reference {wanted[:12]}..." if wanted else "no reference"
        asked = f"reference {given[:12]}..." if given else "none"
        raise CalibrationError(f"{where} was made with {made}; here there is {asked}")
    try:
        Method.of(calibration)
    except (TypeError, ValueError) as error:
        raise CalibrationError(f"{where}: its method cannot be run: {error}") from None
    encoders_of(calibration)


def _check_reach(calibration: Calibration, asked: Rates, limit: float | None) -> None:
    """Refuses rates that the calibration is too small for, before anything is inverted."""
    where, remedy = calibration.path or "the calibration", "calibrate with more images"
    if asked.alpha is not None:
        for own in calibration.belonging_by_condition.values():
            if calibration.rule.fit(own).threshold(asked.alpha) == np.inf:
                raise CalibrationError(
                    f"{where}: {calibration.rule.shortfall(asked.alpha, own.size)}; {remedy}, or "
                    "ask for a larger alpha"
                )
    if asked.beta is not None and calibration.decision.judges_q:
        needed = scores_needed(asked.beta)
        for name, group in calibration.foreign.items():
            if group.independent < needed:
                raise CalibrationError(
                    f"{where}: beta={asked.beta:g} needs at least {needed} independent sources in "
                    f"each foreign group, {name!r} has {group.independent}; {remedy}, or ask for a "
                    "larger beta"
                )
    if limit is not None:
        try:
            attribution_threshold(calibration.foreign, rate=limit)
        except ValueError as error:
            raise CalibrationError(f"{where}: max_false_attribution={limit:g}: {error}") from None
