"""What reaches a terminal: the package's own words, verdicts in colours, and no other library's."""

import logging
import os
import re
import sys
import warnings

_COLOURS = {"belongs": "38;5;33", "not_recognised": "38;5;208", "undecided": "90", "error": "31"}
"""Blue and orange, which colour-blind readers tell apart, grey, and red."""

_LEGEND = """\
belongs         the model makes this picture, far more nearly than foreign ones
not_recognised  nothing speaks for the model; somebody else need not have made it
undecided       file, picture or calibration allow no answer; the reason is given
p, q            small p speaks against the model's own images, small q against foreign ones"""


def quieten() -> None:
    """Keeps the messages of other libraries off the terminal, errors excepted.

    Call it before JAX is imported. What the environment says stays as it is.
    """
    for name in ("TF_CPP_MIN_LOG_LEVEL", "TPU_MIN_LOG_LEVEL", "TPU_STDERR_LOG_LEVEL"):
        os.environ.setdefault(name, "2")  # Errors alone, of XLA and of the TPU's library.
    if not any(isinstance(handler, _Errors) for handler in logging.getLogger().handlers):
        logging.getLogger().addHandler(_Errors())
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", module="(?!jax_origin)")


def coloured(table: str) -> str:
    """A table whose lines begin with verdicts, for the standard output.

    On a terminal a legend follows, and verdicts have colours, unless NO_COLOR is set.
    """
    if not sys.stdout.isatty():
        return table
    if not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        table = re.sub(rf"^({'|'.join(_COLOURS)})\b", _painted, table, flags=re.MULTILINE)
    return f"{table}\n\n{_LEGEND}"


def _painted(word: re.Match[str]) -> str:
    return f"\x1b[{_COLOURS[word.group()]}m{word.group()}\x1b[0m"


class _Errors(logging.Handler):
    """Prints errors, and what is worth knowing of the rest in our own words."""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "NVIDIA GPU may be present" in message:
            print(
                "note: there seems to be an NVIDIA GPU, and JAX is installed for CPUs: "
                "pip install 'jax[cuda12]' lets it use it",
                file=sys.stderr,
            )
        elif record.name.startswith("jax_origin."):
            print(f"note: {message}", file=sys.stderr)
        elif record.levelno >= logging.ERROR:
            print(f"{record.name}: {message}", file=sys.stderr)
