"""The numbers that a JPEG file stores: the very ones, or an error by name."""

import io
import itertools
import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jax_origin.images import ImageError, photograph_crops
from jax_origin.images.jpeg import JpegFile, read_jpeg

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (37, 50, 3), dtype=np.uint8)
PHOTOGRAPH = photograph_crops(1, (37, 50), seed=0, part="calibration")[0][0]
DCT = np.cos((2 * np.arange(8) + 1) * np.arange(8)[:, None] * np.pi / 16) / 2
DCT[0] = np.sqrt(1 / 8)


def encode(pixels: np.ndarray, mode: str = "RGB", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, format="JPEG", **options)
    return buffer.getvalue()


def same(one: JpegFile, other: JpegFile) -> bool:
    return all(
        np.array_equal(a.coefficients, b.coefficients) and np.array_equal(a.table, b.table)
        for a, b in zip(one.components, other.components, strict=True)
    )


def decoded(component) -> np.ndarray:
    """Samples by the transform's definition, unlike libjpeg's in floating point."""
    rows, columns = component.coefficients.shape
    blocks = component.coefficients.reshape(rows // 8, 8, columns // 8, 8) * component.table[
        :, None, :
    ].astype(int)
    return (np.einsum("ux,vy,aubv->axby", DCT, DCT, blocks) + 128).reshape(rows, columns)


WAYS = [
    {"progressive": progressive, "optimize": optimize, "restart_marker_blocks": restart}
    for progressive, optimize, restart in itertools.product((False, True), (False, True), (0, 3))
]


@pytest.mark.parametrize("pixels", [NOISE, PHOTOGRAPH], ids=["noise", "photograph"])
@pytest.mark.parametrize("quality", [30, 75, 100])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_numbers_give_the_pixels_that_libjpeg_decodes(pixels, quality, mode):
    data = encode(pixels, mode, quality=quality, subsampling="4:4:4")
    image = Image.open(io.BytesIO(data))
    if mode == "RGB":
        image.draft("YCbCr", image.size)  # Without the conversion to RGB.
    planes = np.asarray(image).reshape(37, 50, -1).transpose(2, 0, 1)
    file = read_jpeg(data, path="a.jpg")
    assert (file.height, file.width, len(file.components)) == (37, 50, len(planes))
    for component, plane in zip(file.components, planes, strict=True):
        assert component.averaged == (1, 1)
        assert np.abs(decoded(component)[:37, :50].clip(0, 255) - plane).max() < 1.6


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_they_are_the_same_however_they_are_coded(subsampling, way):
    for pixels, mode, quality in itertools.product((NOISE, PHOTOGRAPH), ("RGB", "L"), (50, 97)):
        options = {"quality": quality, "subsampling": subsampling}
        plain = read_jpeg(encode(pixels, mode, **options), path="a.jpg")
        assert same(read_jpeg(encode(pixels, mode, **options, **way), path="a.jpg"), plain)


def test_they_are_those_that_jpeglib_reads(tmp_path):
    jpeglib = pytest.importorskip("jpeglib")
    for size, way, subsampling in itertools.product(
        [(1, 1), (8, 8), (37, 50), (17, 9)], WAYS, ["4:4:4", "4:2:2", "4:2:0"]
    ):
        pixels = PHOTOGRAPH[: size[0], : size[1]]
        data = encode(pixels, quality=85, subsampling=subsampling, **way)
        (tmp_path / "a.jpg").write_bytes(data)
        expected = jpeglib.read_dct(str(tmp_path / "a.jpg"))
        found = read_jpeg(data, path="a.jpg").components
        for component, blocks in zip(found, (expected.Y, expected.Cb, expected.Cr), strict=True):
            placed = np.asarray(blocks).transpose(0, 2, 1, 3).reshape(component.coefficients.shape)
            assert np.array_equal(component.coefficients, placed)
        assert np.array_equal(found[0].table, expected.qt[0])


