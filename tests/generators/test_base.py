import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_origin.generators import (
    DCGAN,
    VAE,
    FunctionGenerator,
    Generator,
    fingerprint,
    generator_name,
    sample_latents,
)

# A user's own module: nothing of it comes from jax_origin. Run here, and in another process.
OWN = """
from flax import nnx
import jax.numpy as jnp

class Layer(nnx.Module):
    def __init__(self, *, scale, rngs):
        self.scale = scale
        self.linear = nnx.Linear(2, 12, rngs=rngs)

    def __call__(self, x):
        return self.linear(x) * self.scale

class Own(nnx.Module):
    latent_shape = (2,)
    image_shape = (2, 2, 3)

    def __init__(self, *, scale=0.5, options=None, seed=0):
        rngs = nnx.Rngs(seed)
        self.layers = nnx.List([Layer(scale=scale, rngs=rngs)])
        self.norm = nnx.BatchNorm(12, rngs=rngs)
        self.options = options or {}

    def __call__(self, latents):
        x = self.norm(self.layers[0](latents), use_running_average=True)
        return nnx.sigmoid(x).reshape(-1, 2, 2, 3)
"""
exec(compile(OWN, "own", "exec"))  # defines Own for this module too


def own(**options):
    return globals()["Own"](**options)


def ramp(params, latents):
    flat = latents.reshape(len(latents), -1)
    return jax.nn.sigmoid(flat @ params["w"] + params["b"]).reshape(-1, 2, 2, 3)


def params(seed=0):
    rng = np.random.default_rng(seed)
    return {"w": rng.normal(size=(4, 12)).astype(np.float32), "b": np.zeros((1, 12), np.float32)}


def function_generator(seed=0, fn=ramp, **options):
    shapes = {"latent_shape": (4,), "image_shape": (2, 2, 3)}
    return FunctionGenerator(fn, params(seed), **shapes, **options)


def test_a_function_becomes_a_generator():
    generator = function_generator()
    latents = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    images = jax.jit(lambda latents: generator(latents))(latents)
    np.testing.assert_allclose(images, ramp(params(), latents), atol=1e-6)
    assert images.shape == (5, *generator.image_shape)
    assert generator_name(generator) == "ramp"


def test_a_function_generator_is_a_module_that_splits_and_merges():
    generator = function_generator()
    latents = jnp.ones((1, 4))
    again = nnx.merge(*nnx.split(generator))
    assert (again(latents) == generator(latents)).all()
    gradient = jax.grad(lambda latents: generator(latents).sum())(latents)
    assert np.abs(gradient).max() > 0


def test_the_fingerprint_of_a_function_covers_name_shapes_and_parameters():
    first = fingerprint(function_generator())
    assert fingerprint(function_generator()) == first
    assert fingerprint(function_generator(seed=1)) != first
    assert fingerprint(function_generator(name="ramp of tuesday")) != first
    assert generator_name(function_generator(name="ramp of tuesday")) == "ramp of tuesday"
    assert fingerprint(function_generator(fn=lambda params, latents: latents)) != first
    assert fingerprint(function_generator(fn=jax.jit(ramp))) == first
    with jax.disable_jit():
        assert fingerprint(function_generator()) == first
    other = FunctionGenerator(ramp, params(), latent_shape=(2, 2), image_shape=(2, 2, 3))
    assert fingerprint(other) != first


def test_the_fingerprint_of_an_own_module_covers_settings_and_weights():
    first = fingerprint(own())
    assert fingerprint(own()) == first
    assert fingerprint(own(seed=1)) != first
    assert fingerprint(own(scale=0.6)) != first  # held by a module inside it
    assert fingerprint(own(options={"mode": "a"})) != first
    assert fingerprint(own(options={"b": 1, "a": np.float32(2)})) == fingerprint(
        own(options={"a": np.float32(2), "b": 1})
    )


def test_the_fingerprint_of_an_own_module_covers_every_array():
    module = own()
    names = [path for path, _ in nnx.to_flat_state(nnx.state(module))]
    seen = {fingerprint(module)}
    for name in names:
        flat = dict(nnx.to_flat_state(nnx.state(module)))
        flat[name] = flat[name].replace(flat[name].get_value() + 1e-3)
        nnx.update(module, nnx.from_flat_state(flat))
        seen.add(fingerprint(module))
    assert len(names) == 6  # two of the linear layer, four of the norm
    assert len(seen) == 7


def test_the_fingerprint_of_an_own_module_covers_plain_arrays_keys_and_private_settings():
    class Plain(nnx.Module):
        latent_shape, image_shape = (2,), (1, 1, 2)

        def __init__(self, *, value=1.0, seed=0, truncation=0.7):
            self.table = jnp.full(2, value)
            self.noise = jax.random.key(seed)
            self._truncation = truncation

        def __call__(self, latents):
            noise = jax.random.normal(self.noise, (1, 2))
            return (latents * self._truncation * self.table[None] + noise)[:, None, None]

    first = fingerprint(Plain())
    assert fingerprint(Plain()) == first
    changes = {"value": 2.0}, {"seed": 1}, {"truncation": 0.8}
    assert len({first, *(fingerprint(Plain(**change)) for change in changes)}) == 4


