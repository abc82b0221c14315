"""jax-origin attribute, as users run it."""

import hashlib
import json
import shlex
import shutil

import jax
import pytest
from PIL import Image

from jax_origin.images import save_png
from jax_origin.workflow import belonging_images
from jax_origin.zoo import load_generator

from .conftest import RECIPE
from .running import Done, run

KEYS = [
    *("path", "sha256", "generator", "method", "score", "score_kind", "loss", "p", "q"),
    "reference",
    *("condition", "reading", "tried", "verdict", "reason", "steps", "stored", "note", "error"),
]
ATTRIBUTE = (
    *("attribute", "--generator=tiny", "--calibration=made/calibration.json"),
    *("--images=images", "--config.cache=cache"),
)


@pytest.fixture(scope="module")
def attributed(folder, calibrated) -> Done:
    done = run(folder, *ATTRIBUTE, "--config.workdir=verdicts")
    assert done.code == 0, done.err
    return done


def records(workdir) -> dict[str, dict]:
    lines = (workdir / "verdicts.jsonl").read_text().splitlines()
    return {record["path"]: record for record in map(json.loads, lines)}


def test_each_file_has_a_record(folder, attributed):
    found = records(folder / "verdicts")
    good, bad = found["images/good.png"], found["images/bad.png"]
    assert {*KEYS} <= {*good} and {*KEYS} <= {*bad} and len(found) == 2
    assert "is not an image" in bad["error"]
    assert bad["verdict"] is None and bad["score"] is None and bad["score_kind"] is None
    assert (good["verdict"], good["error"], good["reason"]) == ("belongs", None, None)
    assert good["sha256"] == hashlib.sha256((folder / "images/good.png").read_bytes()).hexdigest()
    assert (good["generator"], good["method"]) == ("tiny", "tiny")
    assert 10 <= good["steps"] <= RECIPE.evaluations((6,))
    assert good["score_kind"] in ("full", "upper_bound")
    assert 0 <= good["score"] < good["loss"] < 1e-3  # To the file's set, and to its pixels.
    assert (good["stored"], good["condition"]) == ("pixels", "as made")
    assert good["p"] > 0.1 >= good["q"] > 0


def test_tables_are_printed_and_a_sheet_is_drawn(folder, attributed):
    lines = attributed.out.splitlines()
    assert any(line.startswith("belongs") and "images/good.png" in line for line in lines)
    assert any(line.startswith("error") and "not an image" in line for line in lines)
    assert ["images", "1", "0", "0", "1"] in [line.split() for line in lines]
    assert "verdicts: verdicts/verdicts.jsonl" in lines
    assert "of the time spent on waiting for images" in attributed.out
    assert "Traceback" not in attributed.err
    with Image.open(folder / "verdicts/contact_sheet.png") as sheet:
        sheet.load()
        assert sheet.width >= 3 * 96


def test_the_last_line_says_what_to_do_next(folder, attributed):
    last = attributed.out.splitlines()[-1]
    assert last.startswith("explain one image, on a page: jax-origin ask images/good.png ")
    name, *words = shlex.split(last.partition(": ")[2])
    done = run(folder, *words, "--cache=cache", "--out=asked.html")
    assert name == "jax-origin" and done.code == 0, done.err
    assert (folder / "asked.html").exists()


def test_what_a_folder_leaves_out_is_said(folder, calibrated, tmp_path):
    for name in ("a.png", "photo", "notes.txt"):
        shutil.copy(folder / "images/good.png", tmp_path / name)
    (tmp_path / "notes.txt").write_text("Dear reader")
    plan = (*ATTRIBUTE[:3], f"--images={tmp_path}", "--dry_run")
    by_name = run(folder, *plan)
    left_out = "1 .txt, 1 without an extension (--all_files looks into every file)"
    assert f"{tmp_path}: left out: {left_out}" in by_name.out.splitlines()
    every = run(folder, *plan, "--all_files")
    left_out = "1 .txt (none begins like an image)"
    assert f"{tmp_path}: left out: {left_out}" in every.out.splitlines()


