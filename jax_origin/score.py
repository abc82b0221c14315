"""Scores: one number for each image; the lower, the more it looks as if it belongs."""

import math
from collections.abc import Callable

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray


def loss_score(
    loss: ArrayLike, reference_loss: ArrayLike | None = None, latent: ArrayLike | None = None
) -> NDArray[np.float64]:
    """The inversion's loss as it is.

    Args:
      loss: [N], mean squared errors.
      reference_loss: Not used.
      latent: Not used.

    Returns:
      float64 [N].
    """
    del reference_loss, latent
    return np.asarray(loss, np.float64)


def reference_ratio(
    loss: ArrayLike, reference_loss: ArrayLike | None = None, latent: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Loss under the inspected model over loss under a reference model (RONAN, equation 4).

    An image that is easy for any generator has a small loss under both.

    Args:
      loss: [N], mean squared errors under the inspected model.
      reference_loss: [N], the same images' under the reference model.
      latent: Not used.

    Returns:
      float64 [N]; NaN where one of the two losses is not finite.

    Raises:
      ValueError: If there is no reference loss.
    """
    del latent
    if reference_loss is None:
        raise ValueError("the score 'reference_ratio' needs a reference model: reference=...")
    ours, theirs = np.asarray(loss, np.float64), np.asarray(reference_loss, np.float64)
    # A reference that gave no image has an infinite loss: a ratio of 0 would speak for belonging.
    finite = np.isfinite(ours) & np.isfinite(theirs)
    floor = np.finfo(np.float32).tiny
    return np.where(finite, ours, np.nan) / np.where(finite, np.maximum(theirs, floor), 1.0)


def latent_prior(
    loss: ArrayLike, reference_loss: ArrayLike | None = None, latent: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Loss, and how far the latent is from being standard normal noise.

    For generators that reproduce every image, such as diffusion models, whose latent is as large
    as the image: a foreign image's latent is unlike what the prior draws. The second part is
    `prior_deviance` over the latent's size, 0.017 for a draw of the prior of shape (32, 32, 3); the
    loss, in the same sum, keeps an image from belonging that is not reproduced.

    Args:
      loss: [N], mean squared errors.
      reference_loss: Not used.
      latent: The latents found, [N, *latent_shape]; of a generator whose prior is N(0, I).

    Returns:
      float64 [N].

    Raises:
      ValueError: If there is no latent.
    """
    del reference_loss
    if latent is None:
        raise ValueError("the score 'latent_prior' needs the latents that were found")
    latents = np.asarray(latent, np.float64)
    return np.asarray(loss, np.float64) + prior_deviance(latents) / latents[0].size


def prior_deviance(latents: ArrayLike) -> NDArray[np.float64]:
    """How much better than N(0, I) a normal law coloured to their measure describes latents.

    A latent [H, W, C] is taken apart by an orthonormal DCT into bands: an octave of frequency down
    the rows by an octave along the columns. In each, with n coefficients and S the C x C mean of
    their outer products, the log-likelihood ratio of N(0, S) to N(0, I) is ``n / 2 (trace S - C -
    log det S)``. Their sum is returned, and the ratio of all coefficients together, in which a
    fault shows that every band has a little of. It grows with a wrong norm (a typical draw's is the
    square root of its size: Nalisnick et al., "Detecting Out-of-Distribution Inputs to Deep
    Generative Models Using Typicality", 2019), with a spectrum that is not flat, and with dependent
    channels: whatever a test of second moments finds. The lowest octaves are one, so that each band
    has at least 4 C coefficients. Of latents of another rank the norm alone is judged.

    Args:
      latents: [N, *latent_shape].

    Returns:
      float64 [N], 0 or more; for draws of N(0, I) about C (C + 1) / 4 for each band and once more;
      infinite where a latent is not finite.
    """
    latents = np.asarray(latents, np.float64)
    finite = np.isfinite(latents).reshape(len(latents), -1).all(axis=1)
    latents = np.where(finite.reshape(-1, *(1,) * (latents.ndim - 1)), latents, 0.0)
    total = np.where(finite, 0.0, np.inf)
    for part in _bands(latents):
        count, channels = part.shape[1:]
        moments = np.einsum("npc,npd->ncd", part, part) / count
        excess = np.trace(moments, axis1=1, axis2=2) - channels
        total += count / 2 * (excess - np.linalg.slogdet(moments)[1])
    return total


def _bands(latents: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Coefficients of each band, [N, n, C], and of all of them."""
    if latents.ndim != 4 or latents[0].size < 4 * latents.shape[3] ** 2:
        return [latents.reshape(len(latents), -1, 1)]
    channels = latents.shape[3]
    lowest = math.ceil(math.log2(4 * channels) / 2)
    waves = scipy.fft.dctn(latents, axes=(1, 2), norm="ortho")
    down, along = (np.maximum(np.frexp(np.arange(side))[1], lowest) for side in latents.shape[1:3])
    bands = [
        waves[:, (down == row)[:, None] & (along == column)]
        for row in np.unique(down)
        for column in np.unique(along)
    ]
    return [*bands, waves.reshape(len(latents), -1, channels)]


SCORES: dict[str, Callable[..., NDArray[np.float64]]] = {
    "loss": loss_score,
    "reference_ratio": reference_ratio,
    "latent_prior": latent_prior,
}
"""Every score by name: ``score(loss, reference_loss, latent)``."""
