"""Scores: one number for each image; the lower, the more it looks as if it belongs."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from jax_origin.distances import Distance
from jax_origin.distances.generic_code import generic_code_distance
from jax_origin.generators import GeneratorLike
from jax_origin.generators.diffusion import DiffusionGenerator
from jax_origin.images import Stored, homogeneity
from jax_origin.inversion import Inversion
from jax_origin.parts import Part, register

_TINY = np.finfo(np.float32).tiny
_SHRUNK = 0.1  # By so much own images' correlations are shrunk.


@dataclasses.dataclass(frozen=True)
class Score(Part):
    """What is ranked of an inversion. A score of your own says how it is called.

    Attributes:
      needs_reference: Whether images are inverted under a reference model, too.
      of_latents: Whether it looks at the latent, of which several draws are worth a mean.
      fits: Whether `fit` measures something on the generator's own images.
      fitted_on: How many times as many of these as are calibrated with.
      twice: Whether each image's reconstruction is inverted, too, by the same recipe with random
        numbers of its own. A score that says so is called with these inversions as well:
        ``again``.
      promising: An image that scores at most this is never given up by futility.
    """

    family: ClassVar[str] = "score"
    needs_reference: ClassVar[bool] = False
    of_latents: ClassVar[bool] = False
    fits: ClassVar[bool] = False
    fitted_on: ClassVar[int] = 1
    twice: ClassVar[bool] = False
    promising: ClassVar[float] = 0.0

    def fit(self, own: Inversion) -> "Score":
        """The score with what it measured on some of the generator's own images.

        These serve nothing else. A score that measures nothing is returned as it is; one that
        cannot be measured on these raises ValueError.
        """
        return self

    def looking(self, generator: GeneratorLike) -> Callable[[Any, jax.Array], jax.Array] | None:
        """What else it needs of an image: a function of the generator and of images, to be jitted.

        It makes numbers [N, ...] of images [N, H, W, C] in [0, 1]: `Inversion.seen`. None where the
        inversion says all.

        Raises:
          ValueError: The generator cannot say it.
        """
        return None

    def reference(self, image: Stored, numbers: int, distance: Distance) -> float | None:
        """What an image's distance is held against, if the image alone says it; 0 or more.

        It is known before the inversion begins. `numbers` are those of a latent.
        """
        return None

    def least(self, reference: float | None) -> float:
        """The lowest score that an image can have, however near the generator comes to it."""
        return 0.0

    def distance_at(self, score: float, reference: float | None) -> float | None:
        """The distance at which, and under which, an image scores at most so much.

        An image may then be accepted before its inversion has ended. None where the distance alone
        does not say it, or no distance is that low.
        """
        return None

    def __call__(
        self, found: Inversion, reference: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Scores of N images by their inversions.

        Args:
          found: The inversions.
          reference: What the distances are held against, [N]: those under the reference model, or
            what `reference` gave; None without either.

        Returns:
          float64 [N]; not finite where an image could not be scored.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be called")


@register
@dataclasses.dataclass(frozen=True)
class Loss(Score):
    """The tracked distance as it is."""

    kind: ClassVar[str] = "loss"

    def distance_at(self, score: float, reference: float | None) -> float | None:
        """The score itself."""
        return score

    def __call__(
        self, found: Inversion, reference: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """The tracked distance, float64 [N]."""
        return np.asarray(found.distance, np.float64)


@register
@dataclasses.dataclass(frozen=True)
class CodeRatio(Score):
    """Distance over that of a generic code of as many numbers as the latent has.

    It asks whether the generator says this picture in fewer numbers than anybody could: RONAN's
    calibrated loss (equation 4), with a reference that needs no model. A picture that says little,
    such as a plain wall, is near under both, and its ratio stays near 1 however near the generator
    comes. For the code see `jax_origin.distances.generic_code`.

    Attributes:
      floor: Distances are taken for at least this: under it lies only rounding.
      room: What is added to the code's distance, so that a picture which the code says without an
        error has a ratio.
      most: Of the image's numbers, the largest share that the code gets. A generator with more of
        them in its latent reproduces any image, and needs another score.
    """

    kind: ClassVar[str] = "code_ratio"
    promising: ClassVar[float] = 0.5  # Twice as near as anybody could say it.
    floor: float = 5e-7
    room: float = 1e-6
    most: float = 0.25

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} must be over 0, not {value!r:.20}")

    def reference(self, image: Stored, numbers: int, distance: Distance) -> float:
        """The code's distance."""
        most = max(1, int(self.most * image.pixels.size))
        return generic_code_distance(image, min(numbers, most), distance)

    def least(self, reference: float | None) -> float:
        """The ratio at the floor."""
        return self.floor / ((reference or 0.0) + self.room)

    def distance_at(self, score: float, reference: float | None) -> float | None:
        """The score times the code's distance; None where that is under the floor."""
        # A hair less, so that the quotient is no more than the score, however it is rounded.
        distance = score * ((reference or 0.0) + self.room) * (1 - 1e-9)
        return distance if distance >= self.floor else None

    def __call__(
        self, found: Inversion, reference: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """The ratio, float64 [N]; raises ValueError without the code's distances."""
        if reference is None:
            raise ValueError("scores.CodeRatio needs the code's distances: reference=...")
        ours = np.maximum(np.asarray(found.distance, np.float64), self.floor)
        return ours / (np.asarray(reference, np.float64) + self.room)


@register
@dataclasses.dataclass(frozen=True)
class ReferenceRatio(Score):
    """Distance under the inspected model over that under a reference model (RONAN, equation 4).

    An image that is easy for any generator is near under both.
    """

    kind: ClassVar[str] = "reference_ratio"
    needs_reference: ClassVar[bool] = True

    def __call__(
        self, found: Inversion, reference: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """The ratio, float64 [N]; NaN where one of the two distances is not finite."""
        if reference is None:
            raise ValueError("scores.ReferenceRatio needs a reference model: reference=...")
        return _ratio(found.distance, reference)


@register
@dataclasses.dataclass(frozen=True)
class DoubleReconstruction(Score):
    """How much nearer a second reconstruction comes than the first, times homogeneity: AEDR's.

    With R the way to the reconstruction, x1 = R(x) and x2 = R(x1), it is the ratio of the distance
    of x1 from x to that of x2 from x1. An image that the decoder made lies where its images lie
    already, and loses little more the first time than the second. `jax_origin.images.homogeneity`
    of the image makes up for how much there is in it. (Wang et al., AEDR, AAAI 2026, arXiv
    2507.18988; cal_loss_ratio.py and cal_threshold.py of wangchao0708/AEDR. Their x1 is the
    decoder's output as it is; here it is clipped to [0, 1], as every reconstruction is.)
    """

    kind: ClassVar[str] = "double_reconstruction"
    twice: ClassVar[bool] = True

    def reference(self, image: Stored, numbers: int, distance: Distance) -> float:
        """The image's homogeneity, in (0, 1]."""
        return homogeneity(image.pixels)

    def __call__(
        self,
        found: Inversion,
        reference: NDArray[np.float64] | None = None,
        again: Inversion | None = None,
    ) -> NDArray[np.float64]:
        """The ratio times homogeneity.

        Args:
          found: The inversions of N images.
          reference: The homogeneity of the images, [N].
          again: The inversions of their reconstructions.

        Returns:
          float64 [N], 0 or more; NaN where one of the two distances is not finite.

        Raises:
          ValueError: If the last two are not both there.
        """
        if reference is None or again is None:
            raise ValueError(
                "scores.DoubleReconstruction needs the images' homogeneity and the inversions of "
                "their reconstructions: reference=..., again=..."
            )
        return _ratio(found.distance, again.distance) * np.asarray(reference, np.float64)


@register
@dataclasses.dataclass(frozen=True)
class LatentPrior(Score):
    """Distance, and how far the latent is from being standard normal noise.

    For generators that reproduce every image, such as diffusion models, whose latent is as large
    as the image: a foreign image's latent is unlike what the prior, N(0, I), draws. The second part
    is `prior_deviance` over the latent's size, 0.017 for a draw of the prior of shape (32, 32, 3).
    The distance, in the same sum, keeps an image from belonging that is not reproduced.
    """

    kind: ClassVar[str] = "latent_prior"
    of_latents: ClassVar[bool] = True

    def __call__(
        self, found: Inversion, reference: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """The sum, float64 [N]."""
        latents = np.asarray(found.latent, np.float64)
        return np.asarray(found.distance, np.float64) + prior_deviance(latents) / latents[0].size


class Typical(NamedTuple):
    """What a generator's own images come out as, one draw each, measured on some of them.

    Attributes:
      log_loss: Mean of the natural logarithms of their distances.
      log_loss_deviation: Standard deviation of these.
      prior_deviation: Standard deviation of their latents' `prior_deviance`.
    """

    log_loss: float
    log_loss_deviation: float
    prior_deviation: float


@register
@dataclasses.dataclass(frozen=True)
class Typicality(Score):
    """How far the latent is from the prior, and the distance from what is usual for own images.

    Where every image is reproduced, how well still tells: what the generator did not make can be
    reproduced less well than its own images, or better. The logarithm of the distance adds its
    log-likelihood ratio to `prior_deviance`: ``z^2 / 2`` for z standard deviations from the mean,
    times the standard deviation of own images' deviances. So much of the deviance is chance, and
    neither part outweighs the other. Like that of `LatentPrior`, the sum is taken over the latent's
    size.

    Attributes:
      typical: Of the generator's own images; `fit` measures it.
    """

    kind: ClassVar[str] = "typicality"
    of_latents: ClassVar[bool] = True
    fits: ClassVar[bool] = True
    typical: Typical | Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.typical, Mapping):  # From a file.
            object.__setattr__(self, "typical", Typical(**self.typical))

    def fit(self, own: Inversion) -> "Typicality":
        """Measures what is typical on own images; raises ValueError where that cannot be done."""
        logs, deviances = _log(own.distance), prior_deviance(own.latent)
        if len(logs) < 2 or not (np.isfinite(logs).all() and np.isfinite(deviances).all()):
            raise ValueError("what is typical needs 2 own images or more, all reproduced")
        if not np.ptp(logs):
            raise ValueError("all own images have one loss: what is typical has no spread")
        typical = map(float, (logs.mean(), logs.std(ddof=1), deviances.std(ddof=1)))
        return Typicality(Typical(*typical))

    def __call__(
        self, found: Inversion, reference: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """The sum, float64 [N]; raises ValueError if nothing is known of own images."""
        if not isinstance(self.typical, Typical):
            raise ValueError("scores.Typicality must be fitted first, as `calibrate` does")
        latents, typical = np.asarray(found.latent, np.float64), self.typical
        unusual = (_log(found.distance) - typical.log_loss) / typical.log_loss_deviation
        deviance = prior_deviance(latents) + typical.prior_deviation * unusual**2 / 2
        return deviance / latents[0].size


class Usual(NamedTuple):
    """Numbers of a generator's own images.

    Attributes:
      means: Their means, [F].
      whitening: The lower triangle, row by row, of the matrix that makes what they differ by from
        their means independent, each with a variance of 1; F (F + 1) / 2 numbers.
    """

    means: Sequence[float]
    whitening: Sequence[float]


@register
@dataclasses.dataclass(frozen=True)
class NoiseSpectrum(Score):
    """How unlike own images' the noise is that a diffusion model's network sees in an image.

    For `DiffusionGenerator.noise_spectra`: a few evaluations of the network, and no inversion.
    The score is Mahalanobis' squared distance from own images' mean, over the count of numbers; 1
    is usual. Their correlations are shrunk by a tenth towards none.

    Attributes:
      usual: Of the generator's own images; `fit` measures it.
    """

    kind: ClassVar[str] = "noise_spectrum"
    fits: ClassVar[bool] = True
    fitted_on: ClassVar[int] = 4  # It measures thousands of correlations.
    usual: Usual | Mapping[str, Sequence[float]] | None = None

    def __post_init__(self) -> None:
        if self.usual is not None:  # From a file it is a mapping of lists.
            parts = self.usual if isinstance(self.usual, Mapping) else self.usual._asdict()
            usual = Usual(**{name: tuple(map(float, part)) for name, part in parts.items()})
            size = len(usual.means)
            if len(usual.whitening) != size * (size + 1) // 2:
                raise ValueError(
                    f"usual: {size} means need {size * (size + 1) // 2} numbers of whitening, not "
                    f"{len(usual.whitening)}"
                )
            object.__setattr__(self, "usual", usual)

    def looking(self, generator: GeneratorLike) -> Callable[[Any, jax.Array], jax.Array]:
        """The spectra; raises ValueError for a generator that is no diffusion model."""
        if not isinstance(generator, DiffusionGenerator):
            raise ValueError(
                f"score 'noise_spectrum' asks a network what noise it sees, and a "
                f"{type(generator).__name__} has none that says so"
            )
        return type(generator).noise_spectra

    def fit(self, own: Inversion) -> "NoiseSpectrum":
        """Measures what is usual on own images; raises ValueError where that cannot be done."""
        seen = _flat(own.seen)
        if (
            len(seen) < 2
            or not seen.size
            or not np.isfinite(seen).all()
            or not np.ptp(seen, 0).all()
        ):
            raise ValueError("what is usual needs 2 own images or more that differ, all finite")
        deviations = seen.std(axis=0)
        alike = (1 - _SHRUNK) * np.corrcoef(seen.T) + _SHRUNK * np.eye(seen.shape[1])
        whitening = np.linalg.inv(np.linalg.cholesky(alike)) / deviations
        return NoiseSpectrum(Usual(seen.mean(axis=0), whitening[np.tril_indices(len(alike))]))

    def __call__(
        self, found: Inversion, reference: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """The distance, float64 [N]; raises ValueError if nothing is known of own images."""
        if not isinstance(self.usual, Usual):
            raise ValueError("scores.NoiseSpectrum must be fitted first, as `calibrate` does")
        seen, size = _flat(found.seen), len(self.usual.means)
        if seen.shape[1] != size:
            raise ValueError(f"it was fitted to {size} numbers of an image, not {seen.shape[1]}")
        whitening = np.zeros((size, size))
        whitening[np.tril_indices(size)] = self.usual.whitening
        return np.mean(((seen - self.usual.means) @ whitening.T) ** 2, axis=1)


def _flat(seen: ArrayLike) -> NDArray[np.float64]:
    seen = np.asarray(seen, np.float64)
    return seen.reshape(len(seen), -1)


def _ratio(ours: ArrayLike, theirs: ArrayLike) -> NDArray[np.float64]:
    """Of distances [N]; NaN where one of the two is not finite."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    # What has no image has an infinite distance: a ratio of 0 would speak for belonging.
    finite = np.isfinite(ours) & np.isfinite(theirs)
    return np.where(finite, ours, np.nan) / np.where(finite, np.maximum(theirs, _TINY), 1.0)


def _log(loss: ArrayLike) -> NDArray[np.float64]:
    return np.log(np.maximum(np.asarray(loss, np.float64), _TINY))


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
