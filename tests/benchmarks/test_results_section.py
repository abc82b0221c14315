"""The results in docs/results.md and README are what the committed files say."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.results_section import (
    BEGIN,
    END,
    ResultsError,
    results_section,
    results_table,
    with_results,
)

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks/results"


@pytest.fixture
def folder(tmp_path):
    """A copy of the committed files."""
    shutil.copytree(RESULTS, tmp_path / "results")
    return tmp_path / "results"


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def table_row(section, *names):
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines()]
    (row,) = [row for row in rows if row[: len(names)] == list(names)]
    return row[len(names) :]


@pytest.mark.parametrize(
    "where, make", [("docs/results.md", results_section), ("README.md", results_table)]
)
def test_pages_are_what_the_script_makes_of_the_committed_files(where, make):
    text = (ROOT / where).read_text(encoding="utf-8")
    assert text == with_results(text, make(RESULTS)), "run python scripts/results.py"


def test_the_small_table_says_what_the_large_one_does():
    small, large = results_table(RESULTS), results_section(RESULTS)
    own, foreign, undecided, gradients = table_row(small, "dcgan-cifar10", "origin")
    row = table_row(large[: large.index("## Stored")], "dcgan-cifar10", "origin")
    assert [own, foreign, gradients] == [row[0], row[1], row[7]]
    shares = [
        round(100 * int(n) / int(of)) for n, of in re.findall(r"(\d+)/(\d+)", " ".join(row[4:6]))
    ]
    assert undecided == f"{shares[0]}%, {shares[1]}%"
    assert small.count("\n") == 1 + 7


def test_committed_files_are_small():
    assert all(path.stat().st_size < 200_000 for path in RESULTS.rglob("*.json"))
    pictures = [*RESULTS.rglob("*.png"), *RESULTS.rglob("*.md")]
    assert all(path.with_suffix(".json").exists() for path in pictures)


def test_other_figures_give_another_section(folder):
    def worse(content):
        content["summary"][0] |= {"tpr": 0.12, "mean_steps": 1234.5}
        rows = [
            row for row in content["rows"] if row["inspected"] == content["summary"][0]["inspected"]
        ]
        rows[-1] |= {"undecided_foreign": 0.75, "fpr": 0.5}

    for path in sorted(folder.glob("cifar10*.json"))[1:]:
        path.unlink()
    (file,) = folder.glob("cifar10*.json")
    change(file, worse)
    first = json.loads(file.read_text())["summary"][0]
    row = table_row(results_section(folder), first["inspected"], first["method"])
    # Clopper and Pearson's limits, 95% each.
    assert (row[0], row[1]) == ("12/100, 7.0-18.8%", "50/100, 41.3-58.7%")
    assert (row[5], row[7]) == ("75/100, 66.8-82.0%", "1,234")


def test_every_rate_stands_with_its_count_and_limits():
    section = results_section(RESULTS)
    assert "0/100, 0-3.0%" in section and "100/100, 97.0-100%" in section
    assert 'Pearson): 0/100 is "at most 3.0%".' in " ".join(section.split())
    # A rate without a count would be a bare percentage in a cell.
    cells = [cell.strip() for line in section.splitlines() for cell in line.split("|")[1:-1]]
    assert not [cell for cell in cells if re.fullmatch(r"[\d.]+%", cell)]
    told = " ".join(section.split())
    assert told.count("1% FPR was chosen on the foreign test images themselves") == 1


def test_fewer_foreign_images_than_in_the_other_files_are_told(folder):
    def smaller(content):
        content["rows"][0]["n"] = 7

    name = json.loads((folder / "cifar10-stylegan2.json").read_text())["summary"][0]["inspected"]
    change(folder / "cifar10-stylegan2.json", smaller)
    told = " ".join(results_section(folder).split())
    assert f"Of each group 7 images stand against {name}." in told
    assert told.count("images stand against") == 1


def test_of_stored_images_the_worst_is_shown(folder):
    def worse(content):
        inspected = content["summary"][0]["inspected"]
        for row in content["summary"]:
            if (row["inspected"], row["edit"]) == (inspected, "jpeg-90-444"):
                row |= {"tpr": 0.25}
        for row in content["rows"]:
            if (row["inspected"], row["edit"]) == (inspected, "jpeg-90-444"):
                row |= {"fpr": 0.625, "n": 40}

    change(folder / "storage.json", worse)
    lines = results_section(folder).splitlines()
    heading = next(i for i, line in enumerate(lines) if "JPEG 90" in line)
    column = [cell.strip() for cell in lines[heading].split("|")].index("JPEG 90")
    shown = [lines[heading + i].split("|")[column].strip() for i in (2, 3)]
    assert shown == ["25/100, 18.0-33.2%", "25/40, 48.2-75.3%"]

    def undecided(content):
        for row in content["summary"]:
            unsure = (row["inspected"], row["edit"]) == ("vae-cifar10", "jpeg-75")
            row["undecided_belonging"] = 0.75 if unsure else 0.25

    change(folder / "storage.json", undecided)
    told = " ".join(results_section(folder).split())
    assert "Most own images of vae-cifar10 as JPEG 75 are undecided, not turned away" in told


def test_distances_on_pixels_stand_beside_those_of_files(folder):
    def on_pixels(content):
        for row in content["summary"]:
            row |= {"method": "origin, pixels", "smallest_tpr_at_1_fpr": 0.25, "n": 8}

    shutil.copy(folder / "storage.json", folder / "storage-pixels.json")
    change(folder / "storage-pixels.json", on_pixels)
    section = results_section(folder)
    rows = [line for line in section.splitlines() if "origin, pixels" in line]
    inspected = {
        row["inspected"] for row in json.loads((folder / "storage.json").read_text())["summary"]
    }
    assert len(rows) == len(inspected)
    assert all("TPR at 1% FPR" in row and row.count(" 2/8, ") == 6 for row in rows)
    assert "pixels.py`, 8 images of each)" in " ".join(section.split())


def test_peers_are_shown_where_there_are_any(folder):
    (folder / "peers.json").unlink(missing_ok=True)
    assert "in full" not in results_section(folder)
    rates = {"tpr": 5 / 9, "fpr": 0.25, "tpr_at_1_fpr": 6 / 9}
    row = {
        "name": "vs_ronan_recipe",
        "case": "vae-cifar10, futility off",
        "ratio": 123.4,
        "images": 17,
        "accuracy": {"ours": rates, "reference": {"tpr_at_1_fpr": 1 / 9}},
    }
    (folder / "peers.json").write_text(json.dumps({"rows": [row]}))
    section = results_section(folder)
    assert "on 17 images" in " ".join(section.split())
    shown = table_row(section, "one image at a time", "vae-cifar10, futility off")
    assert [cell.partition(",")[0] for cell in shown] == [
        *("123", "5/9", "2/8", "6/9", "", "", "1/9"),  # The odd one is an own image.
    ]


def test_experiments_of_the_paper_are_listed_where_there_are_any(folder):
    shutil.rmtree(folder / "paper", ignore_errors=True)
    assert "paper" not in results_section(folder)
    evaluation = json.loads((folder / "storage.json").read_text())
    evaluation["config"]["title"] = "Belonging images against photographs"
    for row in evaluation["summary"]:
        row |= {"tpr": 0.9, "n": 20}
    for row in evaluation["rows"]:
        row |= {"fpr": 0.25, "n": 20}
    evaluation["summary"][0] |= {"tpr": 0.5}
    evaluation["rows"][0] |= {"fpr": 0.1, "n": 10}  # 1 of 10 is less, and may be more.
    num = [len(evaluation[part]) for part in ("summary", "rows")]
    (folder / "paper").mkdir()
    (folder / "paper/real.json").write_text(json.dumps(evaluation))
    assert results_section(folder).splitlines()[-1] == (
        "- [Belonging images against photographs](../benchmarks/results/paper/real.md), 20 "
        f"own images: origin TPR 10/20, 30.1-69.9% (the worst of {num[0]}), FPR 5/20, 10.4-45.6% "
        f"(of {num[1]}) ([picture](../benchmarks/results/paper/real.png))"
    )


def test_edits_are_shown_where_there_are_any(folder):
    for name in ("edits", "mixed", "hard"):
        (folder / f"{name}.json").unlink(missing_ok=True)
    assert "## Edits" not in results_section(folder)
    evaluation = json.loads((folder / "storage.json").read_text())
    first = evaluation["summary"][0] | {"edit": "clean|jpeg-75|webp-80", "tpr": 0.87}
    evaluation["summary"] = [first | {"undecided_belonging": 0.06}]
    evaluation["rows"] = [evaluation["rows"][0] | {"edit": first["edit"], "fpr": 0.25}]
    (folder / "mixed.json").write_text(json.dumps(evaluation))
    row = table_row(results_section(folder), first["inspected"], first["method"], "mixed, 3 kinds")
    assert [cell.partition(",")[0] for cell in row] == ["87/100", "6/100", "25/100", "100/100"]
    # What the table of stored images tells is not told again.
    evaluation["summary"].append(first | {"edit": "clean", "undecided_belonging": 0.0625})
    (folder / "mixed.json").write_text(json.dumps(evaluation))
    assert "| clean" not in results_section(folder)


def test_what_cannot_be_shown_is_named(folder):
    (folder / "storage-pixels.json").unlink()
    (folder / "storage.json").unlink()
    with pytest.raises(ResultsError, match=r"storage.json: cannot be read \(No such file"):
        results_section(folder)
    (folder / "storage.json").write_text("{}")
    with pytest.raises(ResultsError, match=r"storage.json: lacks 'summary'"):
        results_section(folder)
    shutil.copy(RESULTS / "cifar10.json", folder / "cifar10-again.json")
    with pytest.raises(ResultsError, match="hold one generator and method twice"):
        results_section(folder)
    (folder / "cifar10-again.json").unlink()
    for name in ("storage.json", "storage-pixels.json"):
        shutil.copy(RESULTS / name, folder / name)
    (folder / "peers.json").write_text('{"rows": []}')
    with pytest.raises(ResultsError, match=r"peers.json: no row is of the published recipe"):
        results_section(folder)
    with pytest.raises(ResultsError, match="must hold the lines"):
        with_results(f"{END}\n{BEGIN}\n", "results")


@pytest.mark.outer
def test_the_script_changes_what_is_between_the_lines_alone(tmp_path):
    made = {tmp_path / "page.md": results_section, tmp_path / "README.md": results_table}
    page, readme = made
    for path in made:
        path.write_text(f"Before.\n{BEGIN}\nOld.\n{END}\nAfter.\n")
    command = [sys.executable, str(ROOT / "scripts/results.py")]
    command += [f"--page={page}", f"--readme={readme}"]
    for words in ("rewritten", "as it was"):
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        assert done.stdout == f"{page}: {words}\n{readme}: {words}\n"
    for path, make in made.items():
        before, _, rest = path.read_text().partition(f"{BEGIN}\n")
        section, _, after = rest.partition(f"{END}\n")
        assert (before, after) == ("Before.\n", "After.\n")
        assert section == f"\n{make(RESULTS)}\n\n"
