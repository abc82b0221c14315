"""Tables that say which array of a reference checkpoint becomes which of ours."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

Layout = Callable[[np.ndarray], np.ndarray]


class CheckpointError(ValueError):
    """A weight file that cannot be read, or that does not fit the generator it is read for."""


class Rename(NamedTuple):
    r"""One line of a table: the arrays it speaks of, and what becomes of them.

    Attributes:
      pattern: Regular expression that has to match the whole reference name.
      name: Our name, in which ``\1`` is the pattern's first group; None drops the array; several
        names share it out among them, in equal parts of its last axis (after `layout`).
      layout: Turns the reference's axes into ours; None leaves them as they are.
    """

    pattern: str
    name: str | tuple[str, ...] | None
    layout: Layout | None = None


def rename(arrays: Mapping[str, np.ndarray], table: Sequence[Rename]) -> dict[str, np.ndarray]:
    """Applies a table of renames; the first line that matches an array counts.

    Args:
      arrays: The reference's arrays by name.
      table: The lines, in the order in which they are tried.

    Returns:
      Our arrays by our dotted names.

    Raises:
      CheckpointError: If an array matches no line, two arrays get the same name, or an array's
        shape does not suit its layout.
    """
    renamed: dict[str, np.ndarray] = {}
    for reference, array in arrays.items():
        for line in table:
            match = re.fullmatch(line.pattern, reference)
            if match:
                break
        else:
            raise CheckpointError(f"unexpected array {reference!r} of shape {array.shape}")
        if line.name is None:
            continue
        names = (line.name,) if isinstance(line.name, str) else line.name
        try:
            laid_out = line.layout(array) if line.layout else array
            parts = np.split(laid_out, len(names), axis=-1) if len(names) > 1 else [laid_out]
        except (IndexError, ValueError):  # Too few axes, or a size that does not divide.
            raise CheckpointError(f"{reference!r} has the wrong shape, {array.shape}") from None
        for name, part in zip(names, parts, strict=True):
            ours = match.expand(name)
            if ours in renamed:
                raise CheckpointError(f"two arrays of the checkpoint are called {ours!r} here")
            renamed[ours] = part
    return renamed


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
