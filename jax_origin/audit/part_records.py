"""The records of an audit, read from its parts: by columns, or one by one, never all in memory."""

import collections
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from jax_origin.audit.part_files import COLUMNS, no_records, parts_in, read_part, rows_in
from jax_origin.audit.sorted_index import digest
from jax_origin.audit.weighing import Record, Words

_AT_A_TIME = 1 << 16
_KEPT = 64  # Parts held in memory, about a megabyte each.
_ROWS = np.dtype(
    [("key", "S16"), ("examined", "i4"), ("place", "i8"), ("part", "i4"), ("row", "i4")]
)


class PartRecords(Sequence[Record]):
    """Records of images, in the order of their places in the source; see `aligned_records`.

    A record has the fields of `jax_origin.audit.part_files.COLUMNS`, and `path`, which is its key.

    Args:
      paths: The parts.
      part: Of each record, which part it is in, [N].
      row: And which row of it, [N].
    """

    def __init__(
        self, paths: Sequence[pathlib.Path], part: NDArray[np.int32], row: NDArray[np.int32]
    ) -> None:
        self._paths, self._part, self._row = paths, part, row
        self._tables: collections.OrderedDict[Any, Any] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._part)

    @overload
    def __getitem__(self, i: int) -> Record: ...
    @overload
    def __getitem__(self, i: slice) -> "list[Record]": ...
    def __getitem__(self, i: int | slice) -> "Record | list[Record]":
        if isinstance(i, slice):
            return [self._record(each) for each in range(*i.indices(len(self)))]
        return self._record(range(len(self))[i])

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, range(len(self)))

    def _record(self, i: int) -> Record:
        (record,) = self._table(int(self._part[i])).slice(int(self._row[i]), 1).to_pylist()
        return {"path": record["key"], **record}

    def some(self, start: int, stop: int, columns: Sequence[str]) -> "SomeRecords":
        """Some fields of the records from `start` up to `stop`, which are then held in memory."""
        import pyarrow

        part, row = self._part[start:stop], self._row[start:stop]
        order = np.argsort(part, kind="stable")
        tables = [
            self._table(int(part[where[0]]), tuple(columns)).take(row[where])
            for where in np.split(order, np.flatnonzero(np.diff(part[order])) + 1)
        ]
        table = pyarrow.concat_tables(tables).unify_dictionaries()
        return SomeRecords(table.take(np.argsort(order)).combine_chunks())

    def value(self, i: int, name: str) -> Any:
        """One field of a record."""
        return self._table(int(self._part[i]))[name][int(self._row[i])].as_py()

    def of_keys(self, keys: Sequence[str]) -> "list[Record]":
        """The records of these keys, in their own order; none of a key that is not there."""
        import pyarrow.compute

        wanted = pyarrow.array(keys, pyarrow.string())
        there = pyarrow.compute.is_in(self.texts("key"), value_set=wanted)
        return [self._record(int(i)) for i in np.flatnonzero(there.to_numpy())]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A number of each record, float64 [N]; NaN where it has none."""
        found = np.empty(len(self), np.float64)
        for column, where, rows in self._by_part(name):
            found[where] = column.to_numpy(zero_copy_only=False)[rows]
        return found

    def words(self, name: str) -> Words:
        """A text of each record, one of `jax_origin.audit.part_files.WORDS`."""
        codes, places = np.empty(len(self), np.int32), dict[str, int]()
        for column, where, rows in self._by_part(name):
            own = [places.setdefault(text, len(places)) for text in column.dictionary.to_pylist()]
            here = column.indices.fill_null(len(own)).to_numpy(zero_copy_only=False)
            codes[where] = np.array([*own, -1], np.int32)[here[rows]]
        return Words(codes, list(places))

    def texts(self, name: str) -> Any:
        """A text of each record, as a chunked array of pyarrow."""
        import pyarrow

        starts = range(0, len(self), _AT_A_TIME)
        found = [self.some(start, start + _AT_A_TIME, (name,)).array(name) for start in starts]
        return pyarrow.chunked_array(found, pyarrow.string())

    def any(self, name: str) -> bool:
        """Whether a column holds anything but nulls."""
        return any(len(column) > column.null_count for column, _, _ in self._by_part(name))

    def table(self, columns: Sequence[str] | None = None) -> Any:
        """The records as a pyarrow Table, or some of their columns."""
        import pyarrow

        wanted = list(COLUMNS) if columns is None else list(columns)
        tables = [
            (read_part(self._paths[part], wanted).take(rows), where)
            for part, where, rows in self._parts()
        ]
        if not tables:
            return no_records(wanted)
        whole = pyarrow.concat_tables([table for table, _ in tables]).unify_dictionaries()
        order = np.argsort(np.concatenate([where for _, where in tables]), kind="stable")
        return whole.take(order)

    def _parts(self) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int32]]]:
        """Each part that holds records: which records, and their rows."""
        order = np.argsort(self._part, kind="stable")
        bounds = np.flatnonzero(np.diff(self._part[order])) + 1
        for where in np.split(order, bounds):
            if where.size:
                yield int(self._part[where[0]]), where, self._row[where]

    def _by_part(self, name: str) -> Iterator[tuple[Any, NDArray[np.int64], NDArray[np.int32]]]:
        for part, where, rows in self._parts():
            yield _one_chunk(read_part(self._paths[part], (name,)).column(0)), where, rows

    def _table(self, part: int, columns: tuple[str, ...] | None = None) -> Any:
        place = part, columns
        if place not in self._tables:
            self._tables[place] = read_part(self._paths[part], columns).combine_chunks()
            while len(self._tables) > _KEPT:
                self._tables.popitem(last=False)
        self._tables.move_to_end(place)
        return self._tables[place]


class SomeRecords(Sequence[Record]):
    """Records that follow one another, as columns in memory; see `PartRecords.some`."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return self._table.to_pylist()[i]
        return self._table.slice(range(len(self))[i], 1).to_pylist()[0]

    def __iter__(self) -> Iterator[Record]:
        return iter(self._table.to_pylist())

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A number of each record, float64 [N]; NaN where it has none."""
        found: NDArray[np.float64] = self._table[name].to_numpy()
        return found

    def words(self, name: str) -> Words:
        """A text of each record, one of `jax_origin.audit.part_files.WORDS`."""
        column = _one_chunk(self._table[name])
        codes = column.indices.fill_null(-1).to_numpy()
        return Words(codes, column.dictionary.to_pylist())

    def array(self, name: str) -> Any:
        """A field of each record, as an array of pyarrow."""
        return _one_chunk(self._table[name])

    def texts(self, name: str) -> list[str | None]:
        """A text of each record."""
        found: list[str | None] = self._table[name].to_pylist()
        return found

    def lists(self, name: str) -> tuple[NDArray[np.int32], list[list[str]]]:
        """A list of words of each record: its place among the different ones, -1 for none."""
        import pyarrow.compute

        joined = pyarrow.compute.binary_join(_one_chunk(self._table[name]), "\0")
        found = joined.dictionary_encode()
        codes = found.indices.fill_null(-1).to_numpy()
        return codes, [text.split("\0") for text in found.dictionary.to_pylist()]


def aligned_records(folders: Mapping[str, pathlib.Path]) -> dict[str, PartRecords]:
    """The last record of each image under each candidate, in the order of the images' places.

    Args:
      folders: The folder of each candidate's parts, by its name.

    Returns:
      By candidate, the records of the same images: those that each candidate has a record of.

    Raises:
      RecordError: If a part is damaged.
    """
    paths = {name: [part.path for part in parts_in(folder)] for name, folder in folders.items()}
    rows = {name: _last_rows(of_one) for name, of_one in paths.items()}
    first, *others = rows.values()
    common = first["key"]
    for other in others:
        if not np.array_equal(common, other["key"]):  # The next line needs some copies.
            common = common[np.isin(common, other["key"], assume_unique=True)]
    # The rows are sorted by key; the first candidate's places give the order.
    found = {
        name: of if len(of) == len(common) else of[np.searchsorted(of["key"], common)]
        for name, of in rows.items()
    }
    leading = next(iter(found.values()))
    order = np.lexsort((leading["key"], leading["place"]))
    return {
        name: PartRecords(paths[name], of["part"][order], of["row"][order])
        for name, of in found.items()
    }


def _last_rows(paths: Sequence[pathlib.Path]) -> NDArray[np.void]:
    """Of each key the record examined last, sorted by key."""
    rows, done = np.empty(sum(map(rows_in, paths)), _ROWS), 0
    for at, path in enumerate(paths):
        table = read_part(path, ("key", "examined", "place"))
        some = rows[done : done + table.num_rows]
        some["key"] = [digest(key) for key in table["key"].to_pylist()]
        some["examined"], some["place"] = table["examined"].to_numpy(), table["place"].to_numpy()
        some["part"], some["row"] = at, np.arange(table.num_rows)
        done += table.num_rows
    order = np.lexsort((rows["examined"], rows["key"]))
    keys = rows["key"][order]
    return rows[order[np.append(keys[1:] != keys[:-1], True)]] if done else rows


def _one_chunk(column: Any) -> Any:
    joined = column.combine_chunks()
    return joined.chunk(0) if hasattr(joined, "num_chunks") else joined
