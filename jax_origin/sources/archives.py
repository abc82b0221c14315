"""Images in zip and tar archives, WebDataset's shards among them."""

import functools
import json
import posixpath
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from jax_origin.images import ImageError
from jax_origin.images.decode import MOST_BYTES
from jax_origin.sources.entry import SIDE_BYTES, Entry, broken, in_one_line
from jax_origin.sources.places import open_file, read_range, stamp_of

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")  # gzip, bzip2, xz
_SIDES = (".json", ".txt", ".cls")
_BLOCK = 512

Wanted = Callable[[str], bool]
"""Whether a file's name is that of an image."""


def zip_entries(path: str, wanted: Wanted) -> Iterator[Entry]:
    """The images of a zip archive, in its own order; its table of contents is held in memory.

    An archive that cannot be read is one entry, whose reading says why.
    """
    try:
        archive, stamp = zipfile.ZipFile(open_file(path)), stamp_of(path)
    except Exception as error:  # A damaged archive fails in many ways.
        yield broken(path, _damaged("zip", error))
        return
    for member in archive.infolist():
        if member.is_dir() or not wanted(member.filename):
            continue
        key = f"{path}/{member.filename}"
        if member.file_size > MOST_BYTES:
            yield broken(key, f"is enormous ({member.file_size} bytes, at most {MOST_BYTES})")
        else:
            yield Entry(key, functools.partial(_unzipped, archive, member, key), stamp)


def _unzipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo, key: str) -> bytes:
    try:
        return archive.read(member)
    except Exception as error:  # zlib, checksums, encryption, missing methods.
        raise ImageError(key, f"cannot be read from its archive ({in_one_line(error)})") from None


def tar_entries(path: str, wanted: Wanted, *, about: bool = False) -> Iterator[Entry]:
    """The images of a tar archive, in its own order; nothing of it is held in memory.

    Members of one stem that follow one another are a sample, as in WebDataset's shards: with
    `about`, its .json, .txt and .cls files go with its images, by these words. An archive that is
    compressed can only be read in order, so its images are read as they come. Where an archive is
    damaged, a last entry says so.
    """
    try:
        file, stamp = open_file(path), stamp_of(path)
        compressed = file.read(6).startswith(_COMPRESSED)
        file.seek(0)
        mode: Any = "r|*" if compressed else "r:"
        archive = tarfile.open(fileobj=file, mode=mode)
        yield from _samples(path, archive, stamp, wanted, about=about, in_order=compressed)
        if not compressed:  # The reader takes a damaged header for the end.
            file.seek(archive.offset)
            if file.read(_BLOCK).strip(b"\0"):
                yield broken(path, f"is damaged after {archive.offset} bytes: the rest is not read")
    except ImageError as error:
        yield broken(path, error.reason)
    except Exception as error:
        yield broken(path, _damaged("tar", error))


def _samples(
    path: str,
    archive: tarfile.TarFile,
    stamp: str | None,
    wanted: Wanted,
    *,
    about: bool,
    in_order: bool,
) -> Iterator[Entry]:
    stem: str | None = None
    images: list[tuple[str, Callable[[], bytes]]] = []
    sides: dict[str, Any] = {}

    def sample() -> Iterator[Entry]:
        for key, read in images:
            yield Entry(key, read, stamp, sides)

    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # It would keep all of them.
        if not member.isreg():
            continue
        folder, name = posixpath.split(member.name)
        found = posixpath.join(folder, name.partition(".")[0])
        if found != stem:
            yield from sample()
            stem, images, sides = found, [], {}
        suffix = posixpath.splitext(name)[1].lower()
        key = f"{path}/{member.name}"
        if wanted(member.name):
            if member.size > MOST_BYTES:
                yield broken(key, f"is enormous ({member.size} bytes, at most {MOST_BYTES})")
            else:
                images.append((key, _reader(path, archive, member, key, in_order=in_order)))
        elif about and suffix in _SIDES and member.size <= SIDE_BYTES:
            data = _reader(path, archive, member, key, in_order=in_order)()
            sides[suffix[1:]] = _side(data, suffix)
    yield from sample()


def _reader(
    path: str, archive: tarfile.TarFile, member: tarfile.TarInfo, key: str, *, in_order: bool
) -> Callable[[], bytes]:
    if in_order:
        opened = archive.extractfile(member)
        data = opened.read() if opened else b""
        return lambda: data
    return functools.partial(read_range, path, member.offset_data, member.size, key=key)


def _side(data: bytes, suffix: str) -> Any:
    text = data.decode("utf-8", "replace")
    if suffix != ".json":
        return text.strip()
    try:
        return json.loads(text)
    except ValueError:
        return None


def _damaged(kind: str, error: Exception) -> str:
    if isinstance(error, ImageError):
        return error.reason
    return f"cannot be read as a {kind} archive ({in_one_line(error)})"
