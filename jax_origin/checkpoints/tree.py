"""Splits the nested value of a pickle into arrays by dotted name and plain values."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jax_origin.checkpoints.arrays import LazyArray, LazyArrays
from jax_origin.checkpoints.pickled import Budget, Known
from jax_origin.checkpoints.plain_globals import PickledArray
from jax_origin.checkpoints.rename import CheckpointError


class Checkpoint(NamedTuple):
    """What a checkpoint holds.

    Attributes:
      arrays: Its arrays by name, each read from the file when it is asked for.
      config: What it says of the architecture, as plain values; None for nothing.
      source: Its path or address.
    """

    arrays: LazyArrays
    config: Mapping[str, Any] | None
    source: str


class Module:
    """A PyTorch module, read as its attributes; its class is neither needed nor run."""

    def __init__(self, attributes: Any = None):
        self.build({} if attributes is None else attributes)

    def build(self, state: Any) -> None:
        """Takes the attributes that the pickle gives the module."""
        if not isinstance(state, dict):
            raise TypeError(f"a {type(state).__name__} of attributes")
        self.attributes: dict[str, Any] = state

    def mapping(self, name: str) -> dict[str, Any]:
        """An attribute that is a dict; an empty one if it is not."""
        value = self.attributes.get(name)
        return value if isinstance(value, dict) else {}


WRAPPERS = frozenset(
    {
        *("state_dict", "model", "model_state_dict", "params", "ema", "ema_state_dict"),
        *("g_ema", "generator", "netG"),
    }
)
"""Keys left out of names when all arrays lie under them."""

TRAINING = frozenset(
    {
        *("optimizer", "optimizers", "optimizer_state", "optimizer_states", "optimizer_state_dict"),
        *("optim", "opt", "scheduler", "lr_scheduler", "lr_schedulers", "scaler", "grad_scaler"),
        *("native_amp_scaling_state", "callbacks", "loops", "hyper_parameters", "rng_state"),
    }
)
"""Keys under which a training checkpoint keeps what is not a weight."""

MODULE_ROOTS = ("G_ema", "ema")
"""Where the generator lies in files of several modules."""

_DEPTH = 64
_NOTHING = object()


def checkpoint_of(tree: Any, budget: Budget, *, root: str | None, source: str) -> Checkpoint:
    """Splits a nested value into arrays and plain values.

    An array's name joins the keys and positions that lead to it with dots; inside a module it is
    the name in the module's state_dict. Names leave out a key of `WRAPPERS` that leads to all
    arrays. Arrays under keys of `TRAINING` do not count, and are dropped with it. In a file of
    modules, the one at `MODULE_ROOTS` is taken by default.

    Raises:
      CheckpointError: If it has no array, none under `root`, or two of one name; or it is nested
        too deeply or inside itself.
    """
    walk = _Walk(budget, source)
    plain = walk.take_apart(tree, (), 0)
    found = walk.found
    if root is None and isinstance(tree, dict):
        root = next((name for name in MODULE_ROOTS if isinstance(tree.get(name), Module)), None)
    if root is None:
        weights = [(path, array) for path, array in found if path[0] not in TRAINING]
        found = weights if _wrapped(weights) else found
        while _wrapped(found):
            found = [(path[1:], array) for path, array in found]
    arrays: dict[str, LazyArray] = {}
    for path, array in found:
        if (name := ".".join(path)) in arrays:
            raise CheckpointError(f"{source}: two arrays are called {name!r:.120}")
        arrays[name] = array
    if not arrays:
        raise CheckpointError(f"{source}: holds no arrays")
    config = plain if isinstance(plain, dict) else {}
    if root is not None:
        config = _at(config, root) or config
    return Checkpoint(select(LazyArrays(arrays), root, source=source), config or None, source)


def select(arrays: LazyArrays, root: str | None, *, source: str) -> LazyArrays:
    """The arrays under a root, or all of them; a CheckpointError if there are none."""
    if root is None:
        return arrays
    chosen = arrays.under(root)
    if not chosen:
        tops = sorted({name.partition(".")[0] for name in arrays})
        shown = ", ".join(tops[:8]) + (", ..." if len(tops) > 8 else "")
        raise CheckpointError(f"{source}: no arrays under root {root!r}; there are {shown:.200}")
    return chosen


def _wrapped(found: list[tuple[tuple[str, ...], LazyArray]]) -> bool:
    tops = {path[0] for path, _ in found}
    return len(tops) == 1 and tops <= WRAPPERS and all(len(path) > 1 for path, _ in found)


def _at(config: dict[str, Any], root: str) -> dict[str, Any] | None:
    value: Any = config
    for key in root.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None


class _Walk:
    """Collects the arrays of a tree, and returns the rest of it."""

    def __init__(self, budget: Budget, source: str):
        self.budget, self.source = budget, source
        self.found: list[tuple[tuple[str, ...], LazyArray]] = []

    def take_apart(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        """The plain values, as JSON has them; `_NOTHING` for anything else."""
        self.budget.spend(1)
        if depth > _DEPTH:
            reason = f"refused: nested more than {_DEPTH} deep, or inside itself"
            raise CheckpointError(f"{self.source}: {reason}")
        if value is None or type(value) in (str, int, float, bool):
            return value
        if isinstance(value, PickledArray):
            self.keep(path or ("array",), value)
            return _NOTHING
        if isinstance(value, Known):
            return value.name
        if isinstance(value, Module):
            self.module(value, path, "", depth)
            return self.arguments(value, depth)
        if isinstance(value, dict):
            return self.members(value.items(), path, depth)
        if isinstance(value, (list, tuple)):
            parts = self.members(enumerate(value), path, depth)
            whole = isinstance(parts, dict) and len(parts) == len(value)
            return list(parts.values()) if whole else parts
        if isinstance(value, (set, frozenset)):
            self.budget.spend(len(value))
            return sorted(value, key=str)
        return _NOTHING

    def members(self, items: Any, path: tuple[str, ...], depth: int) -> Any:
        plain, count = {}, 0
        for key, member in items:
            count += 1
            name = str(key)
            self.budget.spend(len(name) >> 5)
            part = self.take_apart(member, (*path, name), depth + 1)
            if part is not _NOTHING:
                plain[name] = part
        return plain if plain or not count else _NOTHING

    def module(self, module: Module, path: tuple[str, ...], prefix: str, depth: int) -> None:
        self.budget.spend(1 + (len(prefix) >> 5))
        if depth > _DEPTH:
            raise CheckpointError(f"{self.source}: refused: modules nested inside themselves")
        unsaved = module.attributes.get("_non_persistent_buffers_set")
        for kind in ("_parameters", "_buffers"):
            for name, value in module.mapping(kind).items():
                self.budget.spend(1)
                if kind == "_buffers" and isinstance(unsaved, set) and name in unsaved:
                    continue
                if isinstance(value, PickledArray):
                    self.keep((*path, f"{prefix}{name}"), value)
        for name, child in module.mapping("_modules").items():
            if isinstance(child, Module):
                self.module(child, path, f"{prefix}{name}.", depth + 1)

    def arguments(self, module: Module, depth: int) -> Any:
        """The arguments that a StyleGAN module was made with."""
        arguments = dict(module.mapping("_init_kwargs"))
        if module.attributes.get("_init_args"):
            arguments["_init_args"] = module.attributes["_init_args"]
        # In a walk of its own: arrays among the arguments are no weights.
        walk = _Walk(self.budget, self.source)
        return walk.take_apart(arguments, (), depth + 1) if arguments else _NOTHING

    def keep(self, path: tuple[str, ...], value: PickledArray) -> None:
        # One array may be reached along very many, very long paths.
        self.budget.spend(len(path) + (sum(map(len, path)) >> 5))
        if value.array is None:
            raise CheckpointError(f"{self.source}: damaged pickle (an array without its data)")
        self.found.append((path, value.array))
