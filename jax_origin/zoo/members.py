"""Which generators the zoo has, and where each lies: in the package, or in a folder beside it.

A wheel carries those that the first commands need. manifest.json, made by scripts/zoo_manifest.py,
has the hashes of the others' files; `jax_origin.zoo.fetch` gets them.
"""

import functools
import json
import os
import pathlib
from typing import NamedTuple

from jax_origin.checkpoints import CheckpointError
from jax_origin.generators.files import CARD, hash_file
from jax_origin.parts import suggestion

ZOO = pathlib.Path(__file__).parent
"""The package's folder, with a directory for each generator that it carries; a checkout has all."""

FOLDER = "JAX_ORIGIN_ZOO"
"""Environment variable that names another `fetched_folder`."""

_MANIFEST = pathlib.Path(__file__).with_name("manifest.json")


class FileEntry(NamedTuple):
    """A file of a member, as the manifest has it.

    Attributes:
      sha256: 64 hexadecimal digits.
      size: Bytes.
    """

    sha256: str
    size: int


@functools.cache
def manifest() -> dict[str, dict[str, FileEntry]]:
    """The files of each member that wheels leave out."""
    members = json.loads(_MANIFEST.read_text(encoding="ascii"))
    return {
        member: {name: FileEntry(**entry) for name, entry in files.items()}
        for member, files in members.items()
    }


def fetched_folder() -> pathlib.Path:
    """Where members lie that are not in the package: ``~/.cache/jax_origin/zoo``, if not changed.

    JAX_ORIGIN_ZOO names another folder, XDG_CACHE_HOME another place of caches.
    """
    if folder := os.environ.get(FOLDER):
        return pathlib.Path(folder).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(caches).expanduser() / "jax_origin" / "zoo"


def member_folder(name: str) -> pathlib.Path | None:
    """The directory of a generator of the zoo; None if it is not on this machine.

    In `fetched_folder` it must be of this version: its card is compared with the manifest, and the
    sizes of its files. The card has the hash of its weights, which loading compares.
    """
    if name in _carried():
        return ZOO / name
    if (files := manifest().get(name)) is None:
        return None
    folder = fetched_folder() / name
    try:
        if hash_file(folder / CARD) != files[CARD].sha256:
            return None
        sizes = {file: (folder / file).stat().st_size for file in files}
    except OSError:
        return None
    return folder if all(files[file].size == size for file, size in sizes.items()) else None


def zoo_names(*, calibrated: str | None = None) -> list[str]:
    """The zoo's generators that are on this machine, sorted.

    Args:
      calibrated: If given, only generators with a calibration of the zoo's for this method.
    """
    beside = CARD if calibrated is None else calibration_file(calibrated)
    return [
        name
        for name in all_names()
        if (folder := member_folder(name)) is not None and (folder / beside).exists()
    ]


def standard_names() -> list[str]:
    """The zoo's generators that calibrations know, and demonstrations try; the others are held out.

    Those with a shipped calibration for "origin", or as autoencoders for "origin-latent".
    """
    return sorted(
        name for method in ("origin", "origin-latent") for name in zoo_names(calibrated=method)
    )


def all_names() -> list[str]:
    """All of the zoo's generators, on this machine or not, sorted."""
    return sorted({*_carried(), *manifest()})


def absent_names() -> list[str]:
    """The zoo's generators that are not on this machine, sorted."""
    return sorted(name for name in manifest() if member_folder(name) is None)


def calibration_path(name: str, method: str = "origin") -> pathlib.Path:
    """Path of the zoo's calibration of a generator for a method.

    Raises:
      CheckpointError: If there is none, or it is not on this machine.
    """
    file = calibration_file(method)
    folder = member_folder(name)
    if folder is None and file in manifest().get(name, ()):
        raise CheckpointError(not_here(name))
    if folder is None or not (folder / file).exists():
        raise CheckpointError(
            f"the zoo ships no calibration of method {method!r} for {name!r}: make one "
            "(jax-origin calibrate) and pass it (--calibration)"
        )
    return folder / file


def calibration_file(method: str) -> str:
    """The name of the file, in a member's directory, of its calibration for a method."""
    return f"calibration-{method}.json"


def not_here(name: str) -> str:
    """Says that a member is not on this machine, and how to get it."""
    return f"{name}: of the zoo, but not on this machine; get it: jax-origin zoo get {name}"


def check_member(name: str) -> None:
    """Raises CheckpointError unless the zoo has such a generator, here or elsewhere."""
    known = all_names()
    if name not in known:
        near = suggestion(name, known)
        raise CheckpointError(f"the zoo has no {name!r}{near}; it has {', '.join(known)}")


def _carried() -> set[str]:
    return {card.parent.name for card in ZOO.glob(f"*/{CARD}")}
