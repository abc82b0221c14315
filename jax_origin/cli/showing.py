"""What a command shows while it works: how far it is, and that programs are being compiled."""

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any

import jax

from jax_origin.inversion import ProgressBar, Statistics, progress_bar

_COMPILING = "/jax/core/compile/backend_compile_duration"
_COUNTED, _PAUSE = 100, 0.005  # Things that are counted in one go, and seconds until the next.
_LONG = 2.0  # Seconds of compiling that are not worth a line.


@contextlib.contextmanager
def showing(
    *, metrics: str | None = None, statistics: Statistics | None = None
) -> Iterator[ProgressBar]:
    """Shows a command's progress, as `progress_bar`, and says so where compiling takes long."""
    with progress_bar(metrics=metrics, statistics=statistics) as bar, _compiling_said(bar):
        yield bar


@contextlib.contextmanager
def _compiling_said(bar: ProgressBar) -> Iterator[None]:
    """Says that XLA compiles, where that takes long: once what that is, and each time how long."""
    waiting: dict[int, threading.Timer] = {}  # By thread.
    explained = False

    def say() -> None:
        nonlocal explained
        if not explained:
            cache = jax.config.values["jax_compilation_cache_dir"]
            kept = f"; kept in {cache}" if cache else ""
            bar.say(f"compiling for this machine, once per shape{kept}")
        explained = True

    def begun(event: str, value: float, **kwargs: str | int) -> None:
        if event == _COMPILING:
            timer = threading.Timer(_LONG, say)
            timer.daemon = True
            waiting[threading.get_ident()] = timer
            timer.start()

    def done(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == _COMPILING and (timer := waiting.pop(threading.get_ident(), None)):
            timer.cancel()
            if duration_secs > _LONG:
                bar.say(f"compiled in {duration_secs:.0f} s")

    jax.monitoring.register_scalar_listener(begun)
    jax.monitoring.register_event_duration_secs_listener(done)
    try:
        yield
    finally:
        jax.monitoring.unregister_scalar_listener(begun)
        jax.monitoring.unregister_event_duration_listener(done)
        for timer in waiting.values():
            timer.cancel()


class Counting:
    """Counts things in a thread, which takes its time; without any, how many stays unknown.

    Of several sources, those that know their length say it.
    """

    def __init__(self, things: Iterable[Any] | None) -> None:
        self._num: int | None = None
        if things is not None:
            threading.Thread(target=self._count, args=(things,), daemon=True).start()

    def __call__(self) -> int | None:
        """How many there are; None until all are counted."""
        return self._num

    def _count(self, things: Iterable[Any]) -> None:
        with contextlib.suppress(Exception):  # Whoever examines them says what is wrong.
            self._num = sum(map(_length, getattr(things, "sources", [things])))


def _length(things: Iterable[Any]) -> int:
    if isinstance(things, Sized):
        return len(things)
    num = 0
    for num, _ in enumerate(things, 1):
        if not num % _COUNTED:
            time.sleep(_PAUSE)  # The first verdict is waited for more than the count is.
    return num
