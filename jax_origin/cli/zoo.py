"""Lists the zoo's generators, and gets those that a wheel leaves out."""

import pathlib

from absl import flags

from jax_origin.cli.command import CommandError
from jax_origin.zoo import (
    absent_names,
    all_names,
    fetch_member,
    fetched_folder,
    manifest,
    member_folder,
)


def main(given: flags.FlagValues) -> int:
    """Lists or gets; returns the exit code, 0."""
    if given.action == "list":
        if given.name or given.all:
            raise CommandError("zoo list takes no names: it lists all generators")
        print("\n".join(_lines()))
        return 0
    names = list(dict.fromkeys([*given.name, *(absent_names() if given.all else ())]))
    if not names and not given.all:
        raise CommandError("name generators: jax-origin zoo get NAME, or --all")
    for name in names:
        folder = fetch_member(name, source=given["from"].value)
        print(f"{name}: {_megabytes(_size(folder))} in {folder}")
    if not names:
        print("all generators are on this machine")
    return 0


def _lines() -> list[str]:
    names = all_names()
    width = max(map(len, names))
    lines = []
    for name in names:
        folder = member_folder(name)
        if folder is None:
            size = sum(entry.size for entry in manifest()[name].values())
            where = f"not here: jax-origin zoo get {name}"
        else:
            fetched = folder.parent == fetched_folder()
            size, where = _size(folder), str(folder) if fetched else "in the package"
        lines.append(f"{name:<{width}}  {_megabytes(size):>7}  {where}")
    return lines


def _size(folder: pathlib.Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
