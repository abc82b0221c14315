"""Any generator, prepared for inversion: what is changed, what is refused, what its hash covers."""

import gc
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_origin.generators import (
    FunctionGenerator,
    PackedLatents,
    contract,
    fingerprint,
    generator_name,
    inspected,
    sample_latents,
)

SHAPE = (2, 3, 3)


class Trained(nnx.Module):
    """A user's own module, as training leaves it."""

    latent_shape, image_shape = (4,), SHAPE

    def __init__(self, *, options=None, sizes=()):
        rngs = nnx.Rngs(0)
        self.linear = nnx.Linear(4, 18, rngs=rngs)
        self.norm = nnx.BatchNorm(18, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.options = options or {}
        self.sizes = sizes

    def __call__(self, latents):
        x = self.dropout(self.norm(self.linear(latents)))
        return nnx.sigmoid(x).reshape(-1, *SHAPE)


class Labelled(nnx.Module):
    """A conditional generator: a label beside z."""

    image_shape = SHAPE

    def __init__(self):
        self.weight = nnx.Param(jax.random.normal(jax.random.key(0), (4, 3, 18)))

    @property
    def latent_shape(self):
        return {"z": (4,), "label": (3,)}

    def sample_latents(self, key, num):
        draw, choose = jax.random.split(key)
        label = jax.nn.one_hot(jax.random.randint(choose, (num,), 0, 3), 3)
        return {"z": jax.random.normal(draw, (num, 4)), "label": label}

    def encode(self, images):
        n = len(images)
        return {"z": jnp.zeros((n, 4)), "label": jnp.full((n, 3), 1 / 3)}

    def __call__(self, latents):
        flat = jnp.einsum("nz,nl,zlp->np", latents["z"], latents["label"], self.weight[...])
        return nnx.sigmoid(flat).reshape(-1, *SHAPE)


def function(fn, latent_shape=(4,), shape=SHAPE, **options):
    return FunctionGenerator(
        lambda params, z: fn(z), (), latent_shape=latent_shape, image_shape=shape, **options
    )


def plain(z):
    pixels = jnp.tile(z.reshape(len(z), -1), (1, 18))[:, :18]
    return jax.nn.sigmoid(pixels).reshape(-1, *SHAPE)


def test_a_generator_of_ours_is_returned_as_it_is(generator):
    assert inspected(generator) is generator


def test_a_module_in_training_mode_is_copied_into_evaluation_mode():
    module = Trained(options={"mode": "a", "sizes": [1, 2]}, sizes=[3, 4])
    before = np.asarray(module.norm.mean[...])
    prepared = inspected(module)
    z = sample_latents(prepared, jax.random.key(1), 3)
    images = jax.jit(lambda z: prepared(z))(z)
    np.testing.assert_allclose(images[:1], prepared(z[:1]), atol=1e-6)  # no batch statistics
    hash(nnx.split(prepared)[0])  # Compiled programs are kept by it, whatever settings it holds.
    jax.grad(lambda z: prepared(z).sum())(z)
    assert not module.norm.use_running_average and not module.dropout.deterministic
    np.testing.assert_array_equal(module.norm.mean[...], before)
    assert fingerprint(module) == fingerprint(prepared)


def test_a_module_in_evaluation_mode_stays_the_object_it_is():
    module = function(plain)
    assert inspected(module) is module
    assert hash(nnx.split(module)[0]) is not None


def test_what_was_checked_is_not_checked_again(monkeypatch):
    calls = []
    check = contract._check
    monkeypatch.setattr(contract, "_check", lambda module: calls.append(check(module)))
    module = Trained()
    prepared = inspected(module)
    assert inspected(module) is prepared is inspected(prepared)
    assert len(calls) == 1
    module.linear.bias[...] = jnp.ones(18)  # Other weights: the copy would be of the old ones.
    again = inspected(module)
    assert again is not prepared and len(calls) == 2
    assert (again.linear.bias[...] == 1).all()
    known = len(contract._PREPARED)
    del module, prepared, again
    gc.collect()
    assert len(contract._PREPARED) < known


def test_latents_of_a_pytree_become_one_vector():
    packed = inspected(Labelled())
    assert isinstance(packed, PackedLatents)
    assert inspected(packed) is packed
    assert (packed.latent_shape, packed.image_shape) == ((7,), SHAPE)
    assert (generator_name(packed), packed.default_method) == ("Labelled", "origin")
    latents = sample_latents(packed, jax.random.key(0), 5)
    assert latents.shape == (5, 7) and latents.dtype == jnp.float32
    apart = packed.unpack(latents)
    assert (apart["label"].sum(1) == 1).all()  # one-hot
    np.testing.assert_array_equal(packed.pack(apart), latents)
    np.testing.assert_allclose(packed(latents), Labelled()(apart), atol=1e-6)
    assert packed.encode(jnp.zeros((2, *SHAPE))).shape == (2, 7)
    assert not hasattr(packed, "undo")
    assert fingerprint(packed) == fingerprint(Labelled())


def test_a_functions_pytree_is_packed_and_undone():
    generator = function(
        lambda latents: plain(latents[0] + latents[1].mean((1, 2))[:, None]),
        latent_shape=((4,), (2, 2)),
        undo=lambda params, images, noise: (noise[0] + 1, noise[1] - 1),
    )
    packed = inspected(generator)
    assert packed.latent_shape == (8,)
    undone = packed.undo(jnp.zeros((3, *SHAPE)), jnp.zeros((3, 8)))
    np.testing.assert_array_equal(undone, [[1] * 4 + [-1] * 4] * 3)
    with pytest.raises(ValueError, match=r"gives latents of shapes"):
        packed.pack((jnp.zeros((1, 4)), jnp.zeros((1, 3))))


def tanh(z):
    return 2 * plain(z) - 1


def noisy(rngs):
    class Noisy(nnx.Module):
        latent_shape, image_shape = (4,), SHAPE

        def __init__(self):
            self.rngs = rngs

        def __call__(self, z):
            return plain(z + self.rngs.normal(z.shape))

    return Noisy()


class Shapeless(nnx.Module):
    latent_shape = (4,)

    def __call__(self, z):
        return plain(z)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: function(lambda z: jnp.moveaxis(plain(z), -1, 1)), r"\[N, C, H, W\]; return \[N"),
        (lambda: function(lambda z: plain(z)[:, :1]), r"shape \(2, 1, 3, 3\); its image_shape"),
        (lambda: function(tanh), r"\[-1, 1\], as after tanh: return \(x \+ 1\) / 2"),
        (lambda: function(lambda z: 255 * plain(z)), r"\[0, 255\]: return x / 255"),
        (lambda: function(lambda z: 9 * tanh(z)), r"images lie in \[-.*: bring them to \[0, 1\]"),
        (lambda: function(lambda z: plain(z) + jnp.nan), "NaN or infinite pixels"),
        (lambda: function(lambda z: (plain(z),)), "returns tuple: return images"),
        (lambda: function(plain, shape=(2, 3)), r"image_shape \(2, 3\): it must be \(H, W, C\)"),
        (lambda: function(plain, prior=lambda p, k, n: jnp.zeros((n, 5))), "draws 2 latents"),
        (lambda: noisy(nnx.Rngs(0)), "changes its own variables"),
        (Shapeless, "Shapeless has no image_shape: give it"),
    ],
)
def test_what_breaks_the_contract_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        inspected(make())
    assert "\n" not in str(caught.value)


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"is no nnx.Module: wrap its function"):
        inspected(plain)


