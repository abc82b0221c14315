"""The JPEG that an image was before it was stored as another JPEG: its coefficients, found again.

A JPEG may be stored once more, with finer steps. Its coefficients then lie near multiples of the
first one's: half a step of the second one off, and what decoding rounds. The nearest multiples are
the first one's coefficients. (Lukas and Fridrich, Digital Forensic Research Workshop, 2003.)
"""

import functools
from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import NDArray

from jax_origin.images.jpeg import JpegComponent, JpegFile
from jax_origin.images.jpeg_traces import ijg_tables

_QUALITIES = range(20, 96)
_ROUNDING = 0.5  # grey levels: the deviation that decoding to pixels leaves in a coefficient
_MOST_ROUNDED = 1.0  # grey levels: what it leaves at the most, nearly always
_COARSER = 1.2  # times the steps of the file's, those of an earlier JPEG that can be found
_OTHERS = 0.05  # the share of coefficients that lie anywhere: colours that were cut off
_EVIDENCE = 20.0  # nats, over the chance that so many qualities have to look right
_NEAR = 0.93  # the share of coefficients as near as that, which proves it


def jpeg_before(file: JpegFile) -> JpegFile | None:
    """The JPEG that a file's image was stored as before; None if nothing shows one.

    It is found by tables of the Independent JPEG Group, where its steps are the coarser ones. Its
    blocks begin at the same pixel, and its chroma was averaged over the same pixels. Groups of
    blocks that reach beyond the image are left out.
    """
    if file.colour == "rgb" or any(max(part.averaged) > 2 for part in file.components):
        return None
    parts = [_whole(part, file) for part in file.components]
    if not all(part.coefficients.size for part in parts):
        return None
    quality = _quality_before(parts[0])
    if quality is None:
        return None
    found = []
    for i, part in enumerate(parts):
        table = ijg_tables(quality)[min(i, 1)]
        seen = _dequantised(part)
        if not np.all(table > _COARSER * part.table):
            return None
        coefficients = np.rint(_undone(seen, part.averaged) / table)
        off = np.abs(_done(coefficients * table, part.averaged) - seen)
        if np.mean(off <= part.table / 2 + _MOST_ROUNDED) < _NEAR:
            return None
        found.append(JpegComponent(_plane(coefficients).astype(np.int16), table, part.averaged))
    return JpegFile(file.height, file.width, file.colour, tuple(found))


def _whole(part: JpegComponent, file: JpegFile) -> JpegComponent:
    """A component without the blocks of groups that reach beyond the image."""
    most = np.max([other.averaged for other in file.components], axis=0)
    rows, columns = (
        side // (8 * pair) * 8 * pair // own
        for side, pair, own in zip((file.height, file.width), most, part.averaged, strict=True)
    )
    return part._replace(coefficients=part.coefficients[:rows, :columns])


def _quality_before(bright: JpegComponent) -> int | None:
    """The quality of an earlier JPEG, by the coefficients of brightness; None without traces."""
    boxes = np.abs(bright.coefficients).reshape(-1, 8, bright.coefficients.shape[1] // 8, 8)
    seen = boxes.swapaxes(1, 2).reshape(-1, 64)
    # Blocks that are alike, as those of a gradient, count once.
    kinds = np.unique(64 * seen.astype(np.int64) + np.arange(64))
    seen, frequency = kinds[kinds >= 64] // 64, kinds[kinds >= 64] % 64
    steps, tables = bright.table.ravel()[frequency].astype(np.float64), _tables()[:, frequency]
    # What becomes of an earlier coefficient, and of the two beside it: the share that is as seen.
    nearest, likely = np.rint(seen * steps / tables), np.zeros(tables.shape)
    for beside in (-1, 0, 1):
        earlier = np.maximum(nearest + beside, 0) * tables
        shares = [
            scipy.special.ndtr(((seen + half) * steps - earlier) / _ROUNDING)
            for half in (-0.5, 0.5)
        ]
        likely += np.where(nearest + beside > 0, shares[1] - shares[0], 0.0)
    evidence = np.log((1 - _OTHERS) * likely * tables / steps + _OTHERS)
    evidence = np.where(tables > _COARSER * steps, evidence, 0.0).sum(axis=1)
    best = int(np.argmax(evidence))
    return _QUALITIES[best] if evidence[best] > _EVIDENCE else None


def _dequantised(part: JpegComponent) -> NDArray[np.float64]:
    """The coefficients of each block in grey levels, [R, C, 8, 8]."""
    height, width = part.coefficients.shape
    blocks = part.coefficients.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2)
    return blocks.astype(np.float64) * part.table


def _plane(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, columns = blocks.shape[:2]
    return blocks.swapaxes(1, 2).reshape(8 * rows, 8 * columns)


def _done(blocks: NDArray[np.float64], averaged: tuple[int, int]) -> NDArray[np.float64]:
    """What a component becomes between two files: doubled by a decoder, halved by an encoder."""
    return _along(blocks, averaged, _times)


def _undone(blocks: NDArray[np.float64], averaged: tuple[int, int]) -> NDArray[np.float64]:
    return _along(blocks, averaged, functools.partial(scipy.linalg.solve_banded, (1, 1)))


def _along(
    blocks: NDArray[np.float64],
    averaged: tuple[int, int],
    change: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Changes the samples of blocks along each axis whose pixels were averaged."""
    if averaged == (1, 1):
        return blocks
    samples = _plane(scipy.fft.idctn(blocks, axes=(2, 3), norm="ortho"))
    for axis, pair in enumerate(averaged):
        if pair == 2:
            rows = np.moveaxis(samples, axis, 0)
            samples = np.moveaxis(change(_bands(len(rows)), rows), 0, axis)
    height, width = samples.shape
    again = samples.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2)
    return scipy.fft.dctn(again, axes=(2, 3), norm="ortho")


def _bands(count: int) -> NDArray[np.float64]:
    """Mean of the two pixels that a decoder makes of a sample: a quarter of the way to others."""
    bands = np.full((3, count), [[1 / 8], [6 / 8], [1 / 8]])
    bands[1, [0, -1]] = 7 / 8
    return bands


def _times(bands: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    made = bands[1][:, None] * rows
    made[:-1] += rows[1:] / 8
    made[1:] += rows[:-1] / 8
    return made


@functools.cache
def _tables() -> NDArray[np.float64]:
    """The steps of brightness of each quality, [Q, 64]."""
    return np.array([ijg_tables(quality)[0].ravel() for quality in _QUALITIES], np.float64)