@pytest.mark.parametrize(
    ("subsampling", "averaged"), [("4:4:4", (1, 1)), ("4:2:2", (1, 2)), ("4:2:0", (2, 2))]
)
def test_what_one_sample_of_chroma_stands_for(subsampling, averaged):
    luma, *chroma = read_jpeg(encode(NOISE, subsampling=subsampling), path="a.jpg").components
    assert luma.averaged == (1, 1)
    assert luma.coefficients.shape == (40, 56)
    for component in chroma:
        assert component.averaged == averaged
        blocks = [-(-side // (8 * n)) for side, n in zip((37, 50), averaged, strict=True)]
        assert component.coefficients.shape == (8 * blocks[0], 8 * blocks[1])


def test_rows_alone_can_be_averaged():
    data = encode(NOISE[:16, :16], subsampling="4:2:2")
    turned = data.replace(b"\x03\x01\x21\x00", b"\x03\x01\x12\x00")  # Factors of Y.
    assert turned != data
    luma, *chroma = read_jpeg(turned, path="a.jpg").components
    assert luma.coefficients.shape == (16, 16)
    assert [part.averaged for part in chroma] == [(2, 1), (2, 1)]
    assert [part.coefficients.shape for part in chroma] == [(8, 16), (8, 16)]


def test_tables_are_those_of_the_file():
    data = encode(NOISE, qtables=[list(range(1, 65)), list(range(101, 165))])
    expected = Image.open(io.BytesIO(data)).quantization
    luma, cb, cr = read_jpeg(data, path="a.jpg").components
    assert np.array_equal(luma.table.ravel(), expected[0])
    assert np.array_equal(cb.table.ravel(), expected[1])
    assert np.array_equal(cr.table.ravel(), expected[1])
    assert sorted(expected[0]) == list(range(1, 65))


@pytest.mark.parametrize(
    ("data", "colour"),
    [
        (encode(NOISE), "ycbcr"),
        (encode(NOISE, "L"), "grey"),
        (encode(NOISE, keep_rgb=True), "rgb"),
    ],
)
def test_colour_is_told_by_the_markers(data, colour):
    assert read_jpeg(data, path="a.jpg").colour == colour


def _without_last_scan(data: bytes) -> bytes:
    return data[: data.rindex(b"\xff\xda")] + b"\xff\xd9"


WHOLE = {
    "plain": encode(PHOTOGRAPH, quality=85),
    "restarts": encode(PHOTOGRAPH, quality=85, restart_marker_blocks=2),
    "progressive": encode(PHOTOGRAPH, quality=85, progressive=True),
    "grey": encode(PHOTOGRAPH, "L", quality=85, optimize=True),
}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "does not begin"),
        (b"GIF89a", "does not begin"),
        (encode(NOISE, "CMYK"), "4 components"),
        (WHOLE["plain"].replace(b"\xff\xc0", b"\xff\xc9"), "arithmetic"),
        (WHOLE["plain"].replace(b"\xff\xc0", b"\xff\xc3"), "lossless"),
        (WHOLE["plain"].replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), "12 bits"),
        (_without_last_scan(WHOLE["progressive"]), "scans are missing"),
        (WHOLE["restarts"].replace(b"\xff\xd1", b"\xff\xd2", 1), "corrupt"),
        (WHOLE["plain"][:-40] + b"\xff\xd9", "truncated"),
        (WHOLE["grey"].replace(b"\xff\xdb\0\x43\0", b"\xff\xdb\0\x43\x10"), "truncated"),
        (re.sub(rb"(\xff\xdb\0\x43\0).", rb"\1\0", WHOLE["grey"]), "holds a zero"),
    ],
)
def test_what_cannot_be_read_is_named(data, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        read_jpeg(data, path="folder/a.jpg")
    assert str(caught.value).startswith("folder/a.jpg: has coefficients that cannot be read: ")


def read_or_refuse(data: bytes) -> bool:
    try:
        file = read_jpeg(data, path="fuzz", max_pixels=1 << 14)
    except ImageError as error:
        assert error.path == "fuzz"
        assert "\n" not in error.reason
        return False
    assert file.height * file.width <= 1 << 14
    return True


@pytest.mark.parametrize("name", WHOLE)
def test_a_truncated_file_is_refused(name):
    data = WHOLE[name]
    assert read_or_refuse(data)
    assert not any(read_or_refuse(data[:length]) for length in range(len(data)))


@settings(max_examples=400, deadline=2000)
@given(
    name=st.sampled_from(list(WHOLE)),
    changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=8),
)
def test_a_damaged_file_is_read_or_refused(name, changes):
    damaged = bytearray(WHOLE[name])
    for place, value in changes:
        damaged[place % len(damaged)] = value
    read_or_refuse(bytes(damaged))


def test_a_small_file_cannot_cost_much():
    header = WHOLE["progressive"].partition(b"\xff\xda")[0]
    at = header.index(b"\xff\xc2") + 5
    enormous = header[:at] + b"\xff\xff\xff\xff" + header[at + 4 :]
    began = time.process_time()
    assert not read_or_refuse(enormous + WHOLE["progressive"][len(header) :])
    # A scan of the refining bits of nothing but zeros costs a byte and a visit of every block.
    large = header[:at] + b"\0\x80\0\x80" + header[at + 4 :]
    assert not read_or_refuse(large + 1000 * b"\xff\xda\0\x08\x01\x01\0\x01\x3f\0\0" + b"\xff\xd9")
    assert time.process_time() - began < 2
