"""The results in docs/results.md and in README, made from the files in benchmarks/results/."""

import functools
import itertools
import json
import os
import pathlib
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.counted_rates import highest_rate, lowest_rate
from benchmarks.result_table import edit_in_words, markdown_table

BEGIN = "<!-- Made by scripts/results.py from benchmarks/results/: do not edit by hand. -->"
END = "<!-- The end of what scripts/results.py makes. -->"

Row = dict[str, Any]


class ResultsError(ValueError):
    """Results that cannot be shown; one line says why."""


def with_results(text: str, section: str) -> str:
    """A text with its results replaced.

    Args:
      text: The text; it holds `BEGIN` and `END`, each once, as lines.
      section: What is to stand between the two.

    Returns:
      The new text.

    Raises:
      ResultsError: If the two lines are not there.
    """
    before, begin, rest = text.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(f"{END}\n")
    if not begin or not end:
        raise ResultsError(f"the text must hold the lines {BEGIN!r} and {END!r}")
    return f"{before}{begin}\n{section}\n\n{end}{after}"


def results_table(folder: str | os.PathLike[str]) -> str:
    """README's table, in Markdown: what the files cifar10*.json in a folder say, in short.

    Raises:
      ResultsError: As `results_section` does.
    """
    return _shown(_evaluations(pathlib.Path(folder)), _in_short)


