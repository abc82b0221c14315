"""Many images in: the files of a folder or pattern, and whole sets as one array."""

import collections
import glob
import itertools
import os
import zipfile
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from jax_origin.images.arrays import from_pillow, to_pillow
from jax_origin.images.decode import ImageError, decode_bytes, decode_image, read_file
from jax_origin.images.formats import BEGINNING, SUFFIXES, begins_lossy, format_of

_ENCODED = ("jpeg", "webp", "png")  # What an archive calls the bytes of files.
_KINDS = 5  # Kinds of files left out that are named.


class Found(NamedTuple):
    """The image files of a place.

    Attributes:
      paths: at least one, sorted.
      left_out: how many other files a folder holds, by kind, in words; None if there are none.
    """

    paths: list[str]
    left_out: str | None


def find_images(where: str | os.PathLike[str]) -> list[str]:
    """The `paths` of `search_images`, by suffix, without opening a file."""
    return search_images(where).paths


def search_images(where: str | os.PathLike[str], *, all_files: bool = False) -> Found:
    """Lists image files.

    Args:
      where: a file (taken as it is); a folder (all files below it with an image's suffix, in
        either case); or a pattern with `*`, `?`, `[...]` or `**` (all files that match).
        Hidden files and folders are skipped and not counted, unless `where` itself names them.
      all_files: whether a folder's other files are looked into, and taken if they begin like
        images. What cannot be looked into is taken too: whoever decodes it learns the reason.

    Raises:
      ImageError: there is no such file or folder, or no image in it.
    """
    where = os.fspath(where)
    found, missing, others = [], "no such file or folder", collections.Counter[str]()
    if os.path.isdir(where):
        for parent, folders, names in os.walk(where):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path, lower = os.path.join(parent, name), name.lower()
                if name.startswith("."):
                    continue
                if lower.endswith(SUFFIXES) or (all_files and _may_be_image(path)):
                    found.append(path)
                else:
                    others[os.path.splitext(lower)[1] or "without an extension"] += 1
        missing = f"no images in this folder (looked for {', '.join(SUFFIXES)})"
    elif os.path.lexists(where):
        found = [where]
    elif glob.has_magic(where):
        missing = "no file matches this pattern"
        found = [path for path in glob.glob(where, recursive=True) if os.path.isfile(path)]
    left_out = in_words(others, all_files=all_files)
    if not found:
        raise ImageError(where, "; ".join(filter(None, (missing, left_out))))
    return Found(sorted(found), left_out)


def _may_be_image(path: str) -> bool:
    """Whether a file begins like an image, or cannot be looked into."""
    try:
        return format_of(read_file(path, BEGINNING)) is not None
    except ImageError:
        return True


def in_words(others: collections.Counter[str], *, all_files: bool) -> str | None:
    """How many files were left out, by suffix; None for none."""
    if not others:
        return None
    ordered = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    kinds = [f"{num} {kind}" for kind, num in ordered[:_KINDS]]
    if rest := sum(num for _, num in ordered[_KINDS:]):
        kinds.append(f"{rest} of other kinds")
    why = "none begins like an image" if all_files else "--all_files looks into every file"
    return f"left out: {', '.join(kinds)} ({why})"


def load_images(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    limit: int | None = None,
    channels: int = 3,
    fit: str | None = None,
) -> np.ndarray:
    """Loads a set of images of one size as one array.

    Args:
      path: a folder, file or pattern (see `find_images`; every file must decode), or an `.npz`
        archive with either `x` (or `images`), uint8 [N, H, W, channels], or `jpeg` (or `webp`, or
        `png`), uint8 bytes of encoded files one after the other, with `offsets`, int64 [N + 1]:
        image i is `jpeg[offsets[i]:offsets[i + 1]]`. For its `source` see `load_sources`.
      size: the (H, W) that the images must have, None for that of the first.
      limit: load only the first `limit` images, None for all.
      channels: 3 for RGB, 1 for grey; see `decode_image`.
      fit: how an image of another size is brought to `size`: "crop" cuts its middle to the shape
        wanted, then resizes; "resize" resizes it as it is; None refuses it. Both filters are
        bicubic and antialiased.

    Returns:
      uint8 [N, H, W, channels], N at least 1.

    Raises:
      ImageError: an image cannot be used, the sizes differ, or the archive does not hold what it
        should.
      ValueError: `limit` is below 1, or `fit` is unknown or has no `size`.
    """
    path = os.fspath(path)
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    if fit not in (None, "crop", "resize") or (fit and size is None):
        raise ValueError(f'fit={fit!r}: choose "crop" or "resize", and give a size; or None')
    images: list[np.ndarray] = []
    if _is_archive(path):
        named = _of_archive(path, limit=limit, channels=channels)
    else:
        files = find_images(path)[:limit]
        named = ((file, decode_image(file, channels=channels).pixels) for file in files)
    for name, pixels in named:
        found = pixels.shape[:2]
        if size is not None and found != tuple(size):
            if fit is None:
                reason = f"is {found[0]}x{found[1]} (HxW), {size[0]}x{size[1]} is wanted"
                raise ImageError(name, f"{reason}; crop or resize it (--fit)")
            pixels = _fitted(pixels, size, crop=fit == "crop")
        elif images and found != images[0].shape[:2]:
            first = f"{images[0].shape[0]}x{images[0].shape[1]}"
            reason = f"is {found[0]}x{found[1]} (HxW), the first image of the set is {first}"
            raise ImageError(name, reason)
        images.append(pixels)
    return np.stack(images)


