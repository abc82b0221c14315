"""Starting points: where the lanes of an image begin."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jax_origin.generators import GeneratorLike, sample_latents

Start = Callable[[GeneratorLike, jax.Array, jax.Array, tuple[float, ...]], jax.Array]


def prior(
    generator: GeneratorLike, keys: jax.Array, images: jax.Array, scales: tuple[float, ...]
) -> jax.Array:
    """A sample of the prior for each lane, as RONAN starts.

    Args:
      generator: The generator.
      keys: One key for each lane, [N, restarts].
      images: The images, [N, H, W, C].
      scales: Not used here.

    Returns:
      float32 [N, restarts, *latent_shape].
    """
    del images, scales
    draw = jax.vmap(jax.vmap(lambda key: sample_latents(generator, key, 1)[0]))
    return draw(keys)


def scaled(
    generator: GeneratorLike, keys: jax.Array, images: jax.Array, scales: tuple[float, ...]
) -> jax.Array:
    """Samples of the prior, drawn in towards its mean at 0: restart i by ``scales[i % len]``.

    From near the mean the descent meets smoother images first, and gets stuck less often; one
    small scale for all restarts starts near the mean, several make a ladder.
    """
    factors = jnp.asarray([scales[i % len(scales)] for i in range(keys.shape[1])])
    latents = prior(generator, keys, images, scales)
    return latents * factors.reshape(1, -1, *(1,) * (latents.ndim - 2))


def encoder(
    generator: GeneratorLike, keys: jax.Array, images: jax.Array, scales: tuple[float, ...]
) -> jax.Array:
    """The generator's own encoding of the image, the same for each restart.

    Raises:
      ValueError: If the generator has no `encode`.
    """
    del scales
    if not hasattr(generator, "encode"):
        raise ValueError(f"start='encoder': {type(generator).__name__} has no encode(images)")
    latents = generator.encode(images)
    shape = (images.shape[0], keys.shape[1], *generator.latent_shape)
    return jnp.broadcast_to(latents[:, None], shape)


STARTS: dict[str, Start] = {"prior": prior, "scaled": scaled, "encoder": encoder}
"""Kinds of starting points by name."""
