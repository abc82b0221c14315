"""A run over files gives each one record: whatever the file is, and whatever happens to the run."""

import dataclasses
import hashlib
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jax_origin.calibration import Calibration, Rates
from jax_origin.generators import FunctionGenerator, sample_latents
from jax_origin.images import as_uint8, find_images
from jax_origin.inversion import Recipe, Stage
from jax_origin.inversion.solvers import Optax
from jax_origin.inversion.starts import Prior
from jax_origin.runs import RunError, Workdir, default_workdir, read_records, sheet_row
from jax_origin.workflow import Attributor, Method, Verdict, calibrate

KEY = jax.random.key(3)
SHAPE = (8, 8, 3)
RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, SHAPE, dtype=np.uint8)
GREY = RNG.integers(0, 256, SHAPE[:2], dtype=np.uint8)
KEYS = [
    *("path", "sha256", "generator", "method", "score", "score_kind", "loss", "p", "q"),
    "reference",
    *("condition", "reading", "tried", "verdict", "reason", "steps", "stored", "note", "error"),
]
METHOD = Method(
    "quick",
    Recipe(
        start=Prior(),
        restarts=1,
        stages=(Stage(Optax("adam", 0.1, "cosine"), steps=120, objective="l2"),),
    ),
    rates=Rates(0.1, 0.1),
)
SETTINGS = {"generator": "f00", "images": None, "alpha": 0.01, "seed": 1, "resize": False}
CHANGED = "the file has changed since it was first examined"


def plane(seed: int) -> FunctionGenerator:
    """Images that are a smooth function of three numbers."""
    weights = jax.random.normal(jax.random.key(seed), (3, *SHAPE))
    return FunctionGenerator(
        lambda w, z: jax.nn.sigmoid(jnp.einsum("nk,khwc->nhwc", z, w)),
        weights,
        latent_shape=(3,),
        image_shape=SHAPE,
        name="plane",
    )


GENERATOR = plane(0)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    noise = np.random.default_rng(1).integers(0, 256, (30, *SHAPE), dtype=np.uint8)
    return calibrate(
        GENERATOR, method=METHOD, num_belonging=20, foreign={"noise": noise}, key=jax.random.key(0)
    )


def encode(image: Image.Image | np.ndarray, format_: str = "PNG", **options) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format=format_, **options)
    return buffer.getvalue()


def enormous() -> bytes:
    """A PNG whose header claims 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, body: bytes = b"") -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + chunks


BAD = {
    "cmyk.jpg": (encode(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"), "CMYK"),
    "deep.png": (encode(GREY.astype(np.uint16) * 257), "16 bits"),
    "enormous.png": (enormous(), "enormous"),
    "pixel.png": (encode(COLOUR[:1, :1]), "is 1x1 (HxW), the generator makes 8x8"),
    "text.png": (b"Dear reader, this is no picture.\n", "not an image"),
    "transparent.png": (encode(np.dstack([COLOUR, GREY])), "transparent"),
    "truncated.png": (encode(COLOUR)[:-30], "truncated or corrupt"),
    "zero.png": (b"", "empty"),
}


@pytest.fixture(scope="module")
def own() -> np.ndarray:
    return as_uint8(np.asarray(GENERATOR(sample_latents(GENERATOR, jax.random.key(9), 4))))


@pytest.fixture
def folder(tmp_path: Path, own: np.ndarray) -> Path:
    """Four images of the generator's own, one foreign, and every bad file, interleaved by name."""
    where = tmp_path / "images"
    where.mkdir()
    for name, (data, _) in BAD.items():
        (where / name).write_bytes(data)
    for letter, pixels in zip("bdqz", own, strict=True):
        (where / f"{letter}-own.png").write_bytes(encode(pixels))
    (where / "f-noise.png").write_bytes(encode(COLOUR))
    return where


@pytest.fixture
def attributor(calibration) -> Attributor:
    return Attributor(GENERATOR, calibration, key=KEY)


def run(paths, attributor, folder, **options):
    with Workdir(folder, SETTINGS) as workdir:
        waiting = workdir.waiting(paths)
        return [workdir.write(verdict, **options) for verdict in attributor.stream(waiting)]


def records(folder, paths):
    return Workdir(folder, SETTINGS).records(paths)


