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
        _BASH.replace("COMMANDS", " ".join(COMMANDS))
        .replace("        FLAGS", "\n".join(words))
        .replace("        VALUES", "\n".join(values))
        .replace("        NAMELESS", "\n".join(nameless))
    )


_BASH = r"""# Completion of jax-origin for bash, made by: jax-origin completion bash
_jax_origin() {
    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
    local flag="" words="" front=""
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W "COMMANDS" -- "$cur"))
        return
    fi
    # Bash takes --flag=value for three words, unless COMP_WORDBREAKS has no equals sign.
    if [[ $cur == "=" ]]; then
        flag=$before cur=""
    elif [[ $before == "=" ]]; then
        flag=${COMP_WORDS[COMP_CWORD-2]}
    elif [[ $cur == --*=* ]]; then
        flag=${cur%%=*} front=${cur%%=*}= cur=${cur#*=}
    fi
    if [[ -n $flag ]]; then
        case $command$flag in
        VALUES
        esac
        # Where nothing fits, readline completes files.
        COMPREPLY=($(compgen -P "$front" -W "$words" -- "$cur"))
        return
    fi
    if [[ $cur == -* ]]; then
        case $command in
        FLAGS
        esac
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
        [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
        return 0
    fi
    if [[ $COMP_CWORD -eq 2 ]]; then
        case $command in
        NAMELESS
        esac
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    fi
}
complete -o default -F _jax_origin jax-origin
"""


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
    script = _ZSH.replace("    COMMANDS", "\n".join(commands))
    return script.replace("        CASES", "\n".join(cases))


_ZSH = r"""#compdef jax-origin
# Completion of jax-origin for zsh, made by: jax-origin completion zsh
_jax_origin() {
    local -a commands=(
    COMMANDS
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    shift words
    (( CURRENT-- ))
    case $words[1] in
        CASES
    esac
}
if [[ ${funcstack[1]} == _jax_origin ]]; then
    _jax_origin "$@"
else
    compdef _jax_origin jax-origin
fi
"""


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
