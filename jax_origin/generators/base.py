"""What a generator is, and what can be said of any of them."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import jax
import numpy as np
from flax import nnx

from jax_origin.checkpoints import Rename


class GeneratorLike(Protocol):
    """The contract that every inspected module keeps; `Generator` says what its parts are."""

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one latent."""
        ...

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of one image, (H, W, C)."""
        ...

    def __call__(self, latents: jax.Array, /) -> jax.Array:
        """Latents [N, *latent_shape] to images [N, H, W, C] in [0, 1]."""
        ...


class Generator(nnx.Module):
    """A frozen, differentiable map from a latent to an image in [0, 1].

    Any ``nnx.Module`` with `latent_shape`, `image_shape` and ``__call__(latents [N,
    *latent_shape]) -> images [N, H, W, C]`` can be inspected, whether or not it derives from this
    class. Three methods are used where they exist: ``sample_latents(key, num)`` (the prior;
    standard normal without it), ``encode(images)``, and ``undo(images, latents)`` (draws of the
    latents that lead to images, made from draws of the prior). Those that derive from this class
    can be saved, loaded by kind, and read from a reference checkpoint besides.
    """

    kind: ClassVar[str]
    reference_fields: ClassVar[frozenset[str]] = frozenset()
    """Of what a checkpoint says of itself: entries by which `reference_config` knows it."""
    name: str = ""  # what messages and records call it; `load_generator` sets it

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON: all that shapes the map but the weights."""
        raise NotImplementedError(f"{type(self).__name__} has no config")

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one latent."""
        raise NotImplementedError(f"{type(self).__name__} has no latent_shape")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of one image, (H, W, C)."""
        raise NotImplementedError(f"{type(self).__name__} has no image_shape")

    def __call__(self, latents: jax.Array) -> jax.Array:
        """Latents [N, *latent_shape] to images [N, H, W, C] in [0, 1]."""
        raise NotImplementedError(f"{type(self).__name__} cannot be called")

    @classmethod
    def reference_renames(cls, config: Mapping[str, Any]) -> list[Rename]:
        """The table from the reference checkpoint's names to ours."""
        raise NotImplementedError(f"{cls.__name__} has no reference checkpoint")

    @classmethod
    def reference_config(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration that a checkpoint's own description says; over what shapes imply."""
        raise NotImplementedError(f"{cls.__name__} has no reference checkpoint")

    @classmethod
    def infer_config(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The configuration that a reference checkpoint's names and shapes imply."""
        raise NotImplementedError(f"{cls.__name__} has no reference checkpoint")


class FunctionGenerator(nnx.Module):
    """A plain function and its parameters as a generator.

    Args:
      fn: ``fn(params, latents [N, *latent_shape]) -> images [N, H, W, C]`` in [0, 1]; pure.
      params: Any pytree of arrays.
      latent_shape: Shape of one latent.
      image_shape: (H, W, C).
      name: What a calibration calls it; the function's own name by default. The fingerprint covers
        name, shapes and parameters, but cannot see into the function: change the name with it.
    """

    def __init__(
        self,
        fn: Callable[[Any, jax.Array], jax.Array],
        params: Any,
        *,
        latent_shape: tuple[int, ...],
        image_shape: tuple[int, int, int],
        name: str | None = None,
    ):
        leaves, self.treedef = jax.tree.flatten(params)
        self.leaves = nnx.List([nnx.Param(jax.numpy.asarray(leaf)) for leaf in leaves])
        self.fn = fn
        self.latent_shape = tuple(latent_shape)
        self.image_shape = tuple(image_shape)
        self.name = name or getattr(fn, "__qualname__", type(fn).__name__)

    def __call__(self, latents: jax.Array) -> jax.Array:
        """Latents [N, *latent_shape] to images [N, H, W, C]."""
        leaves = [leaf[...] for leaf in self.leaves]
        return self.fn(jax.tree.unflatten(self.treedef, leaves), latents)


def sample_latents(generator: GeneratorLike, key: jax.Array, num: int) -> jax.Array:
    """Draws latents from the generator's prior: its own `sample_latents`, or N(0, I).

    Args:
      generator: The generator.
      key: A JAX key.
      num: How many.

    Returns:
      float32 [num, *latent_shape].
    """
    own = getattr(generator, "sample_latents", None)
    if own is not None:
        return own(key, num)
    return jax.random.normal(key, (num, *generator.latent_shape))


def generator_name(generator: GeneratorLike) -> str:
    """What messages and records call it: its `name` (the zoo sets it), else its class's name."""
    return getattr(generator, "name", None) or type(generator).__name__


def flat_weights(generator: Any) -> dict[str, Any]:
    """The module's arrays (or their shapes, if it is abstract) by dotted name, sorted."""
    state = nnx.state(generator, nnx.Not(nnx.RngState))
    flat = {".".join(map(str, path)): leaf for path, leaf in nnx.to_flat_state(state)}
    return {name: _array(flat[name]) for name in sorted(flat)}


def _array(leaf: Any) -> Any:
    value = leaf.get_value() if isinstance(leaf, nnx.Variable) else leaf
    is_key = jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(value) if is_key else value


def fingerprint(generator: GeneratorLike) -> str:
    """SHA-256 over class, configuration and weights: two generators of one fingerprint are one map.

    For a class with a `kind` the configuration is its `config`; for another module, the numbers,
    strings, tuples and dicts that it and its submodules hold (Flax's own layers left out, whose
    attributes change with Flax).

    Args:
      generator: The generator.

    Returns:
      64 hexadecimal digits.
    """
    # A class derived from one with a kind may compute something else: the kind is not its own.
    if isinstance(generator, Generator) and "kind" in vars(type(generator)):
        identity: dict[str, Any] = {"kind": generator.kind, "config": generator.config}
    else:
        identity = {"class": type(generator).__qualname__, "settings": _plain_settings(generator)}
    identity["latent_shape"] = list(generator.latent_shape)
    identity["image_shape"] = list(generator.image_shape)
    text = json.dumps(identity, sort_keys=True, default=lambda number: number.item())
    digest = hashlib.sha256(text.encode())
    for name, value in flat_weights(generator).items():
        array = np.asarray(value)
        digest.update(f"\0{name}\0{array.dtype}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


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
