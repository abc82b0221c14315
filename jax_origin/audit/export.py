"""An audit's records or findings as lines of text, for tables and other programs."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jax_origin.audit.finding_lines import lines, rows
from jax_origin.audit.opened_audit import Audit
from jax_origin.audit.part_files import COLUMNS

FORMATS = ("jsonl", "csv")
"""What is written: JSON lines, or comma-separated values with a head."""

WHAT = ("records", "findings")
"""Of what: each image's record under each candidate, or the findings, a line for each image."""

_AT_A_TIME = 4096
_encode = json.JSONEncoder(allow_nan=False).encode


def exported(audit: Audit, *, what: str = "records", form: str = "jsonl") -> Iterator[str]:
    """The lines of an audit's records, candidate by candidate, or of its findings; none is kept.

    In CSV an empty cell stands for null. Texts of a list are joined by "; ", and what has names
    of its own is JSON. A finding's columns under a candidate are called "CANDIDATE p", and so on.

    Args:
      audit: The audit, finished or not.
      what: One of `WHAT`.
      form: One of `FORMATS`.

    Raises:
      RecordError: If a part is damaged, or pyarrow is missing.
    """
    if what == "findings" and form == "jsonl":
        return lines(audit.findings())
    if what == "findings":
        return _as_csv(map(_flat, rows(audit.findings())))
    return map(_encode, _records(audit)) if form == "jsonl" else _as_csv(_records(audit))


def _records(audit: Audit) -> Iterator[Mapping[str, Any]]:
    for name in audit.candidates:
        records = audit.records(name)
        for start in range(0, len(records), _AT_A_TIME):
            yield from records.some(start, start + _AT_A_TIME, tuple(COLUMNS))


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A finding, with what is said under a candidate as columns of its own."""
    of_image = {name: value for name, value in row.items() if name != "candidates"}
    under = {
        f"{candidate} {name}": value
        for candidate, said in row["candidates"].items()
        for name, value in said.items()
    }
    return {**of_image, **under}


def _as_csv(found: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Rows of the same fields as lines of CSV, their names first; nothing where there are none."""
    for i, row in enumerate(found):
        if i == 0:
            yield _csv_line(row)
        yield _csv_line(map(_cell, row.values()))


def _csv_line(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return _encode(value) if isinstance(value, dict) else value
