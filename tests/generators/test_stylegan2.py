"""StyleGAN2 against a reference written here from the arithmetic of the paper and its code.

The reference makes a kernel for each sample (modulated, and divided by its norm), convolves all
samples in one grouped convolution, and resamples by writing zeros between pixels.
"""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_origin.checkpoints import CheckpointError, write_safetensors
from jax_origin.generators import StyleGAN2, fingerprint, open_generator, save_generator
from jax_origin.generators.base import flat_weights, sample_latents

pytestmark = pytest.mark.outer

TOLERANCE = 1e-5
TAPS = np.array([1, 3, 3, 1], np.float32) / 8

RESNET = {
    "image_size": 32,
    "widths": [6, 5, 4, 3],
    "channels": 3,
    "z_dim": 8,
    "w_dim": 7,
    "c_dim": 4,
    "label": 2,
    "mapping_layers": 2,
    "mapping_width": 9,
    "embed_width": 5,
    "architecture": "resnet",
    "noise_mode": "const",
    "conv_clamp": 1.5,
    "latent_space": "z",
}
ORIG = {
    "image_size": 16,
    "widths": [5, 4, 6],
    "channels": 1,
    "z_dim": 4,
    "w_dim": 6,
    "mapping_layers": 3,
    "architecture": "orig",
    "noise_mode": "none",
    "truncation_psi": 0.6,
    "truncation_cutoff": 3,
    "latent_space": "w+",
}
SKIP = {
    "image_size": 16,
    "widths": [4, 6, 5],
    "channels": 3,
    "z_dim": 5,
    "w_dim": 6,
    "c_dim": 3,
    "mapping_layers": 1,
    "architecture": "skip",
    "noise_mode": "const",
    "truncation_psi": 0.7,
    "latent_space": "z",
}
CONFIGS = {"resnet": RESNET, "orig": ORIG, "skip": SKIP}


def full(config):
    """The whole configuration, defaults included."""
    return nnx.eval_shape(lambda: StyleGAN2(**config, rngs=nnx.Rngs(0))).config


def reference_arrays(config, *, noise=True):
    """Random weights under the reference's names, biases and noise far from their first values."""
    config = full(config)
    rng = np.random.default_rng(config["image_size"])
    arrays = {}

    def normal(name, *shape, scale=1.0, mean=0.0):
        arrays[name] = rng.normal(mean, scale, shape).astype(np.float32)

    def dense(name, ins, outs, *, rate=1.0, mean=0.0):
        normal(f"{name}.weight", outs, ins, scale=1 / rate)
        normal(f"{name}.bias", outs, scale=0.2 / rate, mean=mean)

    def styled(name, ins, outs, side, kernel=3):
        dense(f"{name}.affine", config["w_dim"], ins, mean=1.0)
        normal(f"{name}.weight", outs, ins, kernel, kernel)
        normal(f"{name}.bias", outs, scale=0.2)
        if kernel == 3:
            arrays[f"{name}.resample_filter"] = np.outer(TAPS, TAPS)
        if kernel == 3 and noise:
            normal(f"{name}.noise_const", side, side)
            normal(f"{name}.noise_strength", scale=0.3)

    before = 0
    for i, width in enumerate(config["widths"]):
        side = 4 * 2**i
        name = f"synthesis.b{side}"
        arrays[f"{name}.resample_filter"] = np.outer(TAPS, TAPS)
        if before:
            styled(f"{name}.conv0", before, width, side)
        else:
            normal(f"{name}.const", width, 4, 4)
        styled(f"{name}.conv1", width, width, side)
        if config["architecture"] == "skip" or side == config["image_size"]:
            styled(f"{name}.torgb", width, config["channels"], side, kernel=1)
        if config["architecture"] == "resnet" and before:
            normal(f"{name}.skip.weight", width, before, 1, 1)
            arrays[f"{name}.skip.resample_filter"] = np.outer(TAPS, TAPS)
        before = width
    ins = config["z_dim"]
    if config["c_dim"]:
        dense("mapping.embed", config["c_dim"], config["embed_width"])
        ins += config["embed_width"]
    for i in range(config["mapping_layers"]):
        last = i == config["mapping_layers"] - 1
        outs = config["w_dim"] if last else config["mapping_width"]
        dense(f"mapping.fc{i}", ins, outs, rate=0.01)
        ins = outs
    normal("mapping.w_avg", config["w_dim"])
    return arrays


