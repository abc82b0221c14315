"""A run's folder: its settings, and its lock.

::

    folder/
      run.json                      the settings that verdicts depend on
      lock                          held by the run that is at work
"""

import contextlib
import errno
import fcntl
import itertools
import json
import os
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

import jax

from jax_origin.files import atomic_write
from jax_origin.runs.record import RunError, json_object

_LOST_FOR = 300.0  # Seconds for which the lock of a machine that is out of reach may stay.
_AGAIN = 2.0  # Seconds between tries.


class RunFolder:
    """The folder of a run that can be killed at any moment and taken up again.

    Enter it to lock it and to compare its settings; every process of a run enters it.

    Args:
      path: The folder; entering makes it if it is missing, nothing is touched before.
      settings: What verdicts depend on, as plain JSON values. A name such as ``resize`` stands for
        the flag ``--resize``; one with a space, such as "kind of device", for itself.
      flag: The flag that chooses the folder, for messages.
      share: Which share of the work is done here, of how many; without it this process's. If it
        is given, entering waits some minutes while another holds its lock: a lost machine's stays.

    Attributes:
      path: The folder.
      share: Which share of the work is done here, of how many.
      flag: The flag.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        settings: Mapping[str, Any],
        *,
        flag: str = "--workdir",
        share: tuple[int, int] | None = None,
    ) -> None:
        self.path, self.flag = pathlib.Path(path), flag
        self._settings: dict[str, Any] = json.loads(json.dumps(dict(settings)))
        self.share = share or (jax.process_index(), jax.process_count())
        self._patience = _LOST_FOR if share else 0.0
        process, _ = self.share
        # Process 0 stands for its run; no two runs have one.
        self._lock_path = self.path / (f"lock-{process:05d}" if process else "lock")
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Locks the folder, and writes or compares ``run.json``.

        Raises:
          RunError: Another run is at work in the folder, it holds a run with other settings (the
            message names the flags that differ), or it cannot be used.
        """
        another = f"give another {self.flag}"
        with contextlib.ExitStack() as opened:
            try:
                os.makedirs(self.path, exist_ok=True)
                lock = opened.enter_context(open(self._lock_path, "ab"))
                _wait_for_lock(lock.fileno(), self._patience)
                self._look_for_strays()
                self._compare()
            except BlockingIOError:
                reason = f"another run is at work here: wait for it, or {another}"
                raise RunError(f"{self.path}: {reason}") from None
            except OSError as error:
                reason = f"cannot be used ({error.strerror or error}): {another}"
                raise RunError(f"{self.path}: {reason}") from None
            self._entered()
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _entered(self) -> None:
        """What is done once the folder is locked."""

    def _look_for_strays(self) -> None:
        """Raises a BlockingIOError if a process of an earlier, larger run is still at work."""
        for path in self.path.glob("lock-*"):
            number = path.name.removeprefix("lock-")
            if number.isdecimal() and int(number) >= self.share[1]:
                with open(path, "rb") as lock:  # A shared lock: others look at the same time.
                    _lock(lock.fileno(), fcntl.LOCK_SH)

    def _compare(self) -> None:
        path = self.path / "run.json"
        way_out = f"give another {self.flag}, or delete {self.path}"
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


def _wait_for_lock(descriptor: int, seconds: float) -> None:
    """Takes a file's lock; a BlockingIOError if another has it for so long."""
    until = time.monotonic() + seconds
    while True:
        try:
            return _lock(descriptor)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
            time.sleep(_AGAIN)


def _lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> None:
    """Takes a file's lock until it is closed; a BlockingIOError if another has it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
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
