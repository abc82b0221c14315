import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_origin.checkpoints import rename, write_safetensors
from jax_origin.generators import Consistency, fingerprint, open_generator, sample_latents
from jax_origin.generators.consistency import karras_sigmas
from jax_origin.generators.files import build

from .diffusers_unet import IMAGENET64, reference_unet

pytestmark = pytest.mark.outer

TOLERANCE = 1e-4
SIZE = 8
UNET = {
    **IMAGENET64,
    "sample_size": SIZE,
    "block_out_channels": [8, 16],
    "down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "ResnetUpsampleBlock2D"],
    "norm_num_groups": 4,
}
CLASSES = UNET["num_class_embeds"]


def noise(count=2, seed=3):
    return np.random.default_rng(seed).normal(size=(count, SIZE, SIZE, 3)).astype(np.float32)


@functools.cache
def reference():
    return reference_unet(pytest.importorskip("torch"), UNET)


def ours(label=3, stored=UNET, **changes):
    _, arrays = reference()
    config = {**Consistency.reference_config(stored), "label": label, **changes}
    renamed = rename(arrays, Consistency.reference_renames(config))
    return build(Consistency, config, renamed, source="test")


def images_of(generator, latents):
    return np.asarray(jax.jit(lambda z: generator(z))(latents))


def their_step(torch, scheduler, place, x, label):
    """One step of diffusers' ConsistencyModelPipeline, alone, so that it adds no noise."""
    network, _ = reference()
    scheduler.set_timesteps(timesteps=[place])
    t = scheduler.timesteps[0]
    labels = torch.full((len(x),), label)
    predicted = network(scheduler.scale_model_input(x, t), t, class_labels=labels).sample
    return scheduler.step(predicted, t, x).prev_sample


def test_one_step_and_its_gradient_are_diffusers():
    torch = pytest.importorskip("torch")
    from diffusers import CMStochasticIterativeScheduler

    latents = noise()
    z = torch.tensor(latents.transpose(0, 3, 1, 2), requires_grad=True)
    images = their_step(torch, CMStochasticIterativeScheduler(), 0, 80 * z, 3) / 2 + 0.5
    images = images.permute(0, 2, 3, 1)
    inside = ((images > 0) & (images < 1)).detach().numpy()  # PyTorch passes nothing outside
    assert 0.5 < inside.mean() < 1
    images.sum().backward()
    generator = ours()
    gradient = jax.jit(jax.grad(lambda z: (generator(z) * inside).sum()))(latents)
    assert np.abs(images_of(generator, latents) - images.detach().numpy()).max() < TOLERANCE
    assert np.abs(np.asarray(gradient) - z.grad.numpy().transpose(0, 2, 3, 1)).max() < TOLERANCE


def test_two_steps_with_fixed_noise_are_diffusers():
    torch = pytest.importorskip("torch")
    from diffusers import CMStochasticIterativeScheduler

    latents, sigmas = noise(), karras_sigmas((0, 22))
    between = np.random.default_rng((7, 1)).standard_normal((SIZE, SIZE, 3)).astype(np.float32)
    scheduler = CMStochasticIterativeScheduler()
    with torch.no_grad():
        x = torch.tensor(latents.transpose(0, 3, 1, 2)) * 80
        x = their_step(torch, scheduler, 0, x, 3)
        deviation = (sigmas[1] ** 2 - 0.002**2) ** 0.5
        x = x + deviation * torch.tensor(between.transpose(2, 0, 1))
        theirs = their_step(torch, scheduler, 22, x, 3) / 2 + 0.5
    found = images_of(ours(sigmas=sigmas, noise_seed=7), latents)
    assert np.abs(found - theirs.permute(0, 2, 3, 1).numpy()).max() < TOLERANCE
    other = images_of(ours(sigmas=sigmas, noise_seed=8), latents)
    assert np.abs(found - other).max() > 1e-2


def test_noise_levels_are_those_of_the_published_schedule():
    torch = pytest.importorskip("torch")
    from diffusers import CMStochasticIterativeScheduler

    scheduler = CMStochasticIterativeScheduler(num_train_timesteps=201)
    scheduler.set_timesteps(timesteps=[106, 0])
    np.testing.assert_allclose(
        karras_sigmas((0, 106), steps=201), torch.as_tensor(scheduler.sigmas[:2]), rtol=1e-6
    )


