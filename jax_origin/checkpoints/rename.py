"""Tables that map the arrays of a reference checkpoint to ours."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jax_origin.checkpoints.arrays import LazyArray, LazyArrays

Layout = Callable[[np.ndarray], np.ndarray]


class CheckpointError(ValueError):
    """A weight file that cannot be read, or that does not fit the generator it is read for."""


class Rename(NamedTuple):
    r"""One line of a table: which arrays it matches, and what they become.

    Attributes:
      pattern: Regular expression that has to match the whole reference name.
      name: Our name, in which ``\1`` is the pattern's first group; None drops the array. Several
        names split it into equal parts along its last axis, after `layout`.
      layout: Turns the reference's axes into ours; None leaves them as they are.
    """

    pattern: str
    name: str | tuple[str, ...] | None
    layout: Layout | None = None


def rename(arrays: Mapping[str, np.ndarray], table: Sequence[Rename]) -> LazyArrays:
    """Applies a table of renames; the first line that matches an array counts.

    It reads no array. A layout is tried on a stand-in of the same shape, and applied to the array
    itself when that is read.

    Returns:
      Our arrays by our dotted names.

    Raises:
      CheckpointError: If an array matches no line, two arrays get the same name, or an array's
        shape does not suit its layout.
    """
    found: dict[str, LazyArray] = {}
    entries = LazyArrays.of(arrays).entries
    for reference, line, names in _matches(entries, table):
        entry = entries[reference]
        if line is None:
            raise CheckpointError(f"unexpected array {reference!r} of shape {entry.shape}")
        if not names:
            continue
        try:
            parts = _parts(entry, line.layout, len(names))
        except (IndexError, ValueError):  # Too few axes, or a size that does not divide.
            raise CheckpointError(f"{reference!r} has the wrong shape, {entry.shape}") from None
        for ours, part in zip(names, parts, strict=True):
            if ours in found:
                raise CheckpointError(f"two arrays of the checkpoint become {ours!r}")
            found[ours] = part
    return LazyArrays(found)


def renamed(names: Iterable[str], table: Sequence[Rename]) -> dict[str, tuple[str, ...]]:
    """Our names for each name; none if it is dropped or matches no line."""
    return {reference: ours for reference, _, ours in _matches(names, table)}


def _matches(
    names: Iterable[str], table: Sequence[Rename]
) -> Iterator[tuple[str, Rename | None, tuple[str, ...]]]:
    """For each name the first line that matches it, and our names for it."""
    # Compiled here: a table has more lines than `re` remembers patterns.
    lines = [(re.compile(line.pattern), line) for line in table]
    for reference in names:
        found = ((pattern.fullmatch(reference), line) for pattern, line in lines)
        match, line = next(((m, line) for m, line in found if m), (None, None))
        if match is None or line is None or line.name is None:
            yield reference, line, ()
        else:
            ours = (line.name,) if isinstance(line.name, str) else line.name
            yield reference, line, tuple(match.expand(name) for name in ours)


def conv(array: np.ndarray) -> np.ndarray:
    """PyTorch's Conv2d kernel [out, in, h, w] as ours, [h, w, in, out]."""
    return array.transpose(2, 3, 1, 0)


def transposed_conv(array: np.ndarray) -> np.ndarray:
    """PyTorch's ConvTranspose2d kernel [in, out, h, w] as ours, [h, w, in, out]."""
    return array.transpose(2, 3, 0, 1)


def linear(array: np.ndarray) -> np.ndarray:
    """PyTorch's Linear weight [out, in] as ours, [in, out]."""
    return array.T


def linear_from_grid(side: int) -> Layout:
    """Linear weight whose input was flattened from [C, side, side], for one flattened from NHWC."""

    def layout(array: np.ndarray) -> np.ndarray:
        out = array.shape[0]
        return array.reshape(out, -1, side, side).transpose(2, 3, 1, 0).reshape(-1, out)

    return layout


def linear_to_grid(side: int) -> Layout:
    """Linear weight or bias whose output is read as [C, side, side], for one read as NHWC."""

    def layout(array: np.ndarray) -> np.ndarray:
        grid = array.reshape(-1, side, side, *array.shape[1:])
        return np.moveaxis(grid, 0, 2).reshape(array.shape).T

    return layout


def weight_and_bias(
    theirs: str, ours: str, layout: Layout | None = None, *, weight: str = "kernel"
) -> list[Rename]:
    """The lines for a layer's weight and bias; `theirs` is a pattern, without its last dot."""
    kernel = Rename(rf"{theirs}\.weight", f"{ours}.{weight}", layout)
    return [kernel, Rename(rf"{theirs}\.bias", f"{ours}.bias")]


def batch_norm(theirs: str, ours: str) -> list[Rename]:
    """The lines for one of PyTorch's BatchNorm2d; `theirs` is a pattern, without its last dot."""
    names = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
    lines = [Rename(rf"{theirs}\.{part}", f"{ours}.{name}") for part, name in names.items()]
    return [*lines, Rename(rf"{theirs}\.num_batches_tracked", None)]


def _parts(entry: LazyArray, layout: Layout | None, count: int) -> list[LazyArray]:
    """The array after its layout, in equal parts of its last axis, none of them read yet."""
    if layout is None and count == 1:
        return [entry]

    def read(array: np.ndarray) -> list[np.ndarray]:
        laid_out = layout(array) if layout else array
        return np.split(laid_out, count, axis=-1) if count > 1 else [laid_out]

    def part(i: int) -> LazyArray:
        return LazyArray(stand_ins[i].shape, stand_ins[i].dtype, lambda: read(entry.read())[i])

    # One number under strides of zero: it has the shape and takes no memory.
    stand_ins = read(np.broadcast_to(np.zeros((), entry.dtype), entry.shape))
    return [part(i) for i in range(count)]
