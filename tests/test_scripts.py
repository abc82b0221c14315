"""The commands for users' own generators and images, run as users run them."""

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from jax_origin.calibration import Calibration
from jax_origin.generators import DCGAN, save_generator
from jax_origin.images import save_png
from jax_origin.methods import METHODS
from jax_origin.scoring import belonging_images
from jax_origin.zoo import load_generator

REPOSITORY = Path(__file__).parent.parent
ORIGIN = METHODS["origin"].inversion
KEYS = [
    *("path", "sha256", "generator", "method", "score", "score_kind", "loss", "p", "q"),
    *("condition", "verdict", "reason", "steps", "stored", "note", "error"),
]


def script(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run_python(str(REPOSITORY / "scripts" / name), *arguments, folder=folder)


def run_python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    before = os.environ.get("PYTHONPATH")
    where = os.pathsep.join([str(REPOSITORY), before] if before else [str(REPOSITORY)])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": where},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two tiny generators, photographs stood in for by noise, and images to attribute."""
    folder = tmp_path_factory.mktemp("scripts")
    for seed, name in enumerate(("tiny", "other")):
        model = DCGAN(image_size=8, width=4, latent_dim=6, rngs=nnx.Rngs(seed))
        # Fresh weights make images that are nearly grey; larger ones give them contrast.
        model.output.kernel[...] *= 20
        save_generator(folder / name, model, card={"name": name})
    grey = DCGAN(image_size=8, width=4, latent_dim=6, channels=1, rngs=nnx.Rngs(2))
    save_generator(folder / "grey", grey)
    rng = np.random.default_rng(0)
    for i in range(20):
        save_png(folder / f"photos/{i:02d}.png", rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    save_png(folder / "wide/00.png", rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    own = belonging_images(load_generator(folder / "tiny"), 1, key=jax.random.key(77))[0]
    save_png(folder / "images/good.png", own)
    (folder / "images/bad.png").write_text("Dear reader, this is no picture.\n")
    (folder / "empty").mkdir()
    return folder


CALIBRATE = [
    *("calibrate.py", "--generator=tiny", "--num_belonging=20", "--foreign", "photos=photos"),
    *("--method=origin", "--seed=4", "--config.cache=cache", "--used_for=photos=recipe"),
]


@pytest.fixture(scope="module")
def calibrated(folder: Path) -> subprocess.CompletedProcess[str]:
    done = script(*CALIBRATE, "--out=made/calibration.json", folder=folder)
    assert done.returncode == 0, done.stderr
    shutil.copy(folder / "made/calibration.json", folder / "made/alone.json")
    return done


ATTRIBUTE = [
    *("attribute.py", "--generator=tiny", "--calibration=made/calibration.json"),
    *("--images=images", "--alpha=0.1", "--beta=0.1"),
]


@pytest.fixture(scope="module")
def attributed(folder: Path, calibrated) -> subprocess.CompletedProcess[str]:
    done = script(*ATTRIBUTE, "--config.workdir=verdicts", folder=folder)
    assert done.returncode == 0, done.stderr
    return done


def test_calibrate_writes_a_calibration(folder, calibrated):
    calibration = Calibration.load(folder / "made/calibration.json")
    assert calibration.generator["name"] == "tiny"
    assert calibration.generator["image_shape"] == [8, 8, 3]
    assert calibration.method["name"] == "origin"
    assert calibration.seed == 4
    assert len(calibration.belonging) == 20
    edits = METHODS["origin"].conditions
    assert {name: len(scores) for name, scores in calibration.conditions.items()} == dict.fromkeys(
        edits, 20
    )
    assert {
        name: len(group.scores) for name, group in calibration.foreign.items()
    } == dict.fromkeys(("photos", *(f"photos after {edit}" for edit in edits)), 20)
    assert calibration.belonging.max() < 1e-3 < calibration.foreign["photos"].scores.min()
    assert {group.used_for for group in calibration.foreign.values()} == {("recipe",)}
    # The encoder that its descents start from lies beside it.
    assert set(calibration.start) == {"generator", "sha256"}
    assert (folder / "made/calibration.start.safetensors").stat().st_size > 100_000
    assert calibration.method["inversion"]["futility"] == []
    lines = calibrated.stdout.splitlines()
    assert lines[0].startswith("belonging, as made: 20 scores, ")
    assert lines[1].startswith(f"belonging, {edits[0]}: 20 scores, ")
    assert lines[1 + len(edits)].startswith("photos: 20 scores, ")
    assert lines[-1] == "wrote made/calibration.json"


def test_what_was_learned_is_taken_from_the_cache_the_next_time(folder, calibrated):
    (cached,) = (folder / "cache").glob("start-*.safetensors")
    before = cached.stat().st_mtime_ns
    again = script(*CALIBRATE, "--futility", "--out=made/futility.json", folder=folder)
    assert again.returncode == 0, again.stderr
    assert cached.stat().st_mtime_ns == before
    assert len(list((folder / "cache").glob("start-*.safetensors"))) == 1
    first, second = (
        Calibration.load(folder / f"made/{name}.json") for name in ("calibration", "futility")
    )
    assert first.start == second.start
    levels = second.method["inversion"]["futility"]
    assert len(levels) == ORIGIN.checks and levels == sorted(levels, reverse=True)
    # Noise is given up in the descent already, where it is no nearer than it will be.
    assert (second.foreign["photos"].scores >= first.foreign["photos"].scores).all()
    assert first.belonging.max() < 1e-3 < second.foreign["photos"].scores.min()


def test_foreign_files_that_are_all_jpeg_are_warned_of(folder):
    images = folder / "jpegs"
    images.mkdir()
    for i, path in enumerate(sorted((folder / "photos").iterdir())[:2]):
        Image.open(path).save(images / f"{i}.jpg", quality=90)
    done = script(
        *("calibrate.py", "--generator=tiny", "--method=ronan", "--num_belonging=3"),
        *("--foreign=photos=photos", "--foreign=jpegs=jpegs", "--out=jpegs/c.json"),
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stdout.splitlines() if line.startswith("warning")]
    assert "all files of 'jpegs' are JPEG" in warning


def test_attribute_writes_a_record_for_each_file(folder, attributed):
    text = (folder / "verdicts/verdicts.jsonl").read_text()
    bad, good = [json.loads(line) for line in text.splitlines()]
    assert sorted(bad) == sorted(good) == sorted(KEYS)
    assert (bad["path"], good["path"]) == ("images/bad.png", "images/good.png")
    assert "is not an image" in bad["error"]
    assert bad["verdict"] is None and bad["score"] is None
    assert (good["verdict"], good["error"], good["reason"]) == ("belongs", None, None)
    assert good["sha256"] == hashlib.sha256((folder / "images/good.png").read_bytes()).hexdigest()
    assert (good["generator"], good["method"]) == ("tiny", "origin")
    assert 10 <= good["steps"] <= ORIGIN.evaluations((6,))
    assert good["score_kind"] in ("full", "upper_bound") and bad["score_kind"] is None
    assert 0 <= good["score"] < good["loss"] < 1e-3  # to the file's set, and to its pixels
    assert (good["stored"], good["condition"]) == ("pixels", "as made")
    assert good["p"] > 0.1 >= good["q"] > 0
    assert not (folder / "runs").exists()  # The config's workdir was overridden.


def test_attribute_prints_tables_and_draws_a_sheet(folder, attributed):
    lines = attributed.stdout.splitlines()
    assert any(line.startswith("belongs") and "images/good.png" in line for line in lines)
    assert any(line.startswith("error") and "not an image" in line for line in lines)
    assert ["images", "1", "0", "0", "1"] in [line.split() for line in lines]
    assert "verdicts: verdicts/verdicts.jsonl" in lines
    assert "Traceback" not in attributed.stderr
    with Image.open(folder / "verdicts/contact_sheet.png") as sheet:
        sheet.load()
        assert sheet.width >= 3 * 96


def test_run_again_only_what_is_new_is_done(folder, attributed):
    records = folder / "verdicts/verdicts.jsonl"
    before = records.read_bytes()
    sheet = (folder / "verdicts/contact_sheet.png").read_bytes()
    # A kill in the middle of a line: the second record is torn.
    records.write_bytes(before[:-20])
    (folder / "images/bad.png").rename(folder / "images/bad.txt")
    (folder / "images/bad.png").write_bytes(b"")  # Has its record: not looked at again.
    again = script(*ATTRIBUTE, "--config.workdir=verdicts", folder=folder)
    (folder / "images/bad.txt").rename(folder / "images/bad.png")
    assert again.returncode == 0, again.stderr
    assert records.read_bytes() == before
    assert (folder / "verdicts/contact_sheet.png").read_bytes() == sheet
    # The last line says where the time went.
    told, told_again = (done.stdout.splitlines() for done in (attributed, again))
    assert told[:-1] == told_again[:-1]
    assert told[-1].startswith("1 images, ") and told_again[-1].startswith("1 images, ")


def test_once_more_there_is_nothing_to_do(folder, attributed):
    before = (folder / "verdicts/verdicts.jsonl").read_bytes()
    again = script(*ATTRIBUTE, "--config.workdir=verdicts", folder=folder)
    assert again.returncode == 0, again.stderr
    assert (folder / "verdicts/verdicts.jsonl").read_bytes() == before
    assert again.stdout.splitlines() == attributed.stdout.splitlines()[:-1]


def test_full_scores_go_on_where_the_verdict_is_sure(folder, attributed):
    done = script(*ATTRIBUTE, "--full_scores", "--workdir=full", folder=folder)
    assert done.returncode == 0, done.stderr
    kept = [
        json.loads(line)
        for workdir in ("verdicts", "full")
        for line in (folder / workdir / "verdicts.jsonl").read_text().splitlines()
        if "good.png" in line
    ]
    early, full = kept
    assert full["score_kind"] == "full" and full["steps"] >= early["steps"]
    assert full["verdict"] == early["verdict"] == "belongs"
    assert full["score"] <= early["score"]
    # Another run than one without the flag: the records could not be told apart.
    done = script(*ATTRIBUTE, "--workdir=full", folder=folder)
    assert done.returncode == 1
    assert "full holds another run (full_scores was True, is False)" in done.stderr


def test_a_dry_run_says_what_it_would_take_and_does_nothing(folder, calibrated):
    done = script(*ATTRIBUTE, "--workdir=dry", "--dry_run", folder=folder)
    assert done.returncode == 0, done.stderr
    header, *stages, blocks, last = done.stdout.splitlines()
    assert header.split()[:4] == ["stage", "lanes", "steps", "evaluations"]
    first, second = ORIGIN.stages
    # Eight iterations of 4 thirds, and 7 thirds around them.
    most = math.ceil(39 / 3 * second.steps)
    assert [line.split()[:4] for line in stages] == [
        ["adam", str(ORIGIN.block), str(first.steps), str(first.steps)],
        ["gauss_newton", str(ORIGIN.block), str(second.steps), str(most)],
    ]
    assert blocks == "blocks of lanes that a device holds at a time: 1"
    assert last.startswith("2 images: ") and last.endswith("compiling comes on top")
    assert not (folder / "dry").exists()


# Runs a script once for each line of arguments, each in a process of its own. What takes long, the
# imports, is done once before.
MANY = """
import json, os, runpy, sys
import jax, jax_origin.attribution, jax_origin.audit, jax_origin.zoo, tqdm, ml_collections
for i, (name, *arguments) in enumerate(json.loads(sys.argv[1])):
    if os.fork() == 0:
        for number, stream in ((1, "out"), (2, "err")):
            file = os.open(f"case-{i}.{stream}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, number)
        sys.argv = [name, *arguments]
        sys.path[0] = os.path.dirname(name)
        runpy.run_path(name, run_name="__main__")
    _, status = os.wait()
    print(os.waitstatus_to_exitcode(status))
"""

GENERATOR, CALIBRATION = "--generator=tiny", "--calibration=made/calibration.json"
IMAGES, WORKDIR = "--images=images", "--workdir=refused"
GOOD = ["attribute.py", GENERATOR, CALIBRATION, IMAGES, WORKDIR]
MISTAKES = {
    "empty folder": ([*GOOD, "--images=empty"], "attribute: empty: no images in this folder"),
    "missing file": ([*GOOD, "--images=no.png"], "attribute: no.png: no such file or folder"),
    "no images": (
        ["attribute.py", GENERATOR, CALIBRATION, WORKDIR],
        "attribute: --images: say which images 'tiny' is to be tried on",
    ),
    "missing calibration": ([*GOOD, "--calibration=no.json"], "attribute: no.json: "),
    "no calibration": (
        ["attribute.py", GENERATOR, IMAGES, WORKDIR],
        "attribute: the zoo ships no calibration of method 'origin' for 'tiny': make one with "
        "scripts/calibrate.py",
    ),
    "not a calibration": ([*GOOD, "--calibration=images/bad.png"], "attribute: images/bad.png: "),
    "calibration of another model": (
        [*GOOD, "--generator=other"],
        "attribute: calibration made/calibration.json was made for generator 'tiny' (",
    ),
    "unexpected reference": (
        [*GOOD, "--reference=other"],
        "attribute: made/calibration.json was made with no reference; here there is ",
    ),
    "wrong method": ([*GOOD, "--method=guess"], "'guess'"),
    "method of another calibration": ([*GOOD, "--method=ronan"], "'ronan'"),
    "unknown generator": (
        [*GOOD, "--generator=stylegan9"],
        "attribute: stylegan9: no such generator; the zoo has ",
    ),
    "no generator directory": ([*GOOD, "--generator=photos"], "attribute: photos: not a generator"),
    "rate of nought": ([*GOOD, "--alpha=0"], "attribute: --alpha=0.0: must lie strictly between"),
    "rate above one": ([*GOOD, "--config.beta=2."], "attribute: --beta=2.0: must lie strictly"),
    "another seed in the workdir": (
        [*ATTRIBUTE, "--workdir=verdicts", "--seed=9"],
        "attribute: verdicts holds another run (seed was 1, is 9): choose another workdir",
    ),
    "workdir that is a file": ([*GOOD, "--workdir=images/good.png"], "attribute: images/good.png"),
    "calibration without its encoder": (
        [*GOOD, "--calibration=made/alone.json"],
        "attribute: made/alone.json: its learned start cannot be read (made/alone.start",
    ),
    "half a cluster": (
        [*GOOD, "--distributed", "--coordinator=127.0.0.1:1"],
        "attribute: --coordinator, --num_processes and --process_id go together",
    ),
    "empty sheet": (
        [*GOOD, "--config.sheet_images=0"],
        "--config.sheet_images=0: must be at least",
    ),
    "none of its own": (
        ["calibrate.py", GENERATOR, "--config.num_belonging=0", "--out=refused/a.json"],
        "calibrate: num_belonging must be at least 1, not 0",
    ),
    "grey generator": (
        ["calibrate.py", "--generator=grey", "--foreign=photos=photos", "--out=refused"],
        "calibrate: 'grey' makes images of 1 channels; files are read as RGB",
    ),
    "foreign without a name": (
        ["calibrate.py", GENERATOR, "--foreign=photos", "--out=refused"],
        "calibrate: --foreign=photos: write name=DIR",
    ),
    "foreign without images": (
        ["calibrate.py", GENERATOR, "--foreign=photos=empty", "--out=refused"],
        "calibrate: empty: no images in this folder",
    ),
    "foreign of another size": (
        ["calibrate.py", "--foreign=photos=photos", "--out=refused"],
        "calibrate: photos/00.png: is 8x8 (HxW)",
    ),
    "wrong calibration method": (
        ["calibrate.py", GENERATOR, "--method=guess", "--out=refused"],
        "calibrate: unknown method 'guess'; choose from origin, origin-thorough, ronan",
    ),
    "standard groups of none of the zoo": (
        ["calibrate.py", GENERATOR, "--standard_foreign", "--out=refused"],
        "calibrate: --standard_foreign: 'tiny' is not of the zoo, whose generators are consist",
    ),
    "named as a standard group": (
        ["calibrate.py", "--foreign=vae-cifar10=wide", "--standard_foreign", "--out=refused"],
        "calibrate: --foreign=vae-cifar10=...: a standard group is called so",
    ),
    "unknown generator to calibrate": (
        ["calibrate.py", "--generator=stylegan9", "--out=refused"],
        "calibrate: stylegan9: no such generator; the zoo has ",
    ),
    "choice that a foreign group took part in which there is not": (
        ["calibrate.py", GENERATOR, "--foreign=a=photos", "--used_for=b=recipe", "--out=refused"],
        "calibrate: --used_for=b=recipe: write WORD, or GROUP=WORD with a group of a",
    ),
    "foreign named twice": (
        ["calibrate.py", GENERATOR, "--foreign=a=photos", "--foreign=a=photos", "--out=refused"],
        "calibrate: --foreign=a=photos: there is a group 'a' already",
    ),
    "too few for the rule": (
        ["calibrate.py", GENERATOR, "--method=ronan", "--num_belonging=2", "--out=refused"],
        "calibrate: the grubbs rule needs at least 3 belonging scores; got 2",
    ),
    "calibration that cannot be written": (
        ["calibrate.py", GENERATOR, "--num_belonging=1", "--out=images/good.png/a.json"],
        "calibrate: images/good.png/a.json: ",
    ),
}


@pytest.fixture(scope="module")
def mistakes(folder: Path, attributed) -> dict[str, tuple[int, str]]:
    """Exit status and standard error of each."""
    cases = [[str(REPOSITORY / "scripts" / name), *rest] for (name, *rest), _ in MISTAKES.values()]
    done = run_python("-c", MANY, json.dumps(cases), folder=folder)
    assert done.returncode == 0, done.stderr
    statuses = map(int, done.stdout.split())
    errors = [(folder / f"case-{i}.err").read_text() for i in range(len(cases))]
    return dict(zip(MISTAKES, zip(statuses, errors, strict=True), strict=True))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(folder, mistakes, mistake):
    status, error = mistakes[mistake]
    assert status == 1
    lines = [line for line in error.splitlines() if line and "evaluation/s]" not in line]
    assert len(lines) == 1, error
    assert MISTAKES[mistake][1] in lines[0]
    assert not (folder / "refused").exists()  # The corrected command may use the same place.
