"""A run's folder: who may enter it, and when."""

import contextlib
import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jax_origin.runs import RunError, RunFolder
from jax_origin.runs import run_folder as module


@contextlib.contextmanager
def locked(path: Path, kind: int) -> Iterator[None]:
    with open(path, "ab+") as lock:
        fcntl.flock(lock, kind)
        yield


def test_two_that_look_for_strays_at_once_do_not_refuse_each_other(tmp_path):
    stray = tmp_path / "lock-00005"
    with locked(stray, fcntl.LOCK_SH), RunFolder(tmp_path, {}):  # As another looks at it.
        pass
    with locked(stray, fcntl.LOCK_EX), pytest.raises(RunError, match="another run is at work"):
        RunFolder(tmp_path, {}).__enter__()
    with locked(stray, fcntl.LOCK_EX), RunFolder(tmp_path, {}, share=(0, 6)):
        pass


def test_a_file_of_a_like_name_is_no_lock(tmp_path):
    for name in ("lock-foo", "lock-00005.orig"):
        (tmp_path / name).touch()
    with RunFolder(tmp_path, {}) as folder:
        assert (folder.path / "run.json").exists()


def test_a_share_waits_for_the_lock_of_a_lost_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_AGAIN", 0.01)
    lost = contextlib.ExitStack()
    lost.enter_context(locked(tmp_path / "lock-00001", fcntl.LOCK_EX))
    timer = threading.Timer(0.3, lost.close)
    timer.start()
    with RunFolder(tmp_path, {}, share=(1, 2)):
        pass  # Without `share` it is refused at once, as a second run is.
    timer.join()


def test_a_share_does_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_AGAIN", 0.01)
    monkeypatch.setattr(module, "_LOST_FOR", 0.1)
    with locked(tmp_path / "lock-00001", fcntl.LOCK_EX):
        with pytest.raises(RunError, match="another run is at work"):
            RunFolder(tmp_path, {}, share=(1, 2)).__enter__()
