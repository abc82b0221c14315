"""Images that an autoencoder makes of others: their encodings, perturbed and decoded."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

AMOUNT = 0.2
"""How strong the perturbation is, unless it is said; see `reencoded`."""

_PIXELS = 8 * 64 * 64 * 3  # as many numbers of images are encoded and decoded at a time


def reencoded(
    generator: Any,
    images: NDArray[np.float32],
    *,
    key: jax.Array,
    places: Sequence[int] | None = None,
    amount: float = AMOUNT,
    precisions: Sequence[str] = ("float32",),
) -> NDArray[np.float32]:
    """What a generator with an encoder makes of images, their latents perturbed.

    Args:
      generator: A generator with `encode`, images to latents [N, h, w, C].
      images: float32 [N, H, W, C] in [0, 1], of the generator's shape.
      key: A JAX key.
      places: A number for each image, which its noise depends on; 0 to N-1 without it.
      amount: Normal noise is added, of this many times the deviation that a channel has over the
        latents of its image.
      precisions: Dtypes of the decoder's arithmetic, to which images take turns by their places.
        As in diffusers, a pixel is rounded to that dtype too.

    Returns:
      float32 [N, H, W, C].
    """

    @jax.jit
    def remade(images: jax.Array, places: jax.Array) -> jax.Array:
        latents = generator.encode(images)
        keys = jax.vmap(lambda place: jax.random.fold_in(key, place))(places)
        noise = jax.vmap(lambda key: jax.random.normal(key, latents.shape[1:]))(keys)
        spread = jnp.std(latents, axis=(1, 2), keepdims=True)
        shown = latents + amount * spread * noise
        made = jnp.stack([_decoded(generator, shown, dtype) for dtype in precisions])
        return made[places % len(precisions), jnp.arange(len(places))]

    numbers = jnp.arange(len(images)) if places is None else jnp.asarray(places)
    block = max(1, _PIXELS // images[0].size)
    blocks = [
        np.asarray(remade(images[i : i + block], numbers[i : i + block]))
        for i in range(0, len(images), block)
    ]
    return np.concatenate(blocks)


def _decoded(generator: Any, latents: jax.Array, dtype: str) -> jax.Array:
    """A generator's images where it computes in this dtype, float32."""
    if dtype != "float32":
        graph, state = nnx.split(generator)
        generator = nnx.merge(graph, jax.tree.map(lambda weights: _in(weights, dtype), state))
    return generator(latents.astype(dtype)).astype(dtype).astype(jnp.float32)


def _in(weights: jax.Array, dtype: str) -> jax.Array:
    return weights.astype(dtype) if weights.dtype == jnp.float32 else weights
