"""How the arrays of reference networks are named, and tables made of it."""

import re
from collections.abc import Mapping

import numpy as np

from jax_origin.checkpoints.rename import Layout, Rename, weight_and_bias

Layers = tuple[tuple[str, str, Layout | None], ...]
"""A layer's last name in a family, ours, and how its kernel is laid out (None: a norm)."""


def named(layers: Mapping[str, Layout | None], *theirs: str) -> Layers:
    """A family's names, in the order of our layers."""
    return tuple((name, *ours) for name, ours in zip(theirs, layers.items(), strict=True))


def renames(theirs: str, ours: str, layers: Layers) -> list[Rename]:
    """The lines for layers; `theirs` is a pattern that ends in a dot, or empty."""
    lines: list[Rename] = []
    for name, part, layout in layers:
        weight = "scale" if layout is None else "kernel"
        lines += weight_and_bias(f"{theirs}{name}", f"{ours}.{part}", layout, weight=weight)
    return lines


def linear_of_conv(array: np.ndarray) -> np.ndarray:
    """A linear layer [out, in], or as a convolution of one pixel, [out, in, 1, 1]: [in, out]."""
    return array.reshape(array.shape[:2]).T


def count_places(arrays: Mapping[str, np.ndarray], pattern: str) -> int:
    """How many places there are: one more than the largest number that the pattern finds."""
    found = (re.match(pattern, name) for name in arrays)
    last = max((int(match[1]) for match in found if match), default=-1)
    if last >= len(arrays):  # Numbers that a file makes up would be built one by one.
        raise ValueError(f"one of the {last} places before {pattern}")
    return last + 1
