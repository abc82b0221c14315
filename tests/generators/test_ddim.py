import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_origin.checkpoints import CheckpointError, rename, write_safetensors
from jax_origin.generators import DDIM, fingerprint, open_generator
from jax_origin.generators.diffusion import SEEN_LEVELS
from jax_origin.generators.diffusion_schedule import Schedule
from jax_origin.generators.files import build, save_generator

from .diffusers_unet import CIFAR10, reference_unet

pytestmark = pytest.mark.outer

TOLERANCE = 1e-4
SIZE = 8
# Without clipping, and a network that knows no images, a sample grows as much as noise is added.
MILD = {"clip_sample": False, "beta_end": 1e-3}
UNET = {
    **CIFAR10,
    "sample_size": SIZE,
    "block_out_channels": [8],
    "down_block_types": ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "add_attention": False,
}


def noise(count=2, seed=3):
    return np.random.default_rng(seed).normal(size=(count, SIZE, SIZE, 3)).astype(np.float32)


@functools.cache
def reference():
    """The reference network; its samples stay near [-1, 1], as a trained one's do."""
    torch = pytest.importorskip("torch")
    network, _ = reference_unet(torch, UNET)
    with torch.no_grad():
        network.conv_out.weight.mul_(0.3)
    return network, {name: v.numpy() for name, v in network.state_dict().items()}


def ours(arrays, stored, **changes):
    config = {**DDIM.reference_config(stored), **changes}
    return build(DDIM, config, rename(arrays, DDIM.reference_renames(config)), source="test")


def their_sample(torch, network, scheduler, x, steps, **options):
    """diffusers' DDIMPipeline, without its rounding to 8 bits, and with a gradient."""
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t).sample, t, x, eta=0.0, **options).prev_sample
    return (x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)


