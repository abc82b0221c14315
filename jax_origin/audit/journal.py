"""A candidate's records as they are made: what is done already, and the part in the making."""

import collections
import hashlib
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from jax_origin.audit.part_files import (
    COLUMNS,
    Part,
    check_chain,
    need_pyarrow,
    part_name,
    parts_in,
    read_part,
    write_part,
)
from jax_origin.audit.sorted_index import SortedIndex, digest
from jax_origin.audit.weighing import weigh
from jax_origin.calibration import Calibration
from jax_origin.files import remove_unfinished
from jax_origin.runs import CHANGED, RecordError, RunError, RunFolder
from jax_origin.runs.record import plain_record

_DONE = np.dtype(
    [("key", "S16"), ("stamp", "S16"), ("file", "S16"), ("said", "S16"), ("examined", "i4")]
)
_PLACES = np.dtype([("key", "S16"), ("part", "i4"), ("row", "i4")])
_KNOWN_BY = ("key", "stamp", "sha256", "error", "verdict", "stored", "examined")
_KEPT = 4  # Parts whose records are held to copy from.
# What is the image's own; all else in a record is the same for equal files.
_OWN = ("key", "stamp", "truth", "place")


class Journal(RunFolder):
    """The folder of a candidate's records; see `RunFolder` for its first arguments.

    ::

        folder/
          run.json, lock         see `RunFolder`
          parts/                 the records; see `jax_origin.audit.part_files`

    Records are written as a part when there are enough of them, when they have waited long enough,
    and when the folder is left, whatever the reason. A killed run loses the part in the making.

    Args:
      path: The folder.
      settings: What verdicts depend on.
      calibration: The candidate's, by which likelihood ratios are found.
      made_with: What each part's metadata says of the run: versions, devices.
      flag: The flag that chooses the folder.
      part_records: Records of a part, at the most.
      part_seconds: How long a record waits to be written, about.
      share: Which share of the work is done here, of how many, while others write theirs. Without
        it this process's, and all processes have entered before one writes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        settings: Mapping[str, Any],
        *,
        calibration: Calibration,
        made_with: Mapping[str, Any] | None = None,
        flag: str = "--out",
        part_records: int = 4096,
        part_seconds: float = 60.0,
        share: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(path, settings, flag=flag, share=share)
        self.folder = self.path / "parts"
        self._calibration, self._made_with = calibration, dict(made_with or {})
        self._part_records, self._part_seconds = part_records, part_seconds
        self._process, self._beside_others = self.share[0], share is not None
        self._tables: collections.OrderedDict[pathlib.Path, Any] = collections.OrderedDict()

    def _entered(self) -> None:
        need_pyarrow()
        if next(self.path.glob("verdicts*.jsonl"), None) is not None:
            raise RunError(
                f"{self.path} holds records of an earlier version (verdicts.jsonl): give another "
                f"{self.flag}"
            )
        parts = parts_in(self.folder)
        if self._beside_others:  # What they write now is theirs.
            chain = check_chain([part for part in parts if part.process == self._process])
        else:
            remove_unfinished(self.folder)
            chain = check_chain(parts)
        if chain.faults:
            raise RecordError(chain.faults[0])
        self._lost = chain.missing  # Its user deleted them; the next part says so.
        self._previous = chain.heads.get(self._process, "")
        number = max((p.number for p in parts if p.process == self._process), default=-1) + 1
        self._paths = [part.path for part in parts]
        # One value, so that a signal at any moment finds the records before or after a part.
        self._making: tuple[int, list[dict[str, Any]]] = (number, [])
        self._since = time.monotonic()
        self._read_done()

    def _read_done(self) -> None:
        done, places = [np.empty(0, _DONE)], [np.empty(0, _PLACES)]
        for at, path in enumerate(self._paths):
            records = read_part(path, _KNOWN_BY).to_pylist()
            known = [(digest(each["key"]), *_known(each)) for each in records]
            done.append(np.array(known, _DONE))
            files = [(f, at, row) for row, (_, _, f, _, _) in enumerate(known)]
            judged = np.array([each["verdict"] is not None for each in records], bool)
            places.append(np.array(files, _PLACES)[judged])
        rows = np.concatenate(done)
        # Of several records of a key the one examined last counts.
        self._done = SortedIndex(rows[np.argsort(rows["examined"], kind="stable")])
        self._places = SortedIndex(np.concatenate(places))

    def __exit__(self, *error: object) -> None:
        try:
            if not any(isinstance(each, RecordError) for each in error):  # It would fail again.
                self.flush()
        finally:
            super().__exit__(*error)

    def is_done(self, key: str, stamp: str | None) -> bool:
        """Whether an image has a record, and its stamp says that it has not changed since."""
        known = self._done.get(digest(key))
        return known is not None and stamp is not None and bytes(known[0]) == digest(stamp)

    def has(self, key: str, sha256: str) -> bool:
        """Whether an image has a record of this very file, which was read."""
        known = self._done.get(digest(key))
        return known is not None and bool(known[0]) and bytes(known[1]) == digest(sha256)

    def like(self, sha256: str) -> dict[str, Any] | None:
        """The record of an equal file, without what is the image's own; None without one."""
        found = self._places.get(digest(sha256))
        if found is None:
            return None
        part, row = found
        if part == len(self._paths):
            record = dict(self._making[1][row])
        else:
            record = {name: column[row].as_py() for name, column in self._table(part).items()}
        if record["note"]:
            notes = [note for note in record["note"].split("; ") if note != CHANGED]
            record["note"] = "; ".join(notes) or None
        return {k: v for k, v in record.items() if k not in (*_OWN, "examined")} | {"seconds": 0.0}

    def write(self, record: Mapping[str, Any]) -> None:
        """Adds a record, which holds `COLUMNS`, but for likelihood ratios.

        If the image had another record, it says so: `examined` counts, and the note says that the
        file has changed, if it has. One that says the same is not written again.

        Raises:
          RecordError: A part cannot be written.
        """
        record = dict(plain_record(record))
        key, known = digest(record["key"]), _known(record)
        before = self._done.get(key)
        record["examined"] = 1
        if before is not None:
            if bytes(before[2]) == known[2]:
                return
            record["examined"] = int(before[3]) + 1
            if bytes(before[1]) != known[1]:
                record["note"] = "; ".join(filter(None, (record["note"], CHANGED)))
        _, records = self._making
        if not records:
            self._since = time.monotonic()
        records.append(record)
        self._done.put(key, (*known[:3], record["examined"]))
        if record["verdict"] is not None:
            self._places.put(digest(record["sha256"]), (len(self._paths), len(records) - 1))
        waited = time.monotonic() - self._since
        if len(records) >= self._part_records or waited >= self._part_seconds:
            self.flush()

    def flush(self) -> None:
        """Writes the part in the making, if it holds any records.

        It may be interrupted at any moment, and called again: the same part is then written.

        Raises:
          RecordError: It cannot be written.
        """
        number, records = self._making
        if not records:
            return
        evidence = weigh(records, self._calibration)
        for record, ratio, low, high, against in zip(
            records,
            *(evidence.log10_lr, evidence.low, evidence.high, evidence.against),
            strict=True,
        ):
            limits = (low, high) if against is not None else (None, None)
            found = {"log10_lr_low": limits[0], "log10_lr_high": limits[1]}
            record |= plain_record({**found, "log10_lr": ratio, "against": against})
        part = Part(self.folder / part_name(self._process, number), self._process, number)
        note = {"previous": self._previous, "lost": self._lost, "made_with": self._made_with}
        written = write_part(part, records, note)
        self._previous, self._lost = written, []
        self._paths.append(part.path)
        self._making = (number + 1, [])

    def _table(self, part: int) -> dict[str, Any]:
        path = self._paths[part]
        if path not in self._tables:
            table = read_part(path).combine_chunks()
            self._tables[path] = {name: table[name] for name in COLUMNS}
            while len(self._tables) > _KEPT:
                self._tables.popitem(last=False)
        self._tables.move_to_end(path)
        return self._tables[path]


def _known(record: Mapping[str, Any]) -> tuple[bytes, bytes, bytes, int]:
    """What is kept of a record: digests of its stamp, of its file, and of what is said; its count.

    The stamp is empty where the image is to be tried again: it could not be read.
    """
    again = record["error"] is not None and record["stored"] is None
    stamp = b"" if again else digest(record["stamp"] or "none")
    file = digest(record["sha256"]) if record["sha256"] else b""
    said = hashlib.blake2b(file + (record["error"] or "").encode(), digest_size=16).digest()
    return stamp, file, said.rstrip(b"\0"), int(record.get("examined") or 1)
