"""How the commands in scripts/ begin and fail: their settings, their processes, one-line errors."""

import functools
from collections.abc import Callable, Iterable

from absl import app, flags
from ml_collections import ConfigDict

from jax_origin.runtime import join_processes

flags.disclaim_key_flags()  # --help shows these flags among those of the script that asks for them.


def command(
    name: str, *errors: type[Exception]
) -> Callable[[Callable[[], None]], Callable[[list[str]], None]]:
    """Makes a function without arguments the main of a script, for `absl.app.run`.

    Args:
      name: The script's name, which begins the line that says what failed.
      *errors: What a user can cause: it ends the script with that line and status 1.

    Returns:
      A decorator. The function takes all it needs from flags: other arguments are refused.
    """

    def decorate(main: Callable[[], None]) -> Callable[[list[str]], None]:
        @functools.wraps(main)
        def checked(argv: list[str]) -> None:
            if len(argv) > 1:
                unknown = f"unknown argument {argv[1]!r}"
                raise app.UsageError(f"{unknown}; is a flag's value missing its '='?")
            try:
                main()
            except errors as error:
                raise SystemExit(f"{name}: {error}") from None

        return checked

    return decorate


def overridden(config: ConfigDict, overrides: Iterable[flags.FlagHolder]) -> ConfigDict:
    """The config, which the flags that were given have changed: each the field of its name."""
    for flag in overrides:
        if flag.value is not None:
            config[flag.name] = flag.value
    return config


def define_processes() -> Callable[[], None]:
    """Defines --distributed, --coordinator, --num_processes and --process_id.

    Returns:
      To be called before any other use of JAX: with --distributed, it makes this process one of
      several (`join_processes`, whose errors it raises).
    """
    distributed = flags.DEFINE_bool("distributed", False, "Be one of several processes.")
    coordinator = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0.")
    num = flags.DEFINE_integer("num_processes", None, "How many processes there are.", 1)
    own = flags.DEFINE_integer("process_id", None, "Which of them this one is.", 0)

    def join() -> None:
        if distributed.value:
            join_processes(
                coordinator=coordinator.value, num_processes=num.value, process_id=own.value
            )

    return join
