"""What files say of themselves is read, whatever says it; damaged metadata says nothing."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from jax_origin.images import declared

PIXELS = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
SETTINGS = "a dog\nSteps: 20, Seed: 4711, Model hash: 6ce0161689, Model: v1-5-pruned"
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><Iptc4xmpExt:DigitalSourceType>'
    "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    "</Iptc4xmpExt:DigitalSourceType></x:xmpmeta>"
)


def saved(format_: str, **options) -> bytes:
    buffer = io.BytesIO()
    PIXELS.save(buffer, format_, **options)
    return buffer.getvalue()


def png(**texts: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    return saved("PNG", pnginfo=info)


def test_the_texts_of_generators():
    found = declared(png(parameters=SETTINGS))
    assert found["program"] == "AUTOMATIC1111" and found["text:parameters"] == SETTINGS
    said = found["model"], found["model_hash"], found["seed"]
    assert said == ("v1-5-pruned", "6ce0161689", "4711")
    assert declared(png(prompt="{}", workflow="{}"))["program"] == "ComfyUI"
    assert declared(png(Software="NovelAI"))["program"] == "NovelAI"
    assert len(declared(png(parameters="x" * 5000))["text:parameters"]) == 1000


def test_exif():
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = "Adobe Firefly"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"UNICODE\0" + SETTINGS.encode(
        "utf-16-be"
    )
    found = declared(saved("JPEG", exif=exif))
    assert found["software"] == "Adobe Firefly" and found["comment"] == SETTINGS
    assert found["seed"] == "4711"


@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "PNG"])
def test_the_digital_source_type(format_):
    if format_ == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP)
        data = saved("PNG", pnginfo=info)
    else:
        data = saved(format_, xmp=XMP.encode())
    assert declared(data) == {"digital_source_type": "trainedAlgorithmicMedia"}


def with_box(data: bytes) -> bytes:
    """A JPEG file with what looks like a manifest, and is none."""
    box = b"JP\0\1\0\0\0\1" + b"\0\0\0\x28jumb\0\0\0\x20jumdc2pa" + bytes(24)
    return data[:2] + b"\xff\xeb" + (len(box) + 2).to_bytes(2, "big") + box + data[2:]


def test_a_c2pa_manifest_is_said_to_be_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)  # As where it is not installed.
    assert declared(with_box(saved("JPEG"))) == {"c2pa": "present"}


def test_a_c2pa_manifest_is_checked():
    pytest.importorskip("c2pa")
    data = (Path(__file__).parent / "signed.png").read_bytes()
    said = {"c2pa_signer": "tests", "c2pa_program": "SomeModel"}
    said["c2pa_source_type"] = "trainedAlgorithmicMedia"
    assert declared(data) == {"c2pa": "valid", **said}
    assert declared(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])["c2pa"] == "invalid"
    assert declared(with_box(saved("JPEG"))) == {"c2pa": "invalid"}


def test_a_plain_or_damaged_file_says_nothing():
    assert declared(saved("PNG")) == declared(b"") == declared(b"no image") == {}
    assert declared(png(parameters=SETTINGS)[:60]) == {}
