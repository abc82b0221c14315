"""What figures are drawn from: calibrations, audits and results of evaluations, as files."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jax_origin.audit import Audit, Candidate, open_audit
from jax_origin.calibration import AS_MADE, Calibration
from jax_origin.evidence import scores_under
from jax_origin.figures.error_curves import Curve, curve_of_quantiles, curve_of_scores
from jax_origin.figures.look import FigureError
from jax_origin.figures.score_figures import ScoredCandidate
from jax_origin.pages.survey import counted
from jax_origin.zoo import ZOO, calibration_path, zoo_names

Results = Mapping[str, Any]

_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""The shares whose scores results hold (`benchmarks.protocol.QUANTILES`)."""

_CLEAN = "clean"


class Chosen(NamedTuple):
    """What is drawn of a file that holds more; None for all.

    Attributes:
      generator: A generator's or candidate's name.
      method: A method's name.
      condition: An edit.
    """

    generator: str | None = None
    method: str | None = None
    condition: str | None = None


def open_given(text: str, method: str | None = None) -> Calibration | Audit | Results:
    """Opens a calibration, a zoo generator's, an audit's folder or the results of an evaluation.

    Raises:
      FigureError: If there is no such thing.
      CalibrationError, RunError, CheckpointError: If it cannot be read.
    """
    path = pathlib.Path(text)
    if text in zoo_names():
        shipped = sorted((ZOO / text).glob("calibration-origin*.json"))
        if method is None and shipped:
            return Calibration.load(shipped[0])
        return Calibration.load(calibration_path(text, method or "origin"))
    if path.is_dir():
        return open_audit(path)
    if not path.exists():
        names = ", ".join(zoo_names())
        raise FigureError(f"{text}: no such file or folder, nor a generator of the zoo ({names})")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if isinstance(content, dict) and isinstance(content.get("rows"), list):
        return content
    return Calibration.load(text)


def scored_candidates(inputs: Sequence[str], chosen: Chosen) -> list[ScoredCandidate]:
    """The candidates of calibrations, and those of audits with the scores of their images.

    Raises:
      FigureError: If something else was given, or none is left.
    """
    found = []
    for text in inputs:
        given = open_given(text, chosen.method)
        if isinstance(given, Audit):
            for name, calibration in given.calibrations().items():
                scores = _finite(given.records(name).numbers("score"))
                asked = counted(scores, floor=calibration.floor)
                found.append(ScoredCandidate(Candidate(name, text, calibration), asked))
        elif isinstance(given, Calibration):
            found.append(ScoredCandidate(Candidate(given.generator["name"], text, given)))
        else:
            raise FigureError(
                f"{text}: holds results, and no scores: give a calibration, a zoo generator or an "
                "audit's folder"
            )
    kept = [each for each in found if chosen.generator in (None, each.candidate.name)]
    if not kept:
        raise _none("generator", chosen.generator, [each.candidate.name for each in found])
    for each in kept:
        own = each.candidate.calibration.belonging_by_condition
        if chosen.condition is not None and chosen.condition not in own:
            raise _none("condition", chosen.condition, own)
    return kept


def error_curves(inputs: Sequence[str], chosen: Chosen) -> tuple[dict[str, list[Curve]], str]:
    """Curves of own against foreign images by title; and what they were read off, if not scores.

    Those of an audit are of its images, where it is known who made them.

    Raises:
      FigureError: If none is left.
    """
    panels: dict[str, list[Curve]] = {}
    read_off = ""
    for text in inputs:
        given = open_given(text, chosen.method)
        if isinstance(given, Calibration):
            panels |= _curves_of_calibration(given, chosen)
        elif isinstance(given, Audit):
            panels |= _curves_of_audit(given, chosen)
        else:
            read_off = "read off seven quantiles of each group's scores, straight between them"
            panels |= _curves_of_results(given, text, chosen)
    return panels, read_off


def summary_rows(inputs: Sequence[str], chosen: Chosen) -> list[Mapping[str, Any]]:
    """The summaries of evaluations, a row for each generator, method and edit.

    Raises:
      FigureError: If something else was given, or none is left.
    """
    fields = {"inspected", "method", "edit", "n", "tpr", "worst_fpr"}
    rows = [row for text in inputs for row in _rows(text, "summary", fields, "an evaluation")]
    return _kept(rows, {"inspected": chosen.generator, "method": chosen.method})


def recovery_rows(inputs: Sequence[str], chosen: Chosen) -> list[Mapping[str, Any]]:
    """The rows of the suite `recovery`.

    Raises:
      FigureError: If something else was given, or none is left.
    """
    fields = {"generator", "recipe", "recovered", "tpr_at_1_fpr", "evaluations_belonging"}
    rows = [row for text in inputs for row in _rows(text, "rows", fields, "the suite recovery")]
    return _kept(rows, {"generator": chosen.generator})


