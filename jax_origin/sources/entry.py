"""What a source gives: entries, each with a key, and bytes that are read when they are needed."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from jax_origin.images import ImageError

SIDE_BYTES = 1 << 20
"""The largest file beside an image that is read for what it says of it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One image of a source, not yet read.

    Attributes:
      key: Names the image within an audit, and stays the same from run to run: the path of a file;
        of an archive's member the archive's path, "/", and the member's name or number.
      read: Gives the bytes of the image's file; raises ImageError where it cannot. Any thread may
        call it, also when the source has gone on.
      stamp: Changes when the bytes may have changed, such as size and time of a file; None where
        nothing says so without reading them.
      about: What the source says beside the image: the columns of its row, the JSON of its sample.
        Empty unless a layout asks.
      truth: Who made the image, where the layout says so; "real" for a photograph.
    """

    key: str
    read: Callable[[], bytes]
    stamp: str | None = None
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    truth: str | None = None


class Source(Protocol):
    """Any number of entries, in an order that stays the same; it may be iterated again.

    Iterating starts at once, whatever the size, and keeps no entry. One that knows its length has
    `__len__`.
    """

    def __iter__(self) -> Iterator[Entry]:
        """Yields the entries."""
        ...


def reader(source: Source) -> Callable[[str], bytes]:
    """Gives what reads entries of a source by their keys.

    Keys that are asked for in the source's order take one pass over it. A key that is not there, or
    that cannot be read, raises ImageError.
    """
    entries = iter(source)

    def read(key: str) -> bytes:
        nonlocal entries
        for _ in range(2):
            for entry in entries:
                if entry.key == key:
                    return entry.read()
            entries = iter(source)
        raise ImageError(key, "is no longer in the source")

    return read


class Broken(Entry):
    """An entry that stands for what cannot be read: a damaged archive, a folder; see `broken`."""


def broken(key: str, reason: str) -> Broken:
    """Gives an entry that raises the reason when it is read."""

    def read() -> bytes:
        raise ImageError(key, reason)

    return Broken(key, read)


def in_one_line(error: BaseException) -> str:
    """What an error of somebody else's says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
