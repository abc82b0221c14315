"""How far a run is: a panel in a terminal, a line now and then elsewhere, a file for monitors."""

import collections
import contextlib
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jax_origin.files import atomic_write
from jax_origin.inversion.running import Statistics

_DRAWN_EVERY = 0.1  # Seconds between drawings of the panel.
_EVERY = 30.0  # Seconds between lines, where there is no terminal.
_FILE_EVERY = 5.0  # Seconds between files for monitors.
_RECENT = 300.0  # Seconds that tell how quickly it goes on: what was done before goes in no time.
_FELL = 1e-6  # Images: sums of parts may be rounded so far.
_DUMB = ("dumb", "unknown")
_UNITS = {"learning a start": "steps", "shares": "shares", "training": "steps"}


class _Mark(NamedTuple):
    """How far it was at a time: what was done, and the steps of lanes by then, busy and all."""

    at: float
    done: float
    busy: int
    lane_steps: int


class ProgressBar:
    """Shows what it is told, on the standard error; see `progress_bar`.

    It is called as `jax_origin.inversion.Progress`. What `note` holds is shown beside the rest.
    """

    def __init__(
        self,
        *,
        metrics: str | os.PathLike[str] | None = None,
        statistics: Statistics | None = None,
    ) -> None:
        self._metrics, self._statistics, self.note = metrics, statistics, ""
        self._in_terminal = sys.stderr.isatty() and os.environ.get("TERM") not in _DUMB
        self._what, self._done = "", 0.0
        self._total: float | None = None
        self._marks: collections.deque[_Mark] = collections.deque()
        self._words = collections.Counter[str]()
        self._early = 0
        self._live: Any = None
        self._began = self._shown = self._written = time.monotonic()

    def __call__(self, what: str, done: float, total: float | None) -> None:
        """Shows how much is done of what is being done."""
        now = time.monotonic()
        if what != self._what or done < self._done - _FELL:  # The same task, of other images.
            self._begin(what, done, now)
        self._done, self._total = done if total is None else min(done, total), total
        if now - self._marks[-1].at >= 1.0:
            self._marks.append(self._mark(now))
        while now - self._marks[0].at > _RECENT and len(self._marks) > 2:
            self._marks.popleft()
        if self._in_terminal:
            if now - self._shown >= _DRAWN_EVERY or self._live is None:
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
        """Prints a line on the standard error, above the panel."""
        if self._live is None:
            _write_line(line)
        else:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leaves the panel as it is, and the files with the last numbers."""
        self._end_panel()
        if self._what:
            self._write(time.monotonic())

    @property
    def rate(self) -> float:
        """How much was done in a second of late; 0 where nothing says so."""
        first, now = self._marks[0], time.monotonic()
        return (self._done - first.done) / (now - first.at) if now > first.at else 0.0

    @property
    def busy(self) -> float | None:
        """The share of the lanes that held undecided images of late; None where nothing says so."""
        first, last = self._marks[0], self._mark(0.0)
        steps = last.lane_steps - first.lane_steps
        return (last.busy - first.busy) / steps if steps else None

    @property
    def line(self) -> str:
        """How far it is, in words."""
        of = "" if self._total is None else f" of {self._total:.0f}"
        parts = [f"{self._what}: {self._done:.0f}{of} {_UNITS.get(self._what, 'images')}"]
        return "; ".join(filter(None, (", ".join(parts + self._speed()), self._counts())))

    def _speed(self) -> list[str]:
        """How quickly it goes on, and with what."""
        parts, rate, busy = list[str](), self.rate, self.busy
        if rate:
            parts += [f"{rate:.3g} a second"] * (self._total != 1)  # One is a share, not a count.
            if self._total is not None:
                parts.append(f"{_clock((self._total - self._done) / rate)} left")
        if busy is not None:
            parts.append(f"lanes {busy:.0%} busy")
        return [*parts, *filter(None, [self.note])]

    def _counts(self) -> str:
        found = [f"{word} {count:,}" for word, count in sorted(self._words.items())]
        return ", ".join(found + [f"accepted early {self._early:,}"] * bool(self._early))

    def _mark(self, now: float) -> _Mark:
        of = self._statistics or Statistics()
        return _Mark(now, self._done, of.useful_lane_steps, of.lane_steps)

    def _begin(self, what: str, done: float, now: float) -> None:
        self._end_panel()
        self._what, self._done, self._began, self._shown = what, done, now, now
        self._words.clear()
        self._early, self.note = 0, ""
        self._marks.clear()
        self._marks.append(self._mark(now))

    def _end_panel(self) -> None:
        if self._live is not None:
            self._draw()
            self._live.stop()
            self._live = None

    def _draw(self) -> None:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=sys.stderr, force_terminal=True)
            # What is printed meanwhile goes above, unless it does not go to this terminal.
            both = sys.stdout.isatty()
            self._live = Live(console=console, auto_refresh=False, redirect_stdout=both)
            self._live.start()
        self._live.update(self._panel(), refresh=True)

    def _panel(self) -> Any:
        """What is done, how quickly, and what came of it, as rich draws it."""
        from rich.panel import Panel
        from rich.progress_bar import ProgressBar as Bar
        from rich.table import Table
        from rich.text import Text

        unit, done = _UNITS.get(self._what, "images"), f"{self._done:,.0f}"
        if self._total is None:
            done = f"{done} {unit}"
        else:
            share = f"{self._done / max(self._total, 1):.0%}"
            done = share if self._total == 1 else f"{share}, {done} of {self._total:,.0f} {unit}"
        first = Table.grid(padding=(0, 2), expand=True)
        first.add_column(ratio=1)
        first.add_column(justify="right", no_wrap=True)
        first.add_row(Bar(total=self._total, completed=self._done), Text(done))
        rows = Table.grid(expand=True)
        rows.add_row(first)
        since = f"{_clock(time.monotonic() - self._began)} so far"
        rows.add_row(Text(", ".join([since, *self._speed()])))
        if counts := self._counts():
            rows.add_row(Text(counts))
        return Panel(rows, title=Text(self._what), title_align="left", border_style="dim")

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
        if (busy := self.busy) is not None:
            families.append(("lanes_busy", "Share of lanes with undecided images.", {task: busy}))
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


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextlib.contextmanager
def progress_bar(
    *, metrics: str | os.PathLike[str] | None = None, statistics: Statistics | None = None
) -> Iterator[ProgressBar]:
    """Shows how far a run is, on the standard error: goes into `Run(progress=...)`.

    In a terminal it is a panel, by rich. Elsewhere it is a line every half minute.

    Args:
      metrics: A file that is replaced every few seconds, with the same numbers for Prometheus
        (https://prometheus.io/docs/instrumenting/exposition_formats); None for none.
      statistics: The run's, of which it shows how many lanes are busy.
    """
    bar = ProgressBar(metrics=metrics, statistics=statistics)
    try:
        yield bar
    finally:
        bar.close()
