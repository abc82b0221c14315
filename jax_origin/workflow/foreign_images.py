"""Foreign images that a calibration is made with, and which of them are of one source."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import CalibrationError, ForeignGroup
from jax_origin.generators import GeneratorLike
from jax_origin.images import as_float, short_digest
from jax_origin.workflow.judged_windows import check_shape, listed


class ForeignImages(NamedTuple):
    """Foreign images, and what is known of them.

    Attributes:
      images: uint8 or float [M, H, W, C]; or M of [H, W, C], whose sizes may differ where the
        method judges windows.
      independent: Number of independent sources, where only that is known: crops of one photograph
        are one. All images without it.
      sources: Which source each image comes from, M names or numbers, where that is known: limits
        on false attribution then count exactly, and ratios can be cross-fitted.
      used_for: The choice that these images took part in, such as "recipe" or "threshold", or
        several: no limit is given on images that a choice has looked at.
      made_by: The fingerprint of the generator that made them; None for photographs.
    """

    images: Any
    independent: int | None = None
    sources: Sequence[Hashable] | None = None
    used_for: str | Sequence[str] = ()
    made_by: str | None = None


class FittedGroup(NamedTuple):
    """`ForeignImages` that are to be scored: float32 [M, H, W, C], or M of uint8 [H, W, C].

    Images that are equal to the pixel are of one source. Sources are numbered from 0; None where
    each image has its own, or only their number is known.
    """

    images: Any
    independent: int
    sources: NDArray[np.int64] | None
    used_for: tuple[str, ...]
    made_by: str | None

    def scored(self, scores: NDArray[np.float64], shown: Iterable[np.ndarray]) -> ForeignGroup:
        """The group with scores of its images, edited or not; `shown` are their pixels."""
        digests = tuple(map(short_digest, shown))
        return ForeignGroup(
            scores,
            self.independent,
            sources=self.sources,
            used_for=self.used_for,
            digests=digests,
            made_by=self.made_by,
        )


def fitted_group(
    given: Any, generator: GeneratorLike, name: str, *, windows: int = 0
) -> FittedGroup:
    """A foreign group, images or `ForeignImages`, as it is scored; errors call it by its name.

    Raises:
      ValueError: If the images are none of the generator's shape; with `windows`, if smaller.
      CalibrationError: If there are none, or the sources are not one for each of them.
    """
    known = given if isinstance(given, ForeignImages) else ForeignImages(given)
    try:
        pixels = listed(known.images)
        for image in pixels:
            check_shape(image.shape, generator, windows, "images")
        images = pixels if windows else as_float(known.images)
    except ValueError as error:
        raise ValueError(f"foreign group {name!r}: {error}") from None
    if len(images) == 0:
        raise CalibrationError(f"foreign group {name!r} holds no images: need at least one")
    same = _numbered([short_digest(image) for image in pixels])
    num, independent = len(images), known.independent
    used_for = (known.used_for,) if isinstance(known.used_for, str) else tuple(known.used_for)
    if known.sources is None and independent is not None:
        if not 1 <= independent <= num:
            raise CalibrationError(
                f"foreign group {name!r}: independent must be a whole number from 1 to {num}, the "
                f"number of images; got {independent!r}"
            )
        independent = min(independent, int(same.max()) + 1)
        return FittedGroup(images, independent, None, used_for, known.made_by)
    sources = np.arange(num) if known.sources is None else _numbered(known.sources)
    if sources.shape != same.shape or independent is not None:
        raise CalibrationError(
            f"foreign group {name!r}: sources must name one for each of the {num} images, and "
            "independent, their number, be left out"
        )
    # Sources and different images are the nodes, the images at hand the edges between them.
    from scipy import sparse  # Here: it is needed by calibrations alone.

    edges = sparse.coo_array((np.ones(num), (sources, num + same)), shape=(2 * num, 2 * num))
    joined = _numbered(sparse.csgraph.connected_components(edges, directed=False)[1][sources])
    independent = int(joined.max()) + 1
    shared = None if independent == num else joined
    return FittedGroup(images, independent, shared, used_for, known.made_by)


def _numbered(names: Iterable[Hashable]) -> NDArray[np.int64]:
    """Each name's number, from 0 in the order in which they first occur."""
    names = list(names)
    numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.int64)
