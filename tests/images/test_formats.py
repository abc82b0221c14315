"""Formats that users meet: what is read, what is assumed of it, and what a folder leaves out."""

import io
import os
import sys

import numpy as np
import pytest
from PIL import Image

from jax_origin.images import (
    ImageError,
    decode_bytes,
    edits_alike,
    find_images,
    lossy_share,
    open_image,
    search_images,
)
from jax_origin.images.formats import FORMATS, format_of, plain_png_mode
from jax_origin.images.jpeg2000 import jpeg2000_is_lossless
from jax_origin.images.jpeg_xl import jpeg_xl_size

ROWS, COLUMNS = np.mgrid[0:40, 0:32]
SMOOTH = np.dstack([ROWS * 5, COLUMNS * 7, ROWS + COLUMNS]).astype(np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, SMOOTH.shape, dtype=np.uint8)
FIRST = "first picture of several taken"


def encode(pixels: np.ndarray, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=form, **options)
    return buffer.getvalue()


def two_frames(form: str, **options) -> bytes:
    return encode(SMOOTH, form, save_all=True, append_images=[Image.fromarray(NOISE)], **options)


HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(40)
JPEG_XL = b"\xff\x0a" + bytes(40)


@pytest.mark.parametrize(
    ("form", "options", "lossless"),
    [
        ("JPEG2000", {}, True),
        ("JPEG2000", {"no_jp2": True, "mct": 1}, True),
        ("JPEG2000", {"num_resolutions": 3, "progression": "RPCL"}, True),
        ("JPEG2000", {"tile_size": (32, 32), "codeblock_size": (32, 32)}, True),
        ("JPEG2000", {"irreversible": True}, False),
        ("JPEG2000", {"quality_layers": [4]}, False),  # reversible, but cut
        ("AVIF", {"quality": 90}, False),
        ("ICO", {"sizes": [(32, 40)]}, True),
        ("ICO", {"sizes": [(32, 40)], "bitmap_format": "bmp"}, True),
    ],
)
def test_a_lossy_file_is_no_lossless_one(form, options, lossless):
    for pixels in (SMOOTH, NOISE):
        opened = open_image(encode(pixels, form, **options))
        assert opened.pixels.shape == pixels.shape
        if lossless:
            np.testing.assert_array_equal(opened.pixels, pixels)
            assert opened.stored.note is None and opened.stored.kind == "pixels"
        else:
            name = {"JPEG2000": "JPEG 2000"}.get(form, form)
            assert opened.stored.note == f"{name}, which may be lossy"
            assert edits_alike(opened.stored, ["clean", "jpeg-75"]) == ((), opened.stored.note)


@pytest.mark.parametrize("num_layers", [[1], [2], [20], [60, 10]])
def test_jpeg_2000_is_never_taken_for_lossless_wrongly(num_layers):
    for pixels in (SMOOTH, NOISE, NOISE[..., 0], np.dstack([NOISE, 255 + 0 * NOISE[..., :1]])):
        data = encode(pixels, "JPEG2000", quality_layers=num_layers)
        same = np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
        assert same or not jpeg2000_is_lossless(data)


