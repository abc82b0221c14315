"""What a page says of many images: counts and a choice of samples, found in one pass.

A page of a million images needs the memory of a page of a thousand: only the counters of different
folders and reasons grow with the images, and these are cut off.
"""

import heapq
import itertools
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jax_origin.audit import Findings, sha256_of_each
from jax_origin.audit.weighing import words
from jax_origin.evidence import Naming

Record = Mapping[str, Any]

NOT_RECOGNISED, UNDECIDED, NOT_EXAMINED = "not recognised", "undecided", "not examined"

BINS = 20
"""Bins of a decade of scores."""

_MOST_GROUPS, _MOST_REASONS = 10_000, 1_000
_OTHERS, _LEAST = "(others)", 1e-12


class Seen(NamedTuple):
    """One image, and what was found of it.

    Attributes:
      path: Its file.
      naming: Who made it; None where a candidate could not be asked.
      records: Its record under each candidate, by name.
      sha256: SHA-256 of its file; None where it could not be read.
      truth: Who made it by the layout, empty where that does not say; None where there is none.
    """

    path: str
    naming: Naming | None
    records: Mapping[str, Record]
    sha256: str | None
    truth: str | None = None

    @property
    def outcome(self) -> str:
        """Whom it is said to be made by, or a word of the three that there are beside."""
        if self.naming is None:
            return NOT_EXAMINED
        if self.naming.verdict == "named":
            return " or ".join(self.naming.named)
        return NOT_RECOGNISED if self.naming.verdict == "none" else UNDECIDED

    @property
    def folder(self) -> str:
        """The name of the folder that its file lies in."""
        return self.path.rpartition("/")[0].rpartition("/")[2]

    @property
    def group(self) -> str:
        """What it is counted under: its maker by the layout, or its folder where there is none."""
        return self.folder if self.truth is None else self.truth

    @property
    def name(self) -> str:
        """The name of its file."""
        return self.path.rpartition("/")[2]


@dataclass
class Survey:
    """What was seen of all images.

    Attributes:
      makers: What an image of each candidate is said to be made by: it, or its whole group.
      num: How many images there are.
      outcomes: How many have each outcome.
      groups: The same for each folder's name; for each maker, where a layout says who that is.
      by_maker: Whether a layout says it.
      reasons: Why images are undecided.
      samples: The images to show: as many of each outcome as there is room for, in order.
    """

    makers: dict[str, str]
    num: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    groups: dict[str, Counter[str]] = field(default_factory=dict)
    by_maker: bool = False
    reasons: Counter[str] = field(default_factory=Counter)
    samples: list[Seen] = field(default_factory=list)

    @property
    def truth_known(self) -> bool:
        """Whether a layout says who made images, or a folder that is called like a candidate."""
        return self.by_maker or any(name in self.makers for name in self.groups)

    def truth(self, group: str) -> str:
        """What a group's images should come out as: its candidate's, or nobody's."""
        return self.makers.get(group, NOT_RECOGNISED)

    def is_right(self, group: str, outcome: str) -> bool | None:
        """Whether an outcome agrees with a group's name; None where it says neither."""
        unknown = not self.truth_known or (self.by_maker and not group)
        if unknown or outcome in (UNDECIDED, NOT_EXAMINED):
            return None
        return outcome == self.truth(group)


class _Records(Mapping[str, Record]):
    """The records of an image by candidate, read when one is asked for: few are."""

    __slots__ = ("_findings", "_place")

    def __init__(self, findings: Findings, place: int) -> None:
        self._findings, self._place = findings, place

    def __getitem__(self, name: str) -> Record:
        return self._findings.records[name][self._place]

    def __iter__(self) -> Iterator[str]:
        return iter(self._findings.records)

    def __len__(self) -> int:
        return len(self._findings.records)


