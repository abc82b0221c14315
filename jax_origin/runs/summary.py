"""Records as text to read: a line for each image, counts for each folder, what a run takes.

Records are those that `Workdir.records` gives.
"""

import pathlib
import posixpath
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jax_origin.calibration import Calibration, Decision, Rates
from jax_origin.evidence import explain, explain_run
from jax_origin.images import share_of_chances
from jax_origin.inversion import StagePlan, Statistics

_FEW = 5
_H100 = 495e12  # operations a second
_STORED = {"pixels": "lossless files", "jpeg": "JPEG", "webp": "lossy WebP"}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns stand under their heads; bars in cells do not end them."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def verdict_table(records: Sequence[Mapping[str, Any]], *, most: int = 100) -> str:
    """A line for each record, `most` at the most: verdict, loss, p, q, file, and remarks.

    Remarks are what the image was read as, the reason, what was done to the file, and the error.

    Of an image that was accepted early p and q are bounds, and are shown so.
    """
    lines = [f"{'verdict':<14} {'loss':>9} {'p':>7} {'q':>7}  image"]
    for record in records[:most]:
        bound = record.get("score_kind") == "upper_bound"
        p, q = (
            "" if record[x] is None else f"{sign if bound else ''}{record[x]:.3f}"
            for x, sign in (("p", ">="), ("q", "<="))
        )
        loss = "" if record["loss"] is None else f"{record['loss']:.2e}"
        remarks = [
            record[name] for name in ("reading", "reason", "note", "error") if record.get(name)
        ]
        remark = f"  ({'; '.join(remarks)})" if remarks else ""
        verdict = record["verdict"] or "error"
        lines.append(f"{verdict:<14} {loss:>9} {p:>7} {q:>7}  {short_path(record['path'])}{remark}")
    if len(records) > most:
        lines.append(f"... and {len(records) - most} more")
    return "\n".join(lines)


def explanations(
    records: Sequence[Mapping[str, Any]], calibration: Calibration, *, rates: Rates | None = None
) -> str:
    """A paragraph for each record with a verdict, and then what all of them rest on.

    See `jax_origin.evidence.explain` and `explain_run`.
    """
    paragraphs = []
    for record in records:
        if record["verdict"] is not None:
            paragraphs.append(
                explain(
                    Decision(**{name: record[name] for name in Decision._fields}),
                    calibration,
                    score=record["score"],
                    image=record["path"],
                    rates=rates,
                    early=record["score_kind"] == "upper_bound",
                    reading=record.get("reading"),
                    share=share_of_chances(record.get("reading"), record.get("tried") or ()),
                    tried=record.get("tried") or (),
                )
            )
    again = any(record.get("tried") for record in records)
    paragraphs += explain_run(calibration, rates=rates, read_again=again).split("\n\n")
    return "\n\n".join(textwrap.fill(paragraph, width=100) for paragraph in paragraphs)


def count_table(records: Sequence[Mapping[str, Any]], *, own: str | None = None) -> str:
    """How many images of each folder got which verdict.

    If `own` names the folder whose images are known to belong, a last line counts right, wrong and
    undecided verdicts.
    """
    folders = count_by_folder((record["path"], record["verdict"] or "error") for record in records)
    columns = ["belongs", "not_recognised", "undecided", "error"]
    width = max([len("folder"), *(len(name) + 6 for name in folders)])
    lines = [" ".join([f"{'folder':<{width}}", *(f"{column:>14}" for column in columns)])]
    for name, counts in folders.items():
        label = f"{name} (own)" if name == own else name
        lines.append(" ".join([f"{label:<{width}}", *(f"{counts[c]:>14}" for c in columns)]))
    if own is not None:
        truths = {name: "belongs" if name == own else "not_recognised" for name in folders}
        lines.append(right_and_wrong(folders, truths))
    return "\n".join(lines)


