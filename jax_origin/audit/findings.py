"""What the records of several candidates say together: which of them made each image, or none."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jax_origin.audit.record import RecordError, read_all_records
from jax_origin.calibration import (
    DRIFT,
    Calibration,
    Naming,
    attributions,
    decide,
    exclusions,
    least_log10_lr,
    name_candidates,
    require_full_scores,
    scores_under,
)
from jax_origin.files import atomic_write

Procedure = Literal["bh", "by"]


class Results(NamedTuple):
    """The records of one candidate, as columns: N images, in the order of their paths.

    Attributes:
      p: float64 [N]; NaN where there is an error.
      q: float64 [N], likewise.
      score: float64 [N], likewise: full scores.
      condition: The condition that each image fits best; None where there is an error.
      sha256: Of each file; None where it was not decoded.
      stored: What each file was taken for.
      note: What was done to each image before it was inverted; None if nothing was.
      drift: What the calibration has no images like; None where it has.
      error: Why an image was not examined; None where it was.
    """

    p: NDArray[np.float64]
    q: NDArray[np.float64]
    score: NDArray[np.float64]
    condition: list[str | None]
    sha256: list[str | None]
    stored: list[str | None]
    note: list[str | None]
    drift: list[str | None]
    error: list[str | None]


class Evidence(NamedTuple):
    """The log10 likelihood ratio of each of N images; see `calibration.LeastRatio`.

    Attributes:
      log10_lr: The least over the foreign groups, [N]; NaN where there is none.
      against: The group that gives it; None where there is none.
      low: The least that the counts of this group support, [N].
      high: The largest, [N].
      by_group: The ratio against each group, [N] by name.
    """

    log10_lr: NDArray[np.float64]
    against: list[str | None]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    by_group: dict[str, NDArray[np.float64]]


class Findings(NamedTuple):
    """What was found of N images under K candidates.

    Attributes:
      paths: The files.
      candidates: The candidates' names.
      indistinguishable: Groups of candidates that cannot be told apart.
      results: The records of each candidate, by its name.
      evidence: The ratios of each candidate, by its name.
      naming: Who made each image; None where one of the candidates could not be asked.
      excluded: bool [N, K]: which exclusions survive the control of their false discovery rate.
      attributed: bool [N, K]: which attributions do.
      alpha: The rate of false exclusion.
      beta: The rate of false attribution.
      rate: The false discovery rate.
      excluded_by: The procedure that `excluded` is by.
      attributed_by: The procedure that `attributed` is by.
    """

    paths: Sequence[str]
    candidates: list[str]
    indistinguishable: list[tuple[str, ...]]
    results: dict[str, Results]
    evidence: dict[str, Evidence]
    naming: list[Naming | None]
    excluded: NDArray[np.bool_]
    attributed: NDArray[np.bool_]
    alpha: float
    beta: float
    rate: float
    excluded_by: Procedure
    attributed_by: Procedure

    @property
    def examined(self) -> NDArray[np.bool_]:
        """Which images every candidate was asked about, [N]."""
        return np.array([naming is not None for naming in self.naming], bool)

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Those of them that every candidate's calibration has images like, [N]."""
        return self.examined & _all_none(result.drift for result in self.results.values())


def read_results(folder: str | os.PathLike[str], paths: Sequence[str]) -> Results:
    """Reads what a finished run wrote of one candidate.

    Args:
      folder: The run's folder.
      paths: The files, in the order wanted.

    Returns:
      The records as columns.

    Raises:
      RecordError: If a file has no record, records cannot be read, or scores are upper bounds.
    """
    records = read_all_records(folder)
    missing = [path for path in paths if path not in records]
    if missing:
        raise RecordError(
            f"{os.fspath(folder)}: {len(missing)} images have no record, the first is {missing[0]}"
        )
    kept = [records[path] for path in paths]
    try:
        require_full_scores(record["score_kind"] for record in kept)
    except ValueError as error:
        raise RecordError(f"{os.fspath(folder)}: {error}") from None
    p, q, score = (
        np.array([record[name] for record in kept], np.float64) for name in ("p", "q", "score")
    )
    columns = {
        name: [record[name] for record in kept]
        for name in ("condition", "sha256", "stored", "note", "reason", "error")
    }
    reasons = columns.pop("reason")
    drift = [text if text and text.startswith(DRIFT) else None for text in reasons]
    return Results(p, q, score, **columns, drift=drift)


