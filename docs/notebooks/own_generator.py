# %% [markdown]
# # A generator of your own
#
# You write one small generator three times: in plain JAX, in Flax NNX and in Equinox.
# Each time jax_origin takes it as it is, calibrates it and recognises its images.
# A generator needs three things: `latent_shape`, `image_shape`, and a call from latents to images in [0, 1].

# %%
import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

import jax_origin as jo
from jax_origin.images import as_uint8

LATENT, HIDDEN, COARSE, SIDE = 8, 64, (4, 4, 3), 16


def picture(numbers):
    """Enlarges numbers [N, 48] to images [N, 16, 16, 3] in [0, 1]."""
    coarse = numbers.reshape(-1, *COARSE)
    shape = (len(coarse), SIDE, SIDE, 3)
    return nnx.sigmoid(jax.image.resize(coarse, shape, "cubic"))


# %% [markdown]
# ## Plain JAX
#
# A pure function of its parameters and a batch of latents becomes a `jo.FunctionGenerator`.
# Nobody trained this network: its weights are random. That is enough for a generator, if not for beauty.


# %%
def random_params(seed):
    first, last = jax.random.split(jax.random.key(seed))
    return {
        "first": jax.random.normal(first, (LATENT, HIDDEN)) / LATENT**0.5,
        "last": 3 * jax.random.normal(last, (HIDDEN, 48)) / HIDDEN**0.5,
    }


def generate(params, latents):
    return picture(jnp.tanh(latents @ params["first"]) @ params["last"])


def plain(seed):
    shapes = {"latent_shape": (LATENT,), "image_shape": (SIDE, SIDE, 3)}
    return jo.FunctionGenerator(
        generate, random_params(seed), name="plain", **shapes
    )


# %% [markdown]
# ## Flax NNX
#
# A module is a generator if it has the two shapes and the call. Nothing is derived from jax_origin.


# %%
class Blobs(nnx.Module):
    latent_shape = (LATENT,)
    image_shape = (SIDE, SIDE, 3)

    def __init__(self, rngs):
        self.first = nnx.Linear(LATENT, HIDDEN, use_bias=False, rngs=rngs)
        self.last = nnx.Linear(HIDDEN, 48, use_bias=False, rngs=rngs)

    def __call__(self, latents):  # [N, 8] -> [N, 16, 16, 3] in [0, 1]
        return picture(self.last(jnp.tanh(self.first(latents))))


def flax_blobs(seed):
    module, params = Blobs(nnx.Rngs(0)), random_params(seed)
    module.first.kernel[...] = params["first"]
    module.last.kernel[...] = params["last"]
    return module


# %% [markdown]
# ## Equinox
#
# An Equinox module is a pytree. Split it into its arrays and the rest; then it is a pure function of the arrays.
# Equinox modules take one example, so `vmap` makes the batch.
# jax_origin does not need Equinox. Without it (`pip install equinox`) the notebook leaves it out.

# %%
try:
    import equinox as eqx
except ImportError:
    eqx = None
    print("Equinox is not installed: this part is left out.")


def equinox_blobs(seed):
    first, last = (
        eqx.nn.Linear(*sizes, use_bias=False, key=jax.random.key(0))
        for sizes in [(LATENT, HIDDEN), (HIDDEN, 48)]
    )
    params = random_params(seed)
    where = functools.partial(eqx.tree_at, lambda layer: layer.weight)
    layers = [where(first, params["first"].T), where(last, params["last"].T)]
    module = eqx.nn.Sequential([layers[0], eqx.nn.Lambda(jnp.tanh), layers[1]])
    arrays, rest = eqx.partition(module, eqx.is_array)

    def call(arrays, latents):
        return picture(jax.vmap(eqx.combine(arrays, rest))(latents))

    shapes = {"latent_shape": (LATENT,), "image_shape": (SIDE, SIDE, 3)}
    return jo.FunctionGenerator(call, arrays, name="equinox", **shapes)


# %% [markdown]
# ## Three times the same images
#
# The three have the same weights here. So they make the same images of the same latents.

# %%
made_by = {"plain JAX": plain, "Flax NNX": flax_blobs} | (
    {"Equinox": equinox_blobs} if eqx else {}
)
generators = {name: make(0) for name, make in made_by.items()}
latents = jax.random.normal(jax.random.key(5), (6, LATENT))
images = {
    name: np.asarray(generator(latents))
    for name, generator in generators.items()
}
for name, made in images.items():
    print(
        f"{name:<10} differs from plain JAX by {abs(made - images['plain JAX']).max():.1e}"
    )

figure, axes = plt.subplots(
    1, 6, figsize=(6, 1.2), num="Six images of the small generator"
)
for axis, image in zip(axes, images["plain JAX"], strict=True):
    axis.imshow(image)
    axis.axis("off")
plt.show()

# %% [markdown]
# ## Calibrate
#
# A calibration scores images that the generator made, and foreign ones. Name foreign images that are hard:
# here those of the same network with other weights.
#
# You keep it small. The method is a short one: two starting points, and 100 steps of Adam from each.
# An error rate of 5% in both directions needs only 19 images of each kind; you take 40.
# For real work leave `method`, `num_belonging` and `conditions` out.
# Then it is `origin`: a learned start, an error rate of 1%, 200 images, and eight edits. That takes minutes.

# %%
SMALL = jo.Method(
    "small",
    jo.Recipe(
        start=jo.starts.Scaled((0.2, 0.8)),
        stages=(
            jo.Stage(
                jo.solvers.Optax("adam", 0.1), steps=100, objective="log_l2"
            ),
        ),
    ),
    rates=jo.Rates(0.05, 0.05),
)
foreign = as_uint8(plain(1)(jax.random.normal(jax.random.key(1), (40, LATENT))))


def calibrated(generator):
    groups = {"other weights": foreign}
    sizes = {"num_belonging": 40, "conditions": ()}
    return jo.calibrate(
        generator, method=SMALL, foreign=groups, key=jax.random.key(3), **sizes
    )


calibrations = {
    name: calibrated(generator) for name, generator in generators.items()
}
for name, found in calibrations.items():
    own, other = found.belonging, found.foreign["other weights"].scores
    print(
        f"{name:<10} highest own score {own.max():.1e}, lowest foreign one {other.min():.1e}"
    )

# %% [markdown]
# ## Ask
#
# You ask each generator about four images that are its own and four of a network that no calibration has seen.
# The rounding to 8 bits is part of the question: a file has it, too.

# %%
own = as_uint8(
    generators["plain JAX"](jax.random.normal(jax.random.key(6), (4, LATENT)))
)
unknown = as_uint8(plain(2)(jax.random.normal(jax.random.key(7), (4, LATENT))))
for name, generator in generators.items():
    attributor = jo.Attributor(
        generator, calibrations[name], key=jax.random.key(8)
    )
    for of, asked in [("own", own), ("foreign", unknown)]:
        said = [verdict.verdict for verdict in attributor(asked)]
        print(f"{name:<10} {of:<8} {', '.join(said)}")

# %% [markdown]
# ## Keep it
#
# `calibration.save("cal.json")` keeps a calibration. It holds the fingerprint of its generator, a hash of code and weights.
# Another generator is refused, even where it makes the same images.

# %%
try:
    jo.Attributor(
        generators["Flax NNX"], calibrations["plain JAX"], key=jax.random.key(8)
    )
except jo.CalibrationError as error:
    print(error)

# %% [markdown]
# ## Where to go on
#
# - [Ask about your own generator](../how_to/your_generator.md) lists what else a generator may have, and the commands.
# - The next notebook compares [five methods](five_methods.md) on the same images.
