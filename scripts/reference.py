"""Writes docs/reference/command_line.md anew from the flags of the commands.

python scripts/reference.py
"""

import inspect
import pathlib
import re

from absl import app, flags

from jax_origin.cli import options
from jax_origin.cli.command import command
from jax_origin.cli.main import COMMANDS
from jax_origin.files import atomic_write

_ROOT = pathlib.Path(__file__).parent.parent
_PAGE = flags.DEFINE_string(
    "page", str(_ROOT / "docs/reference/command_line.md"), "The page that is written."
)
_HEAD = """# Command line

Each command is `jax-origin COMMAND`, or `python -m jax_origin COMMAND`. Add `--help` to see its
flags. Values are given with an equals sign, `--images=DIR`. A flag marked "several" may be given
more than once. Made by `python scripts/reference.py` from the flags themselves.
"""


def reference() -> str:
    """The page, in Markdown: for each command what it does, and its flags."""
    return "\n".join([_HEAD, *(_section(name) for name in COMMANDS)])


def _section(name: str) -> str:
    define = getattr(options, name)
    first, _, rest = (inspect.getdoc(define) or "").partition("\n")
    given = flags.FlagValues()
    define(given)
    rows = [_row(given[flag]) for flag in sorted(given)]
    config = (
        "| `--config` | a file | | Config file with settings; `--config.NAME=VALUE` sets one. |"
    )
    if (_ROOT / f"jax_origin/cli/configs/{name}.py").exists():
        rows.insert(0, config)
    table = ["| flag | value | default | what it does |", "| --- | --- | --- | --- |", *rows]
    return "\n".join([f"## {name}", "", first, "", _paragraphs(rest), "", *table, ""])


def _paragraphs(text: str) -> str:
    """Help text as Markdown: lines that begin with a command become blocks of code."""
    parts = []
    for part in re.split(r"\n\s*\n", text.strip()):
        is_code = part.startswith("jax-origin ")
        parts.append(f"```sh\n{part}\n```" if is_code else part)
    return "\n\n".join(parts)


def _row(flag: flags.Flag) -> str:
    name, value = f"`--{flag.name}`", _VALUES.get(flag.flag_type(), flag.flag_type())
    if flag.boolean:
        name = f"`--[no]{flag.name}`"
    if isinstance(flag, flags.EnumFlag):
        value = ", ".join(f"`{choice}`" for choice in flag.parser.enum_values)
    default = "" if flag.default in (None, False, [], ()) else f"`{flag.default}`"
    said = re.sub(r"^<[^>]*>: ", "", " ".join((flag.help or "").split()))  # an enum's choices
    text = said.replace("|", "\\|").replace("*", "\\*")
    return f"| {name} | {value} | {default} | {text} |"


_VALUES = {
    "string": "text",
    "multi string": "text, several",
    "comma separated list of strings": "texts, with commas",
    "float": "a number",
    "int": "a whole number",
    "bool": "",
}


@command("reference")
def main() -> None:
    """Writes the page and says whether it changed."""
    page = pathlib.Path(_PAGE.value)
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    text = reference()
    with atomic_write(page) as temporary:
        pathlib.Path(temporary).write_text(text, encoding="utf-8")
    print(f"{page}: {'as it was' if text == before else 'rewritten'}")


if __name__ == "__main__":
    app.run(main)