class Reference:
    """The generator in PyTorch, one function a layer."""

    def __init__(self, torch, arrays, config):
        self.torch, self.functional = torch, torch.nn.functional
        self.config = full(config)
        self.at = {name: torch.tensor(array) for name, array in arrays.items()}

    def upfirdn(self, x, *, up, pad, gain):
        torch = self.torch
        n, c, h, w = x.shape
        spread = torch.zeros(n, c, up * h, up * w)
        spread[:, :, ::up, ::up] = x
        spread = self.functional.pad(spread, (*pad, *pad))
        kernel = torch.tensor(np.outer(TAPS, TAPS) * gain).expand(c, 1, 4, 4)
        return self.functional.conv2d(spread, kernel, groups=c)

    def dense(self, name, x, *, rate=1.0):
        weight, bias = self.at[f"{name}.weight"], self.at[f"{name}.bias"]
        return x @ (weight * (rate / math.sqrt(weight.shape[1]))).T + bias * rate

    def activate(self, x, *, gain=1.0):
        x = self.functional.leaky_relu(x, 0.2) * (math.sqrt(2) * gain)
        clamp = self.config["conv_clamp"]
        return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)

    def modulated(self, name, x, w, *, demodulate, up=False):
        n, ins, h, wide = x.shape
        weight = self.at[f"{name}.weight"]
        outs, _, size, _ = weight.shape
        styles = self.dense(f"{name}.affine", w)
        if not demodulate:
            styles = styles / math.sqrt(ins * size**2)
        kernels = weight[None] * styles[:, None, :, None, None]
        if demodulate:
            norms = (kernels**2).sum(dim=(2, 3, 4), keepdim=True)
            kernels = kernels / (norms + 1e-8).sqrt()
        x = x.reshape(1, n * ins, h, wide)
        if up:
            kernels = kernels.transpose(1, 2).reshape(n * ins, outs, size, size)
            x = self.functional.conv_transpose2d(x, kernels, stride=2, groups=n)
            x = self.upfirdn(x.reshape(n, outs, 2 * h + 1, 2 * wide + 1), up=1, pad=(1, 1), gain=4)
        else:
            kernels = kernels.reshape(n * outs, ins, size, size)
            x = self.functional.conv2d(x, kernels, padding=size // 2, groups=n)
            x = x.reshape(n, outs, h, wide)
        return x

    def styled(self, name, x, w, *, up=False, gain=1.0):
        x = self.modulated(name, x, w, demodulate=True, up=up)
        if self.config["noise_mode"] == "const":
            x = x + self.at[f"{name}.noise_const"] * self.at[f"{name}.noise_strength"]
        return self.activate(x + self.at[f"{name}.bias"][:, None, None], gain=gain)

    def to_image(self, name, x, w):
        x = self.modulated(name, x, w, demodulate=False) + self.at[f"{name}.bias"][:, None, None]
        clamp = self.config["conv_clamp"]
        return x if clamp is None else x.clamp(-clamp, clamp)

    def styles(self, z):
        torch, config = self.torch, self.config

        def normalize(x):
            return x / ((x**2).mean(dim=1, keepdim=True) + 1e-8).sqrt()

        x = normalize(z)
        if config["c_dim"]:
            c = torch.zeros(len(z), config["c_dim"])
            if config["label"] is not None:
                c[:, config["label"]] = 1
            x = torch.cat([x, normalize(self.dense("mapping.embed", c))], dim=1)
        for i in range(config["mapping_layers"]):
            x = self.dense(f"mapping.fc{i}", x, rate=0.01)
            x = self.functional.leaky_relu(x, 0.2) * math.sqrt(2)
        ws = x[:, None].repeat(1, 2 * len(config["widths"]), 1)
        cutoff, mean = config["truncation_cutoff"], self.at["mapping.w_avg"]
        near = mean + config["truncation_psi"] * (ws[:, :cutoff] - mean)
        return near if cutoff is None else torch.cat([near, ws[:, cutoff:]], dim=1)

    def synthesis(self, ws):
        """Images in [0, 1] but for what is beyond, NHWC."""
        image, place = None, 0
        x = self.at["synthesis.b4.const"][None].repeat(len(ws), 1, 1, 1)
        for i in range(len(self.config["widths"])):
            name = f"synthesis.b{4 * 2**i}"
            if i == 0:
                x = self.styled(f"{name}.conv1", x, ws[:, 0])
                place = 1
            else:
                resnet = self.config["architecture"] == "resnet"
                gain = math.sqrt(0.5) if resnet else 1.0
                way_in = x
                x = self.styled(f"{name}.conv0", x, ws[:, place], up=True)
                x = self.styled(f"{name}.conv1", x, ws[:, place + 1], gain=gain)
                if resnet:
                    weight = self.at[f"{name}.skip.weight"] / math.sqrt(way_in.shape[1])
                    y = self.functional.conv2d(way_in, weight)
                    x = x + self.upfirdn(y, up=2, pad=(2, 1), gain=4) * gain
                place += 2
            if image is not None:
                image = self.upfirdn(image, up=2, pad=(2, 1), gain=4)
            if f"{name}.torgb.weight" in self.at:
                added = self.to_image(f"{name}.torgb", x, ws[:, place])
                image = added if image is None else image + added
        return (image * 0.5 + 0.5).permute(0, 2, 3, 1)


def opened(tmp_path, config, arrays=None):
    path = tmp_path / "network.safetensors"
    write_safetensors(path, reference_arrays(config) if arrays is None else arrays)
    return open_generator(path, kind="stylegan2_ada", config=config)


def compiled(generator):
    """The map as one program: a hundred little ones take longer to compile than to run."""
    graph, state = nnx.split(generator)
    program = jax.jit(lambda state, latents: nnx.merge(graph, state)(latents))
    return lambda latents: program(state, latents)


def drawn(config):
    """A new generator, its weights drawn by one program."""

    @jax.jit
    def draw():
        return nnx.state(StyleGAN2(**config, rngs=nnx.Rngs(0)), nnx.Not(nnx.RngState))

    generator = nnx.eval_shape(lambda: StyleGAN2(**config, rngs=nnx.Rngs(0)))
    nnx.update(generator, draw())
    return generator


def normal(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", CONFIGS)
def test_images_and_gradients_are_pytorchs(tmp_path, name):
    torch = pytest.importorskip("torch")
    config = CONFIGS[name]
    generator = opened(tmp_path, config)
    theirs = Reference(torch, reference_arrays(config), config)
    latents = normal(3, *generator.latent_shape)
    variable = torch.tensor(latents, requires_grad=True)
    made = theirs.synthesis(theirs.styles(variable) if variable.ndim == 2 else variable)
    cotangent = normal(*made.shape, seed=2)
    (made * torch.tensor(cotangent)).sum().backward()
    images, pull_back = jax.vjp(compiled(generator), latents)
    made = made.detach().numpy()
    assert images.shape == (3, *generator.image_shape) == made.shape
    assert 0.02 < np.mean((made < 0) | (made > 1)) < 0.9  # some are clipped, and many are not
    assert np.abs(np.asarray(images) - np.clip(made, 0, 1)).max() < TOLERANCE
    gradient = variable.grad.numpy()
    error = np.abs(np.asarray(pull_back(cotangent)[0]) - gradient).max()
    assert error < 1e-4 * np.abs(gradient).max()


@pytest.mark.parametrize("name", CONFIGS)
def test_styles_are_pytorchs_truncated_and_for_the_label(tmp_path, name):
    torch = pytest.importorskip("torch")
    config = CONFIGS[name]
    generator = opened(tmp_path, config)
    z = normal(4, config["z_dim"])
    theirs = Reference(torch, reference_arrays(config), config).styles(torch.tensor(z)).numpy()
    graph, state = nnx.split(generator)
    ours = np.asarray(jax.jit(lambda state, z: nnx.merge(graph, state).styles(z))(state, z))
    assert ours.shape == (4, 2 * len(config["widths"]), config["w_dim"])
    assert np.abs(ours - theirs).max() < TOLERANCE


@pytest.mark.parametrize("space", ["w", "w+"])
def test_latents_of_w_are_what_z_is_mapped_to(tmp_path, space):
    config = {**SKIP, "truncation_psi": 0.7}
    of_z = opened(tmp_path, config)
    of_w = opened(tmp_path, {**config, "latent_space": space})
    key = jax.random.key(3)
    z, w = (sample_latents(generator, key, 5) for generator in (of_z, of_w))
    assert w.shape == (5, *of_w.latent_shape)
    np.testing.assert_allclose(compiled(of_z)(z), compiled(of_w)(w), atol=TOLERANCE)


def test_the_label_chooses_the_images(tmp_path):
    arrays, z = reference_arrays(SKIP), normal(2, SKIP["z_dim"])
    images = [
        np.asarray(compiled(opened(tmp_path, {**SKIP, "label": label}, arrays))(z))
        for label in (None, 0, 1, 2)
    ]
    differences = [np.abs(a - b).max() for i, a in enumerate(images) for b in images[:i]]
    assert min(differences) > 0.01


def test_a_lane_is_the_same_alone_as_in_a_batch(tmp_path):
    images = compiled(opened(tmp_path, RESNET))
    z = jnp.asarray(normal(4, RESNET["z_dim"]))
    lanes = jax.vmap(lambda z: images(z[None])[0])(z)
    np.testing.assert_allclose(lanes, images(z), atol=TOLERANCE)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_configuration_is_inferred_from_shapes(tmp_path, name):
    config = CONFIGS[name]
    shapes = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype)
        for name, array in reference_arrays(config).items()
    }
    inferred = StyleGAN2.infer_config(shapes)
    wanted = full(config)
    told = {"label", "conv_clamp", "latent_space", "mapping_rate", "noise_mode"}
    told |= {"truncation_psi", "truncation_cutoff"}
    assert inferred["noise_mode"] == "const"
    assert {k: v for k, v in wanted.items() if k not in told} == {
        k: v for k, v in inferred.items() if k not in told
    }


