"""The identity of a generator: one hash over what it is, holds and does.

Class, settings and weights do not tell what a user's own ``__call__`` or prior computes. So the
hash of a module that is not ours also covers its images of two fixed latents, and its prior.
Pixels differ by some 1e-7 from one machine to the next; a hash must not. So they are reduced to six
means an image, rounded to 1/128: one of them changes by chance on one of 30,000 machines. Another
``__call__`` moves several of them; so does a flip, or a swap of channels.
"""

import hashlib
import json
from typing import Any

import jax
import numpy as np
from flax import nnx

from jax_origin.generators.base import (
    FunctionGenerator,
    GeneratorLike,
    flat_weights,
    has_own_kind,
    is_shape,
    sample_latents,
)
from jax_origin.generators.contract import PackedLatents, evaluated

_PROBES = 2
_PRIOR_DRAWS = 256
_STEP = 1 / 128


def fingerprint(generator: GeneratorLike) -> str:
    """SHA-256 over class, configuration and weights: two generators of one fingerprint are one map.

    For a class with a `kind` the configuration is its `config`. For another module it is the
    numbers, strings, tuples and dicts that it and its submodules hold, without those of Flax's own
    layers, which change with Flax. A name counts for a `FunctionGenerator` only; training or
    evaluation does not matter.

    Returns:
      64 hexadecimal digits, the same on every machine.
    """
    module: Any = generator.module if isinstance(generator, PackedLatents) else generator
    if has_own_kind(module):
        identity: dict[str, Any] = {"kind": module.kind, "config": module.config}
    else:
        module = evaluated(module)
        settings = _plain_settings(module)
        if not isinstance(module, FunctionGenerator):
            settings.pop("name", None)
        identity = {"class": type(module).__qualname__, "settings": settings}
        identity |= _behaviour(module)
    identity["latent_shape"] = module.latent_shape
    identity["image_shape"] = list(module.image_shape)
    text = json.dumps(identity, sort_keys=True, default=lambda number: number.item())
    digest = hashlib.sha256(text.encode())
    for name, value in flat_weights(module).items():
        array = np.asarray(value)
        digest.update(f"\0{name}\0{array.dtype}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _behaviour(generator: Any) -> dict[str, Any]:
    """A few whole numbers that say what a module makes of fixed latents, and of which prior."""
    graph, state = nnx.split(generator)
    own_prior = getattr(generator, "sample_latents", None) is not None
    key = jax.random.key(0, impl="threefry2x32")

    @jax.jit
    def run(state: Any, latents: Any) -> tuple[Any, Any]:
        module = nnx.merge(graph, state)
        draws = sample_latents(module, key, _PRIOR_DRAWS) if own_prior else latents
        probes = jax.tree.map(lambda draw: draw[:_PROBES], draws)
        return draws, module(probes)

    with jax.default_matmul_precision("highest"):
        draws, images = run(state, _fixed_normal(generator.latent_shape))
    numbers = {"images": [_means(image) for image in np.asarray(images, np.float64)]}
    if own_prior:
        # Of a prior, moments: single draws would say no more, and change by more.
        leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(draws)]
        numbers["prior"] = [[*_means(leaf), *_means(leaf[:1])] for leaf in leaves]
    return numbers


def _fixed_normal(latent_shape: Any) -> Any:
    """Standard normal latents by NumPy's frozen generator: the same with every version of JAX."""
    frozen = np.random.RandomState(0)

    def draw(shape: Any) -> np.ndarray:
        return frozen.standard_normal((_PROBES, *shape)).astype(np.float32)

    return jax.tree.map(draw, latent_shape, is_leaf=is_shape)


def _means(values: np.ndarray) -> list[int]:
    """An array's mean, root mean square, and means weighted by a ramp along each axis, rounded."""
    values = np.nan_to_num(values)
    means = [values.mean(), np.sqrt((values**2).mean()), (values * _waves(values.shape)).mean()]
    for axis, length in enumerate(values.shape):
        ramp = np.linspace(0, 2, length).reshape(-1, *[1] * (values.ndim - axis - 1))
        means.append((values * ramp).mean())
    return [round(float(mean) / _STEP) for mean in means]


def _waves(shape: tuple[int, ...]) -> np.ndarray:
    """Weights that neither a flip nor a permutation of pixels leaves as they are."""
    return 4 * np.cos(np.arange(np.prod(shape, dtype=int)) ** 1.5).reshape(shape)


def _plain_settings(module: Any) -> dict[str, Any]:
    settings = {}
    for path, part in nnx.iter_modules(module):
        if type(part).__module__.startswith("flax."):
            continue
        for name, value in sorted(vars(part).items()):
            of_flax = name.startswith("_") and "__" in name
            if not of_flax and _is_plain(value):
                settings[".".join(map(str, (*path, name)))] = value
    return settings


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(part) for key, part in value.items())
    return value is None or isinstance(value, bool | int | float | str | np.number | np.bool_)
