"""The measures of an evaluation as tables to read, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.protocol import MIXED
from benchmarks.ratio_costs import SHARES


def result_table(result: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The rows and the summary as tables to read, rates in percent.

    A column of edits stands in them where images were edited. Tables of calibration sizes, of
    errors on fresh images and sources, and of the cost of likelihood ratios follow where there are
    any. What else the result holds, such as parts that are measured no more, is left out.

    Args:
      result: As `benchmarks.protocol.evaluate` returns it; its ``sizes``, ``fresh``, ``views``
        and ``ratio_costs``, if any, are rows of the modules `calibration_size`, `fresh_sources` and
        `ratio_costs`, with inspected and method.

    Returns:
      Tables in Markdown, columns aligned, with an empty line between them.
    """
    parts: tuple[tuple[str, _Columns], ...] = (
        *(("rows", _ROWS), ("summary", _SUMMARY), ("sizes", _SIZES), ("fresh", _FRESH)),
        *(("views", _VIEWS), ("ratio_costs", _RATIO_COSTS)),
    )
    shown = [_table(result[part], columns) for part, columns in parts if part in result]
    return "\n\n".join([*shown, *([_promises(result["fresh"])] if "fresh" in result else [])])


def markdown_table(cells: Sequence[Sequence[str]], *, right: Sequence[bool] | None = None) -> str:
    """Cells as a table in Markdown that is aligned as plain text, too.

    Args:
      cells: The heading's, then each row's, as many in each.
      right: Which columns are set flush right; without it all but the first.

    Returns:
      The table's lines.
    """
    right = [i > 0 for i in range(len(cells[0]))] if right is None else right
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    flush = list(zip(widths, right, strict=True))

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if end else cell.ljust(width)
            for cell, (width, end) in zip(row, flush, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * (width - 1) + (":" if end else "-") for width, end in flush]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:])])


def edit_in_words(edit: str) -> str:
    """An edit's name; of a mixture, how many kinds of files it has."""
    kinds = len(edit.split(MIXED))
    return edit if kinds == 1 else f"mixed, {kinds} kinds"


# Field, heading, and how a value is shown.
_Columns = tuple[tuple[str, str, str], ...]
_EDIT = ("edit", "edit", "s")
_METHOD: _Columns = (("inspected", "inspected", "s"), ("method", "method", "s"))
_NAMES: _Columns = (*_METHOD, _EDIT)
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
_SIZES: _Columns = (
    *_METHOD,
    ("rule", "rule", "s"),
    ("num", "N", "d"),
    ("alpha", "alpha", "g"),
    ("tpr", "TPR", ".1%"),
    ("tpr_low", "5%", ".1%"),
    ("tpr_high", "95%", ".1%"),
    ("fpr", "worst FPR", ".1%"),
    ("fpr_low", "5%", ".1%"),
    ("fpr_high", "95%", ".1%"),
    ("group", "of", "s"),
    ("excluded_if_normal", "excluded, if normal", ".2%"),
)
_FRESH: _Columns = (
    *_NAMES,
    ("group", "group", "s"),
    ("error", "error", "s"),
    ("calibrated", "calibrated", "s"),
    ("n", "n", "d"),
    ("count", "count", "d"),
    ("low", "2.5%", ".1%"),
    ("high", "97.5%", ".1%"),
    ("promised", "promised", ".1%"),
    ("lies", "which lies", "s"),
)
_VIEWS: _Columns = (
    *_NAMES,
    ("group", "group", "s"),
    ("counted", "counted", "s"),
    ("n", "n", "d"),
    ("m", "m", "d"),
    ("attributed", "q <= rate", ".1%"),
    ("limit_low", "2.5% by law", ".1%"),
    ("limit_high", "97.5% by law", ".1%"),
    ("inside", "splits inside", ".1%"),
)
_RATIO_COSTS: _Columns = (
    *_NAMES,
    ("group", "against", "s"),
    ("n", "n", "d"),
    ("m", "m", "d"),
    ("cllr", "Cllr", ".4f"),
    ("cllr_low", "2.5%", ".4f"),
    ("cllr_high", "97.5%", ".4f"),
    ("discrimination", "discrimination", ".4f"),
    ("calibration", "calibration", ".4f"),
    ("left_out", "left out", ".4f"),
    *((f"unrecovered_{share:g}", f"{share:.0%} lost", ".4f") for share in SHARES),
    ("tolerated", "tolerated", ".2%"),
)


def _shown(value: Any, form: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return edit_in_words(value) if form == "s" else format(value, form)


def _promises(rows: Sequence[Mapping[str, Any]]) -> str:
    promised = [row["lies"] for row in rows if row["calibrated"] and row["lies"]]
    return (
        f"Of {len(promised)} promised rates {promised.count('under')} lie under the 95% interval "
        "of the errors counted. Were every promise kept exactly, up to 2.5% would by chance; rates "
        "are promised on average over calibrations, which adds some more."
    )


def _table(rows: Sequence[Mapping[str, Any]], columns: _Columns) -> str:
    if all(row.get("edit", "clean") == "clean" for row in rows):
        columns = tuple(column for column in columns if column != _EDIT)
    cells = [[heading for _, heading, _ in columns]]
    cells += [[_shown(row[field], form) for field, _, form in columns] for row in rows]
    return markdown_table(cells, right=[form != "s" for _, _, form in columns])
