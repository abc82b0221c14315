# %% [markdown]
# # Research: inversion inside your own program
#
# You ask a question of your own: how much brighter may an image be before its latent is no longer found?
# `jo.solve` is the inversion as a pure function, so the whole experiment becomes one program under `jax.jit`.
# A distance of six lines answers better than pixels do.

# %%
import dataclasses
import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import jax_origin as jo

LATENT, SIDE, IMAGES = 6, 8, 16

# %% [markdown]
# ## The generator
#
# Any pure function from latents to images will do. This one is a small network with random weights.


# %%
def generate(params, latents):  # [N, 6] -> [N, 8, 8, 3] in [0, 1]
    hidden = jnp.tanh(latents @ params["first"])
    return jax.nn.sigmoid(hidden @ params["last"]).reshape(-1, SIDE, SIDE, 3)


first, last = jax.random.split(jax.random.key(0))
params = {
    "first": jax.random.normal(first, (LATENT, 32)) / LATENT**0.5,
    "last": jax.random.normal(last, (32, SIDE * SIDE * 3)) / 32**0.5,
}

# %% [markdown]
# ## A distance of your own
#
# A distance says its residual; everything else follows from it. This one compares the differences between neighbouring pixels.
# If something is added to all pixels, these differences stay as they are.


# %%
@dataclasses.dataclass(frozen=True)
class Differences(jo.distances.Distance):
    kind = "differences"

    def residual(self, images, targets):
        off = images - targets
        down, along = (
            jnp.diff(off, axis=1)[:, :, 1:],
            jnp.diff(off, axis=2)[:, 1:],
        )
        return jnp.concatenate([down, along], axis=3)


# %% [markdown]
# ## One experiment as a function
#
# The function draws latents, makes images, brightens them, inverts them, and measures how far the latents are off.
# A recipe is a plain frozen value. Adam runs for 120 steps.


# %%
def recipe(distance):
    stage = jo.Stage(jo.solvers.Optax("adam", 0.2), steps=120, objective="l2")
    return jo.Recipe(stages=(stage,), distance=distance, restarts=1)


def latent_error(distance, key, level):
    make, begin, hop = jax.random.split(key, 3)
    latents = jax.random.normal(make, (IMAGES, LATENT))
    brighter = generate(params, latents) + level
    start = 0.1 * jax.random.normal(begin, (IMAGES, 1, LATENT))
    render = functools.partial(generate, params)
    found = jo.solve(render, brighter, recipe(distance), start, hop)
    return jnp.mean((found.latent - latents) ** 2)


# %% [markdown]
# ## All levels in one program
#
# `vmap` runs the experiment for each level of brightness, `jit` compiles all of it once.
# `shard_map` would divide it among devices: [the example](../../examples/solve_in_jit.py) does that.

# %%
LEVELS = jnp.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.4])


@functools.partial(jax.jit, static_argnums=0)
def errors(distance, key):
    return jax.vmap(latent_error, (None, None, 0))(distance, key, LEVELS)


distances = {"pixels": jo.distances.L2(), "differences": Differences()}
curves = {
    name: errors(distance, jax.random.key(1))
    for name, distance in distances.items()
}
print("added to each pixel " + "".join(f"{level:8.2f}" for level in LEVELS))
for name, curve in curves.items():
    print(f"{name:<20}" + "".join(f"{error:8.4f}" for error in curve))

# %%
figure, axis = plt.subplots(
    figsize=(5.4, 3),
    num="Error of the latent against brightness, for two distances",
)
for (name, curve), mark in zip(curves.items(), "os", strict=True):
    axis.plot(LEVELS, curve, mark + "-", label=name)
axis.set(xlabel="added to each pixel", ylabel="error of the latent (random: 2)")
axis.legend()
plt.show()

# %% [markdown]
# With pixels the latent gets lost as the image gets brighter. With differences brightness plays no part.
# The little that is left at 0 is the search's own: 120 steps do not find every latent.
# Any edit that you can write down may be asked about so.
#
# ## The same distance in a method
#
# A distance is a part. In a recipe it makes a method, with which you calibrate and attribute as usual.
# `register` makes its kind known, so that a calibration that holds it can be saved and loaded.

# %%
jo.register(Differences)
method = jo.Method(
    "by-differences", recipe(Differences()), rates=jo.Rates(0.05, 0.05)
)
shapes = {"latent_shape": (LATENT,), "image_shape": (SIDE, SIDE, 3)}
generator = jo.FunctionGenerator(
    generate, params, name="small network", **shapes
)
noise = jax.random.uniform(jax.random.key(3), (40, SIDE, SIDE, 3))
calibration = jo.calibrate(
    generator,
    method=method,
    num_belonging=40,
    foreign={"noise": noise},
    conditions=(),
    key=jax.random.key(4),
)
asked = generate(params, jax.random.normal(jax.random.key(5), (4, LATENT)))
for level in (0.0, 0.1):
    brighter = jnp.clip(asked + level, 0, 1)
    verdicts = jo.attribute(
        brighter, generator, calibration, key=jax.random.key(6)
    )
    print(
        f"{level:.1f} brighter: {', '.join(verdict.verdict for verdict in verdicts)}"
    )

# %% [markdown]
# ## Where to go on
#
# - [A distance](../extending/distance.md), [a score](../extending/score.md), [a start](../extending/start.md): parts of your own, a page each.
# - [The Python reference](../reference/api.md) has `jo.solve` and `jo.invert`. On a CPU `invert` is quicker for networks with convolutions.
