"""Records of a run: one JSON object a line, appended as images are decided.

A run that is killed leaves at most one torn line, at the end. Readers skip it, and the next writer
cuts it off.
"""

import glob
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np


class RunError(ValueError):
    """A run that cannot go on in its folder; one line says what to do."""


class RecordError(RunError):
    """A file of records that cannot be used, or a record that cannot be written."""


class RecordWriter:
    """Appends records to a file, whose torn last line is cut off; a context manager.

    Have one writer for a file at a time. The file and its folders are made if they are missing.

    Raises:
      RecordError: The file cannot be opened, or holds something else than records.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
            # Without a buffer: what could not be written is not kept to be written later.
            self._file = open(self.path, "a+b", buffering=0)
        except OSError as error:
            raise _unusable(self.path, "opened", error) from error
        try:
            self._end = max((end for _, end in _whole_records(self.path)), default=0)
            self._file.truncate(self._end)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Appends one record, hands it to the operating system, returns it as it will be read.

        A record holds JSON values, NumPy numbers and arrays; NaN and infinities become null.

        Raises:
          RecordError: The record holds something else, or cannot be written. The file is then as
            it was before.
        """
        plain = plain_record(record)
        line = json.dumps(plain, allow_nan=False).encode("ascii") + b"\n"
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
        except BaseException as error:
            self._file.truncate(self._end)
            if isinstance(error, OSError):
                raise _unusable(self.path, "written", error) from error
            raise
        self._end += len(line)
        return plain


def read_records(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads the records in a file in the order written, without a torn last line.

    Raises:
      RecordError: The file cannot be read, or holds something else than records.
    """
    return [record for record, _ in _whole_records(os.fspath(path))]


def records_name(process: int, processes: int) -> str:
    """The name of a process's file of records; of a single process, ``verdicts.jsonl``."""
    if processes == 1:
        return "verdicts.jsonl"
    return f"verdicts-{process:05d}-of-{processes:05d}.jsonl"


def latest_records(folder: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Reads what all processes wrote into a folder (it may be missing), in this and earlier runs.

    Returns:
      The records by their "path". Of several for one path, the one whose "examined" is highest.

    Raises:
      RecordError: A file cannot be read, or holds something else than records.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(os.fspath(folder)), "verdicts*.jsonl"))):
        for record, _ in _whole_records(path):
            name = record.get("path")
            if isinstance(name, str) and times_examined(record) >= times_examined(found.get(name)):
                found[name] = record
    return found


def times_examined(record: Mapping[str, Any] | None) -> int:
    """How often a path had been examined when this record of it was written; 0 without one."""
    return 0 if record is None else int(record.get("examined") or 1)


def _whole_records(path: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Yields each record and the offset of its end, up to a torn last line."""
    try:
        with open(path, "rb") as file:
            end, torn = 0, False
            for number, line in enumerate(file, start=1):
                whole = line.endswith(b"\n") and not torn
                record = json_object(line) if whole else None
                # Only the last line may be torn, and a torn record still begins like one: a file
                # of another kind must not be mistaken for it, for the torn part is cut off.
                if torn or (record is None and not line.startswith((b"{", b"\0"))):
                    where = f"line {number - torn}"
                    raise RecordError(f"{path}: {where} is not a record (a JSON object on a line)")
                torn = record is None
                if record is not None:
                    if record.get("verdict") == "foreign":  # What it was called in older files.
                        record["verdict"] = "not_recognised"
                    end += len(line)
                    yield record, end
    except OSError as error:
        raise _unusable(path, "read", error) from error


def _unusable(path: str, done: str, error: OSError) -> RecordError:
    return RecordError(f"{path}: cannot be {done} ({error.strerror or error})")


def json_object(text: bytes | str) -> dict[str, Any] | None:
    """The JSON object that a text holds; None where it is something else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def plain_record(value: Any) -> Any:
    """Converts to what JSON can hold exactly, NaN and infinities to None, or a `RecordError`."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic | np.ndarray):
        return plain_record(value.tolist())
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise RecordError(f"the keys of a record must be text, got {wrong[0]!r}")
        return {key: plain_record(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_record(item) for item in value]
    raise RecordError(f"a record cannot hold {type(value).__name__}; pass text, numbers or lists")
