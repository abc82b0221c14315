"""Several candidates, many images: which of them made each, or none."""

from jax_origin.audit.candidates import Candidate, examine, open_candidates, tell_apart
from jax_origin.audit.findings import Findings, combine, rows, write_findings
from jax_origin.audit.report import findings_report, findings_table, folder_table, truth_line

__all__ = [
    "Candidate",
    "Findings",
    "combine",
    "examine",
    "findings_report",
    "findings_table",
    "folder_table",
    "open_candidates",
    "rows",
    "tell_apart",
    "truth_line",
    "write_findings",
]
