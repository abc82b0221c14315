"""Records survive what happens to runs."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_origin.runs import RecordError, RecordWriter, read_records
from jax_origin.runs.record import latest_records, records_name

A = {"path": "a.png", "score": 0.125, "verdict": "belongs"}
B = {"path": "b.png", "score": 1e-300, "verdict": None}


def test_what_is_written_is_read(tmp_path: Path):
    path = tmp_path / "new" / "records.jsonl"
    with RecordWriter(path) as writer:
        assert writer.write(A) == A
        assert read_records(path) == [A]  # At once, not when the file is closed.
        writer.write(B)
    assert read_records(path) == [A, B]
    assert len(path.read_text().splitlines()) == 2


def test_a_run_goes_on_where_the_last_one_ended(tmp_path: Path):
    path = tmp_path / "verdicts.jsonl"
    settings_, later = {"settings": {"alpha": 0.01}}, {**A, "score": 0.5}
    with RecordWriter(path) as writer:
        writer.write(settings_)  # Not an image: no path.
        writer.write(A)
    with RecordWriter(path) as writer:
        writer.write(B)
        writer.write(later)
    assert read_records(path) == [settings_, A, B, later]
    assert latest_records(tmp_path) == {"a.png": later, "b.png": B}


def test_of_several_records_of_a_file_the_latest_counts_whoever_wrote_it(tmp_path: Path):
    first, second, third = A, {**A, "examined": 2, "p": 0.2}, {**A, "examined": 3, "p": 0.3}
    for name, records in {
        records_name(0, 1): [third],
        records_name(0, 2): [first, B],
        records_name(1, 2): [second],
    }.items():
        with RecordWriter(tmp_path / name) as writer:
            for record in records:
                writer.write(record)
    assert latest_records(tmp_path) == {"a.png": third, "b.png": B}
    assert latest_records(tmp_path / "missing") == {}


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 200))
def test_a_file_cut_anywhere_loses_no_whole_record(cut, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.write(A)
        writer.write(B)
    whole = path.read_bytes()
    cut = min(cut, len(whole))
    path.write_bytes(whole[:cut])
    lines = whole[:cut].count(b"\n")
    assert read_records(path) == [A, B][:lines]
    with RecordWriter(path) as writer:
        for record in [A, B][lines:]:
            writer.write(record)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("tail", [b'{"path": "c', b'{"path": \n', b"\0" * 100, b'{"a": "\xc3'])
def test_a_torn_last_line_is_dropped(tmp_path: Path, tail):
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.write(A)
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert read_records(path) == [A]
    with RecordWriter(path) as writer:
        writer.write(B)
    assert read_records(path) == [A, B]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"some notes\n", 1),
        (b"some notes", 1),
        (b"[1, 2]\n", 1),
        (b"\x89PNG\r\n\x1a\n\0\0", 1),
        (b'{\n  "generator": "dcgan"\n}\n', 1),
        (b'{"path": "a"}\n{"path": \n{"path": "b"}\n', 2),
    ],
)
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path, content, line):
    path = tmp_path / "notes"
    path.write_bytes(content)
    for use in (RecordWriter, read_records):
        with pytest.raises(RecordError, match=f"notes: line {line} is not a record"):
            use(path)
    assert path.read_bytes() == content


def test_nan_and_infinity_become_null(tmp_path: Path):
    path = tmp_path / "records.jsonl"
    record = {"path": "a", "score": float("nan"), "p": [np.float32("inf"), {"q": -np.inf}]}
    with RecordWriter(path) as writer:
        writer.write(record)
    expected = {"path": "a", "score": None, "p": [None, {"q": None}]}

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    assert json.loads(path.read_text(), parse_constant=refuse) == expected


def test_numpy_values_become_numbers(tmp_path: Path):
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.write(
            {
                "path": "a",
                "score": np.float64(0.1),
                "steps": np.int32(7),
                "accepted": np.bool_(True),
                "size": (8, 6),
                "latent": np.arange(4, dtype=np.float32).reshape(2, 2),
            }
        )
    assert read_records(path) == [
        {
            "path": "a",
            "score": 0.1,
            "steps": 7,
            "accepted": True,
            "size": [8, 6],
            "latent": [[0.0, 1.0], [2.0, 3.0]],
        }
    ]


@pytest.mark.parametrize("name", ["a\nb.png", "ü.png", "\udcff.png", '"{}.png'])
def test_any_name_of_a_file_is_kept(tmp_path: Path, name):
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.write({"path": name})
    assert read_records(path) == [{"path": name}]


def test_what_json_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path):
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        with pytest.raises(RecordError, match="cannot hold object"):
            writer.write({"path": "a", "score": object()})
        with pytest.raises(RecordError, match="keys of a record must be text, got 1"):
            writer.write({"path": "a", "by index": {1: 2}})
        writer.write(A)
    assert read_records(path) == [A]


def test_a_write_that_fails_half_way_leaves_no_half_line(tmp_path: Path, monkeypatch):
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.write(A)
        file = writer._file

        class FullDisk:
            writes = 0

            def __getattr__(self, name):
                return getattr(file, name)

            def write(self, data):
                self.writes += 1
                if self.writes == 2:
                    raise OSError(28, "No space left on device")
                return file.write(data[:5])

        writer._file = FullDisk()
        with pytest.raises(RecordError, match="No space left"):
            writer.write(B)
        assert read_records(path) == [A]
        writer._file = file
        writer.write(B)
    assert read_records(path) == [A, B]


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path):
    with pytest.raises(RecordError, match="cannot be opened"):
        RecordWriter(tmp_path)
    with pytest.raises(RecordError, match=r"missing\.jsonl: cannot be read"):
        read_records(tmp_path / "missing.jsonl")
