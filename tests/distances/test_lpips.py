import dataclasses
import json
import re

import jax
import numpy as np
import pytest

from jax_origin.checkpoints import CheckpointError, read_safetensors, write_safetensors
from jax_origin.distances import LPIPS, Distance, convert_lpips

TOLERANCE = 1e-4
# The widths of the layers that are compared.
WIDTHS = {
    "vgg16": (64, 128, 256, 512, 512),
    "alexnet": (64, 192, 384, 256, 256),
    "squeezenet1_1": (64, 128, 256, 384, 384, 512, 512),
}
# torchvision's squeezenet1_1: channels into a Fire module, squeezed, and of each of its two ends.
FIRES = {
    **{3: (64, 16, 64), 4: (128, 16, 64), 6: (128, 32, 128), 7: (256, 32, 128)},
    **{9: (256, 48, 192), 10: (384, 48, 192), 11: (384, 64, 256), 12: (512, 64, 256)},
}


def drawn(rng, shape):
    if len(shape) == 1:
        return rng.normal(0, 0.3, shape).astype(np.float32)
    return (rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)


def linear_layers(widths, rng):
    return {
        f"lin{i}.model.1.weight": rng.random((1, width, 1, 1), np.float32)
        for i, width in enumerate(widths)
    }


def squeezenet(rng):
    """Random weights by torchvision's names."""
    shapes = {"features.0.weight": (64, 3, 3, 3), "features.0.bias": (64,)}
    for i, (ins, squeezed, out) in FIRES.items():
        for part, shape in (
            ("squeeze", (squeezed, ins, 1, 1)),
            ("expand1x1", (out, squeezed, 1, 1)),
            ("expand3x3", (out, squeezed, 3, 3)),
        ):
            shapes[f"features.{i}.{part}.weight"] = shape
            shapes[f"features.{i}.{part}.bias"] = shape[:1]
    shapes |= {"classifier.1.weight": (10, 512, 1, 1), "classifier.1.bias": (10,)}
    return {name: drawn(rng, shape) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The two files of a squeezenet1_1, as they are published but for their format."""
    folder, rng = tmp_path_factory.mktemp("published"), np.random.default_rng(0)
    write_safetensors(folder / "squeezenet.safetensors", squeezenet(rng))
    linears = linear_layers(WIDTHS["squeezenet1_1"], rng)
    write_safetensors(folder / "squeeze.safetensors", linears)
    return folder / "squeezenet.safetensors", folder / "squeeze.safetensors"


@pytest.fixture(scope="module")
def whole(published, tmp_path_factory):
    out = tmp_path_factory.mktemp("lpips") / "lpips.safetensors"
    return convert_lpips(*published, out, backbone="squeezenet1_1")


@pytest.fixture(scope="module")
def distance(whole):
    """Of the first two layers: a program that compiles quickly."""
    return dataclasses.replace(whole, layers=(1, 2))


def pair(side=24, num=3, channels=3):
    images = np.random.default_rng(1).random((2, num, side, side, channels), np.float32)
    return images[0], images[1]


def value(distance, images, targets):
    return np.asarray(jax.jit(distance.value)(images, targets))


def test_a_nearer_image_has_a_lower_value_and_the_same_one_none(distance):
    images, noise = pair()
    mixed = [value(distance, images + s * (noise - images), images) for s in (0, 0.2, 0.9)]
    assert np.array_equal(mixed[0], np.zeros(3))
    assert (mixed[0] < mixed[1]).all() and (mixed[1] < mixed[2]).all()
    # What a trace has read serves without one, too.
    found = distance.value(images, noise)
    np.testing.assert_allclose(found, value(distance, images, noise), rtol=1e-5)


def test_layers_add_up(distance):
    images, targets = pair()
    one, two = (
        value(dataclasses.replace(distance, layers=n), images, targets) for n in ((1,), (2,))
    )
    assert (one > 0).all() and (two > 0).all()
    np.testing.assert_allclose(value(distance, images, targets), one + two, rtol=1e-5)


def test_gradients_are_finite_and_images_of_a_batch_do_not_touch_each_other(distance):
    images, targets = pair()
    gradient = jax.jit(jax.grad(lambda x, y: distance.value(x, y).sum()))
    for other in (targets, images, np.zeros_like(images)):
        assert np.isfinite(gradient(images, other)).all()

    def of_one(image, target):
        return distance.value(image[None], target[None])[0]

    together = value(distance, images, targets)
    alone = [jax.jit(of_one)(*each) for each in zip(images, targets, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    np.testing.assert_allclose(together, jax.jit(jax.vmap(of_one))(images, targets), rtol=1e-5)


def test_where_all_channels_of_a_layer_are_0_the_gradient_is_finite(published, tmp_path):
    arrays = dict(read_safetensors(published[0]))
    arrays["features.0.bias"] = np.full(64, -100, np.float32)
    write_safetensors(tmp_path / "dead.safetensors", arrays)
    files = tmp_path / "dead.safetensors", published[1], tmp_path / "lpips.safetensors"
    dead = dataclasses.replace(convert_lpips(*files, backbone="squeezenet1_1"), layers=(1,))
    images, targets = pair()
    found, gradient = jax.value_and_grad(lambda x: dead.value(x, targets).sum())(images)
    assert found == 0 and np.array_equal(gradient, np.zeros_like(images))


def test_one_channel_is_three_alike(distance):
    images, targets = pair(channels=1)
    grey = value(distance, images, targets)
    np.testing.assert_allclose(
        grey, value(distance, *(np.repeat(x, 3, 3) for x in (images, targets))), rtol=1e-5
    )


def test_it_comes_back_from_json_and_knows_its_file_by_its_content(distance, tmp_path):
    again = Distance.from_json(json.loads(json.dumps(distance.to_json())))
    assert again == distance and hash(again) == hash(distance)
    assert again.weights == distance.weights and len(again.sha256) == 64
    moved = tmp_path / "moved.safetensors"
    with open(distance.weights, "rb") as file:
        moved.write_bytes(file.read())
    assert LPIPS("squeezenet1_1", (2, 1), weights=moved) == distance
    # It can be made, compared and saved where the file is not.
    assert dataclasses.replace(distance, weights="elsewhere.safetensors") == distance


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "vgg"}, r"backbone='vgg': choose from .*did you mean 'vgg16'\?"),
        ({"layers": (0,)}, r"layers must be of 1 to 5, which vgg16 has, or None; not \(0,\)"),
        ({"layers": (6,)}, "layers must be of 1 to 5"),
        ({"layers": ()}, "layers must be of 1 to 5"),
        ({"weights": "missing.safetensors"}, "missing.safetensors: no such file"),
    ],
)
def test_a_wrong_setting_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LPIPS(**options)


def test_weights_that_are_not_there_or_not_the_same_are_refused(distance, tmp_path):
    images, targets = pair()
    with pytest.raises(ValueError, match=r"LPIPS needs weights.*convert_lpips"):
        LPIPS().value(images, targets)
    gone = dataclasses.replace(distance, weights=str(tmp_path / "gone.safetensors"))
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: no such file"):
        gone.value(images, targets)
    changed = dataclasses.replace(distance, sha256="0" * 64)
    with pytest.raises(CheckpointError, match=r"not the weights that LPIPS was made with: SHA-256"):
        changed.value(images, targets)
    other = LPIPS("alexnet", weights=distance.weights)
    with pytest.raises(CheckpointError, match=r"no alexnet of LPIPS, it lacks features\.3\.weight"):
        other.value(images, targets)


def test_images_that_do_not_suit_it_are_refused(distance):
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        distance.value(*pair(channels=4))
    with pytest.raises(ValueError, match=r"images of 4 x 4 pixels are too small for layer 2"):
        distance.value(*pair(side=4))


def test_a_converter_names_what_is_missing(published, tmp_path):
    backbone, linear = published
    out = tmp_path / "out.safetensors"
    with pytest.raises(CheckpointError, match=r"squeezenet\.safetensors: no vgg16 .*features\.2\."):
        convert_lpips(backbone, linear, out)
    with pytest.raises(CheckpointError, match=r"lacks lin0\.model\.1\.weight and 6 more"):
        convert_lpips(backbone, backbone, out, backbone="squeezenet1_1")
    with pytest.raises(CheckpointError, match=r"lacks features\.0\.weight and 49 more"):
        convert_lpips(linear, linear, out, backbone="squeezenet1_1")
    arrays = dict(read_safetensors(linear))
    arrays["lin6.model.1.weight"] = np.ones((1, 256, 1, 1), np.float32)
    write_safetensors(tmp_path / "wrong.safetensors", arrays)
    with pytest.raises(
        CheckpointError, match=r"lin6\.\S+ is \(1, 256, 1, 1\), not \(1, 512, 1, 1\)"
    ):
        convert_lpips(backbone, tmp_path / "wrong.safetensors", out, backbone="squeezenet1_1")
    assert not out.exists()


def reference(torch, backbone):
    """The backbone's features in torchvision's order, and where a layer that is compared ends."""
    nn = torch.nn

    class Fire(nn.Module):
        def __init__(self, ins, squeezed, out):
            super().__init__()
            self.squeeze = nn.Conv2d(ins, squeezed, 1)
            self.expand1x1 = nn.Conv2d(squeezed, out, 1)
            self.expand3x3 = nn.Conv2d(squeezed, out, 3, padding=1)

        def forward(self, x):
            x = torch.relu(self.squeeze(x))
            ends = torch.relu(self.expand1x1(x)), torch.relu(self.expand3x3(x))
            return torch.cat(ends, 1)

    if backbone == "squeezenet1_1":
        pools = {i: nn.MaxPool2d(3, 2, ceil_mode=True) for i in (2, 5, 8)}
        layers = {0: nn.Conv2d(3, 64, 3, 2), 1: nn.ReLU(), **pools}
        layers |= {i: Fire(*sizes) for i, sizes in FIRES.items()}
        return nn.Sequential(*(layers[i] for i in range(13))), (2, 5, 8, 10, 11, 12, 13)
    if backbone == "alexnet":
        wide = [nn.Conv2d(3, 64, 11, 4, 2), nn.Conv2d(64, 192, 5, padding=2)]
        narrow = [nn.Conv2d(*sizes, 3, padding=1) for sizes in ((192, 384), (384, 256), (256, 256))]
        layers = []
        for conv, pooled in zip([*wide, *narrow], (True, True, False, False, True), strict=True):
            layers += [conv, nn.ReLU(), *[nn.MaxPool2d(3, 2)] * pooled]
        return nn.Sequential(*layers), (2, 5, 8, 10, 12)
    layers, ins = [], 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(ins, width, 3, padding=1), nn.ReLU()]
            ins = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers), (4, 9, 16, 23, 30)


def per_layer(torch, features, ends, linears, images, targets):
    """What lpips says of each layer: images [N, 3, H, W] in [0, 1] -> [layers, N]."""
    shift = torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[None, :, None, None]
    both = [(2 * x - 1 - shift) / scale for x in (images, targets)]
    found = []
    for start, end, linear in zip((0, *ends), ends, linears, strict=False):
        both = [features[start:end](x) for x in both]
        one, two = (x / (torch.sqrt((x**2).sum(1, keepdim=True)) + 1e-10) for x in both)
        weighed = torch.nn.functional.conv2d((one - two) ** 2, linear)
        found.append(weighed.mean((1, 2, 3)))
    return torch.stack(found)


@pytest.mark.outer
@pytest.mark.parametrize(
    ("backbone", "side"),
    [("vgg16", 33), ("alexnet", 47), *[("squeezenet1_1", side) for side in (32, 37)]],
)
def test_it_has_the_references_values_and_gradient(backbone, side, tmp_path):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    features, ends = reference(torch, backbone)
    for parameter in features.parameters():
        parameter.data = torch.tensor(drawn(rng, tuple(parameter.shape)))
    weights = {f"features.{name}": each for name, each in features.state_dict().items()}
    torch.save(weights, tmp_path / "backbone.pth")
    linears = linear_layers(WIDTHS[backbone], rng)
    linears = {name: torch.tensor(array) for name, array in linears.items()}
    torch.save(linears, tmp_path / "linear.pth")
    files = (tmp_path / name for name in ("backbone.pth", "linear.pth", "lpips.safetensors"))
    distance = convert_lpips(*files, backbone=backbone)

    images, targets = pair(side, num=2)
    theirs = torch.tensor(images).permute(0, 3, 1, 2).requires_grad_()
    others = torch.tensor(targets).permute(0, 3, 1, 2)
    wanted = per_layer(torch, features, ends, linears.values(), theirs, others)
    (slope,) = torch.autograd.grad(wanted.sum(), theirs)

    def total(images, targets):
        found = distance.value(images, targets)
        return found.sum(), found

    (_, found), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(images, targets)
    np.testing.assert_allclose(found, wanted.detach().sum(0), rtol=TOLERANCE)
    second = value(dataclasses.replace(distance, layers=(2,)), images, targets)
    np.testing.assert_allclose(second, wanted.detach()[1], rtol=TOLERANCE)
    slope = slope.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(gradient, slope, atol=TOLERANCE * np.abs(slope).max())


@pytest.mark.outer
@pytest.mark.parametrize(("backbone", "net"), [("alexnet", "alex"), ("squeezenet1_1", "squeeze")])
def test_it_has_the_values_of_the_lpips_package(backbone, net, tmp_path):
    torch = pytest.importorskip("torch")
    lpips = pytest.importorskip("lpips", exc_type=ImportError)
    theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    # Its slices know layers by the numbers that torchvision gives them.
    features = {
        re.sub(r"slice\d+", "features", name): each
        for name, each in theirs.net.state_dict().items()
    }
    torch.save(features, tmp_path / "backbone.pth")
    linears = {n: each for n, each in theirs.state_dict().items() if re.match(r"lin\d", n)}
    torch.save(linears, tmp_path / "linear.pth")
    files = (tmp_path / name for name in ("backbone.pth", "linear.pth", "lpips.safetensors"))
    distance = convert_lpips(*files, backbone=backbone)
    images, targets = pair(64)
    both = (torch.tensor(x).permute(0, 3, 1, 2) for x in (images, targets))
    wanted = theirs(*both, normalize=True).detach().flatten()
    np.testing.assert_allclose(value(distance, images, targets), wanted, rtol=TOLERANCE)
