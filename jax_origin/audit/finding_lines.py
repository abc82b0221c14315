"""The findings as JSON, a line for each image; thousands are put together column by column."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jax_origin.audit.findings import Findings
from jax_origin.audit.namings import kinds_of, merged
from jax_origin.audit.part_records import PartRecords, SomeRecords
from jax_origin.audit.weighing import Record, column, weigh, words
from jax_origin.evidence import Naming
from jax_origin.evidence.ratios import CautiousRatio
from jax_origin.files import atomic_write

_AT_A_TIME = 32_768
_SHOWN = (
    *("sha256", "truth", "stored", "note", "error", "reason"),
    *("p", "q", "score", "condition", "reading", "tried"),
)
_encode = json.JSONEncoder(allow_nan=False).encode

_Texts = Sequence[str]  # The JSON of a value of each image.


def lines(findings: Findings) -> Iterator[str]:
    """A JSON object for each image, in order: the lines of findings.jsonl.

    Each has path, sha256, verdict ("named", "none", "undecided", or None where there is an error),
    named, fitting, reason, truth, stored, note, error and `candidates`. The latter has for each: p,
    q, score, condition, reading and tried (see `Verdict`), log10_lr (the cautious one over the
    foreign groups), against (the group that gives it), log10_lr_limits (what that group's counts
    support), log10_lr_by_group (without groups of which there is no data), log10_lr_note (that
    there is no data, or what a ratio under 1 does not weigh), exclusion_stands and
    attribution_stands (whether these survive control of the false discovery rate over all images;
    an image may be named and its attribution not stand), and error.
    """
    for start in range(0, len(findings.naming), _AT_A_TIME):
        yield from _lines(findings, slice(start, start + _AT_A_TIME))


def rows(findings: Findings) -> Iterator[dict[str, Any]]:
    """What `lines` say, as dictionaries."""
    return map(json.loads, lines(findings))


def write_findings(path: str | os.PathLike[str], findings: Findings) -> None:
    """Writes `lines`; the file is whole, or as it was with an OSError."""
    with atomic_write(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        file.writelines(f"{line}\n" for line in lines(findings))


def sha256_of_each(findings: Findings) -> Iterator[str | None]:
    """The SHA-256 of each image's file, in order; None where no candidate could read it."""
    for start in range(0, len(findings.naming), _AT_A_TIME):
        here = slice(start, start + _AT_A_TIME)
        yield from _sha256_of(
            [_some(of_one, here, ("sha256",)) for of_one in findings.records.values()]
        )


def _lines(findings: Findings, here: slice) -> _Texts:
    records = {name: _some(of_one, here) for name, of_one in findings.records.items()}
    naming, tested = findings.naming, findings.tested[here]
    cases = [_said_of(case) for case in naming.cases]
    candidates = {}
    for k, (name, of_one) in enumerate(records.items()):
        evidence = weigh(of_one, findings.calibrations[name])
        stand = (
            np.where(tested, of[here, k], -1) for of in (findings.excluded, findings.attributed)
        )
        candidates[name] = _objects(_of_candidate(name, of_one, evidence, *stand))
    return _objects(
        {
            "path": [_encode(path) for path in findings.paths[here]],
            "sha256": [_encode(each) for each in _sha256_of(list(records.values()))],
            **{
                field: _chosen([_encode(case[field]) for case in cases], naming.codes[here])
                for field in cases[0]
            },
            "truth": _words(next(iter(records.values())), "truth"),
            "candidates": _objects(candidates),
            **{field: _merged(records, field) for field in ("stored", "note", "error")},
        }
    )


def _said_of(case: Naming | None) -> dict[str, Any]:
    if case is None:
        return {"verdict": None, "named": [], "fitting": [], "reason": None}
    return {
        "verdict": case.verdict,
        "named": case.named,
        "fitting": case.fitting,
        "reason": case.reason,
    }


