"""What autoencoders of latent models share: latents as diffusion models have them, and any size."""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jax_origin.generators.base import Generator
from jax_origin.generators.blocks import clip_straight_through
from jax_origin.images import reflected

Numbers = float | Sequence[float]
"""One number for all channels of a latent, or one for each."""

LARGEST = 256 * 256
"""Pixels of a canvas, beyond which a gradient recomputes each level of the decoder."""


class Autoencoder(Generator):
    """The decoder of a latent model as a generator, with its encoder.

    Latents are the diffusion model's, [N, h, w, C]: the decoder's input less `latent_mean`, over
    `latent_std`. They have no prior: a draw of N(0, I) decodes to noise, and to no image that a
    user of the model gets.

    The decoder makes a canvas, of which the image is a part: `margin` pixels around it are made and
    not seen. So may a window of a larger image be reproduced, whose surroundings count for
    something. The image begins `phase` pixels below and right of the border of a latent's cell.
    Images as made have (0, 0), images that were cut may have any. A size that is no multiple of
    `factor` is completed below and on the right.

    A class that derives from this one says `factor`, `decode` and `posterior` (or `encode`).

    Args:
      image_size: Side of the image, or (height, width).
      latent_channels: C.
      channels: Image channels.
      margin: Pixels of the canvas on each side of the image, at least: above it and on its left
        there are whole cells.
      phase: Where in a cell the image begins, (down, right), in pixels.
      latent_mean: Subtracted from the decoder's input, one number for all channels, one for each,
        or one for each channel of a square of cells, row by row.
      latent_std: Divides the decoder's input afterwards, likewise.

    Attributes:
      factor: Pixels along the side of a latent's cell.
      has_prior: Whether images of draws of N(0, I) are images that users of the model get.
      arguments: Further arguments of the constructor; each is an attribute of the same name.
    """

    reference_parts: ClassVar[tuple[str, ...]] = ("vae",)
    reference_fields: ClassVar[frozenset[str]] = frozenset({"vae", "latent_channels"})
    default_method: ClassVar[str] = "origin-latent"
    has_prior: ClassVar[bool] = False
    arguments: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        image_size: int | Sequence[int],
        latent_channels: int,
        channels: int = 3,
        margin: int = 0,
        phase: Sequence[int] = (0, 0),
        latent_mean: Numbers = 0.0,
        latent_std: Numbers = 1.0,
    ):
        sides = (image_size, image_size) if np.ndim(image_size) == 0 else image_size
        self.image_size, self.phase = _pixels(sides, 2, least=1), _pixels(phase, 2)
        margins = _pixels((margin,), 1)
        if not self.image_size:
            raise ValueError(f"image_size must be a side, or height and width, not {image_size!r}")
        if not margins:
            raise ValueError(f"margin must be a number of pixels, not {margin!r}")
        if not self.phase:
            raise ValueError(f"phase must be two whole numbers of pixels, not {phase!r}")
        (self.margin,) = margins
        self.latent_channels, self.channels = latent_channels, channels
        self.latent_mean = _numbers("latent_mean", latent_mean, latent_channels)
        self.latent_std = _numbers("latent_std", latent_std, latent_channels)
        if not all(std > 0 for std in self.latent_std):
            raise ValueError(f"latent_std must be positive, not {latent_std!r}")

    @property
    def factor(self) -> int:
        """Pixels along the side of a latent's cell."""
        raise NotImplementedError(f"{type(self).__name__} has no factor")

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON."""
        shared = ("latent_channels", "channels", "margin")
        lists = ("image_size", "phase", "latent_mean", "latent_std")
        values = {name: getattr(self, name) for name in (*shared, *self.arguments)}
        values |= {name: list(getattr(self, name)) for name in lists}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width = self.image_size
        return (height, width, self.channels)

    @property
    def canvas_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of all that is decoded, whole cells."""
        cell = self._cell
        height, width = (-(-(part.stop + self.margin) // cell) * cell for part in self.shown)
        return (height, width, self.channels)

    @property
    def _cell(self) -> int:
        """Pixels along the side of what numbers of the latent repeat by."""
        numbers = (self.latent_mean, self.latent_std)
        return self.factor * math.lcm(*(_period(each, self.latent_channels) for each in numbers))

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(h, w, C)."""
        height, width, _ = self.canvas_shape
        return (height // self.factor, width // self.factor, self.latent_channels)

    @property
    def shown(self) -> tuple[slice, slice]:
        """The rows and columns of the canvas that are the image."""
        # A margin is completed to whole cells, or the image would begin within one.
        margin = -(-self.margin // self._cell) * self._cell
        begin = (margin + p for p in self.phase)
        rows, columns = (slice(b, b + s) for b, s in zip(begin, self.image_size, strict=True))
        return rows, columns

    def __call__(self, latents: jax.Array) -> jax.Array:
        """Latents [N, h, w, C] to images [N, H, W, channels] in [0, 1]."""
        rows, columns = self.shown
        return clip_straight_through(self._canvas(latents)[:, rows, columns])

    def _canvas(self, latents: jax.Array) -> jax.Array:
        """All that latents decode to, not clipped, float32 [N, H, W, channels]."""
        raw = latents * self._tiled(self.latent_std) + self._tiled(self.latent_mean)
        return self.decode(raw.astype(latents.dtype)).astype(jnp.float32) / 2 + 0.5

    def encode(self, images: jax.Array) -> jax.Array:
        """The latents that the encoder gives images, [N, h, w, C]: its posterior's mean.

        Images are [N, H, W, channels] in [0, 1], or canvases with their surroundings in them.
        What of a canvas is not there is filled up by reflection.
        """
        return self._latents(self.posterior(self.on_canvas(images) * 2 - 1)[0])

    def encode_within(self, images: jax.Array, latents: jax.Array) -> jax.Array:
        """Encodings of the canvases of latents, in which these images stand instead of their own.

        Where there is nothing but the image, that is `encode`. Both are [N, ...].
        """
        if self.image_shape == self.canvas_shape:
            return self.encode(images)
        rows, columns = self.shown
        return self.encode(jnp.clip(self._canvas(latents), 0, 1).at[:, rows, columns].set(images))

    def encode_draw(self, images: jax.Array, noise: jax.Array) -> jax.Array:
        """Draws of the encoder's posterior, [N, h, w, C]; see `encode` for the images.

        The noise is of N(0, I), [N, h, w, C]. A deterministic encoder gives its mean.
        """
        mean, log_variance = self.posterior(self.on_canvas(images) * 2 - 1)
        return self._latents(mean + jnp.exp(log_variance / 2) * noise)

    def on_canvas(self, images: jax.Array) -> jax.Array:
        """Images as parts of canvases, whose rest is their reflection.

        They are [N, H, W, channels], or have their surroundings, as much on each side as the other,
        or are canvases already.
        """
        if images.shape[1:] == self.canvas_shape:
            return images
        sides = zip((1, 2), self.shown, self.image_size, strict=True)
        for axis, part, side in sides:
            begin = part.start - (images.shape[axis] - side) // 2
            places = np.arange(self.canvas_shape[axis - 1]) - begin
            images = jnp.take(images, reflected(places, images.shape[axis]), axis=axis)
        return images

    def decode(self, latents: jax.Array) -> jax.Array:
        """The decoder's input [N, h, w, C] to canvases [N, H, W, channels] in [-1, 1]."""
        raise NotImplementedError(f"{type(self).__name__} has no decode")

    def posterior(self, canvases: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Canvases in [-1, 1] to mean and log variance of the decoder's input, [N, h, w, C] each.

        A deterministic encoder's variance is 0, its logarithm minus infinity.
        """
        raise NotImplementedError(f"{type(self).__name__} has no posterior")

    def _latents(self, raw: jax.Array) -> jax.Array:
        """The decoder's input as latents, [N, h, w, C]."""
        return (raw - self._tiled(self.latent_mean)) / self._tiled(self.latent_std)

    def _tiled(self, numbers: tuple[float, ...]) -> jax.Array:
        """Numbers by channel, or by channel of a square of cells, over latents [1, h, w, C]."""
        period = _period(numbers, self.latent_channels)
        height, width, channels = self.latent_shape
        square = np.asarray(numbers, np.float32).reshape(period, period, -1)
        square = np.broadcast_to(square, (period, period, channels))
        return jnp.asarray(np.tile(square, (height // period, width // period, 1))[None])


def rematerialised(canvas_shape: Sequence[int], part: Any) -> Any:
    """A part of a decoder that a gradient through a large canvas computes again."""
    return jax.checkpoint(part) if math.prod(canvas_shape[:2]) > LARGEST else part


def whitening(stored: Mapping[str, Any]) -> dict[str, Any]:
    """`latent_mean` and `latent_std` of a diffusers configuration."""
    found: dict[str, Any] = {}
    if stored.get("latents_mean") is not None and stored.get("latents_std") is not None:
        # diffusers: (latents - mean) * scaling_factor / std.
        scale = stored.get("scaling_factor") or 1.0
        found["latent_mean"] = list(stored["latents_mean"])
        found["latent_std"] = [std / scale for std in stored["latents_std"]]
        return found
    if stored.get("scaling_factor"):
        found["latent_std"] = [1 / stored["scaling_factor"]]
        found["latent_mean"] = [0.0]  # A scale alone is without a shift.
    if stored.get("shift_factor"):
        found["latent_mean"] = [stored["shift_factor"]]
    return found


def autoencoder_of(stored: Mapping[str, Any], parts: Sequence[str]) -> Mapping[str, Any]:
    """The autoencoder's own config.json: of a pipeline's configs by part, the first of `parts`."""
    return next((stored[part] for part in parts if isinstance(stored.get(part), Mapping)), stored)


def _pixels(given: Any, count: int, *, least: int = 0) -> tuple[int, ...]:
    """Numbers of pixels as Python's own; none if these are not so many whole numbers."""
    try:
        given = tuple(given)
        found = tuple(map(operator.index, given))
    except TypeError:
        return ()
    fits = len(found) == count and min(found) >= least
    return found if fits and not any(isinstance(each, bool) for each in given) else ()


def _numbers(name: str, given: Numbers, channels: int) -> tuple[float, ...]:
    numbers = (given,) if isinstance(given, int | float) else tuple(given)
    if not all(isinstance(x, int | float) and math.isfinite(x) for x in numbers):
        raise ValueError(f"{name} must be finite numbers, not {given!r:.100}")
    try:
        _period(numbers, channels)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return tuple(map(float, numbers))


def _period(numbers: Sequence[float], channels: int) -> int:
    """The side of the square of cells for which there are numbers: 1 but for FLUX.2's."""
    side = math.isqrt(len(numbers) // channels) if len(numbers) > 1 else 1
    if len(numbers) not in (1, channels * side * side) or side < 1:
        raise ValueError(f"{len(numbers)} numbers do not belong to {channels} channels")
    return side
