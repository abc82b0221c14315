"""A run's folder: its settings, its lock, and one record for each image file.

::

    workdir/
      run.json                      the settings that verdicts depend on
      lock                          held by the run that is at work
      verdicts.jsonl                one record a line; of several processes, one file each
      reconstructions/<sha256>.png  named by the image file's content
      maps/<sha256>.png, .csv       where an image was made in part; see `write_part_map`
"""

import hashlib
import os
import pathlib
import stat
from collections.abc import Iterable, Mapping
from typing import Any

import jax

from jax_origin.images import as_uint8, map_ahead, save_png
from jax_origin.runs.part_maps import write_part_map
from jax_origin.runs.record import (
    RecordWriter,
    RunError,
    latest_records,
    plain_record,
    records_name,
    times_examined,
)
from jax_origin.runs.run_folder import RunFolder
from jax_origin.runtime import own_share, wait_for_all
from jax_origin.workflow.verdict import Verdict

CHANGED = "the file has changed since it was first examined"
"""The note of a record whose file had another when it was examined before."""


class Workdir(RunFolder):
    """The folder of a run over files; see `RunFolder` for its arguments.

    ::

        with Workdir("runs/mine", {"seed": 1, "resize": False}) as workdir:
            for verdict in attributor.stream(workdir.waiting(paths)):
                workdir.write(verdict)
        wait_for_all("verdicts")
        records = workdir.records(paths)

    Attributes:
      path: The folder.
      records_path: This process's file of records.
    """

    def __init__(
        self, path: str | os.PathLike[str], settings: Mapping[str, Any], *, flag: str = "--workdir"
    ) -> None:
        super().__init__(path, settings, flag=flag)
        self.records_path = self.path / records_name(jax.process_index(), jax.process_count())
        self._writer: RecordWriter | None = None
        self._known: dict[str, dict[str, Any]] = {}

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._writer = None

    def _entered(self) -> None:
        self._known = latest_records(self.path)

    def waiting(self, paths: Iterable[str]) -> list[str]:
        """This process's share of the files that still want a record, in order, each once.

        Call it once a run; all processes name the same files. A file is done where its record has
        the SHA-256 of its bytes as they are now. A file that is gone keeps its record. One that
        could not be read is tried again.
        """
        names = list(dict.fromkeys(paths))
        done = map_ahead(lambda path: _up_to_date(path, self._known.get(path)), names)
        waiting = [path for path, is_done in zip(names, done, strict=True) if not is_done]
        wait_for_all("resume")  # All have read the records before one writes.
        return own_share(waiting)

    def write(self, verdict: Verdict, *, keep_reconstruction: bool = False) -> dict[str, Any]:
        """Appends the record of a verdict; if the file had another, it says so in its note.

        With `keep_reconstruction`, `reconstruction` and `part_map` are to be found later.

        Returns:
          The record. A record that the file has for this very content or error stands instead.

        Raises:
          RunError: A file cannot be written, for instance on a full disk.
        """
        record = plain_record(verdict.record())
        before = self._known.get(record["path"])
        if before is not None:
            if all(record[name] == before.get(name) for name in ("sha256", "error")):
                return before
            record["note"] = "; ".join(filter(None, (record["note"], CHANGED)))
            record["examined"] = times_examined(before) + 1
        try:
            # Before the record: a file that has one is not looked at again.
            if keep_reconstruction and verdict.reconstruction is not None:
                save_png(self.reconstruction(record), as_uint8(verdict.reconstruction[None])[0])
                if verdict.part is not None and verdict.image is not None:
                    path = self.part_map(record).with_suffix("")
                    write_part_map(path, verdict.image.pixels, verdict.part)
        except OSError as error:
            reason = f"a reconstruction cannot be written ({error.strerror or error})"
            raise RunError(f"{self.path}: {reason}") from error
        if self._writer is None:
            self._writer = self._open.enter_context(RecordWriter(self.records_path))
        self._known[record["path"]] = self._writer.write(record)
        return record

    def records(self, paths: Iterable[str]) -> list[dict[str, Any]]:
        """The records of files in order, whichever process wrote them.

        Raises:
          RunError: A file has no record, or a file of records cannot be read.
        """
        paths, known = list(paths), latest_records(self.path)
        if missing := [path for path in paths if path not in known]:
            raise RunError(
                f"{self.path}: {len(missing)} files have no record, the first is {missing[0]}: all "
                f"processes must see the same files, and share {self.flag}"
            )
        return [known[path] for path in paths]

    def reconstruction(self, record: Mapping[str, Any]) -> pathlib.Path:
        """Where the reconstruction of a record's image lies, if it was kept."""
        return self.path / "reconstructions" / f"{record['sha256']}.png"

    def part_map(self, record: Mapping[str, Any]) -> pathlib.Path:
        """Where the map of a record's image lies, if it was kept; with .csv its numbers."""
        return self.path / "maps" / f"{record['sha256']}.png"


def _up_to_date(path: str, record: Mapping[str, Any] | None) -> bool:
    if record is None or record.get("sha256") is None:
        return False
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return bool(hashlib.file_digest(file, "sha256").hexdigest() == record["sha256"])
    except FileNotFoundError:
        return True
    except OSError:
        return False
