"""Templates into one self-contained file of HTML that loads nothing from anywhere."""

import base64
import functools
import hashlib
import importlib.resources
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from jax_origin.files import atomic_write

_TEMPLATES = importlib.resources.files("jax_origin.pages") / "templates"


def render(
    template: str, values: Mapping[str, Any], *, script: str = "", allowed: Sequence[str] = ()
) -> str:
    """Fills a template of this room.

    All values are escaped. Characters that do not print, such as those which turn the direction of
    text, are shown by their codes. The page may run the one script and use the one style that stand
    in it, and load nothing but the pictures inside it: its Content-Security-Policy says so.

    Args:
      template: The template's file name.
      values: What it is filled with.
      script: The file name of a script of its own, beside that for printing.
      allowed: What else the policy allows.
    """
    style = _text("style.css")
    code = "\n".join(map(_text, ["print.js", *([script] if script else [])]))
    policy = [
        *("default-src 'none'", "img-src data:", "base-uri 'none'", "form-action 'none'"),
        *(f"style-src '{_sha256(style)}'", f"script-src '{_sha256(code)}'"),
        *allowed,
    ]
    page = _environment().get_template(template)
    return page.render(**values, policy="; ".join(policy), style=style, script=code)


def write_page(path: str | os.PathLike[str], page: str) -> None:
    """Writes a page; the file is whole, or as it was with an OSError."""
    with atomic_write(path) as temporary:
        pathlib.Path(temporary).write_text(page, encoding="utf-8", errors="backslashreplace")


def shown(text: object) -> str:
    """A text as a page shows it: each character that does not print is replaced by its code."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in str(text)
    )


def short(value: float | None) -> str:
    """A number with three digits; a dash where there is none."""
    return "–" if value is None else f"{value:.3g}"


@functools.cache
def _environment() -> Any:
    import jinja2  # Here: what is asked of an image or audit comes before its page.

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "short": short}
    return environment


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
