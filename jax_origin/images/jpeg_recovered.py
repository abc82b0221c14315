"""The JPEG whose decoded pixels a lossless file holds: its coefficients, found again and verified.

What libjpeg and libjpeg-turbo do by default is undone step by step. Colours are turned back without
loss, and chroma is made smaller by least squares. The DCT of blocks lies near multiples of the
steps. What was found is decoded again with the decoder's own integers, and must give the pixels.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from jax_origin.images.jpeg import YCBCR, JpegComponent, JpegFile
from jax_origin.images.jpeg_traces import ijg_tables

Plane = NDArray[np.float64]

# Coarsest first: of samplings that give the same pixels, the one that says least is taken.
_SAMPLINGS = ((2, 2), (1, 2), (1, 1))
_LOOK = 256  # pixels along either side, by which the sampling is chosen
_ROUNDS = 12  # of changes to the blocks that do not give their pixels
_SINGLE = 5  # coefficients of a block of which each is tried alone
_NEAR, _EQUAL = 0.995, 0.95  # the shares of values within a grey level, and equal, that prove it
# The integer matrix of libjpeg's "islow" inverse DCT (jidctint.c), times 2**13: even and odd
# frequencies, for the first four of eight places.
_EVEN = [
    [8192, 10703, 8192, 4433],
    [8192, 4433, -8192, -10704],
    [8192, -4433, -8192, 10704],
    [8192, -10703, 8192, -4433],
]
_ODD = [
    [11363, 9633, 6437, 2260],
    [9633, -2259, -11362, -6436],
    [6437, -11362, 2261, 9633],
    [2260, -6436, 9633, -11363],
]
_INVERSE_DCT = np.zeros((8, 8))
_INVERSE_DCT[:4, ::2], _INVERSE_DCT[:4, 1::2] = _EVEN, _ODD
_INVERSE_DCT[4:, ::2], _INVERSE_DCT[4:, 1::2] = _EVEN[::-1], np.negative(_ODD[::-1])


class _Part(NamedTuple):
    """One component of N images or patches, of whole groups of blocks."""

    averaged: tuple[int, int]
    table: Plane  # [8, 8]
    coefficients: Plane  # [N, R, C, 8, 8], whole numbers


def recovered_jpeg(pixels: NDArray[np.uint8], quality: int) -> JpegFile | None:
    """The JPEG that an image was decoded from; None if none is found that gives its pixels.

    Its blocks begin at the first pixel. Groups of blocks that reach beyond the image are left out.
    Where several coefficients give the same pixels (flat blocks with steps under 8, colours that
    were cut off at 0 or 255), those nearest to the pixels are taken.

    Args:
      pixels: uint8 [H, W, C], C 3 or 1.
      quality: the Independent JPEG Group's, 1 to 100; see `jpeg_quality`.
    """
    height, width, channels = pixels.shape
    begun = []
    for averaged in _SAMPLINGS if channels == 3 else _SAMPLINGS[-1:]:
        image, counts = _whole_groups(pixels[:_LOOK, :_LOOK], averaged)
        if image.size:
            off = _off(_begun(image, averaged, quality), image)[counts]
            begun.append((np.count_nonzero(off) / off.size, averaged))
    if not begun:
        return None
    _, averaged = min(begun, key=lambda found: found[0])
    image, counts = _whole_groups(pixels, averaged)
    parts = _improved(_begun(image, averaged, quality), image, counts)
    off = _off(parts, image)[counts]
    if np.mean(off <= 1) < _NEAR or np.mean(off == 0) < _EQUAL:
        return None
    components = [
        JpegComponent(
            _plane(part.coefficients)[0].astype(np.int16),
            part.table.astype(np.uint16),
            part.averaged,
        )
        for part in parts
    ]
    return JpegFile(height, width, "ycbcr" if channels == 3 else "grey", tuple(components))


def _whole_groups(
    pixels: NDArray[np.uint8], averaged: tuple[int, int]
) -> tuple[Plane, NDArray[np.bool_]]:
    """The part of an image that whole groups of blocks cover, [1, H, W, C], and what counts."""
    sides = [pixels.shape[i] // (8 * pair) * 8 * pair for i, pair in enumerate(averaged)]
    image = pixels[None, : sides[0], : sides[1]].astype(np.float64)
    counts = np.ones(image.shape[:3], bool)
    # Averages that are left out have a share in the last row and column.
    if averaged[0] == 2 and sides[0] < pixels.shape[0]:
        counts[:, -1:] = False
    if averaged[1] == 2 and sides[1] < pixels.shape[1]:
        counts[:, :, -1:] = False
    return image, counts


def _begun(image: Plane, averaged: tuple[int, int], quality: int) -> list[_Part]:
    """The coefficients nearest to an image, if its chroma was averaged so."""
    tables = ijg_tables(quality).astype(np.float64)
    parts = []
    for i, seen in enumerate(_components(image)):
        part = _Part(averaged if i else (1, 1), tables[min(i, 1)], np.zeros(0))
        parts.append(part._replace(coefficients=np.rint(_waves(seen - 128, part))))
    return parts


def _off(parts: list[_Part], image: Plane) -> Plane:
    """How many grey levels a decoder's pixels are off the image, [N, H, W, C]."""
    return np.abs(np.clip(_colours([_decoded(part) for part in parts]), 0, 255) - image)


