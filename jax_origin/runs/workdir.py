"""A run's folder: its settings, its lock, and one record for each image file.

::

    workdir/
      run.json                      the settings that verdicts depend on
      lock                          held by the run that is at work
      verdicts.jsonl                one record a line; of several processes, one file each
      reconstructions/<sha256>.png  named by the image file's content
"""

import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import os
import pathlib
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import jax

from jax_origin.files import atomic_write
from jax_origin.images import as_uint8, map_ahead, save_png
from jax_origin.runs.record import (
    RecordWriter,
    RunError,
    json_object,
    latest_records,
    plain_record,
    records_name,
    times_examined,
)
from jax_origin.runtime import own_share, wait_for_all
from jax_origin.workflow.verdict import Verdict

_CHANGED = "the file has changed since it was first examined"


class Workdir:
    """The folder of a run that can be killed at any moment and taken up again.

    Enter it to lock it and to compare its settings; every process of a run enters it::

        with Workdir("runs/mine", {"seed": 1, "resize": False}) as workdir:
            for verdict in attributor.stream(workdir.waiting(paths)):
                workdir.write(verdict)
        wait_for_all("verdicts")
        records = workdir.records(paths)

    Args:
      path: The folder; entering makes it if it is missing, nothing is touched before.
      settings: What verdicts depend on, as plain JSON values. A name such as ``resize`` stands for
        the flag ``--resize``; one with a space, such as "kind of device", for itself.
      flag: The flag that chooses the folder, for messages.

    Attributes:
      path: The folder.
      records_path: This process's file of records.
    """

    def __init__(
        self, path: str | os.PathLike[str], settings: Mapping[str, Any], *, flag: str = "--workdir"
    ) -> None:
        self.path, self._flag = pathlib.Path(path), flag
        self._settings: dict[str, Any] = json.loads(json.dumps(dict(settings)))
        process = jax.process_index()
        self.records_path = self.path / records_name(process, jax.process_count())
        # Process 0 stands for its run; no two runs have one.
        self._lock_path = self.path / (f"lock-{process:05d}" if process else "lock")
        self._open = contextlib.ExitStack()
        self._writer: RecordWriter | None = None
        self._known: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        """Locks the folder, and writes or compares ``run.json``.

        Raises:
          RunError: Another run is at work in the folder, it holds a run with other settings (the
            message names the flags that differ), or it cannot be used.
        """
        another = f"give another {self._flag}"
        with contextlib.ExitStack() as opened:
            try:
                os.makedirs(self.path, exist_ok=True)
                _lock(opened.enter_context(open(self._lock_path, "ab")).fileno())
                self._compare()
            except BlockingIOError:
                reason = f"another run is at work here: wait for it, or {another}"
                raise RunError(f"{self.path}: {reason}") from None
            except OSError as error:
                reason = f"cannot be used ({error.strerror or error}): {another}"
                raise RunError(f"{self.path}: {reason}") from None
            self._known = latest_records(self.path)
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        self._writer = None

    def waiting(self, paths: Iterable[str]) -> list[str]:
        """This process's share of the files that still want a record, in order, each once.

        Call it once a run; all processes name the same files. A file is done where its record has
        the SHA-256 of its bytes as they are now. A file that is gone keeps its record. One that
        could not be read is tried again.
        """
        names = list(dict.fromkeys(paths))
        done = map_ahead(lambda path: _up_to_date(path, self._known.get(path)), names)
        waiting = [path for path, is_done in zip(names, done, strict=True) if not is_done]
        wait_for_all("resume")  # All have read the records before one writes.
        return own_share(waiting)

    def write(self, verdict: Verdict, *, keep_reconstruction: bool = False) -> dict[str, Any]:
        """Appends the record of a verdict; if the file had another, it says so in its note.

        With `keep_reconstruction`, `reconstruction` is to be found later.

        Returns:
          The record. A record that the file has for this very content or error stands instead.

        Raises:
          RunError: A file cannot be written, for instance on a full disk.
        """
        record = plain_record(verdict.record())
        before = self._known.get(record["path"])
        if before is not None:
            if all(record[name] == before.get(name) for name in ("sha256", "error")):
                return before
            record["note"] = "; ".join(filter(None, (record["note"], _CHANGED)))
            record["examined"] = times_examined(before) + 1
        try:
            # Before the record: a file that has one is not looked at again.
            if keep_reconstruction and verdict.reconstruction is not None:
                save_png(self.reconstruction(record), as_uint8(verdict.reconstruction[None])[0])
        except OSError as error:
            reason = f"a reconstruction cannot be written ({error.strerror or error})"
            raise RunError(f"{self.path}: {reason}") from error
        if self._writer is None:
            self._writer = self._open.enter_context(RecordWriter(self.records_path))
        self._known[record["path"]] = self._writer.write(record)
        return record

    def records(self, paths: Iterable[str]) -> list[dict[str, Any]]:
        """The records of files in order, whichever process wrote them.

        Raises:
          RunError: A file has no record, or a file of records cannot be read.
        """
        paths, known = list(paths), latest_records(self.path)
        if missing := [path for path in paths if path not in known]:
            raise RunError(
                f"{self.path}: {len(missing)} files have no record, the first is {missing[0]}: all "
                f"processes must see the same files, and share {self._flag}"
            )
        return [known[path] for path in paths]

    def reconstruction(self, record: Mapping[str, Any]) -> pathlib.Path:
        """Where the reconstruction of a record's image lies, if it was kept."""
        return self.path / "reconstructions" / f"{record['sha256']}.png"

    def _compare(self) -> None:
        path = self.path / "run.json"
        way_out = f"give another {self._flag}, or delete {self.path}"
        if not os.path.lexists(path):
            with atomic_write(path) as temporary:
                pathlib.Path(temporary).write_text(json.dumps(self._settings, indent=2) + "\n")
            return
        before = _read_settings(path)
        if before is None:
            raise RunError(f"{path}: not the settings of a run: {way_out}")
        if changes := ", ".join(_changes(before, self._settings)):
            raise RunError(f"{self.path} holds another run ({changes}): {way_out}")


