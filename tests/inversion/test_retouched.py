"""What was done to colours and sharpness, as numbers beside a latent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import ndimage

from jax_origin.generators import DCGAN
from jax_origin.inversion.retouched import (
    Retouched,
    Retouching,
    num_parameters,
    retouching_of,
)


@pytest.mark.parametrize("channels", [1, 3])
def test_no_numbers_leave_an_image_as_it_is(channels):
    images = np.random.default_rng(0).uniform(0.02, 1, (2, 6, 5, channels)).astype(np.float32)
    done = Retouching.of(jnp.zeros((2, num_parameters(channels))), channels)
    np.testing.assert_allclose(done(images), images, atol=1e-6)


def test_each_number_does_what_it_is_called():
    images = np.random.default_rng(1).uniform(0.1, 0.9, (1, 9, 9, 3)).astype(np.float32)
    rest = {"gain": np.ones((1, 3)), "offset": np.zeros((1, 3)), "gamma": np.ones(1)}
    rest |= {"saturation": np.ones(1), "sharpened": np.zeros((1, 4))}

    def done(**changes):
        return np.asarray(Retouching(**rest | changes)(images))

    gain = np.array([[1.2, 0.9, 0.8]])
    np.testing.assert_allclose(done(gain=gain), images * gain[0], rtol=1e-5)
    offset = np.array([[0.1, 0.0, -0.1]])
    np.testing.assert_allclose(done(offset=offset), images + offset[0], atol=1e-5)
    np.testing.assert_allclose(done(gamma=np.array([1.5])), images**1.5, rtol=1e-5)
    grey = done(saturation=np.zeros(1))
    np.testing.assert_allclose(np.ptp(grey, axis=-1), 0, atol=1e-6)
    blurred = done(sharpened=np.array([[0.0, 0.0, -1.0, 0.0]]))
    wanted = ndimage.gaussian_filter(images, (0, 1, 1, 0), mode="reflect")
    np.testing.assert_allclose(blurred, wanted, atol=1e-5)
    beside = done(sharpened=np.array([[-1.0, 0.0, 0.0, 0.0]]))[0, 4, 4]
    around = images[0, [3, 5, 4, 4], [4, 4, 3, 5]].mean(axis=0)
    np.testing.assert_allclose(beside, around, rtol=1e-5)


def test_numbers_follow_the_latent():
    generator = DCGAN(image_size=8, latent_dim=4, width=4, rngs=nnx.Rngs(0))
    retouched = Retouched(generator)
    assert retouched.latent_shape == (4 + num_parameters(3),)
    latents = retouched.sample_latents(jax.random.key(0), 3)
    assert latents.shape == (3, *retouched.latent_shape)
    plain = latents.at[:, 4:].set(0.0)
    np.testing.assert_allclose(retouched(plain), generator(latents[:, :4]), atol=1e-2)
    brighter = plain.at[:, 4:7].set(5.0)
    assert (retouched(brighter) >= retouched(plain)).all()
    words = retouching_of(generator, np.asarray(brighter[0])).words
    assert words.startswith("red \N{MULTIPLICATION SIGN}1.70 +0, green") and "gamma 1.00" in words


def test_what_cannot_be_seen_is_not_said():
    generator = DCGAN(image_size=8, latent_dim=4, width=4, rngs=nnx.Rngs(0))
    latent = np.zeros(4 + num_parameters(3), np.float32)
    assert not retouching_of(generator, latent).matters
    for place in (4, 7, 10, 12, 15):  # A gain, an offset, gamma, an amount of blur, saturation.
        changed = latent.copy()
        changed[place] = 1.0
        assert retouching_of(generator, changed).matters
