"""Steps by a generator's own encoder, without its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_origin as jo
from jax_origin.images import stored_images

KEY = jax.random.key(0)


def linear(seed=0, bend=0.0):
    """Latents of 24 numbers to 8x8 images, slightly bent, with the linear part's own inverse."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(192, 24)))[0].astype(np.float32)

    def make(basis, z):
        x = z @ basis.T
        return (0.5 + 0.25 * (x + bend * jnp.sin(3 * x))).reshape(-1, 8, 8, 3)

    def encode(basis, images):
        return (4 * images.reshape(-1, 192) - 2) @ basis

    return jo.FunctionGenerator(
        make, basis, latent_shape=(24,), image_shape=(8, 8, 3), encode=encode, name="linear"
    )


def recipe(distance, steps=8, **options):
    stage = jo.Stage(jo.solvers.EncoderSteps(**options), steps=steps)
    return jo.Recipe(start=jo.starts.Prior(), stages=(stage,), distance=distance)


def own_images(generator, count=3):
    return generator(0.5 * jax.random.normal(jax.random.key(5), (count, 24)))


def test_an_exact_encoder_needs_one_step():
    generator = linear()
    found = jo.invert(generator, own_images(generator), recipe(jo.distances.L2(), 2), key=KEY)
    assert found.loss.max() < 1e-10
    np.testing.assert_array_equal(found.steps, 2)


def test_a_bent_generator_is_neared_step_by_step_and_foreign_images_are_not():
    generator = linear(bend=0.1)
    own = own_images(generator)
    few = jo.invert(generator, own, recipe(jo.distances.L2(), 3), key=KEY).loss
    many = jo.invert(generator, own, recipe(jo.distances.L2(), 12), key=KEY).loss
    assert (many < few).all() and many.max() < 1e-6
    noise = jax.random.uniform(jax.random.key(6), (3, 8, 8, 3))
    assert jo.invert(generator, noise, recipe(jo.distances.L2(), 12), key=KEY).loss.min() > 1e-2


def test_it_nears_the_set_of_a_jpeg():
    generator = linear(bend=0.05)
    pixels = np.asarray(jnp.round(255 * own_images(generator)), np.uint8)
    stored = stored_images(pixels, "jpeg-75")
    found = jo.invert(generator, stored, recipe(jo.distances.FileSet(), 30), key=KEY)
    start = jo.invert(generator, stored, recipe(jo.distances.FileSet(), 1), key=KEY)
    assert (found.distance < start.distance / 100).all()


def test_a_generator_without_an_encoder_is_refused():
    other = jo.FunctionGenerator(
        lambda p, z: jnp.zeros((len(z), 8, 8, 3)) + p,
        jnp.zeros(()),
        latent_shape=(2,),
        image_shape=(8, 8, 3),
        name="other",
    )
    with pytest.raises(ValueError, match=r"EncoderSteps: the generator has no encode\(images\)"):
        jo.invert(other, np.zeros((1, 8, 8, 3)), recipe(jo.distances.L2()), key=KEY)
    with pytest.raises(ValueError, match="rate must be positive"):
        jo.solvers.EncoderSteps(rate=0.0)


def test_solve_takes_an_encoder():
    generator = linear()
    own = own_images(generator)
    start = jnp.zeros((3, 1, 24))
    of = recipe(jo.distances.L2(), 2)

    def encode(images, latents):
        return generator.encode(images)

    found = jo.solve(generator, own, of, start, KEY, encode=encode)
    assert found.loss.max() < 1e-10
