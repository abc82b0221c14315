"""README's results, made from the files of measurements that lie in benchmarks/results/."""

import functools
import itertools
import json
import math
import os
import pathlib
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.result_table import edit_in_words, markdown_table

BEGIN = "<!-- Made by scripts/results.py from benchmarks/results/: do not edit by hand. -->"
END = "<!-- The end of what scripts/results.py makes. -->"

Row = dict[str, Any]


class ResultsError(ValueError):
    """Results that cannot be shown; one line says why."""


def with_results(readme: str, section: str) -> str:
    """README's text with its results replaced.

    Args:
      readme: The text; it holds `BEGIN` and `END`, each once, as lines.
      section: What is to stand between the two.

    Returns:
      The new text.

    Raises:
      ResultsError: If the two lines are not there.
    """
    before, begin, rest = readme.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(f"{END}\n")
    if not begin or not end:
        raise ResultsError(f"the text must hold the lines {BEGIN!r} and {END!r}")
    return f"{before}{begin}\n{section}\n\n{end}{after}"


def results_section(folder: str | os.PathLike[str], *, link: str = "benchmarks/results") -> str:
    """What the files say, in Markdown.

    Args:
      folder: Holds cifar10*.json, storage.json (`scripts/evaluate.py`), recovery.json and cpu.json
        (`scripts/benchmark.py`); storage-pixels.json, edits.json, hard.json, mixed.json,
        edits-clean-only.json and peers.json, and evaluations under paper/ are shown where there
        are any.
      link: The folder as the text links to it.

    Returns:
      The section.

    Raises:
      ResultsError: If a file is missing, holds something else, or two hold the same.
    """
    folder = pathlib.Path(folder)
    parts = [
        _shown(
            sorted(folder.glob("cifar10*.json"), key=lambda path: path.stem)
            or [folder / "cifar10.json"],
            _attribution,
        ),
        _shown([folder / "storage.json", *_there(folder, "storage-pixels")], _storage),
        _shown([folder / "recovery.json"], functools.partial(_recovery, link=link)),
        _shown([folder / "cpu.json"], _speed),
    ]
    if peers := _there(folder, "peers"):
        parts.append(_shown(peers, _peers))
    if edited := _there(folder, *_EDITED):
        parts.insert(2, _shown([folder / "storage.json", *edited], _edits))
    papers = [
        _shown([path], functools.partial(_experiment, link=f"{link}/paper/{path.stem}"))
        for path in sorted(folder.glob("paper/*.json"))
    ]
    if papers:
        parts.append("\n".join(["The paper's experiments, each with its tables:", "", *papers]))
    return "\n\n".join(parts)


def _attribution(files: Sequence[Row]) -> str:
    summary = [row for file in files for row in file["summary"]]
    rows = [row for file in files for row in file["rows"]]
    if len({_key(row) for row in summary}) < len(summary):
        raise ValueError("the files hold one generator and method twice")
    order = list(dict.fromkeys(row["inspected"] for row in summary))
    cells = [
        [
            *("inspected", "method", "TPR", "FPR", "TPR at 1% FPR", "AUC"),
            *("foreign undecided", "own under 1e-5", "evaluations"),
        ]
    ]
    for each in sorted(summary, key=lambda row: order.index(row["inspected"])):
        undecided = max(row["undecided_foreign"] for row in rows if _key(row) == _key(each))
        cells.append(
            [
                *_key(each),
                _percent(each["tpr"]),
                _percent(each["worst_fpr"]),
                _percent(each["smallest_tpr_at_1_fpr"]),
                f"{each['smallest_auc']:.4f}",
                _percent(undecided),
                _percent(each["loss_under_1e-5"]),
                f"{each['mean_steps']:,.0f}",
            ]
        )
    sets = [name for name in files[0]["images"] if name not in order]
    num = min(row["n"] for row in summary)
    what = (
        "**Attribution.** `python scripts/evaluate.py --config=configs/evaluate/cifar10.py "
        f"--data=DIR --out=FILE.json`: {num} belonging images (fresh, 8-bit) against as many of "
        f"each foreign group: the other generators, {', '.join(sets)}. No calibration used any of "
        "these images. TPR and FPR are those of the default decision; of groups that differ the "
        'worst is shown. "Foreign undecided" are foreign images without a verdict, "evaluations" '
        "gradient evaluations an image, all groups together."
    )
    for file in files[1:]:
        if file["seed"] != files[0]["seed"]:
            methods = ", ".join(dict.fromkeys(row["method"] for row in file["summary"]))
            groups = max(Counter(row["inspected"] for row in file["rows"]).values())
            what += (
                f" The rows of {methods} are of other test images (seed {file['seed']} instead of "
                f"{files[0]['seed']}), against {groups} groups."
            )
        fewest = min(row["n"] for row in file["rows"])
        if fewest < num:
            names = ", ".join(dict.fromkeys(row["inspected"] for row in file["summary"]))
            what += f" Of each group {fewest} images stand against {names}."
    limit = _percent(-math.expm1(math.log(0.05) / num))
    return "\n\n".join(
        [
            _wrapped(what),
            _names_once(cells, 2),
            f'An FPR of 0% of {num} images supports "under {limit}" at 95% confidence, no more.',
        ]
    )