def _improved(parts: list[_Part], image: Plane, counts: NDArray[np.bool_]) -> list[_Part]:
    """Changes blocks that do not give their pixels, while that brings the image nearer.

    Each group of blocks is changed in a patch of its own, between the neighbours that it touches.
    """
    averaged = np.array(parts[-1].averaged)
    units = [averaged // part.averaged for part in parts]  # blocks of a group
    groups = np.array(parts[-1].coefficients.shape[1:3])
    size = np.minimum(np.where(averaged == 2, 3, 1), groups)
    before = np.inf
    for _ in range(_ROUNDS):
        off = (_off(parts, image).sum(axis=3) * counts)[0]
        if not 0 < off.sum() < before:
            break
        before = off.sum()
        off = off.reshape(groups[0], 8 * averaged[0], groups[1], 8 * averaged[1])
        bad = np.argwhere(off.sum(axis=(1, 3)))
        first = np.clip(bad - size // 2, 0, groups - size)
        own = np.zeros((len(bad), *size), bool)
        own[np.arange(len(bad)), *(bad - first).T] = True
        own = own.repeat(8 * averaged[0], axis=1).repeat(8 * averaged[1], axis=2)
        cut_out = [
            part._replace(coefficients=_patches(part.coefficients, first, size, unit))
            for part, unit in zip(parts, units, strict=True)
        ]
        own &= _patches(counts, first, size, 8 * averaged)
        swept = _swept(cut_out, _patches(image, first, size, 8 * averaged), own)
        for part, unit, found in zip(parts, units, swept, strict=True):
            for block in np.ndindex(*unit):
                rows, columns = (bad * unit + block).T
                inner = ((bad - first) * unit + block).T
                kept = found.coefficients[np.arange(len(bad)), *inner]
                part.coefficients[0, rows, columns] = kept
    return parts


def _patches(values: NDArray, first: NDArray, size: NDArray, unit: NDArray) -> NDArray:
    """Patches of an array [1, H, W, ...], of `size` groups of `unit`, from each `first`."""
    rows, columns = (first[:, i, None] * unit[i] + np.arange(size[i] * unit[i]) for i in (0, 1))
    return values[0][rows[:, :, None], columns[:, None, :]]


def _swept(parts: list[_Part], image: Plane, counts: NDArray[np.bool_]) -> list[_Part]:
    """Tries changes of each component in turn, and keeps those that bring a block nearer."""
    parts, cut = list(parts), (image == 0) | (image == 255)
    off = _off(parts, image)
    for i, part in enumerate(parts):
        # A colour that was cut off is taken for what was found, where that is beyond the end.
        colours = _colours([_decoded(each) for each in parts])
        free = cut & (off == 0)
        missing = _components(np.where(free, colours, image))[i] - _components(colours)[i]
        rounded = scipy.fft.dctn(_levels(part), axes=(-2, -1), norm="ortho") / part.table
        wanted = _waves(missing, part) + rounded - part.coefficients
        for change in _changes(wanted, 1 - free.mean(axis=3), part):
            old = parts[i].coefficients
            parts[i] = part._replace(coefficients=old + change)
            farther = (_off(parts, image) - off).sum(axis=3) * counts
            nearer = _sums(farther, part).sum(axis=(-2, -1), keepdims=True) < 0
            parts[i] = part._replace(coefficients=old + change * nearer)
            off = _off(parts, image)
    return parts


def _changes(wanted: Plane, known: Plane, part: _Part) -> Iterator[Plane]:
    """What may bring blocks nearer: all that is wanted, or the single steps that promise most."""
    yield np.rint(wanted)
    squares = scipy.fft.dct(np.eye(8), axis=0, norm="ortho") ** 2
    told = squares @ (_sums(known, part) / np.prod(part.averaged)) @ squares.T
    gain = ((2 * np.abs(wanted) - told) * part.table**2).reshape(*wanted.shape[:3], 64)
    order = gain.argsort(axis=3)
    for place in range(1, _SINGLE + 1):
        chosen = np.arange(64) == order[..., -place, None]
        yield chosen.reshape(wanted.shape) * np.sign(wanted)


def _sums(values: Plane, part: _Part) -> Plane:
    """The sums of planes over what each sample of a component stands for, [N, R, C, 8, 8]."""
    num, height, width = values.shape
    down, along = part.averaged
    values = values.reshape(num, height // down, down, width // along, along)
    return _blocks(values.sum(axis=(2, 4)))


def _waves(seen: Plane, part: _Part) -> Plane:
    """The coefficients, in steps, of what is nearest to planes by least squares."""
    for axis, pair in enumerate(part.averaged, 1):
        seen = _halved(seen, axis) if pair == 2 else seen
    return scipy.fft.dctn(_blocks(seen), axes=(-2, -1), norm="ortho") / part.table


def _levels(part: _Part) -> Plane:
    """The samples of each block less 128, before they are cut off (jidctint.c)."""
    rows = np.floor((_INVERSE_DCT @ (part.coefficients * part.table) + 2**10) / 2**11)
    return np.floor((rows @ _INVERSE_DCT.T + 2**17) / 2**18)


def _decoded(part: _Part) -> Plane:
    """A component as a decoder gives it for each pixel, [N, H, W] (jdsample.c)."""
    samples = np.clip(_plane(_levels(part)) + 128, 0, 255)
    down, along = part.averaged
    if down == 2:
        samples = _doubled(samples, 1)
    if along == 2:
        samples = _doubled(samples, 2)
        rounding = np.resize([8, 7] if down == 2 else [1, 2], samples.shape[2])
        samples = np.floor((samples + rounding) / (4 * down**2))
    return samples


def _doubled(samples: Plane, axis: int) -> Plane:
    """Four times what lies a quarter of the way to the neighbours on either side."""
    rows = np.moveaxis(samples, axis, 0)
    before, after = np.concatenate([rows[:1], rows[:-1]]), np.concatenate([rows[1:], rows[-1:]])
    pairs = np.stack([3 * rows + before, 3 * rows + after], axis=1)
    return np.moveaxis(pairs.reshape(-1, *rows.shape[1:]), 0, axis)


def _halved(seen: Plane, axis: int) -> Plane:
    """The samples that come nearest to planes once they are doubled."""
    rows = np.moveaxis(seen, axis, 0)
    first, second = rows[::2], rows[1::2]
    right = 3 * (first + second)
    right[:-1] += first[1:]
    right[1:] += second[:-1]
    right[0] += first[0]
    right[-1] += second[-1]
    # The normal equations: of 3/4 and 1/4, and of 1 at either end.
    bands = np.full((2, len(right)), [[1.25], [0.375]])
    bands[0, [0, -1]] += 0.375
    flat = scipy.linalg.solveh_banded(bands, right.reshape(len(right), -1) / 4, lower=True)
    return np.moveaxis(flat.reshape(right.shape), 0, axis)


def _components(colours: Plane) -> list[Plane]:
    """Y, Cb and Cr, whole numbers: exactly what a decoder turned into uncut colours."""
    if colours.shape[3] == 1:
        return [colours[..., 0]]
    luma = np.rint(colours @ YCBCR[0].astype(np.float64))
    chroma = ((colours[..., 2] - luma) / 1.772, (colours[..., 0] - luma) / 1.402)
    return [luma, *(np.rint(plane) + 128 for plane in chroma)]


def _colours(planes: list[Plane]) -> Plane:
    """Red, green and blue, [N, H, W, 3], before they are cut off (jdcolor.c); or grey."""
    luma, *chroma = planes
    if not chroma:
        return luma[..., None]
    blueness, redness = (plane - 128 for plane in chroma)
    shares = 91881 * redness, -22554 * blueness - 46802 * redness, 116130 * blueness
    return np.stack([luma + np.floor((share + 2**15) / 2**16) for share in shares], axis=-1)


def _blocks(planes: Plane) -> Plane:
    num, height, width = planes.shape
    return planes.reshape(num, height // 8, 8, width // 8, 8).swapaxes(2, 3)


def _plane(blocks: Plane) -> Plane:
    num, rows, columns = blocks.shape[:3]
    return blocks.swapaxes(2, 3).reshape(num, 8 * rows, 8 * columns)
