"""How alike the neighbouring pixels of an image are."""

import numpy as np
from numpy.typing import NDArray

_LEVEL = 8  # Grey values of a level: there are 32 of them.
_LUMA = np.array([9798, 19235, 3735])  # 0.299, 0.587, 0.114 of 2**15: OpenCV's and libpng's


def homogeneity(pixels: NDArray[np.uint8]) -> float:
    """The homogeneity of an image's grey-level co-occurrences, by which AEDR weighs its ratio.

    Grey values (luma of ITU-R BT.601, rounded) are reduced to 32 levels. The mean of
    1 / (1 + (i - j)^2) is returned, over all pairs of a pixel of level i and its right neighbour of
    level j. That is the homogeneity of the normalised co-occurrence matrix for distance 1 and angle
    0, symmetric or not. (Haralick, Shanmugam and Dinstein, 1973; cal_GLCM.py of wangchao0708/AEDR,
    which takes a JPEG's luma as it is stored, where it may be a grey value off.)

    Args:
      pixels: uint8 [H, W, C], of 1 or 3 channels, at least two pixels wide.

    Returns:
      In (0, 1]; 1 for rows of one level each.

    Raises:
      ValueError: If it is no such image.
    """
    _, width, channels = pixels.shape
    if channels not in (1, 3) or width < 2:
        raise ValueError(
            "homogeneity is of images of 1 or 3 channels and at least 2 columns, not of "
            f"{pixels.shape} (H, W, C)"
        )
    grey = pixels[..., 0].astype(np.int32)
    if channels == 3:
        grey = (pixels.astype(np.int32) @ _LUMA + (1 << 14)) >> 15
    steps = np.diff(grey // _LEVEL, axis=1)
    return float(np.mean(1 / (1 + steps**2)))
