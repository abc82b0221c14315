"""What a solver is, a value that is handed functions; and those that descend on a gradient."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_origin.distances.base import Comparison
from jax_origin.parts import Part, at_least, one_of, register, suggestion

Render = Callable[[jax.Array], jax.Array]
"""Latents [L, *latent_shape] to images [L, H, W, C]."""

SCHEDULES: dict[str, Callable[[float, int], Any]] = {
    "constant": lambda rate, steps: rate,
    "cosine": optax.cosine_decay_schedule,
    "halving": lambda rate, steps: lambda step: rate * 0.5 ** ((step + 49) // 50),
}
"""How the learning rate goes over the steps of a stage.

"constant" keeps it. "cosine" takes it to 0 over the stage. "halving" halves it after the first step
and after every fiftieth from there, as LatentTracer does: step 0 has the rate, steps 1 to 50 a half
of it, steps 51 to 100 a quarter.
"""

_POINT = jax.ShapeDtypeStruct((1,), np.float32)


class Problem(NamedTuple):
    """What a solver is to lower, for L lanes that do not touch each other.

    Attributes:
      render: Makes images of latents.
      targets: What images are compared with; each leaf is [L, ...].
      distance: What is tracked: images and targets to [L].
      objective: What is descended on, likewise.
      residual: What solvers of least squares make small, [L, ...].
      steps: Steps of the stage, for schedules.
      encode: Makes latents of images, which stand where the images of these latents do; None where
        the generator has no ``encode``.
    """

    render: Render
    targets: Any
    distance: Comparison
    objective: Comparison
    residual: Comparison
    steps: int
    encode: Callable[[jax.Array, jax.Array], jax.Array] | None = None


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


def spread(per_lane: jax.Array, like: jax.Array) -> jax.Array:
    """Numbers of lanes [L], shaped so that they broadcast against arrays [L, ...] like this one."""
    return per_lane.reshape(-1, *(1,) * (like.ndim - 1))


@dataclasses.dataclass(frozen=True)
class Solver(Part):
    """A method of descent; its functions are pure, so that they can be jitted.

    Attributes:
      chunked: Whether several steps are taken between two looks at the lanes; else each is looked
        at. It suits solvers of cheap steps.
      objective_free: Whether it lowers the residual's squares, whatever objective a stage names.
    """

    family: ClassVar[str] = "solver"
    chunked: ClassVar[bool] = False
    objective_free: ClassVar[bool] = False

    def init(self, latents: jax.Array, steps: int) -> Any:
        """The state before the first of `steps` steps of lanes [L, *latent_shape].

        Each leaf is [L, ...].
        """
        raise NotImplementedError(f"{type(self).__name__} has no init")

    def step(self, problem: Problem, latents: jax.Array, state: Any) -> Step:
        """One step of all lanes."""
        raise NotImplementedError(f"{type(self).__name__} has no step")

    def evaluations(self, latent_size: int) -> float:
        """Gradient evaluations of a step, of each lane, at the most.

        A forward pass counts as a third of one, a column of a Jacobian as two thirds.
        """
        del latent_size
        return 1.0


@dataclasses.dataclass(frozen=True)
class FirstOrder(Solver):
    """Any optax transformation on the gradient of an objective.

    Derive from it to save and load a chain of your own: say `transformation`, and register it.
    """

    chunked: ClassVar[bool] = True

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """The optax optimiser of a stage of so many steps."""
        raise NotImplementedError(f"{type(self).__name__} has no transformation")

    def init(self, latents: jax.Array, steps: int) -> Any:
        """The optimiser's state of each lane."""
        return jax.vmap(self.transformation(steps).init)(latents)

    def step(self, problem: Problem, latents: jax.Array, state: Any) -> Step:
        """One gradient, one update."""

        def total(latents: jax.Array) -> tuple[jax.Array, jax.Array]:
            images = problem.render(latents)
            # Lanes do not touch each other, so the gradient of the sum is each lane's own.
            loss = jnp.sum(problem.objective(images, problem.targets))
            return loss, problem.distance(images, problem.targets)

        grads, distance = jax.grad(total, has_aux=True)(latents)
        update = self.transformation(problem.steps).update
        updates, state = jax.vmap(update)(grads, state, latents)
        moved = optax.apply_updates(latents, updates)
        return Step(moved, state, latents, distance, jnp.ones(len(latents)))


