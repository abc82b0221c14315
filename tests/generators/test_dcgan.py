import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_origin.checkpoints import CheckpointError, write_safetensors
from jax_origin.generators import DCGAN, fingerprint, open_generator, save_generator

pytestmark = pytest.mark.outer

TOLERANCE = 1e-5


def reference_arrays(*, image_size, latent_dim=7, width=4, channels=3):
    """Weights of PyTorch's example by its own names, running statistics far from 0 and 1."""
    rng = np.random.default_rng(image_size)
    depth = image_size.bit_length() - 3
    sizes = [latent_dim, *(width * 2 ** (depth - 1 - i) for i in range(depth)), channels]
    arrays = {}
    for i, (ins, outs) in enumerate(itertools.pairwise(sizes)):
        kernel = rng.normal(size=(ins, outs, 4, 4)) / np.sqrt(4 * ins)
        arrays[f"main.{3 * i}.weight"] = kernel.astype(np.float32)
        if i == depth:
            break
        norm = {
            "weight": rng.normal(1, 0.3, outs),
            "bias": rng.normal(0, 0.3, outs),
            "running_mean": rng.normal(0, 0.5, outs),
            "running_var": rng.uniform(0.4, 2.5, outs),
        }
        for name, value in norm.items():
            arrays[f"main.{3 * i + 1}.{name}"] = value.astype(np.float32)
        arrays[f"main.{3 * i + 1}.num_batches_tracked"] = np.array(9, np.int64)
    return arrays


def their_generator(torch, arrays):
    """pytorch/examples/dcgan, netG, in evaluation mode."""
    kernels = [arrays[name] for name in arrays if name.endswith("weight") and arrays[name].ndim > 1]
    layers = []
    for i, kernel in enumerate(kernels):
        place = (1, 0) if i == 0 else (2, 1)
        layers.append(torch.nn.ConvTranspose2d(*kernel.shape[:2], 4, *place, bias=False))
        if i < len(kernels) - 1:
            layers += [torch.nn.BatchNorm2d(kernel.shape[1]), torch.nn.ReLU(True)]
    sequential = torch.nn.Sequential(*layers, torch.nn.Tanh())
    weights = {name.removeprefix("main."): torch.tensor(array) for name, array in arrays.items()}
    sequential.load_state_dict(weights)
    return sequential.eval()


def their_images(torch, arrays, latents, *, resize=None):
    with torch.no_grad():
        images = their_generator(torch, arrays)(torch.tensor(latents)[:, :, None, None])
        images = images / 2 + 0.5
        if resize:
            images = torch.nn.functional.interpolate(
                images, (resize, resize), mode="bilinear", align_corners=False, antialias=False
            )
    return images.numpy().transpose(0, 2, 3, 1)


def sample(seed=1, latent_dim=7):
    return np.random.default_rng(seed).normal(size=(5, latent_dim)).astype(np.float32)


@pytest.mark.parametrize("image_size", [64, 32])
def test_a_reference_checkpoint_makes_pytorchs_images(tmp_path, image_size):
    torch = pytest.importorskip("torch")
    arrays = reference_arrays(image_size=image_size)
    write_safetensors(tmp_path / "netG.safetensors", arrays)
    ours = np.asarray(open_generator(tmp_path / "netG.safetensors", kind="dcgan")(sample()))
    theirs = their_images(torch, arrays, sample())
    assert ours.shape == theirs.shape == (5, image_size, image_size, 3)
    assert theirs.std() > 0.1
    error = np.abs(ours - theirs).max()
    assert error < TOLERANCE


@pytest.mark.parametrize("output_size", [32, 48])
def test_output_size_resizes_as_pytorch_does(tmp_path, output_size):
    torch = pytest.importorskip("torch")
    arrays = reference_arrays(image_size=64)
    write_safetensors(tmp_path / "netG.safetensors", arrays)
    generator = open_generator(
        tmp_path / "netG.safetensors", kind="dcgan", config={"output_size": output_size}
    )
    assert generator.image_shape == (output_size, output_size, 3)
    theirs = their_images(torch, arrays, sample(), resize=output_size)
    error = np.abs(np.asarray(generator(sample())) - theirs).max()
    assert error < TOLERANCE


def test_the_full_reference_size_makes_pytorchs_images(tmp_path):
    torch = pytest.importorskip("torch")
    arrays = reference_arrays(image_size=64, latent_dim=100, width=64)
    write_safetensors(tmp_path / "netG.safetensors", arrays)
    latents = sample(latent_dim=100)
    ours = nnx.jit(open_generator(tmp_path / "netG.safetensors", kind="dcgan"))(latents)
    assert np.abs(np.asarray(ours) - their_images(torch, arrays, latents)).max() < TOLERANCE


