"""Images in TFRecord and ArrayRecord files."""

import functools
import gzip
import re
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, cast

from jax_origin.images import ImageError
from jax_origin.images.decode import MOST_BYTES
from jax_origin.sources.entry import Entry, broken, in_one_line
from jax_origin.sources.example_records import image_of, said_of
from jax_origin.sources.places import is_address, open_file, read_range, stamp_of

INSTALL = "pip install 'jax_origin[records]'"
"""How what reads these files is installed."""

# A shard's number may follow: train.tfrecord-00000-of-00010.
_SHARD = r"(-\d+-of-\d+)?$"
_TFRECORD = re.compile(r"\.(tfrecords?|tfrec)(\.gz)?" + _SHARD, re.IGNORECASE)
_ARRAY_RECORD = re.compile(r"\.(array_?record|arecord)" + _SHARD, re.IGNORECASE)
_HEAD, _TAIL = struct.Struct("<QI"), struct.Struct("<I")


def is_tfrecord(name: str) -> bool:
    """Whether a file is a TFRecord file by its name."""
    return _TFRECORD.search(name) is not None


def is_array_record(name: str) -> bool:
    """Whether a file is an ArrayRecord file by its name."""
    return _ARRAY_RECORD.search(name) is not None


def tfrecord_entries(path: str, *, about: bool = False) -> Iterator[Entry]:
    """The images of a TFRecord file, record by record; the keys are the records' numbers.

    Such a file is a row of records: 8 bytes of length, a CRC-32C of these, the data, a CRC-32C of
    it (`tensorflow/core/lib/io/record_writer.h`). Only the lengths are read to find the records,
    and an image when it is asked for. A file that gzip has compressed is read in order, its images
    as they come.

    With `about`, the other features of each record are read too. A record whose data does not fit
    its CRC is one line; where a length does not, the rest of the file cannot be found, and a last
    entry says so.
    """
    try:
        crc, file, stamp = _crc32c(path), open_file(path), stamp_of(path)
        head = file.read(_HEAD.size)
        packed = head.startswith(b"\x1f\x8b") and not _fits(head, crc)  # It may be a length.
        file.seek(0)
        if packed:
            file = cast(BinaryIO, gzip.GzipFile(fileobj=file))
        size = None if packed else file.seek(0, 2)
        at = number = 0
        while True:
            if not packed:
                file.seek(at)
            head = file.read(_HEAD.size)
            if not head and (size is None or at >= size):
                return
            if not _fits(head, crc):
                yield broken(path, f"is damaged after {at} bytes: the rest is not read")
                return
            start, length = at + _HEAD.size, _HEAD.unpack(head)[0]
            key, at, number = f"{path}/{number}", start + length + _TAIL.size, number + 1
            if length > MOST_BYTES:
                yield broken(key, f"is enormous ({length} bytes, at most {MOST_BYTES})")
                if packed:
                    return
                continue
            framed = functools.partial(read_range, path, start, length + _TAIL.size, key=key)
            if packed:
                framed = functools.partial(_whole, file.read(length + _TAIL.size), length, key)
            yield _entry(key, functools.partial(_checked, framed, crc, key), stamp, about=about)
    except ImageError as error:
        yield broken(path, error.reason)
    except Exception as error:  # A damaged file fails in many ways.
        yield broken(path, f"cannot be read as a TFRecord file ({in_one_line(error)})")


def array_record_entries(path: str, *, about: bool = False) -> Iterator[Entry]:
    """The images of a local ArrayRecord file, record by record; the keys are their numbers.

    With `about`, the other features of each record are read too.
    """
    try:
        records, stamp = _ArrayRecords(path), stamp_of(path)
        for i in range(len(records)):
            key = f"{path}/{i}"
            yield _entry(key, functools.partial(records.read, i, key), stamp, about=about)
    except ImageError as error:
        yield broken(path, error.reason)


class _ArrayRecords:
    """The records of an ArrayRecord file, by their numbers; any thread may read them."""

    def __init__(self, path: str) -> None:
        if is_address(path):
            raise ImageError(path, "ArrayRecord files are read from local files only")
        open_file(path).close()  # Where it cannot, this says why.
        self._path, self._lock = path, threading.Lock()
        self._reader: Any = None
        if not self._opened().ok():
            raise ImageError(path, "cannot be read as an ArrayRecord file: it is damaged, or none")

    def __len__(self) -> int:
        return int(self._opened().num_records())

    def read(self, i: int, key: str) -> bytes:
        with self._lock:
            try:
                reader = self._opened()
                reader.seek(i)  # One record is read at a time: the reader holds a group of them.
                return bytes(reader.read())
            except Exception as error:
                self._reader = None  # It would fail again, whatever it is asked for.
                reason = f"cannot be read from its file ({in_one_line(error)})"
                raise ImageError(key, reason) from None

    def _opened(self) -> Any:
        try:
            from array_record.python import array_record_module
        except ImportError:
            raise ImageError(self._path, f"needs array_record to be read ({INSTALL})") from None
        if self._reader is None:
            options = "readahead_buffer_size:0,max_parallelism:0"  # Nothing is read ahead.
            self._reader = array_record_module.ArrayRecordReader(self._path, options)
        return self._reader


def _entry(key: str, record: Callable[[], bytes], stamp: str | None, *, about: bool) -> Entry:
    said: Mapping[str, Any] = {}
    if about:
        try:
            said = said_of(record(), key)
        except ImageError:  # Whoever reads the image learns the reason.
            pass
    return Entry(key, lambda: image_of(record(), key), stamp, said)


def _fits(head: bytes, crc: Callable[[bytes], int]) -> bool:
    """Whether this is a record's length, and its checksum."""
    return len(head) == _HEAD.size and _HEAD.unpack(head)[1] == _masked(crc(head[:8]))


def _checked(framed: Callable[[], bytes], crc: Callable[[bytes], int], key: str) -> bytes:
    found = framed()
    data, (expected,) = found[: -_TAIL.size], _TAIL.unpack(found[-_TAIL.size :])
    if _masked(crc(data)) != expected:
        raise ImageError(key, "is damaged: its data does not fit its checksum")
    return data


def _whole(framed: bytes, length: int, key: str) -> bytes:
    if len(framed) < length + _TAIL.size:
        raise ImageError(key, f"is truncated ({len(framed)} of {length + _TAIL.size} bytes)")
    return framed


def _masked(crc: int) -> int:
    """A CRC as TFRecord files hold it (`tensorflow/core/lib/hash/crc32c.h`)."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _crc32c(path: str) -> Callable[[bytes], int]:
    try:
        from google_crc32c import value
    except ImportError:
        raise ImageError(path, f"needs google-crc32c to be read ({INSTALL})") from None
    return cast(Callable[[bytes], int], value)
