"""What each kind of image file gives: its pixels with a note, or an error by name."""

import concurrent.futures
import hashlib
import io
import os
import pickle
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jax_origin.images import ImageError, decode_bytes, decode_image

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (24, 20, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (24, 20), dtype=np.uint8)


def encode(image: Image.Image | np.ndarray, format_: str, **options) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format=format_, **options)
    return buffer.getvalue()


def png(width: int, height: int, *, bits: int, colour: int, data: bytes) -> bytes:
    """A PNG as no library here writes it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff_16_bit_rgb() -> bytes:
    """A little-endian, uncompressed TIFF of 2x2 pixels with 16 bits a channel."""
    bits_at, pixels_at = 150, 160
    entries = [
        (256, 4, 1, 2),  # width
        (257, 4, 1, 2),  # length
        (258, 3, 3, bits_at),  # bits per sample
        (259, 3, 1, 1),  # no compression
        (262, 3, 1, 2),  # RGB
        (273, 4, 1, pixels_at),  # strip offset
        (277, 3, 1, 3),  # samples per pixel
        (278, 4, 1, 2),  # rows per strip
        (279, 4, 1, 24),  # strip byte count
    ]
    data = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
    data += b"".join(struct.pack("<HHII", *entry) for entry in entries) + struct.pack("<I", 0)
    data = data.ljust(bits_at, b"\0") + struct.pack("<HHH", 16, 16, 16)
    return data.ljust(pixels_at, b"\0") + bytes(range(24))


def animation(format_: str) -> bytes:
    frames = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    return encode(frames[0], format_, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_files_give_their_pixels(format_):
    options = {"lossless": True} if format_ == "WEBP" else {}
    decoded = decode_bytes(encode(COLOUR, format_, **options), path="a")
    assert decoded.pixels.dtype == np.uint8
    np.testing.assert_array_equal(decoded.pixels, COLOUR)
    assert decoded.note is None


def test_jpeg_gives_what_pillow_gives(tmp_path: Path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode(COLOUR, "JPEG"))
    decoded = decode_image(path)
    np.testing.assert_array_equal(decoded.pixels, np.asarray(Image.open(path)))
    assert decoded.path == str(path)
    assert decoded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def with_transparency(alpha: int) -> np.ndarray:
    return np.dstack([COLOUR, np.full(GREY.shape, alpha, np.uint8)])


@pytest.mark.parametrize(
    ("data", "pixels", "note"),
    [
        (encode(GREY, "PNG"), np.dstack([GREY] * 3), "greyscale expanded to RGB"),
        (encode(GREY, "TIFF"), np.dstack([GREY] * 3), "greyscale expanded to RGB"),
        (encode(GREY, "GIF"), np.dstack([GREY] * 3), "palette converted to RGB"),
        (
            encode(Image.fromarray(GREY > 127), "PNG"),
            np.dstack([np.where(GREY > 127, 255, 0)] * 3),
            "greyscale expanded to RGB",
        ),
        (encode(with_transparency(255), "PNG"), COLOUR, "opaque alpha dropped"),
        (encode(with_transparency(255), "TIFF"), COLOUR, "opaque alpha dropped"),
        (
            encode(np.dstack([GREY, np.full_like(GREY, 255)]), "PNG"),
            np.dstack([GREY] * 3),
            "greyscale expanded to RGB; opaque alpha dropped",
        ),
    ],
)
def test_what_is_brought_to_rgb_is_noted(data, pixels, note):
    decoded = decode_bytes(data, path="a")
    np.testing.assert_array_equal(decoded.pixels, pixels)
    assert decoded.note == note


@pytest.mark.parametrize("format_", ["PNG", "GIF", "BMP", "TIFF"])
def test_palette_is_converted(format_):
    image = Image.fromarray(COLOUR).quantize(16)
    decoded = decode_bytes(encode(image, format_), path="a")
    np.testing.assert_array_equal(decoded.pixels, np.asarray(image.convert("RGB")))
    assert decoded.note == "palette converted to RGB"


def test_palette_with_a_transparent_colour_that_no_pixel_has_is_opaque():
    image = Image.fromarray(COLOUR).quantize(16)
    decoded = decode_bytes(encode(image, "PNG", transparency=200), path="a")
    assert decoded.note == "palette converted to RGB; opaque alpha dropped"


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_orientation_is_applied(format_, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format_ == "WEBP" else {}
    decoded = decode_bytes(encode(COLOUR, format_, exif=exif, **options), path="a")
    upright = {
        2: COLOUR[:, ::-1],
        3: COLOUR[::-1, ::-1],
        4: COLOUR[::-1],
        5: COLOUR.transpose(1, 0, 2),
        6: np.rot90(COLOUR, -1),
        7: COLOUR[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(COLOUR),
    }[orientation]
    assert decoded.pixels.shape == upright.shape
    if format_ != "JPEG":
        np.testing.assert_array_equal(decoded.pixels, upright)
    assert decoded.note == "EXIF orientation applied"


def test_orientation_comes_before_the_size():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(COLOUR, "PNG", exif=exif)
    assert decode_bytes(data, path="a", size=(20, 24)).pixels.shape == (20, 24, 3)
    with pytest.raises(ImageError, match="is 20x24"):
        decode_bytes(data, path="a", size=(24, 20))


def test_damaged_exif_does_no_harm():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = encode(COLOUR, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
        assert decode_bytes(data, path="a").note is None


def test_the_first_picture_of_a_telephone_jpeg_is_taken():
    decoded = decode_bytes(animation("MPO"), path="a")
    assert decoded.note == "first picture of several taken"
    difference = decoded.pixels.astype(int) - decode_bytes(encode(COLOUR, "JPEG"), path="a").pixels
    assert abs(difference).max() <= 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"not an image at all", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (encode(COLOUR, "PNG")[:-40], "truncated or corrupt"),
        (encode(COLOUR, "JPEG")[:-40], "truncated or corrupt"),
        (encode(COLOUR, "BMP")[:-40], "truncated or corrupt"),
        (encode(COLOUR, "TIFF")[:300], "truncated or corrupt"),
        (encode(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"), "CMYK"),
        (encode(Image.fromarray(COLOUR).convert("CMYK"), "TIFF"), "CMYK"),
        (encode(Image.fromarray(COLOUR).convert("LAB"), "TIFF"), "colour mode LAB"),
        (encode(GREY.astype(np.uint16) * 257, "PNG"), "16 bits"),
        (encode(GREY.astype(np.uint16) * 257, "TIFF"), "16 bits"),
        (png(2, 2, bits=16, colour=2, data=bytes(26)), "16 bits"),
        (png(2, 2, bits=16, colour=4, data=bytes(18)), "16 bits"),
        (png(2, 2, bits=16, colour=6, data=bytes(34)), "16 bits"),
        (tiff_16_bit_rgb(), "16 bits"),
        (b"P6 2 2 65535\n" + bytes(24), "16 bits"),
        (b"P5 2 2 65535\n" + bytes(8), "16 bits"),
        (encode(GREY.astype(np.int32), "TIFF"), "32 bits"),
        (encode(GREY.astype(np.float32), "TIFF"), "floating-point"),
        (encode(with_transparency(254), "PNG"), "transparent"),
        (encode(with_transparency(254), "WEBP"), "transparent"),
        (encode(Image.fromarray(GREY).quantize(8), "PNG", transparency=0), "transparent"),
        (encode(np.zeros_like(GREY), "PNG", transparency=0), "transparent"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(data, reason, tmp_path: Path):
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=reason) as caught:
        decode_image(path)
    assert caught.value.path == str(path)
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    assert "\n" not in str(caught.value)


def test_a_changed_byte_in_a_png_is_found():
    data = bytearray(encode(COLOUR, "PNG", compress_level=0))
    data[len(data) // 2] ^= 1
    with pytest.raises(ImageError, match="corrupt"):
        decode_bytes(bytes(data), path="a")


@pytest.mark.parametrize("side", [8200, 12000, 60000])
def test_enormous_images_are_refused_from_the_header(side):
    data = png(side, side, bits=8, colour=2, data=b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="enormous"):
            decode_bytes(data, path="a")


def test_max_pixels_is_a_limit_on_the_area():
    data = encode(COLOUR, "PNG")
    assert decode_bytes(data, path="a", max_pixels=24 * 20).pixels.shape == (24, 20, 3)
    with pytest.raises(ImageError, match=r"24x20.* is more than max_pixels=479"):
        decode_bytes(data, path="a", max_pixels=24 * 20 - 1)


def test_an_enormous_file_is_not_read(tmp_path: Path):
    path = tmp_path / "big.png"
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # A hole: takes no room on the disk.
    with pytest.raises(ImageError, match="enormous"):
        decode_image(path)


def test_missing_file_folder_and_pipe_are_refused(tmp_path: Path):
    with pytest.raises(ImageError, match="no such file"):
        decode_image(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="is a folder"):
        decode_image(tmp_path)
    with pytest.raises(ImageError, match="cannot be read"):
        decode_image("null\0character.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="not a regular file"):
        decode_image(tmp_path / "pipe.png")


def test_another_size_is_refused_or_resized():
    data = encode(COLOUR, "PNG")
    message = "a: is 24x20 (HxW), the generator makes 8x16; pass --resize to allow resizing"
    with pytest.raises(ImageError) as caught:
        decode_bytes(data, path="a", size=(8, 16))
    assert str(caught.value) == message
    decoded = decode_bytes(data, path="a", size=(8, 16), resize=True)
    assert decoded.pixels.shape == (8, 16, 3)
    assert decoded.note == "resized from 24x20 to 8x16"
    np.testing.assert_array_equal(
        decode_bytes(data, path="a", size=(24, 20), resize=True).pixels, COLOUR
    )


def test_resizing_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    decoded = decode_bytes(encode(stripes, "PNG"), path="a", size=(8, 8), resize=True)
    assert np.all(abs(decoded.pixels.astype(int) - 127) < 12)


def test_threads_decode_alike_and_leave_the_warning_filters_alone():
    files = [encode(np.roll(COLOUR, i, axis=0), "PNG") for i in range(64)]
    before = list(warnings.filters)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        decoded = list(pool.map(lambda data: decode_bytes(data, path="a").pixels, files))
    for i, pixels in enumerate(decoded):
        np.testing.assert_array_equal(pixels, np.roll(COLOUR, i, axis=0))
    assert list(warnings.filters) == before


def test_errors_survive_a_process_boundary():
    error = pickle.loads(pickle.dumps(ImageError("a.png", "is empty")))
    assert (error.path, error.reason, str(error)) == ("a.png", "is empty", "a.png: is empty")


@pytest.mark.parametrize(
    ("image", "format_", "note"),
    [
        (GREY, "PNG", None),
        (GREY, "TIFF", None),
        (np.dstack([GREY] * 3), "PNG", "equal colours read as grey"),
        (np.dstack([GREY] * 3), "BMP", "equal colours read as grey"),
        (COLOUR, "PNG", "colour converted to grey"),
    ],
)
def test_files_are_read_as_grey(image, format_, note):
    decoded = decode_bytes(encode(image, format_), path="a", channels=1)
    assert (decoded.note, decoded.size) == (note, GREY.shape)
    wanted = GREY if image is not COLOUR else np.asarray(Image.fromarray(COLOUR).convert("L"))
    np.testing.assert_array_equal(decoded.pixels, wanted[..., None])
    small = decode_bytes(encode(image, format_), path="a", channels=1, size=(8, 8), resize=True)
    assert small.pixels.shape == (8, 8, 1) and small.size == GREY.shape


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        decode_bytes(encode(GREY, "PNG"), path="a", channels=4)
