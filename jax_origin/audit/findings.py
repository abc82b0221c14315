"""What the records of several candidates say together: which of them made each image, or none."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jax_origin.calibration import DRIFT, Calibration, Rates, decide
from jax_origin.calibration.decision_rules import TOO_LITTLE
from jax_origin.evidence import (
    Naming,
    Procedure,
    attributions,
    cautious_log10_lr,
    exclusions,
    name_candidates,
    require_full_scores,
    scores_under,
)
from jax_origin.evidence.ratios import CautiousRatio
from jax_origin.files import atomic_write
from jax_origin.images import share_of_chances
from jax_origin.runs import RecordError

Record = Mapping[str, Any]


class Findings(NamedTuple):
    """What was found of N images under K candidates.

    Attributes:
      paths: The files.
      candidates: The candidates' names.
      indistinguishable: Groups of candidates that cannot be told apart.
      records: The records of each candidate, by its name.
      evidence: The log10 likelihood ratios of each candidate, by its name; NaN where there is
        none, and with it `against` None where nothing was compared.
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
    evidence: dict[str, CautiousRatio]
    naming: list[Naming | None]
    excluded: NDArray[np.bool_]
    attributed: NDArray[np.bool_]
    alpha: float
    beta: float
    fdr: float
    excluded_by: Procedure
    attributed_by: Procedure

    @property
    def examined(self) -> NDArray[np.bool_]:
        """Which images every candidate was asked about, [N]."""
        return np.array([naming is not None for naming in self.naming], bool)

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Those of them that every candidate's calibration has images like, [N]."""
        return _tested(self.records)


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
    names, paths = list(records), [record["path"] for record in next(iter(records.values()))]
    try:
        require_full_scores(r["score_kind"] for of_one in records.values() for r in of_one)
    except ValueError as error:
        raise RecordError(str(error)) from None
    tested = _tested(records)
    p, q = (np.stack([column(records[n], x)[tested] for n in names], 1) for x in ("p", "q"))
    num_conditions = max(len(calibrations[n].belonging_by_condition) for n in names)
    num_groups = max(len(calibrations[n].foreign) for n in names)
    several = len(names) > 1
    excluded_by = procedure or ("by" if several or num_conditions > 1 else "bh")
    attributed_by = procedure or ("by" if several or num_groups > 1 else "bh")
    excluded, attributed = (np.zeros((len(paths), len(names)), bool) for _ in range(2))
    excluded[tested] = exclusions(p, rate=fdr, method=excluded_by)
    # Where images were read again, a foreign one had two chances of a small q.
    chances = 1 + any(record.get("tried") for of_one in records.values() for record in of_one)
    several_q = np.minimum(1.0, chances * q)
    attributed[tested] = attributions(
        several_q, num_groups=num_groups, rate=fdr, method=attributed_by
    )
    # The least p and q that a calibration can give: those of a score above all others, and below.
    extremes = [decide([np.inf, 0.0], calibrations[name], rates=rates) for name in names]
    named = name_candidates(
        p,
        q,
        names,
        rates=rates,
        indistinguishable=indistinguishable,
        least_p=[highest.p for highest, _ in extremes],
        least_q=np.array([lowest.q for _, lowest in extremes], np.float64),
    )
    return Findings(
        paths=paths,
        candidates=names,
        indistinguishable=list(indistinguishable),
        records=dict(records),
        evidence={name: weigh(records[name], calibrations[name]) for name in names},
        naming=list(_of_all(iter(named), records)),
        excluded=excluded,
        attributed=attributed,
        alpha=rates.alpha,
        beta=rates.beta,
        fdr=fdr,
        excluded_by=excluded_by,
        attributed_by=attributed_by,
    )


def weigh(records: Sequence[Record], calibration: Calibration) -> CautiousRatio:
    """The likelihood ratios of N images under one candidate.

    An image is compared with the scores of the condition that it fits best, and with foreign groups
    that were edited alike.
    """
    num, scores = len(records), np.maximum(column(records, "score"), calibration.floor)
    log10_lr, low, high = np.full((3, num), np.nan)
    against: list[Any] = [None] * num
    by_group: dict[str, NDArray[np.float64]] = {}
    conditions = np.array(["" if _unjudged(r) else r["condition"] or "" for r in records])
    for condition in calibration.belonging_by_condition:
        (here,) = np.nonzero(conditions == condition)
        belonging, foreign = scores_under(calibration, condition)
        if not here.size or not foreign:
            continue
        found = cautious_log10_lr(scores[here], belonging, foreign)
        # A reading is one of several chances to score so low.
        shares = [share_of_chances(records[int(i)].get("reading")) for i in here]
        shift = np.log10(shares)
        log10_lr[here] = found.log10_lr + shift
        low[here], high[here] = found.low + shift, found.high + shift
        for i, group in zip(here, found.against, strict=True):
            against[i] = group
        for group, ratios in found.by_group.items():
            by_group.setdefault(group, np.full(num, np.nan))[here] = ratios + shift
    return CautiousRatio(log10_lr, against, low, high, by_group)


