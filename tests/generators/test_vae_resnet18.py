import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_origin.checkpoints import CheckpointError, write_safetensors
from jax_origin.generators import ResNetVAE, fingerprint, open_generator, save_generator

pytestmark = pytest.mark.outer

TOLERANCE = 1e-4
LATENT, WIDTH = 6, 4
BOTH_OFF, BOTH_ON = (False, False), (True, True)
MEAN = np.array([125.3, 123.0, 113.9]) / 255
STD = np.array([63.0, 62.1, 66.7]) / 255


def reference(torch, *, first_conv, maxpool1, size=32, width=WIDTH, latent=LATENT, seed=0):
    """The VAE of Lightning Bolts with random weights and statistics, in evaluation mode."""
    nn, functional = torch.nn, torch.nn.functional

    class Repeat(nn.Module):
        def __init__(self, scale):
            super().__init__()
            self.scale = scale

        def forward(self, x):
            return functional.interpolate(x, scale_factor=self.scale)

    def conv(ins, outs, kernel, stride=1, scale=1):
        layer = nn.Conv2d(ins, outs, kernel, stride, kernel // 2, bias=False)
        return layer if scale == 1 else nn.Sequential(Repeat(scale), layer)

    class Block(nn.Module):
        def __init__(self, ins, outs, *, stride=1, scale=1, side):
            super().__init__()
            hidden = outs if side == "downsample" else ins
            self.conv1, self.bn1 = conv(ins, hidden, 3, stride), nn.BatchNorm2d(hidden)
            self.conv2, self.bn2 = conv(hidden, outs, 3, scale=scale), nn.BatchNorm2d(outs)
            self.side = side
            if ins != outs or stride != 1 or scale != 1:
                shortcut = nn.Sequential(conv(ins, outs, 1, stride, scale), nn.BatchNorm2d(outs))
                self.add_module(side, shortcut)

        def forward(self, x):
            shortcut = getattr(self, self.side, nn.Identity())(x)
            x = torch.relu(self.bn1(self.conv1(x)))
            return torch.relu(self.bn2(self.conv2(x)) + shortcut)

    def layer(ins, outs, side, **step):
        return nn.Sequential(Block(ins, outs, side=side, **step), Block(outs, outs, side=side))

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            kernel, stride = (7, 2) if first_conv else (3, 1)
            self.conv1, self.bn1 = conv(3, width, kernel, stride), nn.BatchNorm2d(width)
            self.maxpool = nn.MaxPool2d(3, 2, 1) if maxpool1 else nn.Identity()
            self.layer1 = layer(width, width, "downsample")
            self.layer2 = layer(width, 2 * width, "downsample", stride=2)
            self.layer3 = layer(2 * width, 4 * width, "downsample", stride=2)
            self.layer4 = layer(4 * width, 8 * width, "downsample", stride=2)

        def forward(self, x):
            x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return x.mean(dim=(2, 3))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(latent, 128 * width)
            self.layer1 = layer(8 * width, 4 * width, "upsample", scale=2)
            self.layer2 = layer(4 * width, 2 * width, "upsample", scale=2)
            self.layer3 = layer(2 * width, width, "upsample", scale=2)
            self.layer4 = layer(width, width, "upsample", scale=2 if maxpool1 else 1)
            self.conv1 = conv(width, 3, 3)

        def forward(self, z):
            factor = 8 * (1 + first_conv) * (1 + maxpool1)
            x = self.linear(z).view(len(z), -1, 4, 4)
            x = functional.interpolate(x, size=size // factor)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.conv1(functional.interpolate(x, scale_factor=1 + first_conv))

    class Reference(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = Encoder(), Decoder()
            self.fc_mu, self.fc_var = nn.Linear(8 * width, latent), nn.Linear(8 * width, latent)

    rng = np.random.default_rng(seed)
    network = Reference().eval()
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var") or (name.endswith("weight") and tensor.ndim == 1):
            value = rng.uniform(0.5, 2, tensor.shape)
        elif tensor.ndim > 1:
            value = rng.normal(size=tensor.shape) / np.sqrt(tensor[0].numel())
        else:
            value = rng.normal(0, 0.3, tensor.shape)
        tensor.copy_(torch.tensor(value))
    return network


def arrays_of(network):
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def statistics(torch):
    return (torch.tensor(v, dtype=torch.float32)[None, :, None, None] for v in (MEAN, STD))


def their_images(torch, network, latents):
    """The decoder's images, as RONAN brings them to [0, 1]; before they are clamped."""
    mean, std = statistics(torch)
    return (network.decoder(latents) * std + mean).permute(0, 2, 3, 1)


def sample(num=5, latent=LATENT):
    return np.random.default_rng(1).normal(size=(num, latent)).astype(np.float32)


@pytest.fixture
def opened(tmp_path):
    torch = pytest.importorskip("torch")

    def make(first_conv=False, maxpool1=False, *, config=None, **options):
        network = reference(torch, first_conv=first_conv, maxpool1=maxpool1, **options)
        write_safetensors(tmp_path / "vae.safetensors", arrays_of(network))
        path = tmp_path / "vae.safetensors"
        return torch, network, open_generator(path, kind="vae_resnet18", config=config)

    return make


def values_and_gradient(generator, method, at, weights):
    """What a method of the generator gives, and the gradient of its weighted sum."""
    graph, state = nnx.split(generator)

    def run(at, weights):
        values, pull = jax.vjp(lambda x: method(nnx.merge(graph, state), x), at)
        return values, pull(weights)[0]

    return map(np.asarray, jax.jit(run)(at, weights))


@pytest.mark.parametrize(("first_conv", "maxpool1"), [BOTH_OFF, BOTH_ON])
def test_the_decoder_has_the_references_images_and_gradient(opened, first_conv, maxpool1):
    torch, network, generator = opened(first_conv, maxpool1)
    weights = np.random.default_rng(2).normal(size=(5, 32, 32, 3)).astype(np.float32) / 32
    ours, gradient = values_and_gradient(generator, ResNetVAE.__call__, sample(), weights)
    z = torch.tensor(sample(), requires_grad=True)
    unclamped = their_images(torch, network, z)
    # Not clamped: the gradient passes as if nothing were.
    (unclamped * torch.tensor(weights)).sum().backward()
    unclamped = unclamped.detach().numpy()
    assert ours.shape == unclamped.shape == (5, 32, 32, 3)
    assert unclamped.std() > 0.1
    assert 0.02 < np.mean((unclamped < 0) | (unclamped > 1)) < 0.9
    assert np.abs(ours - unclamped.clip(0, 1)).max() < TOLERANCE
    assert np.abs(z.grad.numpy()).mean() > 0.1
    assert np.abs(gradient - z.grad.numpy()).max() < TOLERANCE


@pytest.mark.parametrize(("first_conv", "maxpool1"), [BOTH_OFF, BOTH_ON])
def test_the_encoder_has_the_references_posterior_and_gradient(opened, first_conv, maxpool1):
    torch, network, generator = opened(first_conv, maxpool1)
    images = np.random.default_rng(3).uniform(size=(5, 32, 32, 3)).astype(np.float32)
    weights = np.random.default_rng(4).normal(size=(2, 5, LATENT)).astype(np.float32)

    def posterior(generator, images):
        return jnp.stack(generator.posterior(images))

    ours, gradient = values_and_gradient(generator, posterior, images, weights)
    mean, std = statistics(torch)
    pixels = torch.tensor(images.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    features = network.encoder((pixels - mean) / std)
    theirs = torch.stack([network.fc_mu(features), network.fc_var(features)])
    (theirs * torch.tensor(weights)).sum().backward()
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert theirs.std() > 0.1
    assert np.abs(ours - theirs).max() < TOLERANCE
    assert np.abs(nnx.jit(ResNetVAE.encode)(generator, images) - theirs[0]).max() < TOLERANCE
    assert np.abs(pixels.grad.numpy()).max() > 0.01
    assert np.abs(gradient.transpose(0, 3, 1, 2) - pixels.grad.numpy()).max() < TOLERANCE


@pytest.mark.parametrize(("size", "first_conv"), [(96, True), (56, False), (8, False)])
def test_the_grid_is_brought_to_another_size_as_the_reference_does(opened, size, first_conv):
    config = {"image_size": size}
    torch, network, generator = opened(first_conv, size=size, config=config)
    with torch.no_grad():
        theirs = their_images(torch, network, torch.tensor(sample(2))).clamp(0, 1).numpy()
    ours = nnx.jit(generator)(sample(2))
    assert ours.shape == theirs.shape == (2, size, size, 3)
    assert np.abs(np.asarray(ours) - theirs).max() < TOLERANCE


def test_the_full_reference_size_makes_the_references_images(opened):
    torch, network, generator = opened(width=64, latent=256)
    latents = sample(1, 256)
    with torch.no_grad():
        theirs = their_images(torch, network, torch.tensor(latents)).clamp(0, 1).numpy()
    assert np.abs(np.asarray(nnx.jit(generator)(latents)) - theirs).max() < TOLERANCE
    defaults = jax.eval_shape(lambda: nnx.state(ResNetVAE(rngs=nnx.Rngs(0))))
    shapes = [leaf.shape for leaf in jax.tree.leaves(defaults)]
    assert shapes == [leaf.shape for leaf in jax.tree.leaves(nnx.state(generator))]


@pytest.mark.parametrize(("first_conv", "maxpool1"), [BOTH_OFF, (True, False), (False, True)])
def test_the_configuration_is_inferred_from_shapes(opened, first_conv, maxpool1):
    _, _, generator = opened(first_conv, maxpool1)
    assert generator.config == {
        "image_size": 32,
        "latent_dim": LATENT,
        "width": WIDTH,
        "first_conv": first_conv,
        "maxpool1": maxpool1,
        "mean": MEAN.tolist(),
        "std": STD.tolist(),
    }
    assert generator.latent_shape == (LATENT,)
    assert generator.image_shape == (32, 32, 3)


@pytest.mark.parametrize("prefix", ["model.", "vae.module."])
def test_the_names_may_stand_inside_another_module(opened, tmp_path, prefix):
    torch, _, generator = opened()
    arrays = arrays_of(reference(torch, first_conv=False, maxpool1=False))
    path = tmp_path / "inside.safetensors"
    write_safetensors(path, {prefix + name: array for name, array in arrays.items()})
    assert fingerprint(open_generator(path, kind="vae_resnet18")) == fingerprint(generator)


def test_a_round_trip_is_the_same_generator(tmp_path):
    made = ResNetVAE(
        image_size=16, latent_dim=3, width=2, maxpool1=True, std=(0.5, 0.25, 1), rngs=nnx.Rngs(0)
    )
    made.eval()
    save_generator(tmp_path / "saved", made, dtype=np.float32)
    again = open_generator(tmp_path / "saved")
    assert type(again) is ResNetVAE
    assert again.config == made.config
    assert fingerprint(again) == fingerprint(made)


def test_the_normalisation_is_part_of_the_fingerprint():
    def made(**options):
        return ResNetVAE(image_size=8, latent_dim=2, width=2, **options, rngs=nnx.Rngs(0))

    assert fingerprint(made(mean=(0.5, 0.5, 0.5))) != fingerprint(made())


def test_lightnings_hyper_parameters_become_a_config():
    stored = {
        "input_height": 96,
        "enc_type": "resnet18",
        "first_conv": True,
        "maxpool1": False,
        "enc_out_dim": 512,
        "kl_coeff": 0.1,
        "latent_dim": 128,
        "lr": 1e-4,
        "dataset": "stl10",
    }
    config = ResNetVAE.reference_config(stored)
    assert config == {
        "image_size": 96,
        "latent_dim": 128,
        "first_conv": True,
        "maxpool1": False,
        "mean": [0.43, 0.42, 0.39],
        "std": [0.27, 0.26, 0.27],
    }
    generator = nnx.eval_shape(lambda: ResNetVAE(**config, rngs=nnx.Rngs(0)))
    assert generator.config == {**config, "width": 64}
    assert ResNetVAE.reference_config({}) == {}
    with pytest.raises(CheckpointError, match="enc_type 'resnet50'; only 'resnet18' is read"):
        ResNetVAE.reference_config({"enc_type": "resnet50"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder.conv1.weight": None}, "no ResNet VAE: it has no encoder.conv1.weight or no"),
        ({"decoder.linear.weight": None}, "no ResNet VAE: it has no encoder.conv1.weight or no"),
        ({"encoder.layer1.0.conv3.weight": np.zeros((4, 4, 1, 1))}, "a VAE on ResNet-50"),
        ({"fc_mu.bias": None}, r"missing \['fc_mu\.bias'\]"),
        ({"encoder.layer5.0.conv1.weight": np.zeros((4, 4, 3, 3))}, "unexpected array 'encoder.l"),
        ({"decoder.layer1.0.conv2.weight": np.zeros((4, 4, 3, 3))}, "two arrays .* become"),
        ({"fc_var.weight": np.zeros((6, 31))}, r"fc_var\.kernel is \(31, 6\), vae_resnet18 has"),
        ({"encoder.bn1.running_var": np.full(4, np.nan)}, r"encoder\.bn1\.var holds NaN or inf"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(opened, tmp_path, change, message):
    torch, *_ = opened()
    arrays = arrays_of(reference(torch, first_conv=False, maxpool1=False)) | change
    path = tmp_path / "changed.safetensors"
    write_safetensors(path, {name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(CheckpointError, match=message) as caught:
        open_generator(path, kind="vae_resnet18")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 36}, "image_size must be a multiple of 8, not 36"),
        ({"image_size": 0}, "image_size must be a multiple of 8, not 0"),
        ({"image_size": "32"}, "image_size must be a multiple of 8, not '32'"),
        ({"image_size": 40, "first_conv": True}, "image_size must be a multiple of 16, not 40"),
        ({"mean": (0.5, 0.5)}, "mean must be three finite numbers"),
        ({"mean": (0.5, 0.5, np.nan)}, "mean must be three finite numbers"),
        ({"std": (0.5, 0.0, 0.5)}, "std must be above 0"),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ResNetVAE(**options, rngs=nnx.Rngs(0))
