"""An audit's folder, read: finished, unfinished or at work."""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jax_origin.audit.findings import Findings, combine
from jax_origin.audit.manifest import read_manifest
from jax_origin.audit.part_records import PartRecords, aligned_records
from jax_origin.audit.weighing import Record
from jax_origin.calibration import Calibration, Rates


class Audit:
    """An audit's records, as they are on disk now; made by `open_audit`.

    Iterating gives one record after the other, candidate by candidate, and keeps none.

    Attributes:
      path: The folder.
      manifest: What the audit asked, and, once it is finished, what it was made with.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)
        self.manifest = read_manifest(self.path)
        self._folders = {
            each["name"]: self.path / each["folder"] / "parts"
            for each in self.manifest["candidates"]
        }

    @property
    def finished(self) -> bool:
        """Whether every image has its record under every candidate."""
        return bool(self.manifest["finished"])

    @property
    def candidates(self) -> list[str]:
        """The candidates' names."""
        return list(self._folders)

    def calibrations(self) -> dict[str, Calibration]:
        """The calibrations that decided, by candidate; a CalibrationError where one is damaged."""
        return {
            each["name"]: Calibration.load(self.path / each["folder"] / "calibration.json")
            for each in self.manifest["candidates"]
        }

    def records(self, candidate: str) -> PartRecords:
        """The last record of each image under one candidate, in the order of their source."""
        return aligned_records({candidate: self._folders[candidate]})[candidate]

    def __iter__(self) -> Iterator[Record]:
        for name in self._folders:
            yield from self.records(name)

    def table(self, columns: Sequence[str] | None = None) -> Any:
        """The last record of each image and candidate, as a pyarrow Table.

        Args:
          columns: Those wanted, of `key`, `candidate`, `verdict`, `score`, `p`, `q` and the others
            that docs/audits.md explains; None for all.

        Raises:
          RecordError: If a part is damaged, or pyarrow is missing.
        """
        import pyarrow

        tables = [self.records(name).table(columns) for name in self._folders]
        return pyarrow.concat_tables(tables).unify_dictionaries()

    def findings(self) -> Findings:
        """Who made each image that every candidate has been asked about so far.

        Raises:
          RecordError: If a part is damaged, or pyarrow is missing.
        """
        rates: Mapping[str, Any] = self.manifest["rates"]
        return combine(
            aligned_records(self._folders),
            self.calibrations(),
            rates=Rates(rates["alpha"], rates["beta"]),
            indistinguishable=[tuple(group) for group in self.manifest["indistinguishable"]],
            fdr=rates["fdr"],
            procedure=rates["fdr_procedure"],
        )


def open_audit(path: str | os.PathLike[str]) -> Audit:
    """Opens an audit's folder, finished or not.

    ::

        audit = jo.audit.open("runs/audit")
        audit.table(["key", "candidate", "verdict", "p", "q"]).to_pandas()
        audit.findings().naming[0]

    Args:
      path: The folder that --out named.

    Raises:
      RunError: There is no audit, or its manifest is damaged.
    """
    return Audit(path)


def sources_of(settings: Mapping[str, Any], out: pathlib.Path | None = None) -> list[str]:
    """The texts of an audit's sources, by its settings; of the demonstration, its own folder."""
    texts = [settings["images"]] if settings.get("images") is not None else []
    texts += settings.get("source") or ()
    if not texts and out is not None:
        texts = [str(out / "images")]
    return texts