def seen(findings: Findings) -> Iterator[Seen]:
    """The images of findings, in order."""
    truths = words(findings.records[findings.candidates[0]], "truth")
    # Without a layout no image has one.
    said = [*truths.values, "" if truths.values else None]
    images = zip(
        findings.paths, findings.naming, sha256_of_each(findings), truths.codes, strict=True
    )
    for i, (path, naming, sha256, code) in enumerate(images):
        yield Seen(path, naming, _Records(findings, i), sha256, said[code])


def survey(
    images: Iterable[Seen],
    makers: Mapping[str, str],
    *,
    samples: int,
    preferred: Callable[[Seen], bool] = lambda image: False,
) -> Survey:
    """Looks at each image once.

    Args:
      images: All of them, in any order; they are not kept.
      makers: By candidate, what an image of it is said to be made by.
      samples: How many images to choose. Each outcome, right or wrong, has the same share, and what
        one does not need the others get. Within one the choice is by a checksum of the path.
      preferred: Which images are chosen before others, such as those that can be drawn.
    """
    found = Survey(dict(makers))
    choice = _Choice(samples, preferred)
    for place, image in enumerate(images):
        outcome, group = image.outcome, image.group
        found.by_maker |= image.truth is not None
        _of(found.groups, group)[outcome] += 1
        if outcome == UNDECIDED and image.naming is not None:
            reason = image.naming.reason or ""
            known = reason in found.reasons or len(found.reasons) < _MOST_REASONS
            found.reasons[reason if known else _OTHERS] += 1
        # Of what agrees with its group's name, and what does not, some is shown.
        choice.offer(image, place, (outcome, makers.get(group, NOT_RECOGNISED) == outcome))
    for counts in found.groups.values():
        found.outcomes.update(counts)
    found.num = found.outcomes.total()
    found.samples = choice.made()
    return found


def counted(scores: ArrayLike, *, floor: float = 0.0) -> Counter[int]:
    """How many scores, [N], fall into each bin, `floor(BINS * log10(score))`; NaN into none.

    Those under the floor fall into its bin.
    """
    known = np.asarray(scores, np.float64)
    clamped = np.maximum(known[~np.isnan(known)], max(floor, _LEAST))
    places, counts = np.unique(np.floor(BINS * np.log10(clamped)), return_counts=True)
    return Counter(dict(zip(places.astype(int).tolist(), counts.tolist(), strict=True)))


def bin_of(score: float) -> int:
    """The bin that a score falls into; those of nought and below fall into that of 1e-12."""
    return math.floor(BINS * math.log10(max(score, _LEAST)))


class _Choice:
    """Images to show: of each kind those that are preferred, then those of the least checksum."""

    def __init__(self, room: int, preferred: Callable[[Seen], bool]) -> None:
        self._room, self._preferred = room, preferred
        self._heaps: dict[tuple[str, bool], list[tuple[bool, int, int, Seen]]] = {}

    def offer(self, image: Seen, place: int, kind: tuple[str, bool]) -> None:
        heap = self._heaps.setdefault(kind, [])
        checksum = -zlib.crc32(image.path.encode("utf-8", "replace"))
        if len(heap) >= self._room:
            if (True, checksum, -place) <= heap[0][:3]:
                return  # It would not be taken even if it were preferred.
            entry = (self._preferred(image), checksum, -place, image)
            if entry[:3] > heap[0][:3]:
                heapq.heapreplace(heap, entry)
        elif self._room:
            heapq.heappush(heap, (self._preferred(image), checksum, -place, image))

    def made(self) -> list[Seen]:
        """The images, in the order in which they came: kinds take turns until there is no room."""
        kinds = [sorted(heap, reverse=True) for heap in self._heaps.values()]
        turns = (entry for each in itertools.zip_longest(*kinds) for entry in each if entry)
        chosen = itertools.islice(turns, self._room)
        return [image for *_, image in sorted(chosen, key=lambda entry: -entry[2])]


def _of(groups: dict[str, Counter[str]], name: str) -> Counter[str]:
    if name not in groups:
        if len(groups) >= _MOST_GROUPS:
            name = _OTHERS
        groups.setdefault(name, Counter())
    return groups[name]
