"""The front door: attribute images, with a calibration made for the generator."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import (
    AS_MADE,
    DRIFT,
    Calibration,
    CalibrationError,
    Decider,
    Decision,
    accepting_score,
    attribution_threshold,
    compared_with,
    parse_condition,
)
from jax_origin.distance import TO_STORED
from jax_origin.generators import GeneratorLike, fingerprint, generator_name
from jax_origin.images import (
    Stored,
    as_images,
    as_uint8,
    edits_alike,
    find_resizings,
    short_digest,
    stored_pixels,
)
from jax_origin.inversion import Statistics
from jax_origin.methods import Method
from jax_origin.scoring import Progress, learned_starts, score_stream

# Distances that are the score "loss" themselves.
_RANKED = ("l2", "stored")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found about one image.

    Attributes:
      generator: The inspected generator's name.
      method: The method's name.
      steps: Gradient evaluations that this image took.
      index: The image's place in the order in which it came.
      verdict: "belongs", "foreign" or "undecided"; None where there is an error.
      reason: Why it is undecided, or what is not known of the verdict; None if nothing is to add.
      p: How well the score fits belonging images; small speaks against belonging.
      condition: Of the conditions that leave such a file, the one whose belonging images it fits
        best: "as made", or an edit.
      q: How well it fits the best-fitting foreign group; small speaks against all of them. None
        without foreign groups.
      score: The number that was ranked.
      score_kind: "full", as calibrated; or "upper_bound", where the image was accepted before its
        inversion had ended: p is then a lower bound, and q an upper one.
      loss: Mean squared error between image and reconstruction, images in [0, 1].
      error: What went wrong, in one line; None if nothing did.
      reconstruction: The nearest image that the generator was found to make, float32 [H, W, C].
    """

    generator: str
    method: str
    steps: int
    index: int = 0
    verdict: str | None = None
    reason: str | None = None
    p: float | None = None
    condition: str | None = None
    q: float | None = None
    score: float | None = None
    score_kind: str | None = None
    loss: float | None = None
    error: str | None = None
    reconstruction: NDArray[np.float32] | None = dataclasses.field(
        default=None, repr=False, compare=False
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
    progress: Progress | None = None,
) -> list[Verdict]:
    """Decides for each image whether the generator made it.

    Args:
      images: uint8, or float in [0, 1]; [N, H, W, C] of the generator's image shape. Or a list of
        `jax_origin.images.Stored`, such as `decode_stored` makes of files.
      generator: The generator to inspect.
      calibration: Made for this very generator; it says the method.
      key: A JAX key, for starting points. An image's verdict does not depend on the others'.
      alpha: Rate of false exclusion; the calibration's own without it.
      beta: Rate of false attribution; the calibration's own without it.
      max_false_attribution: See `attribute_stream`.
      reference: The reference generator, where the calibration was made with one.
      full_scores: Whether the inversion of an image goes on when it is sure to belong.
      progress: Called with the number of gradient evaluations done since its last call.

    Returns:
      One verdict for each image, in order.

    Raises:
      CalibrationError: If the calibration is for another generator, or another reference.
      ValueError: If the images are no such array; if alpha or beta is not in (0, 1).
    """
    verdicts = attribute_stream(
        as_images(images) if len(images) else [],
        generator,
        calibration,
        key=key,
        alpha=alpha,
        beta=beta,
        max_false_attribution=max_false_attribution,
        reference=reference,
        full_scores=full_scores,
        progress=progress,
    )
    return sorted(verdicts, key=lambda verdict: verdict.index)


