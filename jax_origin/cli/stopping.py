"""Ending in order when the process is told to, as before a pre-emption."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Stopped(BaseException):
    """The process got SIGTERM. It is no Exception: nobody takes it for an error of theirs."""


@contextlib.contextmanager
def stop_when_told() -> Iterator[None]:
    """Raises `Stopped` in the block when the process gets SIGTERM.

    Outside the main thread, which alone gets signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # What is saved is not cut short by another.
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
