"""Checkpoints on the Hugging Face hub: taken from the local cache, else downloaded."""

import os
import re
from collections.abc import Collection, Sequence

from jax_origin.checkpoints.diffusers_folder import PARTS, files_of, pipeline_part, weight_file
from jax_origin.checkpoints.rename import CheckpointError

PREFIX = "hf://"
"""How an address on the hub begins; anything else is a local path."""

_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w.-]+))?(?:/(.+))?")


def fetch(address: str, *, root: str | None, parts: Sequence[str] = PARTS) -> str:
    """The path, in the hub's cache, of a repository or of one of its files or folders.

    It downloads only what will be read. That is the file; or of a folder (the repository itself is
    one) configs, and the weights of one part of a pipeline: `root`, or the first of `parts`.

    Raises:
      CheckpointError: If the address is malformed, or its files are neither cached nor available.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or ".." in address.split("/"):
        raise CheckpointError(f"{address}: write it as hf://org/name[@revision][/file or folder]")
    repository, revision, within = match.groups()
    within = (within or "").strip("/")
    if within and (cached := _cached(repository, within, revision)):
        return cached
    folder = f"{within}/" if within else ""
    for name in ("model_index.json", "config.json"):
        cached = _cached(repository, f"{folder}{name}", revision)
        if cached and _is_whole(os.path.dirname(cached), root, parts):
            return os.path.dirname(cached)
    # Imported here: it takes a third of a second, and most checkpoints are local files.
    import huggingface_hub

    try:
        names = huggingface_hub.HfApi().list_repo_files(repository, revision=revision)
        inside = [name.removeprefix(folder) for name in names if name.startswith(folder)]
        if within and not inside:
            return huggingface_hub.hf_hub_download(repository, within, revision=revision)
        wanted = [f"{folder}{name}" for name in needed(inside, root, parts)]
        whole = huggingface_hub.snapshot_download(
            repository, revision=revision, allow_patterns=wanted
        )
        return os.path.join(whole, within) if within else whole
    except Exception as error:  # The client, and what it connects with, have no one exception.
        lines = str(error).strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {lines[0]:.200}".rstrip(": ")
        raise CheckpointError(
            f"{address}: not in the local cache, and the hub did not provide it ({reason}); "
            f"with a network, `hf download {repository}` puts it into the cache"
        ) from None


def needed(names: Collection[str], root: str | None, parts: Sequence[str] = PARTS) -> list[str]:
    """The files of a repository to download: configs, and the weights that will be read."""
    configs = [name for name in names if name.endswith(".json") and name.count("/") < 2]
    weights = _weights(names, root, parts)
    if weights is None or weights.endswith(".json"):
        return [*configs, *_shards(names, weights or "")]
    return [*configs, weights]


def _is_whole(folder: str, root: str | None, parts: Sequence[str]) -> bool:
    names = files_of(folder)
    weights = _weights(names, root, parts)
    if weights is None or not weights.endswith(".json"):
        return weights is not None
    shards = _shards(names, weights)
    return bool(shards) and len(shards) == int(re.split(r"-of-|\.", shards[0])[-2])


def _weights(names: Collection[str], root: str | None, parts: Sequence[str]) -> str | None:
    part = pipeline_part(names, root, parts)
    return weight_file(names) or (weight_file(names, part) if part else None)


def _shards(names: Collection[str], index: str) -> list[str]:
    # Of unet/model.safetensors.index.json: unet/model-00001-of-00002.safetensors.
    stem = re.escape(index.partition(".")[0])
    form = re.compile(rf"{stem}(\.fp16)?-\d+-of-\d+\.(safetensors|bin)")
    return [name for name in names if index and form.fullmatch(name)]


def _cached(repository: str, name: str, revision: str | None) -> str | None:
    import huggingface_hub

    try:
        path = huggingface_hub.try_to_load_from_cache(repository, name, revision=revision)
    except ValueError as error:
        raise CheckpointError(f"{PREFIX}{repository}: {str(error).splitlines()[0]}") from None
    return path if isinstance(path, str) else None
