"""How an image was resized before it was stored: found in its pixels, and as a map.

An image that a filter enlarged lies in a subspace, but for the rounding of grey levels: what the
filter can make of fewer pixels. The right size and filter leave only that rounding outside of it.
Most others leave much more.

An image may have been brought to another size and back (`Resizing`), or have another size than it
was made with (`Rescaling`).
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
CUT = "cut to"
"""What was done to a part of an image; before its size."""

ENLARGING = ("bicubic", "lanczos", "bilinear", "nearest", "sharp bicubic")
"""Filters of `Rescaling`: Pillow's, and OpenCV's and PyTorch's bicubic, with -0.75 for -0.5."""

_NEAR, _NEAR_LOSSY = 1.02, 1.3  # times the least that a filter leaves: others that may be it
_READING = "bicubic"  # what `decode_image` brings files of another size to the one wanted with
_FACTORS = (0.4, 0.5, 0.6, 2 / 3, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_MARGINS = (1, 2, 3, 4)  # pixels that are often cut off on each side
_MOST_CUT = 1 / 8  # of a side, on each side
_LEAST_PART = 0.55  # of a side: smaller parts are not looked for
_ROUNDING = 0.45  # grey levels: rounding, resizing and rounding again leaves 0.36 to 0.44
_TIE = 0.03  # grey levels: filters as near to the best one cannot be told apart
_LINES = 64  # rows, or columns, that are looked at
_LENGTH = 192  # pixels of each
_SHARP, _REACH = -0.75, 2  # the free number of a bicubic filter, and how far it reaches
_SMALLEST = 16  # pixels: shorter sides have too few numbers outside of any subspace


class Resizing(NamedTuple):
    """How an image came to another size, and from there to the size that it has.

    Attributes:
      size: (h, w), the size in between.
      there: The filter to that size, "lanczos", "bicubic" or "bilinear"; None for a cut-out middle.
      back: The filter back.
    """

    size: tuple[int, int]
    there: str | None
    back: str

    def matrices(self, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the way does to images of (H, W): rows [H, H] and columns [W, W].

        An image X becomes ``rows @ X @ columns.T``, channel by channel, but for rounding.
        """
        rows, columns = (
            _way(full, between, self.there, self.back)
            for full, between in zip(size, self.size, strict=True)
        )
        return rows, columns


def find_resizings(pixels: NDArray[np.uint8]) -> tuple[Resizing, ...]:
    """The ways by which an image may have come to its size.

    It finds lossless images that were resized, or cut to their middle, and resized back: both sides
    by the same factor, with one of Pillow's three filters, which enlarge as most libraries do.
    The pixels do not say whether the image was resized (assumed by the same filter) or cut. Where
    both are possible both are returned, as are filters that cannot be told apart.

    Args:
      pixels: uint8 [H, W, C].

    Returns:
      The ways; none if nothing speaks for one, or if the image is so smooth that all sizes fit.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < _SMALLEST:
        return ()
    ways = _ways(height, width)
    rows = pixels[:: -(-height // _LINES)].transpose(1, 0, 2).reshape(width, -1)
    columns = pixels[:, :: -(-width // _LINES)].reshape(height, -1)
    left = np.maximum(
        _outside(columns, tuple((h, back) for (h, _), back in ways)),
        _outside(rows, tuple((w, back) for (_, w), back in ways)),
    )
    fitting = {way: rest for way, rest in zip(ways, left, strict=True) if rest < _ROUNDING}
    if not fitting or 2 * len(fitting) > len(ways):
        return ()
    # Of those that leave rounding alone, the size that explains most by it.
    size = min(size for size, _ in fitting)
    of_size = {back: rest for (found, back), rest in fitting.items() if found == size}
    filters = [back for back, rest in of_size.items() if rest < min(of_size.values()) + _TIE]
    cut = height - size[0]
    middle = cut == width - size[1] and cut % 2 == 0 and cut <= 2 * _MOST_CUT * min(height, width)
    return tuple(
        Resizing(size, there, back)
        for back in filters
        for there in ((back, None) if middle else (back,))
    )


class Rescaling(NamedTuple):
    """How an image came to the size that its file has.

    Attributes:
      made: (H, W), the size before.
      by: The filter, a name in `ENLARGING`.
    """

    made: tuple[int, int]
    by: str

    def matrices(self, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What it does to images of the size before: rows [h, H] and columns [w, W]."""
        rows, columns = (
            _rescaled(full, wanted, self.by) for full, wanted in zip(self.made, size, strict=True)
        )
        return rows, columns

    def words(self, size: tuple[int, int]) -> str:
        """What was done to an image that has this size now."""
        more = size[0] * size[1] > self.made[0] * self.made[1]
        return f"{'enlarged' if more else 'reduced'} from {self.made[0]}x{self.made[1]} ({self.by})"


class Placing(NamedTuple):
    """How a part of an image came to the size that its file has.

    Where the part lay is not said: it is taken for the image's middle.

    Attributes:
      made: (H, W), the image's size.
      kept: (h, w), the part's.
      by: The filter that enlarged it, a name in `ENLARGING`; None if nothing did.
    """

    made: tuple[int, int]
    kept: tuple[int, int]
    by: str | None

    def matrices(self, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What it does to images of the size before: rows [h, H] and columns [w, W]."""
        rows, columns = (
            _part(*sides, self.by) for sides in zip(self.made, self.kept, size, strict=True)
        )
        return rows, columns

    @property
    def words(self) -> str:
        """What was done, but for the place: "cut to 28x28, enlarged (bicubic)"."""
        cut = f"{CUT} {self.kept[0]}x{self.kept[1]}"
        return cut if self.by is None else f"{cut}, enlarged ({self.by})"

    @property
    def before(self) -> tuple[int, int]:
        """How many rows lie above the part, and how many columns to its left."""
        above, left = ((f - k) // 2 for f, k in zip(self.made, self.kept, strict=True))
        return above, left


class Inside(NamedTuple):
    """That only the inside of an image is compared, (first, one past the last) along either side.

    Attributes:
      rows: Of rows.
      columns: Of columns.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]

    def matrices(self, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What makes the rest of images of (H, W) black: rows [H, H] and columns [W, W]."""
        each = [(np.arange(side), part) for side, part in zip(size, self, strict=True)]
        rows, columns = (
            np.diag(((at >= first) & (at < last)).astype(np.float32)) for at, (first, last) in each
        )
        return rows, columns


def find_rescalings(
    pixels: NDArray[np.uint8], made: tuple[int, int], *, lossy: bool = False
) -> tuple[Rescaling, ...]:
    """The ways by which an image of another size may have come to its own.

    Where it was enlarged, it tells the filter: that which leaves least outside of what it can make.
    Those that leave nearly as little are kept beside it. Where it was reduced, all may be.

    Args:
      pixels: uint8 [h, w, C].
      made: (H, W), the size before.
      lossy: Whether its file lost something, which hides what filters differ in.

    Returns:
      The ways, the likeliest first.
    """
    left = {name: beyond_enlargement(pixels, Rescaling(made, name)) for name in ENLARGING}
    least = min(left.values())
    most = max((_NEAR_LOSSY if lossy else _NEAR) * least, least + _TIE)
    near = [name for name in ENLARGING if left[name] <= most]
    return tuple(Rescaling(made, name) for name in sorted(near, key=lambda name: left[name]))


def beyond_enlargement(pixels: NDArray[np.uint8], way: Rescaling) -> float:
    """What of an image no image of the size before can become, grey levels.

    It is the root of a row's mean square, the median of the rows: white or black, where an enlarged
    image was cut off, spoils its row. For images that are no larger it is 0.
    """
    image = pixels.astype(np.float64).mean(axis=2)
    inside = image
    for axis, (now, full) in enumerate(zip(image.shape, way.made, strict=True)):
        if now > full:
            basis = _basis(full, now, way.by)
            inside = np.moveaxis(inside, axis, 0)
            inside = np.moveaxis(basis @ (basis.T @ inside), 0, axis)
    rows = np.mean((image - inside) ** 2, axis=1)
    return float(np.sqrt(np.median(rows)))


def find_part(
    pixels: NDArray[np.uint8], made: tuple[int, int], *, lossy: bool = False
) -> Placing | None:
    """How an image may be a part of a larger one, enlarged or not.

    A smaller file may be a part as it is. Another one was enlarged where its pixels show it, which
    says how large the part is: the least size outside of whose images rounding alone is left.

    Args:
      pixels: uint8 [h, w, C].
      made: (H, W), the size of the larger one.
      lossy: Whether its file lost something, which hides what enlarging leaves.

    Returns:
      The way; None if it cannot be a part, does not show it, or all sizes fit.
    """
    size = pixels.shape[:2]
    if max(np.divide(size, made)) <= 1 and size != made:
        return Placing(made, size, None) if min(np.divide(size, made)) >= _LEAST_PART else None
    if lossy or min(size) < _SMALLEST:
        return None
    down, along = (_enlarged_from(pixels, axis, made[axis]) for axis in (0, 1))
    both = [by for by in ENLARGING if by in down and by in along]
    if not both:
        return None
    by = min(both, key=lambda by: tuple(map(sum, zip(down[by], along[by], strict=True))))
    way = Placing(made, (down[by][0], along[by][0]), by)
    return None if way.kept == made else way


def _enlarged_from(pixels: NDArray[np.uint8], axis: int, made: int) -> dict[str, tuple[int, float]]:
    """The least size from which each filter may have enlarged a side, and what is left outside."""
    lines = np.moveaxis(pixels, axis, 0)
    lines = lines[:, :: -(-lines.shape[1] // _LINES)].reshape(len(lines), -1).astype(np.float64)
    sizes = range(math.ceil(_LEAST_PART * made), min(made, len(lines) - 1) + 1)
    found = {}
    for by in ENLARGING:
        left = {}
        for size in sizes:
            basis = _basis(size, len(lines), by)
            beyond = lines - basis @ (basis.T @ lines)
            squares = np.sum(beyond**2, axis=0) / (len(lines) - size)
            left[size] = float(np.sqrt(np.median(squares)))
        fitting = [size for size, rest in left.items() if rest < _ROUNDING]
        if fitting and 2 * len(fitting) <= len(left):
            found[by] = fitting[0], left[fitting[0]]
    return found


@functools.lru_cache(maxsize=512)
def _basis(size: int, wanted: int, by: str) -> NDArray[np.float64]:
    """An orthonormal basis of the lines that a filter makes of shorter ones, [wanted, size]."""
    basis, _ = np.linalg.qr(_rescaled(size, wanted, by).astype(np.float64))
    return basis


def read_resizings(size: tuple[int, int]) -> tuple[Resizing, ...]:
    """The ways of an image resized to a file's size, by any filter, and back when it was read."""
    return tuple(Resizing(size, there, _READING) for there in _FILTERS)


@functools.lru_cache(maxsize=64)
def _ways(height: int, width: int) -> list[tuple[tuple[int, int], str]]:
    """Sizes in between, and filters back, that are looked for."""
    sizes = [(round(height * factor), round(width * factor)) for factor in _FACTORS]
    sizes += [(height - 2 * margin, width - 2 * margin) for margin in _MARGINS]
    kept = [(h, w) for h, w in dict.fromkeys(sizes) if h < height and w < width]
    return [(size, back) for size in kept for back in _FILTERS]


def _outside(lines: NDArray[np.uint8], ways: tuple[tuple[int, str], ...]) -> NDArray[np.float64]:
    """What of lines [side, N] is in no image of each way, grey levels.

    It is the median of the lines: white or black, where it was cut off, spoils its line.
    """
    basis, starts = _complements(len(lines), ways)
    left = basis @ lines[_middle(len(lines))].astype(np.float32)
    squares = np.add.reduceat(left**2, starts, axis=0)
    counts = np.diff([*starts, len(basis)])[:, None]
    return np.median(np.sqrt(squares / counts), axis=1)


def _middle(side: int) -> slice:
    first = max(0, side - _LENGTH) // 2
    return slice(first, first + _LENGTH)


@functools.lru_cache(maxsize=16)
def _complements(
    side: int, ways: tuple[tuple[int, str], ...]
) -> tuple[NDArray[np.float32], list[int]]:
    """Orthonormal rows of which the images of each way hold nothing; where each way's begin."""
    parts = []
    for size, back in ways:
        images = _resample(size, side, back)[_middle(side)]
        images = images[:, np.any(images, axis=0)]
        basis, _ = np.linalg.qr(images, mode="complete")
        # Fewer rows than columns: nothing is outside, and nothing would speak for this way.
        parts.append(basis[:, images.shape[1] :].T if images.shape[1] < len(basis) else basis)
    starts = np.cumsum([0, *map(len, parts[:-1])])
    return np.concatenate(parts).astype(np.float32), starts.tolist()


@functools.lru_cache(maxsize=256)
def _way(full: int, between: int, there: str | None, back: str) -> NDArray[np.float32]:
    if there is None:
        margin = (full - between) // 2
        into = np.eye(full)[margin : margin + between]
    else:
        into = _resample(full, between, there)
    return (_resample(between, full, back) @ into).astype(np.float32)


@functools.lru_cache(maxsize=256)
def _resample(size: int, wanted: int, name: str) -> NDArray[np.float64]:
    """A filter as Pillow applies it to a line of `size` pixels, [wanted, size]."""
    lines = Image.fromarray(np.eye(size, dtype=np.float32))
    by = _FILTERS.get(name, Image.Resampling.NEAREST)
    return np.asarray(lines.resize((wanted, size), by)).T.astype(np.float64)


@functools.lru_cache(maxsize=256)
def _part(made: int, kept: int, size: int, by: str | None) -> NDArray[np.float32]:
    """The middle of a line, enlarged, [size, made]."""
    before = (made - kept) // 2
    into = np.eye(made, dtype=np.float32)[before : before + kept]
    return into if by is None else _rescaled(kept, size, by) @ into


@functools.lru_cache(maxsize=64)
def _rescaled(full: int, wanted: int, name: str) -> NDArray[np.float32]:
    """A filter as libraries apply it to a line of `full` pixels, [wanted, full]."""
    if name != "sharp bicubic":
        return _resample(full, wanted, name).astype(np.float32)
    places = (np.arange(wanted) + 0.5) * full / wanted - 0.5
    apart = np.abs(places[:, None] - np.arange(-_REACH, full + _REACH))
    weights = np.where(
        apart <= 1,
        ((_SHARP + 2) * apart - (_SHARP + 3)) * apart**2 + 1,
        np.where(apart < 2, _SHARP * (((apart - 5) * apart + 8) * apart - 4), 0.0),
    )
    lines = np.zeros((wanted, full))
    for column, weight in zip(range(-_REACH, full + _REACH), weights.T, strict=True):
        lines[:, min(max(column, 0), full - 1)] += weight  # Beyond the border the last pixel stays.
    return lines.astype(np.float32)
