"""Published checkpoints as ours: read by a kind's rules, and written as a directory with a card."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jax_origin.checkpoints import (
    Checkpoint,
    CheckpointError,
    LazyArrays,
    read_checkpoint,
    rename,
    renamed,
    write_safetensors,
)
from jax_origin.checkpoints.arrays import LazyArray
from jax_origin.generators.base import Generator

# Arrays of more numbers are described by their shapes alone, until they are wanted.
_SMALL = 2**16


class Reference(NamedTuple):
    """A published checkpoint, understood.

    Attributes:
      config: The architecture's arguments.
      arrays: Its arrays under our names; each is read when it is asked for.
      names: For each of the checkpoint's arrays, ours that it became; none where it is dropped.
    """

    config: dict[str, Any]
    arrays: LazyArrays
    names: dict[str, tuple[str, ...]]


def read_reference(
    path: str | os.PathLike, cls: type[Generator], *, config: Mapping[str, Any] | None = None
) -> Reference:
    """Reads a published checkpoint of any format by the rules of a kind of generator.

    The configuration is what names and shapes imply, under what the checkpoint says of itself,
    under `config`.

    Args:
      path: As `jax_origin.checkpoints.read_checkpoint` takes it.
      cls: The kind of generator that it holds.
      config: The architecture's arguments, where the checkpoint does not say them or others are
        wanted; entry by entry also within an argument that is a mapping.

    Raises:
      CheckpointError: If it cannot be read, or is no checkpoint of this kind; the message says why.
    """
    checkpoint = read_checkpoint(path)
    try:
        full = over(_implied(cls, checkpoint), config or {})
        table = cls.reference_renames(full)
        arrays = rename(checkpoint.arrays, table)
        names = renamed(checkpoint.arrays, table)
    except ValueError as error:  # A CheckpointError is one.
        raise CheckpointError(f"{path}: {error}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        # What a file says of itself, or `config`, is anything at all.
        reason = f"{type(error).__name__}: {error}"
        raise CheckpointError(
            f"{path}: no {cls.kind} config can be made of what it says of itself ({reason:.200})"
        ) from None
    return Reference(full, arrays, names)


def write_reference(
    path: str | os.PathLike, arrays: LazyArrays, *, dtype: np.typing.DTypeLike | None = None
) -> None:
    """Writes arrays under our names as safetensors, one after the other.

    Args:
      path: The file.
      arrays: From `read_reference`.
      dtype: What floating-point numbers are rounded to; None leaves each as it is.

    Raises:
      CheckpointError: If an array holds NaN or infinity, or numbers too large for `dtype`.
    """

    def checked(name: str, entry: LazyArray) -> LazyArray:
        to = np.dtype(dtype) if dtype is not None else entry.dtype

        def read() -> np.ndarray:
            with np.errstate(over="ignore"):
                array = np.asarray(entry.read(), to)
            if not np.isfinite(array.astype(np.float32)).all():
                raise CheckpointError(
                    f"{path}: not written, {name} holds NaN, infinity, or values too large for {to}"
                )
            return array

        return LazyArray(entry.shape, to, read)

    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, LazyArrays({n: checked(n, e) for n, e in arrays.entries.items()}))


def _implied(cls: type[Generator], checkpoint: Checkpoint) -> dict[str, Any]:
    shown = {
        name: entry.read()
        if np.prod(entry.shape) <= _SMALL
        else np.broadcast_to(np.zeros((), entry.dtype), entry.shape)
        for name, entry in checkpoint.arrays.entries.items()
    }
    inferred = cls.infer_config(shown)
    stored = checkpoint.config or {}
    # Where Lightning keeps a module's arguments.
    stored = stored.get("hyper_parameters") or stored
    if not isinstance(stored, Mapping) or not cls.reference_fields & set(stored):
        return inferred
    return over(inferred, cls.reference_config(stored))


def over(inferred: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The inferred arguments, replaced by those given, entry by entry within mappings."""
    merged = {**inferred, **given}
    for name in inferred.keys() & given.keys():
        if isinstance(inferred[name], Mapping) and isinstance(given[name], Mapping):
            merged[name] = {**inferred[name], **given[name]}
    return merged