def _storage(files: Sequence[Row]) -> str:
    file, *on_pixels = files
    summary = file["summary"]
    stored = list(dict.fromkeys(_stored_as(row["edit"]) for row in summary))
    ranked = ("TPR at 1% FPR", "smallest_tpr_at_1_fpr", min)
    fields = (("TPR", "tpr", min), ("FPR", "worst_fpr", max), ranked)
    tables = [(summary, fields), *((other["summary"], (ranked,)) for other in on_pixels)]
    order = list(dict.fromkeys(row["inspected"] for row in summary))
    lines = []
    for rows, shown in tables:
        for name in dict.fromkeys(map(_key, rows)):
            for label, field, worst in shown:
                rates = [
                    _percent(worst(row[field] for row in rows if _stored(row) == (*name, how)))
                    for how in stored
                ]
                lines.append([*name, label, *rates])
    lines.sort(key=lambda line: order.index(line[0]))
    cells = [["inspected", "method", "", *stored], *lines]
    what = (
        "**Stored images.** `--config=configs/evaluate/storage.py`: "
        f"{min(row['n'] for row in summary)} belonging images, and as many of each foreign group, "
        "all stored alike, chroma at half and at full resolution; the worst of both, and of the "
        "groups."
    )
    if on_pixels:
        num = min(row["n"] for other in on_pixels for row in other["summary"])
        what += (
            f" Beside it the same recipe with distances on pixels (`storage_pixels.py`, {num} "
            "images of each)."
        )
    parts = [_wrapped(what), _names_once(cells, 3)]
    unsure = dict.fromkeys(
        f"{row['inspected']} as {_stored_as(row['edit'])}"
        for row in summary
        if row["undecided_belonging"] > 0.5
    )
    if unsure:
        parts.append(
            _wrapped(
                f"Most own images of {', '.join(unsure)} are undecided, not turned away: so many "
                "calibrated foreign images fit sets as wide that nothing can be attributed at beta."
            )
        )
    return "\n\n".join(parts)


def _stored(row: Row) -> tuple[str, ...]:
    return (*_key(row), _stored_as(row["edit"]))


def _there(folder: pathlib.Path, *names: str) -> list[pathlib.Path]:
    return [path for name in names if (path := folder / f"{name}.json").exists()]


def _edits(files: Sequence[Row]) -> str:
    cells = [["inspected", "method", "edit", "n", "TPR", "undecided own", "FPR", "TPR at 1% FPR"]]
    storage, *edited = files
    told = {(_key(row), row["edit"]) for row in storage["summary"]}
    summary = [
        row for file in edited for row in file["summary"] if (_key(row), row["edit"]) not in told
    ]
    order = list(dict.fromkeys(_key(row) for row in summary))
    for row in sorted(summary, key=lambda row: order.index(_key(row))):
        cells.append(
            [
                *_key(row),
                edit_in_words(row["edit"]),
                str(row["n"]),
                *(_percent(row[field]) for field in ("tpr", "undecided_belonging", "worst_fpr")),
                _percent(row["smallest_tpr_at_1_fpr"]),
            ]
        )
    what = (
        "**Edits.** `--config=configs/evaluate/edits.py`, `mixed.py` (one folder of PNG, JPEG of "
        "many qualities and WebP) and `hard.py` (chains that no calibration knows): belonging and "
        "foreign images edited alike, the worst of the groups; those of the table above are not "
        "repeated. An own image that is neither attributed nor undecided is called foreign. "
        "Beside them calibrations of images as made (`edits_clean_only.py`, the first images of "
        "each group): `origin`'s without its conditions, and RONAN's."
    )
    return f"{_wrapped(what)}\n\n{_names_once(cells, 2, text=(0, 1, 2))}"


def _recovery(files: Sequence[Row], link: str) -> str:
    (file,) = files
    rows = [row for row in file["rows"] if row["name"] == "recovery"]
    cells = [["generator", "recipe", "recovered", "TPR at 1% FPR", "evaluations: own", "foreign"]]
    for row in sorted(rows, key=lambda row: (row["generator"], row["evaluations_belonging"])):
        if row["chosen"] or row["recipe"] in ("origin", "ronan"):
            cells.append(
                [
                    row["generator"],
                    f"{row['recipe']} (chosen)" if row["chosen"] else row["recipe"],
                    _percent(row["recovered"]),
                    _percent(row["tpr_at_1_fpr"]),
                    f"{row['evaluations_belonging']:,.0f}",
                    f"{row['evaluations_foreign']:,.0f}",
                ]
            )
    recipes = len({row["recipe"] for row in rows})
    what = (
        "**Recovery.** `python scripts/benchmark.py --suite=recovery --out=FILE.json` finds the "
        f"generators' own images again by {recipes} recipes ([picture]({link}/recovery.png)): "
        "the default, and the cheapest of the best."
    )
    return f"{_wrapped(what)}\n\n{_names_once(cells, 2)}"


