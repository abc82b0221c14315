"""How far a run is: in a terminal, in a log, and for a monitor."""

import io
import re
import sys
import threading
import time

import pytest

from jax_origin import progress_bar
from jax_origin.inversion import Statistics, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


OWN = {"verdict": "belongs", "score_kind": "upper_bound"}
FOREIGN = {"verdict": "not_recognised", "score_kind": "full"}
TORN = {"verdict": None, "score_kind": None}


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_in_a_log_a_line_comes_now_and_then(clock, capsys):
    with progress_bar() as bar:
        for i in range(1, 91):
            clock[0] += 1.0
            bar("attributing", i / 2, 200.0)
            if i % 2 == 0:
                bar.count({10: OWN, 20: TORN}.get(i, FOREIGN))
    assert capsys.readouterr().err.splitlines() == [
        "attributing: 16 of 200 images, 0.5 a second, 6:09 left; belongs 1, errors 1, "
        "not recognised 13, accepted early 1",
        "attributing: 30 of 200 images, 0.5 a second, 5:39 left; belongs 1, errors 1, "
        "not recognised 28, accepted early 1",
    ]


def test_what_was_done_long_ago_does_not_tell_how_long_the_rest_takes(clock):
    with progress_bar() as bar:
        bar("one", 0, None)
        bar("one", 5000, None)  # Done by an earlier run.
        for i in range(1000):
            clock[0] += 1.0
            bar("one", 5000 + i, 7000)
        assert bar.line == "one: 5999 of 7000 images, 1 a second, 16:41 left"
        bar("another", 1, None)
        assert bar.line.startswith("another: 1 images")


def test_other_images_begin_anew(clock):
    with progress_bar() as bar:
        for _ in range(2):
            for i in range(17):
                clock[0] += 2.0
                bar("attributing", i, 16)
            assert bar.line.startswith("attributing: 16 of 16 images, 0.5 a second, 0:00 left")


def drawn(monkeypatch, **environment) -> list[str]:
    """The lines of the last picture that a terminal shows, and what is said above it."""
    terminal, statistics = Terminal(), Statistics()
    monkeypatch.setattr(sys, "stderr", terminal)
    for name, value in {"COLUMNS": "72", "TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    with progress_bar(statistics=statistics) as bar:
        bar("one", 0.2, 4000)
        time.sleep(0.15)
        statistics.lane_steps, statistics.useful_lane_steps = 1000, 980
        for record in (OWN, FOREIGN, TORN):
            bar.count(record)
        bar("one", 2000, 4000)
        bar.say("something to [know]")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    return re.split("[\r\n]+", plain)


def test_in_a_terminal_it_is_a_panel(monkeypatch):
    lines = drawn(monkeypatch)
    said = next(i for i, line in enumerate(lines) if "something to [know]" in line)
    top, first, second, third, bottom, *_ = lines[said + 1 :]
    assert top.startswith("╭─ one ──") and bottom.endswith("──╯")
    assert re.fullmatch(r"│ [━╸╺]+ +50%, 2,000 of 4,000 images │", first)
    assert re.fullmatch(r"│ 0:0\d so far, [\de+.]+ a second, 0:0\d left, lanes 98% busy +│", second)
    assert third.startswith("│ belongs 1, errors 1, not recognised 1, accepted early 1 ")
    assert {len(line) for line in (top, first, second, third, bottom)} == {72}


def test_where_nothing_can_be_drawn_there_are_lines(monkeypatch):
    assert drawn(monkeypatch, TERM="dumb") == ["something to [know]", ""]


def test_a_monitor_reads_a_whole_file_at_any_time(clock, tmp_path, capsys):
    path, torn, stop = tmp_path / "origin.prom", [], threading.Event()

    def read():
        while not stop.is_set():
            if path.exists() and not path.read_text().endswith('{task="a \\"b\\""} 1\n'):
                torn.append(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    with progress_bar(metrics=path) as bar:
        bar('a "b"', 0, 50)
        bar.count(OWN)
        for i in range(1, 20):
            clock[0] += 6.0
            bar('a "b"', i, 50)
        bar.count(TORN)
        bar.count(FOREIGN)
    stop.set()
    reader.join()
    assert not torn
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    task = 'task="a \\"b\\""'
    assert lines == [
        f"jax_origin_images{{{task}}} 50",
        f"jax_origin_images_done{{{task}}} 19",
        f"jax_origin_images_per_second{{{task}}} 0.1666666667",
        f'jax_origin_verdicts{{{task},verdict="belongs"}} 1',
        f'jax_origin_verdicts{{{task},verdict="not_recognised"}} 1',
        f"jax_origin_errors{{{task}}} 1",
        f"jax_origin_accepted_early{{{task}}} 1",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["origin.prom"]
