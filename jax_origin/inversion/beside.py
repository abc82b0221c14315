"""Numbers beside a latent: what was done to the generator's images, found with it."""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from jax_origin.generators import GeneratorLike, generator_name, sample_latents


class Beside(nnx.Module):
    """A generator to whose images something was done, as numbers after the latent's say.

    A kind of it says what, in `__call__`.

    Args:
      generator: The generator.
      beside: How many numbers say what was done; all 0, or nearly so, for little.
    """

    def __init__(self, generator: GeneratorLike, beside: int) -> None:
        self.generator = generator
        self.name = generator_name(generator)
        self.image_shape = generator.image_shape
        self.inner_shape = tuple(generator.latent_shape)
        self.numbers = math.prod(self.inner_shape)
        self.latent_shape = (self.numbers + beside,)

    @property
    def innermost(self) -> GeneratorLike:
        """The generator to whose images something was done first."""
        inner = self.generator
        return inner.innermost if isinstance(inner, Beside) else inner

    def parts(self, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Of latents [N, numbers]: the generator's images, and what is beside its latents."""
        inner = latents[:, : self.numbers].reshape(-1, *self.inner_shape)
        return jnp.clip(self.generator(inner), 0.0, 1.0), latents[:, self.numbers :]

    def sample_latents(self, key: jax.Array, num: int) -> jax.Array:
        """The generator's own prior, and slight changes."""
        own, done = jax.random.split(key)
        inner = sample_latents(self.generator, own, num).reshape(num, -1)
        shape = (num, self.latent_shape[0] - self.numbers)
        return jnp.concatenate([inner, jax.random.normal(done, shape)], axis=1)
