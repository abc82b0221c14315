"""Training of latent models' autoencoders: what they give back, what latents and codes become."""

import pathlib
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_origin.generators import (
    KINDS,
    AutoencoderKL,
    AutoencoderTiny,
    VQModel,
    fingerprint,
    open_generator,
    save_generator,
)
from jax_origin.generators.base import flat_weights
from jax_origin.images import load_images
from jax_origin.training import AutoencoderTask, TinyTask, VqTask, train

pytestmark = pytest.mark.outer
CONFIGS = pathlib.Path(__file__).parents[2] / "configs" / "train"
RUN = {"batch_size": 8, "checkpoint_every": 5, "grid_every": 99, "log_every": 1, "progress": False}
# Of one level: a latent for each pixel, so that programs compile in seconds and learn in a few.
KL = {
    "image_size": 8,
    "latent_channels": 4,
    "widths": [16],
    "blocks": 1,
    "groups": 4,
    "middle_attention": False,
}
VQ = {**KL, "codes": 32}
TINY = {
    "image_size": 8,
    "latent_channels": 4,
    "encoder": [("conv", 16), ("block", 16), ("conv", 4)],
    "decoder": [("conv_relu", 16), ("block", 16), ("conv", 3)],
}


def images(num: int = 64) -> np.ndarray:
    """Smooth ones: slopes of colours from one side to the other."""
    corners = np.random.default_rng(0).uniform(0, 255, (num, 2, 2, 3))
    share = np.linspace(0, 1, 8)
    rows = np.stack([1 - share, share], axis=1)
    return np.einsum("ia,jb,nabc->nijc", rows, rows, corners).astype(np.uint8)


def teacher(seed: int = 0, **changed) -> AutoencoderKL:
    """Untrained, but with latents as white ones are."""
    options = {**KL, "latent_std": [0.5, 0.6, 0.7, 0.8], **changed}
    return AutoencoderKL(**options, rngs=nnx.Rngs(seed))


TASKS = {
    "kl": lambda steps=9, **o: AutoencoderTask(AutoencoderKL, KL, steps=steps, **o),
    "vq": lambda steps=9, **o: VqTask(VQModel, VQ, steps=steps, **o),
    "tiny": lambda steps=9, **o: TinyTask(
        AutoencoderTiny, TINY, steps=steps, **{"teacher": teacher(), **o}
    ),
}


def error(generator, x: np.ndarray) -> float:
    """Mean squared error of reconstructions in [0, 1]."""
    x = x.astype(np.float32) / 255
    made = jax.jit(lambda x: generator(generator.encode(x)))(x)
    return float(np.mean((np.asarray(made) - x) ** 2))


@pytest.fixture(scope="module", params=sorted(TASKS))
def trained(request, tmp_path_factory):
    """A task's name, what it gave back before, and its generator saved and opened again."""
    options = {"learning_rate": 1e-2, "average_decay": 0.9}
    if request.param == "tiny":  # Its teacher is a trained one.
        task = TASKS["kl"](200, **options)
        run = {**RUN, "checkpoint_every": 200}
        workdir = tmp_path_factory.mktemp("teacher")
        options["teacher"] = train(task, images(), steps=200, workdir=workdir, **run)
    task = TASKS[request.param](200, **options)
    workdir = tmp_path_factory.mktemp("run")
    fresh = task.generator(task.init(jax.random.key(0)), jax.random.key(0))
    before = error(fresh, images())
    generator = train(
        task, images(), steps=200, workdir=workdir, **{**RUN, "checkpoint_every": 200}
    )
    save_generator(workdir / "generator", generator)
    grid = load_images(workdir / "samples-200.png")[0]
    opened = open_generator(workdir / "generator")
    return request.param, before, opened, grid, options.get("teacher")


def test_it_gives_images_back(trained):
    name, before, generator, *_ = trained
    after = error(generator, images())
    assert after < before / 4
    assert after < {"kl": 5e-3, "vq": 2e-2, "tiny": 8e-3}[name]


def test_its_latents_are_white(trained):
    _, _, generator, *_ = trained
    latents = np.asarray(generator.encode(images().astype(np.float32) / 255))
    np.testing.assert_allclose(latents.mean((0, 1, 2)), 0, atol=0.25)
    np.testing.assert_allclose(latents.std((0, 1, 2)), 1, atol=0.25)


def test_its_grids_are_of_reconstructions(trained):
    _, _, generator, grid, _ = trained
    shown = grid.reshape(8, 8, 8, 8, 3).transpose(0, 2, 1, 3, 4).reshape(64, 8, 8, 3)
    made = generator(generator.encode(images().astype(np.float32) / 255))
    assert np.abs(shown - 255 * np.asarray(made)).mean() < 1  # saved weights are rounded


@pytest.mark.parametrize("trained", ["vq"], indirect=True)
def test_most_codes_are_used(trained):
    _, _, generator, *_ = trained
    x = images().astype(np.float32) / 255
    found = np.asarray(generator.posterior(jnp.asarray(2 * x - 1))[0]).reshape(-1, 4)
    assert len(np.unique(found, axis=0)) >= 24  # of 32