def column(records: Sequence[Record], name: str) -> NDArray[np.float64]:
    """A number of each record, float64 [N]; NaN where it has none."""
    return np.array([record[name] for record in records], np.float64)


def rows(findings: Findings) -> Iterator[dict[str, Any]]:
    """One JSON object for each image, in order: the lines of findings.jsonl.

    Each has path, sha256, verdict ("named", "none", "undecided", or None where there is an error),
    named, fitting, reason, stored, note, error and `candidates`. The latter has for each: p, q,
    score, condition, reading and tried (see `Verdict`), log10_lr (the cautious one over the foreign
    groups), against (the group that gives it), log10_lr_limits (what that group's counts support),
    log10_lr_by_group (without groups of which there is no data), log10_lr_note (that there is no
    data, or what a ratio under 1 does not weigh), excluded and attributed (whether these survive
    control of the false discovery rate), and error.
    """
    tested = findings.tested.tolist()
    for i, naming in enumerate(findings.naming):
        of_image = {name: records[i] for name, records in findings.records.items()}
        yield {
            "path": findings.paths[i],
            "sha256": next((r["sha256"] for r in of_image.values() if r["sha256"]), None),
            "verdict": naming and naming.verdict,
            "named": [] if naming is None else list(naming.named),
            "fitting": [] if naming is None else list(naming.fitting),
            "reason": naming and naming.reason,
            "candidates": {
                name: _of_candidate(findings, k, i, tested=tested[i])
                for k, name in enumerate(findings.candidates)
            },
            **{
                field: _merged({name: record[field] for name, record in of_image.items()})
                for field in ("stored", "note", "error")
            },
        }


def write_findings(path: str | os.PathLike[str], findings: Findings) -> None:
    """Writes `rows` as JSON, one a line; the file is whole, or as it was with an OSError."""
    with atomic_write(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        for row in rows(findings):
            file.write(json.dumps(row, allow_nan=False) + "\n")


def _of_candidate(findings: Findings, k: int, i: int, *, tested: bool) -> dict[str, Any]:
    name = findings.candidates[k]
    record, evidence = findings.records[name][i], findings.evidence[name]
    weighed, ratio = evidence.against[i] is not None, float(evidence.log10_lr[i])
    return {
        **{field: record[field] for field in ("p", "q", "score", "condition")},
        **{field: record.get(field) for field in ("reading", "tried")},
        "log10_lr": None if np.isnan(ratio) else ratio,
        "log10_lr_note": _note(ratio, name, evidence.against[i]) if weighed else None,
        "against": evidence.against[i],
        "log10_lr_limits": [float(evidence.low[i]), float(evidence.high[i])] if weighed else None,
        "log10_lr_by_group": {
            group: float(ratios[i])
            for group, ratios in evidence.by_group.items()
            if not np.isnan(ratios[i])
        },
        "excluded": bool(findings.excluded[i, k]) if tested else None,
        "attributed": bool(findings.attributed[i, k]) if tested else None,
        "error": record["error"],
    }


def _note(log10_lr: float, candidate: str, against: str) -> str | None:
    """What has to be said with a ratio; None where there is nothing."""
    if np.isnan(log10_lr):
        return f"no data: no image was calibrated between the scores of {candidate} and {against}"
    if log10_lr < 0:
        return (
            f"against {candidate}; does not weigh that {candidate} made it and an edit that was "
            "not calibrated came after"
        )
    return None


def _of_all(
    tested: Iterator[Naming], records: Mapping[str, Sequence[Record]]
) -> Iterator[Naming | None]:
    """The namings of all images; `tested` has those of the images that were tested."""
    for of_image in zip(*records.values(), strict=True):
        why = _merged({name: _unjudged(r) for name, r in zip(records, of_image, strict=True)})
        if any(record["error"] for record in of_image):
            yield None
        else:
            yield Naming("undecided", (), (), why) if why else next(tested)


def _tested(records: Mapping[str, Sequence[Record]]) -> NDArray[np.bool_]:
    images = zip(*records.values(), strict=True)
    return np.array([not any(r["error"] or _unjudged(r) for r in image) for image in images], bool)


def _unjudged(record: Record) -> str | None:
    """Why a candidate says nothing of an image, unlike all calibrated or too plain; or None."""
    reason: str | None = record["reason"]
    return reason if reason and reason.startswith((DRIFT, TOO_LITTLE)) else None


def _merged(values: Mapping[str, str | None]) -> str | None:
    """What all candidates say, once; or what each of them says, where they differ."""
    said = {name: value for name, value in values.items() if value is not None}
    if len(set(said.values())) > 1 or (said and len(said) < len(values)):
        return "; ".join(f"{name}: {value}" for name, value in said.items())
    return next(iter(said.values()), None)
