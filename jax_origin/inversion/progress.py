"""How far a run is: a bar in a terminal, a line now and then elsewhere, a file for monitors."""

import collections
import contextlib
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from jax_origin.files import atomic_write

_DRAWN_EVERY = 0.1  # Seconds between drawings of a bar.
_EVERY = 30.0  # Seconds between lines, where there is no terminal.
_FILE_EVERY = 5.0  # Seconds between files for monitors.
_RECENT = 300.0  # Seconds that tell how quickly it goes on: what was done before goes in no time.
_FELL = 1e-6  # Images: sums of parts may be rounded so far.
_UNITS = {"learning a start": "steps", "shares": "shares"}


class ProgressBar:
    """Shows what it is told, on the standard error; see `progress_bar`.

    It is called as `jax_origin.inversion.Progress`.
    """

    def __init__(self, *, metrics: str | os.PathLike[str] | None = None) -> None:
        self._metrics, self._in_terminal = metrics, sys.stderr.isatty()
        self._what, self._done = "", 0.0
        self._total: float | None = None
        self._marks: collections.deque[tuple[float, float]] = collections.deque()
        self._words = collections.Counter[str]()
        self._early = 0
        self._bar: Any = None
        self._shown = self._written = time.monotonic()

    def __call__(self, what: str, done: float, total: float | None) -> None:
        """Shows how much is done of what is being done."""
        now = time.monotonic()
        if what != self._what or done < self._done - _FELL:  # The same task, of other images.
            self._begin(what, done, now)
        self._done, self._total = done if total is None else min(done, total), total
        if now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, self._done))
        while now - self._marks[0][0] > _RECENT and len(self._marks) > 2:
            self._marks.popleft()
        if self._in_terminal:
            if now - self._shown >= _DRAWN_EVERY or self._bar is None:
                self._shown = now
                self._draw()
        elif now - self._shown >= _EVERY:
            self._shown = now
            _write_line(self.line)
        if now - self._written >= _FILE_EVERY:
            self._write(now)

    def count(self, record: Mapping[str, Any]) -> None:
        """Counts a record's verdict, or its error, among those that are shown."""
        self._words[(record["verdict"] or "errors").replace("_", " ")] += 1
        self._early += record.get("score_kind") == "upper_bound"

    def say(self, line: str) -> None:
        """Prints a line on the standard error, above the bar."""
        if self._bar is None:
            _write_line(line)
        else:
            self._bar.write(line, file=sys.stderr)

    def close(self) -> None:
        """Leaves the bar as it is, and the files with the last numbers."""
        self._end_bar()
        if self._what:
            self._write(time.monotonic())

    @property
    def rate(self) -> float:
        """How much was done in a second of late; 0 where nothing says so."""
        (began, before), now = self._marks[0], time.monotonic()
        return (self._done - before) / (now - began) if now > began else 0.0

    @property
    def line(self) -> str:
        """How far it is, in words."""
        of = "" if self._total is None else f" of {self._total:.0f}"
        parts = [f"{self._what}: {self._done:.0f}{of} {_UNITS.get(self._what, 'images')}"]
        if rate := self.rate:
            parts.append(f"{rate:.3g} a second")
            if self._total is not None:
                parts.append(f"{_clock((self._total - self._done) / rate)} left")
        return "; ".join(filter(None, (", ".join(parts), self._counts)))

    @property
    def _counts(self) -> str:
        return ", ".join(f"{word} {count}" for word, count in sorted(self._words.items()))

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._draw()
            self._bar.close()
            self._bar = None

    def _begin(self, what: str, done: float, now: float) -> None:
        self._end_bar()
        self._what, self._shown = what, now
        self._words.clear()
        self._early = 0
        self._marks.clear()
        self._marks.append((now, done))

    def _draw(self) -> None:
        known = "{percentage:3.0f}%|{bar}| " + ("" if self._total == 1 else "{n:.0f}/{total:.0f} ")
        left = "" if self._total is None else "<" + _left(self._total - self._done, self.rate)
        shape = "{desc}: " + ("{n:.0f} images " if self._total is None else known)
        shape += "[{elapsed}" + left + "]{postfix}"
        if self._bar is None:
            import tqdm

            about: dict[str, Any] = {"desc": self._what, "total": self._total, "bar_format": shape}
            self._bar = tqdm.tqdm(file=sys.stderr, dynamic_ncols=True, **about)
        self._bar.total, self._bar.bar_format = self._total, shape
        self._bar.set_postfix_str(self._counts, refresh=False)
        self._bar.update(self._done - self._bar.n)

    def _write(self, now: float) -> None:
        self._written = now
        if self._metrics is not None:
            # That it can be written was seen before: a full disk ends what writes records.
            with contextlib.suppress(OSError), atomic_write(self._metrics) as temporary:
                pathlib.Path(temporary).write_text(self._exposition(), encoding="utf-8")

    def _exposition(self) -> str:
        """The numbers as Prometheus reads them."""
        what = self._what.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        task = f'task="{what}"'
        unit = _UNITS.get(self._what, "images")
        verdicts = {
            f'{task},verdict="{word.replace(" ", "_")}"': count
            for word, count in sorted(self._words.items())
            if word != "errors"
        }
        families: list[tuple[str, str, Mapping[str, float]]] = [
            (f"{unit}_done", "What is done, with parts of what is under way.", {task: self._done}),
            (f"{unit}_per_second", "How quickly it goes on.", {task: self.rate}),
            ("verdicts", "Verdicts of this run.", verdicts),
            ("errors", "Files that could not be examined.", {task: self._words["errors"]}),
            ("accepted_early", "Images not inverted any further.", {task: self._early}),
        ]
        if self._total is not None:
            families.insert(0, (unit, "How much there is in all.", {task: self._total}))
        lines = []
        for name, says, values in families:
            lines += [f"# HELP jax_origin_{name} {says}", f"# TYPE jax_origin_{name} gauge"]
            lines += [f"jax_origin_{name}{{{of}}} {value:.10g}" for of, value in values.items()]
        return "\n".join([*lines, ""])


def _write_line(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _left(amount: float, rate: float) -> str:
    return _clock(amount / rate) if rate else "?"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextlib.contextmanager
def progress_bar(*, metrics: str | os.PathLike[str] | None = None) -> Iterator[ProgressBar]:
    """Shows how far a run is, on the standard error: goes into `Run(progress=...)`.

    In a terminal it is a bar, by tqdm. Elsewhere it is a line every half minute.

    Args:
      metrics: A file that is replaced every few seconds, with the same numbers for Prometheus
        (https://prometheus.io/docs/instrumenting/exposition_formats); None for none.
    """
    bar = ProgressBar(metrics=metrics)
    try:
        yield bar
    finally:
        bar.close()
