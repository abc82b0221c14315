"""Starting points: where the lanes of an image begin.

From near the prior's mean a descent meets smoother images first. It gets stuck less often than from
a sample of the prior. Several scales make a ladder.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp

from jax_origin.generators import GeneratorLike, sample_latents
from jax_origin.parts import Part, at_least, register

_RIDGE, _TINY = 1e-6, 1e-20  # Of moves that hardly differ.

Encode = Callable[[jax.Array], jax.Array] | None
"""Images [N, H, W, C] to latents [N, *latent_shape]; None without such an encoder."""


@dataclasses.dataclass(frozen=True)
class Start(Part):
    """Where lanes begin. A start of your own says `points`.

    Attributes:
      needs_encoder: Whether it begins at the encoding of an encoder that is trained for it.
    """

    family: ClassVar[str] = "start"
    needs_encoder: ClassVar[bool] = False

    @property
    def restarts(self) -> int:
        """Lanes of an image, where the recipe does not say how many."""
        return 1

    @property
    def evaluations(self) -> float:
        """Gradient evaluations of an image: a third for each pass of a network."""
        return 0.0

    def points(
        self, generator: GeneratorLike, images: jax.Array, keys: jax.Array, encode: Encode = None
    ) -> jax.Array:
        """The points at which the lanes of some images begin; pure, so that it can be jitted.

        Args:
          generator: The generator.
          images: float32 [N, H, W, C] in [0, 1].
          keys: One key for each lane, [N, restarts].
          encode: The trained encoder, for a start that needs one.

        Returns:
          [N, restarts, *latent_shape].

        Raises:
          ValueError: If the start needs what is not there.
        """
        raise NotImplementedError(f"{type(self).__name__} has no points")


@register
@dataclasses.dataclass(frozen=True)
class Prior(Start):
    """A sample of the prior for each lane, as RONAN starts."""

    kind: ClassVar[str] = "prior"

    def points(
        self, generator: GeneratorLike, images: jax.Array, keys: jax.Array, encode: Encode = None
    ) -> jax.Array:
        """Samples of the prior."""
        return jax.vmap(jax.vmap(lambda key: sample_latents(generator, key, 1)[0]))(keys)


@register
@dataclasses.dataclass(frozen=True)
class Undone(Prior):
    """Draws of the latents that lead to the image, by the generator's own undo."""

    kind: ClassVar[str] = "undone"

    def points(
        self, generator: GeneratorLike, images: jax.Array, keys: jax.Array, encode: Encode = None
    ) -> jax.Array:
        """What `undo` makes of images and samples of the prior."""
        latents = super().points(generator, images, keys)
        undo = getattr(generator, "undo", None)
        if undo is None:
            made = type(generator).__name__
            raise ValueError(f"starts.Undone: {made} has no undo(images, noise)")
        lanes = latents.reshape(-1, *latents.shape[2:])
        return undo(jnp.repeat(images, keys.shape[1], axis=0), lanes).reshape(latents.shape)


@register
@dataclasses.dataclass(frozen=True)
class Scaled(Prior):
    """Samples of the prior, drawn in towards its mean at 0.

    Attributes:
      scales: Restart i lies ``scales[i % len(scales)]`` times a sample of the prior from the
        centre.
    """

    kind: ClassVar[str] = "scaled"
    scales: tuple[float, ...] = (0.05, 0.2, 0.4, 0.8)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))
        if not self.scales or not all(scale >= 0 for scale in self.scales):
            raise ValueError(f"scales must be one or more numbers >= 0, not {self.scales}")

    @property
    def restarts(self) -> int:
        """A lane for each scale."""
        return len(self.scales)

    def points(
        self, generator: GeneratorLike, images: jax.Array, keys: jax.Array, encode: Encode = None
    ) -> jax.Array:
        """Around the centre."""
        latents = super().points(generator, images, keys)
        factors = jnp.asarray([self.scales[i % len(self.scales)] for i in range(keys.shape[1])])
        around = latents * factors.reshape(1, -1, *(1,) * (latents.ndim - 2))
        return self.centres(generator, images, keys, encode) + around

    def centres(
        self, generator: GeneratorLike, images: jax.Array, keys: jax.Array, encode: Encode
    ) -> jax.Array:
        """The centres, [N, restarts or 1, *latent_shape]; `points` has the same arguments."""
        return jnp.zeros((len(images), 1, *generator.latent_shape))


@register
@dataclasses.dataclass(frozen=True)
class Encoded(Scaled):
    """Around the generator's own encoding of the image.

    Attributes:
      scales: As `Scaled` has them.
      sampled: Whether each restart draws from the encoder's posterior, by the generator's
        `encode_draw`; else the centre is the posterior's mean, which `encode` gives. Encoders
        without a variance give the same either way.
    """

    kind: ClassVar[str] = "encoder"
    scales: tuple[float, ...] = (0.0,)
    sampled: bool = False

    def centres(
        self, generator: GeneratorLike, images: jax.Array, keys: jax.Array, encode: Encode
    ) -> jax.Array:
        """By the generator's encoder."""
        wanted = "encode_draw" if self.sampled else "encode"
        own = getattr(generator, wanted, None)
        if own is None:
            given = "images, noise" if self.sampled else "images"
            made = type(generator).__name__
            raise ValueError(f"starts.Encoded: {made} has no {wanted}({given})")
        if not self.sampled:
            return own(images)[:, None]
        shape = tuple(generator.latent_shape)

        def noise_of(key: jax.Array) -> jax.Array:
            return jax.random.normal(jax.random.fold_in(key, 2), shape)

        noise = jax.vmap(jax.vmap(noise_of))(keys)
        lanes = jnp.repeat(images, keys.shape[1], axis=0)
        return own(lanes, noise.reshape(-1, *shape)).reshape(noise.shape)


