"""A calibration: the scores of images of known origin, and what they were computed with."""

import functools
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import old_files
from jax_origin.calibration.checks import (
    REMEDY,
    CalibrationError,
    Fields,
    check_fields,
    is_number,
    is_whole,
    listed_scores,
    plain_json,
    read_json,
    sound_scores,
)
from jax_origin.calibration.decision_rules import DecisionRule, Rates
from jax_origin.calibration.foreign import ForeignGroup
from jax_origin.calibration.measured import Measured
from jax_origin.calibration.rules import Rule
from jax_origin.checkpoints import CheckpointError, read_safetensors, write_safetensors
from jax_origin.files import atomic_write
from jax_origin.parts import Part

AS_MADE = "as made"
"""The condition of belonging images that nothing was done to."""

_FORMAT = "jax_origin calibration"
_VERSION = 5
_NEXT = re.compile(r",\n\s+")
_Part = TypeVar("_Part", bound=Part)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Calibration:
    """Scores of images known to belong, of foreign ones by group, and all that they depend on.

    Each part is checked and copied. Arrays become read-only, and plain JSON becomes what a file
    would give back (tuples become lists). So what is saved and loaded equals what it was.

    Attributes:
      generator: name, fingerprint, latent_shape and image_shape (height, width, channels) of the
        generator that made the belonging images; of an autoencoder also its decoder: fingerprint,
        and family and models where they are known.
      method: The method as JSON: name, recipe, score, rule, decision, rates (alpha; and beta, if
        the decision judges q), floor >= 0, and what else `Method.to_json` gives.
      belonging: Scores of images known to belong, float64 [N], N >= 1, finite, >= 0.
      foreign: Foreign groups by name; may be empty.
      conditions: Scores of belonging images after an edit, by the edit's name; may be empty.
      measured: What else was measured of the generator and the run.
      reference: Fingerprint of the reference model; None without one.
      seed: What the run's key was made from, where known.
      keys: A plain description of the random keys.
      packages: Versions of the packages used, by name.
      platform: The kind of device, in words.
      encoders: Each trained encoder's configuration, by role, and `sha256` over all weights; None
        where no encoder was trained.
      encoder_weights: The encoders' weights, by "role.name".
      path: The file it was loaded from, for messages; not part of the calibration.

    Raises:
      CalibrationError: A part is unsound; one line.
    """

    generator: dict[str, Any]
    method: dict[str, Any]
    belonging: NDArray[np.float64]
    foreign: dict[str, ForeignGroup]
    conditions: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    measured: Measured = field(default_factory=Measured)
    reference: str | None = None
    seed: int | None
    keys: dict[str, Any]
    packages: dict[str, str]
    platform: str
    encoders: dict[str, Any] | None = None
    encoder_weights: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    path: str = ""

    def __post_init__(self) -> None:
        for name in ("generator", "method", "keys", "packages"):
            self._set(name, plain_json(getattr(self, name), name))
        check_fields(self.generator, _GENERATOR_FIELDS, "generator")
        check_fields(self.method, _METHOD_FIELDS, "method")
        check_fields(self.packages, dict.fromkeys(self.packages, _TEXT), "packages")
        check_fields(vars(self), _PLAIN_FIELDS, "")
        self._set("measured", Measured.from_json(self.measured))
        self.rates.require(judges_q=self.decision.judges_q)
        self._copy_encoders()
        self._copy_scores()

    def _copy_encoders(self) -> None:
        weights = {name: np.array(array) for name, array in self.encoder_weights.items()}
        for array in weights.values():
            array.flags.writeable = False
        self._set("encoder_weights", weights)
        if self.encoders is not None:
            plain = plain_json(self.encoders, "encoders") | {"sha256": _weights_sha256(weights)}
            if self.encoders.get("sha256", plain["sha256"]) != plain["sha256"]:
                raise CalibrationError("the learned start's weights are not those it was made with")
            self._set("encoders", plain)

    def _copy_scores(self) -> None:
        self._set("belonging", sound_scores(self.belonging, "belonging scores"))
        if not isinstance(self.conditions, dict) or AS_MADE in self.conditions:
            raise CalibrationError(f"conditions must hold scores by edit, none called {AS_MADE!r}")
        named = {name: f"scores of belonging images after {name!r}" for name in self.conditions}
        self._set("conditions", {n: sound_scores(self.conditions[n], w) for n, w in named.items()})
        try:
            for scores in self.belonging_by_condition.values():
                self.rule.fit(scores)
        except ValueError as error:
            raise CalibrationError(str(error)) from None
        if not isinstance(self.foreign, dict):
            raise CalibrationError("foreign must hold foreign groups by name")
        for name, group in self.foreign.items():
            if not isinstance(name, str) or not name or not isinstance(group, ForeignGroup):
                raise CalibrationError(f"foreign group {name!r} must be a ForeignGroup with a name")
        self._set("foreign", dict(self.foreign))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @functools.cached_property
    def rule(self) -> Rule:
        """The rule that turns a score into p."""
        return self._part(Rule, "rule")

    @functools.cached_property
    def decision(self) -> DecisionRule:
        """The rule that turns p and q into a verdict."""
        return self._part(DecisionRule, "decision")

    @functools.cached_property
    def rates(self) -> Rates:
        """The rates of error by default."""
        return self._part(Rates, "rates")

    @property
    def floor(self) -> float:
        """The value from which scores are clamped before they are ranked."""
        return float(self.method["floor"])

    @property
    def enough(self) -> float:
        """An image is judged if its least score is at most this; infinite where all are."""
        enough = self.method.get("enough")
        return np.inf if enough is None else float(enough)

    @property
    def belonging_by_condition(self) -> dict[str, NDArray[np.float64]]:
        """All scores of images known to belong: as made, then after each edit."""
        return {AS_MADE: self.belonging, **self.conditions}

    @functools.cached_property
    def foreign_digests(self) -> dict[str, str]:
        """The group's name by each digest of an image that a foreign group was made of."""
        return {digest: name for name, group in self.foreign.items() for digest in group.digests}

    @property
    def digest(self) -> str:
        """SHA-256 of the calibration's canonical JSON (sorted, without spaces), in hex."""
        canonical = json.dumps(self._content(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    def __repr__(self) -> str:
        name, of = self.method["name"], self.generator["name"]
        return (
            f"Calibration({name!r} of {of!r}: {self.belonging.size} belonging scores, "
            f"{1 + len(self.conditions)} conditions, {len(self.foreign)} foreign groups, "
            f"digest {_short(self.digest)})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Calibration):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self.digest)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the calibration as JSON, whole or not at all; makes the folder if it is missing.

        A file that is there is replaced; OSError is raised where it cannot be written. The
        encoders' weights go into a file beside it, `start_path` of its own path.
        """
        if self.encoders is not None:
            write_safetensors(start_path(path), self.encoder_weights)
        with atomic_write(path) as temporary, open(temporary, "w", encoding="ascii") as file:
            file.write(_in_lines(self._content()))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Calibration":
        """Reads a calibration that `save` wrote, to the bit, or one of an older file version.

        Raises:
          CalibrationError: One line that names the file and what is wrong with it.
        """
        where = os.fspath(path)
        content = read_json(where)
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise CalibrationError(f"{where}: not a calibration; {REMEDY}")
        version = content.get("version")
        if is_whole(version) and version > _VERSION:
            raise CalibrationError(
                f"{where}: written by a newer jax_origin (file version {version}, this one reads "
                f"up to {_VERSION}): upgrade jax_origin"
            )
        try:
            if is_whole(version) and version in old_files.VERSIONS:
                content = old_files.as_version_5(content)
            return cls(**_fields(content, where), path=where)
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

        The generator's fingerprint decides, whatever the name; where it is not given, the name.

        Raises:
          CalibrationError: It was made for another one; the line says which, and what to do.
        """
        where = f"calibration {self.path}" if self.path else "the calibration"
        name, made_for = self.generator["name"], self.generator["fingerprint"]
        of_generator = f"{where} was made for generator {name!r} (fingerprint {_short(made_for)})"
        if fingerprint is not None and fingerprint != made_for:
            wanted = "the one" if generator_name is None else repr(generator_name)
            raise CalibrationError(
                f"{of_generator}, not {wanted} (fingerprint {_short(fingerprint)}): {REMEDY}"
            )
        if fingerprint is None and generator_name is not None and generator_name != name:
            raise CalibrationError(f"{of_generator}, not {generator_name!r}: {REMEDY}")
        if method_name is not None and method_name != self.method["name"]:
            raise CalibrationError(
                f"{where} was made for method {self.method['name']!r}, "
                f"not {method_name!r}: {REMEDY}"
            )

    def _part(self, of: type[_Part], name: str) -> _Part:
        try:
            return of.from_json(self.method[name])
        except ValueError as error:
            raise CalibrationError(f"method.{name}: {error}") from None

    def _content(self) -> dict[str, Any]:
        """What a file holds, as plain JSON."""
        content: dict[str, Any] = {"format": _FORMAT, "version": _VERSION}
        content |= {name: getattr(self, name) for name in _FILE_FIELDS}
        content["measured"] = self.measured.to_json()
        content["belonging"] = self.belonging.tolist()
        content["conditions"] = {name: s.tolist() for name, s in self.conditions.items()}
        content["foreign"] = {name: group.to_json() for name, group in self.foreign.items()}
        return content


_FILE_FIELDS = (
    *("generator", "method", "measured", "reference", "seed", "keys", "packages", "platform"),
    *("encoders", "belonging", "conditions", "foreign"),
)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(is_whole(size) and size > 0 for size in value)


def _or_none(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or test(value)


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and _is_text(value.get("kind"))


_TEXT = (lambda value: isinstance(value, str), "text")
_GENERATOR_FIELDS: Fields = {
    "name": (_is_text, "text"),
    "fingerprint": (_is_text, "text"),
    "latent_shape": (_is_shape, "a list of sizes"),
    "image_shape": (lambda v: _is_shape(v) and len(v) == 3, "height, width and channels"),
}
_METHOD_FIELDS: Fields = {
    "name": (_is_text, "text"),
    "recipe": (lambda v: isinstance(v, dict), "settings by name"),
    **dict.fromkeys(("score", "rule", "decision"), (_is_part, "a part with its kind")),
    "rates": (lambda v: isinstance(v, dict), "rates by name"),
    "floor": (lambda v: is_number(v) and v >= 0, "a number, 0 or more"),
}
_PLAIN_FIELDS: Fields = {
    "reference": (_or_none(_is_text), "a fingerprint or null"),
    "seed": (_or_none(is_whole), "a whole number or null"),
    "platform": _TEXT,
    "encoders": (_or_none(lambda v: isinstance(v, dict)), "encoders by role, or null"),
}


def _fields(content: dict[str, Any], where: str) -> dict[str, Any]:
    """What `Calibration` is made of, from a file's content of the present version."""
    missing = [name for name in ("version", *_FILE_FIELDS) if name not in content]
    if missing:
        raise CalibrationError(f"lacks {', '.join(missing)}; {REMEDY}")
    unknown = sorted(set(content) - {"format", "version", *_FILE_FIELDS})
    if unknown:
        raise CalibrationError(f"has unknown fields: {', '.join(map(repr, unknown))}; {REMEDY}")
    is_present = is_whole(content["version"]) and content["version"] == _VERSION
    check_fields(content, {"version": (lambda _: is_present, f"{_VERSION}")}, "")
    given = {name: content[name] for name in _FILE_FIELDS}
    given["belonging"] = listed_scores(given["belonging"], "belonging scores")
    if isinstance(given["conditions"], dict):
        given["conditions"] = {
            name: listed_scores(scores, f"belonging scores after {name!r}")
            for name, scores in given["conditions"].items()
        }
    if isinstance(given["foreign"], dict):
        given["foreign"] = {name: _group(name, plain) for name, plain in given["foreign"].items()}
    if given["encoders"] is not None:
        try:
            given["encoder_weights"] = read_safetensors(start_path(where))
        except CheckpointError as error:
            raise CalibrationError(
                f"its learned start cannot be read ({error}); the two files belong together"
            ) from None
    return given


def _group(name: str, plain: Any) -> ForeignGroup:
    try:
        return ForeignGroup.from_json(plain)
    except CalibrationError as error:
        raise CalibrationError(f"foreign group {name!r}: {error}") from None


def start_path(path: str | os.PathLike[str]) -> str:
    """Where a calibration's encoder weights lie: beside the calibration itself."""
    return f"{os.path.splitext(os.fspath(path))[0]}.start.safetensors"


def _weights_sha256(weights: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over the weights' names, types, shapes and numbers, in hex."""
    digest = hashlib.sha256()
    for name, array in sorted(weights.items()):
        digest.update(f"\0{name}\0{array.dtype}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _in_lines(content: dict[str, Any]) -> str:
    """JSON with a line for each value, and one for each list of numbers or words."""
    text = json.dumps(content, indent=1, allow_nan=False)
    listed = re.sub(
        r"\[\n\s+([^][{}]*?)\n\s*\]", lambda found: f"[{_NEXT.sub(', ', found[1])}]", text
    )
    return listed + "\n"


def _short(fingerprint: str) -> str:
    return fingerprint if len(fingerprint) <= 12 else f"{fingerprint[:12]}..."
