"""Runs over many images: their records, sheets to look at, and findings for several candidates."""

from jax_origin.audit.candidates import Candidate, open_candidates, tell_apart
from jax_origin.audit.contact_sheet import SheetRow, write_contact_sheet
from jax_origin.audit.findings import (
    Evidence,
    Findings,
    Results,
    combine,
    read_results,
    rows,
    write_findings,
)
from jax_origin.audit.job import (
    FileVerdict,
    RunError,
    attribute_files,
    begin_run,
    demonstration_files,
    own_files,
)
from jax_origin.audit.record import (
    RecordError,
    RecordWriter,
    read_all_records,
    read_records,
    records_name,
)
from jax_origin.audit.report import findings_report, findings_table, folder_table, truth_line
from jax_origin.audit.summary import (
    count_table,
    explanations,
    format_warning,
    plan_table,
    statistics_line,
    verdict_table,
)

__all__ = [
    "Candidate",
    "Evidence",
    "FileVerdict",
    "Findings",
    "RecordError",
    "RecordWriter",
    "Results",
    "RunError",
    "SheetRow",
    "attribute_files",
    "begin_run",
    "combine",
    "count_table",
    "demonstration_files",
    "explanations",
    "findings_report",
    "findings_table",
    "folder_table",
    "format_warning",
    "open_candidates",
    "own_files",
    "plan_table",
    "read_all_records",
    "read_records",
    "read_results",
    "records_name",
    "rows",
    "statistics_line",
    "tell_apart",
    "truth_line",
    "verdict_table",
    "write_contact_sheet",
    "write_findings",
]
