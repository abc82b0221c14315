"""Files that torch.save wrote before PyTorch 0.1.11: tar archives of pickles and numbers."""

import struct
from typing import Any

from jax_origin.checkpoints.file_part import FilePart
from jax_origin.checkpoints.pickled import Budget, load_pickle
from jax_origin.checkpoints.plain_globals import PickledArray
from jax_origin.checkpoints.torch_file import Find
from jax_origin.checkpoints.torch_tensors import Block, Storage, storage_dtype, view

_MEMBERS = ("storages", "tensors", "pickle")
_BLOCK = 512


def is_tar(head: bytes) -> bool:
    """Whether a file that begins with these 512 bytes is a tar archive."""
    return head[257:262] == b"ustar"


def read_torch_tar(file: FilePart, find: Find, budget: Budget) -> Any:
    """Reads the value in such an archive.

    Raises:
      CheckpointError: If it is damaged, another tar archive, or names what is not known.
    """
    members = _members(file)
    if not set(_MEMBERS) <= set(members):
        raise file.error("a tar archive that torch.save did not write")
    storages = _storages(members["storages"], find, budget)
    tensors = _tensors(members["tensors"], storages, find, budget)

    def persistent(identifier: Any) -> Any:
        if isinstance(identifier, tuple):
            return identifier[0]  # A class, and its source, which is not looked at.
        key = int(identifier) if type(identifier) is str else identifier
        return tensors[key] if key in tensors else storages[key]

    tree, _ = load_pickle(members["pickle"], 0, find, budget, persistent=persistent)
    return tree


def _storages(file: FilePart, find: Find, budget: Budget) -> dict[int, Storage]:
    count, at = load_pickle(file, 0, find, budget)
    storages: dict[int, Storage] = {}
    for _ in range(_count(file, count)):
        entry, at = load_pickle(file, at, find, budget)
        key, _, kind = _fields(file, entry, 3)
        try:
            dtype = storage_dtype(kind)
        except ValueError as error:
            raise file.error(f"refused: {error}") from None
        (length,) = struct.unpack("<q", file.read(at, 8))
        where = file.part(at + 8, length * dtype.itemsize)
        storages[_key(file, key)] = Storage(Block(where.size, where), dtype, 0, length)
        at += 8 + where.size
    views, _ = load_pickle(file, at, find, budget)
    for entry in views if isinstance(views, list) else ():
        key, root, start, length = _fields(file, entry, 4)
        whole = storages.get(_key(file, root))
        if whole is None or min(_key(file, start), _key(file, length)) < 0:
            raise file.error("damaged: a part of a storage that is not there")
        if start + length > whole.length:
            raise file.error("damaged: a part of a storage that reaches past it")
        part = whole._replace(start=start * whole.dtype.itemsize, length=length)
        storages[_key(file, key)] = part
    return storages


def _tensors(
    file: FilePart, storages: dict[int, Storage], find: Find, budget: Budget
) -> dict[int, PickledArray]:
    count, at = load_pickle(file, 0, find, budget)
    tensors: dict[int, PickledArray] = {}
    for _ in range(_count(file, count)):
        entry, at = load_pickle(file, at, find, budget)
        key, storage, _ = _fields(file, entry, 3)
        (rank,) = struct.unpack("<i", file.read(at, 4))
        if not 0 <= rank <= 32:
            raise file.error(f"damaged: a tensor of {rank} dimensions")
        numbers = struct.unpack(f"<{2 * rank + 1}q", file.read(at + 8, 8 * (2 * rank + 1)))
        at += 8 + 8 * (2 * rank + 1)
        size, stride, offset = numbers[:rank], numbers[rank:-1], numbers[-1]
        try:
            tensors[_key(file, key)] = view(storages.get(_key(file, storage)), offset, size, stride)
        except ValueError as error:
            raise file.error(f"damaged: {error}") from None
    return tensors


def _count(file: FilePart, value: Any) -> int:
    # Each takes more bytes than this, so the file's size bounds the count.
    if type(value) is not int or not 0 <= value <= file.size // 8:
        raise file.error("damaged: a count that is none")
    return value


def _key(file: FilePart, value: Any) -> int:
    if type(value) is not int:
        raise file.error("damaged: a key that is no number")
    return value


def _fields(file: FilePart, entry: Any, count: int) -> tuple:
    if not isinstance(entry, tuple) or len(entry) != count:
        raise file.error(f"damaged: an entry that has not {count} fields")
    return entry


def _members(file: FilePart) -> dict[str, FilePart]:
    members: dict[str, FilePart] = {}
    at = 0
    # A file of PyTorch's has four members, each behind at most one header of its times.
    for _ in range(16):
        header = file.read(at, _BLOCK) if at + _BLOCK <= file.size else b"\0"
        if not header.strip(b"\0"):
            break
        try:
            size = int(header[124:136].strip(b"\0 ") or b"0", 8)
        except ValueError:
            raise file.error("damaged tar archive (a size that is none)") from None
        data = file.part(at + _BLOCK, size)
        if header[156:157] in (b"0", b"\0"):
            members[header[:100].rstrip(b"\0").decode("latin-1").removeprefix("./")] = data
        at += _BLOCK + -(-size // _BLOCK) * _BLOCK
    return members
