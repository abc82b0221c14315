"""The likelihood ratios of records, and their numbers and words as columns."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import DRIFT, EDITED, IN_PART, Calibration
from jax_origin.calibration.decision_rules import TOO_LITTLE
from jax_origin.evidence import cautious_log10_lr, scores_under
from jax_origin.evidence.ratios import CautiousRatio
from jax_origin.images import share_of_chances

Record = Mapping[str, Any]


class Words(NamedTuple):
    """A text of each of N records: its place in the list of all, int32 [N]; -1 for none."""

    codes: NDArray[np.int32]
    values: list[str]

    def where(self, holds: Any) -> NDArray[np.bool_]:
        """Of which records the text is there and `holds` says True of it, [N]."""
        chosen = np.array([bool(holds(value)) for value in self.values] + [False], bool)
        return chosen[self.codes]


@runtime_checkable
class Columnar(Protocol):
    """Records that give their columns without being read one by one."""

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A number of each, [N]; NaN where it has none."""
        ...

    def words(self, name: str) -> Words:
        """A text of each."""
        ...


def column(records: Sequence[Record], name: str) -> NDArray[np.float64]:
    """A number of each record, float64 [N]; NaN where it has none."""
    if isinstance(records, Columnar):
        return records.numbers(name)
    return np.array([record[name] for record in records], np.float64)


def words(records: Sequence[Record], name: str) -> Words:
    """A text of each record; none where it has no such field."""
    if isinstance(records, Columnar):
        return records.words(name)
    places: dict[str, int] = {}
    found = (record.get(name) for record in records)
    codes = [-1 if value is None else places.setdefault(value, len(places)) for value in found]
    return Words(np.array(codes, np.int32), list(places))


def says_nothing(reason: str) -> bool:
    """Whether a reason says that an image is unlike all that were calibrated, or too plain.

    So it is of one of which a candidate made a part alone, or comes near to it.
    """
    return reason.startswith((DRIFT, TOO_LITTLE, IN_PART, EDITED))


def weigh(records: Sequence[Record], calibration: Calibration) -> CautiousRatio:
    """The likelihood ratios of N images under one candidate.

    An image is compared with the scores of the condition that it fits best, and with foreign groups
    that were edited alike.
    """
    num, scores = len(records), np.maximum(column(records, "score"), calibration.floor)
    log10_lr, low, high = np.full((3, num), np.nan)
    against: list[Any] = [None] * num
    by_group: dict[str, NDArray[np.float64]] = {}
    conditions, unjudged = words(records, "condition"), words(records, "reason").where(says_nothing)
    readings = words(records, "reading")
    # A reading is one of several chances to score so low.
    shifts = np.zeros(num)
    for at in map(int, np.flatnonzero(readings.codes >= 0)):
        share = share_of_chances(records[at]["reading"], records[at].get("tried") or ())
        shifts[at] = np.log10(share)
    for condition in calibration.belonging_by_condition:
        (here,) = np.nonzero(conditions.where(condition.__eq__) & ~unjudged)
        belonging, foreign = scores_under(calibration, condition)
        if not here.size or not foreign:
            continue
        found = cautious_log10_lr(scores[here], belonging, foreign)
        shift = shifts[here]
        log10_lr[here] = found.log10_lr + shift
        low[here], high[here] = found.low + shift, found.high + shift
        for i, group in zip(here, found.against, strict=True):
            against[i] = group
        for group, ratios in found.by_group.items():
            by_group.setdefault(group, np.full(num, np.nan))[here] = ratios + shift
    return CautiousRatio(log10_lr, against, low, high, by_group)
