"""Runs over many images: their records, and sheets to look at."""

from jax_origin.audit.contact_sheet import SheetRow, write_contact_sheet
from jax_origin.audit.job import FileVerdict, RunError, attribute_files, begin_run
from jax_origin.audit.record import (
    RecordError,
    RecordWriter,
    read_all_records,
    read_records,
    records_name,
)
from jax_origin.audit.summary import (
    count_table,
    explanations,
    plan_table,
    statistics_line,
    verdict_table,
)

__all__ = [
    "FileVerdict",
    "RecordError",
    "RecordWriter",
    "RunError",
    "SheetRow",
    "attribute_files",
    "begin_run",
    "count_table",
    "explanations",
    "plan_table",
    "read_all_records",
    "read_records",
    "records_name",
    "statistics_line",
    "verdict_table",
    "write_contact_sheet",
]
