"""The members of a zip archive as ranges of its file, found without unpacking anything.

Format: the part of PKWARE's APPNOTE.TXT that PyTorch and NumPy write: one disk, zip64 included.
"""

import itertools
import struct
import zlib
from typing import NamedTuple

import numpy as np

from jax_origin.checkpoints.file_part import FilePart
from jax_origin.checkpoints.rename import CheckpointError

_MOST_MEMBERS = 100_000
_MOST_DIRECTORY = 32 << 20  # bytes
_STORED, _DEFLATED = 0, 8


class Member(NamedTuple):
    """A member of an archive: its bytes as they lie there, and its size and CRC-32 unpacked."""

    data: FilePart
    size: int
    deflated: bool
    crc: int


def zip_members(file: FilePart) -> dict[str, Member]:
    """Reads an archive's directory: its members by name, in order, without folders.

    Raises:
      CheckpointError: If the archive is damaged, encrypted, split, or packed by another method than
        deflate; or if two members share a name or bytes, or a name leads out of the archive.
    """
    directory, count = _directory(file)
    members: dict[str, Member] = {}
    places = []
    at = 0
    for _ in range(count):
        if directory[at : at + 4] != b"PK\x01\x02" or at + 46 > len(directory):
            raise _damaged(file, "its directory is cut short")
        flags, method, crc, packed, size = struct.unpack_from("<2xHH4xIII", directory, at + 6)
        name_size, extra_size, comment_size = struct.unpack_from("<HHH", directory, at + 28)
        (start,) = struct.unpack_from("<I", directory, at + 42)
        end = at + 46 + name_size + extra_size
        if end + comment_size > len(directory):
            raise _damaged(file, "its directory is cut short")
        name = _name(file, directory[at + 46 : at + 46 + name_size])
        size, packed, start = _zip64(
            file, directory[at + 46 + name_size : end], (size, packed, start)
        )
        at = end + comment_size
        if flags & 1 or method not in (_STORED, _DEFLATED):
            raise file.error(f"refused {name}: encrypted, or packed by another method than deflate")
        if method == _STORED and packed != size:
            raise _damaged(file, f"{name} has two sizes")
        if name in members:
            raise _damaged(file, f"{name} is there twice")
        # The local header has a name and extras of its own, which the data follows.
        header = file.read(start, 30)
        if header[:4] != b"PK\x03\x04":
            raise _damaged(file, f"{name} is not where it should be")
        skipped = 30 + sum(struct.unpack_from("<HH", header, 26))
        data = file.part(start + skipped, packed)
        places.append((start, start + skipped + packed, name))
        members[name] = Member(data, size, method == _DEFLATED, crc)
    places.sort()
    for (_, end, name), (start, _, other) in itertools.pairwise(places):
        if start < end:
            raise file.error(f"refused {other}: it shares bytes with {name}")
    return {name: member for name, member in members.items() if not name.endswith("/")}


def unpack(member: Member, *, limit: int | None = None) -> np.ndarray:
    """The bytes of a member as uint8 [size], or just the first `limit` of them.

    They are refused if there are fewer than declared or, without a limit, if the CRC-32 is wrong.
    """
    wanted = member.size if limit is None else min(limit, member.size)
    if member.deflated:
        unpacked = np.frombuffer(_inflate(member.data, wanted), np.uint8)
    else:
        unpacked = member.data.array(np.dtype(np.uint8), (wanted,))
    if len(unpacked) != wanted or (limit is None and zlib.crc32(unpacked.data) != member.crc):
        raise _damaged(member.data, "a member is not what was stored")
    return unpacked


def _inflate(data: FilePart, wanted: int) -> bytearray:
    machine = zlib.decompressobj(-15)
    unpacked = bytearray()
    at = 0
    while len(unpacked) < wanted and not machine.eof:
        packed = machine.unconsumed_tail
        if not packed:
            if at == data.size:
                break
            packed = data.read(at, min(1 << 16, data.size - at))
            at += len(packed)
        try:
            unpacked += machine.decompress(packed, wanted - len(unpacked))
        except zlib.error as error:
            raise _damaged(data, str(error)) from None
    return unpacked


def _damaged(file: FilePart, what: str) -> CheckpointError:
    return file.error(f"damaged zip archive ({what})")


def _directory(file: FilePart) -> tuple[bytes, int]:
    """The bytes of the directory, and how many members it has."""
    tail_size = min(file.size, 22 + 0xFFFF)
    tail_start = file.size - tail_size
    tail = file.read(tail_start, tail_size)
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < 22:
        raise _damaged(file, "it has no directory: cut short")
    disk, first_disk, _, count, size, start = struct.unpack_from("<HHHHII", tail, found + 4)
    if disk or first_disk:
        raise file.error("refused: one of several parts of a zip archive")
    end = tail_start + found
    if count == 0xFFFF or size == 0xFFFFFFFF or start == 0xFFFFFFFF:
        locator = file.read(end - 20, 20) if end >= 20 else b""
        if locator[:4] == b"PK\x06\x07":
            (place,) = struct.unpack_from("<Q", locator, 8)
            record = file.read(place, 56)
            if record[:4] != b"PK\x06\x06":
                raise _damaged(file, "its zip64 record is not where it should be")
            count, size, start = struct.unpack_from("<QQQ", record, 32)
            end = place
    if count > _MOST_MEMBERS or size > _MOST_DIRECTORY:
        raise file.error(f"refused: a zip archive of {count} members")
    if start + size > end:
        raise _damaged(file, "its directory is not where it should be")
    return file.read(start, size), count


def _zip64(file: FilePart, extra: bytes, sizes: tuple[int, int, int]) -> tuple[int, ...]:
    """Sizes and place of a member whose 32-bit fields may refer to its extra field."""
    wanted = sizes.count(0xFFFFFFFF)
    at = 0
    while wanted and at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        if tag == 1 and length >= 8 * wanted and at + 4 + length <= len(extra):
            large = iter(struct.unpack_from(f"<{wanted}Q", extra, at + 4))
            return tuple(next(large) if size == 0xFFFFFFFF else size for size in sizes)
        at += 4 + length
    if wanted:
        raise _damaged(file, "a member without a size")
    return sizes


def _name(file: FilePart, data: bytes) -> str:
    try:
        name = data.decode()
    except UnicodeDecodeError:
        name = data.decode("cp437")
    parts = name.replace("\\", "/").removesuffix("/").split("/")
    if not name.isprintable() or any(part in ("", ".", "..") or ":" in part for part in parts):
        raise file.error(f"refused {name!a:.120}: no name for a member of a zip archive")
    return name
