"""Structural similarity as a distance, on images [N, H, W, C] in [0, 1].

Both distances look at windows that lie inside of the image: no border is padded, and positions
nearer than 5 pixels to one have no window of their own. Each channel counts alike. Solvers of least
squares descend on pixels, as under `L2`.
"""

import dataclasses
import functools
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jax_origin.distances.base import Distance
from jax_origin.parts import register

_WINDOW, _SIGMA = 11, 1.5  # pixels: the Gaussian's side and deviation
_C1, _C2 = 0.01**2, 0.03**2  # K1 and K2, squared
_LEAST = 1e-6  # MS-SSIM's powers have no slope at 0, and no value under it.


@register
@dataclasses.dataclass(frozen=True)
class SSIM(Distance):
    """1 - SSIM (Wang, Bovik, Sheikh, Simoncelli; IEEE Transactions on Image Processing, 2004).

    Windows are Gaussian, 11 x 11 with deviation 1.5; K1 = 0.01, K2 = 0.03. The mean over them is
    that of `skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=1, channel_axis=2)`, which crops 5 pixels as well.
    """

    kind: ClassVar[str] = "ssim"

    def value(self, images: jax.Array, targets: Any) -> jax.Array:
        """1 - SSIM, [N], in [0, 2]; raises ValueError if a side has fewer than 11 pixels."""
        _require(self, images, _WINDOW)
        return jnp.mean(_both(*_missed(images, targets)), axis=(1, 2, 3))


@register
@dataclasses.dataclass(frozen=True)
class MSSSIM(Distance):
    """1 - MS-SSIM (Wang, Simoncelli, Bovik; Asilomar 2003, equation 7), the mean over channels.

    Each scale has half the sides of the one before: means of 2 x 2 pixels, an odd last row or
    column doubled. Contrast and structure count at all scales, luminance at the last alone. A
    negative mean, of structures that are opposite, counts as 1e-6.

    Attributes:
      weights: Exponents of the scales, the finest first; the default is the published five, for
        images of 161 x 161 pixels and more. Fewer suit smaller images.
    """

    kind: ClassVar[str] = "ms_ssim"
    weights: tuple[float, ...] = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(self.weights))
        if not self.weights or not all(0 < weight < math.inf for weight in self.weights):
            raise ValueError(f"weights must be one or more positive numbers, not {self.weights}")

    def value(self, images: jax.Array, targets: Any) -> jax.Array:
        """1 - MS-SSIM, [N], in [0, 1]; raises ValueError if images are too small for the scales."""
        last = len(self.weights) - 1
        _require(self, images, (_WINDOW - 1) * 2**last + 1)
        lost: Any = 0.0  # -log of the similarity, [N, C]
        for scale, weight in enumerate(self.weights):
            luminance, contrast = _missed(images, targets)
            missed = _both(luminance, contrast) if scale == last else contrast
            mean = jnp.minimum(jnp.mean(missed, axis=(1, 2)), 1 - _LEAST)
            lost -= weight * jnp.log1p(-mean)
            images, targets = _halved(images), _halved(targets)
        return jnp.mean(-jnp.expm1(-lost), axis=1)


def _require(distance: Distance, images: jax.Array, least: int) -> None:
    _, height, width, _ = images.shape
    if min(height, width) < least:
        hint = "; give it fewer weights" if least > _WINDOW else ""
        raise ValueError(
            f"{type(distance).__name__} needs images of at least {least} x {least} pixels, not "
            f"{height} x {width}{hint}"
        )


def _both(luminance: jax.Array, contrast: jax.Array) -> jax.Array:
    """1 - (1 - luminance) * (1 - contrast), which does not round small numbers away."""
    return luminance + contrast - luminance * contrast


def _missed(images: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    """1 - l and 1 - cs of each window, [N, H - 10, W - 10, C] in [0, 1] and [0, 2].

    From 2ab = a² + b² - (a - b)² follows 1 - l = (difference of means)² / (sum of squared means +
    C1), and 1 - cs = (variance of the difference) / (sum of variances + C2). So written both are 0
    for equal images, and near them as exact as the difference.
    """
    off = images - targets
    maps = jnp.concatenate([targets, off, images**2 + targets**2, off**2], axis=3)
    down, along = _windows(maps.shape[1]), _windows(maps.shape[2])
    # As products of matrices: on CPUs 10 to 30 times as fast as convolutions, forth and back.
    means = jnp.einsum("ih,nhwc,jw->nijc", down, maps, along, precision="highest")
    mean, mean_off, mean_squares, mean_square_off = jnp.split(means, 4, axis=3)
    squares = (mean + mean_off) ** 2 + mean**2
    variance_off = jnp.maximum(mean_square_off - mean_off**2, 0.0)
    return mean_off**2 / (squares + _C1), variance_off / (mean_squares - squares + _C2)


@functools.cache
def _windows(size: int) -> NDArray[np.float32]:
    """The Gaussian at each position inside of a row, [size - 10, size]."""
    places = np.arange(size) - np.arange(size - _WINDOW + 1)[:, None] - _WINDOW // 2
    weights = np.exp(-((places / _SIGMA) ** 2) / 2) * (abs(places) <= _WINDOW // 2)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _halved(images: jax.Array) -> jax.Array:
    """Means of 2 x 2 pixels, [N, ceil(H / 2), ceil(W / 2), C]."""
    num, height, width, channels = images.shape
    room = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
    pairs = jnp.pad(images, room, mode="edge").reshape(num, -(-height // 2), 2, -1, 2, channels)
    return jnp.mean(pairs, axis=(2, 4))
