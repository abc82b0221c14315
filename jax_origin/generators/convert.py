"""Reads published checkpoints by the rules of a kind of generator, and writes their arrays."""

import os
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
)
from jax_origin.checkpoints.arrays import LazyArray
from jax_origin.checkpoints.networks import View, names_found, preferred, views
from jax_origin.generators.base import Generator

# Arrays of more numbers are described by their shapes alone, until they are wanted.
_SMALL = 2**16


class Reference(NamedTuple):
    """A published checkpoint, understood: the architecture's arguments, and arrays by our names.

    `names` has our names for each of the checkpoint's arrays; none if it is dropped.
    """

    config: dict[str, Any]
    arrays: LazyArrays
    names: dict[str, tuple[str, ...]]


def read_reference(
    path: str | os.PathLike, cls: type[Generator], *, config: Mapping[str, Any] | None = None
) -> Reference:
    """Reads a published checkpoint of any format by the rules of a kind of generator.

    The network may be the whole checkpoint, or lie in it under a prefix. The whole is tried first.
    Of several prefixes that fit, one named as a moving average comes first, then a generator's.

    The configuration is what names and shapes imply, under what the checkpoint says of itself,
    under `config`.

    Args:
      path: As `jax_origin.checkpoints.read_checkpoint` takes it.
      cls: The kind of generator that it holds.
      config: Arguments of the architecture that override both; entry by entry also within an
        argument that is a mapping.

    Raises:
      CheckpointError: If it cannot be read, or not exactly one network in it is of this kind; the
        message says why.
    """
    checkpoint = open_reference(path, cls)
    shown = _Shown(checkpoint.arrays)
    said = checkpoint.config or {}
    # Where Lightning keeps a module's arguments.
    said = said.get("hyper_parameters") or said
    known = isinstance(said, Mapping) and bool(cls.reference_fields & set(said))
    stored = said if known else None
    found: dict[str, Reference] = {}
    failures: list[_Failure] = []
    tried: list[str] = []
    for view in views(checkpoint.arrays, cls.reference_sequential):
        tried += [view.prefix] * bool(view.prefix)
        try:
            found[view.prefix] = _read_view(cls, view, checkpoint.arrays, shown, stored, config)
        except _Failure as failure:
            failures.append(failure)
        if found and not view.prefix:
            break
    if not found:
        # Of all reasons, the one of the reading that came farthest.
        reason = max(failures, key=lambda failure: failure.understood)
        raise CheckpointError(f"{path}: {reason}; {names_found(checkpoint.arrays, tried)}")
    best = preferred(found)
    if len(best) > 1:
        several = ", ".join(sorted(best)[:8])
        raise CheckpointError(
            f"{path}: several networks in it are a {cls.kind}: {several}; save one alone"
        )
    return found[best[0]]


def halves_of(path: str | os.PathLike, cls: type[Generator]) -> dict[str, str]:
    """The two files of an autoencoder, ``encoder`` and ``decoder``; empty where there is one."""
    folder, name = os.path.split(os.fspath(path))
    other = os.path.join(folder, name.replace("decoder", "encoder"))
    if not cls.reference_halves or "decoder" not in name or not os.path.isfile(other):
        return {}
    return {"encoder": other, "decoder": os.fspath(path)}


def open_reference(path: str | os.PathLike, cls: type[Generator]) -> Checkpoint:
    """A checkpoint as a kind of generator reads it; two halves are one."""
    checkpoint = read_checkpoint(path, parts=cls.reference_parts)
    files = halves_of(path, cls)
    if not files:
        return checkpoint
    halves = {half: read_checkpoint(file).arrays for half, file in files.items()}
    entries = {
        name if name.startswith(f"{half}.") else f"{half}.{name}": entry
        for half, arrays in halves.items()
        for name, entry in arrays.entries.items()
    }
    return checkpoint._replace(arrays=LazyArrays(entries))


def rounded(
    arrays: LazyArrays, dtype: np.typing.DTypeLike | None, *, path: str | os.PathLike
) -> LazyArrays:
    """Arrays for a file of this dtype; None keeps each array's own.

    Reading one raises a CheckpointError, which names `path`, if it holds NaN or infinity, or
    numbers too large for the dtype.
    """

    def checked(name: str, entry: LazyArray) -> LazyArray:
        to = np.dtype(dtype) if dtype is not None else entry.dtype

        def read() -> np.ndarray:
            with np.errstate(over="ignore"):
                array = np.asarray(entry.read(), to)
            if not np.isfinite(array.astype(np.float32)).all():
                reason = f"{name} holds NaN or infinity, or values too large for {to}"
                raise CheckpointError(f"{path}: not saved, {reason}")
            return array

        return LazyArray(entry.shape, to, read)

    return LazyArrays({name: checked(name, entry) for name, entry in arrays.entries.items()})


class _Failure(Exception):
    """Why a part of a checkpoint is no network of a kind; `understood` if only nearly."""

    def __init__(self, reason: str, *, understood: bool):
        super().__init__(reason)
        self.understood = understood


def _read_view(
    cls: type[Generator],
    view: View,
    arrays: LazyArrays,
    shown: "_Shown",
    stored: Mapping[str, Any] | None,
    config: Mapping[str, Any] | None,
) -> Reference:
    """Reads one part of a checkpoint's arrays; raises a `_Failure` if it does not fit."""
    where = f"under {view.prefix!a:.60}: " if view.prefix else ""
    understood = False
    try:
        full = cls.infer_config({name: shown[theirs] for name, theirs in view.names.items()})
        understood = True
        if stored is not None:
            full = over(full, cls.reference_config(stored))
        full = over(full, config or {})
        own = LazyArrays({name: arrays.entries[theirs] for name, theirs in view.names.items()})
        inside = set(view.names.values())
        others = {name: e for name, e in arrays.entries.items() if name not in inside}
        own = cls.complete_reference(own, LazyArrays(others), full)
        table = cls.reference_renames(full)
        ours, became = rename(own, table), renamed(own, table)
    except ValueError as error:  # A CheckpointError is one.
        raise _Failure(f"{where}{error}", understood=understood) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        # What a file says of itself, or `config`, is anything at all.
        reason = f"{type(error).__name__}: {error}"
        raise _Failure(
            f"{where}no {cls.kind} config can be made of what it says of itself ({reason:.200})",
            understood=understood,
        ) from None
    names: dict[str, tuple[str, ...]] = dict.fromkeys(arrays, ())
    for name, parts in became.items():
        if (theirs := view.names.get(name, name)) in names:
            names[theirs] = parts
    return Reference(full, ours, names)


class _Shown(dict[str, np.ndarray]):
    """A checkpoint's arrays, each read once at most; a large one is a stand-in of its shape."""

    def __init__(self, arrays: LazyArrays):
        super().__init__()
        self._entries = arrays.entries

    def __missing__(self, name: str) -> np.ndarray:
        entry = self._entries[name]
        if np.prod(entry.shape) <= _SMALL:
            self[name] = entry.read()
        else:
            self[name] = np.broadcast_to(np.zeros((), entry.dtype), entry.shape)
        return self[name]


def over(inferred: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The inferred arguments, replaced by those given, entry by entry within mappings."""
    merged = {**inferred, **given}
    for name in inferred.keys() & given.keys():
        if isinstance(inferred[name], Mapping) and isinstance(given[name], Mapping):
            merged[name] = {**inferred[name], **given[name]}
    return merged
