"""jax-origin audit, as users run it."""

import contextlib
import csv
import dataclasses
import importlib.util
import json
import os
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

import jax_origin as jo
from jax_origin.generators import save_generator
from jax_origin.images import save_png
from jax_origin.workflow import belonging_images, calibrate
from jax_origin.zoo import load_generator

from .running import Done, run


def audit(*arguments: str, folder: Path) -> Done:
    return run(folder, "audit", "--config.cache=", *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_generator, tiny_method, noise) -> Path:
    """Two candidates with their calibrations, and images of mixed origin."""
    folder = tmp_path_factory.mktemp("audit")
    names = ("one", "two")
    for seed, name in enumerate(names):
        save_generator(folder / name, make_generator(seed), card={"name": name})
    models = {name: load_generator(folder / name) for name in names}
    made = {name: belonging_images(m, 103, key=jax.random.key(5)) for name, m in models.items()}
    for name, other in (names, names[::-1]):
        calibrate(
            models[name],
            method=tiny_method,
            num_belonging=99,
            foreign={other: made[other][:99], "noise": noise[:99]},
            conditions=(),
            key=jax.random.key(0),
        ).save(folder / f"{name}.json")
    for name in names:
        for i, pixels in enumerate(made[name][99:102]):
            save_png(folder / f"images/{name}/{i}.png", pixels)
    rng = np.random.default_rng(9)
    for i in range(2):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        save_png(folder / f"images/noise/{i}.png", pixels)
    (folder / "images/noise/torn.png").write_bytes(b"\x89PNG\r\n")
    return folder


AUDIT = ["--candidate=one=one.json", "--candidate=two=two.json", "--images=images"]


@pytest.fixture(scope="module")
def audited(folder: Path) -> Done:
    done = audit(*AUDIT, "--out=found", "--fdr=0.5", "--metrics=found.prom", folder=folder)
    assert done.code == 0, done.err
    return done


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "findings.jsonl").read_text().splitlines()]


def test_each_image_is_given_its_maker(folder, audited):
    found = {row["path"].removeprefix("images/"): row for row in rows(folder / "found")}
    assert {path: (row["verdict"], row["named"]) for path, row in found.items()} == {
        **{f"one/{i}.png": ("named", ["one"]) for i in range(3)},
        **{f"two/{i}.png": ("named", ["two"]) for i in range(3)},
        **{f"noise/{i}.png": ("none", []) for i in range(2)},
        "noise/torn.png": (None, []),
    }
    assert "damaged" in found["noise/torn.png"]["error"]
    own, other = (found["one/0.png"]["candidates"][name] for name in ("one", "two"))
    assert own["p"] > 0.01 >= own["q"] and other["p"] <= 0.01 < other["q"]
    # No number of a hundred supports more than 1 / (1 - 0.05^(1/100)) = 34.
    assert own["log10_lr"] == own["log10_lr_limits"][1] > 1.5 and other["log10_lr"] < -1.5
    # At a rate of a half all of them stand among 16 tests, one by one.
    for row in found.values():
        for said in row["candidates"].values() if row["verdict"] else ():
            assert said["exclusion_stands"] == (said["p"] <= 0.01)
            assert said["attribution_stands"] == (said["q"] <= 0.01)


def test_records_report_and_tables_are_where_they_are_said_to_be(folder, audited):
    lines = audited.out.splitlines()
    assert lines[-3:] == [
        "findings: found/findings.jsonl",
        "report: found/findings.md",
        "page: found/report.html",
    ]
    page = (folder / "found/report.html").read_text()
    assert page.count("data:image/png;base64,") == 8 * 3 and "torn.png" in page
    assert (folder / "found/findings.md").read_text().startswith("# Findings\n\n9 images ")
    table = jo.audit.open(folder / "found").table()
    for name in ("one", "two"):
        records = [r for r in table.to_pylist() if r["candidate"] == name]
        assert len(records) == 9 and {r["generator"] for r in records} == {name}
        assert {r["score_kind"] for r in records} == {"full", None}
    counts = [line.split() for line in lines if line.startswith("| noise ")]
    assert counts == ["| noise | 0 | 0 | 2 | 0 | 1 |".split()]
    assert "Traceback" not in audited.err
    assert "of the time spent on waiting for images" in audited.out
    for line in (
        'images{task="two"} 9',
        'images_done{task="two"} 9',
        'verdicts{task="two",verdict="belongs"} 3',
        'verdicts{task="two",verdict="not_recognised"} 5',
        'errors{task="two"} 1',
    ):
        assert f"jax_origin_{line}" in (folder / "found.prom").read_text().splitlines()


