"""Weights in several files, with a JSON index that says which file holds each array."""

import json
import os
from collections.abc import Callable
from typing import Any

from jax_origin.checkpoints.arrays import LazyArray, LazyArrays
from jax_origin.checkpoints.file_part import FilePart, open_file

_MOST_JSON = 16 << 20  # bytes


def read_json(file: FilePart) -> dict[str, Any]:
    """Reads a mapping in JSON.

    Raises:
      CheckpointError: If it is not a mapping, or larger than 16 MiB.
    """
    if file.size > _MOST_JSON:
        raise file.error(f"refused: {file.size} bytes of JSON")
    try:
        mapping = json.loads(file.read())
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise file.error(f"not JSON ({reason})") from None
    if not isinstance(mapping, dict):
        raise file.error("no mapping in JSON")
    return mapping


def read_sharded(index: FilePart, open_shard: Callable[[FilePart], LazyArrays]) -> LazyArrays:
    """Reads the arrays that an index lists; their files must lie beside it.

    Args:
      index: A file such as ``model.safetensors.index.json``.
      open_shard: Opens one of the other files.

    Raises:
      CheckpointError: If it is not such an index, names a file elsewhere, or a file or array is
        missing.
    """
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise index.error("no index of weights: it has no 'weight_map'")
    opened: dict[str, LazyArrays] = {}
    entries: dict[str, LazyArray] = {}
    for name, shard in shards.items():
        if not isinstance(shard, str) or not _is_plain_name(shard):
            raise index.error(f"refused {shard!a:.100}: no name of a file beside it")
        if shard not in opened:
            opened[shard] = open_shard(open_file(os.path.join(os.path.dirname(index.path), shard)))
        if name not in opened[shard]:
            raise index.error(f"{name!r:.100} is not in {shard}")
        entries[name] = opened[shard].entries[name]
    return LazyArrays(entries)


def _is_plain_name(name: str) -> bool:
    return name.isprintable() and name not in ("", ".", "..") and not set(name) & set("/\\:")
