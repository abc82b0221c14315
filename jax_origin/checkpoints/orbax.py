"""Orbax steps in the layout that our training loop writes (OCDBT)."""

import math
import os
from typing import Any

import numpy as np
import tensorstore

from jax_origin.checkpoints.arrays import LazyArray, LazyArrays, is_shape
from jax_origin.checkpoints.file_part import open_file
from jax_origin.checkpoints.npz import check_growth
from jax_origin.checkpoints.rename import CheckpointError

_METADATA = "_METADATA"


def orbax_folder(path: str) -> str | None:
    """The folder that holds a step's arrays; None if `path` is not a step of Orbax."""
    for name in ("", "state", "default", "pytree"):
        if os.path.isfile(os.path.join(path, name, _METADATA)):
            return os.path.join(path, name)
    return None


def read_orbax(folder: str) -> LazyArrays:
    """Reads the list of a step's arrays; an array's name joins the keys that lead to it with dots.

    Raises:
      CheckpointError: If the step is damaged, or has another layout of Orbax.
    """
    file = open_file(os.path.join(folder, _METADATA))
    metadata = file.json()
    tree = metadata.get("tree_metadata")
    if not isinstance(tree, dict) or not metadata.get("use_ocdbt"):
        raise file.error("an Orbax checkpoint of another layout than OCDBT")
    entries: dict[str, LazyArray] = {}
    for leaf in tree.values():
        try:
            name = ".".join(str(key["key"]) for key in leaf["key_metadata"])
        except (KeyError, TypeError):
            raise file.error("damaged: an array without a name") from None
        driver = "zarr3" if metadata.get("use_zarr3") else "zarr"
        entries[name] = _entry(folder, name, driver)
    unpacked = sum(math.prod(entry.shape) * entry.dtype.itemsize for entry in entries.values())
    check_growth(file, unpacked, packed=_bytes_under(folder))
    return LazyArrays(entries)


def _entry(folder: str, name: str, driver: str) -> LazyArray:
    base = {"driver": "file", "path": f"{os.path.abspath(folder)}/"}
    store = {"driver": "ocdbt", "base": base, "path": f"{name}/"}
    array = _wait(folder, name, lambda: tensorstore.open({"driver": driver, "kvstore": store}))
    if not is_shape(array.shape) or array.dtype.numpy_dtype.kind == "O":
        raise CheckpointError(f"{folder}: {name!r} is no array of plain numbers")
    return LazyArray(
        tuple(array.shape),
        array.dtype.numpy_dtype,
        lambda: np.asarray(_wait(folder, name, lambda: array.read())),
    )


def _wait(folder: str, name: str, start: Any) -> Any:
    try:
        return start().result()
    except (ValueError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{folder}: {name!r:.100} cannot be read ({reason:.200})") from None


def _bytes_under(folder: str) -> int:
    files = (os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
    return sum(os.path.getsize(file) for file in files)
