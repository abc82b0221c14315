"""Folders that diffusers saved: a model, or a pipeline with a folder for each part."""

import os
from collections.abc import Callable, Collection, Sequence
from typing import Any

from jax_origin.checkpoints.arrays import LazyArrays
from jax_origin.checkpoints.file_part import FilePart, open_file
from jax_origin.checkpoints.rename import CheckpointError
from jax_origin.checkpoints.tree import Checkpoint, select

# In the order in which they are taken: whole before rounded, safe before pickled.
_SUFFIXES = (
    *(".safetensors", ".safetensors.index.json"),
    *(".bin", ".bin.index.json"),
    *(".fp16.safetensors", ".safetensors.index.fp16.json", ".fp16.bin"),
)
_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_CONFIGS = ("config.json", "scheduler_config.json", "preprocessor_config.json")
PARTS = ("unet", "transformer")
"""The parts of a pipeline, in the order in which they are looked for."""


def read_folder(
    folder: str,
    open_weights: Callable[[FilePart], LazyArrays],
    *,
    root: str | None,
    parts: Sequence[str] = PARTS,
) -> Checkpoint:
    """Reads a folder that diffusers saved: a model, or a pipeline of folders like it.

    The config is a model's config.json, or the config of each part by its name. A model beside its
    scheduler's config counts as a pipeline.

    Args:
      folder: The folder.
      open_weights: Opens a file of weights, or an index of several.
      root: In a pipeline, the part to read; by default the first of `parts`, or the only part with
        weights. In a model, the name under which arrays are read.
      parts: The parts of a pipeline that are looked for.

    Raises:
      CheckpointError: If there are no weights, or a file is not what it should be.
    """
    names = files_of(folder)
    weights = weight_file(names)
    if weights is not None:
        arrays = select(_open(folder, weights, open_weights), root, source=folder)
        return Checkpoint(arrays, _config_of_model(folder, names), folder)
    part = pipeline_part(names, root, parts)
    if part is None:
        found = ", ".join(sorted(_parts(names)))
        reason = f"which of its parts? root is one of {found}" if found else "no weights in it"
        raise CheckpointError(f"{folder}: {reason}")
    weights = weight_file(names, part)
    if weights is None:
        raise CheckpointError(f"{folder}: no weights in {part}")
    arrays = _open(folder, weights, open_weights)
    configs = {
        name: config
        for name in sorted({name.partition("/")[0] for name in names if "/" in name})
        if (config := _config(folder, names, name)) is not None
    }
    return Checkpoint(arrays, configs or None, folder)


def files_of(folder: str) -> set[str]:
    """The names of the files in a folder and one level below, with slashes."""
    names = set()
    for entry in os.scandir(folder):
        if entry.is_dir():
            names |= {
                f"{entry.name}/{inner.name}" for inner in os.scandir(entry) if inner.is_file()
            }
        else:
            names.add(entry.name)
    return names


def weight_file(names: Collection[str], part: str = "") -> str | None:
    """The file that holds the weights of a model or of a pipeline's part; None without one."""
    for suffix in _SUFFIXES:
        for stem in _STEMS:
            if (name := f"{part}/{stem}{suffix}".removeprefix("/")) in names:
                return name
    return None


def pipeline_part(
    names: Collection[str], root: str | None, wanted: Sequence[str] = PARTS
) -> str | None:
    """The part whose weights to read: `root`, else the first wanted, else the only one."""
    parts = _parts(names)
    if root is not None:
        return root if root in parts else None
    usual = [part for part in wanted if part in parts]
    return usual[0] if usual else next(iter(parts)) if len(parts) == 1 else None


def _parts(names: Collection[str]) -> set[str]:
    folders = {name.partition("/")[0] for name in names if "/" in name}
    return {folder for folder in folders if weight_file(names, folder)}


def _open(folder: str, name: str, open_weights: Callable[[FilePart], LazyArrays]) -> LazyArrays:
    return open_weights(open_file(os.path.join(folder, *name.split("/"))))


def _config_of_model(folder: str, names: Collection[str]) -> dict[str, Any] | None:
    """The config of the model in a folder, with its scheduler's if there is one."""
    model = _config(folder, names, "")
    for name in ("scheduler_config.json", "scheduler/scheduler_config.json"):
        if name in names and "config.json" in names:
            return {"unet": model, "scheduler": _read_config(folder, name)}
    return model


def _config(folder: str, names: Collection[str], part: str) -> dict[str, Any] | None:
    for name in _CONFIGS:
        if (inside := f"{part}/{name}".removeprefix("/")) in names:
            return _read_config(folder, inside)
    return None


def _read_config(folder: str, name: str) -> dict[str, Any]:
    """Reads one of `_CONFIGS`: through diffusers' own reader, if it is there and wrote the file."""
    path = os.path.join(folder, *name.split("/"))
    config = open_file(path).json()  # Refuses what is too large or no mapping.
    if "_class_name" not in config:
        return config
    try:
        # Imported here: it takes seconds, and few checkpoints are such folders.
        from diffusers.configuration_utils import ConfigMixin
    except Exception:  # It is not there, or something that it imports is broken.
        return config
    reader: Any = type("ConfigReader", (ConfigMixin,), {"config_name": os.path.basename(name)})
    try:
        return dict(reader.load_config(os.path.dirname(path) or ".", local_files_only=True))
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines() or [""]
        raise CheckpointError(f"{path}: diffusers cannot read it ({reason[0]:.200})") from None