def test_a_network_without_noise_is_known_by_its_names(tmp_path):
    config = {**SKIP, "noise_mode": "none"}
    bare = reference_arrays(config, noise=False)
    assert StyleGAN2.infer_config(bare)["noise_mode"] == "none"
    z = normal(2, SKIP["z_dim"])
    same = opened(tmp_path, config)  # its noise is dropped
    for name, array in reference_arrays(config).items():
        if name in bare:
            bare[name] = array
    again = opened(tmp_path, config, bare)
    np.testing.assert_array_equal(compiled(same)(z), compiled(again)(z))


STORED = {  # as train.py's "cifar" makes it
    "z_dim": 512,
    "c_dim": 10,
    "w_dim": 512,
    "img_resolution": 32,
    "img_channels": 3,
    "mapping_kwargs": {"num_layers": 2},
    "synthesis_kwargs": {
        "channel_base": 32768,
        "channel_max": 512,
        "num_fp16_res": 4,
        "conv_clamp": 256,
        "architecture": "orig",
    },
}


def test_the_stored_arguments_of_a_pickle_make_the_configuration():
    config = StyleGAN2.reference_config(STORED)
    assert config["widths"] == [512, 512, 512, 512]
    assert config["conv_clamp"] == 256
    generator = nnx.eval_shape(lambda: StyleGAN2(**config, label=3, rngs=nnx.Rngs(0)))
    assert generator.image_shape == (32, 32, 3)
    assert {k: v for k, v in generator.config.items() if k in config} == config
    half = {"channel_base": 16384, "architecture": "skip"}
    config = StyleGAN2.reference_config(
        {**STORED, "img_resolution": 256, "mapping_kwargs": {}, "synthesis_kwargs": half}
    )
    assert config["widths"] == [512, 512, 512, 512, 256, 128, 64]
    assert config["mapping_layers"] == 8
    assert config["conv_clamp"] is None
    # What the shapes say agrees with it.
    shapes = reference_arrays({**RESNET, **config, "widths": [4] * 7, "z_dim": 4, "w_dim": 4})
    inferred = StyleGAN2.infer_config(shapes)
    for name in ("image_size", "mapping_layers", "architecture", "noise_mode", "c_dim"):
        assert inferred[name] == config[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mapping_kwargs": {"activation": "relu"}}, "mapping_kwargs: only activation='lrelu'"),
        ({"synthesis_kwargs": {"resample_filter": [1, 2, 1]}}, "only resample_filter="),
        ({"synthesis_kwargs": {"magnitude_ema_beta": 0.5}}, "unknown arguments magnitude_ema_beta"),
        ({"img_resolution": None}, "its arguments lack img_resolution"),
    ],
)
def test_stored_arguments_of_another_network_are_refused(change, message):
    stored = {k: v for k, v in {**STORED, **change}.items() if v is not None}
    with pytest.raises(CheckpointError, match=message):
        StyleGAN2.reference_config(stored)