def _of_candidate(
    name: str,
    records: Sequence[Record],
    evidence: CautiousRatio,
    exclusions: NDArray[Any],
    attributions: NDArray[Any],
) -> dict[str, _Texts]:
    ratios, against = evidence.log10_lr, evidence.against
    places = {group: i for i, group in enumerate(dict.fromkeys(against))}
    groups = [places[group] for group in against]
    low, high = _numbers(evidence.low), _numbers(evidence.high)
    # Of each group: what is said of a ratio over 1, of one under it, and of none.
    notes = [_encode(note) for group in places for note in _notes(name, group)]
    kind = np.where(np.isnan(ratios), 2, np.where(ratios < 0, 1, 0))
    truths = ["false", "true", "null"]
    return {
        **{field: _numbers(column(records, field)) for field in ("p", "q", "score")},
        **{field: _words(records, field) for field in ("condition", "reading")},
        "tried": _lists(records, "tried"),
        "log10_lr": _numbers(ratios),
        "log10_lr_note": _chosen(notes, 3 * np.array(groups, np.int64) + kind),
        "against": _chosen([_encode(group) for group in places], groups),
        "log10_lr_limits": [
            "null" if group is None else f"[{least}, {largest}]"
            for group, least, largest in zip(against, low, high, strict=True)
        ],
        "log10_lr_by_group": _by_group(evidence, len(ratios)),
        "exclusion_stands": _chosen(truths, exclusions),
        "attribution_stands": _chosen(truths, attributions),
        "error": _words(records, "error"),
    }


def _notes(candidate: str, against: str | None) -> tuple[str | None, str | None, str | None]:
    """What has to be said with a ratio over 1, under 1, and with none; None where nothing."""
    if against is None:
        return None, None, None
    return (
        None,
        f"against {candidate}; does not weigh that {candidate} made it and an edit that was not "
        "calibrated came after",
        f"no data: no image was calibrated between the scores of {candidate} and {against}",
    )


def _by_group(evidence: CautiousRatio, num: int) -> _Texts:
    if not evidence.by_group:
        return ["{}"] * num
    columns = []
    for group, ratios in evidence.by_group.items():
        name, known = _encode(group), (~np.isnan(ratios)).tolist()
        pairs = zip(known, _numbers(ratios), strict=True)
        columns.append([f"{name}: {ratio}" if there else "" for there, ratio in pairs])
    return ["{" + ", ".join(filter(None, of_one)) + "}" for of_one in zip(*columns, strict=True)]


def _merged(records: Mapping[str, Sequence[Record]], field: str) -> _Texts:
    """What all candidates say in a field, or each of them; worked out once for what is the same."""
    found = {name: words(of_one, field) for name, of_one in records.items()}
    kinds, _, which = kinds_of(np.stack([each.codes for each in found.values()], 1))
    texts = []
    for kind in kinds.tolist():
        said = zip(found.items(), kind, strict=True)
        values = {name: each.values[code] if code >= 0 else None for (name, each), code in said}
        texts.append(_encode(merged(values)))
    return _chosen(texts, which)


def _sha256_of(records: list[Sequence[Record]]) -> list[str | None]:
    first, *others = (_values(of_one, "sha256") for of_one in records)
    while others and not all(first):  # A candidate may not have read the file.
        first = [one or other for one, other in zip(first, others.pop(0), strict=True)]
    return [each or None for each in first]


def _numbers(values: NDArray[np.float64]) -> _Texts:
    different, which = np.unique(values, return_inverse=True)  # Ratios are few.
    if np.isinf(different).any():
        raise ValueError("an infinite number has no JSON")
    texts = ["null" if value != value else repr(value) for value in different.tolist()]
    return _chosen(texts, which)


def _words(records: Sequence[Record], field: str) -> _Texts:
    found = words(records, field)
    return _chosen([*map(_encode, found.values), "null"], found.codes)


def _lists(records: Sequence[Record], field: str) -> _Texts:
    if isinstance(records, SomeRecords):
        codes, lists = records.lists(field)
        return _chosen([*map(_encode, lists), "null"], codes)
    return [_encode(record.get(field)) for record in records]


def _values(records: Sequence[Record], field: str) -> list[Any]:
    if isinstance(records, SomeRecords):
        return records.texts(field)
    return [record[field] for record in records]


def _some(records: Sequence[Record], here: slice, columns: Sequence[str] = _SHOWN) -> Any:
    if isinstance(records, PartRecords):
        return records.some(here.start, here.stop, columns)
    return records[here]


def _chosen(texts: Sequence[str], which: Any) -> _Texts:
    """Of each image the text at its place; the last one for -1."""
    chosen: list[str] = np.array(texts, object)[which].tolist()
    return chosen


def _objects(fields: Mapping[str, _Texts]) -> _Texts:
    """A JSON object for each image, of the fields' values as JSON."""
    names = [_encode(name).replace("%", "%%") for name in fields]
    template = "{" + ", ".join(f"{name}: %s" for name in names) + "}"
    return [template % values for values in zip(*fields.values(), strict=True)]