def test_a_class_derived_from_generator_needs_no_kind_to_have_a_fingerprint():
    class Mine(Generator):
        latent_shape, image_shape = (2,), (1, 1, 3)

        def __init__(self, scale):
            self.scale = scale

        def __call__(self, latents):
            return jax.nn.sigmoid(self.scale * latents.mean(1))[:, None, None, None]

    assert fingerprint(Mine(1.0)) == fingerprint(Mine(1.0)) != fingerprint(Mine(2.0))


def test_a_fingerprint_tells_a_derived_class_from_its_base():
    class Brighter(DCGAN):
        def __call__(self, latents):
            return super().__call__(latents) ** 0.5

    config = {"image_size": 8, "latent_dim": 3, "width": 4}
    base, derived = DCGAN(**config, rngs=nnx.Rngs(0)), Brighter(**config, rngs=nnx.Rngs(0))
    assert fingerprint(derived) != fingerprint(base)
    assert fingerprint(derived) == fingerprint(Brighter(**config, rngs=nnx.Rngs(0)))


def test_a_random_stream_does_not_count_as_a_weight():
    class Noisy(nnx.Module):
        latent_shape, image_shape = (2,), (1, 1, 2)

        def __init__(self, seed):
            self.linear = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
            self.rngs = nnx.Rngs(seed)

        def __call__(self, latents):
            return self.linear(latents)[:, None, None]

    assert fingerprint(Noisy(0)) == fingerprint(Noisy(1))


def test_fingerprints_are_the_same_in_another_process():
    code = textwrap.dedent(
        f"""
        exec({OWN!r})
        from jax_origin.generators import fingerprint
        print(fingerprint(Own(options={{"b": (1, 2), "a": None}})))
        """
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == fingerprint(own(options={"a": None, "b": (1, 2)}))


def test_latents_are_standard_normal_by_default():
    key = jax.random.key(0)
    latents = sample_latents(function_generator(), key, 5000)
    assert latents.shape == (5000, 4)
    assert latents.dtype == jnp.float32
    assert abs(float(latents.mean())) < 0.05
    assert abs(float(latents.std()) - 1) < 0.05
    assert (latents == sample_latents(function_generator(), key, 5000)).all()
    assert (latents != sample_latents(function_generator(), jax.random.key(1), 5000)).any()


def test_a_function_generator_takes_a_prior_an_encoder_and_an_undo():
    plain = function_generator()
    for name in ("encode", "undo"):  # What was not given is no attribute: nobody calls it.
        assert not hasattr(plain, name)
    full = function_generator(
        prior=lambda params, key, num: jnp.full((num, 4), params["w"].sum()),
        encode=lambda params, images: images.mean((1, 2))[:, :1] * params["w"][:1, :4],
        undo=lambda params, images, noise: noise + params["b"][:, :4],
    )
    drawn = np.asarray(sample_latents(full, jax.random.key(0), 3))
    assert drawn == pytest.approx(float(params()["w"].sum()))
    assert full.encode(jnp.ones((2, 2, 2, 3))).shape == (2, 4)
    assert (full.undo(jnp.ones((2, 2, 2, 3)), jnp.ones((2, 4))) == 1).all()
    graph, state = nnx.split(full)
    encode = jax.jit(lambda state: nnx.merge(graph, state).encode(jnp.ones((2, 2, 2, 3))))
    assert encode(state).shape == (2, 4)
    hash(graph)  # Compiled programs are kept by it.


def test_latents_of_a_pytree_are_drawn_leaf_by_leaf():
    shapes = {"z": (4,), "w": (2, 3)}
    generator = FunctionGenerator(
        lambda params, latents: latents["z"], (), latent_shape=shapes, image_shape=(2, 2, 3)
    )
    assert generator.latent_shape == shapes
    drawn = sample_latents(generator, jax.random.key(0), 5)
    assert {name: leaf.shape for name, leaf in drawn.items()} == {"z": (5, 4), "w": (5, 2, 3)}
    assert drawn["z"][0, 0] != drawn["w"][0, 0, 0]


def test_every_generator_says_which_method_suits_it():
    assert Generator.default_method == "origin"


def test_a_generators_own_prior_is_used():
    class Uniform(FunctionGenerator):
        def sample_latents(self, key, num):
            return jax.random.uniform(key, (num, *self.latent_shape))

    generator = Uniform(ramp, params(), latent_shape=(4,), image_shape=(2, 2, 3))
    latents = sample_latents(generator, jax.random.key(0), 100)
    assert latents.shape == (100, 4)
    assert float(latents.min()) >= 0


def test_a_name_is_the_one_given_or_the_classs():
    generator = VAE(image_size=8, latent_dim=2, width=2, rngs=nnx.Rngs(0))
    assert generator_name(generator) == "VAE"
    before = fingerprint(generator)
    generator.name = "vae-of-mine"
    assert generator_name(generator) == "vae-of-mine"
    assert fingerprint(generator) == before  # a kind's fingerprint is its map's, not its name's


@pytest.mark.parametrize("missing", ["config", "latent_shape", "image_shape"])
def test_what_a_generator_lacks_is_named(missing):
    class Empty(Generator):
        pass

    with pytest.raises(NotImplementedError, match=f"Empty has no {missing}"):
        getattr(Empty(), missing)
