"""An audit's records on disk: Parquet files, each written whole, and chained by their hashes.

Each process writes parts of its own, ``part-<process>-<number>.parquet``. A part's metadata holds
the SHA-256 of the part before it: whoever changes, removes or adds one breaks the chain.
"""

import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jax_origin.files import atomic_write
from jax_origin.parts import installing
from jax_origin.runs import RecordError

_COLUMNS = (
    "key: string; candidate verdict: word; score p q log10_lr log10_lr_low log10_lr_high: number; "
    "against reason condition reading: word; tried: words; score_kind: word; loss reference: "
    "number; truth: word; declared: string; stored note error format: word; width height size: "
    "count; sha256 stamp: string; place examined steps: count; seconds: number; generator method: "
    "word"
)
COLUMNS = {
    name: kind
    for names, _, kind in (part.partition(": ") for part in _COLUMNS.split("; "))
    for name in names.split()
}
"""The columns of records, in order, and what each holds; see docs/audits.md for what they mean."""

WORDS = tuple(name for name, kind in COLUMNS.items() if kind == "word")
"""The columns of few different texts, which are read as a dictionary."""

_NOTE, _NAME = b"jax_origin", re.compile(r"part-(\d{5})-(\d{6})\.parquet")


class Part(NamedTuple):
    """A part on disk: its file, the process that wrote it, and its number among that one's."""

    path: pathlib.Path
    process: int
    number: int


def parts_in(folder: pathlib.Path) -> list[Part]:
    """The parts in a folder (it may be missing), by process and number."""
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    found = ((name, _NAME.fullmatch(name)) for name in names)
    return [Part(folder / name, int(m[1]), int(m[2])) for name, m in found if m]


def write_part(part: Part, records: Sequence[Mapping[str, Any]], note: Mapping[str, Any]) -> str:
    """Writes records as a part, whole or not at all.

    Args:
      part: Which.
      records: At least one; they hold `COLUMNS`.
      note: What its metadata says: "previous", the SHA-256 of the part before it, and more.

    Returns:
      The SHA-256 of the file, in hexadecimal.

    Raises:
      RecordError: The file cannot be written, for instance on a full disk.
    """
    arrow = need_pyarrow()
    columns = {
        name: [record.get(name) for record in records] for name in COLUMNS if name != "tried"
    }
    columns["tried"] = [list(record.get("tried") or ()) or None for record in records]
    table = arrow.Table.from_pydict({n: columns[n] for n in COLUMNS}, schema=_schema(arrow))
    return write_table(part, table, note)


def write_table(part: Part, table: Any, note: Mapping[str, Any]) -> str:
    """Does the same with records that are a pyarrow Table of `COLUMNS`."""
    arrow = need_pyarrow()
    table = table.replace_schema_metadata({_NOTE: json.dumps(dict(note)).encode("ascii")})
    held = arrow.BufferOutputStream()
    arrow.parquet.write_table(table, held, compression="zstd", write_page_checksum=True)
    data = held.getvalue().to_pybytes()
    try:
        with atomic_write(part.path) as temporary, open(temporary, "wb") as file:
            file.write(data)
    except OSError as error:
        reason = f"cannot be written ({error.strerror or error}): make room, and run again"
        raise RecordError(f"{part.path}: {reason}") from error
    return hashlib.sha256(data).hexdigest()


def read_part(path: pathlib.Path, columns: Iterable[str] | None = None) -> Any:
    """The records of a part, or some of their columns, as a pyarrow Table.

    Raises:
      RecordError: The file is damaged, or cannot be read.
    """
    arrow = need_pyarrow()
    wanted = list(COLUMNS) if columns is None else list(columns)
    try:
        with open(path, "rb") as file:
            # Half as slow as `read_table`, which is made for many files.
            parquet = arrow.parquet.ParquetFile(
                file,
                read_dictionary=[name for name in wanted if name in WORDS],
                page_checksum_verification=True,
            )
            return parquet.read(wanted, use_threads=False)
    except OSError as error:
        raise damaged(path, str(error)) from None
    except arrow.ArrowException as error:
        raise damaged(path, str(error)) from None