def test_bad_files_get_their_reason_and_the_rest_goes_on(folder, attributor, tmp_path):
    paths = find_images(str(folder))
    written = run(paths, attributor, tmp_path / "run")
    assert written == read_records(tmp_path / "run" / "verdicts.jsonl")
    assert sorted(r["path"] for r in written) == sorted(paths)
    assert len(paths) == len(BAD) + 5
    for record in records(tmp_path / "run", paths):
        name = Path(record["path"]).name
        assert sorted(record) == sorted(KEYS)
        assert (record["generator"], record["method"]) == ("plane", "quick")
        if name in BAD:
            assert BAD[name][1] in record["error"]
            assert "\n" not in record["error"]
            others = set(KEYS) - {"path", "generator", "method", "error"}
            assert {record[k] for k in others} == {None}
        else:
            expected = "belongs" if "own" in name else "not_recognised"
            assert (record["verdict"], record["error"], record["note"]) == (expected, None, None)
            data = Path(record["path"]).read_bytes()
            assert record["sha256"] == hashlib.sha256(data).hexdigest()
            assert 0 < record["p"] <= 1 and 0 < record["q"] <= 1
            assert record["score_kind"] == ("upper_bound" if "own" in name else "full")


def test_what_is_no_file_to_read_is_one_line_each(folder, attributor, tmp_path):
    odd = [str(folder / f"{name}.png") for name in ("fifo", "device", "dangling", "gone")]
    os.mkfifo(odd[0])
    os.symlink("/dev/zero", odd[1])
    os.symlink(folder / "nowhere", odd[2])
    good = str(folder / "b-own.png")
    for _ in range(2):  # They are tried again, and get no second record.
        run([*odd, good], attributor, tmp_path / "run")
        assert len(read_records(tmp_path / "run" / "verdicts.jsonl")) == 5
    found = records(tmp_path / "run", [*odd, good])
    assert all(record["error"] for record in found[:4]) and found[4]["error"] is None


def test_records_hold_what_the_verdicts_say(folder, attributor, tmp_path):
    paths = [str(folder / f"{letter}-own.png") for letter in "bdqz"]
    run(paths, attributor, tmp_path / "run")
    verdicts = attributor(paths)
    assert records(tmp_path / "run", paths) == [verdict.record() for verdict in verdicts]


def test_what_was_done_to_an_image_is_noted(own, calibration, tmp_path):
    images = {
        "grey.png": (encode(GREY), "greyscale expanded to RGB"),
        "opaque.png": (
            encode(np.dstack([COLOUR, np.full_like(GREY, 255)])),
            "opaque alpha dropped",
        ),
        "animated.gif": (
            encode(COLOUR, "GIF", save_all=True, append_images=[Image.fromarray(255 - COLOUR)]),
            "first picture of several taken",
        ),
        "palette.gif": (encode(Image.fromarray(COLOUR).quantize(8), "GIF"), "palette converted"),
        "plain.png": (encode(own[0]), None),
        "small.png": (encode(COLOUR[:5, :4]), "resized from 5x4 to 8x8"),
    }
    for name, (data, _) in images.items():
        (tmp_path / name).write_bytes(data)
    paths = [str(tmp_path / name) for name in images]
    run(paths, Attributor(GENERATOR, calibration, key=KEY, resize=True), tmp_path / "run")
    for record in records(tmp_path / "run", paths):
        _, note = images[Path(record["path"]).name]
        assert record["error"] is None and record["verdict"] is not None
        assert record["note"] is None if note is None else note in record["note"]


@pytest.mark.parametrize("finished", [1, 5, 13])
def test_a_killed_run_goes_on_where_it_ended(folder, attributor, tmp_path, finished):
    paths = find_images(str(folder))
    run(paths, attributor, tmp_path / "whole")
    with Workdir(tmp_path / "broken", SETTINGS) as workdir:
        unfinished = attributor.stream(workdir.waiting(paths))
        done = [workdir.write(next(unfinished)) for _ in range(finished)]
        unfinished.close()
    file = tmp_path / "broken" / "verdicts.jsonl"
    with open(file, "ab") as stream:
        stream.write(json.dumps(done[0]).encode()[:-9])  # Killed in the middle of a line.
    # What has a record is not examined again: its file may be gone.
    for record in done:
        if record["error"] is None:
            Path(record["path"]).unlink()
    run(paths, attributor, tmp_path / "broken")
    assert sorted(r["path"] for r in read_records(file)) == sorted(paths)
    assert records(tmp_path / "broken", paths) == records(tmp_path / "whole", paths)
    before = file.read_bytes()
    run(paths, attributor, tmp_path / "broken")
    assert file.read_bytes() == before


def test_a_file_named_twice_gets_one_record(folder, attributor, tmp_path):
    paths = [str(folder / name) for name in ("zero.png", "b-own.png", "zero.png", "b-own.png")]
    assert len(run(paths, attributor, tmp_path / "run")) == 2
    assert [r["path"] for r in records(tmp_path / "run", paths)] == paths


