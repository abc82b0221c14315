"""Records of an audit: one JSON object a line, appended as images are decided.

A run that is killed leaves at most one torn line, at the end. Opening the file for the next run
drops it, and tells which images are done.
"""

import glob
import json
import math
import os
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import numpy as np


class RecordError(ValueError):
    """A file of records that cannot be used, or a record that cannot be written."""


class RecordWriter:
    """Appends records to a file, which is created with its folders if it is not there.

    Use it as a context manager, and have one writer for a file at a time.

    Attributes:
      path: the file.
      done: the records in the file by their "path", those of former runs included; the last one
        where an image has several. Records without "path" are not listed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens the file; a torn last line in it is dropped.

        Args:
          path: the file.

        Raises:
          RecordError: the file cannot be opened, or holds something else than records.
        """
        self.path = os.fspath(path)
        self.done: dict[str, dict[str, Any]] = {}
        try:
            folder = os.path.dirname(self.path)
            if folder:
                os.makedirs(folder, exist_ok=True)
            # Without a buffer: what could not be written is not kept to be written later.
            self._file = open(self.path, "a+b", buffering=0)
        except OSError as error:
            reason = f"cannot be opened ({error.strerror or error})"
            raise RecordError(f"{self.path}: {reason}") from error
        try:
            self._end = 0
            for record, end in _whole_records(self.path):
                self._remember(record)
                self._end = end
            self._file.truncate(self._end)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; closing twice does no harm."""
        self._file.close()

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends one record, and hands it to the operating system at once.

        Args:
          record: JSON values, NumPy numbers and arrays. NaN and infinities, which JSON does not
            know, become null.

        Raises:
          RecordError: the record holds something else.
          OSError: it could not be written; the file is then as before.
        """
        plain = _plain(record)
        line = json.dumps(plain, allow_nan=False).encode("ascii") + b"\n"
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
        except BaseException:
            self._file.truncate(self._end)
            raise
        self._end += len(line)
        self._remember(plain)

    def _remember(self, record: dict[str, Any]) -> None:
        if isinstance(record.get("path"), str):
            self.done[record["path"]] = record


def read_records(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads the records of an audit, finished or not.

    Args:
      path: the file.

    Returns:
      The records in the order written; a torn last line is left out.

    Raises:
      RecordError: the file cannot be read, or holds something else than records.
    """
    return [record for record, _ in _whole_records(os.fspath(path))]


def records_name(process: int, processes: int) -> str:
    """The name of a process's file of records; of a single process, ``verdicts.jsonl``."""
    if processes == 1:
        return "verdicts.jsonl"
    return f"verdicts-{process:05d}-of-{processes:05d}.jsonl"


def read_all_records(folder: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Reads what all processes wrote into a folder, in this run and in earlier ones.

    Args:
      folder: the folder of files that `records_name` names; it may be missing.

    Returns:
      The records by their "path".

    Raises:
      RecordError: a file cannot be read, or holds something else than records.
    """
    found = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(os.fspath(folder)), "verdicts*.jsonl"))):
        for record, _ in _whole_records(path):
            if isinstance(record.get("path"), str):
                found[record["path"]] = record
    return found


def _whole_records(path: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Yields each record and the offset of its end, up to a torn last line."""
    try:
        with open(path, "rb") as file:
            end, torn = 0, False
            for number, line in enumerate(file, start=1):
                record = None if torn else _parse(line)
                # Only the last line may be torn, and a torn record still begins like one: a file
                # of another kind must not be mistaken for it, for the torn part is cut off.
                if torn or (record is None and not line.startswith((b"{", b"\0"))):
                    where = f"line {number - torn}"
                    raise RecordError(f"{path}: {where} is not a record (a JSON object on a line)")
                if record is None:
                    torn = True
                    continue
                end += len(line)
                yield record, end
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror or error})") from error


def _parse(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _plain(value: Any) -> Any:
    """Converts to what JSON can hold exactly; NaN and infinities to None."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise RecordError(f"the keys of a record must be text, got {wrong[0]!r}")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise RecordError(f"a record cannot hold {type(value).__name__}; pass text, numbers or lists")
