"""Generators on disk: a directory with a card and weights, or a reference's weight file."""

import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_origin.checkpoints import (
    CheckpointError,
    LazyArrays,
    hub,
    read_checkpoint,
    write_safetensors,
)
from jax_origin.files import atomic_write
from jax_origin.generators.autoencoders import (
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderTiny,
    AutoencoderWan,
    VQModel,
)
from jax_origin.generators.base import Generator, GeneratorLike, flat_weights, generator_name
from jax_origin.generators.consistency import Consistency
from jax_origin.generators.convert import Reference, over, read_reference, rounded
from jax_origin.generators.dcgan import DCGAN
from jax_origin.generators.ddim import DDIM
from jax_origin.generators.stylegan2 import StyleGAN2
from jax_origin.generators.vae import VAE
from jax_origin.generators.vae_resnet18 import ResNetVAE

KINDS: dict[str, type[Generator]] = {
    cls.kind: cls
    for cls in (
        *(DCGAN, VAE, ResNetVAE, StyleGAN2, DDIM, Consistency),
        *(AutoencoderKL, AutoencoderTiny, VQModel, AutoencoderDC, AutoencoderWan),
    )
}
"""The architectures that can be loaded by name."""

CARD, WEIGHTS = "card.json", "weights.safetensors"


def open_generator(
    path: str | os.PathLike,
    *,
    kind: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> Generator:
    """Opens a generator from a directory that we wrote, or from a published checkpoint.

    Args:
      path: A directory with card.json and weights.safetensors; or a published checkpoint, as
        `jax_origin.checkpoints.read_checkpoint` takes it.
      kind: Which of `KINDS` a checkpoint holds; a directory's card says it, and so does diffusers'
        configuration of an autoencoder.
      config: Arguments of the architecture that override what the card says or the file implies,
        entry by entry also within an argument that is a mapping.

    Returns:
      The generator, in evaluation mode, with float32 weights.

    Raises:
      CheckpointError: If the path, the kind or the configuration is wrong, or an array is missing,
        unexpected, misshapen or not finite.
    """
    path = os.fspath(path)
    if os.path.exists(os.path.join(path, CARD)):
        if kind is not None:
            raise CheckpointError(f"{path}: a directory's card says its kind; pass none")
        card = read_card(path)
        weights = pathlib.Path(path) / WEIGHTS
        arrays = read_checkpoint(weights).arrays  # each is read when it is its turn
        wanted = card.get("weights_sha256")
        if wanted is not None and wanted != hash_file(weights):
            raise CheckpointError(f"{weights}: not the weights that {CARD} describes (SHA-256)")
        full = card["config"]
        if config and isinstance(full, Mapping):  # What is no mapping is refused below.
            full = over(full, config)
        return build(_kind(card["kind"], path), full, arrays, source=str(weights))
    if not path.startswith(hub.PREFIX) and not os.path.exists(path):
        raise CheckpointError(f"{path}: no such file or directory")
    if (kind := kind or _kind_said(path)) is None:
        ours = f"not a generator directory, it has no {CARD}; else " if os.path.isdir(path) else ""
        wanted = f"say which generator it holds: kind={sorted(KINDS)}"
        raise CheckpointError(f"{path}: {ours}{wanted}")
    cls = _kind(kind, path)
    reference = read_reference(path, cls, config=config)
    return build(cls, reference.config, reference.arrays, source=str(path))


def build(
    cls: type[Generator],
    config: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    *,
    source: str,
) -> Generator:
    """A generator of this class and configuration, with these weights under our names."""
    entries = LazyArrays.of(arrays)
    generator = outline(cls, config, entries, source=source)

    def read(name: str) -> jax.Array:
        with np.errstate(over="ignore"):
            array = entries[name].astype(np.float32)
        if not np.isfinite(array).all():
            raise CheckpointError(f"{source}: {name} holds NaN or infinity; the file is damaged")
        return jnp.asarray(array)

    flat = {
        path: leaf.replace(read(".".join(map(str, path))))
        for path, leaf in nnx.to_flat_state(nnx.state(generator))
    }
    nnx.update(generator, nnx.from_flat_state(flat))
    generator.eval()
    return generator


def with_settings(generator: GeneratorLike, settings: Mapping[str, Any]) -> Generator:
    """The same weights under other settings, such as truncation, label, or number of steps.

    Args:
      generator: A generator of one of `KINDS`.
      settings: Entries of its `config` that are to change.

    Raises:
      CheckpointError: If it is of none of `KINDS`, or its weights do not fit such settings.
    """
    name = generator_name(generator)
    if not isinstance(generator, Generator) or type(generator) not in KINDS.values():
        kinds = ", ".join(sorted(KINDS))
        raise CheckpointError(f"{name}: its settings are not known; those of {kinds} are")
    config = {**generator.config, **settings}
    other = build(type(generator), config, flat_weights(generator), source=name)
    other.name = generator.name
    return other


def outline(
    cls: type[Generator], config: Mapping[str, Any], arrays: LazyArrays, *, source: str
) -> Generator:
    """A generator without its weights, once its names and shapes are found to be these."""
    make: Callable[..., Generator] = cls
    try:
        generator = nnx.eval_shape(lambda: make(**config, rngs=nnx.Rngs(0)))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"{source}: wrong {cls.kind} config: {error}") from None
    wanted = flat_weights(generator)
    missing, unexpected = sorted(set(wanted) - set(arrays)), sorted(set(arrays) - set(wanted))
    if missing or unexpected:
        raise CheckpointError(f"{source}: missing {missing}, unexpected {unexpected}")
    for name, value in wanted.items():
        shape = arrays.shapes[name]
        if shape != value.shape:
            raise CheckpointError(f"{source}: {name} is {shape}, {cls.kind} has {value.shape}")
    return generator


