"""Hooks of MkDocs: what pages link to gets pages: files of the checkout, and notebooks for Jupyter.

In a checkout, and where the repository is shown, links between Markdown files work as they are. The
site holds `docs/` alone: so what lies outside of it is added under `checkout/`, and links to it are
changed. Beside each page of a notebook its program is offered, as a notebook that Jupyter opens.
"""

import pathlib
import posixpath
import re
import sys

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from benchmarks.notebooks import FOLDER, as_ipynb  # noqa: E402 - the checkout is on the path now

ADDED = (
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "benchmarks/README.md"),
    *("benchmarks/results/*.md", "benchmarks/results/*.png", "benchmarks/results/paper/*.md"),
    *("benchmarks/results/paper/*.png", "examples/*.py", "jax_origin/zoo/README.md"),
    *("jax_origin/zoo/*/samples.png",),
)
_LINK = re.compile(r"(\]\()([^)#\s]+)([^)]*\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files; a program becomes a page that shows it."""
    for pattern in ADDED:
        for path in sorted(ROOT.glob(pattern)):
            where = path.relative_to(ROOT).as_posix()
            uri, content = f"checkout/{where}", path.read_bytes()
            if path.suffix == ".py":
                uri, content = f"{uri}.md", _as_page(where, content.decode("utf-8"))
            if path.suffix == "":
                uri, content = f"{uri}.txt", content
            files.append(
                File.generated(config, uri, content=content, inclusion=InclusionLevel.NOT_IN_NAV)
            )
    for path in sorted(FOLDER.glob("*.py")):
        notebook = as_ipynb(path.read_text(encoding="utf-8"))
        files.append(File.generated(config, f"notebooks/{path.stem}.ipynb", content=notebook))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Points links at where the site has what they mean."""
    uri = page.file.src_uri
    notebook = posixpath.basename(uri).replace(".md", ".ipynb")
    if files.get_file_from_path(f"{posixpath.dirname(uri)}/{notebook}") is not None:
        markdown = f"{markdown}\n[Download this notebook for Jupyter]({notebook})\n"
    outside = uri.startswith("checkout/")
    real = uri.removeprefix("checkout/") if outside else f"docs/{uri}"

    def changed(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        if re.match(r"[a-z]+:|/", target):
            return match.group()
        meant = posixpath.normpath(posixpath.join(posixpath.dirname(real), target))
        inside = meant.startswith("docs/")
        there = meant.removeprefix("docs/") if inside else f"checkout/{meant}"
        for ending in ("", ".md", ".txt"):
            if files.get_file_from_path(there + ending) is not None:
                there += ending
        return before + posixpath.relpath(there, posixpath.dirname(uri) or ".") + after

    return _LINK.sub(changed, markdown)


def _as_page(name: str, program: str) -> bytes:
    return f"# {name}\n\n```py\n{program.rstrip()}\n```\n".encode()
