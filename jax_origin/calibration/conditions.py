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
    """The scores that images of some conditions are compared with.

    Attributes:
      belonging: Scores of belonging images by condition, at least one.
      foreign: Foreign groups by name, those edited alike.
    """

    belonging: dict[str, NDArray[np.float64]]
    foreign: dict[str, ForeignGroup]


class Condition(NamedTuple):
    """How the belonging images of a condition came about.

    Attributes:
      settings: Settings of the generator that made them, where they differ from the inspected
        one's.
      edit: The edit that they then met; "" for none.
    """

    settings: dict[str, Any]
    edit: str


def parse_condition(name: str) -> Condition:
    """Reads a condition's name: an edit, a setting as FIELD=VALUE, or several joined by "+".

    Args:
      name: Such as "jpeg-75", "truncation_psi=0.7", "num_steps=50+jpeg-75" or "as made". Settings
        come before edits; a value is JSON, or else text.
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
    """Splits a foreign group's name into its origin and the condition that its images met.

    Args:
      group: The name of a foreign group, such as "photos" or "photos after jpeg-75".
      calibration: The calibration that has it; it says which edits there are.
    """
    origin, _, edit = group.rpartition(_AFTER)
    return (origin, edit) if edit in calibration.conditions else (group, AS_MADE)


def compared_with(calibration: Calibration, conditions: Iterable[str] | None = None) -> Compared:
    """The calibration's scores under some of its conditions.

    Args:
      calibration: The calibration.
      conditions: "as made", or edits that it has; None for all.

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
