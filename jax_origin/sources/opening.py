"""Opening a source by what its text names."""

import collections
import csv
import dataclasses
import functools
import glob
import io
import itertools
import os
from collections.abc import Iterator, Sequence

from jax_origin.images import ImageError
from jax_origin.images.formats import BEGINNING, SUFFIXES, format_of
from jax_origin.images.load import in_words
from jax_origin.sources.archives import tar_entries, zip_entries
from jax_origin.sources.entry import Broken, Entry, broken
from jax_origin.sources.layouts import Layout
from jax_origin.sources.places import (
    exists,
    is_address,
    is_folder,
    join,
    listed,
    matching,
    open_file,
    read_place,
    stamp_of,
)
from jax_origin.sources.record_files import (
    array_record_entries,
    is_array_record,
    is_tfrecord,
    tfrecord_entries,
)
from jax_origin.sources.stored_arrays import numpy_entries
from jax_origin.sources.tables import (
    arrow_entries,
    data_set_entries,
    is_data_set,
    parquet_entries,
    parquet_length,
    tables_in,
)

_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_IN_FOLDERS = (*_TARS, ".zip", ".parquet", ".arrow")
_LISTS = (".txt", ".lst", ".csv")
_PATH_NAMES = ("path", "file", "filename", "file_name", "image")
_TRUTH_NAMES = ("truth", "label", "model", "generator")


class Opened:
    """A source, opened by `open_source`; see `Source`.

    Attributes:
      text: What it was opened by.
      left_out: After it was iterated, how many other files its folders hold, in words; or None.
    """

    def __init__(self, text: str, *, layout: Layout | None = None, all_files: bool = False) -> None:
        self.text, self._layout, self._all_files = text, layout, all_files
        self._others: collections.Counter[str] = collections.Counter()

    @property
    def left_out(self) -> str | None:
        """What the folders hold besides images, in words."""
        return in_words(self._others, all_files=self._all_files)

    def __iter__(self) -> Iterator[Entry]:
        self._others.clear()
        for entry in self._entries():
            if self._layout is not None and not isinstance(entry, Broken):
                entry = dataclasses.replace(entry, truth=self._truth(entry, self._layout))
            yield entry

    def _truth(self, entry: Entry, layout: Layout) -> str | None:
        try:
            return layout(entry)
        except Exception as error:  # It may be anybody's.
            reason = f"the layout cannot say who made it ({type(error).__name__}: {error})"
            raise ImageError(entry.key, reason) from error

    def _entries(self) -> Iterator[Entry]:
        text = self.text
        if text.lower().endswith(_LISTS):
            return self._of_list()
        if not is_folder(text) and not exists(text):
            return itertools.chain.from_iterable(map(self._of_file, matching(text)))
        return self._of_folder(text) if is_folder(text) else self._of_file(text)

    def _of_folder(self, folder: str) -> Iterator[Entry]:
        """The images of a folder and of all below it, in the order of their names."""
        if is_data_set(folder):
            yield from data_set_entries(folder, about=self._about)
            return
        cached = tables_in(folder)
        for path, name, is_dir in listed(folder):
            lower = name.lower()
            if name.startswith("."):
                continue
            if is_dir:
                yield from self._guarded(path)
            elif lower.endswith(_IN_FOLDERS) and (cached or not lower.endswith(".arrow")):
                yield from self._of_file(path)
            elif is_tfrecord(name) or is_array_record(name):
                yield from self._of_file(path)
            elif lower.endswith(SUFFIXES) or (self._all_files and _may_be_image(path)):
                yield _file(path)
            else:
                self._others[os.path.splitext(lower)[1] or "without an extension"] += 1

    def _guarded(self, folder: str) -> Iterator[Entry]:
        try:
            yield from self._of_folder(folder)
        except ImageError as error:  # One folder of many: its line says so, the rest goes on.
            yield broken(error.path, error.reason)

    def _of_file(self, path: str) -> Iterator[Entry]:
        lower = path.lower()
        if lower.endswith(_TARS):
            return tar_entries(path, self._wanted, about=self._about)
        if lower.endswith(".zip"):
            return zip_entries(path, self._wanted)
        if lower.endswith(".parquet"):
            return parquet_entries(path, about=self._about)
        if lower.endswith(".arrow"):
            return arrow_entries(path, about=self._about)
        if lower.endswith(".npz"):
            return numpy_entries(path)
        if is_tfrecord(path):
            return tfrecord_entries(path, about=self._about)
        if is_array_record(path):
            return array_record_entries(path, about=self._about)
        return iter([_file(path)])

    def _of_list(self) -> Iterator[Entry]:
        """The files that a list names, a path on each line; a CSV file may say who made each."""
        folder = self.text.rpartition("/")[0] if "/" in self.text else ""
        is_csv = self.text.lower().endswith(".csv")
        with io.TextIOWrapper(open_file(self.text), encoding="utf-8-sig", newline="") as file:
            if not is_csv:
                for line in file:
                    if name := line.strip("\r\n"):
                        yield _file(join(folder, name) if folder else name)
                return
            rows = csv.DictReader(file)
            heads = {(head or "").lower(): head for head in rows.fieldnames or ()}
            path = next((heads[name] for name in _PATH_NAMES if name in heads), None)
            if path is None:
                raise ImageError(self.text, f"has no column {' or '.join(_PATH_NAMES)}")
            truth = next((heads[name] for name in _TRUTH_NAMES if name in heads), None)
            for row in rows:
                if name := row[path]:
                    entry = _file(join(folder, name) if folder else name)
                    about = {key: value for key, value in row.items() if key}
                    maker = row[truth] or None if truth else None
                    yield dataclasses.replace(entry, about=about, truth=maker)

    @property
    def _about(self) -> bool:
        return self._layout is not None

    def _wanted(self, name: str) -> bool:
        """Whether an archive's member is an image by its name."""
        last = name.rstrip("/").rpartition("/")[2]
        hidden = last.startswith(".") or name.startswith("__MACOSX/")
        return not hidden and (self._all_files or last.lower().endswith(SUFFIXES))


