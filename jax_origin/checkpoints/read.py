"""Opens checkpoints of every format; a file's content decides which format it is."""

import os
from collections.abc import Sequence

from jax_origin.checkpoints import hub
from jax_origin.checkpoints.arrays import LazyArray, LazyArrays
from jax_origin.checkpoints.diffusers_folder import PARTS, read_folder
from jax_origin.checkpoints.file_part import FilePart, open_file
from jax_origin.checkpoints.npz import is_npz, read_npz
from jax_origin.checkpoints.pickled import Budget, load_pickle
from jax_origin.checkpoints.safetensors import looks_like_safetensors, open_safetensors
from jax_origin.checkpoints.torch_file import (
    LEGACY_HEAD,
    Globals,
    is_torch_zip,
    read_torch_legacy,
    read_torch_zip,
)
from jax_origin.checkpoints.tree import Checkpoint, checkpoint_of, select
from jax_origin.checkpoints.zip_members import zip_members

_NOT_WEIGHTS = {
    b"version https://git-lfs": "a pointer of Git LFS; `git lfs pull` fetches the file itself",
    b"<!doctype html": "a web page, not a checkpoint; look at how it was downloaded",
    b"<html": "a web page, not a checkpoint; look at how it was downloaded",
    b"\x89hdf\r\n": "HDF5 is not read; save the weights as safetensors",
    b"gguf": "GGUF is not read; take the safetensors",
}


def read_checkpoint(
    path: str | os.PathLike, *, root: str | None = None, parts: Sequence[str] = PARTS
) -> Checkpoint:
    """Opens a published checkpoint, without PyTorch and without running any code in it.

    The formats are: safetensors, alone or in shards with an index; both of torch.save's; network
    pickles of StyleGAN2-ADA, StyleGAN3 and EDM; NumPy's .npz; folders of diffusers' models and
    pipelines; and steps of Orbax as our training writes them.

    Args:
      path: A file, a folder, or an address on the Hugging Face hub: ``hf://org/name``,
        ``hf://org/name@revision``, ``hf://org/name/file``, ``hf://org/name/folder``.
      root: Read only the arrays under this name (``"g_ema"``, ``"D"``, a pipeline's part), and
        drop it from their names. The default is all arrays, with three exceptions: ``G_ema`` or
        ``ema`` of a network pickle, the first of `parts` of a pipeline, and the model of a training
        checkpoint that holds just one.
      parts: The parts of a pipeline that are looked for.

    Returns:
      The arrays by name, each read when asked for; what the checkpoint says of the architecture
      (init kwargs, config.json, plain values beside the tensors); and `path`.

    Raises:
      CheckpointError: If the checkpoint is missing, damaged, of no format above, or holds anything
        but plain values and tensors. A look-up in `arrays` raises it if the file has changed.
    """
    source = os.fspath(path)
    if source.startswith(hub.PREFIX):
        found = hub.fetch(source, root=root, parts=parts)
        return read_checkpoint(found, root=root, parts=parts)._replace(source=source)
    if not os.path.isdir(source):
        return _read_file(open_file(source), root)
    # Imported here: tensorstore is needed for these alone.
    from jax_origin.checkpoints.orbax import orbax_folder, read_orbax

    step = orbax_folder(source)
    if step is None:
        return read_folder(source, _open_weights, root=root, parts=parts)
    return Checkpoint(select(read_orbax(step), root, source=source), None, source)


def _read_file(file: FilePart, root: str | None) -> Checkpoint:
    head = file.head(512)
    for start, reason in _NOT_WEIGHTS.items():
        if head.lower().startswith(start):
            raise file.error(reason)
    if looks_like_safetensors(head) or file.path.endswith(".safetensors"):
        arrays, metadata = open_safetensors(file)
        metadata.pop("format", None)
        return Checkpoint(select(arrays, root, source=file.path), metadata or None, file.path)
    members = zip_members(file) if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) else None
    if members is not None and is_npz(members):
        arrays = select(read_npz(file, members), root, source=file.path)
        return Checkpoint(arrays, None, file.path)
    if head.lstrip().startswith(b"{"):
        arrays = select(_read_sharded(file), root, source=file.path)
        return Checkpoint(arrays, None, file.path)
    budget = Budget(file)
    find = Globals(budget)
    if members is not None:
        if not is_torch_zip(members):
            raise file.error("a zip archive that neither torch.save nor NumPy wrote")
        tree = read_torch_zip(file, members, find, budget)
    elif head.startswith(LEGACY_HEAD):
        tree = read_torch_legacy(file, find, budget)
    elif head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        tree, _ = load_pickle(file, 0, find, budget)
    else:
        raise file.error("a file of no format that is read: safetensors, torch.save, pickle, npz")
    return checkpoint_of(tree, budget, root=root, source=file.path)


def _open_weights(file: FilePart) -> LazyArrays:
    return _read_file(file, None).arrays


def _open_shard(file: FilePart) -> LazyArrays:
    if file.head(512).lstrip().startswith(b"{"):
        raise file.error("refused: an index where weights should be")
    return _open_weights(file)


def _read_sharded(index: FilePart) -> LazyArrays:
    """Reads the arrays that an index lists; their files must lie beside it."""
    shards = index.json().get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise index.error("no index of weights: it has no 'weight_map'")
    opened: dict[str, LazyArrays] = {}
    entries: dict[str, LazyArray] = {}
    for name, shard in shards.items():
        if not isinstance(shard, str) or not _is_plain_name(shard):
            raise index.error(f"refused {shard!a:.100}: no name of a file beside it")
        if shard not in opened:
            opened[shard] = _open_shard(open_file(os.path.join(os.path.dirname(index.path), shard)))
        if name not in opened[shard]:
            raise index.error(f"{name!r:.100} is not in {shard}")
        entries[name] = opened[shard].entries[name]
    return LazyArrays(entries)


def _is_plain_name(name: str) -> bool:
    return name.isprintable() and name not in ("", ".", "..") and not set(name) & set("/\\:")
