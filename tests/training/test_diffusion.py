import pathlib
import runpy

import jax
import numpy as np
import pytest
from flax import nnx

from jax_origin.generators import DDIM, fingerprint
from jax_origin.generators.base import flat_weights
from jax_origin.training import DiffusionTask, train

pytestmark = pytest.mark.outer
UNET = {"widths": (8,), "blocks": 1, "norm_groups": 4, "middle_attention": False}
RUN = {"batch_size": 8, "checkpoint_every": 5, "grid_every": 99, "log_every": 1, "progress": False}
CONFIGS = pathlib.Path(__file__).parents[2] / "configs" / "train"


def config(prediction="v_prediction"):
    schedule = {"prediction_type": prediction}
    return {"image_size": 8, "unet": UNET, "schedule": schedule, "num_steps": 5}


def plain_images(num=8):
    return np.broadcast_to(np.uint8([200, 60, 120]), (num, 8, 8, 3))


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_a_model_of_plain_images_finds_them_in_noise(prediction):
    task = DiffusionTask(DDIM, config(prediction), steps=200, learning_rate=1e-2)
    state, key = task.init(jax.random.key(0)), jax.random.key(1)
    for step in range(200):
        state, _ = task.step(state, plain_images(), jax.random.fold_in(key, step))
    generator = task.generator(state, key)
    share = generator.schedule.alphas_cumprod()[300]
    signal, strength = np.sqrt(share), np.sqrt(1 - share)
    noise = np.random.default_rng(2).normal(size=(4, 8, 8, 3)).astype(np.float32)
    noisy = signal * (plain_images(4) / np.float32(127.5) - 1) + strength * noise
    predicted = jax.jit(lambda x: generator.unet(x, np.full(4, 300.0)))(noisy)
    found = {
        "epsilon": (noisy - strength * predicted) / signal,
        "sample": predicted,
        "v_prediction": signal * noisy - strength * predicted,
    }[prediction]
    # A network that predicts nothing is off by 127 grey levels as epsilon, by about 50 otherwise.
    most = 30 if prediction == "epsilon" else 15
    assert np.abs((found + 1) * 127.5 - plain_images(4)).mean() < most


def test_a_run_that_goes_on_ends_where_an_unbroken_one_does(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    task = DiffusionTask(DDIM, config(), steps=9)
    straight = train(task, images, steps=9, workdir=tmp_path / "straight", **RUN)
    train(task, images, steps=5, workdir=tmp_path / "broken", **RUN)
    again = train(task, images, steps=9, workdir=tmp_path / "broken", **RUN)
    assert fingerprint(again) == fingerprint(straight)


def test_a_network_with_classes_is_refused():
    labelled = {**config(), "unet": {**UNET, "classes": 3}, "label": 0}
    with pytest.raises(ValueError, match="trains networks without classes"):
        DiffusionTask(DDIM, labelled, steps=5)


def test_the_zoos_diffusion_model_is_small():
    options = runpy.run_path(str(CONFIGS / "ddim_cifar10.py"))["get_config"]()
    made = nnx.eval_shape(lambda: DDIM(**options.generator.to_dict(), rngs=nnx.Rngs(0)))
    assert made.image_shape == (32, 32, 3)
    assert sum(weight.size for weight in flat_weights(made).values()) < 1_400_000
