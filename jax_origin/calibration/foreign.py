"""Foreign scores: groups of one origin, and q, how well a score fits the nearest of them."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from reprlib import repr as short_repr
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.calibration.checks import (
    CalibrationError,
    as_scores,
    is_whole,
    listed_scores,
    sound_scores,
)

_OPTIONAL = {"sources", "used_for", "digests", "made_by"}


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
      made_by: The fingerprint of the generator that made the images; None for photographs, or where
        it is not known.

    Raises:
      CalibrationError: A part is unsound.
    """

    scores: NDArray[np.float64]
    independent: int
    sources: NDArray[np.int64] | None = field(default=None, kw_only=True)
    used_for: tuple[str, ...] = field(default=(), kw_only=True)
    digests: tuple[str, ...] = field(default=(), kw_only=True)
    made_by: str | None = field(default=None, kw_only=True)

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
        if not (self.made_by is None or (isinstance(self.made_by, str) and self.made_by)):
            raise CalibrationError("made_by must be the fingerprint of a generator")

    @classmethod
    def from_json(cls, plain: Any) -> "ForeignGroup":
        """Reads what `to_json` gave; raises CalibrationError where it is something else."""
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
        if self.made_by is not None:
            plain["made_by"] = self.made_by
        return plain

    def marked(self, choice: str) -> "ForeignGroup":
        """The group, marked as used for one more choice."""
        return dataclasses.replace(self, used_for=(*self.used_for, choice))

    def counting_scores(self) -> NDArray[np.float64]:
        """The lowest score of each source, rising; all scores where `sources` is not known."""
        if self.sources is None:
            return np.sort(self.scores)
        order = np.lexsort((self.scores, self.sources))
        first = np.unique(self.sources[order], return_index=True)[1]
        return np.sort(self.scores[order][first])

    def source_index(self) -> NDArray[np.int64]:
        """The source of each score, from 0 to independent - 1, [M]; CalibrationError if unknown."""
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
            made_by=self.made_by,
        )

    def num_false(self, accepting: float) -> int:
        """The most independent sources that may have a score <= accepting."""
        # Without `sources` each low score counts as one: too many false ones, never too few.
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
        return self.independent, scores, sources, self.used_for, self.digests, self.made_by

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
    """Counts the images that foreign groups share, by the names of each pair that has any.

    It knows of those with digests. The limits of such groups still hold, each by itself and all at
    once. But what one of them shows says little about the other.
    """
    pairs = itertools.combinations(foreign, 2)
    common = {(a, b): {*foreign[a].digests} & {*foreign[b].digests} for a, b in pairs}
    return {pair: len(images) for pair, images in common.items() if images}


class NearestGroup:
    """The largest q over foreign groups, each edited by each condition being a group of its own.

    For a group of M independent sources, q = (1 + #{sources as low}) / (M + 1). A source is as low
    as its lowest score: crops of one photograph have one vote, whatever their number. It is valid
    for images of a fresh source of that group, and the largest q is no smaller. So accepting where
    it is at most beta errs at a rate of at most beta, whichever the group, and mostly less.
    Calibrate foreign images under the conditions of the belonging ones: an edit may bring a foreign
    image nearer, as blur does.

    Groups are by name, or by (name, condition). Scores are clamped from below at the floor. There
    is at least one group, or a ValueError.
    """

    def __init__(self, foreign: Mapping[Any, ForeignGroup], *, floor: float = 0.0):
        if not foreign:
            raise ValueError("there is no foreign group to compare with")
        groups, self._floor = list(foreign.values()), floor
        lows = [np.maximum(group.counting_scores(), floor) for group in groups]
        # q changes at foreign scores alone: it is found at these, and looked up for any number of
        # scores. Those under all foreign scores come first.
        self._steps = np.concatenate([[-np.inf], np.unique(np.concatenate(lows))])
        sizes = np.array([[group.independent] for group in groups])
        counts = [np.searchsorted(low, self._steps, side="right") for low in lows]
        # Where it is not known which scores share a source, each low one may be another source's.
        ranks = 1.0 + np.minimum(np.stack(counts), sizes)
        self._q, self._best = largest(list(ranks / (sizes + 1.0)))
        self._keys = list(foreign)

    def q(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Q of scores [N], float64 [N]."""
        return self._q[self._places(scores)]

    def names(self, scores: ArrayLike) -> list[Any]:
        """The group that each of scores [N] fits best; the first in order where several do."""
        return [self._keys[index] for index in self._best[self._places(scores)]]

    def _places(self, scores: ArrayLike) -> NDArray[np.intp]:
        clamped = np.maximum(as_scores(scores, "scores"), self._floor)
        return np.searchsorted(self._steps, clamped, side="right") - 1


def most_as_low(num: int, rate: float) -> int:
    """How many of a group's `num` sources may be as low as an image for q to be at most a rate.

    It is -1 where q is over the rate even under all of them.
    """
    # By the divisions that q uses.
    steps = np.arange(1, num + 2) / (num + 1.0)
    return int(np.searchsorted(steps, rate, side="right")) - 1


def largest(values: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The largest of several arrays [N], and which of them has it, the first if many, [N]."""
    stacked = np.stack(values)
    return stacked.max(axis=0), stacked.argmax(axis=0)
