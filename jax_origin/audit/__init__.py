"""Several candidates, many images: which of them made each, or none."""

from jax_origin.audit.candidates import Candidate as Candidate
from jax_origin.audit.candidates import open_candidates as open_candidates
from jax_origin.audit.candidates import tell_apart as tell_apart
from jax_origin.audit.export import exported as exported
from jax_origin.audit.finding_lines import rows as rows
from jax_origin.audit.finding_lines import sha256_of_each as sha256_of_each
from jax_origin.audit.finding_lines import write_findings as write_findings
from jax_origin.audit.findings import Findings as Findings
from jax_origin.audit.findings import combine as combine
from jax_origin.audit.job import examine as examine
from jax_origin.audit.journal import Journal as Journal
from jax_origin.audit.manifest import begin_manifest as begin_manifest
from jax_origin.audit.manifest import check_manifest as check_manifest
from jax_origin.audit.manifest import finish_manifest as finish_manifest
from jax_origin.audit.manifest import made_with as made_with
from jax_origin.audit.opened_audit import Audit as Audit
from jax_origin.audit.opened_audit import open_audit as open_audit
from jax_origin.audit.opened_audit import sources_of as sources_of
from jax_origin.audit.panel import Answer as Answer
from jax_origin.audit.panel import Panel as Panel
from jax_origin.audit.recheck import examine_again as examine_again
from jax_origin.audit.report import findings_report as findings_report
from jax_origin.audit.report import findings_table as findings_table
from jax_origin.audit.report import folder_table as folder_table
from jax_origin.audit.report import truth_line as truth_line

open = open_audit  # As `jo.audit.open`.