def results_section(folder: str | os.PathLike[str], *, root: str = "..") -> str:
    """What the files say, in Markdown.

    Args:
      folder: Holds cifar10*.json, storage.json (`scripts/evaluate.py`), recovery.json and cpu.json
        (`scripts/benchmark.py`); storage-pixels.json, edits.json, hard.json, mixed.json
        and peers.json, and evaluations under paper/ are shown where there are any.
      root: The checkout's folder as the text links to it.

    Returns:
      The section.

    Raises:
      ResultsError: If a file is missing, holds something else, or two hold the same.
    """
    folder, link = pathlib.Path(folder), f"{root}/benchmarks/results"
    parts = [
        _shown(_evaluations(folder), _attribution),
        _shown([folder / "storage.json", *_there(folder, "storage-pixels")], _storage),
        _shown([folder / "recovery.json"], functools.partial(_recovery, link=link)),
        _shown([folder / "cpu.json"], functools.partial(_speed, root=root)),
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
        parts.append("\n".join([_PAPERS_HEAD, "", _wrapped(_PAPERS), "", *papers]))
    return "\n\n".join(parts)


def _evaluations(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files of the zoo's evaluations."""
    found = sorted(folder.glob("cifar10*.json"), key=lambda path: path.stem)
    return found or [folder / "cifar10.json"]


def _in_short(files: Sequence[Row]) -> str:
    cells = [["model", "method", "own recognised", "foreign attributed", "undecided", "gradients"]]
    pairs = [(row, file["rows"]) for file in files for row in file["summary"]]
    order = list(dict.fromkeys(row["inspected"] for row, _ in pairs))
    for row, rows in sorted(pairs, key=lambda pair: order.index(pair[0]["inspected"])):
        against = [each for each in rows if _key(each) == _key(row)]
        own, foreign = lowest_rate([row], "tpr"), highest_rate(against, "fpr")
        undecided = f"{row['undecided_belonging']:.0%}, {_most(against, 'undecided_foreign'):.0%}"
        cells.append([*_key(row), own, foreign, undecided, f"{row['mean_steps']:,.0f}"])
    return _names_once(cells, 2)


def _most(rows: Sequence[Row], field: str) -> float:
    return max(float(row[field]) for row in rows)


def _attribution(files: Sequence[Row]) -> str:
    summary = [row for file in files for row in file["summary"]]
    rows = [row for file in files for row in file["rows"]]
    if len({_key(row) for row in summary}) < len(summary):
        raise ValueError("the files hold one generator and method twice")
    order = list(dict.fromkeys(row["inspected"] for row in summary))
    cells = [
        [
            *("inspected", "method", "TPR", "FPR", "TPR at 1% FPR", "AUC"),
            *("own undecided", "foreign undecided", "own under 1e-5", "evaluations"),
        ]
    ]
    for each in sorted(summary, key=lambda row: order.index(row["inspected"])):
        against = [row for row in rows if _key(row) == _key(each)]
        cells.append(
            [
                *_key(each),
                lowest_rate([each], "tpr"),
                highest_rate(against, "fpr"),
                lowest_rate([each], "smallest_tpr_at_1_fpr"),
                f"{each['smallest_auc']:.4f}",
                highest_rate([each], "undecided_belonging"),
                highest_rate(against, "undecided_foreign"),
                lowest_rate([each], "loss_under_1e-5"),
                f"{each['mean_steps']:,.0f}",
            ]
        )
    sets = [name for name in files[0]["images"] if name not in order]
    nums = sorted({row["n"] for row in summary})
    what = (
        "`python scripts/evaluate.py --config=configs/evaluate/cifar10.py --data=DIR "
        f"--out=FILE.json`: {' or '.join(map(str, nums))} belonging images (fresh, 8-bit) "
        f"against as many of each foreign group: the other generators, {', '.join(sets)}. No "
        "calibration used any of these images. TPR and FPR are those of the default decision; of "
        'groups that differ the worst is shown. "Undecided" are images without a verdict, '
        '"evaluations" gradient evaluations an image, all groups together.'
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
        if fewest < nums[0]:
            names = ", ".join(dict.fromkeys(row["inspected"] for row in file["summary"]))
            what += f" Of each group {fewest} images stand against {names}."
    what += _earlier(files)
    parts = [_wrapped(what), _names_once(cells, 2), _wrapped(_LIMITS), _wrapped(_CHOSEN)]
    return "\n\n".join(["## Attribution", *parts])


_LIMITS = (
    "Beside each count of images stand the exact 95% limits of its rate, one-sided each (Clopper "
    'and Pearson): 0/100 is "at most 3.0%". Where the worst of several groups, edits or generators '
    "is shown, the limit on its bad side holds for all of them at once. Limits in different rows "
    "hold one by one: about one in twenty may be wrong."
)
_CHOSEN = (
    "The threshold of TPR at 1% FPR was chosen on the foreign test images themselves. It is the "
    "highest that lets no more than 1% of a group through (one of 100, none of 50). It says how "
    "far scores are apart. No user could have had it, and its FPR has no limit."
)


def _storage(files: Sequence[Row]) -> str:
    file, *on_pixels = files
    summary = file["summary"]
    stored = list(dict.fromkeys(_stored_as(row["edit"]) for row in summary))
    ranked = ("TPR at 1% FPR", "summary", "smallest_tpr_at_1_fpr", lowest_rate)
    fields = (("TPR", "summary", "tpr", lowest_rate), ("FPR", "rows", "fpr", highest_rate), ranked)
    tables = [(file, fields), *((other, (ranked,)) for other in on_pixels)]
    order = list(dict.fromkeys(row["inspected"] for row in summary))
    lines = []
    for source, shown in tables:
        for name in dict.fromkeys(map(_key, source["summary"])):
            for label, part, field, worst in shown:
                rates = [
                    worst([row for row in source[part] if _stored(row) == (*name, how)], field)
                    for how in stored
                ]
                lines.append([*name, label, *rates])
    lines.sort(key=lambda line: order.index(line[0]))
    cells = [["inspected", "method", "", *stored], *lines]
    what = (
        "`--config=configs/evaluate/storage.py`: "
        f"{min(row['n'] for row in summary)} belonging images, and as many of each foreign group, "
        "all stored alike, chroma at half and at full resolution. The worst of both, and of the "
        "groups, is shown."
    )
    if on_pixels:
        num = min(row["n"] for other in on_pixels for row in other["summary"])
        what += (
            f" Beside it the same recipe with distances on pixels (`storage_pixels.py`, {num} "
            "images of each)."
        )
    what += _earlier(files)
    parts = ["## Stored images", _wrapped(what), _names_once(cells, 3)]
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


def _earlier(files: Sequence[Row]) -> str:
    """A sentence on the evaluations of an earlier `origin`, whose score was the distance alone."""
    titles = [
        f'"{file["config"]["title"]}"'
        for file in files
        for name, method in file.get("methods", {}).items()
        if name.startswith("origin") and method["score"] in ("loss", {"kind": "loss"})
    ]
    if not titles:
        return ""
    listed = ", ".join(dict.fromkeys(titles))
    return f" Not made again since `origin` divides by what a generic code says: {listed}."


def _edits(files: Sequence[Row]) -> str:
    cells = [["inspected", "method", "edit", "TPR", "undecided own", "FPR", "TPR at 1% FPR"]]
    storage, *edited = files
    told = {(_key(row), row["edit"]) for row in storage["summary"]}
    summary = [
        (row, file["rows"])
        for file in edited
        for row in file["summary"]
        if (_key(row), row["edit"]) not in told
    ]
    order = list(dict.fromkeys(_key(row) for row, _ in summary))
    for row, rows in sorted(summary, key=lambda pair: order.index(_key(pair[0]))):
        case = (_key(row), row["edit"])
        cells.append(
            [
                *_key(row),
                edit_in_words(row["edit"]),
                lowest_rate([row], "tpr"),
                highest_rate([row], "undecided_belonging"),
                highest_rate([each for each in rows if (_key(each), each["edit"]) == case], "fpr"),
                lowest_rate([row], "smallest_tpr_at_1_fpr"),
            ]
        )
    what = (
        "`--config=configs/evaluate/edits.py`, `mixed.py` (one folder of PNG, JPEG of "
        "many qualities and WebP) and `hard.py` (chains that no calibration knows). Belonging and "
        "foreign images are edited alike, and the worst of the groups is shown. Those of the table "
        "above are not repeated. An own image that is neither attributed nor undecided is not "
        "recognised."
    )
    what += _earlier(files)
    return f"## Edits\n\n{_wrapped(what)}\n\n{_names_once(cells, 2, text=(0, 1, 2))}"


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
                    lowest_rate([row], "recovered", of="belonging"),
                    lowest_rate([row], "tpr_at_1_fpr", of="belonging"),
                    f"{row['evaluations_belonging']:,.0f}",
                    f"{row['evaluations_foreign']:,.0f}",
                ]
            )
    recipes = len({row["recipe"] for row in rows})
    what = (
        "`python scripts/benchmark.py --suite=recovery --out=FILE.json` finds the "
        f"generators' own images again by {recipes} recipes ([picture]({link}/recovery.png)): "
        "the default, and the cheapest of the best. The threshold of TPR at 1% FPR was chosen on "
        "the foreign images that it is judged on, all groups together."
    )
    return f"## Recovery\n\n{_wrapped(what)}\n\n{_names_once(cells, 2)}"


def _speed(files: Sequence[Row], root: str) -> str:
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
        "`python scripts/benchmark.py --suite=cpu --out=FILE.json` on "
        f"{machine['usable_cpus']} cores, JAX {versions['jax']}{torch}; how to read it: "
        f"[benchmarks/README.md]({root}/benchmarks/README.md)."
    )
    return f"## Speed\n\n{_wrapped(what)}\n\n{_names_once(cells, 1, text=(0, 1, 5))}"