def test_the_gradient_by_the_latent_is_pytorchs(tmp_path):
    torch = pytest.importorskip("torch")
    arrays = reference_arrays(image_size=16)
    write_safetensors(tmp_path / "netG.safetensors", arrays)
    graph, state = nnx.split(open_generator(tmp_path / "netG.safetensors", kind="dcgan"))
    ours = jax.jit(jax.grad(lambda z: jnp.mean(nnx.merge(graph, state)(z) ** 2)))(sample())
    z = torch.tensor(sample(), requires_grad=True)
    images = their_generator(torch, arrays)(z[:, :, None, None]) / 2 + 0.5
    (images**2).mean().backward()
    np.testing.assert_allclose(ours, z.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_halving_averages_blocks_of_four_pixels(tmp_path):
    arrays = reference_arrays(image_size=64)
    path = tmp_path / "netG.safetensors"
    write_safetensors(path, arrays)
    whole = np.asarray(open_generator(path, kind="dcgan")(sample()))
    half = open_generator(path, kind="dcgan", config={"output_size": 32})(sample())
    blocks = whole.reshape(5, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    assert np.abs(np.asarray(half) - blocks).max() < TOLERANCE


@pytest.mark.parametrize(
    "shape",
    [
        {"image_size": 64, "latent_dim": 7, "width": 4, "channels": 3},
        {"image_size": 32, "latent_dim": 10, "width": 3, "channels": 1},
        {"image_size": 8, "latent_dim": 2, "width": 5, "channels": 4},
    ],
)
def test_the_configuration_is_inferred_from_shapes(tmp_path, shape):
    write_safetensors(tmp_path / "netG.safetensors", reference_arrays(**shape))
    generator = open_generator(tmp_path / "netG.safetensors", kind="dcgan")
    assert generator.config == {**shape, "output_size": None}
    assert generator.latent_shape == (shape["latent_dim"],)
    assert generator(sample(latent_dim=shape["latent_dim"])).shape == (5, *generator.image_shape)


def test_a_reference_checkpoint_saved_as_ours_is_the_same_map(tmp_path):
    write_safetensors(tmp_path / "netG.safetensors", reference_arrays(image_size=32))
    first = open_generator(tmp_path / "netG.safetensors", kind="dcgan")
    save_generator(tmp_path / "ours", first, dtype=np.float32)
    again = open_generator(tmp_path / "ours")
    assert (np.asarray(first(sample())) == np.asarray(again(sample()))).all()


def test_names_that_dataparallel_lengthened_make_the_same_generator(tmp_path):
    arrays = reference_arrays(image_size=64)
    write_safetensors(tmp_path / "netG.safetensors", arrays)
    inside = {f"module.{name}": array for name, array in arrays.items()}
    write_safetensors(tmp_path / "inside.safetensors", inside)
    first = open_generator(tmp_path / "netG.safetensors", kind="dcgan")
    second = open_generator(tmp_path / "inside.safetensors", kind="dcgan")
    assert second.config == first.config
    assert fingerprint(second) == fingerprint(first)


def test_an_opened_generator_treats_each_latent_by_itself(tmp_path):
    write_safetensors(tmp_path / "netG.safetensors", reference_arrays(image_size=32))
    generator = open_generator(tmp_path / "netG.safetensors", kind="dcgan")
    together, alone = generator(sample()), generator(sample()[3:4])
    np.testing.assert_allclose(together[3], alone[0], atol=1e-6)


def without(arrays, name):
    return {key: value for key, value in arrays.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: without(a, "main.1.running_mean"), r"missing \['stages\.0\.norm\.mean'\]"),
        (lambda a: without(a, "main.6.weight"), "unexpected array 'main."),
        (lambda a: a | {"extra": np.zeros(3, "f4")}, r"unexpected array 'extra' of shape \(3,\)"),
        (lambda a: a | {"main.4.bias": np.zeros(9, "f4")}, r"stages\.1\.norm\.bias is \(9,\)"),
        (
            lambda a: a | {"main.3.weight": np.zeros((3, 3, 4, 4), "f4")},
            r"stages\.1\.conv\.kernel is \(4, 4, 3, 3\), dcgan has \(4, 4, 16, 8\)",
        ),
        (
            lambda a: a | {"main.1.weight": np.full(16, np.nan, "f4")},
            r"stages\.0\.norm\.scale holds NaN or infinity; the file is damaged",
        ),
        (lambda a: {"x": np.zeros(3, "f4")}, "no DCGAN generator: it has no main.0.weight"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(tmp_path, change, message):
    path = tmp_path / "netG.safetensors"
    write_safetensors(path, change(reference_arrays(image_size=32)))
    with pytest.raises(CheckpointError, match=message) as caught:
        open_generator(path, kind="dcgan")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("output_size", [0, -1, 32.0, "32"])
def test_a_wrong_output_size_is_refused(output_size):
    with pytest.raises(ValueError, match="output_size must be at least 1, or None, not "):
        DCGAN(image_size=8, output_size=output_size, rngs=nnx.Rngs(0))
