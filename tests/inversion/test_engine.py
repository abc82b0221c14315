import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_origin import Descent, FunctionGenerator, InversionConfig, invert
from jax_origin.generators import sample_latents
from jax_origin.images import as_uint8

FLOOR = 1 / (12 * 255**2)  # mean squared error of rounding to 8 bits
KEY = jax.random.key(0)
TRACES: list[int] = []


def picture(params, latents):
    """8x8 images of a linear map and a sigmoid; notes each time that it is traced."""
    TRACES.append(1)
    flat = jax.nn.sigmoid(latents @ params["weight"] + params["bias"][None])
    return flat.reshape(-1, 8, 8, 3)


def parameters(seed):
    rng = np.random.default_rng(seed)
    return {
        "weight": rng.normal(size=(4, 192)).astype(np.float32),
        "bias": rng.normal(size=192).astype(np.float32),
    }


def tiny(seed=0, fn=picture, params=None):
    params = parameters(seed) if params is None else params
    return FunctionGenerator(fn, params, latent_shape=(4,), image_shape=(8, 8, 3))


def own_images(generator, num, seed=1):
    return as_uint8(generator(sample_latents(generator, jax.random.key(seed), num)))


QUICK = InversionConfig(
    restarts=2, scales=(0.2, 0.8), stages=(Descent(steps=12),), lane_block=8, driver="host"
)
GOOD = dataclasses.replace(
    QUICK,
    stages=(
        Descent(steps=60),
        Descent(steps=90, objective="log_l2", learning_rate=0.1, lanes=1),
    ),
)


@pytest.fixture(scope="module")
def generator():
    return tiny()


@pytest.fixture(scope="module")
def images(generator):
    return own_images(generator, 7)


@pytest.fixture(scope="module")
def quick(generator, images):
    return invert(generator, images, QUICK, key=KEY)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_own_images_are_recovered_to_the_floor_of_8_bits_and_others_are_not(generator, images):
    noise = np.random.default_rng(2).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    found = invert(generator, np.concatenate([images, noise]), GOOD, key=KEY)
    assert (found.loss[:7] < 1.3 * FLOOR).all()
    assert (found.loss[7:] > 1e-2).all()
    assert np.abs(found.reconstruction[:7] * 255 - images).max() < 1


