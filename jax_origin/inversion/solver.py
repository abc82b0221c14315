"""Solvers: how a block of lanes goes from one latent to the next, in optax's style.

Here what a solver is, and those that descend on a gradient; `least_squares` holds the others.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from jax_origin.distance import DISTANCES, OBJECTIVES

Render = Callable[[jax.Array], jax.Array]


class Step(NamedTuple):
    """What one step of a solver gives, for L lanes.

    Attributes:
      latents: Where the next step begins, [L, *latent_shape].
      state: The solver's own state.
      seen: Latents whose images were compared with the targets, [L, *latent_shape].
      distance: Their tracked distance, [L].
      cost: Gradient evaluations that the step took, [L].
    """

    latents: jax.Array
    state: Any
    seen: jax.Array
    distance: jax.Array
    cost: jax.Array


class Solver(Protocol):
    """A method of descent; lanes do not touch each other. Pure, so that it can be jitted."""

    def init(self, latents: jax.Array) -> Any:
        """The state before the first step of lanes [L, *latent_shape]; each leaf is [L, ...]."""
        ...

    def step(self, render: Render, targets: Any, latents: jax.Array, state: Any) -> Step:
        """One step of all lanes; ``render`` makes images [L, H, W, C] of latents.

        Targets are what the distance compares images with; each leaf is [L, ...].
        """
        ...

    def evaluations(self, latent_size: int) -> float:
        """Gradient evaluations of a step, of each lane, at the most.

        A forward pass counts as a third of one, a column of a Jacobian as two thirds.
        """
        ...


class FirstOrder:
    """Any optax transformation on the gradient of an objective.

    Args:
      transformation: The optax optimiser.
      objective: Name of what is descended on.
      distance: Name of what is tracked.
    """

    def __init__(
        self, transformation: optax.GradientTransformation, *, objective: str, distance: str
    ):
        self._transformation = transformation
        self._objective, self._distance = OBJECTIVES[objective], DISTANCES[distance]

    def init(self, latents: jax.Array) -> Any:
        """The optimiser's state of each lane."""
        return jax.vmap(self._transformation.init)(latents)

    def step(self, render: Render, targets: Any, latents: jax.Array, state: Any) -> Step:
        """One gradient, one update."""

        def total(latents: jax.Array) -> tuple[jax.Array, jax.Array]:
            images = render(latents)
            # Lanes do not touch each other, so the gradient of the sum is each lane's own.
            return jnp.sum(self._objective(images, targets)), self._distance(images, targets)

        grads, distance = jax.grad(total, has_aux=True)(latents)
        updates, state = jax.vmap(self._transformation.update)(grads, state, latents)
        moved = optax.apply_updates(latents, updates)
        return Step(moved, state, latents, distance, jnp.ones(len(latents)))

    def evaluations(self, latent_size: int) -> float:
        """One."""
        del latent_size
        return 1.0


class LBFGS:
    """L-BFGS with optax's zoom line search (`optax.lbfgs`); a step takes several evaluations.

    Lanes are searched together, so a step takes as long as the slowest of them, and each trial
    makes an image twice; ``cost`` counts what a lane would have needed alone.

    Args:
      objective: Name of what is descended on.
      distance: Name of what is tracked.
      memory_size: Pairs of differences that are kept.
      max_linesearch_steps: Trials of a line search at the most.
    """

    def __init__(
        self,
        *,
        objective: str,
        distance: str,
        memory_size: int = 10,
        max_linesearch_steps: int = 8,
    ):
        sizes = {"memory_size": memory_size, "max_linesearch_steps": max_linesearch_steps}
        for name, value in sizes.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        self._objective, self._distance = OBJECTIVES[objective], DISTANCES[distance]
        search = optax.scale_by_zoom_linesearch(
            max_linesearch_steps=max_linesearch_steps, initial_guess_strategy="one"
        )
        self._most = 1.0 + max_linesearch_steps
        self._transformation = optax.lbfgs(memory_size=memory_size, linesearch=search)

    def init(self, latents: jax.Array) -> Any:
        """The optimiser's state of each lane."""
        return jax.vmap(self._transformation.init)(latents)

    def step(self, render: Render, targets: Any, latents: jax.Array, state: Any) -> Step:
        """One line search along the quasi-Newton direction."""

        def of_lane(latent: jax.Array, target: Any, state: Any) -> tuple:
            target = jax.tree.map(lambda array: array[None], target)

            def value(latent: jax.Array) -> jax.Array:
                return self._objective(render(latent[None]), target)[0]

            def with_distance(latent: jax.Array) -> tuple[jax.Array, jax.Array]:
                image = render(latent[None])
                return self._objective(image, target)[0], self._distance(image, target)[0]

            (now, distance), grad = jax.value_and_grad(with_distance, has_aux=True)(latent)
            updates, after = self._transformation.update(
                grad, state, latent, value=now, grad=grad, value_fn=value
            )
            trials = optax.tree.get(after, "num_linesearch_steps")
            return optax.apply_updates(latent, updates), after, distance, 1.0 + trials

        moved, state, distance, cost = jax.vmap(of_lane)(latents, targets, state)
        return Step(moved, state, latents, distance, cost)

    def evaluations(self, latent_size: int) -> float:
        """The gradient, and all trials of a line search; most take one."""
        del latent_size
        return self._most
