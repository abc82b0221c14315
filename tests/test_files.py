"""A file written by `atomic_write` is whole or not there."""

import os
from pathlib import Path

import numpy as np
import pytest

from jax_origin.files import atomic_write, remove_unfinished


def test_writes_a_new_file_and_leaves_nothing_else(tmp_path: Path):
    path = tmp_path / "result.json"
    with atomic_write(path) as temporary:
        assert os.path.dirname(temporary) == str(tmp_path)
        assert not path.exists()
        Path(temporary).write_text("whole")
    assert path.read_text() == "whole"
    assert os.listdir(tmp_path) == ["result.json"]


def test_replaces_an_existing_file(tmp_path: Path):
    path = tmp_path / "result.json"
    path.write_text("old")
    with atomic_write(str(path)) as temporary:
        Path(temporary).write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_keeps_the_old_file_and_removes_the_temporary_one(tmp_path: Path, error):
    path = tmp_path / "result.json"
    path.write_text("old")
    with pytest.raises(error), atomic_write(path) as temporary:
        Path(temporary).write_text("ha")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_makes_missing_folders(tmp_path: Path):
    path = tmp_path / "deep" / "er" / "result.txt"
    with atomic_write(path) as temporary:
        Path(temporary).write_text("x")
    assert path.read_text() == "x"


def test_a_name_without_a_folder_is_in_the_current_one(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_write("result.txt") as temporary:
        Path(temporary).write_text("x")
    assert (tmp_path / "result.txt").read_text() == "x"


def test_writers_that_add_a_suffix_find_it_there(tmp_path: Path):
    with atomic_write(tmp_path / "arrays.npz") as temporary:
        np.savez(temporary, x=np.arange(3))
    assert np.load(tmp_path / "arrays.npz")["x"].tolist() == [0, 1, 2]


def test_a_block_that_writes_nothing_fails(tmp_path: Path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "result.txt"):
        pass
    assert not os.listdir(tmp_path)


def test_the_file_has_the_permissions_of_any_new_file(tmp_path: Path):
    (tmp_path / "plain.txt").write_text("x")
    with atomic_write(tmp_path / "result.txt") as temporary:
        Path(temporary).write_text("x")
    modes = [(tmp_path / name).stat().st_mode for name in ("plain.txt", "result.txt")]
    assert modes[0] == modes[1]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path):
    left = ["a/.0123456789abcdef.part.json", ".fedcba9876543210.part"]
    others = [".hidden", "a/.mine.part.json", "a/0123456789abcdef.part.json"]
    for name in (*left, *others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    remove_unfinished(tmp_path)
    files = (path for path in tmp_path.rglob("*") if path.is_file())
    assert sorted(str(path.relative_to(tmp_path)) for path in files) == sorted(others)
    remove_unfinished(tmp_path / "missing")
