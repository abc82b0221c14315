"""Writes pickles and files of torch.save's byte by byte, hostile ones too, with no PyTorch."""

import io
import struct
import zipfile
from typing import Any, NamedTuple

import numpy as np

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "uint8": "ByteStorage",
}


class Name(NamedTuple):
    """A global: a module and a name in it."""

    module: str
    name: str


class Call(NamedTuple):
    """What a call of a global makes, and the state that it is given then."""

    name: Name
    arguments: tuple
    state: Any = None


class Persistent(NamedTuple):
    """What a persistent id refers to."""

    identifier: Any


class Raw(NamedTuple):
    """Opcodes as they are."""

    opcodes: bytes


def opcodes(value: Any) -> bytes:
    match value:
        case Raw():
            return value.opcodes
        case Name():
            return b"c" + "\n".join(value).encode() + b"\n"
        case Call():
            built = opcodes(value.name) + opcodes(value.arguments) + b"R"
            return built if value.state is None else built + opcodes(value.state) + b"b"
        case Persistent():
            return opcodes(value.identifier) + b"Q"
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(data)]) + data
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case tuple():
            return b"(" + b"".join(map(opcodes, value)) + b"t"
        case list():
            return b"](" + b"".join(map(opcodes, value)) + b"e"
        case dict():
            items = b"".join(opcodes(k) + opcodes(v) for k, v in value.items())
            return b"}(" + items + b"u"
    raise TypeError(type(value))


def pickle_of(value: Any) -> bytes:
    return b"\x80\x02" + opcodes(value) + b"."


def tensor(
    storage: Any, shape: tuple, stride: tuple | None = None, offset: int = 0, rebuild: str = "_v2"
) -> Call:
    if stride is None:
        stride = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    rest = (False, Call(Name("collections", "OrderedDict"), ())) if rebuild else ()
    function = Name("torch._utils", f"_rebuild_tensor{rebuild}")
    return Call(function, (storage, offset, shape, stride, *rest))


def storage(key: str, length: int, dtype: str = "float32", *, legacy: bool = False) -> Persistent:
    rest = (None,) if legacy else ()
    return Persistent(("storage", Name("torch", STORAGES[dtype]), key, "cpu", length, *rest))


def torch_zip(tree: Any, blocks: dict[str, bytes], *, order: bytes | None = b"little") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", tree if isinstance(tree, bytes) else pickle_of(tree))
        if order is not None:
            archive.writestr("archive/byteorder", order)
        for key, data in blocks.items():
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", b"3\n")
    return stream.getvalue()


def torch_legacy(tree: Any, blocks: dict[str, np.ndarray]) -> bytes:
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    pickles = [pickle_of(part) for part in (LEGACY_MAGIC, 1001, machine, tree, list(blocks))]
    data = [struct.pack("<q", block.size) + block.tobytes() for block in blocks.values()]
    return b"".join(pickles + data)


def persistent_class(name: str, state: dict, source: str = "") -> Call:
    """An object of StyleGAN's persistence, as its classes reduce themselves."""
    meta = {
        "type": "class",
        "version": 6,
        "module_src": source,
        "class_name": name,
        "state": state,
    }
    return Call(Name("torch_utils.persistence", "_reconstruct_persistent_obj"), (meta,))


def parameter(array: np.ndarray) -> Call:
    """A parameter in a plain pickle: its storage is a file of torch.save's of its own."""
    whole = storage("0", array.size, str(array.dtype), legacy=True)
    file = torch_legacy(whole, {"0": array})
    inner = tensor(Call(Name("torch.storage", "_load_from_bytes"), (file,)), array.shape)
    hooks = Call(Name("collections", "OrderedDict"), ())
    return Call(Name("torch._utils", "_rebuild_parameter"), (inner, True, hooks))


def module(
    name: str,
    parameters: dict | None = None,
    buffers: dict | None = None,
    modules: dict | None = None,
    **state: Any,
) -> Call:
    return persistent_class(
        name,
        {
            "training": False,
            "_parameters": {k: parameter(v) for k, v in (parameters or {}).items()},
            "_buffers": {k: parameter(v).arguments[0] for k, v in (buffers or {}).items()},
            "_modules": modules or {},
            **state,
        },
        source="raise SystemError('this must never run')",
    )
