"""What a lossy WebP's blocks are predicted to be, from what is decoded before them (RFC 6386).

A prediction looks at pixels that the loop filter has not smoothed, so the filter plays no part.
"""

import math

import numpy as np
from numpy.typing import NDArray

from jax_origin.images.webp_scan import WHOLE_LUMA, WebpScan

_ABOVE, _LEFT = 127, 129  # What stands for pixels beyond the frame.


Plane = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""A component as it is predicted, and with what is coded added, of whole macroblocks."""


def predicted_planes(scan: WebpScan) -> tuple[Plane, Plane, Plane]:
    """The three components of a frame, Y, Cb and Cr, before the loop filter."""
    numbers = scan.levels * scan.steps.astype(np.int64)
    terms = _constant_terms(numbers[:, :, WHOLE_LUMA])
    numbers[:, :, :16, 0, 0] = np.where(scan.whole[..., None], terms, numbers[:, :, :16, 0, 0])
    rest = _inverse_dct(numbers[:, :, :WHOLE_LUMA])
    luma = _predicted(joined(rest[:, :, :16]), scan.luma, scan.whole)
    colours = (joined(rest[:, :, at : at + 4]) for at in (16, 20))
    modes, everywhere = scan.chroma[..., None], np.ones_like(scan.whole)
    second, third = (_predicted(colour, modes, everywhere) for colour in colours)
    return luma, second, third


def joined(blocks: NDArray) -> NDArray:
    """Blocks [R, C, N * N, 4, 4] of macroblocks in their places, [4 * N * R, 4 * N * C]."""
    rows, columns, count = blocks.shape[:3]
    side = math.isqrt(count)
    placed = blocks.reshape(rows, columns, side, side, 4, 4).transpose(0, 2, 4, 1, 3, 5)
    return placed.reshape(4 * side * rows, 4 * side * columns)


def _constant_terms(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The constant terms of 16 blocks, [R, C, 16], of what their transform was (section 14.3)."""
    signs = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, -1, 1], [1, -1, 1, -1]])
    sums = np.einsum("ui,rcuv,vj->rcij", signs, numbers, signs)
    return (sums + 3 >> 3).reshape(*numbers.shape[:2], 16)


def _inverse_dct(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Section 14.4, in its integers; [..., 4, 4]."""

    def once(first: NDArray, second: NDArray, third: NDArray, fourth: NDArray) -> list[NDArray]:
        even, odd = first + third, first - third
        low = (second * 35468 >> 16) - fourth - (fourth * 20091 >> 16)
        high = second + (second * 20091 >> 16) + (fourth * 35468 >> 16)
        return [even + high, odd + low, odd - low, even - high]

    rows = np.stack(once(*np.moveaxis(numbers, -2, 0)), axis=-2)
    return np.stack(once(*np.moveaxis(rows, -1, 0)), axis=-1) + 4 >> 3


def _predicted(
    rest: NDArray[np.int64], modes: NDArray[np.int64], whole: NDArray[np.bool_]
) -> Plane:
    """Goes through macroblocks in order (section 12), with what is added to their predictions.

    There are modes for each of their blocks, [R, C, N]; of those that are one, the first counts.
    """
    rows, columns = whole.shape
    side = len(rest) // rows
    # One row above, one column to the left, four more to the right.
    decoded = np.zeros((rows * side + 1, columns * side + 5), np.int64)
    decoded[:, 0], decoded[0] = _LEFT, _ABOVE
    predicted = np.zeros_like(decoded)
    rest = np.pad(rest, ((1, 0), (1, 0)))
    for row, column in np.ndindex(rows, columns):
        top, left = 1 + row * side, 1 + column * side
        at = slice(top, top + side), slice(left, left + side)
        if whole[row, column]:
            above, beside = decoded[top - 1, at[1]], decoded[at[0], left - 1]
            known = [above] * (row > 0) + [beside] * (column > 0)
            corner = decoded[top - 1, left - 1]
            predicted[at] = _block(modes[row, column, 0], above, beside, corner, known)
            decoded[at] = (predicted[at] + rest[at]).clip(0, 255)
            continue
        beyond = decoded[top - 1, left + side : left + side + 4].copy()
        if row and column == columns - 1:
            beyond[:] = decoded[top - 1, left + side - 1]
        for block, mode in enumerate(modes[row, column]):
            y, x = top + block // 4 * 4, left + block % 4 * 4
            above = decoded[y - 1, x - 1 : x + 8]
            if block % 4 == 3:
                above = np.concatenate([above[:5], beyond])
            edge = np.concatenate([decoded[y : y + 4, x - 1][::-1], above])
            made = (_DIRECTIONS[mode] @ edge + 4 >> 3).clip(0, 255).reshape(4, 4)
            at = slice(y, y + 4), slice(x, x + 4)
            predicted[at], decoded[at] = made, (made + rest[at]).clip(0, 255)
    first, second = (part[1:, 1:-4].astype(np.uint8) for part in (predicted, decoded))
    return first, second


def _block(
    mode: int, above: NDArray, left: NDArray, corner: np.int64, known: list[NDArray]
) -> NDArray[np.int64]:
    """The prediction of a macroblock as one block (sections 12.2 and 12.3)."""
    if mode == 1:
        return (left[:, None] + above - corner).clip(0, 255)
    if mode:
        return above[None] if mode == 2 else left[:, None]
    edge = np.concatenate(known) if known else np.full(1, 128)
    return np.full((1, 1), (edge.sum() + len(edge) // 2) // len(edge))


def _directions() -> NDArray[np.int64]:
    """The ten modes of a 4x4 block as matrices, [10, 16, 13], in eighths (section 12.3).

    They take the pixels around it: those to its left from below, the corner, eight above.
    """
    one = 8 * np.eye(13, dtype=np.int64)
    of_two = (one + np.roll(one, -1, axis=0)) // 2  # with the next
    ends = one[[0, *range(13), 12]]
    of_three = (ends[:-2] + 2 * ends[1:-1] + ends[2:]) // 4
    made = np.zeros((10, 4, 4, 13), np.int64)
    made[0] = (one[:4].sum(axis=0) + one[5:9].sum(axis=0)) // 8
    for y, x in np.ndindex(4, 4):
        made[1, y, x] = one[3 - y] + one[5 + x] - one[4]
        made[2, y, x], made[3, y, x] = of_three[5 + x], of_three[3 - y]
        made[4, y, x], made[6, y, x] = of_three[4 + x - y], of_three[min(6 + x + y, 12)]
        for mode, i, sign in ((5, 2 * x - y, 1), (8, 2 * y - x, -1)):
            if i < -1:
                made[mode, y, x] = of_three[4 + sign * (1 + i)]
            elif i % 2:
                made[mode, y, x] = of_three[4 + sign * (i + 1) // 2]
            else:
                made[mode, y, x] = of_two[4 + i // 2 if sign > 0 else 3 - i // 2]
        made[7, y, x] = of_three[6 + x + y // 2] if y % 2 else of_two[5 + x + y // 2]
        i = x + 2 * y
        if i > 5:
            made[9, y, x] = one[0]
        else:
            made[9, y, x] = of_three[2 - i // 2] if i % 2 else of_two[2 - i // 2]
    made[7, 2:, 3] = of_three[10:12]  # The direction leaves the pixels above there.
    return made.reshape(10, 16, 13)


_DIRECTIONS = _directions()
