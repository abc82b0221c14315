"""Runs over image files: their folder, their records, and what is shown of them."""

from jax_origin.runs.contact_sheet import SheetRow, sheet_row, write_contact_sheet
from jax_origin.runs.demonstration import demonstration_files
from jax_origin.runs.record import RecordError, RecordWriter, RunError, read_records
from jax_origin.runs.summary import (
    count_table,
    explanations,
    format_warning,
    plan_table,
    statistics_line,
    verdict_table,
)
from jax_origin.runs.table import table
from jax_origin.runs.workdir import Workdir, default_workdir

__all__ = [
    "RecordError",
    "RecordWriter",
    "RunError",
    "SheetRow",
    "Workdir",
    "count_table",
    "default_workdir",
    "demonstration_files",
    "explanations",
    "format_warning",
    "plan_table",
    "read_records",
    "sheet_row",
    "statistics_line",
    "table",
    "verdict_table",
    "write_contact_sheet",
]
