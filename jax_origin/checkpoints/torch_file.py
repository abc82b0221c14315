"""Files of torch.save (the zip format, and the older series of pickles), and network pickles.

The latter are StyleGAN2-ADA's, StyleGAN3's, EDM's, and PyTorch modules. StyleGAN's classes
(`torch_utils/persistence.py` of NVlabs/stylegan2-ada-pytorch) are pickled with the source of the
module that defines them, which their own reader executes. This reader ignores the source: a module
is its `_parameters`, `_buffers`, `_modules` and the arguments that it was made with. Storages lie
inside as byte strings, each a complete torch.save file.
"""

import struct
from collections.abc import Callable
from typing import Any

from jax_origin.checkpoints.file_part import FilePart
from jax_origin.checkpoints.pickled import Budget, Known, load_pickle
from jax_origin.checkpoints.plain_globals import PLAIN
from jax_origin.checkpoints.torch_tensors import TENSORS, Block, Storage, storage_dtype
from jax_origin.checkpoints.tree import Module
from jax_origin.checkpoints.zip_members import Member, unpack

Find = Callable[[str], Known | None]
_PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
# Classes and functions that are named, and never called: a callback as a key, an activation.
_NAMED_ONLY = ("pytorch_lightning.", "lightning.", "torch.nn.functional.", "torch._C._nn.")

MAGIC = 0x1950A86A20F9469CFC6C
"""The number that the older format begins with, as a pickle of protocol 2."""
LEGACY_HEAD = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"."


def is_torch_zip(members: dict[str, Member]) -> bool:
    """Whether PyTorch wrote a zip archive with these members."""
    return any(name.endswith("/data.pkl") or name == "data.pkl" for name in members)


def read_torch_zip(file: FilePart, members: dict[str, Member], find: Find, budget: Budget) -> Any:
    """Reads the value in a zip archive of PyTorch; the tensors' numbers stay in the file."""
    pickles = [name for name in members if name.endswith("/data.pkl") or name == "data.pkl"]
    if len(pickles) != 1:
        raise file.error("refused: an archive of several data.pkl")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in members:
        raise file.error("refused: a TorchScript program; save its state_dict instead")
    order = _byte_order(file, members.get(f"{folder}byteorder"))
    blocks: dict[str, Block] = {}

    def storage(identifier: Any) -> Storage:
        tag, kind, key, _, length = identifier
        dtype = storage_dtype(kind)
        size = _storage_size(tag, length, dtype.itemsize)
        if not isinstance(key, str):
            raise ValueError("a storage's key that is none")
        if key not in blocks:
            member = members.get(f"{folder}data/{key}")
            if member is None:
                raise file.error(f"damaged: it has no storage {key!r:.40}")
            if member.deflated:
                raise file.error("refused: its tensors are packed; save it with torch.save")
            blocks[key] = Block(member.size, member.data)
            blocks[key].byte_order = order
        if size > blocks[key].size:
            raise ValueError(f"a storage of {size} bytes that has {blocks[key].size}")
        return Storage(blocks[key], dtype, 0, length)

    pickle = members[pickles[0]]
    if pickle.deflated:
        raise file.error("refused: its data.pkl is packed; save it with torch.save")
    tree, _ = load_pickle(pickle.data, 0, find, budget, persistent=storage)
    return tree


