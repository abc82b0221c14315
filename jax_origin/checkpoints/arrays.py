"""Arrays by name, each read from its file only when asked for."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class LazyArray(NamedTuple):
    """An array that is not read yet: each call of `read` reads it, in the machine's byte order."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]


class LazyArrays(Mapping[str, np.ndarray]):
    """A mapping from names to arrays that holds no array: each look-up reads one.

    `values` and `items` read one array a step. A look-up may raise `CheckpointError`.
    """

    def __init__(self, entries: Mapping[str, LazyArray]):
        self.entries: Mapping[str, LazyArray] = dict(entries)

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> "LazyArrays":
        """The same arrays as a `LazyArrays`; one that is given comes back unchanged."""
        if isinstance(arrays, LazyArrays):
            return arrays
        return cls({name: _held(array) for name, array in arrays.items()})

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every array."""
        return {name: entry.shape for name, entry in self.entries.items()}

    @property
    def dtypes(self) -> dict[str, np.dtype]:
        """The dtype of every array."""
        return {name: entry.dtype for name, entry in self.entries.items()}

    def under(self, root: str) -> "LazyArrays":
        """The arrays whose names begin with `root` and a dot, by the rest of their names."""
        prefix = f"{root}."
        names = [name for name in self.entries if name.startswith(prefix)]
        return LazyArrays({name.removeprefix(prefix): self.entries[name] for name in names})

    def __getitem__(self, name: str) -> np.ndarray:
        return self.entries[name].read()

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"LazyArrays({len(self)} arrays)"


def is_shape(sizes: Sequence[Any]) -> bool:
    """Whether NumPy could make an array of this shape, given enough memory."""
    if len(sizes) > 32 or not all(type(size) is int and 0 <= size < 1 << 58 for size in sizes):
        return False
    # NumPy counts an empty array's other sizes too; 16 bytes a number at the most.
    return math.prod(size for size in sizes if size) < 1 << 58


def _held(array: np.ndarray) -> LazyArray:
    return LazyArray(tuple(array.shape), np.dtype(array.dtype), lambda: np.asarray(array))