def rows_in(path: pathlib.Path) -> int:
    """How many records a part has; a RecordError where the file is damaged."""
    arrow = need_pyarrow()
    try:
        return int(arrow.parquet.read_metadata(path).num_rows)
    except (OSError, arrow.ArrowException) as error:
        raise damaged(path, str(error)) from None


def no_records(columns: Sequence[str]) -> Any:
    """A table of these columns without rows, as `read_part` gives it."""
    arrow = need_pyarrow()
    word, schema = arrow.dictionary(arrow.int32(), arrow.string()), _schema(arrow)
    types = [word if name in WORDS else schema.field(name).type for name in columns]
    return arrow.schema(list(zip(columns, types, strict=True))).empty_table()


def note_of(path: pathlib.Path) -> dict[str, Any]:
    """What a part's metadata says; a RecordError where the file is damaged."""
    arrow = need_pyarrow()
    try:
        found = arrow.parquet.read_schema(path).metadata[_NOTE]
        note: dict[str, Any] = json.loads(found)
    except (OSError, arrow.ArrowException, KeyError, TypeError, ValueError) as error:
        raise damaged(path, str(error)) from None
    return note


def sha256_of(path: pathlib.Path) -> str:
    """The SHA-256 of a file, in hexadecimal; a RecordError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise damaged(path, str(error)) from None


class Chain(NamedTuple):
    """What the hashes of a folder's parts say.

    Attributes:
      heads: The SHA-256 of each process's last part, by its number.
      missing: The names of parts that are not there, though later ones are.
      lost: Those that had been damaged or removed before, which a later part says.
      faults: What does not fit, one line each; none if the parts are as they were written.
    """

    heads: dict[int, str]
    missing: list[str]
    lost: list[str]
    faults: list[str]


def check_chain(parts: Sequence[Part], *, thorough: bool = False) -> Chain:
    """Compares each part with the hash that the next one has of it; thorough, reads all of it."""
    heads: dict[int, str] = {}
    lost, faults, gaps = list[str](), list[str](), list[str]()
    after: dict[int, int] = {}
    for part in parts:
        expected = after.get(part.process, 0)
        gaps += [part_name(part.process, n) for n in range(expected, part.number)]
        after[part.process] = part.number + 1
        try:
            note, found = note_of(part.path), sha256_of(part.path)
            read_part(part.path, None if thorough else ())
        except RecordError as error:
            faults.append(str(error))
            heads[part.process] = ""
            continue
        lost += note["lost"]
        before = heads.get(part.process, "")
        if part.number == expected and note["previous"] != before and before:
            faults.append(_unlike(part, before=part_name(part.process, part.number - 1)))
        heads[part.process] = found
    missing = [name for name in gaps if name not in lost]
    return Chain(heads, missing, sorted(set(lost)), faults)


def _unlike(part: Part, *, before: str) -> str:
    """What is wrong where a part does not hold the hash of the one before it."""
    try:
        read_part(part.path.with_name(before))
    except RecordError as error:
        return str(error)
    return f"{part.path}: the part before it is not the one that it follows"


def part_name(process: int, number: int) -> str:
    """The name of a part's file."""
    return f"part-{process:05d}-{number:06d}.parquet"


def damaged(path: pathlib.Path, reason: str) -> RecordError:
    """The error of a part that cannot be read."""
    said = " ".join(reason.split())
    remedy = "delete it and run again: what it held is examined again"
    return RecordError(f"{path}: is damaged ({said}): {remedy}")


def need_pyarrow() -> Any:
    """Pyarrow, imported; a RecordError says how to install it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        reason = f"audits keep their records as Parquet files: {installing('audit')}"
        raise RecordError(reason) from None
    return pyarrow


def _schema(arrow: Any) -> Any:
    types = {
        "string": arrow.string(),
        "word": arrow.string(),
        "words": arrow.list_(arrow.string()),
        "number": arrow.float64(),
        "count": arrow.int64(),
    }
    return arrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
