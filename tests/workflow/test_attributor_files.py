"""Files in, verdicts out: each way to hand one over, and those that cannot be read."""

import dataclasses
import hashlib
import io
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jax_origin as jo
from jax_origin.calibration import AS_MADE
from jax_origin.images import Decoders, decode_bytes, open_image, stored_image
from jax_origin.workflow import belonging_images

KEY = jax.random.key(7)


@pytest.fixture(scope="module")
def own(generator):
    return belonging_images(generator, 4, key=jax.random.key(11))


@pytest.fixture(scope="module")
def attributor(generator, under_storage):
    return jo.Attributor(generator, under_storage, key=KEY)


@pytest.fixture(scope="module")
def folder(own, tmp_path_factory):
    """Two images of the generator's own: a JPEG and a PNG."""
    folder = tmp_path_factory.mktemp("images")
    Image.fromarray(own[0]).save(folder / "a.jpg", quality=50)
    Image.fromarray(own[1]).save(folder / "b.png")
    return folder


def verdicts(found):
    return [(verdict.verdict, verdict.condition) for verdict in found]


OWN = [("belongs", "jpeg-50"), ("belongs", AS_MADE)]


def test_files_are_taken_by_folder_pattern_path_and_bytes(attributor, folder):
    paths = sorted(folder.iterdir())
    data = [path.read_bytes() for path in paths]
    for images in (folder, str(folder), str(folder / "*"), paths, map(str, paths), data):
        found = attributor(images)
        assert verdicts(found) == OWN
        for verdict, path, content in zip(found, paths, data, strict=True):
            record = verdict.record()
            assert record["path"] == (None if images is data else str(path))
            assert record["sha256"] == hashlib.sha256(content).hexdigest()
            assert record["stored"] == {".jpg": "jpeg", ".png": "pixels"}[path.suffix]
    for one in (paths[0], str(paths[0]), data[0], bytearray(data[0])):
        assert verdicts(attributor(one)) == OWN[:1]


def test_files_opened_by_other_processes_have_the_same_records(
    generator, under_storage, folder, monkeypatch
):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "images/failing")
    good = (folder / "b.png").read_bytes()
    files = [good, (folder / "a.jpg").read_bytes(), good[:40], b"none"] * 3
    ours = jo.Attributor(generator, under_storage, key=KEY)(files)
    files.insert(2, b"\xff\x0a\x41exits")  # It ends a process, and takes no others along.
    with Decoders(1) as decoders:
        run = jo.Run(decoders=decoders)
        theirs = jo.Attributor(generator, under_storage, key=KEY, run=run)(files)
    assert theirs.pop(2).error.startswith("its decoder crashes (exit code 7)")
    assert [each.record() for each in ours] == [each.record() for each in theirs]


def test_images_that_were_opened_before_are_taken_as_they_were(attributor, folder):
    path = folder / "a.jpg"
    opened = open_image(path)
    decoded = decode_bytes(path.read_bytes(), path=str(path))
    pair = (decoded, stored_image(path.read_bytes(), decoded))
    for images in (opened, [opened], [open_image(path)], opened.stored, [opened.stored], [pair]):
        (found,) = attributor(images)
        assert verdicts([found]) == OWN[:1]
        # The set that the file leaves, not its pixels, is what the image is inverted into.
        assert found.score < 1e-4 < found.loss
    (mixed, of_array) = attributor([pair, np.asarray(Image.open(folder / "b.png"))])
    assert verdicts([mixed, of_array]) == OWN
    assert (mixed.path, of_array.path) == (str(path), None)


def test_a_decoded_jpeg_is_no_lossless_image(attributor, generator, under_storage, folder):
    data = (folder / "a.jpg").read_bytes()
    pixels = decode_bytes(data, path="a").pixels
    # Taken for lossless, its pixels are far from all that the generator makes.
    taken = attributor(pixels[None])
    assert taken[0].verdict != "belongs" and taken[0].score > 1e-4
    unknown = jo.attribute(pixels[None], generator, under_storage, key=KEY, source="unknown")
    assert unknown[0].verdict == "undecided"
    assert unknown[0].reason.startswith("drift: the file is unknown; calibrated: as made, jpeg-90")
    assert verdicts(attributor([data])) == OWN[:1]


def test_where_files_do_not_matter_unknown_arrays_are_decided(generator, calibration, own):
    """The published decision compares all images with all."""
    published = dataclasses.replace(
        calibration, method={**calibration.method, "decision": {"kind": "published"}}
    )
    found = jo.attribute(own, generator, published, key=KEY, source="unknown")
    assert [verdict.verdict for verdict in found] == ["belongs"] * 4


