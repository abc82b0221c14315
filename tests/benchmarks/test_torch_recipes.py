"""The published recipe in PyTorch is the same networks and the same descent as ours."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jax_origin.distances import L2
from jax_origin.generators import DCGAN, VAE, FunctionGenerator
from jax_origin.workflow import belonging_images
from jax_origin.zoo import load_generator

pytestmark = pytest.mark.outer
torch = pytest.importorskip("torch")

recipes = importlib.import_module("benchmarks.torch_recipes")


def tiny_vae():
    """A VAE of 8x8 images whose norms' statistics are far from 0 and 1."""
    vae = VAE(image_size=8, latent_dim=5, width=4, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    for stage in vae.decoder:
        for name, low in (("mean", -0.5), ("bias", -0.5), ("scale", 0.5), ("var", 0.5)):
            part = getattr(stage.norm, name)
            part[...] = jnp.asarray(rng.uniform(low, low + 1, part.shape), jnp.float32)
        stage.conv.kernel[...] *= 10
    vae.project.bias[...] = jnp.asarray(rng.normal(size=vae.project.bias.shape), jnp.float32)
    vae.eval()
    return vae


def resized_dcgan():
    model = DCGAN(image_size=16, latent_dim=6, width=4, output_size=8, rngs=nnx.Rngs(1))
    state = nnx.state(model, nnx.Param)
    nnx.update(model, jax.tree.map(lambda w: 20 * w if w.ndim == 4 else w, state))
    model.eval()
    return model


MODELS = {
    "dcgan": lambda: load_generator("dcgan-cifar10"),
    "vae": lambda: load_generator("vae-cifar10"),
    "tiny vae": tiny_vae,
    "resized dcgan": resized_dcgan,
}


@pytest.mark.parametrize("name", MODELS)
def test_both_make_the_same_images(name):
    generator = MODELS[name]()
    latents = np.array(jax.random.normal(jax.random.key(0), (3, *generator.latent_shape)))
    theirs = recipes.torch_generator(generator)(torch.tensor(latents)).permute(0, 2, 3, 1).numpy()
    ours = np.asarray(generator(latents))
    assert theirs.shape == ours.shape
    assert ours.std() > 0.02
    np.testing.assert_allclose(theirs, ours, atol=1e-5, rtol=0)


def test_weights_are_frozen_and_nothing_trains():
    model = recipes.torch_generator(tiny_vae())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())


def test_other_generators_are_refused():
    other = FunctionGenerator(lambda p, z: z, (), latent_shape=(1,), image_shape=(8, 8, 3))
    with pytest.raises(TypeError, match="no PyTorch counterpart of FunctionGenerator"):
        recipes.torch_generator(other)


def test_the_descent_is_adam_at_a_tenth_on_the_squared_error():
    generator, steps = tiny_vae(), 25
    images = np.random.default_rng(0).random((4, 8, 8, 3), dtype=np.float32)
    latents = jax.random.normal(jax.random.key(1), (4, 5))
    targets = torch.tensor(images).permute(0, 3, 1, 2)
    theirs = recipes.TorchRecipes(generator).descend(
        targets, torch.tensor(np.array(latents)), steps
    )
    optimizer = optax.adam(0.1)
    state, lowest = optimizer.init(latents), np.full(4, np.inf)

    @jax.jit
    def step(latents, state):
        def total(latents):
            losses = L2().l2(generator(latents), images)
            return jnp.sum(losses), losses

        grads, losses = jax.grad(total, has_aux=True)(latents)
        updates, state = optimizer.update(grads, state)
        return latents + updates, state, losses

    for _ in range(steps):
        latents, state, losses = step(latents, state)
        lowest = np.minimum(lowest, losses)
    np.testing.assert_allclose(theirs.numpy(), lowest, rtol=1e-3)


def test_lowest_losses_are_kept_and_own_images_come_nearer_than_noise():
    generator = tiny_vae()
    own = belonging_images(generator, 5, key=jax.random.key(3))
    noise = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    images = np.concatenate([own, noise])
    peer = recipes.TorchRecipes(generator)
    runs = [peer.invert(images, steps=n, batch=4, seed=0) for n in (5, 60)]
    assert runs[0].sizes == [4, 4, 2] and len(runs[0].seconds) == 3
    assert min(runs[0].seconds) > 0
    assert (runs[1].losses <= runs[0].losses).all()  # Same starts, more steps.
    assert np.median(runs[1].losses[:5]) < 0.2 * runs[1].losses[5:].min()
    assert runs[0].per_image(5)[2] == pytest.approx(300 * runs[0].seconds[2] / 2)
    assert "threads: " in peer.description


def test_the_number_of_threads_is_left_as_it_was():
    before = torch.get_num_threads()
    recipes.TorchRecipes(tiny_vae()).invert(
        np.zeros((1, 8, 8, 3), np.uint8), steps=1, batch=1, seed=0
    )
    assert torch.get_num_threads() == before
