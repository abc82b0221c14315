"""Images in NumPy archives."""

import functools
import itertools
from collections.abc import Iterator

import numpy as np

from jax_origin.images import ImageError
from jax_origin.images.load import encoded_file, read_archive
from jax_origin.sources.entry import Entry, broken
from jax_origin.sources.places import stamp_of


def numpy_entries(path: str) -> Iterator[Entry]:
    """The images of an .npz archive, as `jax_origin.images.load_images` takes it.

    Pixels are given as the bytes of a PNM file, which holds them as they are. The archive is held
    in memory. One that does not hold what it should is one entry, whose reading says why.
    """
    try:
        arrays, stamp = read_archive(path), stamp_of(path)
        if "offsets" in arrays:
            encoded, offsets = encoded_file(path, arrays)
            for i, (begin, end) in enumerate(itertools.pairwise(offsets.tolist())):
                yield Entry(f"{path}/{i}", encoded[begin:end].tobytes, stamp)
            return
        (pixels,) = (arrays[name] for name in ("x", "images") if name in arrays)
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3):
            found = f"{pixels.dtype} {list(pixels.shape)}"
            raise ImageError(path, f"images must be uint8 [N, H, W, 3], they are {found}")
        for i, image in enumerate(pixels):
            yield Entry(f"{path}/{i}", functools.partial(_pnm, image), stamp)
    except ImageError as error:
        yield broken(path, error.reason)


def _pnm(image: np.ndarray) -> bytes:
    height, width, channels = image.shape
    kind = b"P6" if channels == 3 else b"P5"
    return b"%s %d %d 255\n" % (kind, width, height) + image.tobytes()
