"""Inversion inside your own jitted code: `jax_origin.solve` under jit, vmap and shard_map.

    python examples/solve_in_jit.py
    XLA_FLAGS=--xla_force_host_platform_device_count=4 python examples/solve_in_jit.py

The question: how much brighter may an image have been made before its latent is no longer found?
One function makes images, brightens them, inverts them, and measures. `vmap` runs it for all
levels of brightness, `shard_map` divides the seeds among the devices, `jit` makes one program of
everything. The generator is a plain function of its parameters, and the distance is written here:
it compares the differences between neighbouring pixels, which brightness leaves as they are.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

import jax_origin as jo

LATENT, SIDE, IMAGES, SEEDS = 6, 8, 4, 4
LEVELS = (0.0, 0.05, 0.1, 0.2, 0.4)


def generate(params: dict[str, jax.Array], latents: jax.Array) -> jax.Array:
    """Latents [N, LATENT] to images [N, SIDE, SIDE, 3] in [0, 1]."""
    hidden = jnp.tanh(latents @ params["first"])
    return jax.nn.sigmoid(hidden @ params["last"]).reshape(-1, SIDE, SIDE, 3)


def random_params(key: jax.Array) -> dict[str, jax.Array]:
    """Parameters of a generator that nobody trained."""
    first, last = jax.random.split(key)
    return {
        "first": jax.random.normal(first, (LATENT, 32)) / LATENT**0.5,
        "last": jax.random.normal(last, (32, SIDE * SIDE * 3)) / 32**0.5,
    }


@dataclasses.dataclass(frozen=True)
class Differences(jo.distances.Distance):
    """Squared error of the differences between neighbouring pixels."""

    kind = "differences"

    def residual(self, images: jax.Array, targets: Any) -> jax.Array:
        """Of neighbours in a column and in a row, [N, H - 1, W - 1, 2 C]."""
        off = images - targets
        down, along = jnp.diff(off, axis=1)[:, :, 1:], jnp.diff(off, axis=2)[:, 1:]
        return jnp.concatenate([down, along], axis=3)


def recipe(distance: jo.distances.Distance) -> jo.Recipe:
    """Adam for a while, and at half the rate for another, from one start an image."""
    stages = tuple(
        jo.Stage(jo.solvers.Optax("adam", rate), steps=60, objective="l2") for rate in (0.2, 0.1)
    )
    return jo.Recipe(stages=stages, distance=distance, restarts=1)


def latent_error(
    distance: jo.distances.Distance, params: Any, key: jax.Array, level: jax.Array
) -> jax.Array:
    """How far the latents that are found lie from those that made the images; 2 for no idea."""
    make, begin, hop = jax.random.split(key, 3)
    latents = jax.random.normal(make, (IMAGES, LATENT))
    brighter = generate(params, latents) + level
    start = 0.1 * jax.random.normal(begin, (IMAGES, 1, LATENT))  # One restart an image.
    found = jo.solve(functools.partial(generate, params), brighter, recipe(distance), start, hop)
    return jnp.mean((found.latent - latents) ** 2)


@functools.partial(jax.jit, static_argnums=0)
def errors(distance: jo.distances.Distance, params: Any, keys: jax.Array) -> jax.Array:
    """The error at each level, mean over all seeds; one program, seeds divided among devices."""

    def of_some(params: Any, keys: jax.Array) -> jax.Array:
        of_levels = jax.vmap(latent_error, (None, None, None, 0))
        of_seeds = jax.vmap(of_levels, (None, None, 0, None))
        mean = jnp.mean(of_seeds(distance, params, keys, jnp.array(LEVELS)), axis=0)
        return jax.lax.pmean(mean, "seeds")

    mesh = Mesh(jax.devices(), ("seeds",))
    everywhere, divided = PartitionSpec(), PartitionSpec("seeds")
    # The loops of `solve` begin with constants, which are the same on all devices: no check.
    divide = functools.partial(jax.shard_map, mesh=mesh, out_specs=everywhere, check_vma=False)
    return divide(of_some, in_specs=(everywhere, divided))(params, keys)


def main() -> None:
    """Prints the error by level, with pixels compared and with their differences."""
    params = random_params(jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), SEEDS)
    num = SEEDS * IMAGES * len(LEVELS)
    print(f"{num} images, inverted in one program on {jax.device_count()} device(s), each way.")
    print(
        "Mean squared error of the latents (of a random one: 2), by what was added to each pixel:"
    )
    print(f"  {'added':<12}" + "".join(f"{level:9.2f}" for level in LEVELS))
    for distance in (jo.distances.L2(), Differences()):
        row = "".join(f"{error:9.5f}" for error in errors(distance, params, keys))
        print(f"  {distance.kind:<12}{row}")


if __name__ == "__main__":
    main()
