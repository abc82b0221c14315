"""Like with like: which of a calibration's scores an image is compared with."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration.calibration import AS_MADE, Calibration
from jax_origin.calibration.foreign import ForeignGroup

_AFTER = " after "
_CLEAN = "clean"  # what an edit is called that changes nothing


class Compared(NamedTuple):
    """What images are compared with: belonging scores by condition, foreign groups by name."""

    belonging: dict[str, NDArray[np.float64]]
    foreign: dict[str, ForeignGroup]


class Condition(NamedTuple):
    """How belonging images came about: settings that differ, and then an edit; "" for none."""

    settings: dict[str, Any]
    edit: str


def parse_condition(name: str) -> Condition:
    """Reads a condition's name: an edit, a setting as FIELD=VALUE, or several joined by "+".

    Such as "jpeg-75", "truncation_psi=0.7", "num_steps=50+jpeg-75" or "as made". Settings come
    before edits; a value is JSON, or else text.
    """
    settings, edits = {}, []
    for part in [] if name in (AS_MADE, _CLEAN) else name.split("+"):
        field, is_setting, value = part.partition("=")
        if not is_setting:
            edits.append(part)
            continue
        try:
            settings[field] = json.loads(value)
        except ValueError:
            settings[field] = value
    return Condition(settings, "+".join(edits))


def edited_group(group: str, edit: str) -> str:
    """What a foreign group is called after an edit."""
    return f"{group}{_AFTER}{edit}"


def origin_and_condition(group: str, calibration: Calibration) -> tuple[str, str]:
    """Splits a foreign group's name, such as "photos after jpeg-75", into origin and condition.

    The calibration that has the group says which edits there are.
    """
    origin, _, edit = group.rpartition(_AFTER)
    return (origin, edit) if edit in calibration.conditions else (group, AS_MADE)


def compared_with(calibration: Calibration, conditions: Iterable[str] | None = None) -> Compared:
    """The calibration's scores under some of its conditions, or under all (None).

    Returns:
      Belonging scores under each of them, and the foreign groups that met the same edits, whatever
      the generator's settings. If no group met them, all foreign groups.

    Raises:
      ValueError: There is no condition, or one that the calibration does not have.
    """
    belonging = calibration.belonging_by_condition
    if conditions is None:
        return Compared(belonging, calibration.foreign)
    names = list(dict.fromkeys(conditions))
    if not names:
        raise ValueError("conditions must name at least one that the calibration has")
    for name in names:
        if name not in belonging:
            raise ValueError(
                f"the calibration has no condition {name!r}; it has {', '.join(belonging)}"
            )
    edits = {parse_condition(name).edit or AS_MADE for name in names}
    foreign = {
        group: scores
        for group, scores in calibration.foreign.items()
        if origin_and_condition(group, calibration)[1] in edits
    }
    return Compared({name: belonging[name] for name in names}, foreign or calibration.foreign)
