"""Solvers of nonlinear least squares: they lower the squares of the distance's residual."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jax_origin.inversion.first_order import Problem, Solver, Step, spread
from jax_origin.parts import at_least, register

_TINY = float(jnp.finfo(jnp.float32).tiny)
_SHORT = 0.25  # Of a Gauss-Newton update: what is tried beside the whole.

JACOBIAN_BYTES = 2**28
"""A Levenberg-Marquardt step holds the Jacobians of at most so many bytes of lanes at a time."""


class _Damped(NamedTuple):
    damping: jax.Array  # relative to the mean of the normal matrix's diagonal, [L]


@register
@dataclasses.dataclass(frozen=True)
class LevenbergMarquardt(Solver):
    """Levenberg-Marquardt on the distance's residual, with the whole Jacobian of each lane.

    For small latents. A step makes the Jacobian once, one forward-mode pass a column. It then tries
    several updates with it, each of which costs a forward pass alone (the chord method; Shamanskii,
    Numerische Mathematik 9, 1966). An update that lowers the error is kept and the damping falls;
    another is dropped and it grows (Marquardt 1963).

    Attributes:
      updates: Updates that are tried with one Jacobian.
      damping: The damping that a lane starts with.
    """

    kind: ClassVar[str] = "levenberg_marquardt"
    objective_free: ClassVar[bool] = True
    updates: int = 8
    damping: float = 1e-3

    def __post_init__(self) -> None:
        at_least("updates", self.updates, 1)
        if not self.damping > 0:
            raise ValueError(f"damping must be positive, not {self.damping!r}")

    def init(self, latents: jax.Array, steps: int) -> _Damped:
        """Each lane's damping."""
        return _Damped(jnp.full(len(latents), self.damping))

    def step(self, problem: Problem, latents: jax.Array, state: _Damped) -> Step:
        """One Jacobian, and the updates that are tried with it."""
        lanes, size = len(latents), latents[0].size
        # A residual has the shape of the images, or of the numbers stored: the largest array.
        residuals = max(array[0].size for array in jax.tree.leaves(problem.targets))
        together = max(1, JACOBIAN_BYTES // (4 * size * residuals))
        group = max(n for n in range(1, lanes + 1) if lanes % n == 0 and n <= together)

        def of_group(part: tuple[Any, jax.Array, _Damped]) -> tuple:
            targets, latents, state = part
            return self._step(problem._replace(targets=targets), latents, state)

        done: Any = (problem.targets, latents, state)
        if group == lanes:  # A loop of one turn is not free: see jax issue 12868.
            done = of_group(done)
        else:
            parts = jax.tree.map(lambda a: a.reshape(-1, group, *a.shape[1:]), done)
            done = jax.lax.map(of_group, parts)
            done = jax.tree.map(lambda array: array.reshape(lanes, *array.shape[2:]), done)
        latents, state, distance = done
        return Step(latents, state, latents, distance, jnp.full(lanes, self.evaluations(size)))

    def _step(self, problem: Problem, latents: jax.Array, state: _Damped) -> tuple:
        """The new latents and state, and the distance."""
        lanes, shape = len(latents), latents.shape[1:]
        size = math.prod(shape)

        def compare(points: jax.Array) -> tuple[jax.Array, jax.Array]:
            images = problem.render(points.reshape(lanes, *shape))
            error = problem.residual(images, problem.targets).reshape(lanes, -1)
            return error, problem.distance(images, problem.targets)

        point = latents.reshape(lanes, size)
        error, tangent, distance = jax.linearize(compare, point, has_aux=True)
        columns = jax.lax.map(
            lambda i: tangent(jnp.zeros_like(point).at[:, i].set(1.0)), jnp.arange(size)
        )
        jacobian = columns.transpose(1, 0, 2)  # [L, size, residuals]
        normal = jnp.einsum("lip,ljp->lij", jacobian, jacobian)
        scale = jnp.trace(normal, axis1=1, axis2=2) / size
        eye = jnp.eye(size)[None]

        def attempt(carry: tuple, _: None) -> tuple[tuple, None]:
            point, error, distance, damping = carry
            slope = jnp.einsum("lip,lp->li", jacobian, error)
            ridge = (damping * scale + _TINY)[:, None, None]
            factor = jax.scipy.linalg.cho_factor(normal + ridge * eye)
            tried = point - jax.scipy.linalg.cho_solve(factor, slope[..., None])[..., 0]
            new_error, new_distance = compare(tried)
            # A factor that failed gives NaN, which is no improvement either.
            better = jnp.sum(new_error**2, axis=1) < jnp.sum(error**2, axis=1)
            point = jnp.where(better[:, None], tried, point)
            error = jnp.where(better[:, None], new_error, error)
            distance = jnp.where(better, new_distance, distance)
            damping = jnp.clip(jnp.where(better, damping * 0.3, damping * 4.0), 1e-8, 1e3)
            return (point, error, distance, damping), None

        (point, _, distance, damping), _ = jax.lax.scan(
            attempt, (point, error, distance, state.damping), length=self.updates
        )
        return point.reshape(latents.shape), _Damped(damping), distance

    def evaluations(self, latent_size: int) -> float:
        """Two thirds a column of the Jacobian, and a third for each forward pass."""
        return (2 * latent_size + 1 + self.updates) / 3


class _Krylov(NamedTuple):
    damping: jax.Array  # relative to the curvature along the gradient, [L]
    steps: jax.Array  # directions of the last solves, oldest first, [L, pairs, *latent_shape]
    products: jax.Array  # J^T J times each of them; a pair of zeros is not there yet


@register
@dataclasses.dataclass(frozen=True)
class GaussNewton(Solver):
    """Damped Gauss-Newton on the distance's residual, without a matrix; for latents of any size.

    Each step solves ``(J^T J + d I) u = -J^T r`` by a few conjugate-gradient iterations, each one
    Jacobian-vector and one vector-Jacobian product. It keeps the update, or a quarter of it, if
    that lowers the error: of the two, the better.
    J^T J changes little from step to step. So the directions of the last solves, and what it made
    of them, precondition the next one as a limited-memory quasi-Newton matrix (Morales and Nocedal,
    SIAM Journal on Optimization 10, 2000).

    Attributes:
      iterations: Conjugate-gradient iterations a step.
      memory: Steps whose directions are kept; 0 for plain conjugate gradients. They take
        ``2 * iterations * memory`` times a latent's room in each lane.
      damping: The damping that a lane starts with, relative to the curvature along the gradient.
    """

    kind: ClassVar[str] = "gauss_newton"
    objective_free: ClassVar[bool] = True
    iterations: int = 8
    memory: int = 3
    damping: float = 1e-4

    def __post_init__(self) -> None:
        at_least("iterations", self.iterations, 1)
        at_least("memory", self.memory, 0)
        if not self.damping > 0:
            raise ValueError(f"damping must be positive, not {self.damping!r}")

    def init(self, latents: jax.Array, steps: int) -> _Krylov:
        """Each lane's damping, and no directions yet."""
        lanes, *shape = latents.shape
        none = jnp.zeros((lanes, self.iterations * self.memory, *shape))
        return _Krylov(jnp.full(lanes, self.damping), none, none)

    def step(self, problem: Problem, latents: jax.Array, state: _Krylov) -> Step:
        """One linearisation, one solve, two trials."""
        targets = problem.targets

        def compare(points: jax.Array) -> tuple[jax.Array, jax.Array]:
            images = problem.render(points)
            return problem.residual(images, targets), problem.distance(images, targets)

        lanes = len(latents)
        error, tangent, distance = jax.linearize(compare, latents, has_aux=True)
        transpose = jax.linear_transpose(tangent, latents)
        downhill = -transpose(error)[0]
        first = tangent(downhill)
        curvature = _dot(first, first) / (_dot(downhill, downhill) + _TINY)
        ridge = spread(state.damping * curvature, latents)
        precondition = _limited_memory(state.steps, state.products)

        def iterate(carry: tuple[jax.Array, ...], _: None) -> tuple[tuple, tuple]:
            update, residual, direction, size = carry
            bent = transpose(tangent(direction))[0]
            product = bent + ridge * direction
            length = spread(size / (_dot(direction, product) + _TINY), latents)
            update, residual = update + length * direction, residual - length * product
            turned = precondition(residual)
            new = _dot(residual, turned)
            following = turned + spread(new / (size + _TINY), latents) * direction
            return (update, residual, following, new), (direction, bent)

        turned = precondition(downhill)
        start = (jnp.zeros_like(latents), downhill, turned, _dot(downhill, turned))
        # A loop that holds convolutions is slow on CPU: see jax issue 12868.
        unroll = jax.default_backend() == "cpu"
        (update, *_), pairs = jax.lax.scan(iterate, start, length=self.iterations, unroll=unroll)
        moved, size = latents, _dot(error, error)
        better = jnp.zeros(lanes, bool)
        # The model may hold near the latents alone, and a solve costs far more than a trial.
        for share in (1.0, _SHORT):
            tried = latents + share * update
            new_error, new_distance = compare(tried)
            new_size = _dot(new_error, new_error)
            lower = new_size < size  # Never of NaN.
            moved = jnp.where(spread(lower, latents), tried, moved)
            distance = jnp.where(lower, new_distance, distance)
            size, better = jnp.where(lower, new_size, size), better | lower
        damping = jnp.clip(jnp.where(better, state.damping * 0.3, state.damping * 8.0), 1e-8, 1e4)
        steps, products = (  # The oldest step's directions make room.
            jnp.concatenate([old, jnp.moveaxis(new, 0, 1)], axis=1)[:, self.iterations :]
            for old, new in zip((state.steps, state.products), pairs, strict=True)
        )
        cost = jnp.full(lanes, self.evaluations(0))
        return Step(moved, _Krylov(damping, steps, products), moved, distance, cost)

    def evaluations(self, latent_size: int) -> float:
        """Four thirds an iteration, a gradient, a product to scale the damping, two trials."""
        del latent_size
        return (4 * self.iterations + 3 + 2 + 2) / 3


def _limited_memory(steps: jax.Array, products: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """The inverse of a matrix that made `products` of `steps`, nearly (the two-loop recursion)."""
    if not steps.shape[1]:
        return lambda vector: vector
    curvatures = _pair_dots(steps, products)
    there = curvatures > 0
    rates = jnp.where(there, 1.0 / jnp.where(there, curvatures, 1.0), 0.0)
    # The flattest direction that was met sets the scale of those that were not.
    sizes = _pair_dots(products, products)
    flattest = jnp.max(jnp.where(there, curvatures / (sizes + _TINY), 0.0), axis=1)
    scale = jnp.where(flattest > 0, flattest, 1.0)

    pairs = tuple(jnp.moveaxis(part, 1, 0) for part in (steps, products, rates))

    def down(vector: jax.Array, pair: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        step, product, rate = pair
        share = spread(rate * _dot(step, vector), vector)
        return vector - share * product, share

    def up(vector: jax.Array, pair: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        step, product, rate, share = pair
        back = spread(rate * _dot(product, vector), vector)
        return vector + (share - back) * step, None

    def apply(vector: jax.Array) -> jax.Array:
        vector, shares = jax.lax.scan(down, vector, pairs, reverse=True)
        return jax.lax.scan(up, spread(scale, vector) * vector, (*pairs, shares))[0]

    return apply


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.sum((a * b).reshape(len(a), -1), axis=1)


def _pair_dots(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.sum((a * b).reshape(*a.shape[:2], -1), axis=2)
