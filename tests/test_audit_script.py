"""scripts/audit.py, run as users run it."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jax_origin.calibrating import calibrate
from jax_origin.generators import save_generator
from jax_origin.images import save_png
from jax_origin.scoring import belonging_images
from jax_origin.zoo import load_generator

REPOSITORY = Path(__file__).parent.parent


def audit(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    before = os.environ.get("PYTHONPATH")
    where = os.pathsep.join([str(REPOSITORY), before] if before else [str(REPOSITORY)])
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts/audit.py"), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": where},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_generator, method, noise) -> Path:
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
            method=method,
            num_belonging=99,
            foreign={other: made[other][:99], "noise": noise[:99]},
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
def audited(folder: Path) -> subprocess.CompletedProcess[str]:
    done = audit(*AUDIT, "--out=found", "--fdr=0.5", folder=folder)
    assert done.returncode == 0, done.stderr
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
    assert own["log10_lr"] == own["log10_lr_limits"][1] > 1.9 and other["log10_lr"] < -1.9
    # At a rate of a half all of them stand among 16 tests, one by one.
    for row in found.values():
        for said in row["candidates"].values() if row["verdict"] else ():
            assert said["excluded"] == (said["p"] <= 0.01)
            assert said["attributed"] == (said["q"] <= 0.01)


def test_records_report_and_tables_are_where_they_are_said_to_be(folder, audited):
    lines = audited.stdout.splitlines()
    assert lines[-2:] == ["findings: found/findings.jsonl", "report: found/findings.md"]
    assert (folder / "found/findings.md").read_text().startswith("# Findings\n\n9 images were held")
    for name in ("one", "two"):
        text = (folder / f"found/{name}/verdicts.jsonl").read_text()
        records = [json.loads(line) for line in text.splitlines()]
        assert len(records) == 9 and {r["generator"] for r in records} == {name}
        assert {r["score_kind"] for r in records} == {"full", None}
    counts = [line.split() for line in lines if line.startswith("| noise ")]
    assert counts == ["| noise | 0 | 0 | 2 | 0 | 1 |".split()]
    assert "Traceback" not in audited.stderr


def test_run_again_it_goes_on_where_it_was_killed(folder, audited):
    before = {path: path.read_bytes() for path in (folder / "found").rglob("*") if path.is_file()}
    # A kill in the middle of the second candidate's records; its findings were never written.
    records = folder / "found/two/verdicts.jsonl"
    records.write_bytes(before[records][:-40])
    (folder / "found/findings.jsonl").unlink()
    drawn = importlib.util.find_spec("matplotlib") is not None
    plots = ["--plots"] if drawn else []
    again = audit(*AUDIT, "--out=found", "--fdr=0.5", *plots, folder=folder)
    assert again.returncode == 0, again.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert ("plots: found/one/evidence.png" in again.stdout) == drawn
    if drawn:
        assert (folder / "found/two/evidence.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alpha=2"], "--alpha=2.0: must lie strictly between 0 and 1"),
        (["--seed=7"], "found/one holds another run (seed was 1, is 7): choose another workdir"),
    ],
)
def test_a_mistake_is_one_line(folder, audited, arguments, message):
    done = audit(*AUDIT, "--out=found", *arguments, folder=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"audit: {message}"]