def test_a_file_that_has_changed_is_examined_again_and_says_so(folder, attributor, tmp_path):
    own, noise, other = (str(folder / f"{name}.png") for name in ("b-own", "f-noise", "d-own"))
    paths, where = [own, noise, other], tmp_path / "run"
    first = {r["path"]: r for r in run(paths, attributor, where)}
    assert first[own]["verdict"] == "belongs"
    shutil.copy(noise, own)  # Another image over a finished one.
    (again,) = run(paths, attributor, where)
    assert (again["path"], again["verdict"], again["note"]) == (own, "not_recognised", CHANGED)
    assert again["sha256"] == first[noise]["sha256"] and again["examined"] == 2
    assert records(where, paths) == [again, first[noise], first[other]]
    assert run(paths, attributor, where) == []
    # It may change into what cannot be read, and back.
    Path(own).write_bytes(b"")
    (empty,) = run(paths, attributor, where)
    assert empty["error"].startswith("is empty") and empty["examined"] == 3
    assert run(paths, attributor, where) == [empty]
    shutil.copy(noise, own)
    (back,) = run(paths, attributor, where)
    assert (back["verdict"], back["examined"]) == ("not_recognised", 4)
    assert len(read_records(where / "verdicts.jsonl")) == 6


def test_several_processes_share_the_files_and_take_up_what_others_left(
    folder, attributor, tmp_path, monkeypatch
):
    paths, where = find_images(str(folder)), tmp_path / "run"
    run(paths[:3], attributor, where)
    before = records(where, paths[:3])

    def be(process: int, processes: int) -> None:
        monkeypatch.setattr(jax, "process_index", lambda: process)
        monkeypatch.setattr(jax, "process_count", lambda: processes)
        monkeypatch.setattr("jax_origin.runs.workdir.wait_for_all", lambda _: None)

    shares = []
    for process in range(2):
        be(process, 2)
        with Workdir(where, SETTINGS) as workdir:
            # Both read what is done before one of them writes.
            shares.append([path for path in workdir.waiting(paths) if path not in paths[:3]])
    assert sorted(shares[0] + shares[1]) == paths[3:]
    for process, share in enumerate(shares):
        be(process, 2)
        with Workdir(where, SETTINGS) as workdir:
            assert workdir.records_path.name == f"verdicts-0000{process}-of-00002.jsonl"
            for verdict in attributor.stream(share):
                workdir.write(verdict)
    be(0, 1)
    assert records(where, paths[:3]) == before
    assert [r["path"] for r in records(where, paths)] == paths
    assert sum(len(read_records(file)) for file in where.glob("*.jsonl")) == len(paths)


def test_reconstructions_are_found_by_the_content_of_the_file(folder, attributor, tmp_path):
    paths, where = [str(folder / f"{letter}-own.png") for letter in "dqz"], tmp_path / "run"
    run(paths, attributor, where, keep_reconstruction=True)

    def shown(paths):
        return [
            sheet_row(record, Workdir(where, SETTINGS).reconstruction(record), image_shape=SHAPE)
            for record in records(where, paths)
        ]

    before = {row.caption: row.reconstruction for row in shown(paths)}
    for row in shown(paths):
        assert np.abs(np.subtract(row.image, row.reconstruction, dtype=int)).mean() < 8
    added = [str(folder / "b-own.png"), *paths]  # Every file has another place in the list now.
    run(added, attributor, where)
    first, *others = shown(added)
    assert first.image is not None and first.reconstruction is None
    for row in others:
        np.testing.assert_array_equal(row.reconstruction, before[row.caption])
    # A file that has changed since its verdict is not shown beside the old reconstruction.
    shutil.copy(folder / "f-noise.png", paths[0])
    assert shown(paths[:1])[0].image is None


def test_a_full_disk_is_one_line(folder, attributor, tmp_path, monkeypatch):
    verdict = attributor([str(folder / "b-own.png")])[0]

    def full(*_):
        raise OSError(28, "No space left on device")

    with Workdir(tmp_path, SETTINGS) as workdir:
        monkeypatch.setattr("jax_origin.runs.workdir.save_png", full)
        with pytest.raises(RunError, match=r"cannot be written .*No space left"):
            workdir.write(verdict, keep_reconstruction=True)
        assert not (tmp_path / "verdicts.jsonl").exists()


def test_a_file_without_record_is_named(tmp_path):
    with pytest.raises(RunError, match=r"2 files have no record, the first is a\.png: .*--workdir"):
        records(tmp_path, ["a.png", "b.png"])


