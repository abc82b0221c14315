"""Starting points: where the lanes of an image begin."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jax_origin.generators import GeneratorLike, sample_latents

Encode = Callable[[jax.Array], jax.Array]


def starting_points(
    generator: GeneratorLike,
    keys: jax.Array,
    images: jax.Array,
    *,
    start: str,
    scales: tuple[float, ...],
    encode: Encode | None = None,
) -> jax.Array:
    """The points at which the lanes of some images begin.

    Args:
      generator: The generator.
      keys: One key for each lane, [N, restarts].
      images: The images, [N, H, W, C].
      start: One of `STARTS`.
      scales: How far restart i lies from the centre, ``scales[i % len(scales)]`` times a sample of
        the prior.
      encode: The learned start: images [N, H, W, C] to latents [N, *latent_shape].

    Returns:
      float32 [N, restarts, *latent_shape].

    Raises:
      ValueError: If the start needs an encoder that is not there.
    """
    draw = jax.vmap(jax.vmap(lambda key: sample_latents(generator, key, 1)[0]))
    latents = draw(keys)
    if start == "prior":
        return latents
    if start == "undone":
        undo = getattr(generator, "undo", None)
        if undo is None:
            raise ValueError(
                f"start='undone': {type(generator).__name__} has no undo(images, noise)"
            )
        lanes = latents.reshape(-1, *latents.shape[2:])
        return undo(jnp.repeat(images, keys.shape[1], axis=0), lanes).reshape(latents.shape)
    factors = jnp.asarray([scales[i % len(scales)] for i in range(keys.shape[1])])
    around = latents * factors.reshape(1, -1, *(1,) * (latents.ndim - 2))
    if start == "scaled":
        return around
    if start == "encoder":
        encode = getattr(generator, "encode", None)
        if encode is None:
            raise ValueError(f"start='encoder': {type(generator).__name__} has no encode(images)")
    elif encode is None:
        raise ValueError(
            "start='learned' needs the encoder: pass learned=learn_start(generator, key=...)"
        )
    return encode(images)[:, None] + around


def hop_directions(generator: GeneratorLike, keys: jax.Array, num: int) -> jax.Array:
    """Where the lanes of some images hop: draws of mean 0, spread as the prior is.

    Args:
      generator: The generator.
      keys: One key for each lane, [N, restarts].
      num: How often each lane hops.

    Returns:
      float32 [N, restarts, num, *latent_shape]: differences of two samples, over the root of 2.
    """

    def of_lane(key: jax.Array) -> jax.Array:
        pairs = sample_latents(generator, jax.random.fold_in(key, 1), 2 * num)
        return (pairs[:num] - pairs[num:]) / jnp.sqrt(2.0)

    if num == 0:
        return jnp.zeros((*keys.shape, 0, *generator.latent_shape))
    return jax.vmap(jax.vmap(of_lane))(keys).astype(jnp.float32)


STARTS = {
    "prior": "a sample of the prior for each lane, as RONAN starts",
    "scaled": "samples of the prior, drawn in towards its mean at 0",
    "encoder": "around the generator's own encoding of the image",
    "undone": "draws of the latents that lead to the image, by the generator's own undo",
    "learned": "around the encoding by an encoder that was trained on the generator's own images",
}
"""Kinds of starting points. From near the prior's mean a descent meets smoother images first, and
gets stuck less often than from a sample of it; several scales make a ladder."""
