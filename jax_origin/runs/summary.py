"""Records as tables to read: a line for each image, and counts for each folder."""

import pathlib
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jax_origin.calibration import Calibration, Decision, Rates, explain
from jax_origin.inversion import StagePlan, Statistics


def verdict_table(records: Sequence[Mapping[str, Any]], *, most: int = 100) -> str:
    """One line for each record: verdict, loss, p, q, file, and the reason or error if any.

    Args:
      records: As `Workdir.records` gives them.
      most: How many lines at the most; the rest is counted.
    """
    lines = [f"{'verdict':<10} {'loss':>9} {'p':>6} {'q':>6}  image"]
    for record in records[:most]:
        p, q = (_rate(record[name]) for name in ("p", "q"))
        loss = "" if record["loss"] is None else f"{record['loss']:.2e}"
        remarks = [record[name] for name in ("reason", "note", "error") if record.get(name)]
        remark = f"  ({'; '.join(remarks)})" if remarks else ""
        verdict = record["verdict"] or "error"
        lines.append(f"{verdict:<10} {loss:>9} {p:>6} {q:>6}  {short_path(record['path'])}{remark}")
    if len(records) > most:
        lines.append(f"... and {len(records) - most} more")
    return "\n".join(lines)


def explanations(
    records: Sequence[Mapping[str, Any]], calibration: Calibration, *, rates: Rates | None = None
) -> str:
    """A paragraph in plain words for each record with a verdict; see `calibration.explain`.

    Args:
      records: As `Workdir.records` gives them.
      calibration: The one that decided them.
      rates: The rates that they were decided with; the calibration's own without it.
    """
    paragraphs = []
    for record in records:
        if record["verdict"] is not None:
            decision = Decision(**{name: record[name] for name in Decision._fields})
            paragraph = explain(decision, calibration, image=record["path"], rates=rates)
            paragraphs.append(textwrap.fill(paragraph, width=100))
    return "\n\n".join(paragraphs)


def count_table(records: Sequence[Mapping[str, Any]], *, own: str | None = None) -> str:
    """How many images of each folder got which verdict.

    Args:
      records: As `Workdir.records` gives them.
      own: The folder whose images are known to belong, if any.

    Returns:
      The table; with `own`, a last line that counts right, wrong and undecided verdicts.
    """
    folders: dict[str, Counter[str]] = {}
    for record in records:
        folder = pathlib.PurePath(record["path"]).parent.name
        folders.setdefault(folder, Counter())[record["verdict"] or "error"] += 1
    columns = ["belongs", "foreign", "undecided", "error"]
    width = max([len("folder"), *(len(name) + 6 for name in folders)])
    lines = [" ".join([f"{'folder':<{width}}", *(f"{column:>10}" for column in columns)])]
    for name, counts in folders.items():
        label = f"{name} (own)" if name == own else name
        lines.append(" ".join([f"{label:<{width}}", *(f"{counts[c]:>10}" for c in columns)]))
    if own is not None:
        right = wrong = 0
        for name, counts in folders.items():
            truth, other = ("belongs", "foreign") if name == own else ("foreign", "belongs")
            right, wrong = right + counts[truth], wrong + counts[other]
        rest = len(records) - right - wrong
        lines.append(f"right {right}, wrong {wrong}, undecided or not read {rest}")
    return "\n".join(lines)


def plan_table(plan: Sequence[StagePlan], *, images: int, times: int = 1, blocks: int = 1) -> str:
    """What a run would take, stage by stage.

    Args:
      plan: As `jax_origin.inversion.Engine.plan` returns it.
      images: How many images there are.
      times: How often each is inverted.
      blocks: Blocks of lanes that each device holds at a time.

    Returns:
      The table; its last line is the time that it takes if no image ends early.
    """
    lines = [
        f"{'stage':<22} {'lanes':>6} {'steps':>6} {'evaluations':>11} {'MFLOP/lane step':>15} "
        f"{'memory MiB':>10} {'s/step':>9} {'s in all':>10}"
    ]
    total = 0.0
    for stage in plan:
        seconds = times * stage.seconds(images)
        total += seconds
        lines.append(
            f"{stage.solver:<22} {stage.lanes:>6} {stage.steps:>6} {stage.evaluations:>11.0f} "
            f"{stage.flops / 1e6:>15.1f} {stage.bytes / 2**20:>10.1f} "
            f"{stage.seconds_per_step:>9.4f} {seconds:>10.1f}"
        )
    lines.append(f"blocks of lanes that a device holds at a time: {blocks}")
    lines.append(f"{images} images: {total:.1f} s, less what ends early; compiling comes on top")
    return "\n".join(lines)


def format_warning(records: Sequence[Mapping[str, Any]]) -> str | None:
    """What to say where the files alone tell images that belong from foreign ones.

    Args:
      records: As `Workdir.records` gives them, or the rows of findings.

    Returns:
      A line; None where some files of both verdicts are stored alike, or there are few of either.
    """
    own, foreign = (
        Counter(r["stored"].split()[0] for r in records if r["verdict"] in verdicts and r["stored"])
        for verdicts in (("belongs", "named"), ("foreign", "none"))
    )
    if min(own.total(), foreign.total()) < _FEW or own.keys() & foreign.keys():
        return None
    return (
        f"warning: all images that belong are stored as {_words(own)}, all foreign ones as "
        f"{_words(foreign)}: in a set like this format and origin go together, and a rate that is "
        "read off it says nothing of either alone"
    )


_FEW = 5
_STORED = {"pixels": "lossless files", "jpeg": "JPEG"}


def _words(kinds: Counter[str]) -> str:
    return " or ".join(_STORED.get(kind, kind) for kind in sorted(kinds))


def statistics_line(statistics: Statistics) -> str:
    """Where the time of a run went, in one line."""
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in statistics.seconds.items())
    mean = statistics.evaluations / statistics.images
    return (
        f"{statistics.images} images, {mean:.0f} gradient evaluations each, lanes "
        f"{statistics.occupancy:.0%} occupied; {seconds}"
    )


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def short_path(path: str) -> str:
    """A file and its folder."""
    return str(pathlib.PurePath(*pathlib.PurePath(path).parts[-2:]))