def test_at_the_lowest_level_the_input_comes_back():
    x, generator = jnp.asarray(noise()), ours()
    found = jax.jit(lambda x: generator.denoise(x, 0.002, jnp.full(2, 1)))(x)
    np.testing.assert_allclose(found, x, atol=1e-6)


def test_a_relaxed_label_holds_every_class_and_the_way_between():
    relaxed = ours("relaxed")
    size = SIZE * SIZE * 3
    assert relaxed.latent_shape == (size + CLASSES,)
    assert relaxed.image_shape == (SIZE, SIZE, 3)
    latents = noise()
    labels = np.eye(CLASSES, dtype=np.float32)[[3, 3]]
    found = images_of(relaxed, np.concatenate([latents.reshape(2, -1), labels], axis=-1))
    np.testing.assert_allclose(found, images_of(ours(3), latents), atol=1e-3)
    assert np.abs(found - images_of(ours(1), latents)).max() > 1e-2
    gradient = jax.jit(jax.grad(lambda z: (relaxed(z) ** 2).sum()))
    start = np.concatenate([latents.reshape(2, -1), np.zeros((2, CLASSES), np.float32)], axis=-1)
    assert (np.abs(gradient(start))[:, size:] > 1e-5).all()


def test_the_prior_draws_one_class_for_a_relaxed_label():
    drawn = sample_latents(ours("relaxed"), jax.random.key(0), 200)
    labels = np.asarray(drawn[:, -CLASSES:])
    assert (np.sort(labels, axis=-1) == np.eye(CLASSES)[-1]).all()
    assert (labels.sum(0) > 20).all()
    assert abs(float(drawn[:, :-CLASSES].std()) - 1) < 0.02
    plain = ours()
    assert sample_latents(plain, jax.random.key(0), 4).shape == (4, *plain.latent_shape)


def test_all_that_shapes_the_map_is_in_its_fingerprint():
    changes = (
        {},
        {"label": 1},
        {"label": "relaxed"},
        {"sigmas": [80.0, 2.5]},
        {"noise_seed": 1},
        {"clip_denoised": False},
        {"sigma_data": 0.6},
        {"sigma_min": 0.01},
    )
    assert len({fingerprint(ours(**change)) for change in changes}) == len(changes)


def test_a_file_opens_with_its_configuration(tmp_path):
    _, arrays = reference()
    write_safetensors(tmp_path / "unet.safetensors", arrays)
    stored = {"unet": UNET, "scheduler": {"sigma_max": 40.0, "clip_denoised": False}}
    config = Consistency.reference_config(stored)
    generator = open_generator(tmp_path / "unet.safetensors", kind="consistency", config=config)
    assert generator.sigmas == (40.0,)
    assert not generator.clip_denoised
    assert generator.image_shape == (SIZE, SIZE, 3)
    inferred = Consistency.infer_config(arrays)
    assert (inferred["image_size"], inferred["label"]) == (64, 0)


def test_openais_arguments_are_read():
    config = Consistency.reference_config(
        {
            "image_size": 256,
            "num_channels": 256,
            "num_res_blocks": 2,
            "num_head_channels": 64,
            "attention_resolutions": "32,16,8",
            "resblock_updown": True,
            "class_cond": False,
            "channel_mult": "",
            "sigma_max": 80.0,
            "sigma_min": 0.002,
        }
    )
    assert config["unet"]["widths"] == [256, 256, 512, 512, 1024, 1024]
    assert config["unet"]["attention"] == [3, 4, 5]
    assert not config["unet"]["heads_outermost"]
    assert (config["image_size"], config["label"], config["sigmas"]) == (256, None, [80.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigmas": ()}, "sigmas must fall"),
        ({"sigmas": (1.0, 2.0)}, "sigmas must fall"),
        ({"sigmas": (80.0, 0.001)}, "sigmas must fall, and stay above sigma_min"),
        ({"label": 5}, "label must be 0 to 4, not 5"),
        ({"label": None}, "label must be 0 to 4, not None"),
        ({"image_size": 9}, "image_size must be a multiple of 2, not 9"),
    ],
)
def test_a_wrong_option_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ours(**change)


def test_a_network_without_classes_has_no_label_to_relax():
    with pytest.raises(ValueError, match="the network has no classes"):
        Consistency(unet={"widths": (8,)}, label="relaxed", rngs=None)
