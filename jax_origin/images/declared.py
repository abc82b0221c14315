"""What an image file says of itself: who made it, and how.

Anybody can write it, or take it out. It stands beside a verdict, and no score looks at it.
"""

import contextlib
import io
import re
from typing import Any

from PIL import ExifTags, Image

from jax_origin.images.credentials import credentials
from jax_origin.images.decode import built_in_formats, quiet
from jax_origin.images.formats import is_bare_png

_LONGEST = 1000  # Characters of a text that are kept.
# PNG texts that programs for making images write, and the program.
_TEXTS = {
    "parameters": "AUTOMATIC1111",
    "prompt": "ComfyUI",
    "workflow": "ComfyUI",
    "invokeai_metadata": "InvokeAI",
    "invokeai_graph": "InvokeAI",
    "sd-metadata": "InvokeAI",
    "Dream": "InvokeAI",
    "fooocus_scheme": "Fooocus",
    "Software": None,
    "Source": None,
    "Title": None,
    "Description": None,
    "Comment": None,
}
_SETTINGS = {
    "model": r"\bModel: ([^,\n]+)",
    "model_hash": r"\bModel hash: ([0-9a-fA-F]+)",
    "seed": r"\bSeed: (\d+)",
}
_SOURCE_TYPE = re.compile(rb"digitalsourcetype/(\w+)", re.IGNORECASE)


def declared(data: bytes) -> dict[str, str]:
    """What a file says of how it was made; {} where it says nothing, or is no image.

    Args:
      data: The bytes of an image file.

    Returns:
      Those that are there of: `text:NAME`, a PNG text (at most 1000 characters); `program`, which
      such a text is written by; `model`, `model_hash` and `seed`, as AUTOMATIC1111 writes them;
      `software`, `description` and `comment` of EXIF; `digital_source_type`, IPTC's word in XMP,
      such as "trainedAlgorithmicMedia"; `c2pa` and what belongs to it, see `credentials`.
    """
    found: dict[str, str] = {}
    if is_bare_png(data):
        return found
    with contextlib.suppress(Exception), quiet():  # Damaged metadata says nothing.
        with Image.open(io.BytesIO(data), formats=built_in_formats()) as image:
            info = dict(image.info)
            found |= _png_texts(info) if image.format == "PNG" else {}
            with contextlib.suppress(Exception):
                found |= _exif(image.getexif())
        xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
        xmp = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else bytes(xmp)
        if said := _SOURCE_TYPE.search(xmp):
            found["digital_source_type"] = said[1].decode("ascii")
    settings = found.get("text:parameters") or found.get("comment") or ""
    for name, pattern in _SETTINGS.items():
        if said_of := re.search(pattern, settings):
            found[name] = said_of[1].strip()
    return found | credentials(data)


def _png_texts(info: dict[Any, Any]) -> dict[str, str]:
    found = {}
    for name, program in _TEXTS.items():
        text = info.get(name)
        if isinstance(text, str) and text:
            found[f"text:{name}"] = text[:_LONGEST]
            if program is not None:
                found.setdefault("program", program)
    if "NovelAI" in found.get("text:Software", ""):
        found["program"] = "NovelAI"
    return found


def _exif(exif: Image.Exif) -> dict[str, str]:
    tags = {"software": ExifTags.Base.Software, "description": ExifTags.Base.ImageDescription}
    said = {name: exif.get(tag) for name, tag in tags.items()}
    said["comment"] = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    texts = {name: _text(value) for name, value in said.items()}
    return {name: text[:_LONGEST] for name, text in texts.items() if text}


def _text(value: Any) -> str:
    """A text of EXIF; a user's comment begins with eight bytes that name its alphabet."""
    if isinstance(value, str):
        return value.strip("\0 ")
    if not isinstance(value, bytes):
        return ""
    alphabet, rest = value[:8], value[8:]
    if alphabet == b"UNICODE\0":
        order = "utf-16-le" if rest[1:2] == b"\0" else "utf-16-be"
        return rest.decode(order, "replace").strip("\0 ")
    return (rest if alphabet == b"ASCII\0\0\0" else value).decode("utf-8", "replace").strip("\0 ")
