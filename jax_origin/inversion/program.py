"""The compiled programs of an inversion, kept from one run to the next."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, PartitionSpec

from jax_origin.distances import L2, Distance
from jax_origin.generators.blocks import clip_straight_through
from jax_origin.inversion.first_order import Problem, Render, spread
from jax_origin.inversion.recipe import Stage
from jax_origin.inversion.starts import Start, hop_directions

Weights = list[jax.Array]


Encode = Callable[[jax.Array, jax.Array], jax.Array]
"""Makes latents of images, [L, H, W, C], that stand where those of latents do."""


class Model(NamedTuple):
    """A module without its weights: hashable, so that compiled programs are kept by it."""

    graph: Any
    tree: Any
    compute: str

    def merge(self, weights: Weights) -> Any:
        """The module with its weights."""
        return nnx.merge(self.graph, jax.tree.unflatten(self.tree, weights))

    def images(self, weights: Weights, latents: jax.Array) -> jax.Array:
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

    def encoder(self, weights: Weights) -> Encode | None:
        """A generator's own ``encode``, if it has one: images and where they stand, to latents.

        A generator whose images are parts of something larger has an ``encode_within``.
        """
        generator = self.merge(weights)
        encode, within = (getattr(generator, n, None) for n in ("encode", "encode_within"))
        if encode is None:
            return None

        def encoded(images: jax.Array, latents: jax.Array) -> jax.Array:
            parts = [part.astype(self.compute) for part in (images, latents)]
            return (within(*parts) if within else encode(parts[0])).astype(jnp.float32)

        return encoded


def split_module(module: Any, compute: str = "float32") -> tuple[Model, Weights]:
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


def begun(stage: Stage, latents: jax.Array, targets: Any) -> Carry:
    """Lanes that begin a stage at latents [L, *latent_shape]."""
    lanes = len(latents)
    carry = Carry(
        targets=targets,
        latents=latents,
        state=stage.solver.init(latents, stage.steps),
        distance=jnp.full(lanes, jnp.inf),
        best=latents,
        cost=jnp.zeros(lanes),
        taken=jnp.zeros(lanes, jnp.int32),
    )
    # With weak types among them, the first step would be another program than the second.
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), carry)


def stepped(
    stage: Stage,
    distance: Distance,
    render: Render,
    carry: Carry,
    going: jax.Array,
    encode: Encode | None = None,
) -> Carry:
    """Lanes after one step of a stage; what is kept changes only of those that go on, bool [L]."""
    objective = distance.objective(stage.objective)
    compared = distance.value, objective, distance.residual
    problem = Problem(render, carry.targets, *compared, stage.steps, encode)
    done = stage.solver.step(problem, carry.latents, carry.state)
    better = going & (done.distance < carry.distance)
    return Carry(
        targets=carry.targets,
        latents=done.latents,
        state=done.state,
        distance=jnp.where(better, done.distance, carry.distance),
        best=jnp.where(spread(better, done.seen), done.seen, carry.best),
        cost=carry.cost + jnp.where(going, done.cost, 0.0),
        taken=carry.taken + 1,
    )


class StagePrograms(NamedTuple):
    """What runs a stage's lanes on their devices; a `carry` that is given is donated.

    Attributes:
      init: ``init(latents, targets)``: a block of lanes on each device that begin.
      refill: ``refill(slots, latents, targets, carry)``: on each device some lanes begin, in these
        places of its block; one past the end stands for no lane.
      advance: ``advance(weights, carry)``: from one check to the next.
      length: Steps from one check to the next.
      one: The jitted program that `advance` calls.
      steps_of_one: Steps that it takes.
    """

    init: Callable[..., Carry]
    refill: Callable[..., Carry]
    advance: Callable[..., Carry]
    length: int
    one: Any
    steps_of_one: int


@functools.lru_cache(maxsize=64)
def start_program(
    model: Model, encoder: Model | None, start: Start, restarts: int, hops: int = 0
) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """``program(weights, encoder_weights, key, words, images)``: where lanes begin and hop.

    It gives points, [N, restarts, *latent_shape], and hops, [N, restarts, hops, *latent_shape]. Its
    arithmetic is in float32.
    """

    @jax.jit
    def program(
        weights: Weights, encoding: Weights, key: jax.Array, words: jax.Array, images: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        # An image's key is the run's, folded with the eight words of its pixels' SHA-256.
        def of_image(words: jax.Array) -> jax.Array:
            own = jax.lax.fori_loop(
                0, len(words), lambda i, k: jax.random.fold_in(k, words[i]), key
            )
            return jax.vmap(lambda i: jax.random.fold_in(own, i))(jnp.arange(restarts))

        if model.compute != "float32":
            weights = [w.astype(jnp.float32) if w.dtype == model.compute else w for w in weights]
        generator, keys = model.merge(weights), jax.vmap(of_image)(words)
        encode = encoder.merge(encoding) if encoder else None
        points = start.points(generator, images, keys, encode)
        return points.astype(jnp.float32), hop_directions(generator, keys, hops)

    return program


@functools.lru_cache(maxsize=64)
def stage_programs(
    model: Model,
    stage: Stage,
    distance: Distance,
    length: int,
    on_host: bool,
    devices: tuple[jax.Device, ...],
) -> StagePrograms:
    """The programs of a stage (`Stage.of_a_step`), with so many steps between two checks."""

    def refill(slots: jax.Array, latents: jax.Array, targets: Any, old: Carry) -> Carry:
        new = begun(stage, latents, targets)
        return jax.tree.map(lambda n, o: o.at[slots].set(n, mode="drop"), new, old)

    def step(weights: Weights, carry: Carry) -> Carry:
        render = functools.partial(model.images, weights)
        # Of several steps between two checks the last may be too many.
        going = (carry.taken < stage.steps) | (length == 1)
        return stepped(stage, distance, render, carry, going, model.encoder(weights))

    def scan(weights: Weights, carry: Carry) -> Carry:
        return jax.lax.scan(lambda c, _: (step(weights, c), None), carry, length=length)[0]

    # Each device runs the same program on its own block, so the sums are those of one device.
    lanes, all_lanes = PartitionSpec("lanes"), PartitionSpec()
    mesh = Mesh(np.asarray(devices), ("lanes",))

    def program(fn: Callable[..., Carry], *specs: PartitionSpec, donate: Sequence[int] = ()) -> Any:
        sharded = jax.shard_map(fn, mesh=mesh, in_specs=specs, out_specs=lanes, check_vma=False)
        return jax.jit(sharded, donate_argnums=donate)

    one = program(step if on_host else scan, all_lanes, lanes, donate=(1,))

    def advance(weights: Weights, carry: Carry) -> Carry:
        for _ in range(length if on_host else 1):
            carry = one(weights, carry)
        return carry

    return StagePrograms(
        init=program(functools.partial(begun, stage), lanes, lanes),
        refill=program(refill, lanes, lanes, lanes, lanes, donate=(3,)),
        advance=advance,
        length=length,
        one=one,
        steps_of_one=1 if on_host else length,
    )


@functools.lru_cache(maxsize=64)
def reconstruct_program(model: Model) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """``program(weights, latents, images)``: the images of latents, and mean squared errors."""

    @jax.jit
    def reconstruct(
        weights: Weights, latents: jax.Array, images: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        made = model.images(weights, latents)
        return made, L2().l2(made, images)

    return reconstruct


@functools.partial(jax.jit, static_argnums=(0, 1))
def evenness(
    model: Model, distance: Distance, weights: Weights, latents: jax.Array, targets: Any
) -> jax.Array:
    """How evenly what the images of latents miss of their targets is spread, [L]."""
    return distance.evenness(model.images(weights, latents), targets)