def without(arrays, name):
    return {key: value for key, value in arrays.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: without(a, "mapping.fc0.weight"), "it has no mapping.fc0.weight"),
        (lambda a: without(a, "synthesis.b8.conv1.weight"), "no synthesis.b8.conv1.weight"),
        (lambda a: without(a, "mapping.fc1.bias"), r"missing \['mapping\.layers\.1\.bias'\]"),
        (lambda a: a | {"mapping.w_avg": np.zeros((2, 2), "f4")}, "has the wrong shape"),
        (lambda a: a | {"extra": np.zeros(3, "f4")}, r"unexpected array 'extra' of shape \(3,\)"),
        (
            lambda a: a | {"synthesis.b8.resample_filter": np.full((4, 4), 1 / 16, "f4")},
            "'synthesis.b8.resample_filter' is another filter than",
        ),
        (
            lambda a: a | {"synthesis.b16.conv0.weight": np.zeros((4, 9, 3, 3), "f4")},
            r"blocks\.2\.conv0\.kernel is \(3, 3, 9, 4\), stylegan2_ada has \(3, 3, 5, 4\)",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        opened(tmp_path, {}, change(reference_arrays(RESNET)))
    assert str(caught.value).startswith(f"{tmp_path / 'network.safetensors'}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 24}, "image_size must be 8, 16, 32"),
        ({"widths": [4, 4]}, r"widths must be 4 numbers, for sides \(4, 8, 16, 32\)"),
        ({"architecture": "resnest"}, "architecture must be one of skip, resnet, orig, not"),
        ({"noise_mode": "random"}, "noise_mode must be one of none, const, not 'random'"),
        ({"latent_space": "W"}, "latent_space must be one of z, w, w\\+, not 'W'"),
        ({"label": 4}, "label must be None or a class from 0 to 3, not 4"),
        ({"c_dim": 0, "label": 0}, "label must be None: the network has no classes"),
        ({"latent_space": "w", "truncation_cutoff": 2}, "one w for all layers has no trunc"),
        ({"mapping_layers": 0}, "mapping_layers must be a whole number of at least 1, not 0"),
        ({"z_dim": -1}, "z_dim must be a whole number of at least 1, not -1"),
    ],
)
def test_a_wrong_option_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        StyleGAN2(**{**RESNET, **change}, rngs=nnx.Rngs(0))


