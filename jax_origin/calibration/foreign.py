"""A group of foreign scores: where they come from, how many count, and what they were used for."""

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from reprlib import repr as short_repr
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.checks import (
    CalibrationError,
    is_whole,
    listed_scores,
    sound_scores,
)


@dataclass(frozen=True, eq=False)
class ForeignGroup:
    """Scores of images of one foreign origin: photographs, or another generator's.

    Attributes:
      scores: float64 [M], M >= 1, finite, >= 0.
      independent: How many independent sources they come from, 1 to M. Crops of one photograph
        are one source.
      sources: Which source each score comes from, whole numbers >= 0, int64 [M], with as many
        different values as `independent`; None where only their number is known.
      used_for: The choices that used these scores, one word each ("threshold", "recipe"). A limit
        on false attribution holds only on scores that no choice used.
      digests: A short digest of each image's pixels, [M] words, or none where they were not
        recorded. They show whether an image belongs to the group itself.

    Raises:
      CalibrationError: A part is unsound.
    """

    scores: NDArray[np.float64]
    independent: int
    sources: NDArray[np.int64] | None = field(default=None, kw_only=True)
    used_for: tuple[str, ...] = field(default=(), kw_only=True)
    digests: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", sound_scores(self.scores, "foreign scores"))
        num = self.independent
        if not is_whole(num) or not 1 <= num <= self.scores.size:
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
        digests: Any = self.digests
        if isinstance(digests, str) or not all(
            isinstance(word, str) and word.split() == [word] for word in digests
        ):
            raise CalibrationError("digests must hold a word for each foreign score")
        if digests and len(digests) != self.scores.size:
            raise CalibrationError(
                f"digests are of {len(digests)} images, scores of {self.scores.size}"
            )
        object.__setattr__(self, "digests", tuple(digests))

    @classmethod
    def from_json(cls, plain: Any) -> "ForeignGroup":
        """Reads a group from what `to_json` gave.

        Raises:
          CalibrationError: It is no such group.
        """
        needed = {"scores", "independent"}
        if not isinstance(plain, dict) or not needed <= set(plain) <= needed | _OPTIONAL:
            raise CalibrationError(
                f"must hold scores and independent, and may hold {', '.join(sorted(_OPTIONAL))}"
            )
        optional = {name: plain[name] for name in _OPTIONAL & set(plain)}
        if not all(isinstance(optional.get(name, []), list) for name in ("sources", "used_for")):
            raise CalibrationError("sources and used_for must be lists")
        if not isinstance(optional.get("digests", ""), str):
            raise CalibrationError("digests must be text")
        optional["digests"] = optional.get("digests", "").split()
        scores = listed_scores(plain["scores"], "foreign scores")
        return cls(scores, plain["independent"], **optional)

    def to_json(self) -> dict[str, Any]:
        """The group as plain JSON; what it does not have is left out."""
        plain: dict[str, Any] = {"independent": self.independent, "scores": self.scores.tolist()}
        if self.sources is not None:
            plain["sources"] = self.sources.tolist()
        if self.used_for:
            plain["used_for"] = list(self.used_for)
        if self.digests:
            plain["digests"] = " ".join(self.digests)  # a list of them would be twice as long
        return plain

    def marked(self, choice: str) -> "ForeignGroup":
        """The group, marked as used for one more choice."""
        return dataclasses.replace(self, used_for=(*self.used_for, choice))

    def counting_scores(self) -> NDArray[np.float64]:
        """The scores by which sources are counted, in rising order.

        Returns:
          The lowest score of each source, if `sources` is known; otherwise all scores. Each low
          score then counts as a source of its own: that counts too many false ones, never too few.
        """
        if self.sources is None:
            return np.sort(self.scores)
        order = np.lexsort((self.scores, self.sources))
        first = np.unique(self.sources[order], return_index=True)[1]
        return np.sort(self.scores[order][first])

    def source_index(self) -> NDArray[np.int64]:
        """The source of each score, numbered from 0 to independent - 1, [M].

        Raises:
          CalibrationError: Only the number of sources is known.
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
        """Weights by which each source counts one, [M]; their sum is `independent`."""
        if self.sources is None:
            return np.full(self.scores.size, self.independent / self.scores.size)
        index = self.source_index()
        return 1.0 / np.bincount(index)[index]

    def subset(self, chosen: NDArray[np.bool_]) -> "ForeignGroup":
        """The group of the chosen scores, [M] bool; their sources must be known."""
        index = self.source_index()[chosen]
        return ForeignGroup(
            self.scores[chosen],
            int(np.unique(index).size),
            sources=index,
            used_for=self.used_for,
            digests=tuple(itertools.compress(self.digests, chosen)),
        )

    def num_false(self, accepting: float) -> int:
        """The most independent sources that may have a score <= accepting."""
        count = int(np.searchsorted(self.counting_scores(), accepting, side="right"))
        return min(count, self.independent)

    def __repr__(self) -> str:
        used = f", used for {', '.join(self.used_for)}" if self.used_for else ""
        return f"ForeignGroup({self.scores.size} scores of {self.independent} sources{used})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ForeignGroup):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[object, ...]:
        sources = None if self.sources is None else self.sources.tobytes()
        scores = (self.scores + 0.0).tobytes()
        return self.independent, scores, sources, self.used_for, self.digests

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


def shared_images(foreign: Mapping[str, ForeignGroup]) -> dict[tuple[str, str], int]:
    """Counts the images that two foreign groups have in common, where their digests are known.

    The limits of such groups still hold, each by itself and all at once. But what one of them shows
    says little about the other.

    Returns:
      The number, by the names of each pair that has any.
    """
    pairs = itertools.combinations(foreign, 2)
    common = {(a, b): {*foreign[a].digests} & {*foreign[b].digests} for a, b in pairs}
    return {pair: len(images) for pair, images in common.items() if images}


_OPTIONAL = {"sources", "used_for", "digests"}
