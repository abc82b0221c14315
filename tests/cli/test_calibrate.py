"""jax-origin calibrate, as users run it."""

import dataclasses
import errno
import functools

import pytest
from PIL import Image

from jax_origin import files
from jax_origin.calibration import Calibration, Conformal
from jax_origin.cli.calibrate import _report
from jax_origin.inversion import progress, start_encoder
from jax_origin.inversion.starts import Learned
from jax_origin.workflow import METHODS, Method

from .conftest import CALIBRATE, RECIPE
from .running import run

BARE = (
    *("calibrate", "--generator=tiny", "--method=tiny", "--conditions=", "--config.cache="),
    *("--alpha=0.2", "--beta=0.2", "--num_belonging=5"),
)


def test_it_says_that_an_image_which_is_not_found_may_be_the_models(folder, calibrated, capsys):
    calibration = Calibration.load(folder / "made/calibration.json")
    found = {"other": (90, 100), "tiny": (97, 100)}
    measured = dataclasses.replace(calibration.measured, found_again=found)
    _report(dataclasses.replace(calibration, measured=measured), [])
    other, tiny, *_ = capsys.readouterr().out.splitlines()
    assert other == "other finds 90 of 100 own images again"
    assert tiny.startswith("tiny finds 97 of 100 own images again; an image that is not found may")


def test_it_writes_a_calibration_and_says_what_is_in_it(folder, calibrated):
    calibration = Calibration.load(folder / "made/calibration.json")
    assert calibration.generator["name"] == "tiny"
    assert calibration.generator["image_shape"] == [8, 8, 3]
    assert (calibration.method["name"], calibration.seed) == ("tiny", 4)
    assert (calibration.rates.alpha, calibration.rates.beta) == (0.1, 0.1)
    assert len(calibration.belonging) == 20
    assert {name: len(scores) for name, scores in calibration.conditions.items()} == {"jpeg-75": 20}
    assert {name: len(group.scores) for name, group in calibration.foreign.items()} == {
        "photos": 20,
        "photos after jpeg-75": 20,
    }
    assert calibration.belonging.max() < 1e-3 < calibration.foreign["photos"].scores.min()
    assert {group.used_for for group in calibration.foreign.values()} == {("recipe",)}
    lines = calibrated.out.splitlines()
    assert [line.partition(": 20 scores, ")[0] for line in lines] == [
        *("belonging, as made", "belonging, jpeg-75", "photos", "photos after jpeg-75"),
        # Up to so many stuck images are to be expected; under 0.1 only 35 show that there are none.
        "own images that foreign ones score as low as: 0 of 20 (0.00% to 16.84%); about 36 own "
        "images, if none of them is, would settle it",
        "wrote made/calibration.json",
    ]


@pytest.mark.outer
def test_a_trained_encoder_is_taken_from_the_cache_the_next_time(folder, calibrated, monkeypatch):
    short = functools.partial(start_encoder.StartTraining, steps=20)
    monkeypatch.setattr(start_encoder, "StartTraining", short)
    learned = dataclasses.replace(RECIPE, start=Learned(), restarts=None)
    method = Method("learned", learned, floor=5e-7)
    monkeypatch.setitem(METHODS, "learned", method)
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    arguments = [*CALIBRATE, "--method=learned", "--conditions=", "--config.cache=trained"]
    first = run(folder, *arguments, "--out=made/origin.json")
    assert first.code == 0, first.err
    assert "learning a start: " in first.err and "scoring: " in first.err
    (cached,) = (folder / "trained").glob("start-*.safetensors")
    before = cached.stat().st_mtime_ns
    again = run(folder, *arguments, "--futility=always", "--out=made/futility.json")
    assert again.code == 0, again.err
    assert cached.stat().st_mtime_ns == before
    assert len(list((folder / "trained").glob("start-*.safetensors"))) == 1
    one, other = (Calibration.load(folder / f"made/{n}.json") for n in ("origin", "futility"))
    assert one.encoders == other.encoders and one.encoders is not None
    # The encoder that its descents start from lies beside it.
    assert (folder / "made/origin.start.safetensors").stat().st_size > 100_000
    assert one.measured.futility == ()
    levels = list(other.measured.futility)
    assert levels and levels == sorted(levels, reverse=True)


def test_foreign_files_that_are_all_jpeg_are_warned_of(folder, tmp_path):
    for i, path in enumerate(sorted((folder / "photos").iterdir())[:5]):
        Image.open(path).save(tmp_path / f"{i}", "JPEG", quality=90)
    (tmp_path / "notes.txt").write_text("Dear reader")
    groups = (f"--foreign=jpegs={tmp_path}", "--foreign=photos=photos")
    done = run(folder, *BARE, *groups, "--all_files", "--out=j")
    assert done.code == 0, done.err
    assert f"{tmp_path}: left out: 1 .txt (none begins like an image)" in done.out
    (warning,) = [line for line in done.out.splitlines() if line.startswith("warning")]
    assert "all files of 'jpegs' may be lossy" in warning