class OpenedTable(Opened):
    """A Parquet file, which knows its length."""

    def __len__(self) -> int:
        return parquet_length(self.text)


class Several:
    """Sources one after the other; see `open_sources`."""

    def __init__(self, sources: Sequence[Opened]) -> None:
        self.sources = sources

    @property
    def left_out(self) -> list[str]:
        """What each source's folders held besides images, when it was iterated; a line for each."""
        return [f"{each.text}: {each.left_out}" for each in self.sources if each.left_out]

    def __iter__(self) -> Iterator[Entry]:
        return itertools.chain.from_iterable(self.sources)


def open_source(text: str, *, layout: Layout | None = None, all_files: bool = False) -> Opened:
    """Opens a source. Nothing of it is read yet, however large it is.

    Args:
      text: A folder (all images below it, and those in archives and tables); a pattern such as
        "shards/*.tar"; an image, a zip or tar archive, a Parquet or Arrow file, a TFRecord or
        ArrayRecord file, an .npz archive; a data set that Hugging Face's `datasets` saved; a list
        of paths (.txt, or .csv with a column `path`). Local, or an address (gs://, s3://, https://).
      layout: Says who made each image; see `jax_origin.sources.layouts`.
      all_files: Whether other files are taken too: a folder's that begin like images, and all of
        an archive's.

    Raises:
      ImageError: There is no such file, folder or match.
    """
    if not exists(text):
        if not glob.has_magic(text):
            raise ImageError(text, "no such file or folder")
        if not matching(text):
            raise ImageError(text, "no file matches this pattern")
    if is_address(text) and text.lower().endswith(".npz"):
        raise ImageError(text, "NumPy archives are read from local files only")
    kind = OpenedTable if text.lower().endswith(".parquet") and exists(text) else Opened
    return kind(text, layout=layout, all_files=all_files)


def open_sources(
    texts: Sequence[str], *, layout: Layout | None = None, all_files: bool = False
) -> Several:
    """Several sources, one after the other; see `open_source`."""
    return Several([open_source(t, layout=layout, all_files=all_files) for t in texts])


def _file(path: str) -> Entry:
    return Entry(path, functools.partial(read_place, path), stamp_of(path))


def _may_be_image(path: str) -> bool:
    """Whether a file begins like an image, or cannot be looked into."""
    try:
        if is_address(path) or os.path.isfile(path):
            with open_file(path) as file:
                return format_of(file.read(BEGINNING)) is not None
    except (ImageError, OSError):
        pass
    return True