def test_a_little_outside_of_the_range_is_no_error():
    inspected(function(lambda z: 1.1 * plain(z) - 0.05))


def of_class(call, prior=None):
    """A class of one name whose call or prior differs."""

    class Mine(nnx.Module):
        latent_shape, image_shape = (4,), SHAPE

        def __call__(self, z):
            return call(z)

    if prior is not None:
        Mine.sample_latents = lambda self, key, num: prior(key, num)
    return Mine()


CALLS = {
    "brighter": lambda z: plain(z) ** 0.9,
    "flipped": lambda z: plain(z)[:, ::-1],
    "mirrored": lambda z: plain(z)[:, :, ::-1],
    "other channels": lambda z: plain(z)[..., ::-1],
    "other latents": lambda z: plain(z[:, ::-1]),
    "darker": lambda z: 0.97 * plain(z),
}
PRIORS = {
    "none": None,
    "normal": lambda key, num: jax.random.normal(key, (num, 4)),
    "wider": lambda key, num: 1.05 * jax.random.normal(key, (num, 4)),
    "shifted": lambda key, num: jax.random.normal(key, (num, 4)) + 0.05,
    "uniform": lambda key, num: jax.random.uniform(key, (num, 4)),
}


def test_a_fingerprint_covers_what_the_call_computes():
    found = {fingerprint(of_class(call)) for call in (plain, *CALLS.values())}
    assert len(found) == 1 + len(CALLS)
    assert fingerprint(of_class(plain)) == fingerprint(of_class(lambda z: plain(z)))


def with_params(prior):
    return prior and (lambda params, key, num: prior(key, num))


def test_a_fingerprint_covers_the_prior():
    assert len({fingerprint(of_class(plain, prior)) for prior in PRIORS.values()}) == len(PRIORS)
    given = [fingerprint(function(plain, name="p", prior=with_params(p))) for p in PRIORS.values()]
    assert len(set(given)) == len(PRIORS)


def test_a_fingerprint_does_not_cover_rounding_errors():
    first = fingerprint(of_class(plain))
    for error in (1e-7, -1e-6, 1e-5):
        assert fingerprint(of_class(lambda z: plain(z) + error)) == first  # noqa: B023


def test_a_name_does_not_count_for_a_module():
    module = Labelled()
    before = fingerprint(module)
    module.name = "of tuesday"
    assert fingerprint(module) == before


@pytest.mark.outer
def test_the_fingerprint_of_packed_latents_is_the_same_in_another_process(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import jax, jax.numpy as jnp, numpy as np\n"
        "from jax_origin.generators import FunctionGenerator\n"
        "def image(params, z):\n"
        "    x = jax.nn.sigmoid(jnp.tile(z['a'] @ params, (1, 9)))\n"
        "    return jax.image.resize(x.reshape(-1, 3, 3, 3), (len(x), 12, 12, 3), 'cubic')\n"
        "def make():\n"
        "    weight = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)\n"
        "    shapes = {'latent_shape': {'a': (4,)}, 'image_shape': (12, 12, 3)}\n"
        "    prior = lambda params, key, num: {'a': jax.random.uniform(key, (num, 4))}\n"
        "    return FunctionGenerator(image, weight, prior=prior, **shapes)\n"
    )
    code = "import mine, jax_origin.generators as g; print(g.fingerprint(mine.make()))"
    path = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
    eager = "import jax; jax.config.update('jax_disable_jit', True); "
    found = [
        subprocess.run(
            [sys.executable, "-c", path + setup + code], check=True, capture_output=True, text=True
        ).stdout
        for setup in ("", eager)
    ]
    assert found[0] == found[1] and len(found[0].strip()) == 64