def test_a_run_is_noted_down_and_taken_up_again(tmp_path):
    path = tmp_path / "runs" / "new"
    with Workdir(path, SETTINGS):
        assert json.loads((path / "run.json").read_text()) == SETTINGS
    before = (path / "run.json").read_bytes()
    with Workdir(path, dict(reversed(SETTINGS.items()))):
        assert (path / "run.json").read_bytes() == before
    assert sorted(p.name for p in path.iterdir()) == ["lock", "run.json"]


@pytest.mark.parametrize(
    ("changed", "named", "not_named"),
    [
        ({"resize": True}, ["--resize was False, is True"], "seed"),
        ({"images": "photos"}, ["--images was not given, is 'photos'"], "seed"),
        (
            {"alpha": None, "seed": 7},
            ["--alpha was 0.01, is not given", "--seed was 1, is 7"],
            "images",
        ),
        ({"new": 3}, ["--new was not given, is 3"], "seed"),
        ({"kind of device": "gpu"}, ["(kind of device was not given, is 'gpu')"], "seed"),
        ({"generator": 32 * "ab"}, ["--generator was 'f00', is 'abababababab'..."], "seed"),
    ],
)
def test_another_run_in_the_same_folder_is_refused(tmp_path, changed, named, not_named):
    path = tmp_path / "mine"
    with Workdir(path, SETTINGS):
        pass
    before = (path / "run.json").read_bytes()
    with pytest.raises(RunError) as caught, Workdir(path, {**SETTINGS, **changed}, flag="--out"):
        pass
    message = str(caught.value)
    assert message.startswith(f"{path} holds another run (")
    assert message.endswith(f": give another --out, or delete {path}")
    assert all(text in message for text in named)
    assert not_named not in message
    assert "\n" not in message
    assert (path / "run.json").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{torn", b"[1, 2]", b"7", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_note_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with (
        pytest.raises(RunError, match=r"run\.json: .*give another --workdir") as caught,
        Workdir(tmp_path, SETTINGS),
    ):
        pass
    assert "\n" not in str(caught.value)
    assert (tmp_path / "run.json").read_bytes() == content


def test_a_workdir_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "taken").write_text("a letter")
    for path in (tmp_path / "taken", tmp_path / "taken" / "under"):
        with (
            pytest.raises(RunError, match=r"taken.*: cannot be used \(.*give another --workdir"),
            Workdir(path, SETTINGS),
        ):
            pass


def test_the_default_workdir_is_the_first_that_is_free_or_holds_this_run(tmp_path):
    base, other = tmp_path / "attribute", {**SETTINGS, "images": "photos"}
    assert default_workdir(base, SETTINGS) == base
    with Workdir(base, SETTINGS):
        # A run that is at work is no other run: entering it says so.
        assert default_workdir(base, SETTINGS) == base
    second = default_workdir(base, other)
    assert second == tmp_path / "attribute-2"
    second.write_text("a letter")
    third = default_workdir(base, other)
    with Workdir(third, other):
        assert third == tmp_path / "attribute-3"
    assert default_workdir(base, SETTINGS) == base
    assert default_workdir(base, other) == third
    # What is no run stays untouched, and so does a damaged one.
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("")
    assert default_workdir(tmp_path / "mine", SETTINGS) == tmp_path / "mine-2"
    (third / "run.json").write_text("{torn")
    assert default_workdir(base, other) == tmp_path / "attribute-4"
    # Where there is no folder at all to be made, entering says so.
    assert default_workdir(second / "under", SETTINGS) == second / "under"


HOLDER = """
    import sys
    from jax_origin.runs import Workdir
    with Workdir(sys.argv[1], {"seed": 1}):
        print("entered", flush=True)
        sys.stdin.read()
"""


@pytest.mark.outer
def test_two_runs_at_once_in_one_workdir_do_not_both_go_on(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"entered\n"
        with (
            pytest.raises(RunError, match=r"another run is at work here: .* another --workdir$"),
            Workdir(tmp_path, {"seed": 1}),
        ):
            pass
        first.send_signal(signal.SIGKILL)
        first.wait()
    # The lock of a killed run is free.
    with (
        Workdir(tmp_path, {"seed": 1}),
        pytest.raises(RunError, match="another run is at work here"),
        Workdir(tmp_path, {"seed": 1}),
    ):
        pass


def test_a_verdict_of_a_changed_file_keeps_its_own_note(tmp_path):
    with Workdir(tmp_path, SETTINGS) as workdir:
        workdir.write(Verdict(generator="g", method="m", path="a.png", error="is empty"))
        later = Verdict(generator="g", method="m", path="a.png", error="is truncated")
        assert workdir.write(later)["note"] == CHANGED
        assert workdir.write(dataclasses.replace(later, tag=3))["examined"] == 2
    assert len(read_records(tmp_path / "verdicts.jsonl")) == 2