def default_workdir(base: str | os.PathLike[str], settings: Mapping[str, Any]) -> pathlib.Path:
    """The first of base, base-2, base-3, ... that is free or holds a run with these settings."""
    wanted, base = json.loads(json.dumps(dict(settings))), os.fspath(base)
    tried = (base if n == 1 else f"{base}-{n}" for n in itertools.count(1))
    return next(path for path in map(pathlib.Path, tried) if _is_usable(path, wanted))


def _is_usable(folder: pathlib.Path, settings: dict[str, Any]) -> bool:
    path = folder / "run.json"
    if os.path.lexists(path):
        return _read_settings(path) == settings
    try:
        # A run that was killed at once has left a lock, and perhaps a hidden file.
        return all(name.startswith((".", "lock")) for name in os.listdir(folder))
    except OSError:
        return not os.path.lexists(folder)


def _lock(descriptor: int) -> None:
    """Takes a file's lock until the process ends; a BlockingIOError if another has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some file systems have no locks; there the user has to take care.
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            raise


def _read_settings(path: pathlib.Path) -> dict[str, Any] | None:
    """The settings in a file; None where there is something else."""
    try:
        return json_object(path.read_bytes())
    except OSError:
        return None


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            said = name if " " in name else f"--{name}"
            yield f"{said} was {_in_words(before.get(name))}, is {_in_words(now.get(name))}"


def _in_words(value: Any) -> str:
    if value is None:
        return "not given"
    # Fingerprints are known by their beginning.
    is_digest = isinstance(value, str) and len(value) == 64 and value.isalnum()
    return f"{value[:12]!r}..." if is_digest else repr(value)


def _up_to_date(path: str, record: Mapping[str, Any] | None) -> bool:
    if record is None or record.get("sha256") is None:
        return False
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return bool(hashlib.file_digest(file, "sha256").hexdigest() == record["sha256"])
    except FileNotFoundError:
        return True
    except OSError:
        return False
