"""Writing a file so that it is either whole or not there."""

import contextlib
import os
import pathlib
import re
import secrets
from collections.abc import Iterator

_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.part(\..*)?")


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[str]:
    """Gives a temporary path to write to, and renames it onto `path` when the block ends well.

    The temporary file lies in the same folder (so that the rename is atomic), is hidden, and has
    the suffix of `path`, because some writers choose the format by it or append it. A reader of
    `path` sees the old content or the new, never a part of it. Missing parent folders are made.

    Args:
      path: where the file is to be; an existing file is replaced.

    Yields:
      The temporary path. The block must create a file there.

    Raises:
      FileNotFoundError: the block ended without having written the file.
      OSError: the file could not be written; the temporary file is removed, as it is after any
        other exception from the block, and `path` is as it was.
    """
    final = os.fspath(path)
    folder, name = os.path.split(final)
    if folder:
        os.makedirs(folder, exist_ok=True)
    suffix = os.path.splitext(name)[1]
    temporary = os.path.join(folder, f".{secrets.token_hex(8)}.part{suffix}")
    try:
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, final)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Removes what killed processes left of `atomic_write` below a folder; nobody may be writing.

    Args:
      folder: it may be missing.
    """
    for path in pathlib.Path(folder).rglob(".*.part*"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _flush_to_disk(path: str) -> None:
    # Without it a crash of the machine may leave the new name on an empty file.
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
