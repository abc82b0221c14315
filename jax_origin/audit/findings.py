"""What the records of several candidates say together: which of them made each image, or none."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jax_origin.audit.namings import Namings, name_all
from jax_origin.audit.part_records import PartRecords
from jax_origin.audit.weighing import Record, weigh, words
from jax_origin.audit.weighing import column as column
from jax_origin.calibration import Calibration, Rates, decide
from jax_origin.evidence import (
    Procedure,
    attributions,
    exclusions,
    require_full_scores,
)
from jax_origin.evidence.ratios import CautiousRatio
from jax_origin.runs import RecordError

_AT_A_TIME = 4096


@dataclasses.dataclass(frozen=True)
class Findings:
    """What was found of N images under K candidates.

    Records, files and names may be read from disk as they are asked for; go through them in order.

    Attributes:
      paths: The files, or the images' keys.
      candidates: The candidates' names.
      indistinguishable: Groups of candidates that cannot be told apart.
      records: The records of each candidate, by its name.
      calibrations: Their calibrations, by name.
      naming: Who made each image; None where a candidate could not be asked.
      excluded: bool [N, K]: which exclusions survive control of their false discovery rate.
      attributed: bool [N, K]: which attributions do.
      alpha: The rate of false exclusion of each candidate; `beta` is that of false attribution.
      fdr: The false discovery rate, by the procedures `excluded_by` and `attributed_by`.
    """

    paths: Sequence[str]
    candidates: list[str]
    indistinguishable: list[tuple[str, ...]]
    records: dict[str, Sequence[Record]]
    calibrations: dict[str, Calibration]
    naming: Namings
    excluded: NDArray[np.bool_]
    attributed: NDArray[np.bool_]
    alpha: float
    beta: float
    fdr: float
    excluded_by: Procedure
    attributed_by: Procedure

    @functools.cached_property
    def evidence(self) -> dict[str, CautiousRatio]:
        """The log10 likelihood ratios of each candidate, by its name, worked out when asked for.

        NaN where there is none, and with it `against` None where nothing was compared.
        """
        return {name: weigh(self.records[name], self.calibrations[name]) for name in self.records}

    @property
    def examined(self) -> NDArray[np.bool_]:
        """Which images every candidate was asked about, [N]."""
        return self.naming.examined

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Those of them that every candidate's calibration has images like, [N]."""
        return self.naming.tested


def combine(
    records: Mapping[str, Sequence[Record]],
    calibrations: Mapping[str, Calibration],
    *,
    rates: Rates,
    indistinguishable: Sequence[tuple[str, ...]] = (),
    fdr: float = 0.05,
    procedure: Procedure | None = None,
) -> Findings:
    """Decides for each image which candidate made it, from the records of each candidate.

    No decision counts an image that one of the candidates could not be asked about. An image is
    undecided if one of the calibrations has none like it, or there is too little in it for one.

    Args:
      records: By candidate, of the same N files in the same order, as `Workdir.records` gives them.
      calibrations: By candidate, those that the records were made with.
      rates: Alpha and beta of each candidate; 0.01 where one is None.
      indistinguishable: As `tell_apart` gives it.
      fdr: The false discovery rate over all images and candidates, in (0, 1).
      procedure: "bh" or "by", for exclusions and attributions. None means Benjamini and Hochberg's
        where that is proven: for one candidate with one condition, or one foreign group.

    Raises:
      RecordError: If scores are upper bounds.
      ValueError: If the rate is outside (0, 1), or the procedure unknown.
    """
    rates = rates.over(Rates(0.01, 0.01))
    assert rates.alpha is not None and rates.beta is not None
    names, first = list(records), next(iter(records.values()))
    bounds = sum(
        int(words(of_one, "score_kind").where("upper_bound".__eq__).sum())
        for of_one in records.values()
    )
    try:
        require_full_scores(["upper_bound"] * bounds)
    except ValueError as error:
        raise RecordError(str(error)) from None
    # The least p and q that a calibration can give: those of a score above all others, and below.
    extremes = [decide([np.inf, 0.0], calibrations[name], rates=rates) for name in names]
    naming, p, q = name_all(
        records,
        rates=rates,
        indistinguishable=indistinguishable,
        least_p=[highest.p for highest, _ in extremes],
        least_q=[lowest.q for _, lowest in extremes],
    )
    num_conditions = max(len(calibrations[n].belonging_by_condition) for n in names)
    num_groups = max(len(calibrations[n].foreign) for n in names)
    several = len(names) > 1
    excluded_by = procedure or ("by" if several or num_conditions > 1 else "bh")
    attributed_by = procedure or ("by" if several or num_groups > 1 else "bh")
    excluded, attributed = (np.zeros((len(first), len(names)), bool) for _ in range(2))
    excluded[naming.tested] = exclusions(p, rate=fdr, method=excluded_by)
    # Where images were read again, a foreign one had two more chances of a small q.
    chances = 1 + 2 * any(_read_again(of_one) for of_one in records.values())
    attributed[naming.tested] = attributions(
        np.minimum(1.0, chances * q), num_groups=num_groups, rate=fdr, method=attributed_by
    )
    return Findings(
        paths=_Keys(first) if isinstance(first, PartRecords) else [r["path"] for r in first],
        candidates=names,
        indistinguishable=list(indistinguishable),
        records=dict(records),
        calibrations={name: calibrations[name] for name in names},
        naming=naming,
        excluded=excluded,
        attributed=attributed,
        alpha=rates.alpha,
        beta=rates.beta,
        fdr=fdr,
        excluded_by=excluded_by,
        attributed_by=attributed_by,
    )


class _Keys(Sequence[str]):
    """The keys of records, as one array of pyarrow: a hundredth of the memory of Python's texts."""

    def __init__(self, records: PartRecords) -> None:
        self._keys = records.texts("key")

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            start, stop, step = i.indices(len(self))
            return self._keys.slice(start, max(0, stop - start)).to_pylist()[::step]
        return self._keys[range(len(self))[i]].as_py()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _AT_A_TIME):
            yield from self._keys.slice(start, _AT_A_TIME).to_pylist()


def _read_again(records: Sequence[Record]) -> bool:
    if isinstance(records, PartRecords):
        return records.any("tried")
    return any(record.get("tried") for record in records)
