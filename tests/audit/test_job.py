"""A run over files gives each one record: whatever the file is, and whatever happens to the run."""

import hashlib
import io
import json
import struct
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jax_origin.attribution import attribute
from jax_origin.audit import RecordWriter, RunError, attribute_files, begin_run, read_records
from jax_origin.calibrating import calibrate
from jax_origin.calibration import Calibration, CalibrationError
from jax_origin.generators import FunctionGenerator, sample_latents
from jax_origin.images import as_uint8, find_images
from jax_origin.inversion import Descent, InversionConfig, Statistics
from jax_origin.methods import Method

KEY = jax.random.key(3)
SHAPE = (8, 8, 3)
RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, SHAPE, dtype=np.uint8)
GREY = RNG.integers(0, 256, SHAPE[:2], dtype=np.uint8)
KEYS = [
    *("path", "sha256", "generator", "method", "score", "score_kind", "loss", "p", "q"),
    *("condition", "verdict", "reason", "steps", "stored", "note", "error"),
]
METHOD = Method(
    name="quick",
    inversion=InversionConfig(
        start="prior",
        restarts=1,
        stages=(Descent(steps=120, objective="l2", learning_rate=0.1, schedule="cosine"),),
    ),
    alpha=0.1,
    beta=0.1,
)


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
    "animated.gif": (
        encode(COLOUR, "GIF", save_all=True, append_images=[Image.fromarray(255 - COLOUR)]),
        "animated",
    ),
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


def run(paths, calibration, file, **options):
    with RecordWriter(file) as writer:
        return list(
            attribute_files(paths, GENERATOR, calibration, key=KEY, writer=writer, **options)
        )


def test_bad_files_get_their_reason_and_the_rest_goes_on(folder, calibration, tmp_path):
    file = tmp_path / "verdicts.jsonl"
    paths = find_images(str(folder))
    counts: list[int] = []
    outcomes = run(paths, calibration, file, full_scores=True, progress=counts.append)
    records = read_records(file)
    assert [o.record for o in outcomes] == records
    assert [o.path for o in outcomes] == [r["path"] for r in records]
    assert sorted(o.path for o in outcomes) == sorted(paths)
    assert len(paths) == len(BAD) + 5
    assert sum(counts) == sum(record["steps"] or 0 for record in records)
    for record in records:
        name = Path(record["path"]).name
        assert sorted(record) == sorted(KEYS)
        assert (record["generator"], record["method"]) == ("plane", "quick")
        if name in BAD:
            assert BAD[name][1] in record["error"]
            assert "\n" not in record["error"]
            others = set(KEYS) - {"path", "generator", "method", "error"}
            assert {record[k] for k in others} == {None}
        else:
            expected = "belongs" if "own" in name else "foreign"
            assert (record["verdict"], record["error"], record["note"]) == (expected, None, None)
            data = Path(record["path"]).read_bytes()
            assert record["sha256"] == hashlib.sha256(data).hexdigest()
            assert (record["steps"], record["score_kind"]) == (120, "full")
            assert 0 < record["p"] <= 1 and 0 < record["q"] <= 1
    assert all((o.image is None) == (Path(o.path).name in BAD) for o in outcomes)


def test_a_file_that_is_sure_to_belong_is_decided_early_and_says_so(folder, calibration, tmp_path):
    paths = find_images(str(folder))
    counts: list[int] = []
    statistics = Statistics()
    early = run(
        paths, calibration, tmp_path / "a.jsonl", progress=counts.append, statistics=statistics
    )
    full = run(paths, calibration, tmp_path / "b.jsonl", full_scores=True)
    records = {o.path: (o.record, None) for o in early if o.image}
    for outcome in full:
        if outcome.image:
            records[outcome.path] = (records[outcome.path][0], outcome.record)
    assert len(records) == 5
    for path, (ours, theirs) in records.items():
        assert ours["verdict"] == theirs["verdict"] and theirs["score_kind"] == "full"
        if "own" in path:
            assert ours["score_kind"] == "upper_bound" and ours["steps"] < theirs["steps"] == 120
            assert ours["score"] > theirs["score"]
        else:
            assert ours == theirs
    # What was saved counts as done; where the time went is noted.
    assert sum(counts) == 5 * 120
    assert statistics.images == 5
    assert statistics.evaluations == sum(ours["steps"] for ours, _ in records.values())


