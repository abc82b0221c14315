"""NumPy's .npz archives. They may hold numbers; arrays of objects are refused."""

import math
import re
from functools import partial

import numpy as np

from jax_origin.checkpoints.arrays import LazyArray, LazyArrays, is_shape
from jax_origin.checkpoints.file_part import FilePart
from jax_origin.checkpoints.plain_globals import Dtype
from jax_origin.checkpoints.zip_members import Member, unpack

_HEADER = 4096  # bytes: room for the header of an array of 32 dimensions
# NumPy writes a Python literal of this one form, and reads any; a literal needs a parser.
_FORM = re.compile(
    rb"\{'descr': ('[^']*'|\[.*\]), 'fortran_order': (True|False), "
    rb"'shape': \(([\d, ]{0,700})\),? *\} *\n"
)
_MOST_GROWTH, _ALWAYS_FINE = 32, 256 << 20


def is_npz(members: dict[str, Member]) -> bool:
    """Whether NumPy wrote a zip archive with these members."""
    return bool(members) and all(name.endswith(".npy") for name in members)


def read_npz(file: FilePart, members: dict[str, Member]) -> LazyArrays:
    """Reads the headers of an archive's arrays, and refuses objects and zip bombs."""
    check_growth(file, sum(member.size for member in members.values()))
    entries = {}
    for name, member in members.items():
        dtype, shape, fortran, start = _header(file, name, member)
        native = dtype.newbyteorder("=")
        read = partial(_read, member, dtype, shape, fortran, start)
        entries[name.removesuffix(".npy")] = LazyArray(shape, native, read)
    return LazyArrays(entries)


def check_growth(file: FilePart, unpacked: int, *, packed: int | None = None) -> None:
    """Refuses, with a CheckpointError, a file whose arrays unpack to far more bytes than it has.

    Packing hardly shrinks weights, but does shrink masks and zeros: 256 MiB are always accepted.
    `packed` are the bytes on disk, by default the size of `file`.
    """
    packed = file.size if packed is None else packed
    if unpacked > max(_ALWAYS_FINE, _MOST_GROWTH * packed):
        raise file.error(f"refused: {packed} bytes that say they unpack to {unpacked}")


def _header(
    file: FilePart, name: str, member: Member
) -> tuple[np.dtype, tuple[int, ...], bool, int]:
    head = unpack(member, limit=_HEADER).tobytes()
    # Version 1 has two bytes for the header's length, the later ones have four.
    match = _FORM.match(head, 10 if head[6:7] == b"\1" else 12)
    if head[:6] != b"\x93NUMPY" or not match:
        raise file.error(f"damaged: {name} has no header of an array")
    descr, fortran, sizes = (group.decode("latin-1") for group in match.groups())
    try:
        dtype = Dtype(descr.strip("'")).dtype
    except (ValueError, TypeError):
        raise file.error(f"refused {name}: an array of {descr!a:.60}, not of numbers") from None
    start = match.end()
    shape = tuple(int(size.replace(" ", "")) for size in sizes.split(",") if size.strip())
    if not is_shape(shape) or math.prod(shape) * dtype.itemsize != member.size - start:
        raise file.error(f"damaged: {name} is not of the size that its shape says")
    return dtype, shape, fortran == "True", start


def _read(
    member: Member, dtype: np.dtype, shape: tuple[int, ...], fortran: bool, start: int
) -> np.ndarray:
    flat = unpack(member)[start:].view(dtype)
    array = flat.reshape(shape, order="F" if fortran else "C")
    return np.require(array.astype(dtype.newbyteorder("="), copy=False), requirements="A")
