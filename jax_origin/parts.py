"""Parts: the small frozen values that recipes and methods are made of, and how a file holds them.

A part is a frozen dataclass. Each belongs to a family (distance, solver, start, score, rule,
decision) and has a kind within it, the name by which files, configs and flags know it. `register`
adds a class of your own, so that what was saved with it can be loaded.
"""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self, TypeVar

_KINDS: dict[str, dict[str, type["Part"]]] = {}


@dataclasses.dataclass(frozen=True)
class Part:
    """What every part can do: become plain JSON, and be read from it.

    Attributes:
      family: What the part is for; "" where there is one class alone.
      kind: Its name within the family.
      nested: Fields that hold other parts, or tuples of them, with the class of these.
      unsaid: What a file means that lacks a field, where that is not the field's default.
    """

    family: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    nested: ClassVar[Mapping[str, type["Part"]]] = {}
    unsaid: ClassVar[Mapping[str, Any]] = {}

    def to_json(self) -> dict[str, Any]:
        """The part as plain JSON values; raises ValueError if a field holds what no file can."""
        values = {f.name: _plain(getattr(self, f.name), self) for f in dataclasses.fields(self)}
        return {"kind": self.kind, **values} if self.family else values

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Reads a part of this family; raises ValueError if a kind, field or value is wrong."""
        if isinstance(values, cls):
            return values
        if not isinstance(values, Mapping):
            raise ValueError(f"{cls.__name__} is made of values by name, not of {values!r:.100}")
        fields = dict(values)
        made: type[Self] = named(cls, fields.pop("kind", None)) if cls.family else cls
        fields = {**made.unsaid, **fields}
        known = [field.name for field in dataclasses.fields(made)]
        for name in fields:
            if name not in known:
                raise ValueError(f"{made.__name__} has no {name!r}{suggestion(name, known)}")
        for name, of in made.nested.items():
            if isinstance(fields.get(name), list | tuple):
                fields[name] = tuple(map(of.from_json, fields[name]))
            elif fields.get(name) is not None:
                fields[name] = of.from_json(fields[name])
        try:
            return made(**fields)
        except TypeError as error:
            raise ValueError(f"{made.__name__}: {error}") from None


AnyPart = TypeVar("AnyPart", bound=type[Part])


def register(cls: AnyPart) -> AnyPart:
    """Makes a part known by its kind, so that a file that holds it can be loaded.

    Use it as a decorator on a frozen dataclass that derives from a family's base class, such as
    `jax_origin.distances.Distance`. A class that is defined again, as in a notebook, replaces the
    one before.

    Args:
      cls: The class; it is returned as it is.

    Raises:
      TypeError: If the class is no frozen dataclass of a family, or has no kind.
      ValueError: If another class of the family has this kind.
    """
    # Its own, not those of the class that it derives from.
    params = getattr(cls, "__dict__", {}).get("__dataclass_params__")
    frozen = params is not None and params.frozen
    if not (isinstance(cls, type) and issubclass(cls, Part) and cls.family and frozen):
        raise TypeError(
            f"{getattr(cls, '__name__', cls)!r} cannot be registered: derive it from a part such "
            "as jax_origin.distances.Distance, and decorate it: @dataclasses.dataclass(frozen=True)"
        )
    if not cls.kind:
        raise TypeError(f"{cls.__name__} has no kind: give it one, such as kind = 'my_own'")
    kinds = _KINDS.setdefault(cls.family, {})
    before = kinds.get(cls.kind, cls)
    if (before.__module__, before.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(
            f"the {cls.family} {cls.kind!r} is {before.__module__}.{before.__qualname__}: give "
            f"{cls.__name__} another kind"
        )
    kinds[cls.kind] = cls
    return cls


def kinds_of(base: type[Part]) -> list[str]:
    """The kinds of a family that are registered."""
    return list(_KINDS.get(base.family, {}))


def named(base: type[Part], kind: Any) -> type[Any]:
    """The class of this kind in the family of `base`; raises ValueError if there is none."""
    kinds = _KINDS.get(base.family, {})
    found = kinds.get(kind) if isinstance(kind, str) else None
    if found is None:
        raise ValueError(
            f"unknown {base.family} {kind!r}; choose from {', '.join(kinds)}"
            f"{suggestion(str(kind), kinds)}; a class of your own must be registered before "
            "(jax_origin.register)"
        )
    return found


def suggestion(value: str, choices: Iterable[str]) -> str:
    """What was probably meant, as the end of a message; empty where nothing is near."""
    close = difflib.get_close_matches(value, list(choices), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def one_of(name: str, value: Any, choices: Iterable[str]) -> None:
    """Raises ValueError unless a setting is one of these."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(
            f"{name}={value!r}: choose from {', '.join(choices)}{suggestion(str(value), choices)}"
        )


def at_least(name: str, value: Any, least: int) -> None:
    """Raises ValueError unless a setting is a whole number of at least this."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def _plain(value: Any, of: Part) -> Any:
    if isinstance(value, Part):
        return value.to_json()
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(item, of) for name, item in value._asdict().items()}
    if isinstance(value, tuple | list):
        return [_plain(item, of) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"{type(of).__name__} holds {type(value).__name__}, which no file can: derive a part of "
        "your own that makes it, and register that"
    )


def installing(extra: str) -> str:
    """What to type for an extra of the package, however the package was installed."""
    return f"pip install 'jax_origin[{extra}]', in a checkout pip install -e '.[{extra}]'"