def test_what_comes_back_belongs_together(generator, images, quick):
    assert quick.loss.shape == quick.distance.shape == quick.restart.shape == (7,)
    assert quick.latent.shape == (7, 4)
    assert quick.reconstruction.shape == (7, 8, 8, 3)
    assert quick.loss.dtype == quick.latent.dtype == quick.reconstruction.dtype == np.float32
    assert quick.reconstruction.min() >= 0 and quick.reconstruction.max() <= 1
    np.testing.assert_allclose(generator(quick.latent), quick.reconstruction, atol=1e-6)
    error = ((quick.reconstruction - images / 255) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(quick.loss, error, rtol=1e-3)
    assert np.array_equal(quick.steps, [24] * 7)
    assert set(quick.restart) <= {0, 1}


def test_both_drivers_give_the_same_result(generator, images, quick):
    # 12 steps in chunks of 5: the last chunk is a shorter one.
    config = dataclasses.replace(QUICK, driver="scan", chunk=5)
    scanned = invert(generator, images, config, key=KEY)
    np.testing.assert_allclose(scanned.loss, quick.loss, rtol=1e-4)
    np.testing.assert_allclose(scanned.latent, quick.latent, atol=1e-4)
    assert np.array_equal(scanned.restart, quick.restart)


def test_the_same_call_gives_the_same_bits(generator, images, quick):
    assert same(invert(generator, images, QUICK, key=KEY), quick)


def test_an_image_alone_gives_the_same_bits_as_in_a_batch(generator, images, quick):
    for i in (0, 6):
        alone = invert(generator, images[i : i + 1], QUICK, key=KEY)
        assert same(alone, [part[i : i + 1] for part in quick])


def test_the_order_of_images_changes_no_bit(generator, images, quick):
    order = np.asarray([3, 6, 0, 5, 1, 4, 2])
    assert same(invert(generator, images[order], QUICK, key=KEY), [part[order] for part in quick])


def test_an_image_twice_in_a_batch_gets_one_result(generator, images, quick):
    twice = invert(generator, images[[2, 0, 2]], QUICK, key=KEY)
    assert same(twice, [part[[2, 0, 2]] for part in quick])


def test_floats_give_the_same_bits_as_the_8_bit_image_that_they_are(generator, images, quick):
    assert same(invert(generator, images / np.float32(255), QUICK, key=KEY), quick)
    assert same(invert(generator, jnp.asarray(images), QUICK, key=KEY), quick)


def test_another_key_starts_elsewhere(generator, images, quick):
    other = invert(generator, images, QUICK, key=jax.random.key(1))
    assert (other.latent != quick.latent).any(axis=1).all()


def test_each_image_and_restart_starts_elsewhere(generator, images):
    # A step too small to move: the latent is the starting point.
    still = Descent(steps=1, solver="sgd", learning_rate=1e-30)
    config = dataclasses.replace(QUICK, start="prior", stages=(still,), restarts=1)
    one = invert(generator, images, config, key=KEY).latent
    assert len(np.unique(one.round(4), axis=0)) == 7
    two = invert(generator, images, dataclasses.replace(config, restarts=2), key=KEY)
    # Another number of restarts is another program, whose last bit may differ.
    moved = ~np.isclose(two.latent, one, rtol=1e-5, atol=1e-6).all(axis=1)
    assert np.array_equal(moved, two.restart == 1) and moved.any() and not moved.all()
    scaled = dataclasses.replace(config, start="scaled", scales=(0.25,))
    np.testing.assert_allclose(
        invert(generator, images, scaled, key=KEY).latent, one * 0.25, rtol=1e-6
    )


def test_more_restarts_are_never_worse(generator, images):
    config = dataclasses.replace(QUICK, start="prior", restarts=1)
    one = invert(generator, images, config, key=KEY)
    three = invert(generator, images, dataclasses.replace(config, restarts=3), key=KEY)
    assert (three.loss <= one.loss).all()
    assert (three.loss < one.loss).any()


def test_a_polish_is_never_worse(generator, images, quick):
    # At this rate the polish jumps about: what the search found must stand.
    wild = Descent(steps=4, solver="sgd", objective="l2", learning_rate=1e5)
    kept = invert(
        generator, images, dataclasses.replace(QUICK, stages=(*QUICK.stages, wild)), key=KEY
    )
    assert (kept.loss <= quick.loss).all()
    fine = dataclasses.replace(
        QUICK,
        stages=(*QUICK.stages, Descent(steps=20, objective="log_l2", learning_rate=0.02)),
    )
    polished = invert(generator, images, fine, key=KEY)
    assert (polished.loss < quick.loss).all()
    assert np.array_equal(polished.steps, [2 * 12 + 2 * 20] * 7)


@pytest.mark.parametrize(
    ("solver", "rate", "options"),
    [("sgd", 5.0, {"momentum": 0.5}), ("lion", 0.1, {}), ("adamw", 0.2, {"weight_decay": 1e-4})],
)
def test_any_optimiser_of_optax_descends(generator, images, solver, rate, options):
    def loss(steps):
        descent = Descent(
            steps=steps, objective="l2", solver=solver, learning_rate=rate, options=options
        )
        config = dataclasses.replace(QUICK, restarts=1, stages=(descent,))
        return invert(generator, images, config, key=KEY).loss

    assert (loss(40) < 0.2 * loss(1)).all()


@pytest.mark.parametrize("objective", ["l1", "l2", "log_l2"])
def test_every_objective_descends(generator, images, objective):
    config = dataclasses.replace(QUICK, stages=(Descent(steps=40, objective=objective),))
    assert (invert(generator, images, config, key=KEY).loss < 1e-3).all()


def test_the_tracked_distance_may_be_l1_and_the_loss_stays_the_squared_error(generator, images):
    found = invert(generator, images, dataclasses.replace(QUICK, distance="l1"), key=KEY)
    difference = found.reconstruction - images / np.float32(255)
    np.testing.assert_allclose(found.distance, np.abs(difference).mean((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(found.loss, (difference**2).mean((1, 2, 3)), rtol=1e-4)


class Autoencoder(nnx.Module):
    """`picture` with the exact inverse as its encoder."""

    latent_shape, image_shape = (4,), (8, 8, 3)

    def __init__(self):
        self.weight = nnx.Param(jnp.asarray(parameters(0)["weight"]))

    def __call__(self, latents):
        return jax.nn.sigmoid(latents @ self.weight[...]).reshape(-1, 8, 8, 3)

    def encode(self, images):
        flat = jnp.clip(images.reshape(-1, 192), 0.01, 0.99)
        return jnp.log(flat / (1 - flat)) @ jnp.linalg.pinv(self.weight[...])


def test_an_encoder_gives_the_start():
    model = Autoencoder()
    own = own_images(model, 3)
    encoded = dataclasses.replace(
        QUICK,
        start="encoder",
        restarts=1,
        scales=(0.0,),
        stages=(Descent(steps=1, learning_rate=1e-3),),
    )
    found = invert(model, own, encoded, key=KEY)
    np.testing.assert_allclose(found.latent, model.encode(own / np.float32(255)), atol=1e-4)


def test_a_start_from_an_encoder_needs_one(generator, images):
    config = dataclasses.replace(QUICK, start="encoder")
    with pytest.raises(ValueError, match="start='encoder': FunctionGenerator has no encode"):
        invert(generator, images, config, key=KEY)


class Painter(nnx.Module):
    """A user's own module, of Flax's layers, with a grid as its latent and a prior of its own."""

    latent_shape, image_shape = (4, 4, 2), (8, 8, 1)

    def __init__(self, *, rngs):
        self.conv = nnx.Conv(2, 8, (3, 3), rngs=rngs)
        self.out = nnx.Conv(8, 1, (3, 3), rngs=rngs)

    def sample_latents(self, key, num):
        return jax.random.uniform(key, (num, 4, 4, 2), minval=-1)

    def __call__(self, latents):
        hidden = jnp.repeat(jnp.repeat(jnp.tanh(self.conv(latents)), 2, axis=1), 2, axis=2)
        return jax.nn.sigmoid(self.out(hidden))


def test_a_module_of_the_user_is_inverted():
    model = Painter(rngs=nnx.Rngs(0))
    own = own_images(model, 4)
    config = dataclasses.replace(GOOD, restarts=1)
    found = invert(model, own, config, key=KEY)
    assert found.latent.shape == (4, 4, 4, 2)
    assert (found.loss < 4 * FLOOR).all()


def test_nothing_is_compiled_again_from_batch_to_batch(generator, images, quick):
    del quick  # by now this recipe has been compiled
    before = len(TRACES)
    for num in (1, 5, 7):
        invert(generator, images[:num], QUICK, key=jax.random.key(num))
    # Other weights in the same architecture need no new program either.
    invert(tiny(seed=3), images, QUICK, key=KEY)
    assert len(TRACES) == before


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_a_generator_of_nan_has_infinite_loss(images, distance):
    broken = tiny(params=jax.tree.map(lambda x: x * np.nan, parameters(0)))
    config = dataclasses.replace(
        QUICK, distance=distance, stages=(Descent(steps=12), Descent(steps=2))
    )
    found = invert(broken, images, config, key=KEY)
    assert np.isposinf(found.loss).all()
    assert np.isposinf(found.distance).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((2, 8, 6, 3), np.uint8), r"images are \(8, 6, 3\).*makes \(8, 8, 3\)"),
        (np.zeros((2, 8, 8, 1), np.uint8), r"images are \(8, 8, 1\).*makes \(8, 8, 3\)"),
        (np.zeros((8, 8, 3), np.uint8), r"must be \[N, H, W, C\].*images\[None\]"),
        (np.zeros((2, 8, 8, 3), np.int32), "uint8, or floats"),
        (np.full((2, 8, 8, 3), 7.0), r"must lie in \[0, 1\]"),
        (np.full((2, 8, 8, 3), np.nan), "NaN"),
        (np.zeros((0, 8, 8, 3), np.uint8), "no images"),
    ],
)
def test_images_that_do_not_fit_are_refused(generator, wrong, message):
    with pytest.raises(ValueError, match=message):
        invert(generator, wrong, QUICK, key=KEY)


def grey(params, latents):
    return picture(params, latents)[..., :1]


def test_a_generator_that_makes_another_shape_than_it_says_is_refused(images):
    message = r"makes images of shape \(8, 8, 1\).*image_shape says \(8, 8, 3\)"
    with pytest.raises(ValueError, match=message):
        invert(tiny(fn=grey), images, QUICK, key=KEY)


@pytest.mark.parametrize("driver", ["host", "scan"])
def test_progress_adds_up_to_all_steps(generator, images, driver):
    told: list[int] = []
    config = dataclasses.replace(
        QUICK, driver=driver, chunk=5, stages=(Descent(steps=12), Descent(steps=12))
    )
    found = invert(generator, images, config, key=KEY, progress=told.append)
    assert sum(told) == found.steps.sum() == 7 * config.evaluations((4,))
    assert len(told) > 3
