"""What a generator is: the contract, the base class, and a plain function as one."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import jax
import numpy as np
from flax import nnx

from jax_origin.checkpoints import LazyArrays, Rename
from jax_origin.checkpoints.diffusers_folder import PARTS


class GeneratorLike(Protocol):
    """The contract that every inspected module keeps; see `Generator`."""

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one latent."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of one image, (H, W, C)."""

    def __call__(self, latents: jax.Array, /) -> jax.Array:
        """Latents [N, *latent_shape] to images [N, H, W, C] in [0, 1]."""


class Generator(nnx.Module):
    """A frozen, differentiable map from a latent to an image in [0, 1].

    Any ``nnx.Module`` with `latent_shape`, `image_shape` and ``__call__(latents [N,
    *latent_shape]) -> images [N, H, W, C]`` can be inspected; it need not derive from this class.
    Three methods are used where they exist:

    - ``sample_latents(key, num)``: the prior; standard normal without it.
    - ``encode(images)``: latents near those that make the images.
    - ``undo(images, latents)``: latents that lead to the images, made from draws of the prior.

    A class that derives from this one and has a `kind` can also be saved, loaded by kind, and read
    from a reference checkpoint.

    Attributes:
      kind: Its name in `jax_origin.generators.KINDS`, cards and flags.
      reference_fields: Entries of a checkpoint's own description by which `reference_config` knows
        that it is of this kind.
      reference_parts: The parts of a diffusers pipeline in which such a network is looked for.
      reference_classes: diffusers' names of such a network's class.
      reference_halves: Whether a network is also found in two files, encoder and decoder.
      reference_sequential: Where a checkpoint's network keeps its layers, if that is one
        ``nn.Sequential``: a file of its layers alone is then read too.
      default_method: The method that suits it, a name in `jax_origin.METHODS`.
      name: What messages and records call it; `load_generator` sets it.
    """

    kind: ClassVar[str]
    reference_fields: ClassVar[frozenset[str]] = frozenset()
    reference_parts: ClassVar[tuple[str, ...]] = PARTS
    reference_classes: ClassVar[frozenset[str]] = frozenset()
    reference_halves: ClassVar[bool] = False
    reference_sequential: ClassVar[str | None] = None
    default_method: ClassVar[str] = "origin"
    name: str = ""

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON: all that shapes the map except its weights."""
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
        """The configuration in a checkpoint's own description; it overrides `infer_config`."""
        raise NotImplementedError(f"{cls.__name__} has no reference checkpoint")

    @classmethod
    def infer_config(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The configuration that a reference checkpoint's names and shapes imply."""
        raise NotImplementedError(f"{cls.__name__} has no reference checkpoint")

    @classmethod
    def complete_reference(
        cls, arrays: LazyArrays, beside: LazyArrays, config: Mapping[str, Any]
    ) -> LazyArrays:
        """A reference checkpoint's arrays, completed from those beside the network; as they are."""
        return arrays


class SquareGenerator(Generator):
    """A generator of square images that keeps its constructor's arguments as attributes.

    Attributes:
      arguments: Names of the constructor's arguments; each is an attribute of the same name.
      image_size: Side of the image.
      channels: Image channels.
      latent_dim: Length of the latent vector; a class with other latents has a `latent_shape`.
    """

    arguments: ClassVar[tuple[str, ...]]
    image_size: int
    channels: int
    latent_dim: int

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON; they shape the map together with the weights."""
        return {name: _json(getattr(self, name)) for name in self.arguments}

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(latent_dim,)."""
        return (self.latent_dim,)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return (self.image_size, self.image_size, self.channels)


class FunctionGenerator(nnx.Module):
    """A plain function and its parameters as a generator.

    All functions must be pure. Latents are an array [N, *latent_shape], or a pytree of such arrays
    where `latent_shape` is a pytree of shapes.

    Args:
      fn: ``fn(params, latents) -> images [N, H, W, C]`` in [0, 1].
      params: Any pytree of arrays.
      latent_shape: Shape of one latent, or a dict or tuple of shapes, such as
        ``{"z": (64,), "label": (10,)}``.
      image_shape: (H, W, C).
      name: What messages call it; the function's own name by default.
      prior: ``prior(params, key, num) -> latents``; standard normal by default.
      encode: ``encode(params, images) -> latents``, near those that make the images.
      undo: ``undo(params, images, noise) -> latents`` that lead to the images; noise is a draw of
        the prior for each.
    """

    def __init__(
        self,
        fn: Callable[[Any, Any], jax.Array],
        params: Any,
        *,
        latent_shape: Any,
        image_shape: tuple[int, int, int],
        name: str | None = None,
        prior: Callable[[Any, jax.Array, int], Any] | None = None,
        encode: Callable[[Any, jax.Array], Any] | None = None,
        undo: Callable[[Any, jax.Array, Any], Any] | None = None,
    ):
        leaves, self.treedef = jax.tree.flatten(params)
        self.leaves = nnx.List([nnx.Param(jax.numpy.asarray(leaf)) for leaf in leaves])
        self.fn = fn
        # Flat, because compiled programs are kept by a module's attributes: these are hashable.
        self._functions = (prior, encode, undo)
        shapes, self._latent_tree = jax.tree.flatten(latent_shape, is_leaf=is_shape)
        self._latent_shapes = tuple(map(tuple, shapes))
        self.image_shape = tuple(image_shape)
        self.name = name or getattr(fn, "__qualname__", type(fn).__name__)

    @property
    def latent_shape(self) -> Any:
        """Shape of one latent, or a pytree of shapes."""
        return jax.tree.unflatten(self._latent_tree, self._latent_shapes)

    @property
    def params(self) -> Any:
        """The parameters, as the functions take them."""
        return jax.tree.unflatten(self.treedef, [leaf[...] for leaf in self.leaves])

    def __call__(self, latents: Any) -> jax.Array:
        """Latents [N, *latent_shape] to images [N, H, W, C]."""
        return self.fn(self.params, latents)

    # Properties: a function that was not given is no attribute, and nobody calls it.
    @property
    def sample_latents(self) -> Callable[[jax.Array, int], Any]:
        """``sample_latents(key, num)``: the prior, if one was given."""
        return self._with_params("prior", 0)

    @property
    def encode(self) -> Callable[[jax.Array], Any]:
        """``encode(images)``, if it was given."""
        return self._with_params("encode", 1)

    @property
    def undo(self) -> Callable[[jax.Array, Any], Any]:
        """``undo(images, latents)``, if it was given."""
        return self._with_params("undo", 2)

    def _with_params(self, name: str, place: int) -> Callable[..., Any]:
        function = self._functions[place]
        if function is None:
            raise AttributeError(f"{self.name} has no {name}")
        return functools.partial(function, self.params)


def is_shape(value: Any) -> bool:
    """Whether a `latent_shape`, or a part of one, is the shape of one array."""
    return isinstance(value, tuple | list) and all(isinstance(n, int | np.integer) for n in value)


def sample_latents(generator: GeneratorLike, key: jax.Array, num: int) -> Any:
    """Draws `num` latents from the generator's prior: its own `sample_latents`, or N(0, I).

    Returns:
      float32 [num, *latent_shape], or a pytree of such arrays.
    """
    own = getattr(generator, "sample_latents", None)
    if own is not None:
        return own(key, num)
    if is_shape(generator.latent_shape):
        return jax.random.normal(key, (num, *generator.latent_shape))
    shapes, tree = jax.tree.flatten(generator.latent_shape, is_leaf=is_shape)
    keys = jax.random.split(key, len(shapes))
    draws = [jax.random.normal(k, (num, *shape)) for k, shape in zip(keys, shapes, strict=True)]
    return jax.tree.unflatten(tree, draws)


def generator_name(generator: GeneratorLike) -> str:
    """What messages and records call it: its `name`, or its class's name where it has none."""
    return getattr(generator, "name", None) or type(generator).__name__


def has_own_kind(generator: Any) -> bool:
    """Whether its class is one of ours: a derived class may compute something else."""
    return isinstance(generator, Generator) and "kind" in vars(type(generator))


def flat_weights(generator: Any) -> dict[str, Any]:
    """The module's arrays by dotted name, sorted; shapes if it is abstract. No PRNG state."""
    state = nnx.state(generator, nnx.Not(nnx.RngState))
    flat = {".".join(map(str, path)): leaf for path, leaf in nnx.to_flat_state(state)}
    return {name: _array(flat[name]) for name in sorted(flat)}


def _json(value: Any) -> Any:
    if hasattr(value, "as_dict"):
        return value.as_dict()
    return list(value) if isinstance(value, tuple) else value


def _array(leaf: Any) -> Any:
    value = leaf.get_value() if isinstance(leaf, nnx.Variable) else leaf
    is_key = jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(value) if is_key else value