def both(stored_schedule, steps, **options):
    torch = pytest.importorskip("torch")
    from diffusers import DDIMScheduler

    network, arrays = reference()
    latents = noise()
    with torch.no_grad():
        scheduler = DDIMScheduler(**stored_schedule)
        x = torch.tensor(latents.transpose(0, 3, 1, 2))
        theirs = their_sample(torch, network, scheduler, x, steps, **options).numpy()
    stored = {"unet": UNET, "scheduler": stored_schedule}
    generator = ours(arrays, stored, num_steps=steps)
    if options:
        schedule = {**generator.schedule.as_dict(), **options}
        generator = ours(arrays, stored, num_steps=steps, schedule=schedule)
    return np.asarray(jax.jit(lambda z: generator(z))(latents)), theirs


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [
        ({}, 50),
        ({"prediction_type": "v_prediction", "beta_schedule": "squaredcos_cap_v2"}, 50),
        ({"prediction_type": "sample", "timestep_spacing": "trailing"}, 50),
        ({"beta_schedule": "squaredcos_cap_v2", "clip_sample_range": 0.7}, 50),
        ({**MILD, "timestep_spacing": "trailing", "set_alpha_to_one": False}, 50),
        ({**MILD, "beta_schedule": "scaled_linear", "steps_offset": 1}, 10),
        ({"prediction_type": "v_prediction", "timestep_spacing": "linspace"}, 13),
        (
            {
                "prediction_type": "v_prediction",
                "rescale_betas_zero_snr": True,
                "timestep_spacing": "trailing",
                "clip_sample": False,
            },
            10,
        ),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_a_whole_sample_is_diffusers(schedule, steps):
    found, theirs = both(schedule, steps)
    assert found.shape == theirs.shape == (2, SIZE, SIZE, 3)
    assert theirs.std() > 0.05
    assert ((theirs > 0) & (theirs < 1)).mean() > 0.1
    assert np.abs(found - theirs).max() < TOLERANCE


def test_noise_taken_anew_from_the_clipped_image_is_diffusers():
    found, theirs = both({}, 20, use_clipped_model_output=True)
    assert np.abs(found - theirs).max() < TOLERANCE
    assert np.abs(both({}, 20)[0] - found).max() > 1e-2


def test_the_gradient_is_diffusers():
    torch = pytest.importorskip("torch")
    from diffusers import DDIMScheduler

    network, arrays = reference()
    schedule = {"clip_sample": False, "prediction_type": "v_prediction"}
    latents = 0.2 * noise()
    weights = np.random.default_rng(0).normal(size=latents.shape).astype(np.float32)
    x = torch.tensor(latents.transpose(0, 3, 1, 2), requires_grad=True)
    images = their_sample(torch, network, DDIMScheduler(**schedule), x, 4)
    inside = ((images > 0) & (images < 1)).detach().numpy()  # PyTorch passes nothing outside
    (images * torch.tensor(weights)).sum().backward()
    generator = ours(arrays, {"unet": UNET, "scheduler": schedule}, num_steps=4)
    found = jax.jit(jax.grad(lambda z: (generator(z) * weights * inside).sum()))(latents)
    theirs = x.grad.numpy().transpose(0, 2, 3, 1)
    assert inside.mean() > 0.8
    assert np.abs(theirs).max() > 0.1
    assert np.abs(np.asarray(found) - theirs).max() < TOLERANCE


def small(seed=0, strength=0.1, **changes):
    """A small DDIM with every weight away from zero."""
    unet = {"widths": (8,), "blocks": 1, "norm_groups": 4, "middle_attention": False}
    options = {"image_size": SIZE, "unet": unet, "num_steps": 5, **changes}
    options["unet"] = {**unet, **changes.get("unet", {})}
    generator = DDIM(**options, rngs=nnx.Rngs(seed))
    rng = np.random.default_rng(seed)
    draw = lambda w: w + strength * jnp.asarray(rng.normal(size=w.shape), w.dtype)  # noqa: E731
    nnx.update(generator, jax.tree.map(draw, nnx.state(generator)))
    return generator


def test_a_clipped_estimate_passes_its_gradient():
    generator = small(schedule={"clip_sample_range": 1e-3})
    gradient = jax.jit(jax.grad(lambda z: generator(z).sum()))(jnp.asarray(noise()))
    assert (jnp.abs(gradient) > 0).mean() > 0.99


def test_a_gradient_keeps_one_image_a_step():
    latents = jnp.asarray(noise(8))

    def temporary_bytes(function):
        program = jax.jit(jax.grad(lambda z: function(z).sum())).lower(latents).compile()
        return program.memory_analysis().temp_size_in_bytes

    evaluation = temporary_bytes(lambda z: small().unet(z, jnp.full(8, 10.0)))
    few, many = (temporary_bytes(small(num_steps=steps)) for steps in (10, 50))
    assert many - few <= 1.2 * 40 * latents.nbytes
    assert many < 1.2 * evaluation + 60 * latents.nbytes


def test_forward_and_reverse_derivatives_agree():
    generator, z = small(), jnp.asarray(noise())
    tangent, cotangent = (jnp.asarray(noise(seed=seed)) for seed in (5, 6))
    forward = jax.jit(lambda z, t: jax.jvp(generator, (z,), (t,))[1])(z, tangent)
    reverse = jax.jit(lambda z, c: jax.vjp(generator, z)[1](c)[0])(z, cotangent)
    np.testing.assert_allclose(jnp.vdot(forward, cotangent), jnp.vdot(tangent, reverse), rtol=1e-3)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_an_encoded_image_comes_back(prediction):
    schedule = {**MILD, "prediction_type": prediction}
    errors = []
    for iterations in (1, 4):
        generator = small(
            strength=0.05, schedule=schedule, num_steps=20, inversion_iterations=iterations
        )
        generate = jax.jit(lambda z, g=generator: g(z))
        images = generate(0.2 * jnp.asarray(noise()))
        assert 0 < images.min() and images.max() < 1
        encoded = jax.jit(lambda x, g=generator: g.encode(x))(images)
        assert encoded.shape == (2, SIZE, SIZE, 3)
        errors.append(float(jnp.abs(generate(encoded) - images).max()))
    assert errors[0] < 0.05
    assert errors[1] < errors[0] / 5


@pytest.mark.parametrize(
    "schedule",
    [
        {},
        {"prediction_type": "v_prediction", "clip_sample": True, "clip_sample_range": 0.5},
        {"set_alpha_to_one": False, "timestep_spacing": "trailing"},
        {"use_clipped_model_output": True},
    ],
    ids=["plain", "clipped", "noise is left", "noise anew"],
)
def test_noise_of_an_undone_image_leads_back_to_it(schedule):
    generator = small(strength=0.05, schedule={**MILD, **schedule}, num_steps=10)
    generate = jax.jit(lambda z: generator(z))
    images = generate(0.2 * jnp.asarray(noise()))
    undone = jax.jit(lambda x, z: generator.undo(x, z))(images, jnp.asarray(noise(seed=4)))
    assert undone.shape == (2, SIZE, SIZE, 3)
    assert 0.05 < float(jnp.std(images))
    # The last step's input is a draw, led to the image in a few iterations only.
    missed = jnp.abs(generate(undone) - images)
    assert float(missed.mean()) < 2e-3 and float(missed.max()) < 3e-2


def test_a_label_is_part_of_the_map():
    generator = small(unet={"classes": 5}, label=4, num_steps=1)
    z = jnp.asarray(noise())
    first = jax.jit(lambda z: generator(z))(z)
    before = fingerprint(generator)
    generator.label = 0
    assert np.abs(first - jax.jit(lambda z: generator(z))(z)).max() > 1e-4
    assert fingerprint(generator) != before


def test_a_learned_variance_is_left_out():
    z = jnp.asarray(noise())
    wide, narrow = small(unet={"out_channels": 6}), small()
    state = nnx.state(wide)
    for leaf in ("kernel", "bias"):
        kept = state["unet"]["output"][leaf]
        kept.set_value(kept[...][..., :3])
    nnx.update(narrow, state)
    images = [jax.jit(lambda z, g=g: g(z))(z) for g in (wide, narrow)]
    np.testing.assert_allclose(*images, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"num_steps": 6},
        {"schedule": {"beta_end": 0.03}},
        {"schedule": {"clip_sample": False}},
        {"inversion_iterations": 2},
        {"unet": {"flip_sin_to_cos": False}},
    ],
)
def test_all_that_shapes_the_map_is_in_its_fingerprint(change):
    assert fingerprint(small(**change)) != fingerprint(small())


