"""Checkpoints as people save them: under prefixes, beside other networks, in other names."""

import itertools
import math

import numpy as np
import pytest

from jax_origin.checkpoints import CheckpointError, write_safetensors
from jax_origin.generators import fingerprint, open_generator

from .test_convert import dcgan_arrays
from .test_dcgan import reference_arrays, sample
from .test_stylegan2 import SKIP, TAPS
from .test_stylegan2 import reference_arrays as stylegan_arrays

pytestmark = pytest.mark.outer

DISCRIMINATOR = {
    "main.0.weight": np.ones((4, 3, 4, 4), np.float32),
    "main.2.weight": np.ones((8, 4, 4, 4), np.float32),
    "main.3.weight": np.ones(8, np.float32),
}


def under(prefix, arrays):
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def bare(arrays):
    return {name.removeprefix("main."): array for name, array in arrays.items()}


def opened(path, arrays, kind="dcgan", **options):
    write_safetensors(path, arrays)
    return open_generator(path, kind=kind, **options)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "netG.safetensors"
    return fingerprint(opened(path, dcgan_arrays()))


@pytest.mark.parametrize(
    "prefix", ["_orig_mod", "module", "netG", "generator", "any.thing", "_orig_mod.netG"]
)
@pytest.mark.parametrize("shape", ["named", "bare"])
def test_a_prefix_is_found(tmp_path, plain, prefix, shape):
    arrays = dcgan_arrays() if shape == "named" else bare(dcgan_arrays())
    path = tmp_path / "w.safetensors"
    assert fingerprint(opened(path, under(prefix, arrays))) == plain


@pytest.mark.parametrize("shape", ["named", "bare"])
@pytest.mark.parametrize(("ours", "theirs"), [("netG", "netD"), ("state.generator", "state.loss")])
def test_other_networks_beside_it_are_left_alone(tmp_path, plain, shape, ours, theirs):
    change = bare if shape == "bare" else dict
    arrays = under(ours, change(dcgan_arrays())) | under(theirs, change(DISCRIMINATOR))
    assert fingerprint(opened(tmp_path / "w.safetensors", arrays)) == plain


def test_a_bare_sequential(tmp_path, plain):
    assert fingerprint(opened(tmp_path / "w.safetensors", bare(dcgan_arrays()))) == plain


def test_a_moving_average_comes_before_the_generator_itself(tmp_path, plain):
    raw = {name: array + 1 for name, array in dcgan_arrays().items()}
    arrays = under("G", raw) | under("G_ema", dcgan_arrays())
    assert fingerprint(opened(tmp_path / "w.safetensors", arrays)) == plain


