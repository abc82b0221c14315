"""Whatever happens to an audit, each image has its record once, and no file is half-written."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import jax_origin as jo
from jax_origin.audit.manifest import begin_manifest, check_manifest, finish_manifest
from jax_origin.audit.part_files import check_chain, parts_in
from jax_origin.audit.part_records import aligned_records
from jax_origin.images import save_png
from jax_origin.runs import CHANGED, RecordError, RunError

from .cheap import CANDIDATE, Cheap, audited

REPOSITORY = Path(__file__).parents[2]
RATES = {"alpha": 0.01, "beta": 0.01, "fdr": 0.05, "fdr_procedure": None}
SETTINGS = {"images": "images", "alpha": 0.01, "beta": 0.01, "seed": 1}


def fill(folder: Path, num: int, *, every: int = 10, first: int = 0) -> None:
    """Images of a size of 4x4; some are broken, and some are equal to others."""
    rng = np.random.default_rng(first)
    for i in range(first, first + num):
        path = folder / f"{i % 7}/{i:05}.png"
        if i % every == every - 1:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\x89PNG\r\n" + bytes([i % 251]))
        else:
            shade = 11 if i % every == 3 else int(rng.integers(0, 256))
            pixels = np.full((4, 4, 3), shade, np.uint8)
            pixels[0, 0, 0] = 0 if i % every == 3 else i % 256
            save_png(path, pixels)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "images"
    fill(folder, 60)
    return folder


def records(out: Path) -> list[dict]:
    """What is found, without what depends on the clock."""
    found = aligned_records({"a": out / "a/parts"})["a"]
    return [{k: v for k, v in record.items() if k != "seconds"} for record in found]


def rows_on_disk(out: Path) -> int:
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(part.path).num_rows for part in parts_in(out / "a/parts"))


def leftovers(out: Path) -> list[str]:
    return [path.name for path in out.rglob("*") if path.name.startswith(".")]


def start(*arguments: object, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.audit.cheap", *map(str, arguments)]
    where = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=where,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def test_each_image_has_its_record_in_the_order_of_the_source(images, tmp_path):
    Cheap.scored = 0
    assert audited(str(images), tmp_path, part_records=16) == 60
    assert len(parts_in(tmp_path / "a/parts")) == 4
    found = records(tmp_path)
    assert [r["key"] for r in found] == sorted(str(path) for path in images.rglob("*.png"))
    # Of equal files one is examined; what cannot be read is among the examined.
    assert len({r["sha256"] for r in found}) == Cheap.scored < 60
    broken = [r for r in found if r["error"]]
    assert len(broken) == 6 and all("\n" not in r["error"] for r in broken)
    one = next(r for r in found if not r["error"])
    assert (one["format"], one["width"], one["height"]) == ("PNG", 4, 4)
    assert one["size"] == Path(one["key"]).stat().st_size and one["candidate"] == "a"
    assert one["log10_lr_low"] <= one["log10_lr"] <= one["log10_lr_high"]
    before = {part.path: part.path.read_bytes() for part in parts_in(tmp_path / "a/parts")}
    audited(str(images), tmp_path)  # All is done: nothing is written.
    assert {p.path: p.path.read_bytes() for p in parts_in(tmp_path / "a/parts")} == before


def test_a_changed_file_is_examined_again_and_says_so(images, tmp_path):
    folder = tmp_path / "images"
    fill(folder, 10)
    audited(str(folder), tmp_path)
    path = folder / "0/00000.png"
    save_png(path, np.full((4, 4, 3), 200, np.uint8))
    audited(str(folder), tmp_path)
    again = next(r for r in records(tmp_path) if r["key"] == str(path))
    assert (again["verdict"], again["examined"]) == ("not_recognised", 2)
    assert again["note"] == CHANGED and rows_on_disk(tmp_path) == 11
    # A touched file with the same bytes has not changed.
    os.utime(path, ns=(1, 1))
    audited(str(folder), tmp_path)
    assert rows_on_disk(tmp_path) == 11
    # It may come to equal another: the answer is the other's.
    path.write_bytes((folder / "1/00001.png").read_bytes())
    audited(str(folder), tmp_path)
    found = {r["key"]: r for r in records(tmp_path)}
    other = found[str(folder / "1/00001.png")]
    assert found[str(path)]["score"] == other["score"] and other["note"] is None
    assert found[str(path)]["note"] == CHANGED and found[str(path)]["examined"] == 3


def test_a_source_that_changes_under_way(tmp_path, monkeypatch):
    folder = tmp_path / "images"
    fill(folder, 400, every=500)  # More than are read ahead.
    *_, late, later = sorted(folder.rglob("*.png"))
    score = Cheap.verdict

    def changing(self, tag, data):
        if tag == 0:
            late.unlink()
            save_png(later, np.full((4, 4, 3), 77, np.uint8))
            save_png(folder / "9/new.png", np.full((4, 4, 3), 78, np.uint8))
        return score(self, tag, data)

    monkeypatch.setattr(Cheap, "verdict", changing)
    audited(str(folder), tmp_path)
    found = {r["key"]: r for r in records(tmp_path)}
    gone = found.pop(str(late), None)
    assert gone is None or "cannot be read" in gone["error"]
    monkeypatch.undo()
    audited(str(folder), tmp_path)
    found = {r["key"]: r for r in records(tmp_path) if r["key"] != str(late)}
    files = {str(path): sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.png")}
    assert {key: record["sha256"] for key, record in found.items()} == files


def test_a_file_whose_reading_fails_is_examined_when_it_can_be_read(images, tmp_path):
    folder = tmp_path / "images"
    fill(folder, 10)
    audited(str(folder), tmp_path / "whole")
    path = folder / "0/00000.png"
    path.rename(tmp_path / "aside.png")
    path.symlink_to("/proc/self/mem")  # Nothing is there to be read at its beginning.
    audited(str(folder), tmp_path)
    (failed,) = (r for r in records(tmp_path) if r["key"] == str(path))
    assert failed["error"] == "cannot be read (Input/output error)"
    (tmp_path / "aside.png").replace(path)
    audited(str(folder), tmp_path)
    assert rows_on_disk(tmp_path) == 11
    counts = {"examined": None, "note": None}
    again, whole = ([r | counts for r in records(out)] for out in (tmp_path, tmp_path / "whole"))
    assert again == whole


def test_a_clock_that_goes_back_changes_nothing(images, tmp_path, monkeypatch):
    folder = tmp_path / "images"
    fill(folder, 20)
    audited(str(folder), tmp_path / "whole")
    now, looks = time.time(), iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: now - 3600 * next(looks))
    monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * time.time()))
    audited(str(folder), tmp_path, part_records=4, part_seconds=1.0)
    assert records(tmp_path) == records(tmp_path / "whole")
    for path in folder.rglob("*.png"):
        os.utime(path, (0, 0))
    audited(str(folder), tmp_path)  # Whole files have not changed; broken ones say the same.
    assert records(tmp_path) == records(tmp_path / "whole") and rows_on_disk(tmp_path) == 20


def test_of_a_changed_archive_only_what_changed_is_examined_again(images, tmp_path):
    files = {path.name: path.read_bytes() for path in sorted(images.rglob("*.png"))[:8]}
    first, *_ = files
    for changed in (False, True):
        if changed:
            files[first] = next(path.read_bytes() for path in (images / "6").iterdir())
        with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        audited(str(tmp_path / "some.zip"), tmp_path)
    assert rows_on_disk(tmp_path) == 9
    notes = {Path(r["key"]).name: r["note"] for r in records(tmp_path)}
    assert notes == {**dict.fromkeys(files), first: CHANGED}


def test_other_processes_go_on_where_one_was(images, tmp_path, monkeypatch):
    audited(str(images), tmp_path / "whole")
    monkeypatch.setattr("jax_origin.audit.job.wait_for_all", lambda _: None)

    def be(process: int, processes: int) -> None:
        monkeypatch.setattr("jax.process_index", lambda: process)
        monkeypatch.setattr("jax.process_count", lambda: processes)

    for process, processes in ((0, 3), (1, 2), (0, 2), (0, 1)):
        be(process, processes)
        audited(str(images), tmp_path / "shared", part_records=7)
    assert records(tmp_path / "shared") == records(tmp_path / "whole")
    assert rows_on_disk(tmp_path / "shared") == 60
    assert not check_chain(parts_in(tmp_path / "shared/a/parts"), thorough=True).faults


def test_an_image_that_two_sources_name_has_one_record(images, tmp_path):
    (tmp_path / "list.txt").write_text("\n".join(sorted(map(str, images.rglob("*.png")))))
    assert audited([str(images), str(tmp_path / "list.txt")], tmp_path) == 120
    assert rows_on_disk(tmp_path) == 60


def kill_and_go_on(images: Path, out: Path, kills: int, delay: float) -> None:
    rng, killed = random.Random(0), 0
    while killed < kills:
        run = start(images, out, 5, delay)
        assert run.stdout.readline() == b"begun\n"
        time.sleep(rng.uniform(0.0, 60 * delay))
        killed += run.poll() is None
        run.send_signal(signal.SIGKILL)
        run.communicate()


@pytest.mark.outer
def test_an_audit_killed_many_times_goes_on(tmp_path):
    fill(tmp_path / "images", 400)
    kill_and_go_on(tmp_path / "images", tmp_path / "killed", 10, 0.01)
    audited(str(tmp_path / "images"), tmp_path / "killed", part_records=5)
    audited(str(tmp_path / "images"), tmp_path / "whole")
    assert records(tmp_path / "killed") == records(tmp_path / "whole")
    assert rows_on_disk(tmp_path / "killed") == 400 and leftovers(tmp_path / "killed") == []
    assert not check_chain(parts_in(tmp_path / "killed/a/parts"), thorough=True).faults


@pytest.mark.outer
def test_one_run_has_a_folder_and_saves_its_records_when_it_is_told_to_stop(images, tmp_path):
    run = start(images, tmp_path, 1000, 0.1)
    assert run.stdout.readline() == b"begun\n"
    while not (tmp_path / "a/run.json").exists():
        time.sleep(0.01)
    with pytest.raises(RunError, match=r"another run is at work here: .* another --out$"):
        audited(str(images), tmp_path)
    time.sleep(1.5)
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 3, err
    assert 0 < rows_on_disk(tmp_path) < 60 and leftovers(tmp_path) == []
    audited(str(images), tmp_path)
    assert rows_on_disk(tmp_path) == 60


def test_a_full_disk_is_one_line_and_loses_nothing_that_was_written(images, tmp_path):
    audited(str(images / "0"), tmp_path)
    before = rows_on_disk(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(RecordError, match=r"part-00000-000001\.parquet: cannot be written"):
            audited(str(images), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert rows_on_disk(tmp_path) == before and leftovers(tmp_path) == []
    audited(str(images), tmp_path)
    assert rows_on_disk(tmp_path) == 60


def test_a_damaged_part_is_named_and_what_it_held_is_examined_again(images, tmp_path):
    audited(str(images), tmp_path, part_records=16)
    whole, parts = records(tmp_path), parts_in(tmp_path / "a/parts")
    data = bytearray(parts[1].path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    parts[1].path.write_bytes(data)
    with pytest.raises(RecordError, match=rf"{parts[1].path.name}: is damaged") as caught:
        audited(str(images), tmp_path)
    assert "\n" not in str(caught.value)
    parts[1].path.unlink()
    audited(str(images), tmp_path)
    assert records(tmp_path) == whole and rows_on_disk(tmp_path) == 60
    chain = check_chain(parts_in(tmp_path / "a/parts"), thorough=True)
    assert chain.lost == [parts[1].path.name] and not chain.faults and not chain.missing


@pytest.fixture
def finished(images, tmp_path) -> Path:
    audited(str(images), tmp_path, part_records=16)
    options = {"settings": SETTINGS, "rates": RATES, "indistinguishable": []}
    begin_manifest(tmp_path, [CANDIDATE], **options)
    return tmp_path


@pytest.mark.parametrize("what", ["flip", "remove", "remove last", "add", "rewrite", "settings"])
def test_what_was_changed_afterwards_is_found(finished, what):
    assert check_manifest(finished) == []
    finish_manifest(finished, images=60)
    assert check_manifest(finished) == []
    paths = [part.path for part in parts_in(finished / "a/parts")]
    if what == "flip":
        data = bytearray(paths[2].read_bytes())
        data[200] ^= 1
        paths[2].write_bytes(data)
    elif what == "remove":
        paths[1].unlink()
    elif what == "remove last":
        paths[-1].unlink()
    elif what == "add":
        (finished / "a/parts/part-00001-000000.parquet").write_bytes(paths[0].read_bytes())
    elif what == "rewrite":
        paths[0].write_bytes(paths[1].read_bytes())
    else:
        manifest = json.loads((finished / "manifest.json").read_text())
        manifest["settings"]["seed"] = 2
        (finished / "manifest.json").write_text(json.dumps(manifest))
    faults = check_manifest(finished)
    assert faults and all("\n" not in fault for fault in faults)


@pytest.mark.parametrize("content", [None, b"", b"{torn", b"[]", b'{"candidates": 3}'])
def test_an_audit_that_cannot_be_opened_is_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(RunError, match=r"manifest\.json: ") as caught:
        jo.audit.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_audit_is_opened_finished_or_not(finished):
    audit = jo.audit.open(finished)
    assert not audit.finished and audit.candidates == ["a"]
    table = audit.table()
    assert table.column_names[:6] == ["key", "candidate", "verdict", "score", "p", "q"]
    assert table.to_pylist() == [{k: v for k, v in r.items() if k != "path"} for r in audit]
    assert audit.table(["key", "p"]).num_rows == 60
    findings = audit.findings()
    assert findings.examined.sum() == 54
    assert {n.verdict for n in findings.naming if n} == {"named", "none"}
    assert list(findings.paths) == table["key"].to_pylist()
    finish_manifest(finished, images=60)
    assert jo.audit.open(finished).finished


def test_an_audit_without_records_yet_has_no_findings(tmp_path):
    options = {"settings": SETTINGS, "rates": RATES, "indistinguishable": []}
    begin_manifest(tmp_path, [CANDIDATE], **options)
    audit = jo.audit.open(tmp_path)
    assert audit.table().num_rows == len(list(audit)) == len(audit.findings().naming) == 0


def test_records_of_an_earlier_version_are_not_mixed_in(images, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/verdicts.jsonl").write_text("{}\n")
    with pytest.raises(RunError, match=r"earlier version .* another --out"):
        audited(str(images), tmp_path)


@pytest.mark.outer
def test_broken_files_among_thousands(tmp_path):
    fill(tmp_path / "images", 5000, every=10)
    audited(str(tmp_path / "images"), tmp_path)
    found = records(tmp_path)
    assert len(found) == 5000 and sum(r["error"] is not None for r in found) == 500
