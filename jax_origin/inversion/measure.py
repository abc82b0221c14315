"""The solver of methods that do not search: it measures where a lane stands."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jax_origin.inversion.first_order import Problem, Solver, Step
from jax_origin.parts import register

_COST = 1 / 3  # Gradient evaluations: a forward pass.


@register
@dataclasses.dataclass(frozen=True)
class Measure(Solver):
    """Measures the tracked distance at the latents, and leaves them where they are.

    A stage of it needs one step: `Stage(Measure(), steps=1)`. It takes a forward pass, and no
    gradient of the generator or the distance.
    """

    kind: ClassVar[str] = "measure"
    objective_free: ClassVar[bool] = True

    def init(self, latents: jax.Array, steps: int) -> tuple[()]:
        """Nothing."""
        return ()

    def step(self, problem: Problem, latents: jax.Array, state: tuple[()]) -> Step:
        """The distance of the latents' images."""
        distance = problem.distance(problem.render(latents), problem.targets)
        return Step(latents, state, latents, distance, jnp.full(len(latents), _COST))

    def evaluations(self, latent_size: int) -> float:
        """That of a forward pass."""
        return _COST