def test_run_again_only_what_is_missing_is_done(folder, attributed):
    path = folder / "verdicts/verdicts.jsonl"
    before, sheet = path.read_bytes(), (folder / "verdicts/contact_sheet.png").read_bytes()
    once_more = run(folder, *ATTRIBUTE, "--workdir=verdicts")
    assert (once_more.code, path.read_bytes()) == (0, before)
    lines = attributed.out.splitlines()
    # One line says where the time went; the last one, what to do next.
    assert once_more.out.splitlines() == [*lines[:-2], lines[-1]]
    torn = before[:-20]  # A kill in the middle of a line.
    path.write_bytes(torn)
    again = run(folder, *ATTRIBUTE, "--workdir=verdicts")
    assert again.code == 0, again.err
    assert sorted(path.read_bytes().splitlines()) == sorted(before.splitlines())
    assert (folder / "verdicts/contact_sheet.png").read_bytes() == sheet
    assert again.out.splitlines()[: len(lines) - 2] == lines[:-2]


def test_full_scores_are_another_run_with_the_same_verdict(folder, attributed):
    done = run(folder, *ATTRIBUTE, "--full_scores", "--explain", "--workdir=full")
    assert done.code == 0, done.err
    early, full = (records(folder / name)["images/good.png"] for name in ("verdicts", "full"))
    assert full["score_kind"] == "full" and full["steps"] >= early["steps"]
    assert full["verdict"] == early["verdict"] == "belongs"
    assert full["score"] <= early["score"]
    told = " ".join(done.out.split())
    assert "The findings support that tiny made images/good.png. It fits tiny's own" in told
    assert told.count("No number here is the probability that a verdict is right.") == 1
    refused = run(folder, *ATTRIBUTE, "--workdir=full")
    assert refused.code == 1
    assert "full holds another run (--full_scores was True, is False)" in refused.line


