"""Whether pixels are those of a JPEG that was decoded and stored again without loss.

Its transformed blocks lie near multiples of its quantisation steps, but for the rounding of grey
levels: a histogram with gaps (Fan and de Queiroz, IEEE Trans. Image Process. 12 (2003) 230).
"""

import functools

import numpy as np
import scipy
from numpy.typing import NDArray

from jax_origin.images.jpeg import YCBCR

_QUALITIES = range(5, 97)
_ROUNDING = 0.35  # grey levels: the deviation that rounding leaves in a coefficient
_OTHERS = 0.1  # the share of coefficients that lie anywhere: colours that were cut off at 0 or 255
_NARROWEST = 3.0  # grey levels: narrower steps are no wider than rounding
_EVIDENCE = 20.0  # nats, over the chance that so many qualities have to look right
_BLOCKS = 256  # that are looked at
# Annex K, tables K.1 and K.2: steps of brightness and of colour at quality 50, in rows.
_LUMA = """
16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101
72 92 95 98 112 100 103 99
"""
_CHROMA = (
    """
17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
"""
    + 32 * "99 "
)


def jpeg_quality(pixels: NDArray[np.uint8]) -> int | None:
    """The quality of the JPEG that an image's pixels were decoded from; None without its traces.

    It knows the tables of the Independent JPEG Group, and blocks that begin at the first pixel.

    Args:
      pixels: uint8 [H, W, C], C 3 or 1.
    """
    height, width = (side // 8 * 8 for side in pixels.shape[:2])
    if not height or not width:
        return None
    levels = pixels[:height, :width].astype(np.float64)
    bright = levels @ YCBCR[0] if levels.shape[2] == 3 else levels[..., 0]
    blocks = bright.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2).reshape(-1, 8, 8)
    blocks = blocks[:: -(-len(blocks) // _BLOCKS)]
    waves = np.abs(scipy.fft.dctn(blocks, axes=(1, 2), norm="ortho").reshape(-1, 64)[:, 1:])
    # What is quantised to 0 is near 0 in any smooth image, and narrow steps say nothing.
    place, frequency = np.nonzero(waves > _NARROWEST / 2)
    waves, steps = waves[place, frequency], _tables()[:, frequency]
    multiple = np.rint(waves / steps)
    says = (multiple > 0) & (steps >= _NARROWEST)
    # The log likelihood ratio of each quality's steps against no steps; in place, which is quicker.
    evidence = (multiple * steps - waves) ** 2
    evidence *= -0.5 / _ROUNDING**2
    evidence = np.exp(evidence, out=evidence) * steps
    evidence *= (1 - _OTHERS) / (_ROUNDING * np.sqrt(2 * np.pi))
    evidence += _OTHERS
    np.log(evidence, out=evidence)
    evidence *= says
    best = int(np.argmax(evidence.sum(axis=1)))
    # Blocks that are alike, as those of a gradient, count once.
    kinds, counts = 64 * multiple[best] + frequency, says[best]
    _, kind = np.unique(kinds[counts], return_inverse=True)
    means = np.bincount(kind, evidence[best][counts]) / np.maximum(np.bincount(kind), 1)
    return _QUALITIES[best] if means.sum() > _EVIDENCE else None


def ijg_tables(quality: int) -> NDArray[np.uint16]:
    """The steps of brightness and of colour, uint16 [2, 8, 8], of a quality from 1 to 100.

    As the Independent JPEG Group's library scales them (jcparam.c, jpeg_quality_scaling).
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    base = np.array([_LUMA.split(), _CHROMA.split()], np.int64).reshape(2, 8, 8)
    return np.clip((base * scale + 50) // 100, 1, 255).astype(np.uint16)


@functools.cache
def _tables() -> NDArray[np.float64]:
    """The steps of brightness of each quality but the mean's, [Q, 63]."""
    return np.array([ijg_tables(q)[0].ravel()[1:] for q in _QUALITIES], np.float64)