def test_a_diffusers_file_opens_with_its_configuration(tmp_path):
    _, arrays = reference()
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    write_safetensors(path, arrays)
    config = DDIM.reference_config({"unet": UNET, "scheduler": {"_class_name": "DDPMScheduler"}})
    generator = open_generator(path, kind="ddim", config={**config, "num_steps": 3})
    assert generator.config["num_steps"] == 3
    assert generator.image_shape == generator.latent_shape == (SIZE, SIZE, 3)
    # Its names and shapes alone leave out the size and the groups, which are tiny here.
    unsaid = {"image_size": SIZE, "unet": {"norm_groups": 4, "middle_norm_groups": 4}}
    again = open_generator(path, kind="ddim", config={**unsaid, "num_steps": 3})
    assert fingerprint(again) == fingerprint(generator)
    with pytest.raises(CheckpointError, match="8 channels do not divide into 32 groups"):
        open_generator(path, kind="ddim")


def test_a_saved_one_opens_again(tmp_path):
    generator = small(num_steps=3)
    save_generator(tmp_path / "g", generator, dtype=np.float32)
    assert fingerprint(open_generator(tmp_path / "g")) == fingerprint(generator)


def test_guided_diffusions_arguments_are_read():
    config = DDIM.reference_config(
        {
            "image_size": 64,
            "num_channels": 192,
            "num_res_blocks": 3,
            "num_head_channels": 64,
            "attention_resolutions": "32,16,8",
            "class_cond": True,
            "learn_sigma": True,
            "noise_schedule": "cosine",
            "diffusion_steps": 4000,
            "use_new_attention_order": True,
        }
    )
    assert config["unet"]["out_channels"] == 6
    assert not config["unet"]["heads_outermost"]
    assert config["schedule"]["beta_schedule"] == "squaredcos_cap_v2"
    assert config["schedule"]["num_train_timesteps"] == 4000
    assert config["label"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"unet": {"widths": (8, 8)}, "image_size": 7},
            "image_size must be a multiple of 2, not 7",
        ),
        ({"num_steps": 0}, "steps must be 1 to 1000, not 0"),
        ({"num_steps": 1001}, "steps must be 1 to 1000, not 1001"),
        ({"label": 1}, "label must be None"),
        ({"unet": {"classes": 3}}, "label must be 0 to 2, not None"),
        ({"unet": {"classes": 3}, "label": 3}, "label must be 0 to 2, not 3"),
        ({"inversion_iterations": 0}, "inversion_iterations must be at least 1"),
        ({"schedule": {"beta": 1}}, r"schedule: unknown \['beta'\]"),
        ({"schedule": {"beta_schedule": "cosine"}}, "beta_schedule must be one of"),
        ({"schedule": {"prediction_type": "noise"}}, "prediction_type must be one of"),
        ({"schedule": {"timestep_spacing": "even"}}, "timestep_spacing must be one of"),
        ({"schedule": {"steps_offset": 900}}, "leads past the last time"),
        ({"schedule": {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}}, "epsilon"),
    ],
)
def test_a_wrong_option_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        small(**change)


