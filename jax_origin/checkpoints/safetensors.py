"""safetensors files: tensors by name, and no code.

A file has eight bytes with the header's length (little-endian), the header (JSON: dtype, shape and
place of each tensor), and then the tensors. Format: https://huggingface.co/docs/safetensors.
"""

import json
import math
import os
import struct
from collections.abc import Mapping
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np

from jax_origin.checkpoints.arrays import LazyArray, LazyArrays, is_shape
from jax_origin.checkpoints.file_part import FilePart, open_file
from jax_origin.checkpoints.rename import CheckpointError
from jax_origin.files import atomic_write

# In the order in which the safetensors library puts tensors into a file.
_DTYPES = {
    code: np.dtype(getattr(ml_dtypes, name, None) or name)
    for code, name in (
        *(("U64", "uint64"), ("I64", "int64"), ("F64", "float64"), ("C64", "complex64")),
        *(("F32", "float32"), ("U32", "uint32"), ("I32", "int32"), ("BF16", "bfloat16")),
        *(("F16", "float16"), ("U16", "uint16"), ("I16", "int16")),
        *(("F8_E5M2FNUZ", "float8_e5m2fnuz"), ("F8_E4M3FNUZ", "float8_e4m3fnuz")),
        *(("F8_E8M0", "float8_e8m0fnu"), ("F8_E4M3", "float8_e4m3fn"), ("F8_E5M2", "float8_e5m2")),
        *(("I8", "int8"), ("U8", "uint8"), ("BOOL", "bool")),
    )
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_MOST_HEADER = 16 << 20  # bytes: more than 100,000 tensors


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads every tensor of a file; a CheckpointError if it is missing or not whole."""
    if os.path.isdir(path):
        raise CheckpointError(f"{path}: not a whole safetensors file (a directory)")
    return dict(open_safetensors(open_file(path))[0])


def open_safetensors(file: FilePart) -> tuple[LazyArrays, dict[str, str]]:
    """Reads a safetensors file's header: its arrays, each read when asked for, and its metadata.

    Raises:
      CheckpointError: If it is not a whole safetensors file, or has a dtype unknown here.
    """
    header, data = _header(file)
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict):
        raise _torn(file, "__metadata__ is no mapping")
    entries: dict[str, LazyArray] = {}
    places = []
    for name, tensor in header.items():
        try:
            dtype_name, shape = tensor["dtype"], tensor["shape"]
            start, end = tensor["data_offsets"]
            whole = is_shape(shape) and is_shape((start,)) and is_shape((end,))
        except (KeyError, TypeError, ValueError):
            whole = False
        if not whole or not isinstance(dtype_name, str):
            raise _torn(file, f"{name!r} has no dtype, shape and place")
        if dtype_name not in _DTYPES:
            raise file.error(f"{name!r} holds a dtype that is not read here ({dtype_name:.20})")
        dtype = _DTYPES[dtype_name]
        if end - start != math.prod(shape) * dtype.itemsize:
            raise _torn(file, f"{name!r} has another size than its shape says")
        places.append((start, end))
        entries[name] = LazyArray(tuple(shape), dtype, partial(_read, data, dtype, shape, start))
    reached = 0
    for start, end in sorted(places):
        if start != reached:
            raise _torn(file, "its tensors overlap or leave gaps")
        reached = end
    if reached != data.size:
        raise _torn(file, f"its tensors need {reached} bytes, {data.size} are there")
    return LazyArrays(entries), {name: str(text) for name, text in metadata.items()}


def looks_like_safetensors(head: bytes) -> bool:
    """Whether a file that begins with these nine bytes may be a safetensors file."""
    return len(head) >= 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= _MOST_HEADER


def write_safetensors(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by name, one at a time; a failure leaves an existing file as it was.

    Raises:
      CheckpointError: If the format has no such dtype, or an array cannot be read.
    """
    entries = LazyArrays.of(arrays).entries
    for name, entry in entries.items():
        if entry.dtype.newbyteorder("=") not in _NAMES:
            raise CheckpointError(f"{path}: {name!r} is {entry.dtype}, which it cannot hold")
    codes = {name: _NAMES[entry.dtype.newbyteorder("=")] for name, entry in entries.items()}
    order = {code: place for place, code in enumerate(_DTYPES)}
    names = sorted(entries, key=lambda name: (order[codes[name]], name))
    header: dict[str, Any] = {}
    end = 0
    for name in names:
        shape, dtype, _ = entries[name]
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": codes[name], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors are aligned
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            shape, dtype, read = entries[name]
            _write(file, read(), dtype)
            if file.tell() != 8 + len(text) + header[name]["data_offsets"][1]:
                raise CheckpointError(f"{path}: {name!r} is not of the shape {shape} that it had")


def _header(file: FilePart) -> tuple[dict[str, Any], FilePart]:
    if file.size < 8:
        raise _torn(file, "HeaderTooSmall")
    (length,) = struct.unpack("<Q", file.read(0, 8))
    if length > min(file.size - 8, _MOST_HEADER):
        raise _torn(file, f"a header of {length} bytes")
    try:
        header = json.loads(file.read(8, length), object_pairs_hook=_without_twins)
    except (ValueError, RecursionError):
        raise _torn(file, "its header is not JSON with one entry a name") from None
    if not isinstance(header, dict):
        raise _torn(file, "its header is no mapping")
    return header, file.part(8 + length, file.size - 8 - length)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a name twice")
    return mapping


def _torn(file: FilePart, reason: str) -> CheckpointError:
    return file.error(f"not a whole safetensors file ({reason})")


def _read(data: FilePart, dtype: np.dtype, shape: list[int], start: int) -> np.ndarray:
    array = data.array(dtype.newbyteorder("<"), shape, start)
    return array.astype(dtype, copy=False)


def _write(file: Any, array: np.ndarray, dtype: np.dtype) -> None:
    # A buffer at a time: an array in another order is not copied as a whole.
    pieces = np.nditer(
        array,
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_dtypes=[dtype.newbyteorder("<")],
        casting="equiv",
        order="C",
        buffersize=1 << 20,
    )
    for piece in pieces:
        file.write(np.ascontiguousarray(piece).view(np.uint8))
