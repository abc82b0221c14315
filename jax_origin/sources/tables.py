"""Images in tables: Parquet files, and data sets that Hugging Face's `datasets` saved on disk.

The column that holds images is found by its type: bytes, the image's struct of bytes and path, or
text that names files.
"""

import collections
import functools
import json
import posixpath
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from jax_origin.images import ImageError
from jax_origin.parts import installing
from jax_origin.sources.entry import Entry, broken, in_one_line
from jax_origin.sources.places import (
    exists,
    is_address,
    is_folder,
    join,
    listed,
    open_file,
    read_place,
    stamp_of,
)

_PATHS = ("path", "file_path", "image_path", "file_name", "filename", "file", "image", "url")
_ROWS, _KEPT = 32, 8  # Rows that are read at a time, and how many such readings are kept.


def parquet_entries(path: str, *, about: bool = False) -> Iterator[Entry]:
    """The images of a Parquet file, row by row; the keys are the rows' numbers.

    A few rows are held in memory. With `about`, the other columns go with each. A file that cannot
    be read is one entry, whose reading says why.
    """
    try:
        arrow = _arrow(path)
        file = arrow.parquet.ParquetFile(open_file(path), pre_buffer=False)
        column, stamp, number = _image_column(path, file.schema_arrow, arrow), stamp_of(path), 0
        others = _other_columns(file.schema_arrow, column, arrow) if about else []
        for group in range(file.num_row_groups):
            rows = _Rows(path, file.metadata, group, column)
            said = _said(file, group, others)
            for i in range(file.metadata.row_group(group).num_rows):
                key = f"{path}/{number}"
                read = functools.partial(_bytes_of, rows, i, path, key)
                yield Entry(key, read, stamp, next(said) if others else {})
                number += 1
    except ImageError as error:
        yield broken(path, error.reason)
    except Exception as error:  # A damaged file fails in many ways.
        yield broken(path, f"cannot be read as a Parquet file ({in_one_line(error)})")


def parquet_length(path: str) -> int:
    """How many rows a Parquet file has; 0 where it cannot be read."""
    try:
        return int(_arrow(path).parquet.ParquetFile(open_file(path)).metadata.num_rows)
    except Exception:  # Whoever reads it says so.
        return 0


def is_data_set(folder: str) -> bool:
    """Whether a folder is one that `datasets` saved: Arrow files, or a folder for each split."""
    return exists(join(folder, "dataset_dict.json")) or exists(join(folder, "state.json"))


def data_set_entries(folder: str, *, about: bool = False) -> Iterator[Entry]:
    """The images of a data set saved on disk, split by split, in its order."""
    try:
        noted = join(folder, "dataset_dict.json")
        if exists(noted):
            for split in _noted(noted)["splits"]:
                yield from data_set_entries(join(folder, split), about=about)
            return
        state = _noted(join(folder, "state.json"))
        if state.get("_indices_data_files"):
            remedy = "save it again after .flatten_indices()"
            raise ImageError(folder, f"holds a selection of its rows: {remedy}")
        names = [each["filename"] for each in state["_data_files"]]
    except ImageError as error:
        yield broken(folder, error.reason)
        return
    except Exception as error:
        yield broken(folder, f"is no data set that can be read ({in_one_line(error)})")
        return
    for name in names:
        yield from arrow_entries(join(folder, name), about=about)


def arrow_entries(path: str, *, about: bool = False) -> Iterator[Entry]:
    """The images of an Arrow file (a stream of batches), row by row; local files are mapped."""
    try:
        arrow, stamp, number = _arrow(path), stamp_of(path), 0
        mapped = open_file(path) if is_address(path) else arrow.memory_map(path)
        with arrow.ipc.open_stream(mapped) as stream:
            column = _image_column(path, stream.schema, arrow)
            others = _other_columns(stream.schema, column, arrow) if about else []
            for batch in stream:
                said = batch.select(others).to_pylist() if others else []
                rows = functools.partial(_of_batch, batch.column(column))
                for i in range(batch.num_rows):
                    key = f"{path}/{number}"
                    read = functools.partial(_bytes_of, rows, i, path, key)
                    yield Entry(key, read, stamp, said[i] if said else {})
                    number += 1
    except ImageError as error:
        yield broken(path, error.reason)
    except Exception as error:
        yield broken(path, f"cannot be read as an Arrow file ({in_one_line(error)})")