def _speed(files: Sequence[Row]) -> str:
    (file,) = files
    cells = [["figure", "case", "ratio", "ours", "reference", "unit"]]
    for name, words in _FIGURES.items():
        cells += [
            [
                words,
                row["case"],
                *(f"{row[field]:.3g}" for field in ("ratio", "ours", "reference")),
                row["unit"],
            ]
            for row in file["rows"]
            if row["name"] == name
        ]
    machine, versions = file["machine"], file["versions"]
    torch = f", PyTorch {versions['torch']}" if versions.get("torch") else ""
    what = (
        "**Speed.** `python scripts/benchmark.py --suite=cpu --out=FILE.json` on "
        f"{machine['usable_cpus']} cores, JAX {versions['jax']}{torch}; how to read it: "
        "[benchmarks/README.md](benchmarks/README.md)."
    )
    return f"{_wrapped(what)}\n\n{_names_once(cells, 1, text=(0, 1, 5))}"


def _peers(files: Sequence[Row]) -> str:
    (file,) = files
    rows = [row for row in file["rows"] if row["name"] in _PEERS]
    sides = ("ours", "reference")
    rates = (("TPR", "tpr"), ("FPR", "fpr"), ("TPR at 1% FPR", "tpr_at_1_fpr"))
    heads = [f"{words}: {label}" for words in ("origin", "published") for label, _ in rates]
    cells = [["against the published recipe", "case", "speed-up", *heads]]
    for name in _PEERS:
        for row in rows:
            if row["name"] == name:
                told = [
                    _percent(row["accuracy"][side][field]) if field in row["accuracy"][side] else ""
                    for side in sides
                    for _, field in rates
                ]
                cells.append([_PEERS[name], row["case"], f"{row['ratio']:.3g}", *told])
    what = (
        "**In full.** `python scripts/benchmark.py --suite=peers --out=FILE.json`: all 1,500 steps "
        f"of the published recipe in PyTorch, on {rows[0]['images']} images, half of them "
        "belonging; its verdicts by Grubbs' test."
    )
    return f"{_wrapped(what)}\n\n{_names_once(cells, 1, text=(0, 1))}"


_PEERS = {"vs_ronan_recipe": "one image at a time", "vs_batched_torch": "in batches of 64"}
_EDITED = ("edits", "mixed", "hard", "edits-clean-only")
_FIGURES = {
    "vs_ronan_recipe": "speed-up over the published recipe, one image at a time",
    "vs_batched_torch": "speed-up over it in batches",
    "early_accept_saving": "evaluations without early acceptance over those with it",
    "learned_start_pays_after": "images after which a learned start has paid",
    "engine_overhead": "a step of the engine over the bare gradient",
}


def _experiment(files: Sequence[Row], link: str) -> str:
    (file,) = files
    num = min(row["n"] for row in file["summary"])
    line = f"- [{file['config']['title']}]({link}.md), {num} own images"
    methods = list(dict.fromkeys(row["method"] for row in file["summary"]))
    if len(methods) > _FEW:
        return f"{line}: {len(methods)} methods ([picture]({link}.png))"
    told = []
    for method in methods:
        rows = [row for row in file["summary"] if row["method"] == method]
        lowest = _percent(min(row["tpr"] for row in rows))
        highest = _percent(max(row["worst_fpr"] for row in rows))
        told.append(f"{method} TPR {lowest} or more, FPR {highest} or less")
    return f"{line}: {'; '.join(told)} ([picture]({link}.png))"


_FEW = 3


def _shown(paths: Iterable[pathlib.Path], show: Callable[[Sequence[Row]], str]) -> str:
    """What a part says of its files; an error names them."""
    paths = list(paths)
    names = ", ".join(map(str, paths))
    try:
        return show([json.loads(path.read_text(encoding="ascii")) for path in paths])
    except OSError as error:
        raise ResultsError(f"{names}: cannot be read ({error.strerror})") from None
    except (KeyError, TypeError) as error:
        raise ResultsError(f"{names}: lacks {error}") from None
    except ValueError as error:
        raise ResultsError(f"{names}: {error}") from None


def _key(row: Row) -> tuple[str, str]:
    return row["inspected"], row["method"]


def _stored_as(edit: str) -> str:
    if edit == "clean":
        return "PNG"
    return edit.removesuffix("-444").replace("jpeg-", "JPEG ")


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}".removesuffix(".0") + "%"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _names_once(cells: Sequence[Sequence[str]], names: int, *, text: Sequence[int] = ()) -> str:
    """The table; each of its first columns says a name only where it changes."""
    shown = [list(cells[0])]
    for before, row in itertools.pairwise(cells):
        same = 0
        while same < names - 1 and row[same] == before[same]:
            same += 1
        if names == 1 and row[0] == before[0]:
            same = 1
        shown.append([*[""] * same, *row[same:]])
    flush_left = text or range(names)
    return markdown_table(shown, right=[i not in flush_left for i in range(len(cells[0]))])
