"""What was found about one image, and how a record holds it."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import EDITED, Decision
from jax_origin.calibration.decision_rules import FITS_NEITHER
from jax_origin.images import OpenedImage
from jax_origin.inversion import Inversion

UPPER_BOUND = "upper_bound"
"""The kind of a score of an image that was accepted before its inversion had ended."""


class PartMap(NamedTuple):
    """Where in an image lies the part that a generator made; numbers of cells are [h, w].

    Attributes:
      share: The share of the cells that do not lie outside.
      errors: How far each lies beyond the file's set, root mean squares in grey levels; NaN where
        the file says nothing.
      p: The share of own images' cells that lie as far beyond it.
      outside: Which cells lie outside: discoveries by p, at a rate of false ones of 5%.
      side: Pixels to the side of a cell.
    """

    share: float
    errors: NDArray[np.float64]
    p: NDArray[np.float64]
    outside: NDArray[np.bool_]
    side: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found about one image.

    Attributes:
      generator: The inspected generator's name.
      method: The method's name.
      tag: The image's place in the order in which it came.
      path: Its file; None for an image that came without one.
      image: What was read of it; None where it could not be read.
      inversion: How near the generator comes to it; None where it was not inverted.
      score: The number that was ranked.
      reference: What the distance was held against, where the image itself says it: for
        `jax_origin.scores.CodeRatio` the distance of a generic code, for `DoubleReconstruction` the
        homogeneity.
      decision: What the score says; None where there is an error.
      reading: What was done to the image, as it is taken for the generator's, beside its condition;
        None for nothing.
      tried: What else it was read as, since it did not fit as it is.
      part: Where the part lies that the generator made, if it made one alone.
      error: What went wrong, in one line; None if nothing did.
    """

    generator: str
    method: str
    tag: int = 0
    path: str | None = None
    image: OpenedImage | None = dataclasses.field(default=None, repr=False, compare=False)
    inversion: Inversion | None = dataclasses.field(default=None, repr=False, compare=False)
    score: float | None = None
    reference: float | None = None
    decision: Decision | None = None
    reading: str | None = None
    tried: tuple[str, ...] = ()
    part: PartMap | None = dataclasses.field(default=None, repr=False, compare=False)
    error: str | None = None

    @property
    def verdict(self) -> str | None:
        """The answer: "belongs", "not_recognised" or "undecided"; None where there is an error.

        Not recognised means that nothing speaks for the generator: not as its images were made, nor
        after the calibrated edits. It does not say that another made it.
        """
        return self.decision and self.decision.verdict

    @property
    def reason(self) -> str | None:
        """Why it is undecided, or what is not known of the verdict; None if nothing is to add."""
        return self.decision and self.decision.reason

    @property
    def fits_nothing(self) -> bool:
        """Whether it fits no own images: not recognised, perhaps edited, or it fits neither."""
        reason = self.reason or ""
        return self.verdict == "not_recognised" or reason.startswith((FITS_NEITHER, EDITED))

    @property
    def p(self) -> float | None:
        """How well the score fits belonging images; small speaks against belonging."""
        return self.decision and self.decision.p

    @property
    def q(self) -> float | None:
        """How well it fits the best-fitting foreign group; small speaks against all of them.

        None without foreign groups.
        """
        return self.decision and self.decision.q

    @property
    def condition(self) -> str | None:
        """The condition whose belonging images it fits best: "as made", or an edit.

        None for an image that was accepted early: it might have come to fit another.
        """
        return self.decision and self.decision.condition

    @property
    def score_kind(self) -> str | None:
        """The kind of score: "full", as calibrated, or "upper_bound" of an image accepted early.

        p is then a lower bound, and q an upper one.
        """
        if self.decision is None or self.inversion is None:
            return None
        return UPPER_BOUND if self.inversion.ended == "accepted" else "full"

    @property
    def loss(self) -> float | None:
        """Mean squared error between image and reconstruction, images in [0, 1]."""
        return None if self.inversion is None or self.error else float(self.inversion.loss)

    @property
    def steps(self) -> int | None:
        """Gradient evaluations that this image took."""
        return None if self.inversion is None else int(self.inversion.steps)

    @property
    def reconstruction(self) -> NDArray[np.float32] | None:
        """The nearest image that the generator was found to make, float32 [H, W, C]."""
        return None if self.inversion is None or self.error else self.inversion.reconstruction

    def record(self) -> dict[str, Any]:
        """The verdict as plain values: a line of a run's records, or a row of a table.

        `pandas.DataFrame([verdict.record() for verdict in verdicts])` has a row for each.
        """
        image, stored = self.image, None
        if image is not None:
            found_in = image.stored.found_in
            note = image.stored.note if found_in is None else f"found in {found_in}"
            stored = image.stored.kind if note is None else f"{image.stored.kind} ({note})"
        return {
            "path": self.path,
            "sha256": image and image.sha256,
            "generator": self.generator,
            "method": self.method,
            "score": self.score if self.decision else None,
            "score_kind": self.score_kind,
            "loss": self.loss,
            "reference": self.reference,
            "p": self.p,
            "condition": self.condition,
            "reading": self.reading,
            "tried": list(self.tried) or None,
            "q": self.q,
            "verdict": self.verdict,
            "reason": self.reason,
            "steps": self.steps,
            "stored": stored,
            "note": image and image.note,
            "error": self.error,
        }
