"""The measures of an evaluation as tables to read."""

from collections.abc import Mapping, Sequence
from typing import Any

from jax_origin.evaluation.protocol import MIXED


def result_table(result: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The rows and the summary as tables to read, rates in percent.

    A column of edits stands in them where images were edited.

    Args:
      result: As `jax_origin.evaluation.protocol.evaluate` returns it.

    Returns:
      Two tables, with an empty line between them.
    """
    return "\n\n".join(
        _table(result[part], columns) for part, columns in (("rows", _ROWS), ("summary", _SUMMARY))
    )


# Field, heading, and how a value is shown.
_Columns = tuple[tuple[str, str, str], ...]
_EDIT = ("edit", "edit", "s")
_NAMES: _Columns = (("inspected", "inspected", "s"), ("method", "method", "s"), _EDIT)
_ROWS: _Columns = (
    *_NAMES,
    ("group", "foreign group", "s"),
    ("n", "n", "d"),
    ("tpr", "TPR", ".1%"),
    ("fpr", "FPR", ".1%"),
    ("undecided_belonging", "undecided own", ".1%"),
    ("undecided_foreign", "undecided foreign", ".1%"),
    ("accuracy", "accuracy", ".1%"),
    ("auc", "AUC", ".4f"),
    ("tpr_at_1_fpr", "TPR at 1% FPR", ".1%"),
)
_SUMMARY: _Columns = (
    *_NAMES,
    ("n", "n", "d"),
    ("tpr", "TPR", ".1%"),
    ("undecided_belonging", "undecided own", ".1%"),
    ("worst_fpr", "worst FPR", ".1%"),
    ("mean_fpr", "mean FPR", ".1%"),
    ("smallest_tpr_at_1_fpr", "least TPR at 1% FPR", ".1%"),
    ("smallest_auc", "least AUC", ".4f"),
    ("loss_under_1e-4", "loss < 1e-4", ".1%"),
    ("loss_under_1e-5", "loss < 1e-5", ".1%"),
    ("mean_steps", "steps an image", ".0f"),
)


def _shown(value: Any, form: str) -> str:
    if form == "s" and MIXED in value:
        return f"mixed, {len(value.split(MIXED))} kinds"
    return format(value, form)


def _table(rows: Sequence[Mapping[str, Any]], columns: _Columns) -> str:
    if all(row.get("edit", "clean") == "clean" for row in rows):
        columns = tuple(column for column in columns if column != _EDIT)
    cells = [[heading for _, heading, _ in columns]]
    cells += [[_shown(row[field], form) for field, _, form in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for line in cells:
        padded = [
            f"{cell:<{width}}" if form == "s" else f"{cell:>{width}}"
            for cell, width, (_, _, form) in zip(line, widths, columns, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)