def test_a_folder_of_bad_files_alone_is_a_run_too(folder, calibration, tmp_path):
    paths = [str(folder / name) for name in BAD]
    outcomes = run(paths, calibration, tmp_path / "verdicts.jsonl")
    assert [o.path for o in outcomes] == paths
    assert all(o.record["error"] and o.verdict is None for o in outcomes)


def test_a_file_that_has_gone_is_an_error_of_its_own(folder, calibration, tmp_path):
    paths = find_images(str(folder))
    (folder / "b-own.png").unlink()
    run(paths, calibration, tmp_path / "verdicts.jsonl")
    errors = {r["path"]: r["error"] for r in read_records(tmp_path / "verdicts.jsonl")}
    assert errors[str(folder / "b-own.png")] == "no such file"
    assert errors[str(folder / "d-own.png")] is None


def test_records_hold_what_attribute_says(folder, own, calibration, tmp_path):
    paths = [str(folder / f"{letter}-own.png") for letter in "bdqz"]
    outcomes = run(paths, calibration, tmp_path / "verdicts.jsonl")
    verdicts = attribute(own, GENERATOR, calibration, key=KEY)
    outcomes = sorted(outcomes, key=lambda outcome: paths.index(outcome.path))
    assert [o.verdict for o in outcomes] == verdicts
    names = ("score", "score_kind", "loss", "p", "q", "verdict", "reason", "steps", "error")
    for outcome, verdict in zip(outcomes, verdicts, strict=True):
        for name in names:
            assert outcome.record[name] == getattr(verdict, name), name


def test_what_was_done_to_an_image_is_noted(own, calibration, tmp_path):
    images = {
        "grey.png": (encode(GREY), "greyscale expanded to RGB"),
        "opaque.png": (
            encode(np.dstack([COLOUR, np.full_like(GREY, 255)])),
            "opaque alpha dropped",
        ),
        "palette.gif": (encode(Image.fromarray(COLOUR).quantize(8), "GIF"), "palette converted"),
        "plain.png": (encode(own[0]), None),
        "small.png": (encode(COLOUR[:5, :4]), "resized from 5x4 to 8x8"),
    }
    for name, (data, _) in images.items():
        (tmp_path / name).write_bytes(data)
    paths = [str(tmp_path / name) for name in images]
    outcomes = run(paths, calibration, tmp_path / "verdicts.jsonl", resize=True)
    assert sorted(o.path for o in outcomes) == paths
    for outcome in outcomes:
        _, note = images[Path(outcome.path).name]
        assert outcome.record["error"] is None
        assert outcome.record["verdict"] is not None
        if note is None:
            assert outcome.record["note"] is None
        else:
            assert note in outcome.record["note"]


def by_path(records):
    return sorted(records, key=lambda record: record["path"])


@pytest.mark.parametrize("finished", [1, 5, 13])
def test_a_killed_run_goes_on_where_it_ended(folder, calibration, tmp_path, finished):
    paths = find_images(str(folder))
    whole = tmp_path / "whole.jsonl"
    run(paths, calibration, whole)
    lines = whole.read_bytes().splitlines(keepends=True)
    broken = tmp_path / "broken.jsonl"
    with RecordWriter(broken) as writer:
        unfinished = attribute_files(paths, GENERATOR, calibration, key=KEY, writer=writer)
        for _ in range(finished):
            next(unfinished)
    assert broken.read_bytes() == b"".join(lines[:finished])
    with open(broken, "ab") as file:
        file.write(lines[finished][:-9])  # Killed in the middle of a line.
    # What has a record is not looked at again: not even its file needs to be there.
    done = [json.loads(line)["path"] for line in lines[:finished]]
    Path(done[0]).unlink()
    outcomes = run(paths, calibration, broken)
    assert sorted(o.path for o in outcomes) == sorted(set(paths) - set(done))
    assert len(outcomes) == len(paths) - finished
    assert by_path(read_records(broken)) == by_path(read_records(whole))
    before = broken.read_bytes()
    assert run(paths, calibration, broken) == []
    assert broken.read_bytes() == before