def test_saved_in_16_bits_it_is_nearly_the_same_map(tmp_path):
    first = opened(tmp_path, RESNET)
    save_generator(tmp_path / "ours", first)
    again = open_generator(tmp_path / "ours")
    assert again.config == first.config == json.loads(json.dumps(first.config))
    z = normal(8, RESNET["z_dim"])
    assert np.abs(np.asarray(compiled(first)(z)) - np.asarray(compiled(again)(z))).max() < 0.03
    save_generator(tmp_path / "whole", first, dtype=np.float32)
    assert fingerprint(open_generator(tmp_path / "whole")) == fingerprint(first)


def test_the_mean_of_w_is_tracked_in_training_and_nowhere_else(tmp_path):
    generator = opened(tmp_path, SKIP)
    z = normal(64, SKIP["z_dim"])

    def call():
        graph, state = nnx.split(generator)

        @jax.jit
        def program(state, z):
            generator = nnx.merge(graph, state)
            return generator.mapping(z, None), generator.mapping.w_avg[...]

        return map(np.asarray, program(state, z))

    before = np.asarray(generator.mapping.w_avg[...])
    w, after = call()
    np.testing.assert_array_equal(after, before)
    generator.train()
    w, after = call()
    np.testing.assert_allclose(after, 0.995 * before + 0.005 * w.mean(axis=0), rtol=1e-4)


def test_new_weights_are_drawn_as_the_reference_draws_them():
    sizes = {"image_size": 8, "widths": [64, 64], "w_dim": 64, "mapping_layers": 2}
    generator = drawn({**sizes, "latent_space": "z"})
    weights = {name: np.asarray(value) for name, value in flat_weights(generator).items()}
    assert np.std(weights["blocks.1.conv1.kernel"]) == pytest.approx(1, rel=0.02)
    assert np.std(weights["mapping.layers.1.kernel"]) == pytest.approx(100, rel=0.05)
    assert (weights["blocks.1.conv1.affine.bias"] == 1).all()
    images = np.asarray(compiled(generator)(normal(32, 512)))
    assert 0.1 < images.std() < 0.5  # activations keep their scale from layer to layer


def test_widths_are_the_references_if_none_are_given():
    assert full({"image_size": 8})["widths"] == [512, 512]
    assert full({"image_size": 128})["widths"] == [512, 512, 512, 512, 512, 256]


def test_arithmetic_in_bfloat16_stays_there_and_is_near(tmp_path):
    generator = opened(tmp_path, SKIP)
    graph, state = nnx.split(generator)
    low = nnx.merge(graph, jax.tree.map(lambda x: x.astype(jnp.bfloat16), state))
    z = normal(4, SKIP["z_dim"])
    images = compiled(low)(z.astype(jnp.bfloat16))
    assert images.dtype == jnp.bfloat16
    error = np.asarray(images, np.float32) - np.asarray(compiled(generator)(z))
    assert np.abs(error).mean() < 0.02
