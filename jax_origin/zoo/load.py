"""Generators by name, directory, checkpoint file, or a factory of one's own."""

import importlib
import os
import pathlib
import re
import sys
from collections.abc import Mapping
from typing import Any

from flax import nnx

from jax_origin.checkpoints import CheckpointError
from jax_origin.checkpoints.hub import PREFIX as HUB
from jax_origin.generators import GeneratorLike, inspected, open_generator, register_decoder
from jax_origin.generators.files import CARD, read_card
from jax_origin.parts import suggestion
from jax_origin.zoo.members import absent_names, member_folder, not_here, zoo_names

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def load_generator(
    source: str | os.PathLike, *, kind: str | None = None, config: Mapping[str, Any] | None = None
) -> GeneratorLike:
    """Loads a generator, ready to be inspected.

    Args:
      source: One of

        - a name of the zoo;
        - a directory that training or conversion wrote (`save_generator`, `convert_checkpoint`);
        - a published checkpoint of any format that `jax_origin.checkpoints.read_checkpoint` reads,
          by path or as ``hf://org/name``, with ``/folder`` or ``/file`` behind it;
        - ``package.module:factory``: a class or function of your own that returns a generator, or a
          generator. The module is looked for as Python does, then in the current directory.
      kind: Which architecture a checkpoint holds, one of `jax_origin.generators.KINDS`.
      config: The architecture's arguments, over those that the checkpoint says or implies, such as
        a label or the number of steps. A factory gets the entries of `config`, and `kind` if it is
        given, as keyword arguments.

    Returns:
      The generator, in evaluation mode, with its `name` set.

    Raises:
      CheckpointError: If there is no such generator, or it does not load; one line says why.
    """
    source = os.fspath(source)
    path = pathlib.Path(source)
    if (member := member_folder(source)) is not None:
        path = member
    elif source.startswith(HUB):
        generator = open_generator(source, kind=kind, config=config)
        generator.name = source.removeprefix(HUB)
        return generator
    elif _FACTORY.fullmatch(source) and not path.exists():
        return _made(source, {**(config or {}), **({} if kind is None else {"kind": kind})})
    if not path.exists():
        if source in absent_names():
            raise CheckpointError(not_here(source))
        raise CheckpointError(
            f"{source}: no such generator; the zoo has {', '.join(zoo_names())}, and there is no "
            "such file or directory (package.module:factory names one of your own)"
        )
    generator = open_generator(path, kind=kind, config=config)
    card = read_card(path) if (path / CARD).exists() else {}
    generator.name = card.get("name", path.name if path.is_dir() else path.stem)
    if (family := card.get("decoder_family")) is not None:
        try:
            register_decoder(generator, family["name"], family["models"])
        except (KeyError, TypeError):
            raise CheckpointError(
                f"{path / CARD}: decoder_family needs a name and models, and an autoencoder"
            ) from None
    return generator


def _made(source: str, arguments: dict[str, Any]) -> GeneratorLike:
    """What a factory named ``package.module:factory`` returns for these arguments."""
    module, _, name = source.partition(":")
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise CheckpointError(f"{source}: {module} imports {error.name}, not found") from None
        reason = f"no module {error.name} on Python's path or in {here}"
        raise CheckpointError(f"{source}: {reason}") from None
    except Exception as error:  # The user's own code may raise anything.
        raise CheckpointError(f"{source}: importing {module} raised {_in_words(error)}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise CheckpointError(f"{source}: {module} has no {name}{suggestion(part, dir(found))}")
        found = getattr(found, part)
    try:
        made: Any = found if isinstance(found, nnx.Module) else found(**arguments)
    except Exception as error:
        raise CheckpointError(f"{source}: {name} raised {_in_words(error)}") from error
    if not isinstance(made, nnx.Module):
        raise CheckpointError(
            f"{source}: {name} returned {type(made).__name__}, no generator: return an nnx.Module "
            "such as jax_origin.FunctionGenerator(fn, params, latent_shape=..., image_shape=...)"
        )
    try:
        if not getattr(made, "name", None):
            made.name = name.rpartition(".")[2]  # type: ignore[attr-defined]
        return inspected(made)
    except Exception as error:  # inspected runs it once.
        own = str(error) if isinstance(error, ValueError) else _in_words(error)
        raise CheckpointError(f"{source}: {' '.join(own.split())}") from error


def _in_words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