def test_a_file_named_twice_gets_one_record(folder, calibration, tmp_path):
    paths = [str(folder / name) for name in ("zero.png", "b-own.png", "zero.png", "b-own.png")]
    outcomes = run(paths, calibration, tmp_path / "verdicts.jsonl")
    assert [o.path for o in outcomes] == paths[:2]
    assert [r["path"] for r in read_records(tmp_path / "verdicts.jsonl")] == paths[:2]


def test_error_rates_can_be_asked_for(folder, calibration, tmp_path):
    paths = [str(folder / "b-own.png")]
    [outcome] = run(paths, calibration, tmp_path / "verdicts.jsonl", beta=0.001)
    assert outcome.record["verdict"] == "undecided"
    assert "beta=0.001 needs at least 999" in outcome.record["reason"]
    foreign = [str(folder / "f-noise.png")]
    [outcome] = run(foreign, calibration, tmp_path / "verdicts.jsonl", alpha=0.001)
    assert outcome.record["verdict"] == "undecided"
    assert "alpha=0.001 needs at least 999 belonging" in outcome.record["reason"]


def test_a_calibration_of_another_generator_is_refused_before_anything(
    folder, calibration, tmp_path
):
    paths = find_images(str(folder))
    with RecordWriter(tmp_path / "verdicts.jsonl") as writer:
        outcomes = attribute_files(paths, plane(1), calibration, key=KEY, writer=writer)
        with pytest.raises(CalibrationError, match="was made for generator 'plane'"):
            next(outcomes)
        assert writer.done == {}


SETTINGS = {"generator": "f00", "calibration": "abc", "images": None, "alpha": 0.01, "seed": 1}


def test_a_run_is_noted_down_and_taken_up_again(tmp_path):
    workdir = tmp_path / "runs" / "new"
    begin_run(workdir, SETTINGS)
    assert json.loads((workdir / "run.json").read_text()) == SETTINGS
    before = (workdir / "run.json").read_bytes()
    begin_run(workdir, dict(reversed(SETTINGS.items())))
    assert (workdir / "run.json").read_bytes() == before
    assert [path.name for path in workdir.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    ("changed", "named", "not_named"),
    [
        ({"calibration": "def"}, ["calibration was 'abc', is 'def'"], "seed"),
        ({"seed": 2}, ["seed was 1, is 2"], "calibration"),
        ({"images": "photos"}, ["images was None, is 'photos'"], "seed"),
        ({"alpha": None, "seed": 7}, ["alpha was 0.01, is None", "seed was 1, is 7"], "images"),
        ({"resize": True}, ["resize was None, is True"], "seed"),
    ],
)
def test_another_run_in_the_same_folder_is_refused(tmp_path, changed, named, not_named):
    begin_run(tmp_path, SETTINGS)
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(RunError, match="choose another workdir") as caught:
        begin_run(tmp_path, {**SETTINGS, **changed})
    message = str(caught.value).replace(str(tmp_path), "WORKDIR")
    assert message.startswith("WORKDIR holds another run (")
    assert all(text in message for text in named)
    assert f"{not_named} was" not in message
    assert "\n" not in message
    assert (tmp_path / "run.json").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{torn", b"[1, 2]", b"7", b"\xff\xfe"])
def test_a_damaged_note_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RunError, match=r"run\.json: .*choose another workdir") as caught:
        begin_run(tmp_path, SETTINGS)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "run.json").read_bytes() == content


def test_a_workdir_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "taken").write_text("a letter")
    with pytest.raises(RunError, match=r"taken.*choose another workdir"):
        begin_run(tmp_path / "taken", SETTINGS)