@register
@dataclasses.dataclass(frozen=True)
class Learned(Scaled):
    """Around the encoding by an encoder that was trained on the generator's own images.

    The encoder sees the image alone: the surroundings of a window are cut off.

    Attributes:
      scales: As `Scaled` has them.
      corrections: How often a point is moved by the difference of two encodings, that of the image
        and that of its own image (Hong et al., NeurIPS 2024, equation 5), mixed with the moves
        before by Anderson's method (Walker and Ni, SIAM Journal on Numerical Analysis 49, 2011).
        Of all points the one whose pixels are nearest counts.
    """

    kind: ClassVar[str] = "learned"
    needs_encoder: ClassVar[bool] = True
    scales: tuple[float, ...] = (0.0,)
    corrections: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("corrections", self.corrections, 0)

    @property
    def evaluations(self) -> float:
        """Of each correction two passes; the last point's image is made besides."""
        return (2 * self.corrections + (self.corrections > 0)) / 3

    def centres(
        self, generator: GeneratorLike, images: jax.Array, keys: jax.Array, encode: Encode
    ) -> jax.Array:
        """By the trained encoder."""
        if encode is None:
            raise ValueError(
                "starts.Learned needs an encoder: pass encoder=learn_start(generator, key=...)"
            )
        height, width, _ = generator.image_shape
        top, left = ((images.shape[1] - height) // 2, (images.shape[2] - width) // 2)
        shown = images[:, top : top + height, left : left + width]
        return corrected(generator, encode, shown, self.corrections)[0][:, None]


def corrected(
    generator: Callable[[jax.Array], jax.Array],
    encode: Callable[[jax.Array], jax.Array],
    images: jax.Array,
    num: int,
) -> tuple[jax.Array, jax.Array]:
    """What `encode` makes of images [N, H, W, C], after `num` corrections; see `Learned`.

    Returns:
      Of all points the nearest, as `encode` shapes them, and its mean squared error, [N].
    """
    wanted = encode(images)
    point = wanted.reshape(len(images), -1)
    best, nearest = point, jnp.full(len(images), jnp.inf)
    points, moves = list[jax.Array](), list[jax.Array]()
    for turn in range(num + 1):
        made = jnp.clip(generator(point.reshape(wanted.shape)), 0.0, 1.0)
        missed = jnp.mean((made - images) ** 2, axis=(1, 2, 3))
        nearer = missed < nearest  # Never of NaN.
        best = jnp.where(nearer[:, None], point, best)
        nearest = jnp.where(nearer, missed, nearest)
        if turn < num:
            points.append(point)
            moves.append((wanted - encode(made)).reshape(point.shape))
            point = _mixed(points, moves)
    return best.reshape(wanted.shape), nearest


def _mixed(points: list[jax.Array], moves: list[jax.Array]) -> jax.Array:
    """The next point [N, numbers] of a fixed-point iteration: the sum of weights is 1, each."""
    following = points[-1] + moves[-1]
    if len(points) == 1:
        return following
    by_move = jnp.diff(jnp.stack(moves, axis=1), axis=1)  # [N, turns, numbers]
    by_both = by_move + jnp.diff(jnp.stack(points, axis=1), axis=1)
    normal = jnp.einsum("nip,njp->nij", by_move, by_move, precision="highest")
    ridge = (_RIDGE * jnp.trace(normal, axis1=1, axis2=2) + _TINY)[:, None, None]
    slope = jnp.einsum("nip,np->ni", by_move, moves[-1], precision="highest")
    weights = jnp.linalg.solve(normal + ridge * jnp.eye(normal.shape[1])[None], slope[..., None])
    return following - jnp.einsum("nip,ni->np", by_both, weights[..., 0], precision="highest")


def hop_directions(generator: GeneratorLike, keys: jax.Array, num: int) -> jax.Array:
    """Where lanes of keys [N, restarts] hop, `num` times each: of mean 0, spread as the prior is.

    Returns:
      float32 [N, restarts, num, *latent_shape]: differences of two samples, over the root of 2.
    """

    def of_lane(key: jax.Array) -> jax.Array:
        pairs = sample_latents(generator, jax.random.fold_in(key, 1), 2 * num)
        return (pairs[:num] - pairs[num:]) / jnp.sqrt(2.0)

    if num == 0:
        return jnp.zeros((*keys.shape, 0, *generator.latent_shape))
    return jax.vmap(jax.vmap(of_lane))(keys).astype(jnp.float32)
