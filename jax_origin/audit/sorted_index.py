"""What is known of millions of keys, in some tens of bytes each."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PENDING = 1 << 16


def digest(text: str) -> bytes:
    """16 bytes that stand for a text; without the zeros at their end, as NumPy gives them back."""
    return (
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)
        .digest()
        .rstrip(b"\0")
    )


class SortedIndex:
    """Rows by a key of 16 bytes; those that are put lately wait in a dictionary.

    Args:
      rows: Structured, [N]: a field "key" of 16 bytes, and others. Of several rows with one key the
        last counts.
    """

    def __init__(self, rows: NDArray[np.void]) -> None:
        self._keep(rows)

    def _keep(self, rows: NDArray[np.void]) -> None:
        self._rows = last_by_key(rows)
        # A field of a row is no array in one piece: each search would copy it.
        self._keys = np.ascontiguousarray(self._rows["key"])
        self._pending: dict[bytes, tuple[Any, ...]] = {}

    def get(self, key: bytes) -> tuple[Any, ...] | None:
        """The other fields of a key's row; None without one."""
        found = self._pending.get(key)
        if found is not None:
            return found
        at = int(np.searchsorted(self._keys, np.array(key, self._keys.dtype)))
        if at == len(self._keys) or self._keys[at] != key:
            return None
        row: tuple[Any, ...] = self._rows[at].item()
        return row[1:]

    def put(self, key: bytes, fields: tuple[Any, ...]) -> None:
        """Adds a row, or puts it in place of the key's."""
        self._pending[key] = fields
        if len(self._pending) >= _PENDING:
            new = np.array([(k, *f) for k, f in self._pending.items()], self._rows.dtype)
            self._keep(np.concatenate([self._rows, new]))


def last_by_key(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Rows sorted by "key", the last of each."""
    rows = rows[np.argsort(rows["key"], kind="stable")]
    last = np.ones(len(rows), bool)
    last[:-1] = rows["key"][1:] != rows["key"][:-1]
    return rows[last]