@pytest.mark.outer
def test_files_that_hang_or_crash_their_decoder_are_errors_among_the_records(folder, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "images/failing")
    hostile = folder / "hostile"
    for name, word in (("1", b"hangs"), ("2", b"exits"), ("3", b"crashes")):
        hostile.mkdir(exist_ok=True)
        (hostile / f"{name}.jxl").write_bytes(b"\xff\x0a\x41" + word)
    save_png(hostile / "4.png", np.full((8, 8, 3), 9, np.uint8))
    options = ["--images=hostile", "--decoders=2", "--decode_seconds=5", "--out=survived"]
    done = audit(*AUDIT[:1], *options, folder=folder)
    assert done.code == 0, done.err
    errors = [(row["error"] or "").partition(";")[0] for row in rows(folder / "survived")]
    assert errors == [
        "its decoder takes more than 5 s (--decode_seconds)",
        "its decoder crashes (exit code 7)",
        "its decoder crashes (Segmentation fault)",
        "",
    ]
    # Nobody opened them again, to show them: this process is still there.
    assert "its decoder crashes" in (folder / "survived/report.html").read_text()
    assert "failing" not in str(sys.modules.get("pillow_jxl"))


def test_a_dry_run_says_what_it_would_take_and_does_nothing(folder):
    done = audit(*AUDIT, "--out=dry", "--dry_run", folder=folder)
    assert done.code == 0, done.err
    one, two, (last,) = (part.splitlines() for part in done.out.strip().split("\n\n"))
    for name, lines in (("one", one), ("two", two)):
        assert lines[0] == name and lines[1].split()[:3] == ["stage", "lanes", "steps"]
        assert any(line.startswith("9 images: ") for line in lines)
    assert last.startswith("9 images, 2 candidates: ") and last.endswith(" MiB")
    assert not (folder / "dry").exists()


def test_run_again_it_goes_on_where_it_was_killed(folder, audited):
    before = {path: path.read_bytes() for path in (folder / "found").rglob("*") if path.is_file()}
    # A kill in the middle of the second candidate's part; its findings were never written.
    part = folder / "found/two/parts/part-00000-000000.parquet"
    part.rename(part.with_name(".0123456789abcdef.part.parquet"))
    findings = folder / "found/findings.jsonl"
    findings.rename(findings.with_name(".0123456789abcdef.part.jsonl"))
    drawn = importlib.util.find_spec("matplotlib") is not None
    plots = ["--plots"] if drawn else []
    again = audit(*AUDIT, "--out=found", "--fdr=0.5", *plots, folder=folder)
    assert again.code == 0, again.err
    # Times and the hash over the records differ; nothing else does.
    kept = [path for path in before if path != part and path.name != "manifest.json"]
    assert {path: path.read_bytes() for path in kept} == {path: before[path] for path in kept}
    assert [path.name for path in part.parent.iterdir()] == [part.name]
    assert not list((folder / "found").glob(".*"))
    assert ("plots: found/one/evidence.png" in again.out) == drawn
    if drawn:
        assert (folder / "found/two/evidence.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alpha=2"], "--alpha=2.0: must lie strictly between 0 and 1"),
        (
            ["--seed=7"],
            "found holds another run (--seed was 1, is 7): give another --out, or delete found",
        ),
        (["--fdr=0"], "--fdr=0.0: must lie strictly between 0 and 1"),
        (["--config.fdr_procedure=bhy"], '--config.fdr_procedure=bhy: must be "bh" or "by"'),
        (["--images=none"], "none: no such file or folder"),
        (["--decoders=-1"], "--decoders=-1: must be 0 or more"),
        (["--decode_seconds=0"], "--decode_seconds=0: must be above 0"),
        (["--metrics=images", "--out=other"], "--metrics=images: is a folder; name a file"),
        (["--shares=0"], "--shares=0: must be 1 or more"),
        (
            ["--ray=local", "--distributed"],
            "--ray: leave --distributed out; Ray says who the workers are",
        ),
    ],
)
def test_a_mistake_is_one_line(folder, audited, arguments, message):
    done = audit(*AUDIT, "--out=found", *arguments, folder=folder)
    assert (done.code, done.line) == (1, f"audit: {message}")


