import itertools

import numpy as np
import pytest

from jax_origin.checkpoints import CheckpointError, write_safetensors
from jax_origin.generators import open_generator

pytestmark = pytest.mark.outer

TOLERANCE = 1e-5
LATENT, WIDTH, CHANNELS, SIZE = 5, 4, 3, 16
SIZES = (CHANNELS, WIDTH, 2 * WIDTH)  # two stages between 16 px and the 4x4 grid
GRID = 16 * SIZES[-1]


def reference_arrays():
    """Weights by the reference's names, running statistics far from 0 and 1."""
    rng = np.random.default_rng(0)

    def norm(name, size):
        return {
            f"{name}.weight": rng.normal(1, 0.3, size),
            f"{name}.bias": rng.normal(0, 0.3, size),
            f"{name}.running_mean": rng.normal(0, 0.5, size),
            f"{name}.running_var": rng.uniform(0.4, 2.5, size),
        }

    arrays = {}
    for i, (ins, outs) in enumerate(itertools.pairwise(SIZES)):
        arrays[f"encoder.{3 * i}.weight"] = rng.normal(size=(outs, ins, 4, 4)) / np.sqrt(16 * ins)
        arrays |= norm(f"encoder.{3 * i + 1}", outs)
    for head in ("mean", "log_variance"):
        arrays[f"{head}.weight"] = rng.normal(size=(LATENT, GRID)) / np.sqrt(GRID)
        arrays[f"{head}.bias"] = rng.normal(size=LATENT)
    arrays["project.weight"] = rng.normal(size=(GRID, LATENT)) / np.sqrt(LATENT)
    arrays["project.bias"] = rng.normal(size=GRID)
    for i, (outs, ins) in enumerate(reversed(list(itertools.pairwise(SIZES)))):
        arrays |= norm(f"decoder.{3 * i}", ins)
        arrays[f"decoder.{3 * i + 2}.weight"] = rng.normal(size=(ins, outs, 4, 4)) / np.sqrt(ins)
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    tracked = {
        name.replace("running_var", "num_batches_tracked"): np.array(3, np.int64)
        for name in arrays
        if name.endswith("running_var")
    }
    return arrays | tracked


def their_vae(torch, arrays):
    """The network that the class describes in PyTorch's terms, in evaluation mode."""
    nn = torch.nn
    pairs = list(itertools.pairwise(SIZES))

    class Reference(nn.Module):
        def __init__(self):
            super().__init__()
            down, up = [], []
            for ins, outs in pairs:
                down += [nn.Conv2d(ins, outs, 4, 2, 1, bias=False), nn.BatchNorm2d(outs), nn.ReLU()]
            for outs, ins in reversed(pairs):
                convolution = nn.ConvTranspose2d(ins, outs, 4, 2, 1, bias=False)
                up += [nn.BatchNorm2d(ins), nn.ReLU(), convolution]
            self.encoder, self.decoder = nn.Sequential(*down), nn.Sequential(*up)
            self.mean, self.log_variance = nn.Linear(GRID, LATENT), nn.Linear(GRID, LATENT)
            self.project = nn.Linear(LATENT, GRID)

        def posterior(self, images):
            x = self.encoder(images).flatten(1)
            return self.mean(x), self.log_variance(x)

        def decode(self, latents):
            grid = self.project(latents).reshape(-1, SIZES[-1], 4, 4)
            return torch.sigmoid(self.decoder(grid))

    reference = Reference()
    reference.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
    return reference.eval()


def sample(*shape, seed=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) if len(shape) == 2 else rng.uniform(size=shape)


@pytest.fixture
def checkpoint(tmp_path):
    write_safetensors(tmp_path / "vae.safetensors", reference_arrays())
    return tmp_path / "vae.safetensors"


def test_the_decoder_makes_pytorchs_images(checkpoint):
    torch = pytest.importorskip("torch")
    latents = sample(6, LATENT).astype(np.float32)
    ours = np.asarray(open_generator(checkpoint, kind="vae")(latents))
    with torch.no_grad():
        theirs = their_vae(torch, reference_arrays()).decode(torch.tensor(latents))
    theirs = theirs.numpy().transpose(0, 2, 3, 1)
    assert ours.shape == theirs.shape == (6, SIZE, SIZE, CHANNELS)
    assert theirs.std() > 0.1
    error = np.abs(ours - theirs).max()
    assert error < TOLERANCE


def test_the_encoder_has_pytorchs_posterior(checkpoint):
    torch = pytest.importorskip("torch")
    images = sample(6, SIZE, SIZE, CHANNELS).astype(np.float32)
    generator = open_generator(checkpoint, kind="vae")
    with torch.no_grad():
        reference = their_vae(torch, reference_arrays())
        theirs = reference.posterior(torch.tensor(images.transpose(0, 3, 1, 2)))
    errors = []
    for mine, other in zip(generator.posterior(images), theirs, strict=True):
        assert mine.shape == tuple(other.shape) == (6, LATENT)
        errors.append(np.abs(np.asarray(mine) - other.numpy()).max())
    assert max(errors) < TOLERANCE
    assert (
        np.asarray(generator.encode(images)) == np.asarray(generator.posterior(images)[0])
    ).all()


def test_the_configuration_is_inferred_from_shapes(checkpoint):
    generator = open_generator(checkpoint, kind="vae")
    shape = {"image_size": SIZE, "latent_dim": LATENT, "width": WIDTH, "channels": CHANNELS}
    assert generator.config == shape
    assert generator.latent_shape == (LATENT,)
    assert generator.image_shape == (SIZE, SIZE, CHANNELS)
    assert generator(sample(2, LATENT)).shape == (2, SIZE, SIZE, CHANNELS)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("project.weight", None, "no VAE: it has no encoder.0.weight or no project.weight"),
        ("encoder.0.weight", None, "no VAE: it has no encoder.0.weight or no project.weight"),
        ("mean.bias", None, r"missing \['mean\.bias'\]"),
        ("decoder.9.weight", np.zeros(3), "unexpected array 'decoder.9.weight'"),
        ("mean.weight", np.zeros(()), r"'mean\.weight' has the wrong shape, \(\)"),
        ("mean.weight", np.zeros((LATENT, 31)), "'mean.weight' has the wrong shape"),
        ("project.bias", np.zeros(GRID - 1), "'project.bias' has the wrong shape"),
        ("encoder.1.running_var", np.array([1, np.inf, 1, 1]), "encoder.0.norm.var holds NaN or"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(tmp_path, name, array, message):
    arrays = reference_arrays()
    arrays[name] = array
    path = tmp_path / "vae.safetensors"
    write_safetensors(path, {key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(CheckpointError, match=message) as caught:
        open_generator(path, kind="vae")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
