"""One door for every generator that is inspected: prepared, packed, and checked once."""

import math
import weakref
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_origin.generators.base import (
    GeneratorLike,
    generator_name,
    has_own_kind,
    is_shape,
    sample_latents,
)

_MARGIN = 0.1  # By how much pixels may leave [0, 1]; they are clipped there.
# id -> (the object, its graph, its arrays, what was prepared): arrays that change are seen.
_PREPARED: dict[int, tuple[weakref.ref, Any, list[Any], Any]] = {}


class PackedLatents(nnx.Module):
    """A generator whose latents are a pytree, as one of flat vectors; inversion needs one array.

    The ``latent_shape`` of a conditional generator is ``{"z": (64,), "label": (10,)}``, say. Its
    prior draws such a dict, and its ``__call__`` takes one; `latent_shape` is (74,) here.

    `inspected` does this by itself. Leaves are packed in the order of `jax.tree.leaves`, as
    float32.

    Args:
      module: A generator whose `latent_shape` is a pytree of shapes. Its prior, `encode` and `undo`
        give and take such pytrees.
    """

    def __init__(self, module: Any):
        self.module = module

    @property
    def latent_shape(self) -> tuple[int]:
        """Shape of one packed latent."""
        return (sum(math.prod(shape) for shape in self._shapes),)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of one image, (H, W, C)."""
        return tuple(self.module.image_shape)

    @property
    def name(self) -> str:
        """The module's name."""
        return generator_name(self.module)

    @property
    def default_method(self) -> str:
        """The method that suits the module."""
        return getattr(self.module, "default_method", "origin")

    def __call__(self, latents: jax.Array) -> jax.Array:
        """Packed latents [N, D] to images [N, H, W, C]."""
        return self.module(self.unpack(latents))

    def sample_latents(self, key: jax.Array, num: int) -> jax.Array:
        """Draws of the module's prior, packed, float32 [num, D]."""
        return self.pack(sample_latents(self.module, key, num))

    # Properties: what the module has not got is no attribute.
    @property
    def encode(self) -> Callable[[jax.Array], jax.Array]:
        """``encode(images)``: packed latents, if the module encodes."""
        own = self.module.encode
        return lambda images: self.pack(own(images))

    @property
    def undo(self) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """``undo(images, latents)``: packed latents, if the module undoes."""
        own = self.module.undo
        return lambda images, latents: self.pack(own(images, self.unpack(latents)))

    def pack(self, latents: Any) -> jax.Array:
        """A pytree of [N, *shape] as one array [N, D]; a ValueError if `latent_shape` differs."""
        wanted = self.module.latent_shape
        shapes = jax.tree.map(lambda leaf: tuple(jnp.shape(leaf)[1:]), latents)
        tree: Any = jax.tree.structure(wanted, is_leaf=is_shape)
        if tree != jax.tree.structure(latents) or self._flat(shapes) != self._shapes:
            raise ValueError(f"{self.name} gives latents of shapes {shapes}, not {wanted}")
        leaves = [jnp.asarray(leaf, jnp.float32) for leaf in jax.tree.leaves(latents)]
        return jnp.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)

    def unpack(self, latents: jax.Array) -> Any:
        """Packed latents [N, D] as the module takes them."""
        ends = np.cumsum([math.prod(shape) for shape in self._shapes])[:-1].tolist()
        parts = jnp.split(latents, ends, axis=1)
        leaves = [
            part.reshape(len(part), *shape) for part, shape in zip(parts, self._shapes, strict=True)
        ]
        tree = jax.tree.structure(self.module.latent_shape, is_leaf=is_shape)
        return jax.tree.unflatten(tree, leaves)

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        return self._flat(self.module.latent_shape)

    @staticmethod
    def _flat(shapes: Any) -> list[tuple[int, ...]]:
        return list(map(tuple, jax.tree.leaves(shapes, is_leaf=is_shape)))


def inspected(generator: Any) -> GeneratorLike:
    """A generator as inversion needs it: in evaluation mode, one array a latent, and checked.

    A generator that is not ours runs once, on two latents from its prior. The check is remembered
    as long as the object, its settings and its arrays stay the same.

    Args:
      generator: Any ``nnx.Module`` that keeps the contract of `Generator`; it stays as it is.

    Returns:
      The generator itself, or a copy that shares its arrays where something must change; a
      `PackedLatents` where latents are a pytree.

    Raises:
      TypeError: If it is no ``nnx.Module``.
      ValueError: If it breaks the contract; one line says how, and what to do.
    """
    name = generator_name(generator)
    if not isinstance(generator, nnx.Module):
        raise TypeError(
            f"{name} is no nnx.Module: wrap its function, jax_origin.FunctionGenerator(fn, params, "
            "latent_shape=..., image_shape=...)"
        )
    if has_own_kind(generator):
        return evaluated(generator)
    graph, state = nnx.split(generator)
    leaves = jax.tree.leaves(state)
    known = _PREPARED.get(id(generator))
    if known and known[0]() is generator and known[1] == graph and _same(known[2], leaves):
        return cast(GeneratorLike, generator if known[3] is None else known[3])
    for attribute in ("latent_shape", "image_shape"):
        if getattr(generator, attribute, None) is None:
            raise ValueError(f"{name} has no {attribute}: {_MEANING[attribute]}")
    prepared = evaluated(generator)
    if not is_shape(prepared.latent_shape):
        prepared = PackedLatents(prepared)
    _check(prepared)
    _remember(generator, graph, leaves, None if prepared is generator else prepared)
    if prepared is not generator:
        graph, state = nnx.split(prepared)
        _remember(prepared, graph, jax.tree.leaves(state), None)
    return prepared


