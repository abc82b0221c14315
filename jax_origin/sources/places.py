"""Files here and elsewhere: local paths, and addresses such as gs://, s3:// and https://.

Addresses are read by fsspec, with the package that it needs for each protocol.
"""

import os
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple, cast

from jax_origin.images import ImageError
from jax_origin.images.decode import MOST_BYTES, read_file
from jax_origin.parts import installing
from jax_origin.sources.entry import in_one_line


class Listed(NamedTuple):
    """A file or folder of a folder."""

    path: str
    name: str
    is_folder: bool


def is_address(path: str) -> bool:
    """Whether a path is an address, with a protocol."""
    return "://" in path


def is_folder(path: str) -> bool:
    """Whether there is a folder; an ImageError where an address cannot be asked."""
    if not is_address(path):
        return os.path.isdir(path)
    system, inside = _system(path)
    return bool(_asked(path, system.isdir, inside))


def exists(path: str) -> bool:
    """Whether there is a file or folder; an ImageError where an address cannot be asked."""
    if not is_address(path):
        return os.path.lexists(path)
    system, inside = _system(path)
    return bool(_asked(path, system.exists, inside))


def join(folder: str, name: str) -> str:
    """A path inside a folder; a path of its own stays as it is."""
    if is_address(name):
        return name
    return f"{folder.rstrip('/')}/{name}" if is_address(folder) else os.path.join(folder, name)


def listed(folder: str) -> Iterator[Listed]:
    """What a folder holds, by name. Names of one folder are held in memory, and nothing below it.

    Links to folders count as files, which cannot be read.

    Raises:
      ImageError: The folder cannot be read.
    """
    if is_address(folder):
        system, inside = _system(folder)
        found = _asked(folder, system.ls, inside, detail=True)
        names = {each["name"].rstrip("/").rpartition("/")[2]: each["type"] for each in found}
        for name in sorted(names):
            yield Listed(join(folder, name), name, names[name] == "directory")
        return
    try:
        with os.scandir(folder) as entries:
            found = sorted((e.name, e.is_dir(follow_symlinks=False)) for e in entries)
    except OSError as error:
        raise ImageError(folder, f"cannot be read ({error.strerror or error})") from None
    for name, is_dir in found:
        yield Listed(os.path.join(folder, name), name, is_dir)


def matching(pattern: str) -> list[str]:
    """The paths that a pattern matches, sorted."""
    import glob

    if not is_address(pattern):
        return sorted(path for path in glob.iglob(pattern, recursive=True) if os.path.isfile(path))
    system, inside = _system(pattern)
    found = _asked(pattern, system.glob, inside)
    return sorted(str(system.unstrip_protocol(path)) for path in found)


def open_file(path: str) -> BinaryIO:
    """Opens a file to read, in which one can seek; raises ImageError."""
    try:
        if not is_address(path):
            return open(path, "rb")
    except (OSError, ValueError) as error:
        raise ImageError(path, f"cannot be read ({_reason(error)})") from None
    system, inside = _system(path)
    return cast(BinaryIO, _asked(path, system.open, inside, "rb"))


def read_place(path: str) -> bytes:
    """The bytes of a file; raises ImageError where it cannot be read, or is no image by its size.

    Not more than `MOST_BYTES` are read.
    """
    if not is_address(path):
        return read_file(path)
    with open_file(path) as file:
        data = bytes(_asked(path, file.read, MOST_BYTES + 1))
    if len(data) > MOST_BYTES:
        raise ImageError(path, f"is enormous (over {MOST_BYTES} bytes)")
    return data


def read_range(path: str, start: int, size: int, *, key: str) -> bytes:
    """`size` bytes of a file from `start` on; an ImageError of `key` where there are fewer."""
    if is_address(path):
        system, inside = _system(path)
        data = bytes(_asked(path, system.cat_file, inside, start=start, end=start + size))
    else:
        with open_file(path) as file:
            file.seek(start)
            data = file.read(size)
    if len(data) != size:
        raise ImageError(key, f"is truncated ({len(data)} of {size} bytes)")
    return data


def stamp_of(path: str) -> str | None:
    """What changes when a file does: its size and time of change, or an address's own mark."""
    if not is_address(path):
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return None
        is_file = stat.S_ISREG(status.st_mode)
        return f"{status.st_size}-{status.st_mtime_ns}" if is_file else None
    system, inside = _system(path)
    try:
        about = system.info(inside)
    except Exception:  # Whoever reads it learns the reason.
        return None
    names = ("ETag", "etag", "mtime", "LastModified", "updated", "created")
    mark = next((str(about[name]) for name in names if about.get(name)), None)
    return None if mark is None else f"{about.get('size')}-{mark}"


def _system(address: str) -> tuple[Any, str]:
    """What reads an address, and the address inside it."""
    try:
        import fsspec

        system, inside = fsspec.core.url_to_fs(address)
    except ImportError as error:
        remedy = installing("remote")
        raise ImageError(address, f"cannot be reached ({in_one_line(error)}): {remedy}") from None
    except Exception as error:
        raise ImageError(address, f"cannot be reached ({in_one_line(error)})") from None
    return system, str(inside)


def _asked(address: str, ask: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return ask(*arguments, **options)
    except Exception as error:  # Each protocol's package raises its own.
        raise ImageError(address, f"cannot be read ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or in_one_line(error)