@register
@dataclasses.dataclass(frozen=True)
class Optax(FirstOrder):
    """An optimiser of optax.

    Attributes:
      optimizer: Name of one that takes a learning rate ("adam", "lion", "sgd", ...); or any
        `optax.GradientTransformation`, which no file can hold (see `FirstOrder`).
      learning_rate: Of one that is named; the largest where a schedule changes it.
      schedule: One of `SCHEDULES`, for the learning rate.
      options: The optimiser's other arguments, as (name, value) pairs or a mapping.
    """

    kind: ClassVar[str] = "optax"
    optimizer: str | optax.GradientTransformation = "adam"
    learning_rate: float = 0.2
    schedule: str = "cosine"
    options: tuple[tuple[str, Any], ...] | Mapping[str, Any] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(sorted(dict(self.options).items())))
        one_of("schedule", self.schedule, SCHEDULES)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, not {self.learning_rate}")
        self.transformation(1)

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """The optax optimiser of a stage of so many steps.

        Raises:
          ValueError: If there is none of this name, or it takes no such options.
        """
        if not isinstance(self.optimizer, str):
            return self.optimizer
        make: Any = getattr(optax, self.optimizer, None)
        if make is None:
            hint = suggestion(self.optimizer, dir(optax))
            raise ValueError(f"optimizer {self.optimizer!r}: optax has none of this name{hint}")
        options = dict(self.options)
        try:
            made = make(SCHEDULES[self.schedule](self.learning_rate, steps), **options)
            if not isinstance(made, optax.GradientTransformation):
                raise TypeError("it makes no gradient transformation")
            # Traced, not run: recipes are made at import, when no device may be touched yet.
            jax.eval_shape(lambda x: made.update(x, made.init(x), x), _POINT)
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"optimizer {self.optimizer!r} with options {options}: not an optax optimiser that "
                f"can be made and stepped so ({error})"
            ) from None
        return made


@register
@dataclasses.dataclass(frozen=True)
class LBFGS(Solver):
    """L-BFGS with optax's zoom line search (`optax.lbfgs`); a step takes several evaluations.

    Lanes are searched together, so a step takes as long as the slowest of them, and each trial
    makes an image twice; ``cost`` counts what a lane would have needed alone.

    Attributes:
      memory_size: Pairs of differences that are kept.
      max_linesearch_steps: Trials of a line search at the most.
    """

    kind: ClassVar[str] = "lbfgs"
    memory_size: int = 10
    max_linesearch_steps: int = 8

    def __post_init__(self) -> None:
        at_least("memory_size", self.memory_size, 1)
        at_least("max_linesearch_steps", self.max_linesearch_steps, 1)

    def _transformation(self) -> optax.GradientTransformationExtraArgs:
        search = optax.scale_by_zoom_linesearch(
            max_linesearch_steps=self.max_linesearch_steps, initial_guess_strategy="one"
        )
        return optax.lbfgs(memory_size=self.memory_size, linesearch=search)

    def init(self, latents: jax.Array, steps: int) -> Any:
        """The optimiser's state of each lane."""
        return jax.vmap(self._transformation().init)(latents)

    def step(self, problem: Problem, latents: jax.Array, state: Any) -> Step:
        """One line search along the quasi-Newton direction."""
        transformation = self._transformation()

        def of_lane(latent: jax.Array, target: Any, state: Any) -> tuple:
            target = jax.tree.map(lambda array: array[None], target)

            def value(latent: jax.Array) -> jax.Array:
                return problem.objective(problem.render(latent[None]), target)[0]

            def with_distance(latent: jax.Array) -> tuple[jax.Array, jax.Array]:
                image = problem.render(latent[None])
                return problem.objective(image, target)[0], problem.distance(image, target)[0]

            (now, distance), grad = jax.value_and_grad(with_distance, has_aux=True)(latent)
            updates, after = transformation.update(
                grad, state, latent, value=now, grad=grad, value_fn=value
            )
            trials = optax.tree.get(after, "num_linesearch_steps")
            return optax.apply_updates(latent, updates), after, distance, 1.0 + trials

        moved, state, distance, cost = jax.vmap(of_lane)(latents, problem.targets, state)
        return Step(moved, state, latents, distance, cost)

    def evaluations(self, latent_size: int) -> float:
        """The gradient, and all trials of a line search; most take one."""
        return 1.0 + self.max_linesearch_steps