def _peers(files: Sequence[Row]) -> str:
    (file,) = files
    rows = [row for row in file["rows"] if row["name"] in _PEERS]
    if not rows:
        raise ValueError("no row is of the published recipe")
    sides = ("ours", "reference")
    rates = (
        ("TPR", "tpr", lowest_rate),
        ("FPR", "fpr", highest_rate),
        ("TPR at 1% FPR", _AT_1, lowest_rate),
    )
    heads = [f"{words}: {label}" for words in ("origin", "published") for label, *_ in rates]
    cells = [["against the published recipe", "case", "speed-up", *heads]]
    for name in _PEERS:
        for row in rows:
            if row["name"] == name:
                foreign = row["images"] // 2
                sizes = {"fpr": foreign, "tpr": row["images"] - foreign}
                told = []
                for found in (row["accuracy"][side] for side in sides):
                    for _, field, shown in rates:
                        each = {**found, "n": sizes.get(field, sizes["tpr"])}
                        told.append(shown([each], field) if field in found else "")
                cells.append([_PEERS[name], row["case"], f"{row['ratio']:.3g}", *told])
    what = (
        "`python scripts/benchmark.py --suite=peers --out=FILE.json`: all 1,500 steps "
        f"of the published recipe in PyTorch, on {rows[0]['images']} images, half of them "
        "belonging; its verdicts by Grubbs' test. The threshold of TPR at 1% FPR was chosen on the "
        "foreign ones. Limits take images for independent, which crops of one photograph are not."
    )
    head = "## Against the published recipe, in full"
    return f"{head}\n\n{_wrapped(what)}\n\n{_names_once(cells, 1, text=(0, 1))}"


_AT_1 = "tpr_at_1_fpr"
_PEERS = {"vs_ronan_recipe": "one image at a time", "vs_batched_torch": "in batches of 64"}
_EDITED = ("edits", "mixed", "hard")
_FIGURES = {
    "vs_ronan_recipe": "speed-up over the published recipe, one image at a time",
    "vs_batched_torch": "speed-up over it in batches",
    "early_accept_saving": "evaluations without early acceptance over those with it",
    "learned_start_pays_after": "images after which a learned start has paid",
    "engine_overhead": "a step of the engine over the bare gradient",
}
_PAPERS_HEAD = "## The paper's experiments"
_PAPERS = (
    "Each has its tables. The worst of the counts is told: of TPR over "
    "generators and edits, of FPR over foreign groups besides. Limits take images for independent, "
    "which crops of one photograph are not."
)


def _experiment(files: Sequence[Row], link: str) -> str:
    (file,) = files
    num = min(row["n"] for row in file["summary"])
    line = f"- [{file['config']['title']}]({link}.md), {num} own images"
    methods = list(dict.fromkeys(row["method"] for row in file["summary"]))
    if len(methods) > _FEW:
        return f"{line}: {len(methods)} methods ([picture]({link}.png))"
    told = []
    for method in methods:
        own, foreign = (
            [row for row in file[part] if row["method"] == method] for part in ("summary", "rows")
        )
        told.append(
            f"{method} TPR {lowest_rate(own, 'tpr')} (the worst of {len(own)}), "
            f"FPR {highest_rate(foreign, 'fpr')} (of {len(foreign)})"
        )
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