class _Rows:
    """The image column of a row group, some rows at a time, read as they are asked for."""

    def __init__(self, path: str, metadata: Any, group: int, column: str) -> None:
        self._path, self._metadata, self._group = path, metadata, group
        self._column, self._lock = column, threading.Lock()
        self._restart()

    def _restart(self) -> None:
        self._batches: Iterator[Any] | None = None
        self._next = 0
        self._held: collections.deque[tuple[int, Any]] = collections.deque(maxlen=_KEPT)

    def __call__(self, i: int) -> Any:
        with self._lock:  # Rows are read in about their order, by several threads.
            if i < (self._held[0][0] if self._held else self._next):
                self._restart()
            if self._batches is None:
                file = _arrow(self._path).parquet.ParquetFile(
                    open_file(self._path),
                    metadata=self._metadata,
                    pre_buffer=False,
                    buffer_size=1 << 16,
                )
                self._batches = file.iter_batches(
                    batch_size=_ROWS, row_groups=[self._group], columns=[self._column]
                )
            while i >= self._next:
                column = next(self._batches).column(0)
                self._held.append((self._next, column))
                self._next += len(column)
            first, column = next(each for each in reversed(self._held) if each[0] <= i)
            return column[i - first].as_py()


def _of_batch(column: Any, i: int) -> Any:
    return column[i].as_py()


def _bytes_of(rows: Callable[[int], Any], i: int, path: str, key: str) -> bytes:
    """The bytes of a row's image, or of the file that it names."""
    try:
        value = rows(i)
    except ImageError as error:
        raise ImageError(key, error.reason) from None
    except Exception as error:
        raise ImageError(key, f"cannot be read from its table ({in_one_line(error)})") from None
    if isinstance(value, Mapping):
        value = value.get("path") if value.get("bytes") is None else value["bytes"]
    if isinstance(value, str):
        try:
            return read_place(join(posixpath.dirname(path), value))
        except ImageError as error:
            raise ImageError(key, f"{error.path} {error.reason}") from None
    if not isinstance(value, bytes):
        raise ImageError(key, "holds no image: the row is empty")
    return value


def _arrow(path: str) -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        reason = f"needs pyarrow to be read ({installing('audit')})"
        raise ImageError(path, reason) from None
    return pyarrow


def _image_column(path: str, schema: Any, arrow: Any) -> str:
    """The column of images: the first of a struct with bytes, of bytes, or of paths by its name."""
    types = arrow.types
    structs = [
        f.name
        for f in schema
        if types.is_struct(f.type) and {"bytes"} <= {inner.name for inner in f.type}
    ]
    plain = [f.name for f in schema if types.is_binary(f.type) or types.is_large_binary(f.type)]
    texts = {f.name for f in schema if types.is_string(f.type) or types.is_large_string(f.type)}
    for names in (structs, plain, [name for name in _PATHS if name in texts]):
        if names:
            return str(names[0])
    found = ", ".join(schema.names)
    raise ImageError(path, f"has no column of images or paths; it has {found}")


def _other_columns(schema: Any, column: str, arrow: Any) -> list[str]:
    """The columns that may say something of an image: text, numbers and truth values."""
    types = arrow.types
    light = (types.is_string, types.is_large_string, types.is_dictionary, types.is_primitive)
    return [f.name for f in schema if f.name != column and any(is_(f.type) for is_ in light)]


def _said(file: Any, group: int, columns: list[str]) -> Iterator[dict[str, Any]]:
    if columns:
        for batch in file.iter_batches(batch_size=1024, row_groups=[group], columns=columns):
            yield from batch.to_pylist()


def _noted(path: str) -> Any:
    file: BinaryIO
    with open_file(path) as file:
        return json.load(file)


def tables_in(folder: str) -> bool:
    """Whether a folder holds Arrow files beside a note of what they are, as in a cache."""
    if not is_folder(folder):
        return False
    names = [each.name for each in listed(folder)]
    return "dataset_info.json" in names and any(name.endswith(".arrow") for name in names)