def test_without_ray_one_line_says_how_to_install_it(folder, audited, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = audit(*AUDIT, "--out=without-ray", "--ray=local", folder=folder)
    assert done.code == 1 and done.line.startswith("audit: --ray: Ray is not installed (pip ")


@pytest.fixture
def workers(monkeypatch):
    """Shares are done here, one after the other, by workers that cannot see where this one is."""

    def do(work, num, **_):
        with monkeypatch.context() as patch:
            patch.setattr(os, "chdir", missing)
            return [work(share) for share in range(num)]

    def missing(path):
        raise FileNotFoundError(2, "No such file or directory", path)

    monkeypatch.setattr("jax_origin.cli.audit.on_cluster", lambda _: contextlib.nullcontext())
    monkeypatch.setattr("jax_origin.cli.audit.share_out", do)


SHARED = ["--ray=local", "--shares=3", "--out=shared"]


def test_shares_keep_as_many_reconstructions_as_were_asked_for(folder, audited, workers):
    done = audit(*AUDIT, *SHARED, "--reconstructions=3", "--fdr=0.5", folder=folder)
    assert done.code == 0, done.err
    kept = [len(list((folder / f"shared/{name}").rglob("*.png"))) for name in ("one", "two")]
    # Of three own images, and of five others: one of each verdict for each share.
    assert all(2 <= num <= 6 for num in kept)
    assert rows(folder / "shared") == rows(folder / "found")


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (["tpu"], "--ray: its workers have TPUs, which share work by --distributed alone"),
        (["cpu", "cpu", "gpu"], "runs on gpu, others on cpu: mend it"),
    ],
)
def test_workers_of_another_kind_are_refused(folder, workers, monkeypatch, kinds, message):
    given = iter(kinds)
    monkeypatch.setattr("jax_origin.cli.audit._kind_of_device", lambda _=0: next(given))
    done = audit(*AUDIT, *SHARED[:2], "--out=kinds", folder=folder)
    assert done.code == 1 and done.line.endswith(message)


def test_what_the_last_candidate_cannot_keep_is_refused_before_the_first_ones_work(folder):
    done = audit(*AUDIT, "--out=refused", "--alpha=0.001", folder=folder)
    assert done.code == 1 and "alpha=0.001" in done.line
    assert not (folder / "refused").exists()


def test_without_out_each_audit_finds_its_own_folder(folder):
    first = audit(*AUDIT[:2], "--images=images/noise/torn.png", folder=folder)
    assert first.code == 2  # Every file failed.
    second = audit(*AUDIT[:2], "--images=images/one/0.png", folder=folder)
    assert second.code == 0, second.err
    lines = [done.out.splitlines() for done in (first, second)]
    assert "report: runs/audit/findings.md" in lines[0]
    assert "report: runs/audit-2/findings.md" in lines[1]


def test_an_audit_is_verified_by_its_hashes_and_by_a_sample(folder, audited):
    done = run(folder, "verify", "found", "--sample=9", "--cache=")
    assert done.code == 0, done.out + done.err
    assert "records: as they were written, hash " in done.out
    assert "examined again: " in done.out and " fit, " in done.out
    # What is recorded of an image is no longer what comes out of it.
    part = folder / "found/one/parts/part-00000-000000.parquet"
    before = part.read_bytes()
    part.write_bytes(before.replace(b"belongs", b"belonge"))
    again = run(folder, "verify", "found", "--sample=0", "--cache=")
    part.write_bytes(before)
    assert again.code == 2 and "found/one/parts" in again.out
    wrong = run(folder, "verify", "nowhere", "--cache=")
    assert (wrong.code, wrong.line) == (
        1,
        "verify: nowhere/manifest.json: no audit can be opened here (No such file or directory)",
    )


