"""No content of a file makes decoding do anything but decode, or raise ImageError."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jax_origin.images import ImageError, decode_bytes

pytestmark = pytest.mark.outer

# Smooth, so that a damaged file is often near enough to a whole one to be decoded.
ROWS, COLUMNS = np.mgrid[0:12, 0:15]
PIXELS = np.dstack([ROWS * 20, COLUMNS * 17, ROWS + COLUMNS]).astype(np.uint8)


def encode(image: Image.Image, format_: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format_, **options)
    return buffer.getvalue()


def whole_files() -> dict[str, bytes]:
    image = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "png": encode(image, "PNG"),
        "png with exif": encode(image, "PNG", exif=exif),
        "png with palette": encode(image.quantize(8), "PNG", transparency=200),
        "jpeg": encode(image, "JPEG", exif=exif),
        "progressive jpeg": encode(image, "JPEG", progressive=True),
        "webp": encode(image, "WEBP", exif=exif),
        "lossless webp": encode(image, "WEBP", lossless=True),
        "gif": encode(image, "GIF"),
        "bmp": encode(image, "BMP"),
        "tiff": encode(image, "TIFF", exif=exif),
        "lzw tiff": encode(image, "TIFF", compression="tiff_lzw"),
        "ppm": encode(image, "PPM"),
        "avif": encode(image, "AVIF", exif=exif),
        "jpeg 2000": encode(image, "JPEG2000"),
        "icon": encode(image, "ICO", sizes=[(15, 12)]),
        "icon of bitmaps": encode(
            image.convert("RGBA"), "ICO", sizes=[(15, 12), (5, 4)], bitmap_format="bmp"
        ),
        "animated gif": encode(image, "GIF", save_all=True, append_images=[image.rotate(180)]),
        "mpo": encode(image, "MPO", save_all=True, append_images=[image]),
    }


FILES = whole_files()
MAGIC = sorted(
    {data[:12] for data in FILES.values()} | {b"P2 3 2 255 ", b"P7\n", b"MM\0*\0\0\0\x08"}
)
quick = settings(max_examples=150, deadline=None)


def decode_or_refuse(data: bytes) -> np.ndarray | None:
    """Anything but pixels or an ImageError fails the test."""
    try:
        pixels = decode_bytes(data, path="fuzz", max_pixels=1 << 16).pixels
    except ImageError as error:
        assert error.path == "fuzz"
        assert error.reason
        assert "\n" not in error.reason
        return None
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert 0 < pixels.shape[0] * pixels.shape[1] <= 1 << 16
    return pixels


@quick
@given(magic=st.sampled_from([b"", *MAGIC]), rest=st.binary(max_size=400))
def test_random_bytes(magic, rest):
    decode_or_refuse(magic + rest)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused_or_complete_in_its_pixels(name):
    whole = FILES[name]
    pixels = decode_bytes(whole, path=name).pixels
    refused = 0
    for length in range(len(whole)):
        found = decode_or_refuse(whole[:length])
        refused += found is None
        if found is not None:
            np.testing.assert_array_equal(found, pixels)
    assert refused > len(whole) // 2 or name == "mpo"  # The second half of an MPO is not needed.


@quick
@given(
    name=st.sampled_from(sorted(FILES)),
    flips=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 7)), min_size=1, max_size=8),
)
def test_flipped_bits_in_headers(name, flips):
    data = bytearray(FILES[name])
    for position, bit in flips:
        data[position % len(data)] ^= 1 << bit
    decode_or_refuse(bytes(data))


@quick
@given(
    name=st.sampled_from(sorted(FILES)),
    start=st.floats(0, 1),
    length=st.integers(0, 40),
    replacement=st.binary(max_size=40),
)
def test_a_part_replaced(name, start, length, replacement):
    whole = FILES[name]
    begin = int(start * len(whole))
    decode_or_refuse(whole[:begin] + replacement + whole[begin + length :])


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["png", "png with exif", "png with palette"]),
    start=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_a_flipped_bit_never_changes_the_pixels_of_a_png(name, start, bit):
    whole = FILES[name]
    data = bytearray(whole)
    data[int(start * len(data))] ^= 1 << bit
    found = decode_or_refuse(bytes(data))
    if found is not None:
        np.testing.assert_array_equal(found, decode_bytes(whole, path=name).pixels)