def count_by_folder(found: Iterable[tuple[str, str]]) -> dict[str, Counter[str]]:
    """Counts what was found, given as (path, word), for the name of each folder."""
    # Many paths have few folders: a folder's name is worked out once.
    counts = Counter((path.rpartition("/")[0], word) for path, word in found)
    folders: dict[str, Counter[str]] = {}
    for (folder, word), num in counts.items():
        name = posixpath.basename(posixpath.dirname(f"{folder}/"))
        folders.setdefault(name, Counter())[word] += num
    return folders


def right_and_wrong(folders: Mapping[str, Counter[str]], truths: Mapping[str, str]) -> str:
    """Counts right and wrong words in a line, by the true word of each folder."""
    right = sum(counts[truths[name]] for name, counts in folders.items())
    rest = sum(counts["undecided"] + counts["error"] for counts in folders.values())
    wrong = sum(counts.total() for counts in folders.values()) - right - rest
    return f"right {right}, wrong {wrong}, undecided or not read {rest}"


def plan_table(plan: Sequence[StagePlan], *, images: int, times: int = 1, blocks: int = 1) -> str:
    """What a run would take, stage by stage; last, its time if no image ends early.

    Beside the measured time stands that of an H100, at half its peak. The peak is that of float32
    products as accelerators round them (NVIDIA's data sheet: 495 TFLOP/s in TF32, dense).

    Args:
      plan: As `jax_origin.inversion.Engine.plan` returns it.
      images: How many images there are.
      times: How often each is inverted.
      blocks: Blocks of lanes that each device holds at a time.
    """
    lines = [
        f"{'stage':<22} {'lanes':>6} {'steps':>6} {'evaluations':>11} {'MFLOP/lane step':>15} "
        f"{'memory MiB':>10} {'s/step':>9} {'s in all':>10}"
    ]
    total = flops = 0.0
    for stage in plan:
        seconds = times * stage.seconds(images)
        total += seconds
        flops += times * images * stage.lanes_per_image * stage.steps * stage.flops
        lines.append(
            f"{stage.solver:<22} {stage.lanes:>6} {stage.steps:>6} {stage.evaluations:>11.0f} "
            f"{stage.flops / 1e6:>15.1f} {stage.bytes / 2**20:>10.1f} "
            f"{stage.seconds_per_step:>9.4f} {seconds:>10.1f}"
        )
    lines.append(f"blocks of lanes that a device holds at a time: {blocks}")
    lines.append(f"{images} images: {total:.1f} s, less what ends early; compiling comes on top")
    lines.append(
        f"an H100 at half its peak: {2 * flops / _H100:.3g} s, of {flops / 1e12:.3g} TFLOP"
    )
    return "\n".join(lines)


def format_warning(records: Iterable[Mapping[str, Any]]) -> str | None:
    """A line to say where the files alone tell images that belong from foreign ones.

    It takes records or the rows of findings, of which it looks at `verdict` and `stored`. It is
    None where some files of both verdicts are stored alike, or there are few of either.
    """
    own, foreign = Counter[str](), Counter[str]()
    of_verdict = {"belongs": own, "named": own, "not_recognised": foreign, "none": foreign}
    for record in records:
        if record["verdict"] in of_verdict and record["stored"]:
            of_verdict[record["verdict"]][record["stored"].split()[0]] += 1
    if min(own.total(), foreign.total()) < _FEW or own.keys() & foreign.keys():
        return None
    ours, theirs = (
        " or ".join(_STORED.get(kind, kind) for kind in sorted(kinds)) for kinds in (own, foreign)
    )
    return (
        f"warning: all images that belong are stored as {ours}, all foreign ones as "
        f"{theirs}: in a set like this format and origin go together, and a rate that is "
        "read off it says nothing of either alone"
    )


def statistics_line(statistics: Statistics) -> str:
    """Where the time of a run went, in one line."""
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in statistics.seconds.items())
    mean = statistics.evaluations / statistics.images
    return (
        f"{statistics.images} images, {mean:.0f} gradient evaluations each, lanes "
        f"{statistics.occupancy:.0%} occupied, {statistics.starved:.0%} of the time spent on "
        f"waiting for images; {seconds}"
    )


def short_path(path: str) -> str:
    """A file and its folder."""
    return str(pathlib.PurePath(*pathlib.PurePath(path).parts[-2:]))