def test_a_schedule_that_is_not_built_here_is_refused():
    with pytest.raises(ValueError, match="schedule with thresholding"):
        Schedule.of_diffusers({"thresholding": True})


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_noise_that_the_network_sees_is_counted_by_colour_and_frequency(prediction):
    generator = small(schedule={"prediction_type": prediction})
    images = jax.nn.sigmoid(noise())
    spectra = np.asarray(generator.noise_spectra(images))
    assert spectra.shape == (2, 3, 3, 8)
    for level, deviation in enumerate(SEEN_LEVELS):
        shares = generator.schedule.alphas_cumprod().astype(np.float64)
        time = np.abs(np.sqrt(1 / shares - 1) - deviation).argmin()
        signal, amount = np.sqrt(shares[time]), np.sqrt(1 - shares[time])
        assert amount / signal == pytest.approx(deviation, rel=0.1)
        x = signal * (2 * images - 1)
        at = (jnp.float32(part) for part in (time, signal, amount))
        seen = generator.estimate(x, *at)[1]
        np.testing.assert_allclose(
            generator.noise_in(images, deviation), seen, rtol=1e-4, atol=1e-4
        )
        # A transform that keeps lengths: all rings of all colours have all of its power.
        size = seen.shape[1]
        radii = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None]).ravel()
        edges = np.quantile(radii, np.arange(1, 8) / 8)
        counts = np.bincount(np.searchsorted(edges, radii, side="right"))
        power = (np.exp(spectra[:, level]) * counts).sum(axis=(1, 2))
        np.testing.assert_allclose(power, np.sum(np.asarray(seen) ** 2, axis=(1, 2, 3)), rtol=1e-3)


def test_noise_of_one_colour_and_frequency_is_seen_where_it_is():
    class Clear(DDIM):
        def noise_in(self, images, deviation):
            return images - jnp.mean(images, axis=(1, 2, 3), keepdims=True)

    unet = {"widths": (8,), "blocks": 1, "norm_groups": 4, "middle_attention": False}
    generator = Clear(image_size=8, unet=unet, rngs=nnx.Rngs(0))
    stripes = np.tile(np.float32([0.2, 0.8]), 32).reshape(1, 8, 8, 1)
    grey = np.asarray(generator.noise_spectra(jnp.asarray(np.repeat(stripes, 3, axis=3))))
    where = np.argwhere(grey > grey.max() - 1e-3)
    assert {tuple(place[2:]) for place in where} == {(0, where[0][3])} and where[0][3] >= 5
    reddish = np.concatenate([stripes, np.full((1, 8, 8, 1), 0.5), 1 - stripes], axis=3)
    coloured = np.asarray(generator.noise_spectra(jnp.asarray(np.float32(reddish))))
    assert coloured[0, 0].max(axis=1).argmax() == 1  # Red against blue.
