"""A learned start: an encoder trained on a generator's own images, at which a descent begins."""

import dataclasses
import functools
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jax_origin.checkpoints import read_safetensors, write_safetensors
from jax_origin.generators import GeneratorLike, fingerprint, inspected, sample_latents
from jax_origin.generators.base import flat_weights
from jax_origin.images import YCBCR
from jax_origin.inversion.running import Run, require_key
from jax_origin.parts import at_least

Shape = Sequence[int]

_Batch = tuple[jax.Array, jax.Array]  # Images [N, H, W, C] in [0, 1], and their latents.
_USES = 4  # Steps that a batch of images serves, edited anew in each: making it costs the most.
_KEPT_BYTES = 2**28  # Of batches that wait to serve again.


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartTraining:
    """How an encoder is trained: on pairs of the generator's own images and their latents.

    Attributes:
      steps: Optimiser steps. Each batch of samples serves four, edited anew.
      batch_size: Samples a step.
      learning_rate: Muon's largest learning rate, of matrices; it rises for a tenth of the steps,
        then falls. AdamW's, of all other weights, is a tenth of it.
      width: Channels of the encoder's finest grid.
      hidden: Width of its last hidden layer, where the latent is a vector.
      edited: Share of the images that are edited before they are encoded, by noise and by JPEG's
        rounding, so that the start holds for images that were.
      noise: Largest standard deviation of the noise.
    """

    steps: int = 1000
    batch_size: int = 32
    learning_rate: float = 1e-2
    width: int = 32
    hidden: int = 256
    edited: float = 0.5
    noise: float = 0.05

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "width", "hidden"):
            at_least(name, getattr(self, name), 1)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, not {self.learning_rate}")
        if not 0 <= self.edited <= 1 or not self.noise >= 0:
            raise ValueError("edited must lie in [0, 1], and noise be 0 or more")