def combine(
    paths: Sequence[str],
    results: Mapping[str, Results],
    calibrations: Mapping[str, Calibration],
    *,
    alpha: float,
    beta: float,
    indistinguishable: Sequence[tuple[str, ...]] = (),
    rate: float = 0.05,
    procedure: Procedure | None = None,
) -> Findings:
    """Decides for each image which candidate made it, from what each candidate's run recorded.

    Images that one of the candidates could not be asked about are left out of every decision; an
    image that one of the calibrations has none like is undecided.

    Args:
      paths: N files.
      results: By candidate, of these files.
      calibrations: By candidate, those that the results were made with.
      alpha: The rate of false exclusion, in (0, 1).
      beta: The rate of false attribution, in (0, 1).
      indistinguishable: As `tell_apart` gives it.
      rate: The false discovery rate over all images and candidates, in (0, 1).
      procedure: "bh" or "by", for exclusions and attributions; None is Benjamini and Hochberg's
        where that is proven: for one candidate with one condition, or one foreign group.

    Returns:
      The findings.

    Raises:
      ValueError: If a rate is outside (0, 1), or the procedure unknown.
    """
    names = list(results)
    columns = [results[name] for name in names]
    examined = _all_none(c.error for c in columns)
    tested = examined & _all_none(c.drift for c in columns)
    p, q = (np.stack([getattr(c, name)[tested] for c in columns], 1) for name in ("p", "q"))
    # The least p and q that a calibration can give: those of a score above all others, and below.
    extremes = [decide([np.inf, 0.0], calibrations[n], alpha=alpha, beta=beta) for n in names]
    named = iter(
        name_candidates(
            p,
            q,
            names,
            alpha=alpha,
            beta=beta,
            indistinguishable=indistinguishable,
            least_p=[highest.p for highest, _ in extremes],
            least_q=np.array([lowest.q for _, lowest in extremes], np.float64),
        )
    )
    num_conditions = max(len(calibrations[n].belonging_by_condition) for n in names)
    num_groups = max(len(calibrations[n].foreign) for n in names)
    several = len(names) > 1
    excluded_by = procedure or ("by" if several or num_conditions > 1 else "bh")
    attributed_by = procedure or ("by" if several or num_groups > 1 else "bh")
    excluded, attributed = (np.zeros((len(paths), len(names)), bool) for _ in range(2))
    excluded[tested] = exclusions(p, rate=rate, method=excluded_by)
    attributed[tested] = attributions(q, num_groups=num_groups, rate=rate, method=attributed_by)
    naming: list[Naming | None] = [None] * len(paths)
    for i in np.flatnonzero(examined):
        drift = _merged({name: results[name].drift[i] for name in names})
        naming[i] = Naming("undecided", (), (), drift) if drift else next(named)
    return Findings(
        paths=paths,
        candidates=names,
        indistinguishable=list(indistinguishable),
        results=dict(results),
        evidence={name: weigh(results[name], calibrations[name]) for name in names},
        naming=naming,
        excluded=excluded,
        attributed=attributed,
        alpha=alpha,
        beta=beta,
        rate=rate,
        excluded_by=excluded_by,
        attributed_by=attributed_by,
    )


