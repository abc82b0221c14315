"""Runs over image files: their folder, their records, and what is shown of them."""

from jax_origin.runs.contact_sheet import SheetRow as SheetRow
from jax_origin.runs.contact_sheet import sheet_row as sheet_row
from jax_origin.runs.contact_sheet import write_contact_sheet as write_contact_sheet
from jax_origin.runs.elastic import on_cluster as on_cluster
from jax_origin.runs.elastic import share_out as share_out
from jax_origin.runs.part_maps import heat as heat
from jax_origin.runs.part_maps import write_part_map as write_part_map
from jax_origin.runs.record import RecordError as RecordError
from jax_origin.runs.record import RecordWriter as RecordWriter
from jax_origin.runs.record import RunError as RunError
from jax_origin.runs.record import read_records as read_records
from jax_origin.runs.run_folder import RunFolder as RunFolder
from jax_origin.runs.run_folder import default_workdir as default_workdir
from jax_origin.runs.summary import count_table as count_table
from jax_origin.runs.summary import explanations as explanations
from jax_origin.runs.summary import format_warning as format_warning
from jax_origin.runs.summary import plan_table as plan_table
from jax_origin.runs.summary import statistics_line as statistics_line
from jax_origin.runs.summary import table as table
from jax_origin.runs.summary import verdict_table as verdict_table
from jax_origin.runs.workdir import CHANGED as CHANGED
from jax_origin.runs.workdir import Workdir as Workdir
from jax_origin.zoo import demonstration_files as demonstration_files