def test_a_file_that_cannot_be_read_has_its_reason_and_the_rest_goes_on(
    attributor, folder, tmp_path
):
    (tmp_path / "broken.png").write_bytes(b"no image")
    Image.new("RGB", (9, 9)).save(tmp_path / "large.png")
    paths = [
        tmp_path / "broken.png",
        folder / "a.jpg",
        tmp_path / "missing.png",
        folder / "b.png",
        tmp_path / "large.png",
    ]
    found = attributor(paths)
    assert [verdict.tag for verdict in found] == list(range(5))
    assert [verdict.path for verdict in found] == list(map(str, paths))
    assert verdicts(found)[1::2] == OWN
    for verdict, words in zip(found[::2], ("", "no such file", "9x9"), strict=True):
        assert words in verdict.error and "\n" not in verdict.error
        assert verdict.verdict is verdict.score is verdict.inversion is verdict.image is None
        record = verdict.record()
        assert record["error"] == verdict.error and record["path"] == verdict.path
        assert record["sha256"] is record["stored"] is record["steps"] is record["p"] is None
    assert [verdict.error for verdict in attributor([b"no image", b""])].count(None) == 0


def test_progress_counts_what_cannot_be_read(generator, under_storage, folder):
    told = []
    run = jo.Run(progress=lambda *news: told.append(news))
    images = [b"no image", folder / "a.jpg", b""]
    jo.attribute(images, generator, under_storage, key=KEY, run=run)
    assert told[-1] == ("attributing", pytest.approx(3), 3)


def test_what_is_not_there_is_refused_by_name(attributor, tmp_path):
    with pytest.raises(jo.ImageError, match="nowhere: no such file or folder"):
        attributor(tmp_path / "nowhere")
    with pytest.raises(jo.ImageError, match="no file matches this pattern"):
        attributor(str(tmp_path / "*.png"))
    with pytest.raises(jo.ImageError, match="no images in this folder"):
        attributor(tmp_path)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((1, 8, 8), np.uint8), r"\[N, H, W, C\], got shape \[1, 8, 8\]"),
        (np.zeros((1, 8, 8, 1), np.uint8), r"images are \(8, 8, 1\).*makes 3"),
        (np.full((1, 8, 8, 3), 2.0), r"\[0, 1\]"),
        ([3], r"\[H, W, C\]"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(attributor, images, words):
    with pytest.raises(ValueError, match=words) as caught:
        attributor(images)
    assert "\n" not in str(caught.value)


def grey(weight, latents):
    return jax.nn.sigmoid(latents @ weight).reshape(-1, 8, 8, 1)


def test_a_generator_of_one_channel_is_attributed_from_files(stored_method, tmp_path):
    weight = np.random.default_rng(1).normal(size=(6, 64)).astype(np.float32)
    model = jo.FunctionGenerator(grey, weight, latent_shape=(6,), image_shape=(8, 8, 1))
    noise = np.random.default_rng(2).integers(0, 256, (22, 8, 8, 1), dtype=np.uint8)
    method = dataclasses.replace(stored_method, conditions=("jpeg-75",))
    calibration = jo.calibrate(
        model, method=method, num_belonging=20, foreign={"noise": noise[:20]}, key=KEY
    )
    assert list(calibration.conditions) == ["jpeg-75"]
    own = belonging_images(model, 2, key=jax.random.key(3))
    for name, images in (("own", own), ("other", noise[20:])):
        for number, pixels in enumerate(images[..., 0]):
            Image.fromarray(pixels).save(tmp_path / f"{name}-{number}.png")
            Image.fromarray(pixels).save(tmp_path / f"{name}-{number}.jpg", quality=75)
    found = {
        Path(verdict.path).name: verdict
        for verdict in jo.attribute(tmp_path, model, calibration, key=KEY)
    }
    for name, verdict in found.items():
        assert verdict.condition == ("jpeg-75" if name.endswith(".jpg") else AS_MADE)
        assert (verdict.verdict == "belongs") == name.startswith("own"), name
    # A colour file of the same picture is read as grey, and its record says so.
    data = io.BytesIO()
    Image.fromarray(np.repeat(own[0], 3, axis=2)).save(data, "PNG")
    (verdict,) = jo.attribute([data.getvalue()], model, calibration, key=KEY)
    assert verdict.error is None and verdict.inversion.reconstruction.shape == (8, 8, 1)
