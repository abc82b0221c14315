"""LatentTracer's recipe in PyTorch is on our autoencoder's weights, and tells what it should."""

import importlib

import jax
import numpy as np
import pytest
from flax import nnx

from benchmarks.latent_peers import autoencoder_subject, latent_rows
from jax_origin.calibration import Calibration
from jax_origin.generators import DCGAN
from jax_origin.images import as_float
from jax_origin.zoo import calibration_path, load_generator

pytestmark = pytest.mark.outer
torch = pytest.importorskip("torch")

peers = importlib.import_module("benchmarks.torch_autoencoders")
NAMES = ("autoencoder-kl-cifar10", "autoencoder-kl-cifar10-b")


@pytest.fixture(scope="module")
def subject():
    generators = {name: load_generator(name) for name in NAMES}
    calibration = Calibration.load(calibration_path(NAMES[0], "origin-latent"))
    return autoencoder_subject(NAMES[0], generators, calibration, num=8, photographs=None)


def test_diffusers_has_the_same_network(subject):
    images = as_float(subject.own)
    generator = subject.generator
    model = peers.diffusers_autoencoder(generator)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    channels_first = torch.tensor(images).permute(0, 3, 1, 2)
    means = model.encode(2 * channels_first - 1).latent_dist.mean
    made = model.decode(means).sample.permute(0, 2, 3, 1).numpy() / 2 + 0.5
    ours = jax.jit(lambda images: generator(generator.encode(images)))(images)
    assert made.std() > 0.1
    np.testing.assert_allclose(made, ours, atol=1e-4)


def test_other_generators_are_refused():
    other = DCGAN(image_size=8, latent_dim=4, width=4, rngs=nnx.Rngs(0))
    with pytest.raises(TypeError, match="no PyTorch counterpart of DCGAN"):
        peers.make_peer(other)


def test_the_descent_keeps_the_lowest_loss(subject):
    peer = peers.make_peer(subject.generator)
    few, more = (peer.invert(subject.own, steps=n, batch=3, seed=0) for n in (1, 12))
    assert few.sizes == [3, 1]
    assert (more.losses <= few.losses).all() and more.losses.max() < 0.5 * few.losses.max()


def test_rows_hold_both_sides(subject):
    assert [len(images) for images in subject.foreign.values()] == [2, 2]
    rows = list(latent_rows(subject, peers.make_peer(subject.generator), num=8))
    assert [row["name"] for row in rows[:2]] == ["vs_latent_tracer", "vs_batched_latent_tracer"]
    assert [row["repeats"] for row in rows] == [8, 1, 8, 1]
    for row in rows:
        assert row["accuracy"]["ours"]["auc"] == 1.0
        assert 0 <= row["accuracy"]["reference"]["auc"] <= 1
        assert row["ratio"] > 0 and row["images"] == 8
