"""The notebooks of the documentation: run, and written as pages with what they print and draw.

python -m benchmarks.notebooks                      all; some minutes on two cores
python -m benchmarks.notebooks --only=five_methods  one of them

A notebook is a program in `docs/notebooks/`: `# %%` begins a cell, `# %% [markdown]` begins one of
text. Beside it a page of the same name is written, and a PNG for each figure.
"""

import argparse
import contextlib
import io
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "docs" / "notebooks"
_BEGINS = re.compile(r"^# %%(.*)$", re.MULTILINE)


class Cell(NamedTuple):
    """A part of a notebook: code, or text in Markdown, and the line that it begins in."""

    is_code: bool
    source: str
    line: int


def cells(program: str) -> list[Cell]:
    """The cells of a program, without the marks that begin them."""
    marks = [*_BEGINS.finditer(program)]
    ends = [mark.start() for mark in marks[1:]] + [len(program)]
    found = []
    for mark, end in zip(marks, ends, strict=True):
        body = program[mark.end() : end]
        line = 1 + program.count("\n", 0, end - len(body.lstrip()))
        is_code = mark[1].strip() != "[markdown]"
        text = body if is_code else re.sub(r"^# ?", "", body, flags=re.MULTILINE)
        found.append(Cell(is_code, text.strip(), line))
    return found


def as_ipynb(program: str) -> str:
    """The same as a notebook that Jupyter opens; it has not been run."""
    listed: list[dict[str, Any]] = []
    for number, (is_code, source, _) in enumerate(cells(program)):
        cell: dict[str, Any] = {"cell_type": "code" if is_code else "markdown", "id": str(number)}
        cell |= {"metadata": {}, "source": source.splitlines(keepends=True)}
        listed.append(cell | ({"execution_count": None, "outputs": []} if is_code else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {"metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps({"cells": listed} | content, indent=1) + "\n"


def run(path: pathlib.Path) -> None:
    """Runs a notebook cell by cell, and writes its page and its figures beside it."""
    # What only draws is not needed to show the pages.
    from matplotlib import pyplot

    from benchmarks.concept_figures import fewer_colours

    told = f"*Made from [{path.name}]({path.name}) by `python -m benchmarks.notebooks`.*"
    parts: list[str] = []
    names, pictures = {"__name__": "__main__"}, list[pathlib.Path]()
    for is_code, source, line in cells(path.read_text(encoding="utf-8")):
        if not is_code:
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # Errors name the line of the notebook.
            exec(compile("\n" * (line - 1) + source, str(path), "exec"), names)  # noqa: S102
        if text := printed.getvalue().rstrip():
            parts.append(f"```text\n{text}\n```")
        for number in pyplot.get_fignums():
            figure = pyplot.figure(number)
            picture = path.with_name(f"{path.stem}-{len(pictures) + 1}.png")
            pictures.append(picture)
            figure.savefig(picture, dpi=110, bbox_inches="tight", metadata={"Software": None})
            fewer_colours(picture)
            parts.append(f"![{figure.get_label()}]({picture.name})")
            pyplot.close(figure)
    page = "\n\n".join([*parts, told]) + "\n"
    path.with_suffix(".md").write_text(page, encoding="utf-8")
    for old in {*path.parent.glob(f"{path.stem}-*.png")} - {*pictures}:
        old.unlink()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the notebooks."""
    paths = {path.stem: path for path in sorted(FOLDER.glob("*.py"))}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=paths, action="append")
    for name in parser.parse_args(arguments).only or paths:
        run(paths[name])


if __name__ == "__main__":
    main()