def test_without_a_workdir_each_run_finds_its_own(folder, attributed, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    for name in ("tiny", "made", "images"):
        (here / name).symlink_to(folder / name)
    first = run(here, *ATTRIBUTE)
    resized = run(here, *ATTRIBUTE, "--resize")
    again = run(here, *ATTRIBUTE)
    assert [done.code for done in (first, resized, again)] == [0, 0, 0], resized.err
    assert "verdicts: runs/attribute/verdicts.jsonl" in first.out.splitlines()
    assert "verdicts: runs/attribute-2/verdicts.jsonl" in resized.out.splitlines()
    *told, _, following = first.out.splitlines()
    assert again.out.splitlines() == [*told, following]


def test_a_dry_run_says_what_it_would_take_and_does_nothing(folder, calibrated):
    done = run(folder, *ATTRIBUTE, "--workdir=dry", "--dry_run")
    assert done.code == 0, done.err
    header, *stages, _, took, last = done.out.splitlines()
    assert header.split()[:4] == ["stage", "lanes", "steps", "evaluations"]
    assert [line.split()[:3] for line in stages] == [
        ["adam", str(RECIPE.block), "40"],
        ["gauss_newton", str(RECIPE.block), "10"],
    ]
    assert took.startswith("2 images: ")
    assert last.startswith("an H100 at half its peak: ")
    assert not (folder / "dry").exists()


def test_a_run_in_which_every_file_failed_has_exit_code_2(folder, calibrated):
    done = run(folder, *ATTRIBUTE, "--images=images/bad.png", "--workdir=failed")
    assert done.code == 2 and "error" in done.out


def test_a_generator_of_ones_own_is_named_by_its_factory(folder, calibrated):
    arguments = [*ATTRIBUTE, "--generator=made_by_hand:make", "--workdir=by_hand"]
    done = run(folder, *arguments)
    assert done.code == 0, done.err
    assert records(folder / "by_hand")["images/good.png"]["verdict"] == "belongs"


def test_generators_of_one_channel_are_calibrated_and_attributed_from_files(folder, tiny_method):
    done = run(
        folder,
        *("calibrate", "--generator=grey", "--method=tiny", "--alpha=0.1", "--beta=0.1"),
        *("--foreign=photos=photos", "--config.cache=", "--out=made/grey.json"),
    )
    assert done.code == 0, done.err
    save_png(
        folder / "shades/colour.png",
        belonging_images(load_generator(folder / "tiny"), 1, key=jax.random.key(1))[0],
    )
    done = run(
        folder,
        *("attribute", "--generator=grey", "--calibration=made/grey.json", "--images=shades"),
        *("--config.cache=", "--workdir=grey_verdicts"),
    )
    assert done.code == 0, done.err
    found = records(folder / "grey_verdicts")
    assert found["shades/good.png"]["verdict"] == "belongs"
    assert found["shades/colour.png"]["verdict"] != "belongs"


MISTAKES = {
    "empty folder": (["--images=empty"], "empty: no images in this folder"),
    "missing file": (["--images=no.png"], "no.png: no such file or folder"),
    "missing calibration": (["--calibration=no.json"], "no.json: "),
    "not a calibration": (["--calibration=images/bad.png"], "images/bad.png: "),
    "calibration of another model": (
        ["--generator=other"],
        "calibration made/calibration.json was made for generator 'tiny' (",
    ),
    "unexpected reference": (["--reference=other"], "was made with no reference; here there is "),
    "wrong method": (["--method=guess"], "--method: unknown method 'guess'"),
    "method of another calibration": (["--method=ronan"], "'ronan'"),
    "unknown generator": (["--generator=stylegan9"], "stylegan9: no such generator; the zoo has "),
    "no generator directory": (["--generator=photos"], "photos"),
    "no such factory": (["--generator=made_by_hand:mak"], "did you mean 'make'?"),
    "alpha that cannot be kept": (["--alpha=0.001"], "alpha=0.001"),
    "beta that cannot be kept": (["--beta=0.001"], "beta=0.001"),
    "limit that cannot be kept": (["--max_false_attribution=0.01"], "max_false_attribution"),
    "another seed in the workdir": (
        ["--workdir=verdicts", "--seed=9"],
        "verdicts holds another run (--seed was 1, is 9): give another --workdir",
    ),
    "workdir that is a file": (["--workdir=images/good.png"], "images/good.png"),
    "workdir under a file": (["--workdir=images/good.png/a"], "images/good.png/a"),
    "half a cluster": (
        ["--distributed", "--coordinator=127.0.0.1:1"],
        "--coordinator, --num_processes and --process_id go together",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(folder, attributed, mistake):
    arguments, message = MISTAKES[mistake]
    done = run(folder, *ATTRIBUTE, "--workdir=untouched", *arguments)
    assert done.code == 1 and done.line.startswith("attribute: ")
    assert message in done.line
    assert not (folder / "untouched").exists()  # The corrected command may use the same place.


def test_a_generator_that_is_not_of_the_zoo_needs_images_and_a_calibration(folder, calibrated):
    done = run(folder, *ATTRIBUTE[:3])
    assert (done.code, done.line) == (
        1,
        "attribute: --images: say which images 'tiny' is to be tried on",
    )
    done = run(folder, "attribute", "--generator=tiny", "--images=images")
    assert done.code == 1 and "jax-origin calibrate" in done.line


def test_a_calibration_without_its_encoder_is_refused(folder, calibrated, tmp_path):
    calibration = json.loads((folder / "made/calibration.json").read_text())
    assert calibration["encoders"] is None
    shutil.copy(folder / "made/calibration.json", tmp_path / "alone.json")
    calibration["encoders"] = {"generator": {}, "sha256": "0" * 64}
    (tmp_path / "alone.json").write_text(json.dumps(calibration))
    done = run(folder, *ATTRIBUTE, f"--calibration={tmp_path}/alone.json")
    assert done.code == 1 and "alone.start" in done.line


def test_a_calibration_that_no_longer_holds_is_warned_of(folder, calibrated, tmp_path):
    calibration = json.loads((folder / "made/calibration.json").read_text())
    calibration["packages"]["jax"] = "0.0.1"
    calibration["belonging"][0] = 0.5
    (tmp_path / "old.json").write_text(json.dumps(calibration))
    given = (f"--calibration={tmp_path}/old.json", f"--workdir={tmp_path}/run")
    done = run(folder, *ATTRIBUTE, *given, "--check_calibration=always")
    assert done.code == 0, done.err
    assert "warning: tiny: jax " in done.out and "calibrated with 0.0.1" in done.out
    assert "warning: 1 of 8 calibration images score otherwise now, by a factor of" in done.out
    never = run(folder, *ATTRIBUTE, *given)  # A few images: the check would cost too much.
    assert "calibrated with 0.0.1" in never.out and "score otherwise" not in never.out