def read_torch_legacy(file: FilePart, find: Find, budget: Budget) -> Any:
    """Reads the value in a file of the format before PyTorch 1.6.

    It holds a series of pickles (magic number, protocol, facts of the machine, the value, the
    storages' keys), then for each storage the count of its numbers and the numbers.
    """
    blocks: dict[Any, Block] = {}
    widths: dict[Any, int] = {}

    def persistent(identifier: Any) -> Any:
        if identifier[0] == "module":  # A class, and its source, which is not looked at.
            return identifier[1]
        tag, kind, key, _, length, part = identifier
        dtype = storage_dtype(kind)
        size = _storage_size(tag, length, dtype.itemsize)
        if not isinstance(key, (str, int)):
            raise ValueError("a storage's key that is none")
        block = blocks.setdefault(key, Block(size))
        if block.size != size or widths.setdefault(key, dtype.itemsize) != dtype.itemsize:
            raise ValueError("a storage of two sizes")
        if part is None:
            return Storage(block, dtype, 0, length)
        _, start, count = part
        if not all(type(n) is int and n >= 0 for n in (start, count)) or start + count > length:
            raise ValueError("a part of a storage that reaches past it")
        return Storage(block, dtype, start * dtype.itemsize, count)

    magic, at = load_pickle(file, 0, find, budget)
    protocol, at = load_pickle(file, at, find, budget)
    machine, at = load_pickle(file, at, find, budget)
    if (magic, protocol) != (MAGIC, 1001) or not isinstance(machine, dict):
        raise file.error("damaged: not a file of torch.save's")
    tree, at = load_pickle(file, at, find, budget, persistent=persistent)
    keys, at = load_pickle(file, at, find, budget)
    if not isinstance(keys, list) or len(keys) != len(blocks):
        raise file.error("damaged: it has no list of its storages")
    for key in keys:
        block = blocks.pop(key, None) if isinstance(key, (str, int)) else None
        if block is None:
            raise file.error("damaged: its list of storages is wrong")
        (count,) = struct.unpack("<q", file.read(at, 8))
        if count * widths[key] != block.size:
            raise file.error(f"damaged: a storage of {block.size} bytes has {count} numbers")
        block.where = file.part(at + 8, block.size)
        block.byte_order = "<" if machine.get("little_endian", True) else ">"
        at += 8 + block.size
    return tree


def _storage_size(tag: Any, length: Any, width: int) -> int:
    if tag != "storage" or type(length) is not int or not 0 <= length < 1 << 60:
        raise ValueError("it does not describe a storage")
    return length * width


def _byte_order(file: FilePart, member: Member | None) -> Any:
    if member is None:
        return "<"
    order = unpack(member, limit=16).tobytes()
    if order not in (b"little", b"big"):
        raise file.error("damaged: a byte order that is none")
    return "<" if order == b"little" else ">"


class Globals:
    """The globals that a checkpoint's pickle may name."""

    def __init__(self, budget: Budget):
        self._calls = {
            **PLAIN,
            **TENSORS,
            _PERSISTENT: _persistent_object,
            "torch.storage._load_from_bytes": lambda data: _storage_in(data, budget),
        }

    def __call__(self, name: str) -> Known | None:
        """Finds a global; a ValueError tells why one is refused, if that is worth telling."""
        if name in self._calls:
            return Known(name, self._calls[name])
        if name.startswith("dnnlib.tflib."):
            raise ValueError(
                "a network of StyleGAN's TensorFlow era; convert it with legacy.py of "
                "NVlabs/stylegan2-ada-pytorch"
            )
        if name.startswith("torch.nn.modules."):
            return Known(name, Module)
        if name.startswith(_NAMED_ONLY):
            return Known(name)
        return None


def _persistent_object(meta: Any) -> Module:
    if not isinstance(meta, dict) or meta.get("type") != "class":
        raise ValueError("it does not describe a class")
    state = meta.get("state")
    if not isinstance(state, dict):
        raise ValueError("an object without a state")
    return Module(state)


def _storage_in(data: Any, budget: Budget) -> Storage:
    if not isinstance(data, FilePart) or data.head(len(LEGACY_HEAD)) != LEGACY_HEAD:
        raise ValueError("not a storage that PyTorch wrote")

    def find(name: str) -> Known | None:
        # Without calls there is no file within this one in turn.
        return Known(name) if name in TENSORS else None

    storage = read_torch_legacy(data, find, budget)
    if not isinstance(storage, Storage):
        raise ValueError("a file in a file that holds no storage")
    return storage
