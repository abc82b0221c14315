"""A group of foreign scores: where they come from, how many count, and what they were used for."""

import dataclasses
import itertools
from collections.abc import Mapping
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
      digests: a short digest of each image's pixels, M words of text, by which an image is known
        that the group was made of; none where they were not recorded.
    """

    scores: NDArray[np.float64]
    independent: int
    sources: NDArray[np.int64] | None = field(default=None, kw_only=True)
    used_for: tuple[str, ...] = field(default=(), kw_only=True)
    digests: tuple[str, ...] = field(default=(), kw_only=True)

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
          CalibrationError: it is no such group.
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
        """Returns the group as plain JSON; what it does not have is left out."""
        plain: dict[str, Any] = {"independent": self.independent, "scores": self.scores.tolist()}
        if self.sources is not None:
            plain["sources"] = self.sources.tolist()
        if self.used_for:
            plain["used_for"] = list(self.used_for)
        if self.digests:
            plain["digests"] = " ".join(self.digests)  # a list of them would be twice as long
        return plain

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
            digests=tuple(itertools.compress(self.digests, chosen)),
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
    """How many images two foreign groups hold in common, as far as their digests are known.

    The limits of such groups hold, each by itself and all at once; but what is found of one of them
    says little about the other.

    Returns:
      The number by the names of each pair that has any.
    """
    pairs = itertools.combinations(foreign, 2)
    common = {(a, b): {*foreign[a].digests} & {*foreign[b].digests} for a, b in pairs}
    return {pair: len(images) for pair, images in common.items() if images}


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


def listed_scores(values: Any, name: str) -> NDArray[np.float64]:
    """Returns scores from plain JSON, float64 [N]; see `sound_scores` for what is checked later.

    Raises:
      CalibrationError: they are no list of numbers, or one is too large for a float.
    """
    if not isinstance(values, list) or not all(is_number(value) for value in values):
        raise CalibrationError(f"{name} must be a list of numbers")
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        raise CalibrationError(f"{name} hold a number too large to be a score") from None


def is_number(value: Any) -> bool:
    """Whether a value from JSON is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


_OPTIONAL = {"sources", "used_for", "digests"}
