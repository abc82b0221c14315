"""Like with like: which calibrated conditions leave a file like an image's."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from jax_origin.calibration import (
    AS_MADE,
    DRIFT,
    Calibration,
    Decider,
    Decision,
    Rates,
    parse_condition,
)
from jax_origin.calibration.decision_rules import TOO_LITTLE
from jax_origin.images import IN_GREY, Stored, edits_alike, short_digest


class Likeness(NamedTuple):
    """What an image is compared with.

    Attributes:
      conditions: Those of a calibration that would have left such a file; None for all.
      unlike: What sets it apart from fresh images of all of them, in words; None if nothing does.
    """

    conditions: tuple[str, ...] | None
    unlike: str | None


def likeness(image: Stored, calibration: Calibration) -> Likeness:
    """The conditions of a calibration that would have left such a file as an image's.

    An image that a foreign group was made of is unlike fresh ones: its q proves nothing. A decision
    that judges no q knows no conditions: all files are alike to it. For the rest see
    `jax_origin.images.edits_alike`.
    """
    if not calibration.decision.judges_q:
        return Likeness(None, None)
    resized = calibration.measured.looks_resized
    kept, known = kept_of(image, calibration.generator["image_shape"]), calibration.conditions
    conditions, unlike = conditions_alike(image, known, looks_resized=resized, kept=kept)
    if unlike is not None:
        unlike += f"; calibrated: {', '.join(calibration.belonging_by_condition)}"
    if calibration.foreign_digests:
        group = calibration.foreign_digests.get(short_digest(image.pixels))
        if group is not None:
            unlike = f"the calibration's foreign group {group!r} was made of this very image"
    return Likeness(conditions or None, unlike)


def kept_of(image: Stored, whole: Sequence[int]) -> float:
    """What of an image of shape (H, W, C) is left in a file, as a share of its side; at most 1."""
    height, width = image.pixels.shape[:2]
    return min(1.0, height / whole[0], width / whole[1])


def conditions_alike(
    image: Stored, conditions: Iterable[str], *, looks_resized: bool, kept: float = 1.0
) -> tuple[tuple[str, ...], str | None]:
    """Those of "as made" and of these conditions that would have left such a file; what differs.

    `looks_resized` says that the generator's own images look as if they had been resized; `kept`,
    how large the image is as a share of theirs.
    """
    known: dict[str, list[str]] = {"clean": [AS_MADE]}  # A file tells edits, and no settings.
    for condition in conditions:
        known.setdefault(parse_condition(condition).edit or "clean", []).append(condition)
    edits, unlike = edits_alike(image, known, resized=not looks_resized, kept=kept)
    return tuple(condition for edit in edits for condition in known[edit]), unlike


def decider_alike(
    calibration: Calibration, *, rates: Rates | None = None
) -> Callable[..., Decision]:
    """What decides on a score by the conditions that its image is like, if any.

    It takes the score, the `Likeness`, and the least score that the image can have (0 without). The
    calibration's own rates of error count where none are given. Raises as
    `jax_origin.calibration.decide` does.
    """
    decider = functools.cache(functools.partial(Decider, calibration, rates=rates))
    decider(conditions=None)  # A wrong rate is refused now, not at the first image.

    def decided(score: float, like: Likeness, least: float = 0.0) -> Decision:
        (decision,) = decider(conditions=like.conditions)([score], least)
        if like.unlike is None or decision.reason == TOO_LITTLE:
            return decision
        # In grey there is less to come near to: what does not, would not in colour.
        if like.unlike.startswith(IN_GREY) and decision.verdict == "not_recognised":
            return decision
        return decision._replace(verdict="undecided", reason=f"{DRIFT}: {like.unlike}")

    return decided