def _curves_of_calibration(calibration: Calibration, chosen: Chosen) -> dict[str, list[Curve]]:
    name, condition = calibration.generator["name"], chosen.condition or AS_MADE
    if chosen.generator not in (None, name):
        raise _none("generator", chosen.generator, [name])
    if condition not in calibration.belonging_by_condition:
        raise _none("condition", condition, calibration.belonging_by_condition)
    own, foreign = scores_under(calibration, condition)
    if not foreign:
        raise FigureError(f"the calibration of {name} has no foreign images, {condition}")
    title = f"{name}, {calibration.method['name']}, {condition}"
    return {title: [curve_of_scores(own, of.scores, group) for group, of in foreign.items()]}


def _curves_of_audit(audit: Audit, chosen: Chosen) -> dict[str, list[Curve]]:
    if chosen.generator not in (None, *audit.candidates):
        raise _none("generator", chosen.generator, audit.candidates)
    panels = {}
    for name in audit.candidates:
        if chosen.generator not in (None, name):
            continue
        by_maker: dict[str, list[float]] = {}
        for maker, score in _makers(audit, name):
            by_maker.setdefault(maker, []).append(score)
        own = by_maker.pop(name, [])
        if own and by_maker:
            groups = sorted(by_maker.items())
            panels[f"{name}, audited"] = [curve_of_scores(own, of, by) for by, of in groups]
    if not panels:
        raise FigureError(
            f"{audit.path}: it is not known which images a candidate made and which others did: "
            "audit with --layout, or in folders that are called like the candidates"
        )
    return panels


def _makers(audit: Audit, candidate: str) -> list[tuple[str, float]]:
    """Who made each image that has a score, and the score under a candidate.

    Where no record says it, a folder that is called like a candidate does, as in demonstrations.
    """
    table = audit.records(candidate).table(["key", "truth", "score"]).to_pylist()
    rows = [row for row in table if row["score"] is not None and np.isfinite(row["score"])]
    if not any(row["truth"] for row in rows):
        for row in rows:
            row["truth"] = pathlib.PurePosixPath(row["key"]).parent.name
        if not {row["truth"] for row in rows} & {*audit.candidates}:
            return []
    return [(row["truth"], row["score"]) for row in rows if row["truth"]]


def _curves_of_results(results: Results, text: str, chosen: Chosen) -> dict[str, list[Curve]]:
    fields = {"inspected", "method", "edit", "n", "score_quantiles"}
    summary = _checked(results, text, "summary", fields, "an evaluation")
    foreign = _checked(results, text, "rows", {*fields, "group", "auc"}, "an evaluation")
    edit = chosen.condition
    if edit is None and any(row["edit"] == _CLEAN for row in summary):
        edit = _CLEAN
    wanted = {"inspected": chosen.generator, "method": chosen.method, "edit": edit}
    panels = {}
    for own in _kept(summary, wanted):
        same = ("inspected", "method", "edit")
        rows = [row for row in foreign if all(row[name] == own[name] for name in same)]
        panels[", ".join(own[name] for name in same)] = [
            curve_of_quantiles(
                own["score_quantiles"],
                row["score_quantiles"],
                _QUANTILES,
                row["group"],
                num=row["n"],
                auc=row["auc"],
            )
            for row in rows
        ]
    return panels


def _rows(text: str, part: str, fields: set[str], of: str) -> list[Mapping[str, Any]]:
    given = open_given(text)
    if isinstance(given, Calibration | Audit):
        raise FigureError(f"{text}: give the results of {of}, a JSON file in benchmarks/results/")
    return _checked(given, text, part, fields, of)


def _checked(results: Results, text: str, part: str, fields: set[str], of: str) -> list[Any]:
    rows = [row for row in results.get(part) or () if isinstance(row, dict) and fields <= {*row}]
    if not rows:
        raise FigureError(f"{text}: holds no results of {of}")
    return rows


def _kept(rows: list[Mapping[str, Any]], wanted: Mapping[str, str | None]) -> list[Any]:
    for name, value in wanted.items():
        there = [row[name] for row in rows]
        rows = [row for row in rows if value in (None, row[name])]
        if not rows:
            flag = {"inspected": "generator", "edit": "condition"}.get(name, name)
            raise _none(flag, value, there)
    return rows


def _none(flag: str, value: str | None, there: Any) -> FigureError:
    names = ", ".join(dict.fromkeys(there))
    return FigureError(f"--{flag}={value}: there is none; choose from {names}")


def _finite(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return scores[np.isfinite(scores)]
