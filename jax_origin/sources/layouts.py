"""How public benchmarks are laid out: who made an image, told from its key and its columns.

A layout is a function of an entry that gives the maker's name, "real" for a photograph, or None
where it cannot tell. Your own needs no more::

    # mine.py, named --layout=mine:maker
    def maker(entry):
        return entry.key.split("/")[-2]
"""

import importlib
import re
from collections.abc import Callable
from typing import Any

from jax_origin.parts import suggestion
from jax_origin.sources.entry import Entry

REAL = "real"
"""The truth of an image that no generator made."""

Layout = Callable[[Entry], str | None]


def folder(entry: Entry) -> str | None:
    """The name of the folder that an image lies in is its maker's."""
    names = _names(entry)
    return names[-2] if len(names) > 1 else None


def aedr(entry: Entry) -> str | None:
    """AEDR: ``Imgs/<Model>/*.png``."""
    return _after(entry, "imgs")


def truefake(entry: Entry) -> str | None:
    """TrueFake: ``<network>/{Real,Fake}/<Model>/...``, where a model may be an archive.

    Copies from social networks are their model's. The folder PreSocial has the originals.
    """
    names = [name.lower() for name in _names(entry)[:-1]]
    if "real" in names:
        return REAL
    return _after(entry, "fake")


def cospy(entry: Entry) -> str | None:
    """Co-Spy-Bench: ``synthetic/<source>/<org@model>/*.png``; all else is real."""
    names = _names(entry)
    lower = [name.lower() for name in names]
    if "synthetic" not in lower:
        return REAL
    at = lower.index("synthetic")
    return names[at + 2].replace("@", "/") if len(names) > at + 3 else None


def genimage(entry: Entry) -> str | None:
    """GenImage: ``<Generator>/.../{train,val}/{ai,nature}/*``."""
    names = _names(entry)
    for at in range(len(names) - 2, 1, -1):
        if names[at] in ("ai", "nature") and names[at - 1] in ("train", "val"):
            return REAL if names[at] == "nature" else _generator_above(names[: at - 1])
    return None


def community_forensics(entry: Entry) -> str | None:
    """Community Forensics (Parquet): ``label`` 0 is real; else ``model_name``."""
    if _said(entry, "label") == "0":
        return REAL
    return _said(entry, "model_name")


def openfake(entry: Entry) -> str | None:
    """OpenFake (Parquet): ``label`` "real", or the name of the ``model``."""
    if (_said(entry, "label") or "").lower() == REAL:
        return REAL
    return _said(entry, "model")


def dragon(entry: Entry) -> str | None:
    """DRAGON (WebDataset): the ``model`` in a sample's JSON, under one of the names it may have."""
    said = entry.about.get("json")
    found: dict[str, Any] = said if isinstance(said, dict) else {}
    names = ("model", "model_name", "generator", "source")
    maker = next((found[name] for name in names if found.get(name)), entry.about.get("cls"))
    return None if maker is None else str(maker)


LAYOUTS: dict[str, Layout] = {
    "aedr": aedr,
    "community_forensics": community_forensics,
    "cospy": cospy,
    "dragon": dragon,
    "folder": folder,
    "genimage": genimage,
    "openfake": openfake,
    "truefake": truefake,
}


def find_layout(name: str) -> Layout:
    """The layout of a name in `LAYOUTS`, or a function of one's own, "package.module:function".

    Raises:
      ValueError: There is none.
    """
    if name in LAYOUTS:
        return LAYOUTS[name]
    module, colon, function = name.partition(":")
    if not colon:
        known = ", ".join(LAYOUTS)
        raise ValueError(
            f"no layout {name!r}{suggestion(name, tuple(LAYOUTS))}: one of {known}, or "
            "package.module:function"
        )
    try:
        found: Layout = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"layout {name!r} cannot be loaded ({error})") from None
    return found


def _names(entry: Entry) -> list[str]:
    return [name for name in entry.key.split("/") if name]


def _after(entry: Entry, folder_name: str) -> str | None:
    """The name under a folder, without an archive's suffix; None where it is the image itself."""
    names = _names(entry)
    for at, name in enumerate(names[:-2]):
        if name.lower() == folder_name:
            return _without_suffix(names[at + 1])
    return None


def _generator_above(names: list[str]) -> str | None:
    """GenImage's generator: the folder above the archive's own, such as imagenet_ai_0419."""
    makers = [_without_suffix(n) for n in names if not n.lower().startswith("imagenet")]
    return makers[-1] if makers else None


def _without_suffix(name: str) -> str:
    return re.sub(r"\.(zip|tgz|tar(\.\w+)?)$", "", name, flags=re.IGNORECASE)


def _said(entry: Entry, column: str) -> str | None:
    value = entry.about.get(column)
    return None if value is None else str(value)