def test_foreign_images_of_another_size_are_cropped_or_resized(folder):
    arguments = [*BARE, "--foreign=large=large", "--num_foreign=6", "--out=made/fit.json"]
    refused = run(folder, *arguments)
    assert refused.code == 1 and "is 10x9 (HxW), the generator makes 8x8" in refused.line
    assert "--fit=crop or --fit=resize" in refused.line
    digests = []
    for fit in ("crop", "resize"):
        done = run(folder, *arguments, f"--fit={fit}")
        assert done.code == 0, done.err
        digests.append(Calibration.load(folder / "made/fit.json").foreign["large"].digests)
    assert len(digests[0]) == len(digests[1]) == 6 and digests[0] != digests[1]
    small = run(folder, "calibrate", "--foreign=a=photos", "--fit=crop", "--out=made/fit.json")
    assert small.code == 1 and "give --fit=resize" in small.line


def test_a_full_disk_is_one_line(folder, calibrated, monkeypatch):
    def full(path: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", path)

    monkeypatch.setattr(files, "_flush_to_disk", full)
    done = run(folder, *BARE, "--foreign=photos=photos", "--out=made/full.json")
    assert done.code == 1 and done.line.endswith("No space left on device")
    assert not (folder / "made/full.json").exists()


MISTAKES = {
    "none of its own": (["--num_belonging=0"], "--num_belonging=0"),
    "too few of its own": (["--num_belonging=8"], "which needs at least 9; ask for more images"),
    "too few foreign images": (["--num_foreign=8"], "foreign group 'photos' holds images of 8 ind"),
    "too few for the rule": (
        ["--method=ronan", "--num_belonging=2"],
        "the grubbs rule needs at least 3 belonging scores; got 2",
    ),
    "beta of a method without": (["--method=ronan"], "--beta=0.1: 'ronan' decides by alpha alone"),
    "foreign without a name": (["--foreign=photos"], "--foreign=photos: write NAME=DIR"),
    "foreign without images": (["--foreign=a=empty"], "empty: no images in this folder"),
    "foreign that is none": (["--foreign=a=images/bad.png"], "images/bad.png: is not an image"),
    "foreign named twice": (["--foreign=photos=photos"], "there is a group 'photos' already"),
    "wrong method": (["--method=guess"], "--method: unknown method 'guess'; choose from origin,"),
    "wrong condition": (["--conditions=jpeg-75,sepia"], "sepia"),
    "unknown fit": (["--fit=squeeze"], "--fit=squeeze"),
    "standard groups of none of the zoo": (
        ["--standard_foreign"],
        "--standard_foreign: 'tiny' is not of the zoo, whose generators are ",
    ),
    "unknown generator": (["--generator=stylegan9"], "stylegan9: no such generator"),
    "reference of another size": (["--reference=dcgan-cifar10"], "choose a reference of the same"),
    "choice of a group that there is not": (
        ["--used_for=b=recipe"],
        "--used_for=b=recipe: write WORD, or GROUP=WORD with a group of photos",
    ),
    "file under a file": (["--out=images/good.png/a.json"], "--out=images/good.png/a.json: "),
    "out that is a folder": (["--out=images"], "--out=images: is a folder"),
    "cache under a file": (
        ["--method=origin", "--config.cache=images/good.png"],
        "--config.cache=images/good.png",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_before_the_work(folder, calibrated, mistake):
    arguments, message = MISTAKES[mistake]
    given = [part for part in CALIBRATE if "--beta" not in part or "ronan" not in str(arguments)]
    if mistake == "beta of a method without":
        given = [*CALIBRATE]
    done = run(folder, *given, "--out=refused/a.json", *arguments)
    assert done.code == 1 and done.line.startswith("calibrate: ")
    assert message in done.line
    assert "%|" not in done.err  # Nothing had begun.
    assert not (folder / "refused").exists()


def test_a_group_called_as_a_standard_one_is_refused(folder, tmp_path):
    done = run(
        folder,
        *("calibrate", "--foreign=vae-cifar10=photos", "--fit=resize", "--standard_foreign"),
        *("--num_foreign=1", "--out=refused/a.json"),
    )
    assert done.code == 1
    assert done.line == "calibrate: --foreign=vae-cifar10=...: a standard group is called so"


def test_pictures_that_say_little_are_among_the_foreign_ones(folder, calibrated, tmp_path):
    out = tmp_path / "plain.json"
    given = [part for part in CALIBRATE if part != "--noplain"]
    done = run(folder, *given, f"--out={out}", "--conditions=", "--confidence=0.5", "--alpha=0.2")
    assert done.code == 0, done.err
    made = Calibration.load(out)
    assert {name: group.independent for name, group in made.foreign.items()} == {
        **{"photos": 20, "plain": 20, "faded": 20}
    }
    assert made.rule == Conformal(0.5)
    refused = run(folder, *given, "--confidence=1.5")
    assert "--confidence=1.5: confidence must lie strictly between 0 and 1" in refused.line
