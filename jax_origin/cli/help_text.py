"""What --help prints: what a command does, its ten most used flags, and then the others."""

import inspect
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable

from absl import flags

MOST_USED = {
    "attribute": (
        *("images", "generator", "calibration", "explain", "resize", "alpha", "beta"),
        *("max_false_attribution", "dry_run", "workdir"),
    ),
    "calibrate": (
        *("generator", "foreign", "out", "belonging", "reencode", "method", "conditions"),
        *("num_belonging", "standard_foreign", "fit"),
    ),
    "audit": (
        *("images", "source", "candidate", "out", "layout", "alpha", "beta", "fdr", "resize"),
        "distributed",
    ),
    "verify": ("audit", "sample", "sample_seed", "cache"),
    "export": ("audit", "what", "format", "out"),
    "ask": ("image", "candidate", "resize", "json", "out", "alpha", "beta", "readings"),
    "serve": (
        *("candidate", "port", "host", "resize", "alpha", "beta", "max_mib", "max_megapixels"),
        *("most_waiting", "readings"),
    ),
    "plot": (
        *("figure", "input", "out", "generator", "calibration", "condition", "method", "most"),
        "resize",
    ),
    "completion": ("shell",),
    "convert": ("source", "kind", "out", "config", "dtype", "verify"),
    "zoo": ("action", "name", "from", "all"),
}
"""The flags of each command that help begins with, ten at the most, as they are looked for."""

_VALUES = {
    **{"string": "TEXT", "multi string": "TEXT", "comma separated list of strings": "A,B"},
    **{"float": "NUMBER", "int": "NUMBER", "config_file": "FILE"},
}
_COLUMN = 26
_FEW = 60  # Letters of the choices that stand beside a flag.


def help_text(
    name: str, define: Callable[[flags.FlagValues], None], given: flags.FlagValues, asked: str
) -> str:
    """The help of a command.

    Args:
      name: The command's name.
      define: What has defined its flags.
      given: The flags.
      asked: How help was asked for: "--helpshort" leaves all but the most used flags out, and
        "--helpfull" has what every command takes besides.
    """
    own = [flag for flag in given if not flag.startswith("config.")]
    most = MOST_USED.get(name, ())
    parts = [inspect.getdoc(define) or "", "", "most used flags:", _listed(given, most)]
    if others := [flag for flag in sorted(own) if flag not in most]:
        if asked.endswith("short"):
            parts += ["", f"{len(others)} more: jax-origin {name} --help"]
        else:
            parts += ["", "more flags:", _listed(given, others)]
    if asked.endswith("full"):
        parts += ["", "of every command:", _line("--flagfile=FILE", "More flags, one a line.")]
    return "\n".join(parts)


def said(flag: flags.Flag) -> str:
    """What a flag does, without what absl adds: its choices, and that it may be repeated."""
    text = re.sub(r"^<[^>]*>: ", "", " ".join((flag.help or "").split()))
    return text.partition("; repeat this option")[0]


def shown(flag: flags.Flag) -> str:
    """A flag as it is written, such as --images=TEXT."""
    if flag.boolean:
        return f"--[no]{flag.name}"
    choices = _choices(flag)
    if choices and len(choices) <= _FEW:
        return f"--{flag.name}={choices}"
    several = "..." if isinstance(flag, flags.MultiFlag) else ""
    return f"--{flag.name}={_VALUES.get(flag.flag_type(), 'NAME')}{several}"


def _choices(flag: flags.Flag) -> str:
    return "|".join(flag.parser.enum_values) if isinstance(flag, flags.EnumFlag) else ""


def _listed(given: flags.FlagValues, names: Iterable[str]) -> str:
    """A flag on each line, with what it does in a column of its own."""
    lines = []
    for name in names:
        flag = given[name]
        text = said(flag)
        if (choices := _choices(flag)) and choices not in shown(flag):
            text += f" One of {choices.replace('|', ', ')}."
        if flag.default not in (None, False, [], (), ""):
            text += f" (default: {flag.default})"
        lines.append(_line(shown(flag), text))
    return "\n".join(lines)


def _line(begin: str, text: str) -> str:
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    indent = " " * _COLUMN
    wrapped = textwrap.fill(
        text, max(width, _COLUMN + 30), initial_indent=indent, subsequent_indent=indent
    )
    if len(begin) + 4 > _COLUMN:
        return f"  {begin}\n{wrapped}".rstrip()
    return f"  {begin}".ljust(_COLUMN) + wrapped[_COLUMN:]
