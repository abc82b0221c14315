"""What the documentation shows runs as it stands, its links lead somewhere, and README is short."""

import importlib.util
import json
import os
import posixpath
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.notebooks import as_ipynb, cells

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "docs" / "notebooks"
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/**/*.md")]
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    and path.relative_to(ROOT).parts[0] not in ("build", "runs", "site")
)
# Their sentences list what they are about.
WRITTEN_BY_PROGRAMS = ("docs/explanations.md",)
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors_of(page: str) -> set[str]:
    """The anchors of a page's headings, as sites make them."""
    headings = re.findall(
        r"^#+ (.*)$", CODE.sub(lambda m: m.group().strip("`"), text_of(page)), re.M
    )
    plain = [re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings]
    return {re.sub(r"[\s-]+", "-", heading) for heading in plain}


def faults_of(page: str) -> list[str]:
    """Links of a page that lead nowhere."""
    faults = []
    for target in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", text_of(page))):
        where, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", where):
            continue
        meant = (
            posixpath.normpath(posixpath.join(posixpath.dirname(page), where)) if where else page
        )
        if not (ROOT / meant).exists():
            faults.append(f"{page}: {target}: no such file")
        elif anchor and anchor not in anchors_of(meant):
            faults.append(f"{page}: {target}: no such heading")
    return faults


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    assert faults_of(page) == []


def test_links_that_lead_nowhere_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "a.md").write_text("# One\n[b](b.md) [c](c.md#two) [d](#one) [e](#on) `[f](f.md)`")
    (tmp_path / "c.md").write_text("## Two\n")
    assert faults_of("a.md") == ["a.md: b.md: no such file", "a.md: #on: no such heading"]


def long_sentences_of(text: str) -> list[str]:
    """Sentences of more than 25 words; headings, tables, code and what scripts make are none."""
    prose = re.sub(r"<!-- Made by.*?<!-- The end of|```.*?```", "", text, flags=re.DOTALL)
    prose = re.sub(r"^(#|\s*\|).*$", "", prose, flags=re.MULTILINE)
    prose = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", prose)
    parts = re.split(r"\n\s*\n|^\s*(?:[-*]|\d+\.) |[.!?][\"*)_]*\s", prose, flags=re.MULTILINE)
    words = [re.findall(r"\S*\w\S*", part) for part in parts]
    return [" ".join(each) for each in words if len(each) > 25]


def test_long_sentences_are_found():
    short, long = "word " * 24 + "word.", "word " * 25 + "word."
    listed = f"- {short}\n- {short}\n\n1. {short}\n"
    assert long_sentences_of(f"# {long}\n\n{short} {short}\n\n{listed}\n| {long} |\n") == []
    assert long_sentences_of(f"```\n{long}\n```\n") == []
    assert long_sentences_of(f"{short}\n{long} [A {long}](a.md)\n") == [
        "word " * 25 + "word",
        "A " + "word " * 25 + "word",
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if page not in WRITTEN_BY_PROGRAMS])
def test_sentences_are_short(page):
    assert long_sentences_of(text_of(page)) == []


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"[\w/]+\.md", text_of("mkdocs.yml")))
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert listed == pages


def test_readme_is_short_and_its_picture_small():
    assert len(text_of("README.md").encode()) <= 6000
    (picture,) = re.findall(r"!\[[^]]*\]\(([^)]*)\)", text_of("README.md"))
    assert (ROOT / picture).stat().st_size < 100_000
    assert all(path.stat().st_size < 100_000 for path in ROOT.glob("docs/figures/*.png"))


def test_readme_has_the_commands_that_ci_runs():
    blocks = re.findall(r"```sh\n(.*?)```", text_of("README.md"), re.DOTALL)
    alone = [block.strip() for block in blocks if block.count("\n") == 1]
    assert alone == [
        "python3 -m venv .venv && .venv/bin/pip install -q --no-compile -r requirements.txt "
        "&& .venv/bin/python scripts/attribute.py",
        "python3 -m venv .venv && .venv/bin/pip install -q -r requirements-test.txt "
        '&& .venv/bin/python -m pytest -n auto --dist loadfile -m "not outer"',
    ]


def test_flags_are_those_of_the_commands():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts/reference.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = text_of("docs/reference/command_line.md")
    assert page == script.reference(), "run python scripts/reference.py"


def test_figures_are_those_that_the_program_draws():
    drawn = set(re.findall(r'^    "(\w+)": \w+,$', text_of("benchmarks/concept_figures.py"), re.M))
    assert {path.stem for path in ROOT.glob("docs/figures/*.png")} == drawn
    shown = {
        Path(target).stem
        for page in PAGES
        for target in re.findall(r"!\[[^]]*\]\(([^)]*figures/[^)]*)\)", text_of(page))
    }
    assert shown == drawn


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.py")), ids=lambda path: path.stem)
def test_pages_of_notebooks_are_of_their_programs(path):
    page, parts = path.with_suffix(".md").read_text(), cells(path.read_text())
    rerun = "run python -m benchmarks.notebooks"
    blocks = [block.strip() for block in BLOCK.findall(page)]
    assert blocks == [cell.source for cell in parts if cell.is_code], rerun
    assert all(cell.source in page for cell in parts), rerun
    # Each figure has words for those who do not see it.
    shown = re.findall(r"!\[.+\]\((.*\.png)\)", page)
    assert sorted(shown) == sorted(file.name for file in NOTEBOOKS.glob(f"{path.stem}-*.png"))
    assert all((NOTEBOOKS / name).stat().st_size < 100_000 for name in shown)


def test_a_notebook_becomes_cells_and_opens_in_jupyter():
    program = "# %% [markdown]\n# # Title\n#\n# Text\n\n# %%\na = 1  # %% no mark\n\nb = 2\n"
    assert cells(program) == [
        (False, "# Title\n\nText", 2),
        (True, "a = 1  # %% no mark\n\nb = 2", 7),
    ]
    text, code = json.loads(as_ipynb(program))["cells"]
    assert (text["cell_type"], "".join(text["source"])) == ("markdown", "# Title\n\nText")
    assert (code["cell_type"], code["source"][0]) == ("code", "a = 1  # %% no mark\n")


@pytest.mark.outer
@pytest.mark.parametrize("page", [page for page in PAGES if BLOCK.search(text_of(page))])
def test_python_blocks_run(page):
    # A process for each: parts that a page registers are not there for others.
    program = "\n".join(BLOCK.findall(text_of(page)))
    environment = os.environ | {"MPLBACKEND": "agg"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = {"README.md": 4, "docs/index.md": 4, "docs/how_to/your_generator.md": 4}
    expected |= {"docs/extending/source.md": 3, "docs/extending/reading.md": 4}
    expected |= {"docs/notebooks/first_attribution.md": 1, "docs/notebooks/own_generator.md": 12}
    if page in expected:
        assert done.stdout.count("belongs") == expected[page]


def test_edits_are_those_that_there_are():
    from jax_origin.images import EDITS

    page = text_of("docs/reference/images.md")
    for said in EDITS.values():
        form, _, what = said.partition(": ")
        assert f"| `{form}` | {what} |" in page