@pytest.mark.parametrize(
    ("generator", "others"),
    [
        ("netG_state_dict", ("netD_state_dict", "optimizer_state_dict")),
        ("generator", ("discriminator", "optimizer_G")),
        ("G", ("D", "opt")),
        ("g_ema", ("d", "g_optim")),
        ("model_state_dict", ("optimizer_state_dict",)),
        ("state_dict", ("optimizer",)),
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_a_training_checkpoint_of_torch_save(tmp_path, plain, generator, others, legacy):
    torch = pytest.importorskip("torch")
    state = {name: torch.tensor(array) for name, array in dcgan_arrays().items()}
    beside = {name: torch.tensor(array) for name, array in DISCRIMINATOR.items()}
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    tree = {"epoch": 3, generator: state, others[-1]: optimizer.state_dict(), "loss": 0.5}
    tree |= dict.fromkeys(others[:-1], beside)
    torch.save(tree, tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
    assert fingerprint(open_generator(tmp_path / "w.pt", kind="dcgan")) == plain


def test_layers_beside_a_sequential_may_be_its_networks_own(tmp_path):
    arrays = under("layers", bare(dcgan_arrays())) | {"first.weight": np.ones((5, 5), np.float32)}
    with pytest.raises(CheckpointError, match=r"names found: .*first.*; prefixes tried: .*layers"):
        opened(tmp_path / "w.safetensors", arrays)


def test_several_that_fit_are_named(tmp_path):
    arrays = under("netG_A", dcgan_arrays()) | under("netG_B", dcgan_arrays())
    with pytest.raises(CheckpointError, match="several networks in it are a dcgan: netG_A, netG_B"):
        opened(tmp_path / "w.safetensors", arrays)


def test_where_nothing_fits_names_and_prefixes_are_listed(tmp_path):
    arrays = under("netD", DISCRIMINATOR) | {"step\n": np.ones(1, np.float32)}
    with pytest.raises(CheckpointError) as caught:
        opened(tmp_path / "w.safetensors", arrays)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 600
    assert "names found: " in text and "prefixes tried: netD, netD.main" in text


def test_names_of_very_many_parts_are_refused_soon(tmp_path):
    arrays = {"a." * 100_000 + "b": np.ones(1, np.float32), "..": np.ones(1, np.float32)}
    with pytest.raises(CheckpointError, match="no DCGAN"):
        opened(tmp_path / "w.safetensors", arrays)


@pytest.mark.parametrize("places", [(0, 3, 6, 9), (9,)])
def test_a_dcgan_with_biases_makes_pytorchs_images(tmp_path, places):
    torch = pytest.importorskip("torch")
    arrays = reference_arrays(image_size=32)
    rng = np.random.default_rng(5)
    for place in places:
        outs = arrays[f"main.{place}.weight"].shape[1]
        arrays[f"main.{place}.bias"] = rng.normal(0, 0.3, outs).astype(np.float32)
    generator = opened(tmp_path / "w.safetensors", arrays)
    layers = []
    for i in range(4):
        kernel = arrays[f"main.{3 * i}.weight"]
        place = (2, 1) if i else (1, 0)
        biased = 3 * i in places
        layers.append(torch.nn.ConvTranspose2d(*kernel.shape[:2], 4, *place, bias=biased))
        if i < 3:
            layers += [torch.nn.BatchNorm2d(kernel.shape[1]), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers, torch.nn.Tanh()).eval()
    network.load_state_dict({n: torch.tensor(a) for n, a in bare(arrays).items()})
    with torch.no_grad():
        theirs = network(torch.tensor(sample())[:, :, None, None]) / 2 + 0.5
    assert generator.config["bias"]
    error = np.abs(np.asarray(generator(sample())) - theirs.numpy().transpose(0, 2, 3, 1)).max()
    assert error < 1e-5


# StyleGAN2 in the names of rosinality's reimplementation.


def rosinality_network(torch, widths, *, size, layers, seed=3):
    """The generator in the names and with the arithmetic of that code, written here anew."""
    nn, functional = torch.nn, torch.nn.functional
    rng = np.random.default_rng(seed)

    def drawn(*shape, scale=1.0, mean=0.0):
        return nn.Parameter(torch.tensor(rng.normal(mean, scale, shape).astype(np.float32)))

    def filtered(x, kernel, *, up, pad):
        n, c, h, w = x.shape
        spread = torch.zeros(n, c, h * up, w * up)
        spread[:, :, ::up, ::up] = x
        kernel = kernel.flip(0, 1).expand(c, 1, 4, 4)
        return functional.conv2d(functional.pad(spread, (*pad, *pad)), kernel, groups=c)

    class Filter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("kernel", torch.tensor(np.outer(TAPS, TAPS) * 4))

    class Linear(nn.Module):
        def __init__(self, ins, outs, *, rate=1.0, mean=0.0):
            super().__init__()
            self.rate = rate
            self.weight = drawn(outs, ins, scale=1 / rate)
            self.bias = drawn(outs, scale=0.2 / rate, mean=mean)

        def forward(self, x):
            scale = self.rate / math.sqrt(self.weight.shape[1])
            return functional.linear(x, self.weight * scale, self.bias * self.rate)

    class Mapped(Linear):
        def forward(self, x):
            return functional.leaky_relu(super().forward(x), 0.2) * math.sqrt(2)

    class Norm(nn.Module):
        def forward(self, x):
            return x * torch.rsqrt((x**2).mean(dim=1, keepdim=True) + 1e-8)

    class Modulated(nn.Module):
        def __init__(self, ins, outs, kernel, *, up=False, demodulate=True):
            super().__init__()
            self.up, self.demodulate = up, demodulate
            self.weight = drawn(1, outs, ins, kernel, kernel)
            self.modulation = Linear(size, ins, mean=1.0)
            if up:
                self.blur = Filter()

        def forward(self, x, style):
            _, _, ins, kernel, _ = self.weight.shape
            n = len(x)
            scaled = self.weight / math.sqrt(ins * kernel**2)
            weight = scaled * self.modulation(style).view(n, 1, ins, 1, 1)
            if self.demodulate:
                weight = weight * torch.rsqrt((weight**2).sum((2, 3, 4), keepdim=True) + 1e-8)
            images = []
            for image, each in zip(x, weight, strict=True):
                if self.up:
                    wide = functional.conv_transpose2d(image[None], each.transpose(0, 1), stride=2)
                    images.append(filtered(wide, self.blur.kernel, up=1, pad=(1, 1)))
                else:
                    images.append(functional.conv2d(image[None], each, padding=kernel // 2))
            return torch.cat(images)

    class Noise(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = drawn(1, scale=0.3)

    class Activate(nn.Module):
        def __init__(self, outs):
            super().__init__()
            self.bias = drawn(outs, scale=0.2)

    class Styled(nn.Module):
        def __init__(self, ins, outs, *, up=False):
            super().__init__()
            self.conv, self.noise = Modulated(ins, outs, 3, up=up), Noise()
            self.activate = Activate(outs)

        def forward(self, x, style, noise):
            x = self.conv(x, style) + self.noise.weight * noise
            x = x + self.activate.bias.view(1, -1, 1, 1)
            return functional.leaky_relu(x, 0.2) * math.sqrt(2)

    class ToImage(nn.Module):
        def __init__(self, ins, *, up=True):
            super().__init__()
            if up:
                self.upsample = Filter()
            self.conv = Modulated(ins, 3, 1, demodulate=False)
            self.bias = drawn(1, 3, 1, 1, scale=0.2)

        def forward(self, x, style, before=None):
            image = self.conv(x, style) + self.bias
            if before is None:
                return image
            return image + filtered(before, self.upsample.kernel, up=2, pad=(2, 1))

    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.input = drawn(1, widths[0], 4, 4)

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.style = nn.Sequential(
                Norm(), *(Mapped(size, size, rate=0.01) for _ in range(layers))
            )
            self.input = Constant()
            self.conv1 = Styled(widths[0], widths[0])
            self.to_rgb1 = ToImage(widths[0], up=False)
            self.convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
            self.noises = nn.Module()
            for before, width in itertools.pairwise(widths):
                self.convs += [Styled(before, width, up=True), Styled(width, width)]
                self.to_rgbs.append(ToImage(width))
            for i in range(2 * len(widths) - 1):
                side = 4 * 2 ** ((i + 1) // 2)
                self.noises.register_buffer(f"noise_{i}", drawn(1, 1, side, side).data)

        def forward(self, z):
            w = self.style(z)
            x = self.input.input.repeat(len(z), 1, 1, 1)
            x = self.conv1(x, w, self.noises.noise_0)
            image = self.to_rgb1(x, w)
            for i, conv in enumerate(self.convs):
                x = conv(x, w, getattr(self.noises, f"noise_{i + 1}"))
                if i % 2:
                    image = self.to_rgbs[i // 2](x, w, image)
            return image

    return Generator().eval()


@pytest.fixture(scope="module")
def rosinality():
    torch = pytest.importorskip("torch")
    return torch, rosinality_network(torch, (6, 5, 4), size=7, layers=3)


def test_a_training_file_of_rosinalitys_makes_its_images(tmp_path, rosinality):
    torch, network = rosinality
    other = rosinality_network(torch, (6, 5, 4), size=7, layers=3, seed=4)
    optimizer = torch.optim.Adam(other.parameters())
    discriminator = {"convs.0.0.weight": torch.ones(4, 3, 1, 1)}
    tree = {"g": other.state_dict(), "d": discriminator, "g_ema": network.state_dict()}
    torch.save({**tree, "g_optim": optimizer.state_dict()}, tmp_path / "010000.pt")
    generator = open_generator(
        tmp_path / "010000.pt", kind="stylegan2_ada", config={"latent_space": "z"}
    )
    assert generator.config["widths"] == [6, 5, 4] and generator.config["noise_mode"] == "const"
    z = np.random.default_rng(1).normal(size=(3, 7)).astype(np.float32)
    with torch.no_grad():
        theirs = network(torch.tensor(z)).numpy().transpose(0, 2, 3, 1) / 2 + 0.5
        styles = network.style(torch.randn(20_000, 7, generator=torch.manual_seed(0))).mean(0)
    assert theirs.std() > 0.1
    assert np.abs(np.asarray(generator.unclipped(z)) - theirs).max() < 1e-4
    # The file has no mean of w: it is measured, as that code does before it truncates.
    assert np.abs(np.asarray(generator.mapping.w_avg[...]) - styles.numpy()).max() < 0.1


def test_the_mean_of_w_is_read_where_the_file_has_it(tmp_path, rosinality):
    torch, network = rosinality
    mean = torch.arange(7.0)
    torch.save({"g_ema": network.state_dict(), "latent_avg": mean}, tmp_path / "converted.pt")
    generator = open_generator(tmp_path / "converted.pt", kind="stylegan2_ada")
    assert (np.asarray(generator.mapping.w_avg[...]) == mean.numpy()).all()


def test_another_filter_in_rosinalitys_names_is_refused(tmp_path, rosinality):
    _, network = rosinality
    arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    arrays["convs.0.conv.blur.kernel"] = np.ones((4, 4), np.float32)
    with pytest.raises(CheckpointError, match="another filter than"):
        opened(tmp_path / "w.safetensors", arrays, kind="stylegan2_ada")


def test_nvidias_names_in_a_training_file(tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.tensor(array) for name, array in stylegan_arrays(SKIP).items()}
    half = {name: tensor / 2 for name, tensor in state.items() if "filter" not in name}
    torch.save({"G": half, "D": {"b4.fc.weight": torch.ones(2)}, "G_ema": state}, tmp_path / "w.pt")
    found = open_generator(tmp_path / "w.pt", kind="stylegan2_ada")
    whole = opened(tmp_path / "w.safetensors", stylegan_arrays(SKIP), kind="stylegan2_ada")
    assert fingerprint(found) == fingerprint(whole)
