"""Steps without a gradient of the generator: its own encoder says how to move the latent."""

import dataclasses
import math
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jax_origin.inversion.first_order import Problem, Solver, Step, spread
from jax_origin.parts import register


class _Nearest(NamedTuple):
    rate: jax.Array  # [L]
    latents: jax.Array  # the nearest so far, [L, *latent_shape]
    moved: jax.Array  # what its step is made of, likewise
    distance: jax.Array  # [L]


@register
@dataclasses.dataclass(frozen=True)
class EncoderSteps(Solver):
    """Moves the latent by the difference of two encodings (Hong et al., NeurIPS 2024, equation 5).

    For generators with an ``encode``, such as autoencoders: ``z <- z + rate (E(y) - E(D(z)))``.
    Here y is what D(z) becomes by one step down the tracked distance. For the mean square to pixels
    that is the image. For a file's set it is near the point of the set next to D(z). A step that
    comes no nearer is taken back, and tried again at half the rate. Three passes through the
    networks are about one gradient evaluation. It comes near quickly, and then no further: an
    encoder is no exact inverse.

    Attributes:
      rate: How much of the difference is taken at first.
    """

    kind: ClassVar[str] = "encoder_steps"
    objective_free: ClassVar[bool] = True
    rate: float = 1.0

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, not {self.rate!r}")

    def init(self, latents: jax.Array, steps: int) -> _Nearest:
        """The rate, and nothing near yet."""
        lanes = len(latents)
        return _Nearest(
            jnp.full(lanes, self.rate), latents, jnp.zeros_like(latents), jnp.full(lanes, jnp.inf)
        )

    def step(self, problem: Problem, latents: jax.Array, state: _Nearest) -> Step:
        """One image, its distance, and two encodings."""
        if problem.encode is None:
            raise ValueError("solvers.EncoderSteps: the generator has no encode(images)")
        images = problem.render(latents)

        def total(images: jax.Array) -> tuple[jax.Array, jax.Array]:
            distances = problem.distance(images, problem.targets)
            return jnp.sum(distances), distances

        slope, distance = jax.grad(total, has_aux=True)(images)
        # Of a mean of squares over an image's numbers, as distances are.
        nearer = images - math.prod(images.shape[1:]) / 2 * slope
        moved = problem.encode(nearer, latents) - problem.encode(images, latents)
        better = distance < state.distance
        wide = spread(better, latents)
        nearest = _Nearest(
            rate=jnp.where(better, state.rate, state.rate / 2),
            latents=jnp.where(wide, latents, state.latents),
            moved=jnp.where(wide, moved, state.moved),
            distance=jnp.where(better, distance, state.distance),
        )
        following = nearest.latents + spread(nearest.rate, latents) * nearest.moved
        return Step(following, nearest, latents, distance, jnp.ones(len(latents)))

    def evaluations(self, latent_size: int) -> float:
        """One: three passes."""
        return 1.0
