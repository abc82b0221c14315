"""The scripts that measure large audits, on small ones."""

import pytest

from benchmarks import faults, kills, large_report, throughput
from jax_origin.audit import check_manifest

pytestmark = pytest.mark.outer


def test_all_broken_files_are_counted(tmp_path):
    found = throughput.many_images(tmp_path, 60, 6, steps=3)
    assert found["broken ones with an error"] == 6
    assert found["whole ones without an error"] == 54
    assert found["memory, MiB"]["highest"] > 50


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_source_has_as_many_entries_as_it_says(tmp_path, kind):
    throughput.candidate(tmp_path, steps=3)
    found = throughput.first_verdict(tmp_path, kind, 4000, steps=3)
    assert found["seconds to the first verdict, warm"] > 0


def test_records_are_repeated_as_those_of_other_images(tmp_path, monkeypatch):
    monkeypatch.setattr(large_report, "_REAL", 40)
    monkeypatch.setattr(large_report, "_ROWS", 64)
    (tmp_path / "images/others").mkdir(parents=True)
    kills.make(tmp_path, 40)
    run = kills.start(tmp_path, "real")
    run.join()
    assert run.exitcode == 0
    large_report.enlarge(tmp_path / "real", tmp_path / "large", 5)
    assert check_manifest(tmp_path / "large") == []
    before, after = kills.records(tmp_path / "real"), kills.records(tmp_path / "large")
    assert len(after) == 5 * len(before) == kills.on_disk(tmp_path / "large")
    found = large_report.report(tmp_path, "large")
    assert found["images"] == 200 and found["records"] == 400 and found["page, MB"] < 10


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    (folder / "images/others").mkdir(parents=True)
    kills.make(folder, 80)
    assert faults.run(folder, "whole").code == 0
    return folder


@pytest.mark.parametrize("fault", faults.FAULTS)
def test_a_fault_loses_nothing_and_doubles_nothing(undisturbed, fault):
    found = faults.injected(undisturbed, fault)
    assert found["wrong"] == [] and found["records"] >= 160
    assert {count: found[count] for count in faults.COUNTS} == dict.fromkeys(faults.COUNTS, 0)