@pytest.mark.parametrize("trained", ["tiny"], indirect=True)
def test_a_tiny_one_shares_its_teachers_latents(trained):
    _, _, generator, _, teacher = trained
    x = images().astype(np.float32) / 255
    latents = teacher.encode(x)
    assert float(jnp.mean((generator.encode(x) - latents) ** 2)) < 0.15
    assert float(jnp.mean((generator(latents) - x) ** 2)) < 8e-3


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_run_that_goes_on_ends_where_an_unbroken_one_does(name, tmp_path):
    task = TASKS[name]()
    straight = train(task, images(), steps=9, workdir=tmp_path / "straight", **RUN)
    train(task, images(), steps=5, workdir=tmp_path / "broken", **RUN)
    again = train(task, images(), steps=9, workdir=tmp_path / "broken", **RUN)
    assert fingerprint(again) == fingerprint(straight)
    assert again.config == straight.config


def test_a_weight_on_the_divergence_keeps_the_posterior_near_the_prior():
    def divergence(weight):
        task = TASKS["kl"](60, learning_rate=1e-2, kl_weight=weight)
        state, key = task.init(jax.random.key(0)), jax.random.key(1)
        for step in range(60):
            state, losses = task.step(state, images(8), jax.random.fold_in(key, step))
        return float(losses["divergence"])

    assert divergence(10.0) < 0.1 * divergence(1e-6)


def test_codes_that_nobody_uses_become_encodings_and_others_are_left():
    task = TASKS["vq"](100, patience=2)
    state = task.init(jax.random.key(0))
    fresh = np.asarray(state["params"]["codebook"]["embedding"][...])
    state, losses = task.step(state, images(8), jax.random.key(1))
    first = np.asarray(state["params"]["codebook"]["embedding"][...])
    # The first step's rate is 0: the encoder is as it was, and codes change by being drawn alone.
    drawn = (first != fresh).any(axis=1)
    assert drawn.mean() == 1 - float(losses["codes_used"]) > 0
    model = task.generator(state, jax.random.key(0))
    x = np.concatenate([images(8), images(8)[:, :, ::-1]]).astype(np.float32) / 127.5 - 1
    encodings = np.asarray(model.quant(model.encoder(x))).reshape(-1, 4)
    assert np.abs(first[drawn][:, None] - encodings[None]).max(-1).min(1).max() < 1e-4

    table = first.copy()
    table[0] = 1e3  # nobody's nearest
    state["params"] = task._with_codebook(state["params"], jnp.asarray(table))
    state["idle"] = jnp.zeros_like(state["idle"])
    for step in range(3):
        assert float(state["params"]["codebook"]["embedding"][0].max()) > 900
        state, _ = task.step(state, images(8), jax.random.key(2 + step))
    for part in ("params", "average"):
        assert np.abs(state[part]["codebook"]["embedding"][0]).max() < 100


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: AutoencoderTask(VQModel, VQ, steps=5),
            "AutoencoderTask trains AutoencoderKL, not VQModel",
        ),
        (
            lambda: AutoencoderTask(AutoencoderKL, {**KL, "margin": 2}, steps=5),
            "trains on images of whole cells of 1 pixels, without margin and phase",
        ),
        (lambda: TASKS["vq"](patience=0), "patience must be at least 1, not 0"),
        (lambda: TASKS["tiny"](teacher=""), "no teacher: the directory of a trained Autoencoder"),
        (
            lambda: TASKS["tiny"](teacher="dcgan-cifar10"),
            "the teacher must be Autoencoder, not DCGAN: dcgan-cifar10",
        ),
        (lambda: TASKS["tiny"](teacher="nowhere"), "nowhere: no such generator"),
        (
            lambda: TASKS["tiny"](teacher=teacher(image_size=16)),
            "the teacher makes images of 16x16x3, the student of 8x8x3",
        ),
        (
            lambda: TASKS["tiny"](teacher=teacher(widths=[8, 8])),
            r"the teacher's latents are \(4, 4, 4\), the student's \(8, 8, 4\)",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", ["autoencoder_kl", "autoencoder_tiny", "vq"])
def test_the_zoos_autoencoders_are_small(name):
    options = runpy.run_path(str(CONFIGS / f"{name}_cifar10.py"))["get_config"]()
    cls = KINDS[options.kind]
    made = nnx.eval_shape(lambda: cls(**options.generator.to_dict(), rngs=nnx.Rngs(0)))
    assert made.image_shape == (32, 32, 3)
    assert made.latent_shape == (8, 8, 4)
    assert sum(weight.size for weight in flat_weights(made).values()) < 1_400_000


def test_the_twins_differ_in_images_and_seed_alone():
    one, other = (
        runpy.run_path(str(CONFIGS / f"autoencoder_kl_cifar10{end}.py"))["get_config"]().to_dict()
        for end in ("", "_b")
    )
    differ = {name for name in one if one[name] != other[name]}
    assert differ == {"name", "good_for", "data_description", "start", "stop", "seed"}
    assert one["stop"] == other["start"]
