"""What a lossy WebP stores: its quantised numbers, and what they are added to.

An encoder predicts each block from what is decoded before it, and stores what is missing. A file
fixes all predictions; so an image that it holds is one whose transform, less that of the
predictions, rounds to the numbers stored.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from jax_origin.images.webp_frame import joined, predicted_planes
from jax_origin.images.webp_scan import WHOLE_LUMA, CorruptCodes, read_frame

# Rows: Y, Cb, Cr of red, green and blue as libwebp has them (src/dsp/yuv.h), but for an offset, and
# stretched from 219 and 224 levels to 255, so that an error means what it does in a JPEG.
_STRETCHED = np.array([255 / 219, 255 / 224, 255 / 224])
_COLOUR = np.array([[16839, 33059, 6420], [-9719, -19081, 28800], [28800, -24116, -4684]])
WEBP_COLOUR = (_COLOUR / 2**16 * _STRETCHED[:, None]).astype(np.float32)
"""The components of red, green and blue, less their middle (Cb and Cr) or least value (Y)."""

_LEAST = 16, 128, 128

# libwebp stores a whole number of steps, floor(size + share), by less than a half: shares of luma,
# luma's transformed constant terms and chroma, constant terms apart (src/enc/quant_enc.c,
# kBiasMatrices and kFreqSharpening). At its methods 5 and 6 it also weighs size against error.
_FREQUENCIES = np.add.outer(np.arange(4), np.arange(4))
_OF_LUMA = 110 + np.minimum(3.75 * _FREQUENCIES, 11.25)
_SHARES = tuple(
    np.where(_FREQUENCIES == 0, constant, other) / 256
    for constant, other in ((96, _OF_LUMA), (96, 108), (110, 115))
)
_PASSED_ON = 0.4  # What a block's mean of colours loses goes to the next ones, in steps.

_MOST_PIXELS = 1 << 22

DCT_OF_4 = scipy.fft.dct(np.eye(4), axis=0, norm="ortho")
"""The orthonormal cosine transform of four numbers, as a matrix."""

WALSH_OF_4 = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, -1, 1], [1, -1, 1, -1]]) / 2
"""The transform that constant terms of four blocks meet once more."""


class WebpComponent(NamedTuple):
    """One component of a lossy WebP, [R, C], of whole macroblocks: 16x16 for Y, 8x8 for Cb and Cr.

    Levels of each 4x4 block are in its place, frequencies rising downwards and to the right.
    Constant terms that are transformed once more are where they come from.
    """

    levels: NDArray[np.int16]
    steps: NDArray[np.uint16]
    predicted: NDArray[np.uint8]


class WebpFile(NamedTuple):
    """A lossy WebP of a `size` in pixels: Y, Cb and Cr, the latter two for 2x2 pixels each.

    `quantiser` is the coarsest index of its segments, 0 (finest) to 127. Of macroblocks that are
    `whole`, bool [R / 16, C / 16], the constant terms of Y are transformed once more.
    """

    size: tuple[int, int]
    quantiser: int
    whole: NDArray[np.bool_]
    components: tuple[WebpComponent, WebpComponent, WebpComponent]


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a RIFF file: name and content. Of an animated WebP those of its first frame."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        name, content = data[at : at + 4], data[at + 8 : at + 8 + size]
        if name == b"ANMF":  # 16 bytes, then chunks.
            yield from chunks(content[4:])
            return
        yield name, content
        at += 8 + size + (size & 1)


def webp_coarsest(quality: float) -> int:
    """The coarsest quantiser index that libwebp gives a segment at a quality, 0 to 100.

    At its default settings: the quality's own quantiser, and what segments may be coarser by
    (src/enc/quant_enc.c, VP8SetSegmentParams).
    """
    share = quality / 100
    compression = (2 * share / 3 if share < 0.75 else 2 * share - 1) ** (1 / 3)
    return int(127 * (1 - compression ** (1 + 0.9 * 50 / 100 / 128 * 127)))


def read_webp(data: bytes) -> WebpFile | None:
    """Reads the numbers of a lossy WebP file; None where there are none, or too many."""
    try:
        frame = next((content for name, content in chunks(data) if name == b"VP8 "), b"")
        scan = read_frame(frame, max_pixels=_MOST_PIXELS)
    except CorruptCodes:
        return None
    parts, planes = (slice(16), slice(16, 20), slice(20, 24)), predicted_planes(scan)
    first, second, third = (
        WebpComponent(joined(scan.levels[:, :, at]), joined(scan.steps[:, :, at]), predicted)
        for at, (predicted, _) in zip(parts, planes, strict=True)
    )
    where = np.kron(scan.whole, np.ones((4, 4), bool))
    for plane, part in ((first.levels, scan.levels), (first.steps, scan.steps)):
        plane[::4, ::4][where] = joined(part[:, :, WHOLE_LUMA:])[where]
    return WebpFile(scan.size, scan.quantiser, scan.whole, (first, second, third))


def webp_boxes(
    component: WebpComponent, which: int, whole: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where numbers may have been before they were rounded: the middles, and how far from them.

    They are those of orthonormal transforms of the components, Y, Cb and Cr, as `WEBP_COLOUR` has
    them; `which` of these it is.
    """
    levels, blocks = component.levels.astype(np.float64), np.array(component.levels.shape) // 4
    predicted = component.predicted.astype(np.float64) - _LEAST[which]
    middles = _in_blocks(predicted, DCT_OF_4)
    steps = component.steps / 2  # The format's transform is twice as large, the second once more.
    shares = np.tile(_SHARES[2 if which else 0], blocks)
    if which == 0:
        where = np.kron(whole, np.ones((4, 4), bool))
        for plane, once_more in (
            (middles, _in_blocks(middles[::4, ::4], WALSH_OF_4)),
            (steps, steps[::4, ::4] / 2),
            (shares, np.tile(_SHARES[1], blocks // 4)),
        ):
            plane[::4, ::4][where] = once_more[where]
    room = np.where(levels == 0, 1 - shares, 0.5)
    if which:
        room[::4, ::4] += _PASSED_ON
    steps *= _STRETCHED[which]
    sizes = levels + (0.5 - shares) * np.sign(levels)
    return middles * _STRETCHED[which] + sizes * steps, room * steps


def _in_blocks(plane: NDArray[np.float64], transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """A plane with a transform of each of its 4x4 blocks."""
    rows, columns = (side // 4 for side in plane.shape)
    blocks = plane.reshape(rows, 4, columns, 4)
    return np.einsum("ux,ixjy,vy->iujv", transform, blocks, transform).reshape(plane.shape)
