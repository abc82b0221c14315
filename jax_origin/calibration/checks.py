"""Checks of scores, rates and plain JSON, and the error of calibrations."""

import json
from collections.abc import Callable, Mapping
from reprlib import repr as short_repr
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

REMEDY = "make one with jax-origin calibrate"

Fields = Mapping[str, tuple[Callable[[Any], bool], str]]
"""Each field's test, and what the field must be, in words."""


class CalibrationError(ValueError):
    """A calibration cannot be read, is unsound, or was made for something else; one line."""


def as_scores(scores: ArrayLike, name: str) -> NDArray[np.float64]:
    """Returns a copy of scores [N], N >= 0, as float64; infinities are allowed.

    Raises:
      ValueError: They are not numbers, not of rank 1, or hold a NaN. The line calls them `name`.
    """
    try:
        array = np.asarray(scores)
        if array.dtype.kind in "bcmMOSU":
            raise TypeError
        array = array.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a row of numbers, one for each image") from None
    if array.ndim != 1:
        raise ValueError(
            f"{name} must have one number for each image, shape [N]; got shape {list(array.shape)}"
        )
    missing = np.flatnonzero(np.isnan(array))
    if missing.size:
        raise ValueError(
            f"{name} hold {missing.size} NaN, the first at index {missing[0]}: leave that image out"
        )
    return array


def finite_scores(
    scores: ArrayLike, name: str, *, at_least: int = 0, user: str = ""
) -> NDArray[np.float64]:
    """As `as_scores`; ValueError also where one is infinite, or `user` needs more of them."""
    array = as_scores(scores, name)
    if array.size < at_least:
        needs = f"{user} needs" if user else "need"
        raise ValueError(f"{needs} at least {at_least} {name}; got {array.size}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite; got an infinite one: leave it out")
    return array


def sound_scores(scores: ArrayLike, name: str) -> NDArray[np.float64]:
    """A read-only float64 copy of scores [N]; CalibrationError unless all are finite and >= 0."""
    try:
        array = as_scores(scores, name)
    except ValueError as error:
        raise CalibrationError(str(error)) from None
    if not array.size:
        raise CalibrationError(f"there are no {name}: need at least one")
    for is_wrong, word in ((~np.isfinite(array), "infinite"), (array < 0, "negative")):
        if is_wrong.any():
            raise CalibrationError(
                f"{name} hold {np.count_nonzero(is_wrong)} {word}, the first at index "
                f"{np.flatnonzero(is_wrong)[0]}: scores are finite and 0 or more"
            )
    array.flags.writeable = False
    return array


def listed_scores(values: Any, name: str) -> NDArray[np.float64]:
    """Scores from plain JSON, float64 [N]; CalibrationError where they are no list of numbers."""
    if not isinstance(values, list) or not all(is_number(value) for value in values):
        raise CalibrationError(f"{name} must be a list of numbers")
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        raise CalibrationError(f"{name} hold a number too large to be a score") from None


def check_rate(rate: float, name: str) -> None:
    """Raises ValueError unless a rate lies strictly between 0 and 1."""
    known: object = rate
    if not isinstance(known, int | float | np.floating):
        raise ValueError(f"{name} must lie strictly between 0 and 1; got {short_repr(known)}")
    if not 0.0 < rate < 1.0:
        raise ValueError(f"{name} must lie strictly between 0 and 1; got {rate}")


def is_number(value: Any) -> bool:
    """Whether a value from JSON is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether a value from JSON is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def plain_json(value: Any, name: str) -> dict[str, Any]:
    """A deep copy of values by name, as JSON gives it back; CalibrationError where it cannot be."""
    try:
        copied = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise CalibrationError(f"{name} must be plain JSON: {error}") from None
    if not isinstance(copied, dict):
        raise CalibrationError(f"{name} must hold values by name; got {short_repr(value)}")
    return copied


def check_fields(values: Mapping[str, Any], fields: Fields, where: str) -> None:
    """Raises CalibrationError unless each field is there and passes its test."""
    prefix = f"{where}." if where else ""
    for name, (is_sound, words) in fields.items():
        if name not in values:
            raise CalibrationError(f"{where} lacks {name}; {REMEDY}")
        if not is_sound(values[name]):
            raise CalibrationError(
                f"{prefix}{name} must be {words}; got {short_repr(values[name])}"
            )


def read_json(path: str) -> Any:
    """The content of a JSON file; raises CalibrationError, one line that names it."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        raise CalibrationError(f"{path}: no such file; {REMEDY}") from None
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise CalibrationError(
            f"{path}: not JSON ({error.msg}, line {error.lineno}); {REMEDY}"
        ) from None
    except (ValueError, RecursionError):
        raise CalibrationError(f"{path}: not JSON that can be read; {REMEDY}") from None
