"""The distance to the set of images that a file may have come from; see `jax_origin.images.Stored`.

Targets are `StoredArrays` with a first axis for the images: their kind, tables and sampling are
data, so files of all kinds share one program. Distances have the scale of those on pixels: that to
the set of a lossless file is what `L1` or `L2` would be of what lies beyond half a grey level.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jax_origin.distances.base import SIDE, Distance, evenness_of_parts
from jax_origin.images import WALSH_OF_4, Stored, StoredArrays, stack_stored
from jax_origin.parts import register

HOLD = 0.2
"""Share of its slope that a number keeps inside of its box, where a residual is linearised."""


@register
@dataclasses.dataclass(frozen=True)
class FileSet(Distance):
    """Mean squared distance of the numbers that a file stores to their boxes; 0 inside of the set.

    Images have 1 or 3 channels.

    Attributes:
      margin: By how many grey levels the boxes of coefficients are widened on either side: so far
        an encoder's own rounding may carry one over the border, since it rounds colours, and
        averages of them, before it transforms. Boxes of pixels are exact.
      webp: Whether a lossy WebP has a set of its own; or is taken for its pixels, as calibrations
        took it before it had one.
    """

    kind: ClassVar[str] = "file_set"
    of_files: ClassVar[bool] = True
    unsaid: ClassVar[Mapping[str, Any]] = {"webp": False}
    margin: float = 1.0
    webp: bool = True

    def target(self, image: Any) -> StoredArrays:
        """The set as arrays."""
        as_pixels = image.kind == "webp" and not self.webp
        return (image.as_pixels() if as_pixels else image).to_arrays()

    def l1(self, images: jax.Array, targets: StoredArrays) -> jax.Array:
        """Mean distance of the numbers stored to their boxes, [N]."""
        return _mean(jnp.abs(_beyond(images, targets, self.margin)), targets)

    def l2(self, images: jax.Array, targets: StoredArrays) -> jax.Array:
        """Mean squared distance of the numbers stored to their boxes, [N]."""
        return _mean(_beyond(images, targets, self.margin) ** 2, targets)

    def residual(self, images: jax.Array, targets: StoredArrays) -> jax.Array:
        """What solvers of least squares make small, [N, 3, R, C]; its squares' sum is `l2`.

        Outside of its box a number has its own derivative; inside, a share of it, `HOLD`. With 0, a
        step would carry many numbers out on the other side. With all of it, each would be held
        where it is, and the set be neared as by alternating projections.
        """
        off, room = off_middle(images, targets, self.margin)
        return jnp.sqrt(number_weights(targets)) * held_beyond(off, room) / 255

    def evenness(self, images: jax.Array, targets: StoredArrays) -> jax.Array:
        """How evenly `l2` is spread over an image, [N]; see `evenness_of_parts`."""
        squares = number_weights(targets) * _beyond(images, targets, self.margin) ** 2
        rows, columns = _parts(targets.row_weights), _parts(targets.column_weights)
        parts = jnp.einsum("npxy,npxi,npyj->nij", squares, rows, columns, precision="highest")
        return evenness_of_parts(parts)


def as_stored(images: jax.Array, targets: StoredArrays) -> jax.Array:
    """The numbers that the files' encoders would round of other images of the same size.

    Images [N, H, W, C] in [0, 1], C of 1 or 3, become [N, 3, R, C] in grey levels, in the places of
    ``targets.middles``.
    """
    images = _resized(images, targets)
    red, green, blue = jnp.moveaxis(jnp.broadcast_to(255 * images, (*images.shape[:3], 3)), 3, 0)
    # Written out: as a product of matrices it takes longer than all that follows.
    colour = targets.colour[..., None, None]
    planes = colour[:, :, 0] * red[:, None]
    planes += colour[:, :, 1] * green[:, None] + colour[:, :, 2] * blue[:, None]
    planes = _whole_tiles(planes - targets.offset[..., None, None], targets.averaged)
    n, _, rows, columns = planes.shape
    tiles = planes.reshape(n, 3, rows // 16, 16, columns // 16, 16)
    # Without the precision, accelerators would round to coarser numbers than the boxes are wide.
    made = jnp.einsum(
        "npux,npvy,npixjy->npiujv", targets.rows, targets.columns, tiles, precision="highest"
    )
    made = made.reshape(planes.shape)
    # Few files need more, as few were resized.
    once_more = functools.partial(_terms_transformed, whole=targets.whole)
    return jax.lax.cond(jnp.any(targets.whole), once_more, lambda made: made, made)


_as_stored = jax.jit(as_stored)


def stored_numbers(pixels: NDArray[np.uint8], like: Stored) -> list[NDArray[np.float32]]:
    """What the encoder of a lossy file would round of other pixels, uint8 [H, W, C].

    Returns:
      For each plane of `like.coefficients` as many numbers, in steps of its table.
    """
    arrays = like.to_arrays()
    images = jnp.asarray(pixels[None], jnp.float32) / 255
    numbers = np.asarray(_as_stored(images, stack_stored([arrays])))[0] / (2 * arrays.halves)
    sides = zip(arrays.row_weights, arrays.column_weights, strict=True)
    planes = [
        plane[np.ix_(*map(np.flatnonzero, each))]
        for plane, each in zip(numbers, sides, strict=True)
    ]
    return planes[: len(like.coefficients)]


def off_middle(
    images: jax.Array, targets: StoredArrays, margin: float
) -> tuple[jax.Array, jax.Array]:
    """How far each number is from the middle of its box, and the box's half width, grey levels."""
    off = as_stored(images, targets) - targets.middles
    return off, targets.halves + margin * targets.rounded[:, None, None, None]


