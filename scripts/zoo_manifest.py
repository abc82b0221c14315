"""Writes jax_origin/zoo/manifest.json anew: the hashes of the zoo's files that wheels leave out.

python scripts/zoo_manifest.py
python scripts/zoo_manifest.py --release=DIR

The latter also copies these files, as NAME-FILE, for a release. A wheel carries the generators that
package-data in pyproject.toml names.
"""

import json
import os
import pathlib
import shutil
import tomllib

from absl import app, flags

from jax_origin.cli.command import command
from jax_origin.files import atomic_write
from jax_origin.generators.files import CARD, hash_file

_ROOT = pathlib.Path(__file__).parent.parent
_ZOO = _ROOT / "jax_origin/zoo"
_RELEASE = flags.DEFINE_string("release", None, "Folder to copy the files into.")


def left_out() -> list[pathlib.Path]:
    """The directories of the generators that wheels leave out."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = project["tool"]["setuptools"]["package-data"]["jax_origin"]
    folders = [card.parent for card in sorted(_ZOO.glob(f"*/{CARD}"))]
    return [folder for folder in folders if f"zoo/{folder.name}/*" not in named]


def manifest() -> str:
    """The manifest, as JSON."""
    members = {
        folder.name: {
            path.name: {"sha256": hash_file(path), "size": path.stat().st_size}
            for path in sorted(folder.iterdir())
        }
        for folder in left_out()
    }
    return json.dumps(members, indent=1) + "\n"


def write_release(folder: str | os.PathLike[str]) -> int:
    """Copies the files into one folder, as NAME-FILE, and says how many there are."""
    files = [path for member in left_out() for path in sorted(member.iterdir())]
    os.makedirs(folder, exist_ok=True)
    for path in files:
        shutil.copyfile(path, pathlib.Path(folder) / f"{path.parent.name}-{path.name}")
    return len(files)


@command("zoo_manifest")
def main() -> None:
    """Writes the manifest and says whether it changed."""
    path = _ZOO / "manifest.json"
    before, text = path.read_text(encoding="ascii") if path.exists() else "", manifest()
    with atomic_write(path) as temporary:
        pathlib.Path(temporary).write_text(text, encoding="ascii")
    print(f"{path}: {'as it was' if text == before else 'rewritten'}")
    if _RELEASE.value:
        print(f"{_RELEASE.value}: {write_release(_RELEASE.value)} files")


if __name__ == "__main__":
    app.run(main)
