"""Gets members of the zoo that the package does not carry: from a release's files, or a folder."""

import hashlib
import http.client
import os
import pathlib
import urllib.error
import urllib.request
from collections.abc import Mapping
from importlib.metadata import version

from jax_origin.checkpoints import CheckpointError
from jax_origin.files import atomic_write
from jax_origin.generators.files import CARD, hash_file
from jax_origin.zoo.members import FileEntry, check_member, fetched_folder, manifest, member_folder

RELEASES: str | None = None
"""Address of the files of a release, with {version}, {name} and {file}; None: there is none yet."""

FROM = "JAX_ORIGIN_ZOO_FROM"
"""Environment variable that names where members come from, where nothing else does."""

_SECONDS = 60  # to wait for a server's next bytes
_SCHEMES = ("http://", "https://", "file://")


def fetch_member(name: str, *, source: str | None = None) -> pathlib.Path:
    """Puts a member of the zoo into `fetched_folder`: whole, and as this version has it, or not.

    Args:
      name: The generator's name.
      source: A folder, or an ``https://`` address, under which its files are NAME/FILE, as in a
        checkout's jax_origin/zoo; or a folder with the files of a release, which are NAME-FILE; or
        with {name} and {file} in it. Without it JAX_ORIGIN_ZOO_FROM, else the project's releases.

    Returns:
      Its directory. If it is on this machine already, nothing is fetched.

    Raises:
      CheckpointError: If the zoo has none of this name, there is no source, or a file is not there
        or not the one that the manifest has.
      OSError: If the folder cannot be written.
    """
    check_member(name)
    here, files, target = member_folder(name), manifest().get(name, {}), fetched_folder() / name
    if here is not None and (here != target or _as_listed(here, files)):
        return here
    pattern, read = _pattern(source, name), {}
    for file, entry in files.items():
        where = pattern.replace("{name}", name).replace("{file}", file)
        read[file] = _read(where, entry.size)
        if hashlib.sha256(read[file]).hexdigest() != entry.sha256:
            raise CheckpointError(
                f"{where}: not the file of this version of jax_origin (SHA-256); take those of "
                "its own release"
            )
    for file in sorted(files, key=CARD.__eq__):  # The card last: by it a member is found.
        with atomic_write(target / file) as temporary:
            pathlib.Path(temporary).write_bytes(read[file])
    return target


def _as_listed(folder: pathlib.Path, files: Mapping[str, FileEntry]) -> bool:
    return all(hash_file(folder / file) == entry.sha256 for file, entry in files.items())


def _pattern(source: str | None, name: str) -> str:
    """Where a member's files are, with {name} and {file}."""
    if not (pattern := source or os.environ.get(FROM) or RELEASES):
        raise CheckpointError(
            "the project has no public address yet: say --from=FOLDER or --from=URL, such as the "
            "jax_origin/zoo of a checkout"
        )
    if "{version}" in pattern:
        pattern = pattern.replace("{version}", version("jax_origin"))
    if "{file}" not in pattern:
        folder = pattern.rstrip("/")
        of_release = os.path.isfile(os.path.expanduser(f"{folder}/{name}-{CARD}"))
        pattern = f"{folder}/{{name}}{'-' if of_release else '/'}{{file}}"
    return pattern


def _read(where: str, size: int) -> bytes:
    """A file's bytes, of a path or an address; one more than `size` if it is larger."""
    remote = where.startswith(_SCHEMES)
    if "://" in where and not remote:
        raise CheckpointError(f"{where}: a folder, https://, http:// or file:// is meant")
    try:
        if not remote:
            with open(os.path.expanduser(where), "rb") as file:
                return file.read(size + 1)
        with urllib.request.urlopen(where, timeout=_SECONDS) as response:
            data: bytes = response.read(size + 1)
            return data
    except urllib.error.HTTPError as error:
        reason = f"{error.code} {error.reason}"
    except urllib.error.URLError as error:
        reason = str(error.reason)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
    raise CheckpointError(
        f"{where}: cannot be read ({' '.join(reason.split())}); without a network, give a folder "
        "that has the files (--from=FOLDER)"
    )
