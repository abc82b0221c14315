"""Distillation of teachers whose maps are known in closed form."""

import pathlib
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_origin.generators import DDIM, Consistency, fingerprint, save_generator
from jax_origin.generators.base import flat_weights
from jax_origin.training import ConsistencyTask, train

pytestmark = pytest.mark.outer
UNET = {"widths": (8,), "blocks": 1, "norm_groups": 4, "middle_attention": False}
RUN = {"batch_size": 8, "checkpoint_every": 5, "grid_every": 99, "log_every": 1, "progress": False}
STUDENT = {"image_size": 8, "unet": UNET, "sigma_data": 1.0}
CONFIGS = pathlib.Path(__file__).parents[2] / "configs" / "train"


def ddim(prediction="v_prediction", seed=0, **config):
    """An untrained network predicts nothing: as v, that is right for images of white noise."""
    schedule = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": prediction}
    options = {"image_size": 8, "unet": UNET, "schedule": schedule, "num_steps": 5} | config
    return DDIM(**options, rngs=nnx.Rngs(seed))


def lively(teacher, scale=0.1):
    """The teacher, its last layer no longer zero."""
    shape = teacher.unet.output.kernel.shape
    teacher.unet.output.kernel[...] = scale * jax.random.normal(jax.random.key(5), shape)
    return teacher


def images(num=16):
    return np.random.default_rng(0).integers(0, 256, (num, 8, 8, 3), dtype=np.uint8)


def latents(num=4):
    return np.random.default_rng(2).normal(size=(num, 8, 8, 3)).astype(np.float32)


def rms(difference):
    return float(np.sqrt(np.mean(np.square(difference))))


def test_a_teacher_of_white_noise_teaches_the_closed_form():
    # The flow of N(0, 1) keeps x / sqrt(1 + sigma^2), so one step from the top gives the latent.
    # What it begins as, the mean of all images that x may come from, is nearly zero there.
    def off(generator):
        made = jax.jit(lambda x: generator.denoise(x, 80.0))(80 * latents())
        return rms(np.asarray(made) - latents())

    task = ConsistencyTask(Consistency, STUDENT, steps=400, teacher=ddim(), learning_rate=1e-2)
    state, key, losses = task.init(jax.random.key(0)), jax.random.key(1), []
    assert off(task.generator(state, key)) > 0.9
    for step in range(400):
        state, loss = task.step(state, images(), jax.random.fold_in(key, step))
        losses.append(float(loss["loss"]))
    assert off(task.generator(state, key)) < 0.3
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) / 2


@pytest.mark.parametrize(
    ("prediction", "time"), [("v_prediction", 50), ("v_prediction", 700), ("sample", 980)]
)
def test_a_student_begins_as_its_teachers_denoiser(prediction, time):
    teacher = lively(ddim(prediction))
    task = ConsistencyTask(Consistency, STUDENT, steps=9, teacher=teacher)
    student = task.generator(task.init(jax.random.key(0)), jax.random.key(0))
    share = teacher.schedule.alphas_cumprod()[time]
    signal, noise = np.sqrt(share), np.sqrt(1 - share)
    x = jnp.asarray(latents())
    expected, _ = teacher.estimate(signal * x, jnp.float32(time), signal, noise)
    found = student.denoise(x, float(noise / signal))
    # Its network has something to say there, so that agreement says something.
    assert rms(expected - (0 if prediction == "sample" else signal**2 * x)) > 0.02
    assert rms(found - expected) < 0.02 * rms(expected)


def test_a_run_that_goes_on_ends_where_an_unbroken_one_does(tmp_path):
    save_generator(tmp_path / "teacher", lively(ddim()), card={"name": "tutor"})
    student = {**STUDENT, "unet": {**UNET, "widths": (4,)}}  # not its teacher's
    task = ConsistencyTask(Consistency, student, steps=9, teacher=str(tmp_path / "teacher"))
    assert task.teacher["name"] == "tutor"
    straight = train(task, images(), steps=9, workdir=tmp_path / "straight", **RUN)
    train(task, images(), steps=5, workdir=tmp_path / "broken", **RUN)
    again = train(task, images(), steps=9, workdir=tmp_path / "broken", **RUN)
    assert fingerprint(again) == fingerprint(straight)
    assert again(latents()).shape == (4, 8, 8, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": ""}, "no teacher: the directory of a trained DDIM, or its name in the zoo"),
        ({"teacher": "dcgan-cifar10"}, "the teacher must be DDIM, not DCGAN: dcgan-cifar10"),
        ({"teacher": "nowhere"}, "nowhere: no such generator"),
        ({"teacher": ddim(image_size=16)}, "makes images of 16x16x3, the student of 8x8x3"),
        (
            {"teacher": ddim(unet={**UNET, "classes": 3}, label=0)},
            "trains networks without classes",
        ),
        ({"teacher": ddim(), "levels": 1}, "levels must be at least 2, not 1"),
    ],
)
def test_a_wrong_teacher_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ConsistencyTask(Consistency, STUDENT, steps=5, **options)


def test_the_zoos_consistency_model_has_the_network_of_the_diffusion_model_it_learns_from():
    options = {
        name: runpy.run_path(str(CONFIGS / f"{name}_cifar10.py"))["get_config"]()
        for name in ("ddim", "consistency")
    }
    made = options["consistency"].generator.to_dict()
    assert made["unet"] == options["ddim"].generator.unet.to_dict()
    student = nnx.eval_shape(lambda: Consistency(**made, rngs=nnx.Rngs(0)))
    assert student.image_shape == (32, 32, 3)
    assert sum(weight.size for weight in flat_weights(student).values()) < 1_400_000
