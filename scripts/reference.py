"""Writes docs/reference/command_line.md anew from the flags of the commands.

python scripts/reference.py
"""

import inspect
import pathlib
import re

from absl import app, flags

from jax_origin.cli import options
from jax_origin.cli.command import command
from jax_origin.cli.help_text import said
from jax_origin.cli.main import COMMANDS
from jax_origin.files import atomic_write

_ROOT = pathlib.Path(__file__).parent.parent
_CONFIGS = _ROOT / "jax_origin/cli/configs"
_PAGE = flags.DEFINE_string(
    "page", str(_ROOT / "docs/reference/command_line.md"), "The page that is written."
)
_HEAD = """# Command line

Each command is `jax-origin COMMAND`, or `python -m jax_origin COMMAND`. Add `--help` to see its
flags. Values are given with an equals sign, `--images=DIR`. A flag marked "several" may be given
more than once. Made by `python scripts/reference.py` from the flags themselves.

`--help` begins with the ten most used flags; `--helpshort` ends there. Of other libraries only
errors reach the terminal. On a terminal verdicts have colours; with `NO_COLOR` set they have none.
[Figures](../how_to/figures.md) shows what `plot` draws.

## Exit codes

| code | when | what to do |
| --- | --- | --- |
| 0 | It did what it was asked, or help was asked for. "Undecided" is an answer. | |
| 1 | It was refused, or failed; one line on standard error says why. | Change what it names. |
| 2 | Every file failed; of `verify`, something does not fit. | Read the reasons printed. |
| 3 | SIGTERM stopped an audit. It has saved what it had. | The same command goes on. |
| 130 | Ctrl-C interrupted it. | `attribute` and `audit` go on by the same command. |
| 141 | What read its output has gone, as `head` does. | |

## Completion

`source <(jax-origin completion bash)` lets bash complete commands, flags, their choices and the
zoo's generators, in one terminal. To keep it, put the line into `~/.bashrc`. For zsh write `zsh`
for `bash`, and put it into `~/.zshrc`, after `compinit`.
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
    if (_CONFIGS / f"{name}.py").exists():
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
    text = said(flag).replace("|", "\\|").replace("*", "\\*")
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
