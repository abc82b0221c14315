"""``jax-origin COMMAND [--flags]``: finds the command, reads its flags, runs it."""

import importlib
import importlib.metadata
import inspect
import pathlib
import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict

from jax_origin.cli import options
from jax_origin.cli.command import reader_may_leave, run
from jax_origin.cli.terminal import quieten
from jax_origin.parts import suggestion

COMMANDS = (
    *("attribute", "calibrate", "audit", "verify", "export", "ask", "serve", "plot", "convert"),
    *("zoo", "completion"),
)
"""The commands: `jax_origin.cli.options` says what each does, and its flags; a module does it."""

# Flags that arguments without a name stand for, in their order; the last takes all that follow.
_NAMELESS = {
    "attribute": ("images",),
    "audit": ("images",),
    "ask": ("image",),
    "verify": ("audit",),
    "export": ("audit",),
    "plot": ("figure", "input"),
    "zoo": ("action", "name"),
    "completion": ("shell",),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
      argv: The command and its flags; those of this process without it.

    Returns:
      The exit code: 0; 2 where every file failed; 1 where no command was named that there is.

    Raises:
      SystemExit: As `one_line_errors` does.
    """
    quieten()
    name, *rest = (sys.argv[1:] if argv is None else list(argv)) or [""]
    if name in ("-h", "-help", "--help", "help"):
        with reader_may_leave():
            print(_commands())
        return 0
    if name in ("-V", "-version", "--version", "version"):
        print(f"jax_origin {importlib.metadata.version('jax_origin')}")
        return 0
    if name not in COMMANDS:
        wrong = f"jax-origin: no command {name!r}{suggestion(name, COMMANDS)}" if name else ""
        print("\n".join(filter(None, (wrong, _commands()))), file=sys.stderr)
        return 1

    def work(config: ConfigDict | None, given: flags.FlagValues) -> int:
        main = importlib.import_module(f"jax_origin.cli.{name}").main
        code: int = main(given if config is None else config)
        return code

    path = pathlib.Path(__file__).parent / "configs" / f"{name}.py"
    return run(
        name,
        getattr(options, name),
        work,
        rest,
        config=str(path) if path.exists() else None,
        nameless=_NAMELESS.get(name, ()),
    )


def _commands() -> str:
    what = {name: str(inspect.getdoc(getattr(options, name))) for name in COMMANDS}
    lines = [f"  {name:<10} {text.splitlines()[0]}" for name, text in what.items()]
    head = "usage: jax-origin COMMAND [--flags]      (or: python -m jax_origin COMMAND [--flags])"
    return "\n".join([head, "", *lines, "", "jax-origin COMMAND --help lists a command's flags."])