def attribute_stream(
    images: Iterable[Any],
    generator: GeneratorLike,
    calibration: Calibration,
    *,
    key: jax.Array,
    alpha: float | None = None,
    beta: float | None = None,
    max_false_attribution: float | None = None,
    reference: GeneratorLike | None = None,
    full_scores: bool = False,
    devices: Sequence[jax.Device] | None = None,
    blocks: int | None = None,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> Iterator[Verdict]:
    """Decides for any number of images, each as soon as it can be.

    An image is compared with belonging and foreign images of the conditions that would have left
    such a file as its own; see `likeness`. Where none would, or where the calibration was made of
    this very image, it is undecided.

    An image that is sure to belong is not inverted any further: the lowest loss only falls, so its
    verdict is that of the full run, and its ``score_kind`` is "upper_bound". That holds where the
    score is the tracked distance itself; other scores are always run in full.

    Args:
      images: uint8, or float in [0, 1], each [H, W, C] of the generator's image shape; or as files
        store them, `jax_origin.images.Stored`. They are taken as they are needed, and not kept.
      generator: The generator to inspect.
      calibration: Made for this very generator; it says the method.
      key: A JAX key, for starting points. An image's verdict does not depend on the others'.
      alpha: Rate of false exclusion; the calibration's own without it.
      beta: Rate of false attribution; the calibration's own without it.
      max_false_attribution: A rate that false attribution keeps under in every foreign group, with
        95% confidence by exact counts of independent sources; an image that would belong by a score
        too high for that is undecided. Refused where the calibration's groups are too small.
      reference: The reference generator, where the calibration was made with one.
      full_scores: Whether the inversion of an image goes on when it is sure to belong; likelihood
        ratios, multiple testing and rankings need that.
      devices: Devices among which lanes are divided; all of this process without it.
      blocks: Blocks of lanes on each device at a time; see `jax_origin.invert`.
      statistics: Is added to.
      progress: Called with the number of gradient evaluations done since its last call.

    Returns:
      An iterator over the verdicts, in the order in which they are decided; ``index`` is the
      image's place in the order in which it came.

    Raises:
      CalibrationError: If the calibration is for another generator, or another reference; if its
        foreign groups cannot keep max_false_attribution: the message says how many more they need.
      ValueError: If alpha or beta is not in (0, 1); later, if an image is no such array.
    """
    check_calibration(calibration, generator, reference=reference)
    method = Method.from_dict(calibration.method)
    decided = decider_alike(calibration, alpha=alpha, beta=beta)
    starts = learned_starts(calibration)
    to_stored = method.inversion.distance in TO_STORED
    early = not full_scores and method.score == "loss" and method.inversion.distance in _RANKED
    if max_false_attribution is not None:
        try:
            attribution_threshold(calibration.foreign, rate=max_false_attribution)
        except ValueError as error:
            raise CalibrationError(f"max_false_attribution: {error}") from None

    @functools.cache
    def highest(conditions: tuple[str, ...] | None) -> float:
        """The score above which none of these conditions is attributed to."""
        if max_false_attribution is None:
            return np.inf
        foreign = compared_with(calibration, conditions).foreign
        return attribution_threshold(foreign, rate=max_false_attribution).accepting

    @functools.cache
    def accepting(conditions: tuple[str, ...] | None) -> float:
        found = accepting_score(calibration, alpha=alpha, beta=beta, conditions=conditions)
        return -np.inf if found is None else min(found, highest(conditions))

    def accept(image: Any) -> float:
        like = likeness(image, calibration)
        return -np.inf if like.unlike else accepting(like.conditions)

    under_way: dict[int, Likeness] = {}

    def arriving() -> Iterator[Any]:
        for index, image in enumerate(images):
            if to_stored and not isinstance(image, Stored):
                (image,) = stored_pixels(image[None])
            under_way[index] = likeness(image, calibration)
            yield image

    def verdicts() -> Iterator[Verdict]:
        for index, score, found in score_stream(
            generator,
            arriving(),
            method,
            key=key,
            reference=reference,
            starts=starts,
            accept=accept if early else None,
            devices=devices,
            blocks=blocks,
            statistics=statistics,
            progress=progress,
        ):
            common: dict[str, Any] = {
                "generator": calibration.generator["name"],
                "method": method.name,
                "steps": int(found.steps),
                "index": index,
            }
            like = under_way.pop(index)
            if not np.isfinite(score):
                error = "the generator gave no finite image for any latent that was tried"
                yield Verdict(**common, error=error)
                continue
            decision = decided(score, like)
            if decision.verdict == "belongs" and score > highest(like.conditions):
                reason = f"more than {max_false_attribution:g} of a foreign group may score as low"
                decision = decision._replace(verdict="undecided", reason=reason)
            yield Verdict(
                verdict=decision.verdict,
                reason=decision.reason,
                p=decision.p,
                condition=decision.condition,
                q=decision.q,
                score=score,
                score_kind="upper_bound" if found.ended == "accepted" else "full",
                loss=float(found.loss),
                reconstruction=found.reconstruction,
                **common,
            )

    return verdicts()


class Likeness(NamedTuple):
    """What an image is compared with.

    Attributes:
      conditions: Those of a calibration that would have left such a file; None for all.
      unlike: What sets it apart from fresh images of all of them, in words; None if nothing does.
    """

    conditions: tuple[str, ...] | None
    unlike: str | None


def likeness(image: Any, calibration: Calibration) -> Likeness:
    """The conditions of a calibration that would have left such a file as an image's.

    An image that came as an array is taken for a lossless file. One that a foreign group was made
    of is unlike fresh ones: its q proves nothing. The published decision knows no conditions, and
    has no q: all files are alike to it. See `jax_origin.images.edits_alike` for the rest.

    Args:
      image: [H, W, C], or `jax_origin.images.Stored`.
      calibration: The calibration.
    """
    if calibration.method["decision"] == "published":
        return Likeness(None, None)
    stored = image
    if not isinstance(image, Stored):
        (pixels,) = as_uint8(np.asarray(image)[None])
        stored = Stored("pixels", pixels, resizings=find_resizings(pixels))
    known: dict[str, list[str]] = {"clean": [AS_MADE]}  # A file tells edits, and no settings.
    for condition in calibration.conditions:
        known.setdefault(parse_condition(condition).edit or "clean", []).append(condition)
    resized = not calibration.method.get("looks_resized", False)
    edits, unlike = edits_alike(stored, known, resized=resized)
    if unlike is not None:
        unlike += f"; calibrated: {', '.join(calibration.belonging_by_condition)}"
    if calibration.foreign_digests:
        group = calibration.foreign_digests.get(short_digest(stored.pixels))
        if group is not None:
            unlike = f"the calibration's foreign group {group!r} was made of this very image"
    conditions = tuple(condition for edit in edits for condition in known[edit])
    return Likeness(conditions or None, unlike)


def decider_alike(
    calibration: Calibration, *, alpha: float | None = None, beta: float | None = None
) -> Callable[[float, Likeness], Decision]:
    """What decides on one image by the conditions that it is like; undecided where it is like none.

    Args:
      calibration: The calibration.
      alpha: Rate of false exclusion; the calibration's own without it.
      beta: Rate of false attribution; the calibration's own without it.

    Returns:
      The decision of a score and a `Likeness`.

    Raises:
      ValueError: As `jax_origin.calibration.decide`.
    """
    decider = functools.cache(functools.partial(Decider, calibration, alpha=alpha, beta=beta))
    decider(conditions=None)  # A wrong alpha or beta is refused now, not at the first image.

    def decided(score: float, like: Likeness) -> Decision:
        (decision,) = decider(conditions=like.conditions)([score])
        if like.unlike is None:
            return decision
        return decision._replace(verdict="undecided", reason=f"{DRIFT}: {like.unlike}")

    return decided


def check_calibration(
    calibration: Calibration, generator: GeneratorLike, *, reference: GeneratorLike | None = None
) -> None:
    """Makes sure that a calibration was made for this generator and this reference.

    Raises:
      CalibrationError: If it was not; the message says for what it was made. If its method is
        none that can be run here, or its learned start cannot be made.
    """
    where = calibration.path or "the calibration"
    calibration.require(
        fingerprint=fingerprint(generator), generator_name=generator_name(generator)
    )
    wanted = calibration.method["reference"]
    given = fingerprint(reference) if reference is not None else None
    if wanted != given:
        made = f"reference {wanted[:12]}..." if wanted else "no reference"
        asked = f"reference {given[:12]}..." if given else "none"
        raise CalibrationError(f"{where} was made with {made}; here there is {asked}")
    try:
        Method.from_dict(calibration.method)
    except (TypeError, ValueError) as error:
        raise CalibrationError(f"{where}: its method cannot be run: {error}") from None
    learned_starts(calibration)
