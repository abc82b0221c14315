"""Generators by name, by directory, or by checkpoint file."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from jax_origin.checkpoints import CheckpointError
from jax_origin.checkpoints.hub import PREFIX as HUB
from jax_origin.generators import Generator, open_generator
from jax_origin.generators.storage import CARD, read_card

ZOO = pathlib.Path(__file__).parent
"""The folder with a directory for each generator."""


def zoo_names(*, calibrated: str | None = None) -> list[str]:
    """The zoo's generators, sorted.

    Args:
      calibrated: A method: those that the zoo ships no calibration of for it are left out.
    """
    names = sorted(card.parent.name for card in ZOO.glob(f"*/{CARD}"))
    if calibrated is None:
        return names
    return [name for name in names if _calibration(name, calibrated).exists()]


def calibration_path(name: str, method: str = "origin") -> pathlib.Path:
    """Where the calibration lies that the zoo ships for a generator and a method.

    Raises:
      CheckpointError: If it ships none.
    """
    path = _calibration(name, method)
    if name not in zoo_names(calibrated=method):
        raise CheckpointError(
            f"the zoo ships no calibration of method {method!r} for {name!r}: make one with "
            "scripts/calibrate.py and pass it with --calibration"
        )
    return path


def load_generator(
    source: str | os.PathLike,
    *,
    kind: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> Generator:
    """Loads a generator, ready to be inspected.

    Args:
      source: A name of the zoo; a directory that `scripts/train_generator.py` or
        `scripts/convert_checkpoint.py` wrote; or a published checkpoint of any format that
        `jax_origin.checkpoints.read_checkpoint` reads, by path or as ``hf://org/name``.
      kind: Which architecture a checkpoint holds, one of `jax_origin.generators.KINDS`.
      config: The architecture's arguments, where the checkpoint neither says nor implies them, or
        others are wanted (a label, the number of steps).

    Returns:
      The generator, in evaluation mode, with its `name` set.

    Raises:
      CheckpointError: If there is no such generator, or it does not load; the message says why.
    """
    source = os.fspath(source)
    path = pathlib.Path(source)
    if source in zoo_names():
        path = ZOO / source
    elif source.startswith(HUB):
        generator = open_generator(source, kind=kind, config=config)
        generator.name = source.removeprefix(HUB)
        return generator
    if not path.exists():
        raise CheckpointError(
            f"{source}: no such generator; the zoo has {', '.join(zoo_names())}, and there is no "
            "such file or directory"
        )
    generator = open_generator(path, kind=kind, config=config)
    ours = (path / CARD).exists()
    named = path.name if path.is_dir() else path.stem
    generator.name = read_card(path).get("name", named) if ours else named
    return generator


def _calibration(name: str, method: str) -> pathlib.Path:
    return ZOO / name / f"calibration-{method}.json"
