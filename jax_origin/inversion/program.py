"""The compiled programs of an inversion, kept from one run to the next."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, PartitionSpec

from jax_origin.distance import EVENNESS, l2
from jax_origin.generators.blocks import clip_straight_through
from jax_origin.inversion.settings import Descent
from jax_origin.inversion.start import hop_directions, starting_points


class Model(NamedTuple):
    """A module without its weights: hashable, so that compiled programs are kept by it."""

    graph: Any
    tree: Any
    compute: str

    def merge(self, weights: list[jax.Array]) -> Any:
        """The module with its weights."""
        return nnx.merge(self.graph, jax.tree.unflatten(self.tree, weights))

    def images(self, weights: list[jax.Array], latents: jax.Array) -> jax.Array:
        """A generator's images of latents, float32 [L, H, W, C] in [0, 1].

        Raises:
          ValueError: If it makes another shape than it says.
        """
        generator = self.merge(weights)
        made = generator(latents.astype(self.compute)).astype(jnp.float32)
        # A wrong shape would broadcast against the images, and give a loss of something else.
        if made.shape[1:] != tuple(generator.image_shape):
            raise ValueError(
                f"{type(generator).__name__} makes images of shape {made.shape[1:]}; its "
                f"image_shape says {tuple(generator.image_shape)}"
            )
        return clip_straight_through(made)


def take_apart(module: Any, compute: str = "float32") -> tuple[Model, list[jax.Array]]:
    """A module without its weights, and these, cast once to the precision of its arithmetic."""
    graph, state = nnx.split(module)
    weights, tree = jax.tree.flatten(state)
    if compute != "float32":
        weights = [w.astype(compute) if w.dtype == jnp.float32 else w for w in weights]
    return Model(graph, tree, compute), weights


class Carry(NamedTuple):
    """Where L lanes of a stage stand.

    Attributes:
      targets: What the distance compares their images with; each leaf is [L, ...].
      latents: Where the next step begins, [L, *latent_shape].
      state: The solver's.
      distance: The lowest tracked distance so far, [L].
      best: Its latent, [L, *latent_shape].
      cost: Gradient evaluations so far, [L].
      taken: Steps so far, [L].
    """

    targets: Any
    latents: jax.Array
    state: Any
    distance: jax.Array
    best: jax.Array
    cost: jax.Array
    taken: jax.Array


class StagePrograms(NamedTuple):
    """What runs a stage's lanes on their devices.

    Attributes:
      init: ``init(latents, targets)``: lanes that begin.
      mix: ``mix(mask, new, old)``: the new lanes where the mask says so. ``old`` is donated.
      advance: ``advance(weights, carry)``: from one check to the next. ``carry`` is donated.
      length: Steps from one check to the next.
      one: The jitted program that `advance` calls.
      steps_of_one: Steps that it takes.
    """

    init: Callable[..., Carry]
    mix: Callable[..., Carry]
    advance: Callable[..., Carry]
    length: int
    one: Any
    steps_of_one: int


@functools.lru_cache(maxsize=64)
def start_program(
    model: Model,
    encoder: Model | None,
    start: str,
    scales: tuple[float, ...],
    restarts: int,
    hops: int = 0,
) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """``program(weights, encoder_weights, key, words, images)``: where lanes begin and hop.

    It gives points, [N, restarts, *latent_shape], and hops, [N, restarts, hops, *latent_shape].
    """

    @jax.jit
    def program(
        weights: list[jax.Array],
        encoder_weights: list[jax.Array],
        key: jax.Array,
        words: jax.Array,
        images: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        # An image's key is the run's, folded with the eight words of its pixels' SHA-256.
        def of_image(words: jax.Array) -> jax.Array:
            own = jax.lax.fori_loop(
                0, words.shape[0], lambda i, k: jax.random.fold_in(k, words[i]), key
            )
            return jax.vmap(lambda i: jax.random.fold_in(own, i))(jnp.arange(restarts))

        generator, keys = model.merge(weights), jax.vmap(of_image)(words)
        points = starting_points(
            generator,
            keys,
            images,
            start=start,
            scales=scales,
            encode=encoder.merge(encoder_weights) if encoder else None,
        )
        return points.astype(jnp.float32), hop_directions(generator, keys, hops)

    return program


@functools.lru_cache(maxsize=64)
def stage_programs(
    model: Model,
    stage: Descent,
    distance: str,
    length: int,
    on_host: bool,
    devices: tuple[jax.Device, ...],
) -> StagePrograms:
    """The programs of a stage (`Descent.of_a_step`), with so many steps between two checks."""
    solver = stage.make_solver(distance)

    def init(latents: jax.Array, targets: Any) -> Carry:
        lanes = len(latents)
        carry = Carry(
            targets=targets,
            latents=latents,
            state=solver.init(latents),
            distance=jnp.full(lanes, jnp.inf),
            best=latents,
            cost=jnp.zeros(lanes),
            taken=jnp.zeros(lanes, jnp.int32),
        )
        # With weak types among them, the first step would be another program than the second.
        return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), carry)

    def mix(mask: jax.Array, new: Carry, old: Carry) -> Carry:
        return jax.tree.map(lambda n, o: jnp.where(_spread(mask, n), n, o), new, old)

    def step(weights: list[jax.Array], carry: Carry) -> Carry:
        render = functools.partial(model.images, weights)
        done = solver.step(render, carry.targets, carry.latents, carry.state)
        # Of several steps between two checks the last may be too many.
        going = (carry.taken < stage.steps) | (length == 1)
        better = going & (done.distance < carry.distance)
        return Carry(
            targets=carry.targets,
            latents=done.latents,
            state=done.state,
            distance=jnp.where(better, done.distance, carry.distance),
            best=jnp.where(_spread(better, done.seen), done.seen, carry.best),
            cost=carry.cost + jnp.where(going, done.cost, 0.0),
            taken=carry.taken + 1,
        )

    def scan(weights: list[jax.Array], carry: Carry) -> Carry:
        return jax.lax.scan(lambda c, _: (step(weights, c), None), carry, length=length)[0]

    # Each device runs the same program on its own block, so the sums are those of one device.
    lanes, all_lanes = PartitionSpec("lanes"), PartitionSpec()
    mesh = Mesh(np.asarray(devices), ("lanes",))

    def program(fn: Callable[..., Carry], *specs: PartitionSpec, donate: Sequence[int] = ()) -> Any:
        sharded = jax.shard_map(fn, mesh=mesh, in_specs=specs, out_specs=lanes, check_vma=False)
        return jax.jit(sharded, donate_argnums=donate)

    one = program(step if on_host else scan, all_lanes, lanes, donate=(1,))

    def advance(weights: list[jax.Array], carry: Carry) -> Carry:
        for _ in range(length if on_host else 1):
            carry = one(weights, carry)
        return carry

    return StagePrograms(
        init=program(init, lanes, lanes),
        mix=program(mix, lanes, lanes, lanes, donate=(2,)),
        advance=advance,
        length=length,
        one=one,
        steps_of_one=1 if on_host else length,
    )


def _spread(per_lane: jax.Array, like: jax.Array) -> jax.Array:
    return per_lane.reshape(-1, *(1,) * (like.ndim - 1))


@functools.partial(jax.jit, static_argnums=0)
def reconstruct(
    model: Model, weights: list[jax.Array], latents: jax.Array, images: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The images of latents, and their mean squared errors."""
    made = model.images(weights, latents)
    return made, l2(made, images)


@functools.partial(jax.jit, static_argnums=(0, 1))
def evenness(
    model: Model, distance: str, weights: list[jax.Array], latents: jax.Array, targets: Any
) -> jax.Array:
    """How evenly what the images of latents miss of their targets is spread, [L]."""
    return EVENNESS[distance](model.images(weights, latents), targets)
