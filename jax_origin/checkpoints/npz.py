"""NumPy's .npz archives, of plain numbers alone: arrays of objects are refused."""

import io
import math
from functools import partial

import numpy as np

from jax_origin.checkpoints.arrays import LazyArray, LazyArrays, is_shape
from jax_origin.checkpoints.file_part import FilePart
from jax_origin.checkpoints.zip_members import Member, unpack

_HEADER = 4096  # bytes: room for the header of an array of 32 dimensions
_MOST_GROWTH, _ALWAYS_FINE = 32, 256 << 20


def is_npz(members: dict[str, Member]) -> bool:
    """Whether a zip archive with these members is one of NumPy's."""
    return bool(members) and all(name.endswith(".npy") for name in members)


def read_npz(file: FilePart, members: dict[str, Member]) -> LazyArrays:
    """Reads the headers of an archive's arrays.

    Raises:
      CheckpointError: If a header is damaged, an array is not of plain numbers, or the arrays are
        far larger than the file (a zip bomb).
    """
    check_growth(file, sum(member.size for member in members.values()))
    entries = {}
    for name, member in members.items():
        dtype, shape, fortran, start = _header(file, name, member)
        native = dtype.newbyteorder("=")
        read = partial(_read, member, dtype, shape, fortran, start)
        entries[name.removesuffix(".npy")] = LazyArray(shape, native, read)
    return LazyArrays(entries)


def check_growth(file: FilePart, unpacked: int, *, packed: int | None = None) -> None:
    """Refuses a file whose arrays need far more bytes than it has.

    Weights hardly get smaller when they are packed, masks and zeros do: 256 MiB are always fine.

    Args:
      file: What to name in the error.
      unpacked: The bytes of all arrays.
      packed: The bytes that they take on disk; those of `file` by default.

    Raises:
      CheckpointError: If it does.
    """
    packed = file.size if packed is None else packed
    if unpacked > max(_ALWAYS_FINE, _MOST_GROWTH * packed):
        raise file.error(f"refused: {packed} bytes that say they unpack to {unpacked}")


def _header(
    file: FilePart, name: str, member: Member
) -> tuple[np.dtype, tuple[int, ...], bool, int]:
    stream = io.BytesIO(unpack(member, limit=_HEADER).tobytes())
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream, _HEADER)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream, _HEADER)
        else:
            raise ValueError(f"version {version}")
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        reason = ascii(str(error))[1:-1]
        raise file.error(f"damaged: {name} has no header of an array ({reason:.100})") from None
    if dtype.kind not in "biufc":
        raise file.error(f"refused {name}: an array of {dtype!s:.40}, not of plain numbers")
    size = member.size - stream.tell()
    if not is_shape(shape) or math.prod(shape) * dtype.itemsize != size:
        raise file.error(f"damaged: {name} is not of the size that its shape says")
    return dtype, shape, fortran, stream.tell()


def _read(
    member: Member, dtype: np.dtype, shape: tuple[int, ...], fortran: bool, start: int
) -> np.ndarray:
    flat = unpack(member)[start:].view(dtype)
    array = flat.reshape(shape, order="F" if fortran else "C")
    return np.require(array.astype(dtype.newbyteorder("="), copy=False), requirements="A")
