"""A generator whose images may have been retouched: colours and sharpness beside the latent."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from numpy.typing import NDArray

from jax_origin.generators import GeneratorLike
from jax_origin.generators.blocks import clip_straight_through
from jax_origin.inversion.beside import Beside

_OFFSET = 0.25  # The most that is added to a channel, of its range.
_GENTLE = 0.2  # A parameter of 1 is a tenth to a fifth of the most.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_DARKEST = 1 / 255  # A power of 0 has no slope.
_SIGMAS = (1.0, 2.0)  # pixels
_SEEN = np.array([0.02, 0.15, 0.15])  # Of colours, saturation and sharpness: less is not said.
_BESIDE = np.array([0.5, 0.0, 0.5], np.float32)  # The mean of the pixels on either side.


class Retouching(NamedTuple):
    """What was done to an image: to its colours first, and then to its sharpness.

    Colours x become ``gain * saturated(x ** gamma) + offset``. Then what blurs take away is added,
    so many times: a negative amount blurs, a positive one is an unsharp mask.

    Attributes:
      gain: Of each channel, from a half to 2, [C].
      offset: Added to each channel, of its range, at most a quarter, [C].
      gamma: From a half to 2.
      saturation: What distances from the luma are times, from a half to 2; 1 for grey images.
      sharpened: The amount for the mean of the four pixels beside each, and of the four at its
        corners, from -1 to 1; and for blurs of 1 and of 2 pixels, from -3/4 to 3; [4].
    """

    gain: Any
    offset: Any
    gamma: Any
    saturation: Any
    sharpened: Any

    @classmethod
    def of(cls, parameters: Any, channels: int) -> "Retouching":
        """From numbers [..., `num_parameters`]; all 0 leave an image as it is."""
        bent = jnp.tanh(_GENTLE * parameters)
        gain, offset, gamma, sharp, *saturation = jnp.split(
            bent, np.cumsum([channels, channels, 1, 4]), axis=-1
        )
        grey = channels == 1
        return cls(
            gain=jnp.exp2(gain),
            offset=_OFFSET * offset,
            gamma=jnp.exp2(gamma[..., 0]),
            saturation=jnp.ones_like(gamma[..., 0]) if grey else jnp.exp2(saturation[0][..., 0]),
            sharpened=jnp.concatenate([sharp[..., :2], jnp.exp2(2 * sharp[..., 2:]) - 1], axis=-1),
        )

    @property
    def matters(self) -> bool:
        """Whether it can be seen; of a single image."""
        levels = np.linspace(0.1, 0.9, 5)[:, None]
        changed = self.gain * levels**self.gamma + self.offset - levels
        most = np.abs(changed).max(), abs(np.log2(self.saturation)), abs(self.sharpened.sum())
        return bool((np.array(most) > _SEEN).any())

    @property
    def words(self) -> str:
        """What was done, roughly, for a record."""
        names = ("red", "green", "blue") if len(self.gain) == 3 else ("grey",)
        parts = [
            f"{name} \N{MULTIPLICATION SIGN}{gain:.2f} {255 * offset:+.0f}"
            for name, gain, offset in zip(names, self.gain, self.offset, strict=True)
        ]
        parts.append(f"gamma {self.gamma:.2f}")
        if len(names) == 3:
            parts.append(f"saturation {self.saturation:.2f}")
        parts.append(f"sharpness {1 + self.sharpened.sum():.2f}")
        return ", ".join(parts)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Images [N, H, W, C] in [0, 1] after it, before they are clipped."""
        over = (slice(None), None, None)
        x = jnp.maximum(images, _DARKEST) ** self.gamma[over][..., None]
        if images.shape[-1] == 3:
            luma = (x @ _LUMA)[..., None]
            x = luma + self.saturation[over][..., None] * (x - luma)
        x = self.gain[over] * x + self.offset[over]
        amounts = self.sharpened.T[:, :, None, None, None]
        return x + sum(a * (x - b) for a, b in zip(amounts, _blurs(x), strict=True))


def num_parameters(channels: int) -> int:
    """How many numbers say what was done to images of 1 or 3 channels."""
    return 2 * channels + 5 + (channels == 3)


def retouching_of(generator: GeneratorLike, latent: NDArray[np.floating]) -> Retouching:
    """What a latent of `Retouched` says was done, as numbers of NumPy."""
    channels = generator.image_shape[2]
    parameters = np.asarray(latent).reshape(-1)[-num_parameters(channels) :]
    return Retouching(*map(np.asarray, Retouching.of(parameters, channels)))


class Retouched(Beside):
    """A generator with a retouching after it, whose parameters follow the latent's numbers."""

    def __init__(self, generator: GeneratorLike) -> None:
        super().__init__(generator, num_parameters(generator.image_shape[2]))

    def __call__(self, latents: jax.Array, /) -> jax.Array:
        """Latents [N, numbers] to images [N, H, W, C] in [0, 1]."""
        images, parameters = self.parts(latents)
        return clip_straight_through(Retouching.of(parameters, self.image_shape[2])(images))


def _blurs(images: jax.Array) -> Iterator[jax.Array]:
    """Images [N, H, W, C] after each blur; what lies beyond a border mirrors it."""
    rows, columns = (_matrices(side) for side in images.shape[1:3])

    def blurred(down: NDArray, along: NDArray) -> jax.Array:
        return jnp.einsum("ih,nhwc,jw->nijc", down, images, along)

    (still, beside, *_), (_, aside, *_) = rows, columns
    yield (blurred(beside, columns[0]) + blurred(still, aside)) / 2
    yield from (blurred(*pair) for pair in zip(rows[1:], columns[1:], strict=True))


@functools.lru_cache
def _matrices(side: int) -> list[NDArray[np.float32]]:
    """Along a side, [side, side]: nothing, the mean of the neighbours, and the Gaussian blurs."""
    still = np.eye(side, dtype=np.float32)
    gaussians = [scipy.ndimage.gaussian_filter1d(still, sigma, axis=0) for sigma in _SIGMAS]
    return [still, scipy.ndimage.correlate1d(still, _BESIDE, axis=0), *gaussians]