def held_beyond(off: jax.Array, room: jax.Array) -> jax.Array:
    """How far numbers lie outside of their boxes, signed, with the slopes of `FileSet.residual`."""
    nearest = jnp.clip(off, -room, room)
    beyond, held = off - nearest, off - jax.lax.stop_gradient(nearest)
    return beyond + HOLD * (held - beyond)


def number_weights(targets: StoredArrays) -> jax.Array:
    """The weight of each number in a mean over its image, [N, 3, R, C]; 0 where there is none."""
    return targets.row_weights[..., None] * targets.column_weights[:, :, None]


def _resized(images: jax.Array, targets: StoredArrays) -> jax.Array:
    """Images after their files' way to another size, or there and back, if they went one."""
    rows, columns = targets.resize_rows, targets.resize_columns

    def resized(images: jax.Array) -> jax.Array:
        made = jnp.einsum("nij,njwc->niwc", rows, images, precision="highest")
        made = jnp.einsum("nkw,niwc->nikc", columns, made, precision="highest")
        # What goes past black or white is cut off; its slope stays.
        return made + jax.lax.stop_gradient(jnp.clip(made, 0, 1) - made)

    def some_resized(images: jax.Array) -> jax.Array:
        return jnp.where(targets.resized[:, None, None, None], resized(images), images)

    if (rows.shape[1], columns.shape[1]) != images.shape[1:3]:  # Files of another size.
        return resized(images)
    # Few went any: a block without one of them is spared the products.
    return jax.lax.cond(jnp.any(targets.resized), some_resized, lambda images: images, images)


def _beyond(images: jax.Array, targets: StoredArrays, margin: float) -> jax.Array:
    """How far each number lies outside of its box, signed, [N, 3, R, C], images in [0, 1]."""
    off, room = off_middle(images, targets, margin)
    return (off - jnp.clip(off, -room, room)) / 255


def _parts(weights: jax.Array) -> jax.Array:
    """Which part of its image each row (or column) of a component is in, [N, 3, R, SIDE].

    A component that was made smaller has fewer rows than the others, and is of the same image.
    """
    there = weights > 0
    place = (jnp.cumsum(there, axis=2) - 1) * SIDE // jnp.sum(there, axis=2, keepdims=True)
    return jax.nn.one_hot(place, SIDE) * there[..., None]


def _mean(values: jax.Array, targets: StoredArrays) -> jax.Array:
    return jnp.sum(number_weights(targets) * values, axis=(1, 2, 3))


def _terms_transformed(made: jax.Array, whole: jax.Array) -> jax.Array:
    """Numbers whose constant terms in `whole` tiles are transformed once more, as WebP has it."""
    terms = made[:, 0, ::4, ::4]
    n, rows, columns = terms.shape
    tiles = terms.reshape(n, rows // 4, 4, columns // 4, 4)
    twice = jnp.einsum("ux,nixjy,vy->niujv", WALSH_OF_4, tiles, WALSH_OF_4, precision="highest")
    twice = jnp.where(whole[:, :, None, :, None], twice, tiles)
    return made.at[:, 0, ::4, ::4].set(twice.reshape(terms.shape))


def _whole_tiles(planes: jax.Array, averaged: jax.Array) -> jax.Array:
    """Fills components up to whole tiles as encoders do, rows and columns."""
    for axis in (3, 2):
        length = planes.shape[axis]
        if not (missing := -length % 16):
            continue
        last = jax.lax.slice_in_dim(planes, length - 1, length, axis=axis)
        # What is averaged in pairs repeats the last pair, if it is whole.
        begin = length - 2 if length % 2 == 0 else length - 1
        before = jax.lax.slice_in_dim(planes, begin, begin + 1, axis=axis)
        every_other = jnp.where(averaged[:, :, axis - 2, None, None], before, last)
        turns = [last if (length + i) % 2 else every_other for i in range(missing)]
        planes = jnp.concatenate([planes, *turns], axis=axis)
    return planes
