"""How commands begin and fail: their flags and settings, one-line errors, exit codes."""

import contextlib
import functools
import os
import pathlib
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags
from ml_collections import ConfigDict, config_flags

from jax_origin.cli.help_text import help_text
from jax_origin.cli.stopping import Stopped

Define = Callable[[flags.FlagValues], None]
"""Defines a command's flags; its docstring is the help text."""
Work = Callable[[ConfigDict | None, flags.FlagValues], int]
"""Does the work by the settings (None without --config) and flags, and returns the exit code."""

STOPPED = 3
"""The exit code of a command that was told to end, and can go on later."""

NO_READER = 141
"""The exit code where what reads the output has gone, as `head` does: 128 and SIGPIPE."""

_HELP = re.compile(r"-h|-\?|--?help(short|full)?")
_NO_SETTING = re.compile(r"""'(\w+)'(?:\nDid you mean "(\w+)".*)?""")  # as a ConfigDict says it
_UNKNOWN = "unknown argument {!r}; is a flag's value missing its '='?"
# Errors that a user can cause, by module.
_USER_ERRORS = {
    "jax_origin.calibration": "CalibrationError",
    "jax_origin.checkpoints": "CheckpointError",
    "jax_origin.figures": "FigureError",
    "jax_origin.images": "ImageError",
    "jax_origin.runs": "RunError",
    "jax_origin.runtime": "ClusterError",
}


class CommandError(ValueError):
    """Something that the user of a command must change; one line says what."""


def run(
    name: str,
    define: Define,
    work: Work,
    argv: Sequence[str] | None = None,
    *,
    config: str | None = None,
    nameless: Sequence[str] = (),
) -> int:
    """Reads a command's flags and does its work.

    A flag that was given overrides the setting of its name in the config file; any flag stands for
    a setting that the file leaves out.

    Args:
      name: The command's name, for `one_line_errors`.
      define: Defines the flags.
      work: What is done then.
      argv: The flags; those of this process without it.
      config: The config file, unless --config names another; "" if none is meant for all. None:
        the command has no settings.
      nameless: The flags that arguments without a name stand for, in their order. If the last may
        be given more than once, it takes all that follow.

    Returns:
      What `work` returns; 0 where help was asked for.

    Raises:
      SystemExit: As `one_line_errors` does.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if any(_HELP.fullmatch(argument) for argument in arguments):
        asked = next(argument for argument in arguments if _HELP.fullmatch(argument))
        with reader_may_leave():
            print(help_text(name, define, _defined(define, config, []), asked))
        return 0
    with one_line_errors(name):
        return work(*_parsed(define, config, arguments, nameless))


@contextlib.contextmanager
def one_line_errors(name: str, *errors: type[Exception]) -> Iterator[None]:
    """Ends the process with one line for what a user can cause.

    Args:
      name: The command's name, which begins the line.
      *errors: What the user can cause, besides the package's own errors and the operating system's.

    Raises:
      SystemExit: With status 1 for such an error, with 130 after an interrupt, with `STOPPED` where
        the process was told to end, with `NO_READER` where nobody reads its output any more.
    """
    try:
        with reader_may_leave():
            yield
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except Stopped:
        print(f"{name}: stopped by SIGTERM; the same command goes on", file=sys.stderr)
        raise SystemExit(STOPPED) from None
    except Exception as error:
        if not isinstance(error, (CommandError, OSError, *errors)) and not _is_users(error):
            raise
        raise SystemExit(f"{name}: {_in_one_line(error)}") from None


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Ends the process quietly, with `NO_READER`, where what reads its output has gone."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes what is left when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(NO_READER) from None


def command(
    name: str, *errors: type[Exception]
) -> Callable[[Callable[[], None]], Callable[[list[str]], None]]:
    """Decorates the main of a script, for `absl.app.run`: arguments that are no flags are refused.

    Args:
      name: The script's name.
      *errors: As `one_line_errors` takes them.
    """

    def decorate(main: Callable[[], None]) -> Callable[[list[str]], None]:
        @functools.wraps(main)
        def checked(argv: list[str]) -> None:
            if len(argv) > 1:
                raise app.UsageError(_UNKNOWN.format(argv[1]))
            with one_line_errors(name, *errors):
                main()

        return checked

    return decorate


@contextlib.contextmanager
def blamed_on(flag: str) -> Iterator[None]:
    """Names the flag in front of what a value of it raised as ValueError."""
    try:
        yield
    except ValueError as error:
        raise CommandError(f"{flag}: {error}") from None


def check_writable(path: str | os.PathLike[str], flag: str) -> None:
    """Raises CommandError if a file will not be writable after the work; leaves nothing behind."""
    target = pathlib.Path(path).expanduser()
    try:
        if target.is_dir():
            raise CommandError(f"{flag}={path}: is a folder; name a file")
        folder = target.parent
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CommandError(f"{flag}={path}: cannot be written ({error.strerror})") from None


def _parsed(
    define: Define, config: str | None, arguments: list[str], nameless: Sequence[str]
) -> tuple[ConfigDict | None, flags.FlagValues]:
    """The settings, in which each flag that was given stands, and the flags."""
    try:
        given = _defined(define, config, arguments)
        given.set_gnu_getopt(bool(nameless))
        _, *others = given(["", *arguments])
        for name in nameless:
            several = isinstance(given[name], flags.MultiFlag)
            while others and (several or not given[name].present):
                given(["", f"--{name}={others.pop(0)}"])
        settings = None if config is None else given["config"].value
        if settings is not None:
            settings.lock()  # One that could not be loaded says so now.
    except flags.Error as error:
        raise CommandError(f"{error}; --help lists the flags") from None
    except Exception as error:  # A config file is code, which may raise anything.
        raise CommandError(_config_fault(error)) from None
    if others:
        raise CommandError(_UNKNOWN.format(others[0]))
    if settings is not None:
        with settings.unlocked():
            for name in given:
                of_file = name.partition(".")[0] == "config"
                if not of_file and (given[name].present or name not in settings):
                    value = given[name].value
                    settings[name] = tuple(value) if isinstance(value, list) else value
    return settings, given


def _defined(define: Define, config: str | None, arguments: list[str]) -> flags.FlagValues:
    given = flags.FlagValues()
    define(given)
    if config is not None:
        text = "Config file with settings; --config.NAME=VALUE sets one."
        config_flags.DEFINE_config_file(
            "config", config or None, text, flag_values=given, sys_argv=["", *arguments]
        )
    return given


def _config_fault(error: Exception) -> str:
    text = str(error).strip()
    if isinstance(error, AttributeError) and isinstance(error.args[0], KeyError):
        text = str(error.args[0].args[0])
    if unknown := _NO_SETTING.fullmatch(text):
        name, near = unknown.groups()
        hint = f"did you mean {near!r}?" if near else "the config file lists the settings"
        return f"--config.{name}: there is no such setting; {hint}"
    last = text.splitlines()[-1].strip() if text else ""
    where = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, OSError) or "ml_collections" in where.filename:
        return f"--config: {last}"
    return f"--config: {where.filename} raised {type(error).__name__}: {last}"


def _is_users(error: Exception) -> bool:
    # Its class is in a module that has been imported.
    known = (getattr(sys.modules.get(room), name, ()) for room, name in _USER_ERRORS.items())
    return any(isinstance(error, kind) for kind in known)


def _in_one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    return " ".join(line.strip() for line in str(error).splitlines())
