"""What an audit found, as lines for other programs."""

import csv
import json

import pytest

import jax_origin as jo
from jax_origin.audit import exported, write_findings
from jax_origin.audit.manifest import begin_manifest
from jax_origin.audit.part_files import COLUMNS

from .cheap import CANDIDATE, audited
from .test_faults import RATES, SETTINGS, fill


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    fill(folder / "images", 40)
    (folder / 'images/a "name", with commas.png').write_bytes(b"torn")
    audited(str(folder / "images"), folder / "out", part_records=7)
    begin_manifest(
        folder / "out", [CANDIDATE], settings=SETTINGS, rates=RATES, indistinguishable=[]
    )
    return jo.audit.open(folder / "out")


def test_records_are_exported_as_they_are_read(audit):
    expected = audit.table().to_pylist()
    assert len(expected) == 41
    assert [json.loads(line) for line in exported(audit)] == expected
    found = list(csv.DictReader(exported(audit, form="csv")))
    assert list(found[0]) == list(COLUMNS)
    for row, record in zip(found, expected, strict=True):
        said = {name: value for name, value in record.items() if value is not None}
        assert {name: text for name, text in row.items() if text} == {
            name: "; ".join(value) if isinstance(value, list) else str(value)
            for name, value in said.items()
        }


def test_findings_are_exported_with_columns_for_each_candidate(audit, tmp_path):
    write_findings(tmp_path / "findings.jsonl", audit.findings())
    written = (tmp_path / "findings.jsonl").read_text().splitlines()
    assert list(exported(audit, what="findings")) == written
    found = list(csv.DictReader(exported(audit, what="findings", form="csv")))
    for row, said in zip(found, map(json.loads, written), strict=True):
        of_a = said["candidates"]["a"]
        assert row["path"] == said["path"] and row["verdict"] == (said["verdict"] or "")
        assert row["named"] == "; ".join(said["named"])
        assert row["a p"] == ("" if of_a["p"] is None else str(of_a["p"]))
        assert json.loads(row["a log10_lr_by_group"]) == of_a["log10_lr_by_group"]


def test_an_audit_without_records_has_no_lines(tmp_path):
    begin_manifest(tmp_path, [CANDIDATE], settings=SETTINGS, rates=RATES, indistinguishable=[])
    empty = jo.audit.open(tmp_path)
    for what in ("records", "findings"):
        for form in ("jsonl", "csv"):
            assert list(exported(empty, what=what, form=form)) == []