def test_grey_jpeg_2000():
    opened = open_image(encode(NOISE[..., 0], "JPEG2000"), channels=1)
    np.testing.assert_array_equal(opened.pixels, NOISE[..., :1])
    assert (opened.note, opened.stored.note, opened.stored.colour) == (None, None, "grey")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode(NOISE[..., 0].astype(np.uint16) * 257, "JPEG2000"), "has 16 bits a channel"),
        (encode(NOISE, "JPEG2000")[:-40], "truncated or corrupt"),
        (encode(NOISE, "JPEG2000")[:90], "truncated or corrupt|not an image"),
        (encode(NOISE, "AVIF")[:-40], "truncated or corrupt"),
        (encode(NOISE, "ICO", sizes=[(32, 40)])[:-40], "truncated or corrupt"),
        (b"\0\0\x01\0\x09\0" + bytes(12), "truncated or corrupt|not an image"),
        (encode(np.dstack([NOISE, NOISE[..., :1]]), "AVIF"), "transparent"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(data, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        decode_bytes(data, path="a")
    assert "\n" not in str(caught.value)


def test_avif_of_more_than_8_bits_is_refused():
    data = bytearray(encode(NOISE, "AVIF"))
    coding, depths = data.index(b"av1C") + 6, data.index(b"pixi") + 9
    for flags, bits in ((0x40, 10), (0x60, 12)):
        data[coding] |= flags
        data[depths : depths + 3] = [bits] * 3
        with pytest.raises(ImageError, match=f"has {bits} bits a channel"):
            decode_bytes(bytes(data), path="a")


@pytest.mark.parametrize("bitmap_format", ["png", "bmp"])
def test_an_icon_gives_its_largest_picture(bitmap_format):
    data = encode(SMOOTH, "ICO", sizes=[(16, 20), (32, 40), (8, 10)], bitmap_format=bitmap_format)
    opened = open_image(data)
    np.testing.assert_array_equal(opened.pixels, SMOOTH)
    assert opened.note.startswith("largest picture of several taken")
    palette = Image.fromarray(SMOOTH).quantize(8)
    buffer = io.BytesIO()
    palette.save(buffer, "ICO", sizes=[(32, 40)], bitmap_format=bitmap_format)
    assert open_image(buffer.getvalue()).stored.note.startswith("palette")


@pytest.mark.parametrize(
    ("data", "stored"),
    [
        (two_frames("PNG"), None),
        (two_frames("TIFF"), None),
        (two_frames("WEBP", lossless=True), None),
        (two_frames("WEBP", quality=80), None),
        (two_frames("AVIF", quality=80), "AVIF, which may be lossy"),
        (two_frames("GIF"), "palette: a colour may be rounded by more than half a level"),
    ],
)
def test_of_several_frames_the_first_is_taken(data, stored):
    opened = open_image(data)
    assert opened.note.startswith(FIRST) and opened.stored.note == stored
    off = abs(opened.pixels.astype(int) - SMOOTH)
    assert off.mean() < 12
    assert stored is not None or opened.stored.kind == "webp" or off.max() == 0


@pytest.mark.parametrize(
    ("data", "package"), [(HEIC, "pillow-heif"), (JPEG_XL, "pillow-jxl-plugin")]
)
def test_a_missing_plugin_is_named(data, package, monkeypatch):
    form = format_of(data)
    monkeypatch.delitem(Image.OPEN, form.pillow, raising=False)
    monkeypatch.setitem(sys.modules, form.plugin[0], None)  # As if it was not installed.
    with pytest.raises(ImageError, match=rf"install {package} \(pip install {package}\)"):
        decode_bytes(data, path="a")


def test_heic():
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    opened = open_image(encode(SMOOTH, "HEIF", quality=90))
    assert abs(opened.pixels.astype(int) - SMOOTH).mean() < 5
    assert opened.stored.note == "HEIC, which may be lossy" and opened.note is None
    assert open_image(two_frames("HEIF")).note == FIRST


def test_jpeg_xl():
    pytest.importorskip("pillow_jxl")
    data = encode(SMOOTH, "JXL", lossless=True)
    opened = open_image(data)
    np.testing.assert_array_equal(opened.pixels, SMOOTH)
    assert opened.stored.note == "JPEG XL, which may be lossy"
    with pytest.raises(ImageError, match="enormous: 40x32"):  # Told before it is decoded.
        decode_bytes(data, path="a", max_pixels=1000)


def test_the_size_of_jpeg_xl_is_read_from_its_header():
    # A small height of 40 and width of 32, as libjxl writes them; in a box that is numbered.
    header = b"\xff\x0a" + (1 | 4 << 1 | 0 << 6 | 3 << 9).to_bytes(4, "little") + bytes(12)
    assert jpeg_xl_size(header) == (40, 32)
    assert jpeg_xl_size(b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x20jxlp\0\0\0\0" + header) == (40, 32)
    large = (0 | 2 << 1 | 9999 << 3 | 1 << 21).to_bytes(4, "little")  # A square.
    assert jpeg_xl_size(b"\xff\x0a" + large + bytes(12)) == (10_000, 10_000)
    with pytest.raises(ValueError, match="without an image"):
        jpeg_xl_size(b"\0\0\0\x0cJXL \r\n\x87\n")


def test_every_format_is_known_by_its_first_bytes():
    written = {
        form: encode(SMOOTH, form) for form in (each.pillow for each in FORMATS if not each.plugin)
    }
    written |= {"AVIF sequence": two_frames("AVIF"), "BigTIFF": encode(SMOOTH, "TIFF", big_tiff=1)}
    written |= {"raw JPEG2000": encode(SMOOTH, "JPEG2000", no_jp2=True)}
    for name, data in written.items():
        assert format_of(data[:64]).pillow in name.replace("BigTIFF", "TIFF"), name
    assert (format_of(HEIC).name, format_of(JPEG_XL).name) == ("HEIC", "JPEG XL")
    for text in (
        b"",
        b"Dear reader",
        b"BMW is a car maker of Munich",
        b"Python",
        b"P5.js",
        b"\0" * 64,
    ):
        assert format_of(text) is None


@pytest.fixture
def folder(tmp_path):
    """Images by name, without a name, under a wrong one; and files that are none."""
    files = {
        "a.png": encode(NOISE, "PNG"),
        "b.AVIF": encode(NOISE, "AVIF"),
        "c.jp2": encode(NOISE, "JPEG2000"),
        "d.jpg": encode(NOISE, "PNG"),
        "deep/e.ico": encode(NOISE, "ICO", sizes=[(32, 40)]),
        "deep/photo": encode(NOISE, "PNG"),
        "download.dat": encode(NOISE, "WEBP", lossless=True),
        "empty": b"",
        "notes.txt": b"Dear reader",
        "more.TXT": b"Yours",
        "set.npz": b"PK\3\4",
        ".hidden": encode(NOISE, "PNG"),
    }
    (tmp_path / "deep").mkdir()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def names(folder, **options) -> list[str]:
    return [os.path.relpath(path, folder) for path in search_images(folder, **options).paths]


def test_what_a_folder_leaves_out_is_counted_by_kind(folder):
    assert names(folder) == ["a.png", "b.AVIF", "c.jp2", "d.jpg", "deep/e.ico"]
    assert search_images(folder).left_out == (
        "left out: 2 .txt, 2 without an extension, 1 .dat, 1 .npz "
        "(--all_files looks into every file)"
    )
    assert find_images(folder) == search_images(folder).paths
    assert search_images(folder / "a.png").left_out is None
    np.testing.assert_array_equal(open_image(folder / "d.jpg").pixels, NOISE)  # By its content.


def test_all_files_are_looked_into(folder):
    found = ["a.png", "b.AVIF", "c.jp2", "d.jpg", "deep/e.ico", "deep/photo", "download.dat"]
    assert names(folder, all_files=True) == found
    assert search_images(folder, all_files=True).left_out == (
        "left out: 2 .txt, 1 .npz, 1 without an extension (none begins like an image)"
    )
    for name in found[5:]:
        np.testing.assert_array_equal(open_image(folder / name).pixels, NOISE)


def test_what_is_no_file_to_read_neither_blocks_nor_goes_missing(folder):
    os.mkfifo(folder / "deep/pipe")
    os.symlink("/dev/zero", folder / "device")
    os.symlink(folder / "nowhere", folder / "dangling")
    (folder / "damaged").write_bytes(encode(NOISE, "PNG")[:200])
    odd = {"damaged": "corrupt", "dangling": "no such", "deep/pipe": "regular", "device": "regular"}
    assert {*odd} == {*names(folder, all_files=True)} - {
        *names(folder),
        "deep/photo",
        "download.dat",
    }
    for name, reason in odd.items():
        with pytest.raises(ImageError, match=reason):
            open_image(folder / name)
    with pytest.raises(ImageError, match=r"not a regular file|no such file"):
        lossy_share(folder, all_files=True)


def test_a_large_file_that_is_no_image_is_left_out(tmp_path):
    (tmp_path / "photo").write_bytes(encode(NOISE, "PNG"))
    with open(tmp_path / "film.mp4", "wb") as file:
        file.truncate(1 << 40)  # A hole: takes no room on the disk.
    assert names(tmp_path, all_files=True) == ["photo"]


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    (tmp_path / "photo").write_bytes(encode(NOISE, "PNG"))
    with pytest.raises(ImageError, match=r"left out: 1 without an extension \(--all_files"):
        search_images(tmp_path)
    assert names(tmp_path, all_files=True) == ["photo"]


def test_many_kinds_are_named_in_part(tmp_path):
    for i in range(8):
        (tmp_path / f"x.{i}").touch()
    (tmp_path / "a.png").write_bytes(encode(NOISE, "PNG"))
    assert search_images(tmp_path).left_out.startswith(
        "left out: 1 .0, 1 .1, 1 .2, 1 .3, 1 .4, 3 of other kinds"
    )


@pytest.mark.parametrize(
    ("form", "options", "share"),
    [
        ("JPEG", {}, 1),
        ("AVIF", {}, 1),
        ("WEBP", {"quality": 80}, 1),
        ("WEBP", {"lossless": True}, 0),
        ("PNG", {}, 0),
    ],
)
def test_the_share_of_lossy_files(form, options, share, tmp_path):
    (tmp_path / "a.png").write_bytes(encode(NOISE, form, **options))
    assert lossy_share(tmp_path) == share


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_png_of_pixels_alone_is_opened_as_one_that_says_more(mode):
    image, plain, more = Image.fromarray(NOISE).convert(mode), io.BytesIO(), io.BytesIO()
    image.save(plain, "PNG")
    image.save(more, "PNG", dpi=(72, 72))
    assert plain_png_mode(plain.getvalue()) == mode and plain_png_mode(more.getvalue()) is None
    one, other = (open_image(each.getvalue()) for each in (plain, more))
    assert np.array_equal(one.pixels, other.pixels) and one.note == other.note
    assert one.stored.kind == other.stored.kind and one.stored.colour == other.stored.colour
    for ours, theirs in zip(one.stored.coefficients, other.stored.coefficients, strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("at", [*range(8, 33, 3), 60, -14, -9, -2, -1])
def test_a_png_is_plain_only_as_it_was_written(at):
    data = bytearray(encode(NOISE, "PNG"))
    assert plain_png_mode(bytes(data)) == "RGB"
    data[at] ^= 1
    assert plain_png_mode(bytes(data)) is None
    assert plain_png_mode(bytes(data)[:at]) is None