def evaluated(generator: Any) -> Any:
    """The module in evaluation mode: itself if it is, else a copy that shares its arrays."""
    graph, state = nnx.split(generator)
    copy = nnx.merge(graph, state)
    copy.eval()
    changed = nnx.split(copy)[0] != graph
    for _, part in nnx.iter_modules(copy):
        for attribute, value in list(vars(part).items()):
            if type(value) in _HASHABLE and not _is_data(value):
                setattr(part, attribute, _HASHABLE[type(value)](value))
                changed = True
    return copy if changed else generator


class _Hashable:
    """Settings; compiled programs are kept by them."""

    def __hash__(self) -> int:
        return hash(repr(self))


_HASHABLE = {kind: type("_Hashable", (_Hashable, kind), {}) for kind in (dict, list)}
_MEANING = {
    "latent_shape": "give it the shape of one latent, such as latent_shape = (64,)",
    "image_shape": "give it the shape of one image (H, W, C), such as image_shape = (32, 32, 3)",
}


def _is_data(value: Any) -> bool:
    return any(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(value))


def _same(old: list[Any], new: list[Any]) -> bool:
    return len(old) == len(new) and all(a is b for a, b in zip(old, new, strict=True))


def _remember(generator: Any, graph: Any, leaves: list[Any], prepared: Any) -> None:
    place, known = id(generator), _PREPARED  # The name is gone when the interpreter ends.
    forget = weakref.ref(generator, lambda _: known.pop(place, None))
    known[place] = (forget, graph, leaves, prepared)


def _check(generator: GeneratorLike) -> None:
    """Runs a generator on two latents from its prior, and raises ValueError if it is none."""
    name, shape = generator_name(generator), tuple(generator.image_shape)
    if len(shape) != 3 or not is_shape(shape):
        raise ValueError(f"{name} has image_shape {shape}: it must be (H, W, C)")
    latents = sample_latents(generator, jax.random.key(0), 2)
    wanted = (2, *generator.latent_shape)
    if jnp.shape(latents) != wanted:
        raise ValueError(
            f"{name} draws 2 latents of shape {jnp.shape(latents)}, and its latent_shape says "
            f"{wanted}: correct sample_latents or latent_shape"
        )
    graph, state = nnx.split(generator)
    changed: list[bool] = []

    @jax.jit
    def run(state: Any, latents: jax.Array) -> Any:
        before, module = jax.tree.leaves(state), nnx.merge(graph, state)
        made = module(latents)
        changed.append(not _same(before, jax.tree.leaves(nnx.state(module))))
        return made

    made = run(state, latents)
    if any(changed):
        raise ValueError(
            f"{name} changes its own variables when it is called, also in evaluation mode: a "
            "generator must be a fixed map; do not draw from nnx.Rngs in its __call__"
        )
    if not isinstance(made, jax.Array):
        raise ValueError(f"{name} returns {type(made).__name__}: return images [N, H, W, C]")
    height, width, channels = shape
    if made.shape == (2, channels, height, width) != (2, *shape):
        raise ValueError(
            f"{name} returns [N, C, H, W]; return [N, H, W, C]: jnp.moveaxis(images, 1, -1)"
        )
    if made.shape != (2, *shape):
        raise ValueError(
            f"{name} makes of 2 latents images of shape {made.shape}; its image_shape says "
            f"{(2, *shape)}"
        )
    pixels = np.asarray(made, np.float32)
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite(pixels).all():
        raise ValueError(f"{name} makes NaN or infinite pixels of latents from its prior")
    if low < -_MARGIN or high > 1 + _MARGIN:
        if low < 0 and -1 - _MARGIN <= low and high <= 1 + _MARGIN:
            reason = "images lie in [-1, 1], as after tanh: return (x + 1) / 2"
        elif low >= 0 and 2 < high <= 256:
            reason = "images lie in [0, 255]: return x / 255"
        else:
            reason = f"images lie in [{low:.3g}, {high:.3g}]: bring them to [0, 1]"
        raise ValueError(f"{name}: {reason}")
