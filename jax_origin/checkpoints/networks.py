"""Where in a checkpoint one network's arrays lie: under which prefix, beside which others.

People save a generator alone, or wrapped (``_orig_mod.`` of torch.compile, ``module.`` of
DataParallel), or as a part of a larger module (``netG.`` beside ``netD.``), or as one entry of a
training's file (``netG_state_dict`` beside ``optimizer_state_dict``).
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

_DEEPEST, _MOST_PREFIXES = 6, 256
_AVERAGE = frozenset({"ema", "average", "averaged", "averages", "avg", "swa"})
_GENERATOR = frozenset({"g", "gen", "netg", "generator", "decoder", "unet"}) | _AVERAGE
_OTHER = (
    frozenset(
        {
            *("d", "dis", "disc", "discriminator", "netd", "critic", "loss", "criterion", "metric"),
            *("opt", "optim", "optimg", "optimd", "optimizer", "optimizers", "scheduler", "scaler"),
            *("lpips", "vgg", "inception", "fid", "epoch", "step", "rng", "callbacks", "loops"),
        }
    )
    | _GENERATOR
)


class View(NamedTuple):
    """A part of a checkpoint that may be a network: its prefix, and the full name of each name."""

    prefix: str
    names: dict[str, str]


def views(names: Collection[str], sequential: str | None) -> Iterator[View]:
    """The whole of a checkpoint, then the part under each prefix, the outermost first.

    `sequential` is where the family's networks keep their layers. A part whose names begin with
    numbers is a bare ``nn.Sequential`` of these, and is read as if it lay there, but only if what
    lies beside it is surely another network's.
    """
    groups: dict[str, list[str]] = {"": list(names)}
    beside: dict[str, set[str]] = defaultdict(set)
    for name in names:
        prefix = ""
        *parents, leaf = name.split(".", _DEEPEST)
        for part in parents:
            beside[prefix].add(part)
            if not part:  # Such a name is under no prefix.
                break
            prefix = f"{prefix}.{part}" if prefix else part
            groups.setdefault(prefix, []).append(name)
        else:
            beside[prefix].add(leaf)
    order = sorted(groups, key=lambda p: (len(_parts(p)), -len(groups[p]), p))
    for prefix in order[: _MOST_PREFIXES + 1]:
        start = len(prefix) + 1 if prefix else 0
        inside = {name[start:]: name for name in groups[prefix]}
        if sequential is not None and _is_sequential(prefix, inside, beside, sequential):
            inside = {f"{sequential}.{name}": theirs for name, theirs in inside.items()}
        yield View(prefix, inside)


def preferred(prefixes: Iterable[str]) -> list[str]:
    """Of prefixes that all fit, the best: those of averages, of generators, or else all."""
    prefixes = list(prefixes)
    for wanted in (_AVERAGE, _GENERATOR):
        if chosen := [prefix for prefix in prefixes if _words(prefix) & wanted]:
            return chosen
    return prefixes


def names_found(names: Iterable[str], tried: Collection[str]) -> str:
    """What to say of a checkpoint in which nothing fits: its top-level names, the prefixes."""
    tops = dict.fromkeys(name.partition(".")[0] for name in names)
    return f"names found: {_listed(tops)}; prefixes tried: {_listed(tried)}"


def _is_sequential(
    prefix: str, inside: Iterable[str], beside: dict[str, set[str]], sequential: str
) -> bool:
    if prefix.rpartition(".")[2] == sequential or not all(
        re.match(r"\d+\.", name) for name in inside
    ):
        return False
    parent = ""
    for part in _parts(prefix):
        others = beside[parent] - {part}
        named = bool(_words(part) & _GENERATOR)
        if others and not named and not all(_words(other) & _OTHER for other in others):
            return False
        parent = f"{parent}.{part}" if parent else part
    return True


def _parts(prefix: str) -> list[str]:
    return prefix.split(".") if prefix else []


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", name.lower()))


def _listed(names: Collection[str]) -> str:
    shown = [f"{name!a:.42}"[1:-1] if name.isprintable() else f"{name!a:.42}" for name in names]
    return ", ".join(shown[:8]) + (", ..." if len(shown) > 8 else "") or "none"