def _fitted(pixels: np.ndarray, size: tuple[int, int], *, crop: bool) -> np.ndarray:
    height, width = pixels.shape[:2]
    box = (0, 0, width, height)
    if crop:
        scale = min(height / size[0], width / size[1])
        tall, wide = (max(1, round(side * scale)) for side in size)
        top, left = (height - tall) // 2, (width - wide) // 2
        box = (left, top, left + wide, top + tall)
    fitted = to_pillow(pixels).crop(box).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return from_pillow(fitted)


def lossy_share(path: str | os.PathLike[str], *, all_files: bool = False) -> float:
    """What share of a set's images may be stored with loss, told from how their files begin.

    These are JPEG, lossy WebP without metadata, AVIF, HEIC and JPEG XL. It takes what `load_images`
    takes, with `all_files` as in `search_images`, and raises an `ImageError` where a file cannot be
    opened or the archive does not hold what it should.
    """
    path = os.fspath(path)
    if _is_archive(path):
        arrays = read_archive(path)
        begins = list(_encoded_files(path, arrays)) if "offsets" in arrays else [b""]
    else:
        files = search_images(path, all_files=all_files).paths
        begins = [read_file(name, BEGINNING) for name in files]
    return sum(map(begins_lossy, begins)) / len(begins)


def load_sources(path: str | os.PathLike[str]) -> list[str] | None:
    """What each image of an archive comes from, N names; None where it does not say.

    It is the archive's `source`, [N] numbers or words: crops of one photograph have the same.

    Raises:
      ImageError: the archive does not hold what it should, or has another number of sources.
    """
    path = os.fspath(path)
    arrays = read_archive(path)
    if "source" not in arrays:
        return None
    sources = arrays["source"]
    encoded = "offsets" in arrays
    images = len(arrays["offsets"]) - 1 if encoded else len(next(iter(arrays.values())))
    if sources.shape != (images,):
        raise ImageError(path, f"'source' must be [{images}], it is {list(sources.shape)}")
    return [str(source) for source in sources]


def _is_archive(path: str) -> bool:
    return path.lower().endswith(".npz") and not os.path.isdir(path)


def _of_archive(path: str, *, limit: int | None, channels: int) -> Iterator[tuple[str, np.ndarray]]:
    """Each image of an archive, and its name."""
    arrays = read_archive(path)
    key = "x" if "x" in arrays else "images"
    if key in arrays:
        stored = arrays[key]
        if stored.dtype != np.uint8 or stored.ndim != 4 or stored.shape[3] != channels:
            found = f"{stored.dtype} {list(stored.shape)}"
            raise ImageError(path, f"'{key}' must be uint8 [N, H, W, {channels}], it is {found}")
        if not stored.size:
            raise ImageError(path, f"'{key}' holds no images")
        yield from ((f"{path}[{i}]", pixels) for i, pixels in enumerate(stored[:limit]))
        return
    for i, data in enumerate(itertools.islice(_encoded_files(path, arrays), limit)):
        name = f"{path}[{i}]"
        yield name, decode_bytes(data, path=name, channels=channels).pixels


def read_archive(path: str) -> dict[str, np.ndarray]:
    """Reads the arrays of the first layout that the archive holds all of."""
    if not os.path.exists(path):
        raise ImageError(path, "no such file")
    try:
        if not zipfile.is_zipfile(path):
            raise ImageError(path, "is not an .npz archive")
        with np.load(path, allow_pickle=False) as archive:
            for keys in (("x",), ("images",), *((name, "offsets") for name in _ENCODED)):
                if all(key in archive.files for key in keys):
                    # NumPy gives the bytes of a member that is no array.
                    wanted = (*keys, *({"source"} & {*archive.files}))
                    return {key: np.asarray(archive[key]) for key in wanted}
            found = ", ".join(sorted(archive.files)) or "nothing"
    except ImageError:
        raise
    except Exception as error:  # A damaged archive fails in zipfile, zlib or NumPy.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(path, f"cannot be read as an .npz archive ({reason})") from error
    raise ImageError(path, f"must hold 'x', 'images', or 'jpeg' and 'offsets'; it holds {found}")


def _encoded_files(path: str, arrays: dict[str, np.ndarray]) -> Iterator[bytes]:
    """The files that an archive holds one after the other."""
    encoded, offsets = encoded_file(path, arrays)
    yield from (encoded[begin:end].tobytes() for begin, end in itertools.pairwise(offsets))


def encoded_file(path: str, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of an archive's files, joined, and the offsets where they begin and end.

    Raises:
      ImageError: they are not what they should be.
    """
    name = next(name for name in _ENCODED if name in arrays)
    encoded, offsets = arrays[name], arrays["offsets"]
    if encoded.dtype != np.uint8 or encoded.ndim != 1:
        found = f"{encoded.dtype} {list(encoded.shape)}"
        raise ImageError(path, f"'{name}' must be uint8 bytes of rank 1, it is {found}")
    if offsets.dtype.kind not in "iu" or offsets.ndim != 1 or len(offsets) < 2:
        found = f"{offsets.dtype} {list(offsets.shape)}"
        raise ImageError(path, f"'offsets' must be int64 [N + 1], N at least 1, it is {found}")
    signed = offsets.astype(np.int64)
    if signed[0] < 0 or signed[-1] > len(encoded) or np.any(np.diff(signed) < 0):
        raise ImageError(path, f"'offsets' must rise from 0 to at most {len(encoded)}")
    return encoded, offsets
