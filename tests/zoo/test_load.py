"""One's own generators, by the name of a module and what is in it."""

import jax
import numpy as np
import pytest

from jax_origin.checkpoints import CheckpointError
from jax_origin.generators import PackedLatents, fingerprint, sample_latents
from jax_origin.zoo import load_generator

OWN = """
import jax
import jax.numpy as jnp
from flax import nnx
from jax_origin.generators import FunctionGenerator

class Own(nnx.Module):
    latent_shape, image_shape = (4,), (2, 2, 3)

    def __init__(self, scale=1.0):
        rngs = nnx.Rngs(0)
        self.scale = scale
        self.linear = nnx.Linear(4, 12, rngs=rngs)
        self.norm = nnx.BatchNorm(12, rngs=rngs)

    def __call__(self, z):
        return nnx.sigmoid(self.scale * self.norm(self.linear(z))).reshape(-1, 2, 2, 3)

def make(kind="plain", **options):
    model = Own(**options)
    model.name = f"mine-{kind}"
    return model

def labelled():
    def fn(params, latents):
        return jax.nn.sigmoid(jnp.tile(latents["z"] + latents["y"], (1, 6))).reshape(-1, 2, 2, 3)
    shapes = {"latent_shape": {"z": (2,), "y": (2,)}, "image_shape": (2, 2, 3)}
    return FunctionGenerator(fn, (), **shapes)

ready = Own()

def number():
    return 3

def fails():
    raise RuntimeError("two\\nlines")

def tanh():
    fn = lambda params, z: jnp.tanh(jnp.tile(z, (1, 3))).reshape(-1, 2, 2, 3)
    return FunctionGenerator(fn, (), latent_shape=(4,), image_shape=(2, 2, 3))
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the current directory, of a name that no other test imports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("elsewhere")  # Puts the path back afterwards.
    name = f"own_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    (tmp_path / f"{name}_broken.py").write_text("import numpy.nothing_like_it")
    (tmp_path / f"{name}_raises.py").write_text("1 / 0")
    return name


def test_a_class_is_made_named_and_in_evaluation_mode(module):
    generator = load_generator(f"{module}:Own")
    assert generator.name == "Own"
    z = sample_latents(generator, jax.random.key(0), 5)
    np.testing.assert_allclose(generator(z)[:1], generator(z[:1]), atol=1e-6)
    assert generator.norm.use_running_average
    other = load_generator(f"{module}:Own", config={"scale": 0.5})
    assert fingerprint(other) != fingerprint(generator)
    assert fingerprint(load_generator(f"{module}:ready")) == fingerprint(generator)


def test_a_factory_gets_kind_and_config_and_keeps_its_name(module):
    generator = load_generator(f"{module}:make", kind="b", config={"scale": 2.0})
    assert (generator.name, generator.scale) == ("mine-b", 2.0)
    labelled = load_generator(f"{module}:labelled")
    assert isinstance(labelled, PackedLatents)
    assert labelled.latent_shape == (4,)


@pytest.mark.parametrize(
    ("rest", "options", "message"),
    [
        (".deeper:make", {}, r"no module \S+ on Python's path or in "),
        ("_no:make", {}, r"no module \S+_no on Python's path or in "),
        ("_broken:make", {}, r"imports numpy.nothing_like_it, not found"),
        ("_raises:make", {}, r"importing \S+ raised ZeroDivisionError: division by zero"),
        (":Onw", {}, r"has no Onw; did you mean 'Own'\?"),
        (":fails", {}, "fails raised RuntimeError: two lines"),
        (":make", {"config": {"sccale": 1}}, "make raised TypeError: .*sccale"),
        (":number", {}, "number returned int, no generator: return an nnx.Module"),
        (":tanh", {}, r"\[-1, 1\], as after tanh"),
    ],
)
def test_what_does_not_load_is_said_in_one_line(module, rest, options, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        load_generator(f"{module}{rest}", **options)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(CheckpointError, match=r"the zoo has .*package.module:factory"):
        load_generator("dcgan-cifar1")
