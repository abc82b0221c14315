"""A calibration: the scores of images of known origin, and what they were computed with."""

import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from reprlib import repr as short_repr
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration.errors import CalibrationError
from jax_origin.calibration.foreign import ForeignGroup, is_number, listed_scores, sound_scores
from jax_origin.calibration.rule import RULES, build_rule
from jax_origin.calibration.start_weights import read_weights, start_path, weights_sha256
from jax_origin.checkpoints import write_safetensors
from jax_origin.files import atomic_write

DECISIONS = ("two_errors", "published")
"""two_errors: p against false exclusion and q against false attribution; published: p alone."""

AS_MADE = "as made"
"""The condition of belonging images that nothing was done to."""

_FORMAT = "jax_origin calibration"
_VERSION = 3
_READABLE = (2, 3)  # a file of version 2 has no conditions, and is the same otherwise
_REMEDY = "make one with scripts/calibrate.py"


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores of images known to belong, of foreign ones by group, and all that they depend on.

    The parts are checked and copied when it is made: arrays become float64 and read-only, and
    plain JSON becomes what a file would give back (tuples become lists), so that a calibration
    saved and loaded equals the one it was.

    Attributes:
      generator: name, fingerprint, latent_shape and image_shape (height, width, channels) of the
        generator that made the belonging images.
      method: name; inversion (its settings); score; rule (a name in RULES); rule_options (the
        rule's options by name, where it has any); decision (a name in DECISIONS); alpha and beta in
        (0, 1), the default rates of error (beta may be None where the decision is "published");
        floor >= 0, from which scores are clamped; reference, the fingerprint of a reference model,
        or None; looks_resized, whether the generator's images look as if they had been resized;
        scored_block, the lanes that were computed together when its scores were.
      belonging: scores of images known to belong, float64 [N], N >= 1, finite, >= 0.
      conditions: scores of the same after an edit, by the edit's name; may be empty. p is the
        largest over all of them and the images as made.
      foreign: foreign groups by name; may be empty.
      seed: what the run's key was made from, where known.
      keys: a plain description of the random keys.
      packages: versions of the packages used, by name.
      platform: the kind of device, in words.
      start: what learned starting points were computed with, for each encoder by its role: its
        configuration, and `sha256` over all weights. None where nothing was learned.
      start_weights: the encoders' weights, by "role.name"; `save` puts them into a file beside the
        calibration's own.
      version: version of the file format.
      path: the file it was loaded from, for messages; not part of the calibration.
    """

    generator: dict[str, Any]
    method: dict[str, Any]
    belonging: NDArray[np.float64]
    foreign: dict[str, ForeignGroup]
    seed: int | None
    keys: dict[str, Any]
    packages: dict[str, str]
    platform: str
    version: int = _VERSION
    start: dict[str, Any] | None = field(default=None, kw_only=True)
    start_weights: Mapping[str, NDArray[Any]] = field(default_factory=dict, kw_only=True)
    conditions: dict[str, NDArray[np.float64]] = field(default_factory=dict, kw_only=True)
    path: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        for name in ("generator", "method", "keys", "packages"):
            object.__setattr__(self, name, _plain_json(getattr(self, name), name))
        _check_fields(self.generator, _GENERATOR_FIELDS, "generator")
        _check_fields(self.method, _METHOD_FIELDS, "method")
        if not isinstance(self.method.get("rule_options", {}), dict):
            raise CalibrationError("method.rule_options must hold the rule's options by name")
        if self.method["beta"] is None and self.method["decision"] != "published":
            raise CalibrationError("method.beta must not be null where the decision needs it")
        for name, number in self.packages.items():
            if not isinstance(number, str):
                raise CalibrationError(f"packages.{name} must be text; got {short_repr(number)}")
        _check_fields(vars(self), _PLAIN_FIELDS, "")
        weights = {name: np.array(array) for name, array in self.start_weights.items()}
        for array in weights.values():
            array.flags.writeable = False
        object.__setattr__(self, "start_weights", weights)
        if self.start is not None:
            plain = {
                **_plain_json(self.start, "start"),
                "sha256": weights_sha256(self.start_weights),
            }
            if self.start.get("sha256", plain["sha256"]) != plain["sha256"]:
                raise CalibrationError("the learned start's weights are not those it was made with")
            object.__setattr__(self, "start", plain)

        object.__setattr__(self, "belonging", sound_scores(self.belonging, "belonging scores"))
        if not isinstance(self.conditions, dict) or AS_MADE in self.conditions:
            raise CalibrationError(f"conditions must hold scores by edit, none called {AS_MADE!r}")
        conditions = {
            name: sound_scores(scores, f"scores of belonging images after {name!r}")
            for name, scores in self.conditions.items()
        }
        object.__setattr__(self, "conditions", conditions)
        for scores in self.belonging_by_condition.values():
            try:
                build_rule(self.method["rule"], scores, **self.rule_options)
            except ValueError as error:
                raise CalibrationError(str(error)) from None
        if not isinstance(self.foreign, dict):
            raise CalibrationError("foreign must hold foreign groups by name")
        for name, group in self.foreign.items():
            if not isinstance(name, str) or not name or not isinstance(group, ForeignGroup):
                raise CalibrationError(f"foreign group {name!r} must be a ForeignGroup with a name")
        object.__setattr__(self, "foreign", dict(self.foreign))

    @property
    def belonging_by_condition(self) -> dict[str, NDArray[np.float64]]:
        """All scores of images known to belong: as made, then after each edit."""
        return {AS_MADE: self.belonging, **self.conditions}

    @property
    def floor(self) -> float:
        """The value from which scores are clamped before they are ranked."""
        return float(self.method["floor"])

    @property
    def rule_options(self) -> dict[str, Any]:
        """The rule's options by name; none unless the method has them."""
        return dict(self.method.get("rule_options", {}))

    @functools.cached_property
    def foreign_digests(self) -> dict[str, str]:
        """The images that the foreign groups are known to be made of: digest to group's name."""
        return {digest: name for name, group in self.foreign.items() for digest in group.digests}

    @property
    def digest(self) -> str:
        """SHA-256 of the calibration's canonical JSON (sorted, without spaces), in hex."""
        canonical = json.dumps(self._content(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Calibration):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self.digest)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the calibration as JSON, whole or not at all; makes the folder if it is missing.

        The weights of a learned start go into a file beside it, `start_path` of its own path.

        Args:
          path: the file to write; one that is there is replaced.

        Raises:
          OSError: the file cannot be written.
        """
        if self.start is not None:
            write_safetensors(start_path(path), self.start_weights)
        with atomic_write(path) as temporary, open(temporary, "w", encoding="ascii") as file:
            json.dump(self._content(), file, indent=1, allow_nan=False)
            file.write("\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Calibration":
        """Reads a calibration that `save` wrote.

        Args:
          path: the file.

        Returns:
          The calibration, equal to the one saved, to the bit.

        Raises:
          CalibrationError: one line that names the file and what is wrong with it.
        """
        where = os.fspath(path)
        content = _read_json(where)
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise CalibrationError(f"{where}: not a calibration; {_REMEDY}")
        version = content.get("version")
        if _is_int(version) and version > _VERSION:
            raise CalibrationError(
                f"{where}: written by a newer jax_origin (file version {version}, this one reads "
                f"up to {_VERSION}): upgrade jax_origin"
            )
        try:
            if _is_int(version) and version in _READABLE:
                content = {
                    **content,
                    "version": _VERSION,
                    "conditions": content.get("conditions", {}),
                }
            missing = [name for name in _FILE_FIELDS if name not in content]
            if missing:
                raise CalibrationError(f"lacks {', '.join(missing)}; {_REMEDY}")
            unknown = sorted(set(content) - {"format", *_FILE_FIELDS})
            if unknown:
                raise CalibrationError(
                    f"has unknown fields: {', '.join(map(repr, unknown))}; {_REMEDY}"
                )
            fields = {name: content[name] for name in _FILE_FIELDS}
            fields["belonging"] = listed_scores(content["belonging"], "belonging scores")
            fields["foreign"] = _listed_groups(content["foreign"])
            fields["conditions"] = _listed_conditions(content["conditions"])
            if fields["start"] is not None:
                fields["start_weights"] = read_weights(start_path(where))
            return cls(**fields, path=where)
        except CalibrationError as error:
            raise CalibrationError(f"{where}: {error}") from None

    def require(
        self,
        *,
        fingerprint: str | None = None,
        generator_name: str | None = None,
        method_name: str | None = None,
    ) -> None:
        """Checks that the calibration was made for this generator and method.

        Args:
          fingerprint: the generator's; where it is given it decides, whatever the name.
          generator_name: the generator's name, which decides where no fingerprint is given.
          method_name: the method's name.

        Raises:
          CalibrationError: it was made for another one; the line says which, and what to do.
        """
        where = f"calibration {self.path}" if self.path else "the calibration"
        name, made_for = self.generator["name"], self.generator["fingerprint"]
        if fingerprint is not None and fingerprint != made_for:
            wanted = "the one" if generator_name is None else repr(generator_name)
            raise CalibrationError(
                f"{where} was made for generator {name!r} (fingerprint {_short(made_for)}), "
                f"not {wanted} (fingerprint {_short(fingerprint)}): {_REMEDY}"
            )
        if fingerprint is None and generator_name is not None and generator_name != name:
            raise CalibrationError(
                f"{where} was made for generator {name!r} (fingerprint {_short(made_for)}), "
                f"not {generator_name!r}: {_REMEDY}"
            )
        if method_name is not None and method_name != self.method["name"]:
            raise CalibrationError(
                f"{where} was made for method {self.method['name']!r}, "
                f"not {method_name!r}: {_REMEDY}"
            )

    def _content(self) -> dict[str, Any]:
        """Returns what a file holds, as plain JSON."""
        content: dict[str, Any] = {"format": _FORMAT}
        content |= {name: getattr(self, name) for name in _FILE_FIELDS}
        content["belonging"] = self.belonging.tolist()
        content["conditions"] = {name: s.tolist() for name, s in self.conditions.items()}
        content["foreign"] = {name: group.to_json() for name, group in self.foreign.items()}
        return content


_FILE_FIELDS = (
    "version",
    "generator",
    "method",
    "seed",
    "keys",
    "packages",
    "platform",
    "start",
    "belonging",
    "conditions",
    "foreign",
)


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(_is_int(size) and size > 0 for size in value)


def _is_rate(value: Any) -> bool:
    return is_number(value) and 0 < value < 1


# Each field's test, and what the field must be in words.
_Fields = dict[str, tuple[Callable[[Any], bool], str]]

_GENERATOR_FIELDS: _Fields = {
    "name": (_is_text, "text"),
    "fingerprint": (_is_text, "text"),
    "latent_shape": (_is_shape, "a list of sizes"),
    "image_shape": (lambda v: _is_shape(v) and len(v) == 3, "height, width and channels"),
}
_METHOD_FIELDS: _Fields = {
    "name": (_is_text, "text"),
    "inversion": (lambda v: isinstance(v, dict), "settings by name"),
    "score": (_is_text, "text"),
    "rule": (lambda v: isinstance(v, str) and v in RULES, f"one of {', '.join(RULES)}"),
    "decision": (lambda v: v in DECISIONS, f"one of {', '.join(DECISIONS)}"),
    "alpha": (_is_rate, "between 0 and 1"),
    "beta": (lambda v: v is None or _is_rate(v), "between 0 and 1, or null"),
    "floor": (lambda v: is_number(v) and v >= 0, "a number, 0 or more"),
    "reference": (lambda v: v is None or _is_text(v), "a fingerprint or null"),
}
_PLAIN_FIELDS: _Fields = {
    "seed": (lambda v: v is None or _is_int(v), "a whole number or null"),
    "platform": (lambda v: isinstance(v, str), "text"),
    "start": (lambda v: v is None or isinstance(v, dict), "what was learned, or null"),
    "version": (lambda v: _is_int(v) and v == _VERSION, f"{_VERSION}"),
}


def _check_fields(values: dict[str, Any], fields: _Fields, where: str) -> None:
    prefix = f"{where}." if where else ""
    for name, (is_sound, words) in fields.items():
        if name not in values:
            raise CalibrationError(f"{where} lacks {name}; {_REMEDY}")
        if not is_sound(values[name]):
            raise CalibrationError(
                f"{prefix}{name} must be {words}; got {short_repr(values[name])}"
            )


def _plain_json(value: Any, name: str) -> dict[str, Any]:
    """Returns a deep copy of value as a JSON file would give it back."""
    try:
        copied = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise CalibrationError(f"{name} must be plain JSON: {error}") from None
    if not isinstance(copied, dict):
        raise CalibrationError(f"{name} must hold values by name; got {short_repr(value)}")
    return copied


def _listed_groups(groups: Any) -> dict[str, ForeignGroup]:
    if not isinstance(groups, dict):
        raise CalibrationError("foreign must hold foreign groups by name")
    read = {}
    for name, group in groups.items():
        try:
            read[name] = ForeignGroup.from_json(group)
        except CalibrationError as error:
            raise CalibrationError(f"foreign group {name!r}: {error}") from None
    return read


def _listed_conditions(conditions: Any) -> dict[str, NDArray[np.float64]]:
    if not isinstance(conditions, dict):
        raise CalibrationError("conditions must hold belonging scores by edit")
    named = {name: f"belonging scores after {name!r}" for name in conditions}
    return {name: listed_scores(conditions[name], words) for name, words in named.items()}


def _read_json(where: str) -> Any:
    try:
        with open(where, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        raise CalibrationError(f"{where}: no such file; {_REMEDY}") from None
    except OSError as error:
        raise CalibrationError(f"{where}: cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise CalibrationError(
            f"{where}: not JSON ({error.msg}, line {error.lineno}); {_REMEDY}"
        ) from None
    except (ValueError, RecursionError):
        raise CalibrationError(f"{where}: not JSON that can be read; {_REMEDY}") from None


def _short(fingerprint: str) -> str:
    return fingerprint if len(fingerprint) <= 12 else f"{fingerprint[:12]}..."