class StartEncoder(nnx.Module):
    """An encoder from images to latents; the same for every family and size of image.

    A vector is read off a pyramid of residual blocks that ends at 4x4; a latent that is a grid
    itself, off blocks at its own resolution. Images are (H, W, C); `rngs` has the initial weights.
    """

    def __init__(
        self, *, image_shape: Shape, latent_shape: Shape, training: StartTraining, rngs: nnx.Rngs
    ) -> None:
        self.image_shape = tuple(image_shape)
        self.latent_shape = tuple(latent_shape)
        self.training = training
        height, width, channels = self.image_shape
        self.blocks: nnx.List[_Block] = nnx.List([])
        self.halvings: nnx.List[nnx.Linear] = nnx.List([])
        features = training.width
        if len(self.latent_shape) == 3:
            rows, columns, out = self.latent_shape
            self.patch = max(1, round(min(height / rows, width / columns)))
            self.grid = (rows, columns)
            features *= 4
            self.blocks.extend([_Block(features, rngs=rngs) for _ in range(4)])
            self.norm = nnx.LayerNorm(features, rngs=rngs)
            self.output = nnx.Linear(features, out, rngs=rngs)
        else:
            side = 2 ** min(7, max(2, int(math.log2(min(height, width)))))
            self.patch = max(1, side // 16)
            self.grid = (side // self.patch, side // self.patch)
            self.blocks.append(_Block(features, rngs=rngs))
            rows = self.grid[0]
            while rows > 4:
                self.halvings.append(nnx.Linear(4 * features, 2 * features, rngs=rngs))
                rows, features = rows // 2, 2 * features
                self.blocks.append(_Block(features, rngs=rngs))
            self.norm = nnx.LayerNorm(rows * rows * features, rngs=rngs)
            self.hidden = nnx.Linear(rows * rows * features, training.hidden, rngs=rngs)
            self.output = nnx.Linear(training.hidden, math.prod(self.latent_shape), rngs=rngs)
        self.input = nnx.Linear(self.patch**2 * channels, self.blocks[0].features, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Images [N, H, W, C] in [0, 1] to latents [N, *latent_shape]."""
        rows, columns = (side * self.patch for side in self.grid)
        n, channels = len(images), self.image_shape[2]
        x = jax.image.resize(images, (n, rows, columns, channels), "linear")
        x = self.input(_patches(2 * x - 1, self.patch))
        for i, block in enumerate(self.blocks):
            if i and self.halvings:
                x = self.halvings[i - 1](_patches(x, 2))
            x = block(x)
        if len(self.latent_shape) == 3:
            return self.output(self.norm(x))
        x = self.norm(x.reshape(n, -1))
        return self.output(jax.nn.gelu(self.hidden(x))).reshape(n, *self.latent_shape)

    @property
    def config(self) -> dict[str, Any]:
        """Shapes and training, as plain JSON values; `encoder_from_arrays` reads them."""
        return {
            "image_shape": list(self.image_shape),
            "latent_shape": list(self.latent_shape),
            "training": dataclasses.asdict(self.training),
        }

    def require(self, generator: GeneratorLike) -> None:
        """Raises ValueError unless it was made for a generator of these shapes."""
        for name in ("image_shape", "latent_shape"):
            has, made = (tuple(getattr(part, name)) for part in (generator, self))
            if has != made:
                raise ValueError(f"the encoder was made for {name} {made}, the generator has {has}")

    @property
    def digest(self) -> str:
        """SHA-256 of configuration and weights, in hex."""
        digest = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode())
        for name, array in self.arrays().items():
            digest.update(f"\0{name}\0".encode() + array.tobytes())
        return digest.hexdigest()

    def arrays(self) -> dict[str, np.ndarray]:
        """Its weights by name, float16: what training ends with, without loss."""
        return {name: np.asarray(a, np.float16) for name, a in flat_weights(self).items()}


def learn_start(
    generator: GeneratorLike,
    training: StartTraining | None = None,
    *,
    key: jax.Array,
    run: Run | None = None,
) -> StartEncoder:
    """Trains an encoder on a generator's own images, by the squared error of their latents.

    That the error stays high does no harm: a descent from the encoding finds the right basin far
    more often than one from a sample of the prior (measured in benchmarks/). The weights are
    rounded to float16, so that a file holds the very encoder.

    Args:
      generator: The generator.
      training: How; `StartTraining()` without it.
      key: A JAX key.
      run: Its `progress` is told of the steps. In its `cache` encoders are kept by the generator's
        fingerprint, the training and the key; one that is there is not trained again.

    Raises:
      ValueError: If the generator makes images with NaN pixels.
      CheckpointError: If the cache's file is damaged.
    """
    require_key(key)
    generator, training, run = inspected(generator), training or StartTraining(), run or Run()
    start = _untrained(generator.image_shape, generator.latent_shape, training)
    kept = None if run.cache is None else _kept_path(run.cache, generator, start, key)
    advance = run.counter("learning a start", training.steps)
    if kept is not None and kept.exists():
        advance(training.steps)
        return encoder_from_arrays(start.config, read_safetensors(kept))
    graph, state = nnx.split(start)
    made_by, weights = nnx.split(generator)
    optimizer = _optimizer(training)

    @jax.jit
    def make(weights: Any, key: jax.Array) -> _Batch:
        model = nnx.merge(made_by, weights)
        latents = sample_latents(model, key, training.batch_size)
        return jnp.clip(model(latents), 0.0, 1.0).astype(jnp.float16), latents

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(state: Any, opt_state: Any, batch: _Batch, key: jax.Array) -> tuple[Any, Any, Any]:
        images, latents = batch
        shown = _edited(images.astype(jnp.float32), key, training)

        def loss(state: Any) -> jax.Array:
            found = nnx.merge(graph, state, copy=True)(shown)
            return jnp.mean((found - latents) ** 2)

        value, grads = jax.value_and_grad(loss)(state)
        updates, opt_state = optimizer.update(grads, opt_state, state)
        return optax.apply_updates(state, updates), opt_state, value

    opt_state = optimizer.init(state)
    draws, edits = jax.random.split(key)
    numbers = [math.prod(generator.image_shape), 2 * math.prod(generator.latent_shape)]
    size = 2 * training.batch_size * sum(numbers)
    batches = _in_turn(
        lambda i: make(weights, jax.random.fold_in(draws, i)), training.steps, _KEPT_BYTES // size
    )
    for i, batch in enumerate(batches):
        state, opt_state, value = step(state, opt_state, batch, jax.random.fold_in(edits, i))
        advance(1)
    if not np.isfinite(value):
        raise ValueError("no start can be learned: the generator makes images with NaN pixels")
    arrays = nnx.merge(graph, state).arrays()
    if kept is not None:
        write_safetensors(kept, arrays)
    return encoder_from_arrays(start.config, arrays)


def encoder_from_arrays(
    config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> StartEncoder:
    """The encoder that `config` and `arrays` of another one describe.

    Raises:
      ValueError: If they do not fit each other.
    """
    try:
        training = StartTraining(**config["training"])
        shapes = (tuple(config["image_shape"]), tuple(config["latent_shape"]))
        start: StartEncoder = nnx.merge(*_outline(*shapes, training), copy=True)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no learned start can be made of such a config: {error}") from None
    start.training = training  # Equal trainings share an outline, and 1 equals 1.0.
    wanted = flat_weights(start)
    if {n: a.shape for n, a in wanted.items()} != {n: a.shape for n, a in arrays.items()}:
        raise ValueError("the learned start's weights do not fit its config")
    flat = {
        path: leaf.replace(jnp.asarray(arrays[".".join(map(str, path))], jnp.float32))
        for path, leaf in nnx.to_flat_state(nnx.state(start))
    }
    nnx.update(start, nnx.from_flat_state(flat))
    return start


def _optimizer(training: StartTraining) -> optax.GradientTransformation:
    """Muon for matrices, AdamW for all other weights.

    The layer that reads the pyramid has thousands of inputs. Under AdamW it needs a smaller
    learning rate the more there are. At one too large nothing is ever learned, which shows nowhere
    but in what is found.
    """

    def rate(largest: float) -> optax.Schedule:
        return optax.cosine_onecycle_schedule(training.steps, largest, pct_start=0.1)

    muon = optax.contrib.muon(
        rate(training.learning_rate),
        adam_b2=0.99,
        weight_decay=1e-3,
        adam_learning_rate=rate(training.learning_rate / 10),
    )
    return optax.chain(optax.clip_by_global_norm(1.0), muon)


def _in_turn(make: Callable[[int], _Batch], steps: int, most: int) -> Iterator[_Batch]:
    """A batch for each step: up to `most` are made, and serve in turn until each served enough."""
    some = max(1, min(most, math.ceil(steps / _USES)))
    kept: list[_Batch] = []
    for i in range(steps):
        turn, place = divmod(i, some)
        if turn % _USES == 0:
            kept[place : place + 1] = [make(i)]
        yield kept[place]


def _kept_path(
    cache: str | os.PathLike[str], generator: GeneratorLike, start: StartEncoder, key: jax.Array
) -> pathlib.Path:
    settings = {
        "generator": fingerprint(generator),
        "start": start.config,
        "uses": _USES,
        "optimizer": "muon",
        "key": np.asarray(jax.random.key_data(key)).tolist(),
    }
    name = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return pathlib.Path(cache).expanduser() / f"start-{name}.safetensors"


@functools.lru_cache(maxsize=8)
def _outline(
    image_shape: tuple[int, ...], latent_shape: tuple[int, ...], training: StartTraining
) -> tuple[Any, Any]:
    """An encoder's graph, and its weights' shapes."""
    return nnx.split(nnx.eval_shape(lambda: _untrained(image_shape, latent_shape, training)))


def _untrained(images: Shape, latents: Shape, training: StartTraining) -> StartEncoder:
    return StartEncoder(
        image_shape=images, latent_shape=latents, training=training, rngs=nnx.Rngs(0)
    )


class _Block(nnx.Module):
    """A residual block: a 3x3 convolution, and a pointwise network that starts at nothing."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.features = features
        self.norm = nnx.LayerNorm(features, rngs=rngs)
        self.conv = nnx.Conv(features, features, (3, 3), rngs=rngs)
        self.widen = nnx.Linear(features, 2 * features, rngs=rngs)
        zeros = nnx.initializers.zeros
        self.narrow = nnx.Linear(2 * features, features, kernel_init=zeros, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + self.narrow(jax.nn.gelu(self.widen(self.conv(self.norm(x)))))


def _patches(x: jax.Array, size: int) -> jax.Array:
    """[N, H, W, C] to [N, H / size, W / size, size * size * C]."""
    n, h, w, c = x.shape
    x = x.reshape(n, h // size, size, w // size, size, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, h // size, w // size, size * size * c)


def _edited(images: jax.Array, key: jax.Array, training: StartTraining) -> jax.Array:
    """Some of the images with noise on them, and rounded as JPEG rounds; the others as they are."""
    if training.edited == 0:
        return images
    choose, strength, draw, level = jax.random.split(key, 4)
    shape = (len(images), 1, 1, 1)
    noise = jax.random.uniform(strength, shape, maxval=training.noise)
    noisy = images + noise * jax.random.normal(draw, images.shape)
    quality = jax.random.uniform(level, (len(images),), minval=40.0, maxval=98.0)
    chosen = jax.random.bernoulli(choose, training.edited, shape)
    return jnp.where(chosen, jpeg_rounded(jnp.clip(noisy, 0.0, 1.0), quality), images)


# ITU-T T.81, tables K.1 and K.2: what each DCT coefficient is divided by at quality 50.
_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
_CHROMA = np.full((8, 8), 99, np.float32)
_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
_DCT = np.sqrt(2 / 8) * np.cos((2 * np.arange(8) + 1) * np.arange(8)[:, None] * np.pi / 16)
_DCT[0] /= np.sqrt(2)


def jpeg_rounded(images: jax.Array, quality: jax.Array) -> jax.Array:
    """Images [N, H, W, C] in [0, 1] as JPEG would have rounded them, chroma at full resolution.

    Their quality [N] is libjpeg's, 1 to 100. Of other than 3 channels each is taken as luma.
    """
    n, height, width, channels = images.shape
    pad = ((0, 0), (0, -height % 8), (0, -width % 8), (0, 0))
    x = jnp.pad(255 * images, pad, mode="edge") - 128
    mix = YCBCR if channels == 3 else np.eye(channels, dtype=np.float32)
    table = np.stack([_LUMA, _CHROMA, _CHROMA] if channels == 3 else [_LUMA] * channels, axis=-1)
    x = jnp.einsum("nhwc,dc->nhwd", x, mix)
    rows, columns = x.shape[1] // 8, x.shape[2] // 8
    x = x.reshape(n, rows, 8, columns, 8, channels)
    dct = jnp.asarray(_DCT, jnp.float32)
    x = jnp.einsum("ui,vj,nribjc->nrubvc", dct, dct, x)
    percent = jnp.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    steps = jnp.clip(jnp.round(table[None] * percent[:, None, None, None] / 100), 1, 255)
    steps = steps[:, None, :, None]
    x = jnp.round(x / steps) * steps
    x = jnp.einsum("ui,vj,nrubvc->nribjc", dct, dct, x)
    x = x.reshape(n, 8 * rows, 8 * columns, channels)
    x = jnp.einsum("nhwd,cd->nhwc", x, np.linalg.inv(mix)) + 128
    return jnp.clip(x[:, :height, :width] / 255, 0.0, 1.0)
