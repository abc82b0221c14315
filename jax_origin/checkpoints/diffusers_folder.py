"""Folders as diffusers saves them: a model, or a pipeline with a folder for each of its parts."""

import os
from collections.abc import Callable, Collection
from typing import Any

from jax_origin.checkpoints.arrays import LazyArrays
from jax_origin.checkpoints.file_part import FilePart, open_file
from jax_origin.checkpoints.rename import CheckpointError
from jax_origin.checkpoints.sharded import read_json
from jax_origin.checkpoints.tree import Checkpoint, select

# In the order in which they are taken: whole before rounded, safe before pickled.
_SUFFIXES = (
    *(".safetensors", ".safetensors.index.json"),
    *(".bin", ".bin.index.json"),
    *(".fp16.safetensors", ".safetensors.index.fp16.json", ".fp16.bin"),
)
_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_CONFIGS = ("config.json", "scheduler_config.json", "preprocessor_config.json")
_PARTS = ("unet", "transformer")


def read_folder(
    folder: str, open_weights: Callable[[FilePart], LazyArrays], *, root: str | None
) -> Checkpoint:
    """Reads a folder that a model or a pipeline of diffusers was saved to.

    Args:
      folder: With a model's weights and config.json; or with folders of such (unet, vae,
        scheduler, ...).
      open_weights: Gives the arrays of a file of weights, or of an index of several.
      root: Of a pipeline, whose weights to read: by default those of `unet` or `transformer`, or
        of the only part that has weights. Of a model, the arrays under this name alone.

    Returns:
      The arrays; and as config a model's config.json, or the config of every part of a pipeline
      by the part's name; also of one whose model lies beside the folders of its other parts, or
      beside scheduler_config.json.

    Raises:
      CheckpointError: If there are no weights, or a file is not what it should be.
    """
    names = files_of(folder)
    weights = weight_file(names)
    if weights is not None:
        arrays = select(_open(folder, weights, open_weights), root, source=folder)
        return Checkpoint(arrays, _config_of_model(folder, names), folder)
    part = pipeline_part(names, root)
    if part is None:
        parts = ", ".join(sorted(_parts(names)))
        reason = f"which of its parts? root is one of {parts}" if parts else "no weights in it"
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
    """The files of a folder and of the folders in it, by their names with slashes.

    Raises:
      CheckpointError: If it cannot be listed.
    """
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
    """Which of these files, if any, holds the weights of a model or of a part of a pipeline."""
    for suffix in _SUFFIXES:
        for stem in _STEMS:
            if (name := f"{part}/{stem}{suffix}".removeprefix("/")) in names:
                return name
    return None


def pipeline_part(names: Collection[str], root: str | None) -> str | None:
    """Which part's weights to read: `root`, a usual one, or the only one."""
    parts = _parts(names)
    if root is not None:
        return root if root in parts else None
    usual = [part for part in _PARTS if part in parts]
    return usual[0] if usual else next(iter(parts)) if len(parts) == 1 else None


def _parts(names: Collection[str]) -> set[str]:
    folders = {name.partition("/")[0] for name in names if "/" in name}
    return {folder for folder in folders if weight_file(names, folder)}


def _open(folder: str, name: str, open_weights: Callable[[FilePart], LazyArrays]) -> LazyArrays:
    return open_weights(open_file(os.path.join(folder, *name.split("/"))))


def _config_of_model(folder: str, names: Collection[str]) -> dict[str, Any] | None:
    """The config of the model in a folder; with its scheduler's, where there is one."""
    model = _config(folder, names, "")
    for name in ("scheduler_config.json", "scheduler/scheduler_config.json"):
        if name in names and "config.json" in names:
            scheduler = read_json(open_file(os.path.join(folder, *name.split("/"))))
            return {"unet": model, "scheduler": scheduler}
    return model


def _config(folder: str, names: Collection[str], part: str) -> dict[str, Any] | None:
    for name in _CONFIGS:
        if (inside := f"{part}/{name}".removeprefix("/")) in names:
            return read_json(open_file(os.path.join(folder, *inside.split("/"))))
    return None
