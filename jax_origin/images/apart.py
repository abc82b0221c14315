"""Files opened in processes of their own: a decoder that hangs or crashes takes no more along."""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from jax_origin.images.decode import ImageError

Result = TypeVar("Result")

_GIVEN_UP = "its decoder "  # How the reason begins of a file that ended a process.
_START = (
    "import sys; sys.path[:] = {path!r}; "
    "from jax_origin.images.apart import serve; serve({seconds!r})"
)
_DIED = EOFError, OSError, pickle.UnpicklingError  # What is read of a process that ended.


def is_given_up(error: str | None) -> bool:
    """Whether the error of a record says that its file ended a process: do not open it again."""
    return error is not None and error.startswith(_GIVEN_UP)


class Decoders:
    """Processes that open files for the threads of this one; see `open_image` for such work.

    They begin when they are first needed, import no JAX, and end with the block::

        with Decoders(4) as decoders:
            opened = decoders(open_image, "photo.jpg", size=(32, 32))

    Any thread may call it, and waits for an idle process. A process that takes too long, or dies,
    is replaced.

    Args:
      num: Processes at the most.
      seconds: How long a process may take over a file.
    """

    def __init__(self, num: int, *, seconds: float = 60.0) -> None:
        if num < 1:
            raise ValueError(f"num must be at least 1, not {num}")
        if not seconds > 0:
            raise ValueError(f"seconds must be above 0, not {seconds}")
        self.num, self.seconds = num, seconds
        self._idle: queue.LifoQueue[subprocess.Popen[bytes] | None] = queue.LifoQueue()
        for _ in range(num):
            self._idle.put(None)
        self._all: set[subprocess.Popen[bytes]] = set()
        self._closed, self._changing = False, threading.Lock()

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(self, *_: object) -> None:
        with self._changing:
            self._closed = True
            for process in self._all:
                process.kill()  # Whoever waits for its answer waits no longer.
        for idle in [self._idle.get() for _ in range(self.num)]:
            if idle:
                _end(idle)
            self._idle.put(None)

    def __call__(self, fn: Callable[..., Result], source: Any, /, **options: Any) -> Result:
        """Calls ``fn(source, **options)`` in another process.

        Args:
          fn: A function that can be imported by its name.
          source: The path or the bytes of a file.
          **options: Anything that can be pickled, as the result can.

        Raises:
          ImageError: The process took too long, or died; else what the function raises.
          OSError: No process can be started.
        """
        asked = pickle.dumps((fn, source, options), protocol=5)
        process = self._idle.get()
        try:
            if process and process.poll() is not None:  # That it ended is no fault of this file.
                self._end(process)
                process = None
            process = process or self._start()
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(asked)
                process.stdin.flush()
                done, result = pickle.load(process.stdout)  # noqa: S301  Our own process.
            except _DIED:
                code = self._end(process)
                process = None
                path = source if isinstance(source, str | os.PathLike) else "image in memory"
                raise ImageError(path, f"{_GIVEN_UP}{self._reason(code)}") from None
        finally:
            self._idle.put(process)
        if not done:
            raise result
        return result

    def _start(self) -> "subprocess.Popen[bytes]":
        code = _START.format(path=sys.path, seconds=self.seconds)
        with self._changing:
            if self._closed:
                raise OSError("the processes that open images have ended")
            # No fork of this process, which has threads, and no second run of its main module.
            process = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._all.add(process)
        assert process.stdout is not None
        if not process.stdout.read(1):
            said = _ended_by(self._end(process))
            raise OSError(f"no process can be started to open images ({said}); --decoders=0")
        return process

    def _end(self, process: "subprocess.Popen[bytes]") -> int:
        with self._changing:
            self._all.discard(process)
        return _end(process)

    def _reason(self, code: int) -> str:
        if code == -signal.SIGALRM:
            return f"takes more than {self.seconds:g} s (--decode_seconds); convert it to PNG"
        return f"crashes ({_ended_by(code)}); convert it to PNG with another program"


def _end(process: "subprocess.Popen[bytes]") -> int:
    """Ends a process whose answer nobody waits for, and returns its exit code."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.close()  # It ends by itself, unless it is at work.
    process.stdout.close()
    try:
        return process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _ended_by(code: int) -> str:
    return f"exit code {code}" if code >= 0 else str(signal.strsignal(-code) or f"signal {-code}")


def serve(seconds: float) -> None:
    """Is such a process: answers on its standard output what it is asked on its standard input."""
    for told_to_all in (signal.SIGINT, signal.SIGTERM):  # It ends with the process that asks.
        signal.signal(told_to_all, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # The system ends it, wherever it hangs.
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a library prints is no answer.
    with contextlib.suppress(EOFError, OSError):
        answers.write(b"\n")
        answers.flush()
        while True:
            fn, source, options = pickle.load(asked)  # noqa: S301  Of the one that asks.
            signal.setitimer(signal.ITIMER_REAL, seconds)
            try:
                answer = True, fn(source, **options)
            except Exception as error:
                answer = False, error
            signal.setitimer(signal.ITIMER_REAL, 0)
            pickle.dump(answer, answers, protocol=5)
            answers.flush()
    os._exit(0)
