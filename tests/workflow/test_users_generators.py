"""Generators as people have them: layers with a training mode, other layouts, other latents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jax_origin as jo
from jax_origin.generators import fingerprint
from jax_origin.workflow import belonging_images

KEY = jax.random.key(0)
METHOD = jo.Method(
    "quick",
    jo.Recipe(start=jo.starts.Scaled((0.2,)), stages=(jo.Stage(steps=60),)),
    rates=jo.Rates(0.2, 0.2),
)


class Layers(nnx.Module):
    """A small network with batch norm and dropout, as it comes: in training mode."""

    latent_shape = (6,)
    image_shape = (8, 8, 3)

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(6, 32, rngs=rngs)
        self.norm = nnx.BatchNorm(32, rngs=rngs)
        self.dropout = nnx.Dropout(0.3, rngs=rngs)
        self.last = nnx.Linear(32, 192, rngs=rngs)

    def __call__(self, latents):
        hidden = self.dropout(jnp.tanh(self.norm(self.first(latents))))
        return jax.nn.sigmoid(2 * self.last(hidden)).reshape(-1, 8, 8, 3)


def judged(generator, method=METHOD):
    """Verdicts on six images of its own, then on six of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (16, *generator.image_shape), np.uint8)
    calibration = jo.calibrate(
        generator, method=method, num_belonging=10, foreign={"noise": noise[:10]}, key=KEY
    )
    own = belonging_images(generator, 6, key=jax.random.key(1))
    images = np.concatenate([own, noise[10:]])
    return jo.attribute(images, generator, calibration, key=jax.random.key(2)), calibration


def assert_told_apart(verdicts):
    words = [verdict.verdict for verdict in verdicts]
    assert words[:6].count("belongs") >= 4 and "belongs" not in words[6:]


def test_layers_with_a_training_mode_are_calibrated_and_attributed_in_evaluation_mode():
    training, evaluation = Layers(), Layers()
    evaluation.eval()
    found, calibration = judged(training)
    assert_told_apart(found)
    assert not training.norm.use_running_average and not training.dropout.deterministic
    assert calibration.generator["fingerprint"] == fingerprint(evaluation)
    again, same = judged(evaluation)
    assert same == calibration
    assert [verdict.record() for verdict in again] == [verdict.record() for verdict in found]


def function(make):
    return jo.FunctionGenerator(make, np.ones((), np.float32), latent_shape=(6,), image_shape=SHAPE)


SHAPE = (8, 8, 3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda one, z: one * jnp.zeros((len(z), 3, 8, 8)), r"returns \[N, C, H, W\]; return \[N"),
        (lambda one, z: one * jnp.tanh(jnp.tile(z, 32)).reshape(-1, *SHAPE), r"\(x \+ 1\) / 2"),
        (lambda one, z: one * jnp.full((len(z), *SHAPE), 200.0), r"return x / 255"),
        (lambda one, z: one * jnp.full((len(z), *SHAPE), jnp.nan), "NaN or infinite"),
        (lambda one, z: one * jnp.zeros((len(z), 4, 4, 3)), r"images of shape \(2, 4, 4, 3\)"),
    ],
)
def test_a_generator_that_breaks_the_contract_is_refused_in_one_line(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        jo.calibrate(function(make), method=METHOD, num_belonging=10, key=KEY)
    assert "\n" not in str(caught.value)


def test_what_is_no_module_is_told_what_to_do():
    with pytest.raises(TypeError, match=r"wrap its function, jax_origin\.FunctionGenerator"):
        jo.calibrate(lambda z: z, method=METHOD, num_belonging=10, key=KEY)


WEIGHT = np.random.default_rng(3).normal(size=(6, 192)).astype(np.float32)


def sheet(weight, latents):
    """Images of latents from the cube [-1, 1]^6."""
    return 0.5 + (latents @ weight).reshape(-1, *SHAPE) / 30


def cube(weight, key, num):
    return jax.random.uniform(key, (num, 6), minval=-1, maxval=1)


def back(weight, images):
    return 30 * (images.reshape(len(images), -1) - 0.5) @ jnp.linalg.pinv(weight)


def undone(weight, images, noise):
    return back(weight, images) + 0.0 * noise


@pytest.mark.parametrize("start", [jo.starts.Prior(), jo.starts.Encoded(), jo.starts.Undone()])
def test_a_function_may_bring_its_prior_its_encoder_and_its_undo(start):
    model = jo.FunctionGenerator(
        sheet,
        WEIGHT,
        latent_shape=(6,),
        image_shape=SHAPE,
        prior=cube,
        encode=back,
        undo=undone,
    )
    steps = 60 if start.kind == "prior" else 1
    recipe = jo.Recipe(start=start, stages=(jo.Stage(steps=steps),))
    found, _ = judged(model, jo.Method("own", recipe, rates=METHOD.rates, floor=1e-5))
    assert_told_apart(found)
    # Where an encoder or an undo leads back, one step is enough.
    assert {verdict.steps for verdict in found[6:]} == {steps}


def test_a_start_that_needs_what_a_function_has_not_got_says_so():
    model = jo.FunctionGenerator(sheet, WEIGHT, latent_shape=(6,), image_shape=SHAPE, prior=cube)
    for start, words in ((jo.starts.Encoded(), "no encode"), (jo.starts.Undone(), "no undo")):
        method = jo.Method("own", jo.Recipe(start=start), rates=METHOD.rates)
        with pytest.raises(ValueError, match=words):
            jo.calibrate(model, method=method, num_belonging=10, key=KEY)


class Labelled(nnx.Module):
    """A generator whose latent is a vector and a label beside it."""

    image_shape = SHAPE

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.of_z, self.of_label = (nnx.Linear(n, 192, rngs=rngs) for n in (6, 4))

    @property
    def latent_shape(self):
        return {"z": (6,), "label": (4,)}

    def sample_latents(self, key, num):
        draw, choose = jax.random.split(key)
        label = jax.random.randint(choose, (num,), 0, 4)
        return {"z": jax.random.normal(draw, (num, 6)), "label": jax.nn.one_hot(label, 4)}

    def __call__(self, latents):
        made = self.of_z(latents["z"]) + 3 * self.of_label(latents["label"])
        return jax.nn.sigmoid(made).reshape(-1, *SHAPE)


def test_latents_may_be_a_pytree():
    found, calibration = judged(Labelled())
    assert_told_apart(found)
    assert calibration.generator["latent_shape"] == [10]
    assert found[0].inversion.latent.shape == (10,)