def convert_checkpoint(
    source: str | os.PathLike,
    out: str | os.PathLike,
    *,
    kind: str,
    config: Mapping[str, Any] | None = None,
    dtype: np.typing.DTypeLike | None = None,
    card: Mapping[str, Any] | None = None,
) -> Reference:
    """Writes a published checkpoint as a directory that `open_generator` reads.

    It holds one array at a time, and writes the card last.

    Args:
      source: The checkpoint; it, `kind` and `config` are as `open_generator` takes them.
      out: The directory; made if need be.
      kind: Which of `KINDS` it holds.
      config: Arguments that override what the checkpoint implies.
      dtype: What the weights are rounded to; None leaves them as they are.
      card: More entries for the card.

    Returns:
      What was read.

    Raises:
      CheckpointError: As `open_generator`.
    """
    cls = _kind(kind, os.fspath(source))
    reference = read_reference(source, cls, config=config)
    generator = outline(cls, reference.config, reference.arrays, source=os.fspath(source))
    _write(pathlib.Path(out), generator, rounded(reference.arrays, dtype, path=out), card)
    return reference


def save_generator(
    path: str | os.PathLike,
    generator: Generator,
    *,
    dtype: np.typing.DTypeLike = np.float16,
    card: Mapping[str, Any] | None = None,
) -> None:
    """Writes card.json and weights.safetensors into a directory, which `open_generator` reads.

    Args:
      path: The directory; made if need be.
      generator: A generator of one of `KINDS`.
      dtype: What the weights are rounded to.
      card: More entries for the card: name, data, steps, command, ...

    Raises:
      CheckpointError: If nothing is written: the generator is of none of `KINDS`, or a weight is
        not finite or too large for `dtype`.
    """
    path = pathlib.Path(path)
    if type(generator) not in KINDS.values():
        kinds = ", ".join(sorted(KINDS))
        raise CheckpointError(f"{path}: {type(generator).__name__} cannot be saved, only {kinds}")
    arrays = rounded(LazyArrays.of(flat_weights(generator)), dtype, path=path)
    _write(path, generator, dict(arrays), card)  # All are read, and found finite, before.


def read_card(path: str | os.PathLike) -> dict[str, Any]:
    """The card of a generator directory, as a dict with at least `kind` and `config`."""
    file = pathlib.Path(path) / CARD
    try:
        card = json.loads(file.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{path}: not a generator directory, it has no {CARD}") from None
    except ValueError as error:
        raise CheckpointError(f"{file}: not JSON ({error})") from None
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror})") from None
    if not isinstance(card, dict) or not {"kind", "config"} <= set(card):
        raise CheckpointError(f"{file}: a card needs 'kind' and 'config'")
    return card


def hash_file(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(
    path: pathlib.Path,
    generator: Generator,
    arrays: Mapping[str, np.ndarray],
    card: Mapping[str, Any] | None,
) -> None:
    path.mkdir(parents=True, exist_ok=True)
    write_safetensors(path / WEIGHTS, arrays)
    entries = {
        "kind": generator.kind,
        "config": generator.config,
        **(card or {}),
        "weights_sha256": hash_file(path / WEIGHTS),
    }
    with atomic_write(path / CARD) as temporary:
        pathlib.Path(temporary).write_text(json.dumps(entries, indent=2) + "\n")


def _kind_said(path: str) -> str | None:
    """The kind that a diffusers folder names, or a pipeline's part, where it is one kind alone."""
    if not os.path.isdir(path) and not path.startswith(hub.PREFIX):
        return None
    for cls in KINDS.values():
        if not cls.reference_classes:
            continue
        try:
            said = read_checkpoint(path, parts=cls.reference_parts).config or {}
        except CheckpointError:
            continue
        for config in (said, *map(said.get, cls.reference_parts)):
            if isinstance(config, Mapping) and config.get("_class_name") in cls.reference_classes:
                return cls.kind
    return None


def _kind(kind: str, path: str) -> type[Generator]:
    if not isinstance(kind, str) or kind not in KINDS:
        raise CheckpointError(f"{path}: unknown kind {kind!r}; known: {', '.join(sorted(KINDS))}")
    return KINDS[kind]
