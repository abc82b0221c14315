"""Scores: one number for each image; the lower, the more it looks as if it belongs."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray


class Typical(NamedTuple):
    """What a generator's own images come out as, one draw each, measured on some of them.

    Attributes:
      log_loss: Mean of the natural logarithms of their losses.
      log_loss_deviation: Standard deviation of these.
      prior_deviation: Standard deviation of their latents' `prior_deviance`.
    """

    log_loss: float
    log_loss_deviation: float
    prior_deviation: float

    @classmethod
    def of(cls, loss: ArrayLike, latent: ArrayLike) -> "Typical":
        """Measures it.

        Args:
          loss: [N], mean squared errors of own images, 2 or more.
          latent: The latents found, [N, *latent_shape].

        Raises:
          ValueError: If it cannot be measured on these.
        """
        logs, deviances = _log(loss), prior_deviance(latent)
        if len(logs) < 2 or not (np.isfinite(logs).all() and np.isfinite(deviances).all()):
            raise ValueError("what is typical needs 2 own images or more, all reproduced")
        if not np.ptp(logs):
            raise ValueError("all own images have one loss: what is typical has no spread")
        return cls(*map(float, (logs.mean(), logs.std(ddof=1), deviances.std(ddof=1))))


def loss_score(
    loss: ArrayLike,
    reference_loss: ArrayLike | None = None,
    latent: ArrayLike | None = None,
    typical: Typical | None = None,
) -> NDArray[np.float64]:
    """The inversion's loss as it is.

    Args:
      loss: [N], mean squared errors.
      reference_loss: Not used.
      latent: Not used.
      typical: Not used.

    Returns:
      float64 [N].
    """
    del reference_loss, latent, typical
    return np.asarray(loss, np.float64)


def reference_ratio(
    loss: ArrayLike,
    reference_loss: ArrayLike | None = None,
    latent: ArrayLike | None = None,
    typical: Typical | None = None,
) -> NDArray[np.float64]:
    """Loss under the inspected model over loss under a reference model (RONAN, equation 4).

    An image that is easy for any generator has a small loss under both.

    Args:
      loss: [N], mean squared errors under the inspected model.
      reference_loss: [N], the same images' under the reference model.
      latent: Not used.
      typical: Not used.

    Returns:
      float64 [N]; NaN where one of the two losses is not finite.

    Raises:
      ValueError: If there is no reference loss.
    """
    del latent, typical
    if reference_loss is None:
        raise ValueError("the score 'reference_ratio' needs a reference model: reference=...")
    ours, theirs = np.asarray(loss, np.float64), np.asarray(reference_loss, np.float64)
    # A reference that gave no image has an infinite loss: a ratio of 0 would speak for belonging.
    finite = np.isfinite(ours) & np.isfinite(theirs)
    floor = np.finfo(np.float32).tiny
    return np.where(finite, ours, np.nan) / np.where(finite, np.maximum(theirs, floor), 1.0)


def latent_prior(
    loss: ArrayLike,
    reference_loss: ArrayLike | None = None,
    latent: ArrayLike | None = None,
    typical: Typical | None = None,
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
      typical: Not used.

    Returns:
      float64 [N].

    Raises:
      ValueError: If there is no latent.
    """
    del reference_loss, typical
    latents = _latents(latent, "latent_prior")
    return np.asarray(loss, np.float64) + prior_deviance(latents) / latents[0].size


def typicality(
    loss: ArrayLike,
    reference_loss: ArrayLike | None = None,
    latent: ArrayLike | None = None,
    typical: Typical | None = None,
) -> NDArray[np.float64]:
    """How far the latent is from the prior, and the loss from what is usual for own images.

    Where every image is reproduced, how well still tells: what the generator did not make can be
    reproduced less well than its own images, or better. The logarithm of the loss adds its
    log-likelihood ratio to `prior_deviance`, ``z^2 / 2`` for z standard deviations from the mean,
    times the standard deviation of own images' deviances: so much of the deviance is chance, and
    neither part outweighs the other. Like that of `latent_prior`, the sum is taken over the
    latent's size.

    Args:
      loss: [N], mean squared errors.
      reference_loss: Not used.
      latent: The latents found, [N, *latent_shape]; of a generator whose prior is N(0, I).
      typical: Of the generator's own images.

    Returns:
      float64 [N].

    Raises:
      ValueError: If there is no latent, or nothing is known of own images.
    """
    del reference_loss
    latents = _latents(latent, "typicality")
    if typical is None:
        raise ValueError("the score 'typicality' needs what is typical, which `calibrate` measures")
    unusual = (_log(loss) - typical.log_loss) / typical.log_loss_deviation
    deviance = prior_deviance(latents) + typical.prior_deviation * unusual**2 / 2
    return deviance / latents[0].size


def _latents(latent: ArrayLike | None, score: str) -> NDArray[np.float64]:
    if latent is None:
        raise ValueError(f"the score {score!r} needs the latents that were found")
    return np.asarray(latent, np.float64)


def _log(loss: ArrayLike) -> NDArray[np.float64]:
    return np.log(np.maximum(np.asarray(loss, np.float64), np.finfo(np.float32).tiny))


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
    "typicality": typicality,
}
"""Every score by name: ``score(loss, reference_loss, latent, typical)``."""

OF_LATENTS = frozenset({"latent_prior", "typicality"})
"""Scores that look at the latent, of which several draws are worth a mean."""
