"""Some of an audit's images, examined once more, to compare with their records."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jax_origin.audit.opened_audit import Audit, sources_of
from jax_origin.calibration import Rates
from jax_origin.images import ImageError
from jax_origin.images.apart import is_given_up
from jax_origin.inversion import Run
from jax_origin.sources import Source, open_sources, reader
from jax_origin.workflow import Attributor
from jax_origin.zoo import load_generator

_SAME = 1.1  # A factor that another order of sums may put between two scores; see workflow.drift.


class Rechecked(NamedTuple):
    """One image, examined again under one candidate.

    Attributes:
      key: The image.
      candidate: The candidate.
      fault: What does not fit its record, in words; None if it fits.
      to_the_bit: Whether its score is the same to the last bit.
    """

    key: str
    candidate: str
    fault: str | None
    to_the_bit: bool


def examine_again(
    audit: Audit, *, num: int, seed: int = 0, run: Run | None = None
) -> Iterator[Rechecked]:
    """Examines a random sample of images again, under each candidate.

    Args:
      audit: The audit.
      num: How many images, at the most.
      seed: For the choice.
      run: Where and how.

    Yields:
      What came of each image and candidate. Those whose verdict is the same, and whose score is
    within a factor of 1.1, fit: another device sums in another order. Files that ended their
      decoder are not opened again.

    Raises:
      CheckpointError, CalibrationError, ImageError: If a candidate or a source cannot be opened.
    """
    settings = audit.manifest["settings"]
    records = {name: audit.records(name) for name in audit.candidates}
    of_first = records[audit.candidates[0]]
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(of_first), size=min(num, len(of_first)), replace=False)
    wanted = [of_first.value(int(i), "key") for i in np.sort(chosen)]
    files = dict(_files(wanted, open_sources(sources_of(settings, audit.path), all_files=True)))
    calibrations = audit.calibrations()
    for each in audit.manifest["candidates"]:
        name = each["name"]
        own = {record["key"]: record for record in records[name].of_keys(wanted)}
        own = {key: record for key, record in own.items() if not is_given_up(record["error"])}
        found = {key: files.get(key) for key in own}
        read = {key: data for key, data in found.items() if isinstance(data, bytes)}
        keys = list(read)
        for key in sorted({*own} - {*keys}):
            reason = str(files.get(key, "is no longer in the source"))
            if own[key]["error"] != reason:
                yield Rechecked(key, name, reason, False)
        attributor = Attributor(
            load_generator(each["source"]),
            calibrations[name],
            key=jax.random.key(settings["seed"]),
            rates=Rates(settings["alpha"], settings["beta"]),
            full_scores=True,
            resize=settings["resize"],
            readings=settings["readings"],
            run=run,
        )
        for verdict in attributor.stream(list(read.values())):
            key = keys[verdict.tag]
            fault, same = _compared(own[key], verdict.record(), read[key])
            yield Rechecked(key, name, fault, same)


def _files(wanted: Iterable[str], source: Source) -> Iterator[tuple[str, bytes | str]]:
    """The bytes of each file, or why they cannot be read."""
    read = reader(source)
    for key in wanted:
        try:
            yield key, read(key)
        except ImageError as error:
            yield key, error.reason


def _compared(record: Any, again: dict[str, Any], data: bytes) -> tuple[str | None, bool]:
    if hashlib.sha256(data).hexdigest() != record["sha256"]:
        return "its file has changed since it was examined", False
    for name in ("verdict", "error"):
        if again[name] != record[name]:
            return f"{name} was {record[name]!r}, is {again[name]!r}", False
    kinds = [str(each["reason"]).partition(":")[0] for each in (record, again)]
    if kinds[0] != kinds[1]:
        return f"reason was {record['reason']!r}, is {again['reason']!r}", False
    before, now = record["score"], again["score"]
    if before is None or now is None:
        return None, True
    factor = max(before, now) / max(min(before, now), 1e-30)
    moved = before != now and factor > _SAME
    return (f"score was {before:.6g}, is {now:.6g}" if moved else None), before == now
