"""A group of foreign scores: where they come from, how many count, and what they were used for."""

import dataclasses
from dataclasses import dataclass, field
from reprlib import repr as short_repr
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.errors import CalibrationError
from jax_origin.calibration.rule import as_scores


@dataclass(frozen=True, eq=False)
class ForeignGroup:
    """Scores of images of one foreign origin: photographs, or another generator's.

    Attributes:
      scores: float64 [M], M >= 1, finite, >= 0.
      independent: how many independent sources they come from, 1 to M: crops of one photograph
        are one source.
      sources: which source each score comes from, whole numbers >= 0, int64 [M], with as many
        different values as `independent`; None where only their number is known.
      used_for: the choices that these scores took part in, in words of the caller's ("threshold",
        "recipe"). A bound on false attribution holds only on scores that no choice used.
    """

    scores: NDArray[np.float64]
    independent: int
    sources: NDArray[np.int64] | None = field(default=None, kw_only=True)
    used_for: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", sound_scores(self.scores, "foreign scores"))
        num = self.independent
        if isinstance(num, bool) or not isinstance(num, int) or not 1 <= num <= self.scores.size:
            raise CalibrationError(
                f"independent must be a whole number from 1 to {self.scores.size}, the number of "
                f"foreign scores; got {short_repr(num)}"
            )
        if self.sources is not None:
            object.__setattr__(self, "sources", self._sound_sources(self.sources))
        words: Any = self.used_for
        if isinstance(words, str) or not all(isinstance(word, str) and word for word in words):
            raise CalibrationError(
                f"used_for must hold words, one for each choice; got {short_repr(words)}"
            )
        object.__setattr__(self, "used_for", tuple(sorted(set(words))))

    def marked(self, choice: str) -> "ForeignGroup":
        """Returns the group with one more choice that its scores took part in."""
        return dataclasses.replace(self, used_for=(*self.used_for, choice))

    def counting_scores(self) -> NDArray[np.float64]:
        """The scores that a count of sources goes by, in rising order.

        Returns:
          The lowest score of each source where `sources` says which is which. All scores where only
          the number of sources is known: then each low score counts as a source of its own, which
          counts too many false ones and never too few.
        """
        if self.sources is None:
            return np.sort(self.scores)
        order = np.lexsort((self.scores, self.sources))
        first = np.unique(self.sources[order], return_index=True)[1]
        return np.sort(self.scores[order][first])

    def source_index(self) -> NDArray[np.int64]:
        """The source of each score, numbered from 0 to independent - 1, [M].

        Raises:
          CalibrationError: only the number of sources is known.
        """
        if self.sources is not None:
            return np.unique(self.sources, return_inverse=True)[1]
        if self.independent < self.scores.size:
            raise CalibrationError(
                f"which of the {self.scores.size} foreign scores share one of the "
                f"{self.independent} sources is not known: give the group's sources"
            )
        return np.arange(self.scores.size)

    def weights(self) -> NDArray[np.float64]:
        """What each score counts so that each source counts one, [M]; `independent` in all."""
        if self.sources is None:
            return np.full(self.scores.size, self.independent / self.scores.size)
        index = self.source_index()
        return 1.0 / np.bincount(index)[index]

    def subset(self, chosen: NDArray[np.bool_]) -> "ForeignGroup":
        """Returns the group of the chosen scores, [M] bool; their sources must be known."""
        index = self.source_index()[chosen]
        return ForeignGroup(
            self.scores[chosen],
            int(np.unique(index).size),
            sources=index,
            used_for=self.used_for,
        )

    def num_false(self, accepting: float) -> int:
        """How many independent sources have a score <= accepting, at the most."""
        count = int(np.searchsorted(self.counting_scores(), accepting, side="right"))
        return min(count, self.independent)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ForeignGroup):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[object, ...]:
        sources = None if self.sources is None else self.sources.tobytes()
        return self.independent, (self.scores + 0.0).tobytes(), sources, self.used_for

    def _sound_sources(self, sources: ArrayLike) -> NDArray[np.int64]:
        array = np.array(sources)
        if array.dtype.kind not in "iu" or array.shape != self.scores.shape or (array < 0).any():
            raise CalibrationError(
                f"sources must hold a whole number, 0 or more, for each of the {self.scores.size} "
                "foreign scores"
            )
        found = np.unique(array).size
        if found != self.independent:
            raise CalibrationError(
                f"sources name {found} different sources, independent says {self.independent}"
            )
        array = array.astype(np.int64)
        array.flags.writeable = False
        return array


def sound_scores(scores: ArrayLike, name: str) -> NDArray[np.float64]:
    """Returns a checked, read-only copy of calibration scores.

    Args:
      scores: [N].
      name: what to call them in an error.

    Returns:
      float64 [N].

    Raises:
      CalibrationError: there are none, or one is not a finite number of at least 0.
    """
    try:
        array = as_scores(scores, name)
    except ValueError as error:
        raise CalibrationError(str(error)) from None
    if not array.size:
        raise CalibrationError(f"there are no {name}: need at least one")
    for is_wrong, word in ((~np.isfinite(array), "infinite"), (array < 0, "negative")):
        if is_wrong.any():
            raise CalibrationError(
                f"{name} hold {np.count_nonzero(is_wrong)} {word}, the first at index "
                f"{np.flatnonzero(is_wrong)[0]}: scores are finite and 0 or more"
            )
    array.flags.writeable = False
    return array
