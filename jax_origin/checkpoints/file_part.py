"""A range of bytes in a file, read in pieces and never past its end."""

import json
import math
import os
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from jax_origin.checkpoints.rename import CheckpointError

_MOST_JSON = 16 << 20  # bytes


class _File:
    """An open file that threads may share; it closes itself when nothing refers to it."""

    def __init__(self, path: str):
        self.path = path
        # Unbuffered: what is not asked for is not read.
        self._file = open(path, "rb", buffering=0)
        self._lock = threading.Lock()
        self.size = os.fstat(self._file.fileno()).st_size
        weakref.finalize(self, self._file.close)

    def read_into(self, start: int, view: memoryview) -> None:
        try:
            with self._lock:
                self._file.seek(start)
                while view:
                    count = self._file.readinto(view)
                    if not count:
                        raise CheckpointError(f"{self.path}: became shorter while it was read")
                    view = view[count:]
        except OSError as error:
            raise CheckpointError(f"{self.path}: cannot be read ({error.strerror})") from None


class FilePart:
    """A range of `size` bytes of an open file, read only when asked for."""

    def __init__(self, file: _File, start: int, size: int):
        self._file, self._start, self.size = file, start, size

    @property
    def path(self) -> str:
        """The file's path, as it was given."""
        return self._file.path

    def error(self, reason: str) -> CheckpointError:
        """The error to raise for this file: its path, then the reason, on one line."""
        return CheckpointError(f"{self.path}: {reason}")

    def part(self, start: int, size: int) -> "FilePart":
        """The range of `size` bytes from `start` on; a CheckpointError if fewer are there."""
        if start < 0 or size < 0 or start + size > self.size:
            raise self.error(f"damaged or cut short: {size} bytes wanted at {start} of {self.size}")
        return FilePart(self._file, self._start + start, size)

    def read(self, start: int = 0, size: int | None = None) -> bytes:
        """Reads `size` bytes from `start` on; by default all that follow."""
        wanted = self.part(start, self.size - start if size is None else size)
        data = bytearray(wanted.size)
        self._file.read_into(wanted._start, memoryview(data))
        return bytes(data)

    def head(self, size: int) -> bytes:
        """Reads the first `size` bytes, or all if there are fewer."""
        return self.read(0, min(size, self.size))

    def json(self) -> dict[str, Any]:
        """Reads a mapping in JSON; a CheckpointError if it is none, or larger than 16 MiB."""
        if self.size > _MOST_JSON:
            raise self.error(f"refused: {self.size} bytes of JSON")
        try:
            mapping = json.loads(self.read())
        except (ValueError, RecursionError) as error:
            reason = str(error).splitlines()[0]
            raise self.error(f"not JSON ({reason})") from None
        if not isinstance(mapping, dict):
            raise self.error("no mapping in JSON")
        return mapping

    def array(self, dtype: np.dtype, shape: Sequence[int], start: int = 0) -> np.ndarray:
        """Reads an array stored in C order from `start` on."""
        wanted = self.part(start, math.prod(shape) * dtype.itemsize)
        array = np.empty(shape, dtype)
        if wanted.size:
            self._file.read_into(wanted._start, array.reshape(-1).view(np.uint8).data)
        return array


def open_file(path: str | os.PathLike) -> FilePart:
    """Opens a file for reading; a CheckpointError if it is missing or cannot be opened."""
    try:
        file = _File(os.fspath(path))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:  # A path with a null byte.
        raise CheckpointError(f"{os.fspath(path)!r}: not a path") from None
    return FilePart(file, 0, file.size)
