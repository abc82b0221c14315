"""Many images in: the files of a folder or pattern, and whole sets as one array."""

import glob
import os
import zipfile

import numpy as np

from jax_origin.images.decode import SUFFIXES, decode_bytes, decode_image
from jax_origin.images.errors import ImageError

_JPEG = b"\xff\xd8\xff"


def find_images(where: str | os.PathLike[str]) -> list[str]:
    """Lists image files, without opening them.

    Args:
      where: a file (taken as it is); a folder (all files below it with a suffix in `SUFFIXES`,
        in either case); or a pattern with `*`, `?`, `[...]` or `**` (all files that match).
        Hidden files and folders are left out, unless `where` itself names them.

    Returns:
      Paths that begin with `where`, sorted; at least one.

    Raises:
      ImageError: there is no such file or folder, or no image in it.
    """
    where = os.fspath(where)
    if os.path.isdir(where):
        found = [
            os.path.join(folder, name)
            for folder, names in _walk(where)
            for name in names
            if name.lower().endswith(SUFFIXES)
        ]
        if not found:
            raise ImageError(where, f"no images in this folder (looked for {', '.join(SUFFIXES)})")
    elif os.path.lexists(where):
        found = [where]
    elif glob.has_magic(where):
        found = [path for path in glob.glob(where, recursive=True) if os.path.isfile(path)]
        if not found:
            raise ImageError(where, "no file matches this pattern")
    else:
        raise ImageError(where, "no such file or folder")
    return sorted(found)


def load_images(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    limit: int | None = None,
) -> np.ndarray:
    """Loads a set of images of one size as one array.

    Args:
      path: a folder, file or pattern (see `find_images`; every file must decode), or an `.npz`
        archive with either `x` (or `images`), uint8 [N, H, W, 3], or `jpeg`, uint8 bytes of
        encoded files one after the other, with `offsets`, int64 [N + 1]: image i is
        `jpeg[offsets[i]:offsets[i + 1]]`.
      size: the (H, W) that the images must have, None for that of the first.
      limit: load only the first `limit` images, None for all.

    Returns:
      uint8 [N, H, W, 3], RGB, N at least 1.

    Raises:
      ImageError: an image cannot be used, the sizes differ, or the archive does not hold what it
        should.
      ValueError: `limit` is below 1.
    """
    path = os.fspath(path)
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    if path.lower().endswith(".npz") and not os.path.isdir(path):
        return _load_archive(path, size=size, limit=limit)
    images: list[np.ndarray] = []
    for file in find_images(path)[:limit]:
        _append(images, decode_image(file).pixels, name=file, size=size)
    return np.stack(images)


def jpeg_share(path: str | os.PathLike[str]) -> float:
    """What share of a set's images is stored as JPEG, told from how their files begin.

    Args:
      path: as `load_images` takes it.

    Raises:
      ImageError: a file cannot be opened, or the archive does not hold what it should.
    """
    path = os.fspath(path)
    if path.lower().endswith(".npz") and not os.path.isdir(path):
        arrays = _read_archive(path)
        if "jpeg" not in arrays:
            return 0.0
        encoded, offsets = arrays["jpeg"], arrays["offsets"]
        _check_offsets(path, encoded, offsets)
        begins = [encoded[start : start + len(_JPEG)].tobytes() for start in offsets[:-1]]
    else:
        begins = [_first_bytes(file, len(_JPEG)) for file in find_images(path)]
    return sum(begin == _JPEG for begin in begins) / len(begins)


def _first_bytes(path: str, num: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(num)
    except OSError as error:
        raise ImageError(path, f"cannot be read ({error.strerror})") from None


def _walk(folder: str) -> list[tuple[str, list[str]]]:
    listing = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        listing.append((parent, [name for name in names if not name.startswith(".")]))
    return listing


def _append(
    images: list[np.ndarray], pixels: np.ndarray, *, name: str, size: tuple[int, int] | None
) -> None:
    height, width = pixels.shape[:2]
    if size is not None and (height, width) != tuple(size):
        raise ImageError(name, f"is {height}x{width} (HxW), {size[0]}x{size[1]} is wanted")
    if images and pixels.shape != images[0].shape:
        first = f"{images[0].shape[0]}x{images[0].shape[1]}"
        raise ImageError(name, f"is {height}x{width} (HxW), the first image of the set is {first}")
    images.append(pixels)


def _load_archive(path: str, *, size: tuple[int, int] | None, limit: int | None) -> np.ndarray:
    arrays = _read_archive(path)
    key = "x" if "x" in arrays else "images"
    if key in arrays:
        stored = arrays[key]
        if stored.dtype != np.uint8 or stored.ndim != 4 or stored.shape[3] != 3:
            found = f"{stored.dtype} {list(stored.shape)}"
            raise ImageError(path, f"'{key}' must be uint8 [N, H, W, 3], it is {found}")
        if not stored.size:
            raise ImageError(path, f"'{key}' holds no images")
        if size is not None and stored.shape[1:3] != tuple(size):
            found = f"{stored.shape[1]}x{stored.shape[2]}"
            reason = f"'{key}' holds images of {found} (HxW), {size[0]}x{size[1]} is wanted"
            raise ImageError(path, reason)
        return stored[:limit]
    encoded, offsets = arrays["jpeg"], arrays["offsets"]
    _check_offsets(path, encoded, offsets)
    data = encoded.tobytes()
    count = len(offsets) - 1 if limit is None else min(limit, len(offsets) - 1)
    images: list[np.ndarray] = []
    for index in range(count):
        name = f"{path}[{index}]"
        pixels = decode_bytes(data[offsets[index] : offsets[index + 1]], path=name).pixels
        _append(images, pixels, name=name, size=size)
    return np.stack(images)


def _read_archive(path: str) -> dict[str, np.ndarray]:
    """Reads the arrays of the first layout that the archive holds all of."""
    if not os.path.exists(path):
        raise ImageError(path, "no such file")
    try:
        if not zipfile.is_zipfile(path):
            raise ImageError(path, "is not an .npz archive")
        with np.load(path, allow_pickle=False) as archive:
            for keys in (("x",), ("images",), ("jpeg", "offsets")):
                if all(key in archive.files for key in keys):
                    # NumPy gives the bytes of a member that is no array.
                    return {key: np.asarray(archive[key]) for key in keys}
            found = ", ".join(sorted(archive.files)) or "nothing"
    except ImageError:
        raise
    except Exception as error:  # A damaged archive fails in zipfile, zlib or NumPy.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(path, f"cannot be read as an .npz archive ({reason})") from error
    raise ImageError(path, f"must hold 'x', 'images', or 'jpeg' and 'offsets'; it holds {found}")


def _check_offsets(path: str, encoded: np.ndarray, offsets: np.ndarray) -> None:
    if encoded.dtype != np.uint8 or encoded.ndim != 1:
        found = f"{encoded.dtype} {list(encoded.shape)}"
        raise ImageError(path, f"'jpeg' must be uint8 bytes of rank 1, it is {found}")
    if offsets.dtype.kind not in "iu" or offsets.ndim != 1 or len(offsets) < 2:
        found = f"{offsets.dtype} {list(offsets.shape)}"
        raise ImageError(path, f"'offsets' must be int64 [N + 1], N at least 1, it is {found}")
    signed = offsets.astype(np.int64)
    if signed[0] < 0 or signed[-1] > len(encoded) or np.any(np.diff(signed) < 0):
        raise ImageError(path, f"'offsets' must rise from 0 to at most {len(encoded)}")
