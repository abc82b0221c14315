"""Prints a script that lets bash or zsh complete commands, flags, their choices and generators."""

import inspect
import pathlib
from collections.abc import Iterator

from absl import flags

from jax_origin.cli import options
from jax_origin.cli.command import CommandError
from jax_origin.cli.help_text import said
from jax_origin.cli.main import COMMANDS

_GENERATORS = ("generator", "candidate", "candidates", "reference")


def main(given: flags.FlagValues) -> int:
    """Prints the script; returns the exit code, 0."""
    if given.shell is None:
        raise CommandError("name a shell: jax-origin completion bash, or zsh")
    print(_bash() if given.shell == "bash" else _zsh(), end="")
    return 0


def _bash() -> str:
    words, values = [], []
    for name in COMMANDS:
        of_command = [word for flag in _flags(name) for word in _words(flag)]
        words.append(f'        {name}) words="{" ".join(of_command)}" ;;')
        for flag in _flags(name):
            if choices := _choices(flag):
                values.append(f'        {name}--{flag.name}) words="{" ".join(choices)}" ;;')
    nameless = [f'        {name}) words="{" ".join(of)}" ;;' for name, of in _first_words()]
    return (
        _script("bash")
        .replace("COMMANDS", " ".join(COMMANDS))
        .replace("        FLAGS", "\n".join(words))
        .replace("        VALUES", "\n".join(values))
        .replace("        NAMELESS", "\n".join(nameless))
    )


def _zsh() -> str:
    commands = [f"    {_quoted(f'{name}:{_first_line(name)}')}" for name in COMMANDS]
    first = dict(_first_words())
    cases = []
    for name in COMMANDS:
        specs = [spec for flag in _flags(name) for spec in _specs(flag)]
        if name in first:
            specs.append(_quoted(f"1:word:({' '.join(first[name])})"))
        specs.append("'*:file:_files'")
        joined = " \\\n            ".join(specs)
        cases.append(f"        {name}) _arguments \\\n            {joined} ;;")
    script = _script("zsh").replace("    COMMANDS", "\n".join(commands))
    return script.replace("        CASES", "\n".join(cases))


def _script(shell: str) -> str:
    """The script without what is known of commands, which stands for names in capitals."""
    return pathlib.Path(__file__).with_suffix(f".{shell}").read_text(encoding="utf-8")


def _flags(command: str) -> Iterator[flags.Flag]:
    given = flags.FlagValues()
    getattr(options, command)(given)
    return (given[name] for name in given)


def _words(flag: flags.Flag) -> list[str]:
    """A flag as it is typed: with an equals sign, if a value follows."""
    return [f"--{flag.name}", f"--no{flag.name}"] if flag.boolean else [f"--{flag.name}="]


def _choices(flag: flags.Flag) -> list[str]:
    """The values that a flag may have, or is likely to; none where any other will do."""
    if isinstance(flag, flags.EnumFlag):
        return list(flag.parser.enum_values)
    return _zoo() if flag.name in _GENERATORS else []


def _first_words() -> list[tuple[str, list[str]]]:
    """What stands for itself after a command, where it is one of some words."""
    return [("plot", list(options.PLOTS)), ("completion", ["bash", "zsh"])]


def _zoo() -> list[str]:
    """The zoo's generators, without an import of JAX."""
    cards = (pathlib.Path(options.__file__).parents[1] / "zoo").glob("*/card.json")
    return sorted(card.parent.name for card in cards)


def _first_line(command: str) -> str:
    return (inspect.getdoc(getattr(options, command)) or "").partition("\n")[0]


def _specs(flag: flags.Flag) -> list[str]:
    """What _arguments of zsh takes for a flag."""
    text = said(flag).replace("[", "(").replace("]", ")").replace(":", r"\:")
    if flag.boolean:
        return [_quoted(f"{word}[{text}]") for word in _words(flag)]
    choices = _choices(flag)
    values = f"({' '.join(choices)})" if choices else "_files"
    if flag.name in _GENERATORS:
        values = f"{{compadd -- {' '.join(choices)}; _files}}"
    star = "*" if isinstance(flag, flags.MultiFlag) else ""
    return [_quoted(f"{star}--{flag.name}=[{text}]:{flag.name}:{values}")]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
