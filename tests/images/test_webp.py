"""A lossy WebP's numbers: as libwebp decodes them, and where an image that it holds has its own."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from jax_origin.distances import FileSet
from jax_origin.images import (
    TURNS,
    as_float,
    cut_window,
    decode_bytes,
    photograph_crops,
    stack_stored,
    stored_image,
    turned,
)
from jax_origin.images.webp import chunks, read_webp, webp_coarsest
from jax_origin.images.webp_frame import predicted_planes
from jax_origin.images.webp_scan import CorruptCodes, read_frame

SHEET = np.concatenate(photograph_crops(5, (48, 64), seed=1, part="demonstration")[0])
NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def file_of(pixels=SHEET, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", **options)
    return file.getvalue()


def stored(data):
    return stored_image(data, decode_bytes(data, path="a file"))


def scan(data):
    (frame,) = (content for name, content in chunks(data) if name == b"VP8 ")
    return read_frame(frame, max_pixels=1 << 20)


def rgb(scan):
    """What a decoder shows of a frame whose loop filter is off."""
    bright, *colours = (decoded.astype(int) for _, decoded in predicted_planes(scan))
    (height, width), planes = scan.size, [bright[: scan.size[0], : scan.size[1]]]
    for colour in colours:
        near = colour[: (height + 1) // 2, : (width + 1) // 2]
        around, finer = np.pad(near, 1, mode="edge"), np.kron(near, np.ones((2, 2), int))
        for down, along in itertools.product((0, 1), repeat=2):
            rows, columns = (
                slice(2 * d, 2 * d + n) for d, n in zip((down, along), near.shape, strict=True)
            )
            beside = around[1:-1, columns], around[rows, 1:-1], around[rows, columns]
            mixed = 9 * near + 3 * beside[0] + 3 * beside[1] + beside[2] + 8 >> 4
            finer[down::2, along::2] = mixed
        planes.append(finer[:height, :width])
    y, (u, v) = planes[0] * 19077 >> 8, planes[1:]
    red = y + (v * 26149 >> 8) - 14234
    green = y - (u * 6419 >> 8) - (v * 13320 >> 8) + 8708
    blue = y + (u * 33050 >> 8) - 17685
    return (np.stack([red, green, blue], axis=2) >> 6).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "qualities"),
    [(SHEET, (98, 100)), (NOISE, (50, 70, 90))],
    ids=["photographs", "noise"],
)
@pytest.mark.parametrize("size", [(48, 64), (33, 17), (1, 50), (16, 1)])
def test_decoding_without_a_filter_gives_the_very_pixels(pixels, qualities, size):
    # The encoder filters neither fine steps nor noise. A wrong number anywhere spoils what follows.
    whole = set()
    for quality, method in itertools.product(qualities, (0, 4, 6)):
        data = file_of(pixels[: size[0], : size[1]], quality=quality, method=method)
        found = scan(data)
        whole |= set(found.whole.ravel().tolist())
        assert np.array_equal(rgb(found), decode_bytes(data, path="a file").pixels)
    assert size != (48, 64) or False in whole


def distances(images, sets):
    """Of images to the sets of files, one each; and to what they decode to."""
    targets = (stack_stored([one.to_arrays() for one in some]) for some in (sets, pixels_of(sets)))
    return [np.asarray(FileSet().l2(as_float(np.stack(images)), each)) for each in targets]


def pixels_of(sets):
    return [one.as_pixels() for one in sets]


@pytest.mark.parametrize("size", [(48, 64), (33, 18), (20, 47)])
def test_an_image_is_in_the_set_of_its_file_and_not_in_that_of_its_pixels(size):
    images = list(photograph_crops(6, size, seed=2, part="demonstration")[0])
    for quality, method in itertools.product((30, 50, 80, 90, 100), (0, 4)):
        sets = [stored(file_of(image, quality=quality, method=method)) for image in images]
        own, pixels = distances(images, sets)
        other, _ = distances([image[::-1, ::-1] for image in images], sets)
        assert own.max() < 3e-7 < 4e-6 < pixels.min() and np.median(own) < 2e-8
        assert other.min() > 1e-4
    # Weighing size against error, an encoder goes beyond the usual step here and there.
    own, pixels = distances(
        images, [stored(file_of(image, quality=60, method=6)) for image in images]
    )
    assert (own < pixels / 100).all()


def test_what_a_file_is_taken_for():
    found = stored(file_of(quality=80))
    assert (found.kind, found.note, found.colour, len(found.coefficients)) == (
        "webp",
        None,
        "ycbcr",
        3,
    )
    rgba = np.concatenate([SHEET, np.full_like(SHEET[..., :1], 255)], axis=2)
    alike = stored(file_of(rgba, quality=80))
    assert alike.kind == "webp" and np.array_equal(alike.coefficients[0], found.coefficients[0])
    grey = np.repeat(SHEET[..., :1], 3, axis=2)
    decoded = decode_bytes(file_of(grey, quality=80), path="a file", channels=1)
    one = stored_image(file_of(grey, quality=80), decoded)
    assert (one.kind, one.colour, len(one.coefficients)) == ("webp", "grey", 1)
    assert FileSet().l2(as_float(grey[None, ..., :1]), stack_stored([one.to_arrays()]))[0] < 1e-8
    turned_file = Image.Exif()
    turned_file[0x0112] = 6
    assert stored(file_of(exif=turned_file)).note == "lossy WebP"
    assert stored(file_of(lossless=True)).kind == "pixels"


@pytest.mark.parametrize("quality", [100, 95, 90, 80, 70, 60, 50, 40, 20, 0])
def test_the_quantiser_is_the_one_that_the_encoder_chose(quality):
    # libwebp gives its coarsest segment what webp_coarsest says, or a little less.
    coarsest = webp_coarsest(quality)
    for method in (0, 4, 6):
        assert (
            coarsest - 8 <= read_webp(file_of(quality=quality, method=method)).quantiser <= coarsest
        )


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: turn.words)
@pytest.mark.parametrize("method", [0, 4])
def test_a_turned_file_holds_the_turned_image(turn, method):
    pixels = SHEET[:64]
    before = stored(file_of(pixels, quality=70, method=method))
    after = turned(before, turn)
    upright, own = distances([pixels], [before])[0], distances([turn(pixels)], [after])[0]
    np.testing.assert_allclose(own, upright, rtol=0.01, atol=1e-11)
    assert own[0] < 1e-8 < 1e-4 < distances([pixels], [after])[0][0]
    for ours, theirs in zip(turned(after, turn.undone).tables, before.tables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_window_says_what_whole_macroblocks_say():
    for method in (0, 4):
        whole = stored(file_of(quality=70, method=method))
        for top, left, size in (
            (16, 32, (32, 32)),
            (0, 16, (24, 40)),
            (16, 0, (SHEET.shape[0] - 16, 64)),
        ):
            window = cut_window(whole, top, left, size)
            part = SHEET[top : top + size[0], left : left + size[1]]
            own, pixels = distances([part], [window])
            assert own[0] < 1e-8 < 1e-5 < pixels[0]


def test_what_holds_no_key_frame_has_no_numbers():
    whole = file_of(quality=80)
    assert read_webp(file_of(lossless=True)) is None
    assert read_webp(b"") is read_webp(whole[:25]) is None
    inter = whole.replace(b"\x9d\x01\x2a", b"\x9d\x01\x2b", 1)
    assert read_webp(inter) is None
    with pytest.raises(CorruptCodes):
        read_frame(next(c for n, c in chunks(whole) if n == b"VP8 "), max_pixels=48 * 64)


def test_a_damaged_file_gives_some_numbers_or_none():
    whole, rng = file_of(SHEET[:48], quality=80), np.random.default_rng(3)
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(20, len(data), 3):
            data[at] = rng.integers(256)
        found = read_webp(bytes(data[: rng.integers(20, len(data) + 1)]))
        assert found is None or all(
            part.levels.shape == part.steps.shape == part.predicted.shape
            for part in found.components
        )
