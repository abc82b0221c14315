"""The engine: lanes, one (image, restart) pair each, run in fixed blocks by one jitted step."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jax_origin.distance import DISTANCES, OBJECTIVES, l2
from jax_origin.generators import GeneratorLike
from jax_origin.generators.blocks import clip_straight_through
from jax_origin.images import as_float, as_uint8, pixels_sha256
from jax_origin.inversion.settings import Descent, InversionConfig
from jax_origin.inversion.start import STARTS


class Inversion(NamedTuple):
    """What came out, for N images; NumPy arrays.

    Attributes:
      loss: Mean squared error of the reconstruction, float32 [N]; infinite where the generator
        gave no finite image.
      distance: The tracked distance, float32 [N]; the loss itself if that is "l2".
      latent: The best latent, float32 [N, *latent_shape].
      reconstruction: Its image, float32 [N, H, W, C] in [0, 1].
      restart: Which restart it came from, int [N].
      steps: Gradient evaluations that the image took, int [N].
    """

    loss: np.ndarray
    distance: np.ndarray
    latent: np.ndarray
    reconstruction: np.ndarray
    restart: np.ndarray
    steps: np.ndarray


def invert(
    generator: GeneratorLike,
    images: Any,
    config: InversionConfig | None = None,
    *,
    key: jax.Array,
    progress: Callable[[int], None] | None = None,
) -> Inversion:
    """Finds for each image the latent whose image is nearest to it.

    An image's random numbers come from the key and the image's own pixels, so the result does not
    depend on which other images are in the batch, or on their order.

    Args:
      generator: The generator; any ``nnx.Module`` that keeps the contract of
        `jax_origin.generators.Generator`, in evaluation mode.
      images: uint8, or float in [0, 1]; [N, H, W, C] of the generator's image shape.
      config: The recipe; `InversionConfig()` without it.
      key: A JAX key.
      progress: Called with the number of lane steps done since its last call.

    Returns:
      The best latent of each image, and how near it comes.

    Raises:
      ValueError: If the images are no such array, none, or not of the generator's shape; if the
        generator makes another shape than it says.
    """
    config = config or InversionConfig()
    pixels = as_float(images)
    if pixels.shape[1:] != tuple(generator.image_shape):
        raise ValueError(
            f"images are {pixels.shape[1:]} (H, W, C), the generator makes "
            f"{tuple(generator.image_shape)}; resize them, or choose another generator"
        )
    total = len(pixels)
    if total == 0:
        raise ValueError("there are no images to invert")
    lanes = _Lanes(generator, pixels, config, progress)
    image = np.repeat(np.arange(total), config.restarts)
    restart = np.tile(np.arange(config.restarts), total)
    distance, latent = lanes.descend(config.search, image, lanes.start(key))
    if config.polish is not None:
        order = np.argsort(distance.reshape(total, config.restarts), axis=1, kind="stable")
        chosen = order[:, : config.polish_lanes] + np.arange(total)[:, None] * config.restarts
        chosen = chosen.reshape(-1)
        polished, nearer = lanes.descend(config.polish, image[chosen], latent[chosen])
        better = polished < distance[chosen]
        distance[chosen[better]] = polished[better]
        latent[chosen[better]] = nearer[better]
    best = np.argmin(distance.reshape(total, config.restarts), axis=1)
    best = best + np.arange(total) * config.restarts
    reconstruction, loss = lanes.reconstruct(latent[best])
    finite = np.isfinite(distance[best])
    return Inversion(
        loss=distance[best] if config.distance == "l2" else np.where(finite, loss, np.inf),
        distance=distance[best],
        latent=latent[best],
        reconstruction=reconstruction,
        restart=restart[best],
        steps=np.full(total, config.steps),
    )


class _Lanes:
    """Runs any number of lanes through blocks of one size, so that nothing is compiled twice."""

    def __init__(
        self,
        generator: GeneratorLike,
        images: np.ndarray,
        config: InversionConfig,
        progress: Callable[[int], None] | None,
    ) -> None:
        graph, state = nnx.split(generator)
        self._weights, tree = jax.tree.flatten(state)
        self._model = _Model(graph, tree)
        self._images = images
        self._config = config
        self._progress = progress or (lambda steps: None)

    def start(self, key: jax.Array) -> np.ndarray:
        """Starting points of all lanes, image by image, [N * restarts, *latent_shape]."""
        config = self._config
        pixels = as_uint8(self._images)
        begin = _start_program(self._model, config.start, config.scales, config.restarts)
        points = []
        for block in _blocks(len(pixels), config.lane_block):
            digests = b"".join(pixels_sha256(pixels[i]) for i in block.rows)
            words = np.frombuffer(digests, ">u4").astype(np.uint32).reshape(-1, 8)
            out = begin(self._weights, key, words, self._images[block.rows])
            points.append(np.asarray(out)[: block.real])
        latents = np.concatenate(points)
        return latents.reshape(-1, *latents.shape[2:])

    def descend(
        self, descent: Descent, image: np.ndarray, start: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lowest tracked distance of each lane, [L], and its latent, [L, *latent_shape]."""
        config = self._config
        on_host = config.driver == "host" or (
            config.driver == "auto" and jax.default_backend() == "cpu"
        )
        init, advance = _descent_program(self._model, descent, config.distance)
        chunk = 1 if on_host else config.chunk
        distances, latents = [], []
        for block in _blocks(len(image), config.lane_block):
            targets = jnp.asarray(self._images[image[block.rows]])
            carry = init(jnp.asarray(start[block.rows]))
            done = 0
            while done < descent.steps:
                length = min(chunk, descent.steps - done)
                carry = advance(self._weights, targets, carry, length)
                done += length
                self._progress(length * block.real)
            distances.append(np.asarray(carry.distance)[: block.real])
            latents.append(np.asarray(carry.best)[: block.real])
        return np.concatenate(distances), np.concatenate(latents)

    def reconstruct(self, latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The images of latents, one for each image, and their mean squared errors."""
        images, losses = [], []
        for block in _blocks(len(latents), self._config.lane_block):
            made, loss = _reconstruct(
                self._model, self._weights, latents[block.rows], self._images[block.rows]
            )
            images.append(np.asarray(made)[: block.real])
            losses.append(np.asarray(loss)[: block.real])
        return np.concatenate(images), np.concatenate(losses)


class _Block(NamedTuple):
    rows: np.ndarray  # indices of the lanes, the last one repeated to fill the block
    real: int  # how many of them are not repeats


def _blocks(total: int, size: int) -> list[_Block]:
    starts = range(0, total, size)
    rows = [np.minimum(np.arange(first, first + size), total - 1) for first in starts]
    return [_Block(r, min(size, total - first)) for r, first in zip(rows, starts, strict=True)]


class _Model(NamedTuple):
    """A generator without its weights: hashable, so that compiled programs are kept by it."""

    graph: Any
    tree: Any

    def merge(self, weights: list[jax.Array]) -> Any:
        return nnx.merge(self.graph, jax.tree.unflatten(self.tree, weights))

    def images(self, weights: list[jax.Array], latents: jax.Array) -> jax.Array:
        generator = self.merge(weights)
        made = generator(latents)
        # A wrong shape would broadcast against the images, and give a loss of something else.
        if made.shape[1:] != tuple(generator.image_shape):
            raise ValueError(
                f"{type(generator).__name__} makes images of shape {made.shape[1:]}; its "
                f"image_shape says {tuple(generator.image_shape)}"
            )
        return clip_straight_through(made)


class _Carry(NamedTuple):
    latents: jax.Array
    optimizer: Any
    distance: jax.Array
    best: jax.Array


@functools.lru_cache(maxsize=64)
def _start_program(
    model: _Model, start: str, scales: tuple[float, ...], restarts: int
) -> Callable[..., jax.Array]:
    @jax.jit
    def program(
        weights: list[jax.Array], key: jax.Array, words: jax.Array, images: jax.Array
    ) -> jax.Array:
        # An image's key is the run's, folded with the eight words of its pixels' SHA-256.
        def of_image(words: jax.Array) -> jax.Array:
            own = jax.lax.fori_loop(
                0, words.shape[0], lambda i, k: jax.random.fold_in(k, words[i]), key
            )
            return jax.vmap(lambda i: jax.random.fold_in(own, i))(jnp.arange(restarts))

        keys = jax.vmap(of_image)(words)
        return STARTS[start](model.merge(weights), keys, images, scales)

    return program


@functools.lru_cache(maxsize=64)
def _descent_program(
    model: _Model, descent: Descent, distance_name: str
) -> tuple[Callable[..., _Carry], Callable[..., _Carry]]:
    transformation = descent.transformation()
    objective, distance = OBJECTIVES[descent.objective], DISTANCES[distance_name]

    @jax.jit
    def init(latents: jax.Array) -> _Carry:
        none = jnp.full(latents.shape[0], jnp.inf)
        return _Carry(latents, jax.vmap(transformation.init)(latents), none, latents)

    def step(weights: list[jax.Array], targets: jax.Array, carry: _Carry) -> _Carry:
        def total(latents: jax.Array) -> tuple[jax.Array, jax.Array]:
            images = model.images(weights, latents)
            # Lanes do not touch each other, so the gradient of the sum is each lane's own.
            return jnp.sum(objective(images, targets)), distance(images, targets)

        grads, now = jax.grad(total, has_aux=True)(carry.latents)
        updates, optimizer = jax.vmap(transformation.update)(grads, carry.optimizer, carry.latents)
        better = now < carry.distance
        spread = better.reshape(-1, *(1,) * (carry.latents.ndim - 1))
        return _Carry(
            latents=optax.apply_updates(carry.latents, updates),
            optimizer=optimizer,
            distance=jnp.where(better, now, carry.distance),
            best=jnp.where(spread, carry.latents, carry.best),
        )

    @functools.partial(jax.jit, donate_argnums=2, static_argnums=3)
    def advance(weights: list[jax.Array], targets: jax.Array, carry: _Carry, length: int) -> _Carry:
        if length == 1:
            return step(weights, targets, carry)
        return jax.lax.scan(
            lambda carry, _: (step(weights, targets, carry), None), carry, length=length
        )[0]

    return init, advance


@functools.partial(jax.jit, static_argnums=0)
def _reconstruct(
    model: _Model, weights: list[jax.Array], latents: jax.Array, images: jax.Array
) -> tuple[jax.Array, jax.Array]:
    made = model.images(weights, latents)
    return made, l2(made, images)
