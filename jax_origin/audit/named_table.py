"""Which images were named, were not examined, or have changed, as tables of a report."""

from collections.abc import Iterator

import numpy as np

from jax_origin.audit.findings import Findings
from jax_origin.audit.namings import merged
from jax_origin.audit.weighing import words
from jax_origin.runs import CHANGED, table
from jax_origin.runs.summary import short_path


def named_section(findings: Findings, *, most: int = 200) -> Iterator[str]:
    """The images that were named, `most` of them, and by whom; nothing where none was."""
    cases = [bool(case and case.verdict == "named") for case in findings.naming.cases]
    (named,) = np.nonzero(np.array(cases, bool)[findings.naming.codes])
    if not named.size:
        return
    yield "## Named images"
    rows = []
    for i in named[:most].tolist():
        naming = findings.naming[i]
        assert naming is not None
        rows.append(
            [" or ".join(naming.named), short_path(findings.paths[i]), changed(findings, i)]
        )
    yield table(["made by", "image", "remark"], rows)
    if named.size > most:
        yield f"... and {named.size - most:,} more: `findings.jsonl` has them all."


def unexamined_section(findings: Findings, *, most: int = 200) -> Iterator[str]:
    """The images that could not be examined, `most` of them, and why; nothing where all were."""
    (failed,) = np.nonzero(~findings.examined)
    if not failed.size:
        return
    yield "## Images that could not be examined"
    rows = []
    for i in failed[:most].tolist():
        errors = {name: records[i]["error"] for name, records in findings.records.items()}
        rows.append([short_path(findings.paths[i]), merged(errors) or ""])
    yield table(["image", "reason"], rows)
    if failed.size > most:
        yield f"... and {failed.size - most:,} more: `findings.jsonl` has them all."


def changed_line(findings: Findings) -> Iterator[str]:
    """How many images have changed since they were first examined; nothing where none has."""
    first = findings.records[findings.candidates[0]]
    num = int(words(first, "note").where(lambda note: CHANGED in note).sum())
    if num:
        files = "1 file" if num == 1 else f"{num:,} files"
        yield f"Changed since first examined, and examined again: {files}; `note` says which."


def changed(findings: Findings, i: int) -> str:
    """A remark on an image whose file has changed; empty for another."""
    notes = (records[i]["note"] or "" for records in findings.records.values())
    return CHANGED if any(CHANGED in note for note in notes) else ""