def test_records_and_findings_are_exported(folder, audited):
    done = run(folder, "export", "found", "--what=findings")
    assert done.code == 0 and done.out == (folder / "found/findings.jsonl").read_text()
    done = run(folder, "export", "found", "--format=csv", "--out=records.csv")
    assert (done.code, done.out) == (0, "wrote records.csv\n")
    with open(folder / "records.csv", newline="") as file:
        records = list(csv.DictReader(file))
    table = jo.audit.open(folder / "found").table()
    assert [r["key"] for r in records] == table["key"].to_pylist()
    assert [float(r["p"]) if r["p"] else None for r in records] == table["p"].to_pylist()
    wrong = run(folder, "export", "--format=csv")
    assert (wrong.code, wrong.line) == (1, "export: name the audit's folder: jax-origin export DIR")
    wrong = run(folder, "export", "found", "--out=images")
    assert (wrong.code, wrong.line) == (1, "export: --out=images: is a folder; name a file")


def test_a_changed_image_is_found_by_the_sample(folder, audited):
    path = folder / "images/noise/1.png"
    before = path.read_bytes()
    save_png(path, np.zeros((8, 8, 3), np.uint8))
    done = run(folder, "verify", "--audit=found", "--sample=9", "--cache=")
    path.write_bytes(before)
    assert done.code == 2
    assert "images/noise/1.png, one: its file has changed since it was examined" in done.out


def test_sources_and_a_layout_say_who_made_each(folder):
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.write(folder / "images/one/0.png", "one/0.png")
        archive.write(folder / "images/noise/0.png", "noise/0.png")
    sources = ["--source=more.zip", "--source=images/two", "--layout=folder"]
    done = audit(*AUDIT[:2], *sources, "--out=sources", folder=folder)
    assert done.code == 0, done.err
    found = {row["path"]: (row["named"], row["truth"]) for row in rows(folder / "sources")}
    assert found == {
        "more.zip/one/0.png": (["one"], "one"),
        "more.zip/noise/0.png": ([], "noise"),
        **{f"images/two/{i}.png": (["two"], "two") for i in range(3)},
    }
    report = (folder / "sources/findings.md").read_text()
    assert "## Named images" in report and "| two" in report
    page = (folder / "sources/report.html").read_text()
    assert "Right and wrong, by maker" in page and "right</span></span></td>" in page


def test_a_source_without_images_is_one_line(folder):
    (folder / "none").mkdir(exist_ok=True)
    (folder / "none/notes.md").write_text("")
    done = audit(*AUDIT[:2], "--source=none", "--out=empty", folder=folder)
    assert done.code == 1
    assert done.line == (
        "audit: none: holds no images; none: left out: 1 .md (--all_files looks into every file)"
    )


def test_another_calibration_does_not_touch_what_is_there(folder, audited):
    before = {path: path.read_bytes() for path in (folder / "found").rglob("*") if path.is_file()}
    own = jo.Calibration.load(folder / "two.json")
    dataclasses.replace(own, belonging=own.belonging * 1.01).save(folder / "other.json")
    swapped = [AUDIT[0], "--candidate=two=other.json", AUDIT[2]]
    done = audit(*swapped, "--out=found", "--fdr=0.5", folder=folder)
    assert done.code == 1 and "found/two holds another run (candidate's calibration" in done.line
    assert {path: path.read_bytes() for path in before} == before


def test_figures_of_an_audit(folder, audited):
    pytest.importorskip("matplotlib")
    done = run(folder, "plot", "roc", "found", "--out=roc.svg")
    assert done.code == 0, done.err
    lines = (folder / "roc.csv").read_text().splitlines()
    assert {line.split(",")[0].strip('"') for line in lines[1:]} == {"one", "two"}
    text = (folder / "roc.svg").read_text(encoding="utf-8")
    assert "one, audited" in text and "noise (2): AUC 1" in text and "two (3): AUC 1" in text
    done = run(folder, "plot", "scores", "found", "--generator=two", "--out=scores.svg")
    assert done.code == 0, done.err
    assert "images asked about (8)" in (folder / "scores.svg").read_text(encoding="utf-8")
    done = run(folder, "plot", "roc", "found", "--generator=three")
    assert done.line == "plot: --generator=three: there is none; choose from one, two"