def weigh(results: Results, calibration: Calibration) -> Evidence:
    """The likelihood ratio of each image: like is compared with like.

    An image is weighed by the belonging scores of the condition that it fits best, against the
    foreign groups that were edited alike.

    Args:
      results: The candidate's, of N images.
      calibration: The candidate's.

    Returns:
      The ratios.
    """
    num = len(results.condition)
    log10_lr, low, high = (np.full(num, np.nan) for _ in range(3))
    against: list[str | None] = [None] * num
    by_group: dict[str, NDArray[np.float64]] = {}
    known = zip(results.condition, results.drift, strict=True)
    conditions = np.array(["" if drift else condition or "" for condition, drift in known])
    for condition in calibration.belonging_by_condition:
        (here,) = np.nonzero(conditions == condition)
        belonging, foreign = scores_under(calibration, condition)
        if not here.size or not foreign:
            continue
        scores = np.maximum(results.score[here], calibration.floor)
        found = least_log10_lr(scores, belonging, foreign)
        log10_lr[here], low[here], high[here] = found.log10_lr, found.low, found.high
        for i, group in zip(here, found.against, strict=True):
            against[i] = group
        for group, ratios in found.by_group.items():
            by_group.setdefault(group, np.full(num, np.nan))[here] = ratios
    return Evidence(log10_lr, against, low, high, by_group)


def rows(findings: Findings) -> Iterator[dict[str, Any]]:
    """One JSON object for each image, in order: the lines of findings.jsonl.

    Each has path, sha256, verdict ("named", "none", "undecided", or None where there is an error),
    named, fitting, reason, stored, note and error; and `candidates`, which has for each: p, q,
    score, condition, log10_lr (the least over the foreign groups), against (the group that gives
    it), log10_lr_limits (what that group's counts support), log10_lr_by_group, excluded and
    attributed (whether that survives the control of the false discovery rate), and error.
    """
    columns, tested = findings.results, findings.tested
    for i, (path, naming) in enumerate(zip(findings.paths, findings.naming, strict=True)):
        merged = {
            field: _merged({name: getattr(c, field)[i] for name, c in columns.items()})
            for field in ("stored", "note", "error")
        }
        yield {
            "path": path,
            "sha256": next((c.sha256[i] for c in columns.values() if c.sha256[i]), None),
            "verdict": naming and naming.verdict,
            "named": [] if naming is None else list(naming.named),
            "fitting": [] if naming is None else list(naming.fitting),
            "reason": naming and naming.reason,
            "candidates": {
                name: _of_candidate(findings, k, i, tested=bool(tested[i]))
                for k, name in enumerate(findings.candidates)
            },
            **merged,
        }


def write_findings(path: str | os.PathLike[str], findings: Findings) -> None:
    """Writes `rows` as JSON, one a line; the file is whole or as it was.

    Raises:
      OSError: If the file cannot be written.
    """
    with atomic_write(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        for row in rows(findings):
            file.write(json.dumps(row, allow_nan=False) + "\n")


def _of_candidate(findings: Findings, k: int, i: int, *, tested: bool) -> dict[str, Any]:
    name = findings.candidates[k]
    result, evidence = findings.results[name], findings.evidence[name]
    weighed = evidence.against[i] is not None
    return {
        "p": _number(result.p[i]),
        "q": _number(result.q[i]),
        "score": _number(result.score[i]),
        "condition": result.condition[i],
        "log10_lr": _number(evidence.log10_lr[i]),
        "against": evidence.against[i],
        "log10_lr_limits": [float(evidence.low[i]), float(evidence.high[i])] if weighed else None,
        "log10_lr_by_group": {
            group: float(ratios[i])
            for group, ratios in evidence.by_group.items()
            if not np.isnan(ratios[i])
        },
        "excluded": bool(findings.excluded[i, k]) if tested else None,
        "attributed": bool(findings.attributed[i, k]) if tested else None,
        "error": result.error[i],
    }


def _all_none(columns: Iterable[Sequence[str | None]]) -> NDArray[np.bool_]:
    """Which images no candidate says anything of, [N]."""
    return np.array([not any(of_image) for of_image in zip(*columns, strict=True)], bool)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _merged(values: Mapping[str, str | None]) -> str | None:
    """What all candidates say, once; or what each of them says, where they differ."""
    said = {name: value for name, value in values.items() if value is not None}
    if len(set(said.values())) > 1 or (said and len(said) < len(values)):
        return "; ".join(f"{name}: {value}" for name, value in said.items())
    return next(iter(said.values()), None)
