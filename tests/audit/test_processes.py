"""An audit by several real processes: killed, ended, failing; others go on, and nothing differs."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from benchmarks import kills
from jax_origin.audit import check_manifest
from jax_origin.audit.part_files import parts_in

from .real_audits import NUM, ended, prepared, start

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return prepared(tmp_path_factory.mktemp("processes"))


def start_all(folder: Path, out: str, num: int, *last: str) -> list[subprocess.Popen]:
    """Starts the processes of an audit; the last has more flags."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = ["--distributed", f"--coordinator=127.0.0.1:{port}", f"--num_processes={num}"]
    more = [()] * (num - 1) + [last]
    return [start(folder, out, *shared, f"--process_id={i}", *more[i]) for i in range(num)]


def parts_of_each(folder: Path, out: str, num: int) -> list[int]:
    written = [part.process for part in parts_in(folder / out / "one/parts")]
    return [written.count(i) for i in range(num)]


def wait_for_parts(folder: Path, processes: list[subprocess.Popen], out: str) -> None:
    """Waits until each process has written a part, while none has ended."""
    before = parts_of_each(folder, out, len(processes))
    while any(
        now <= then for now, then in zip(parts_of_each(folder, out, 3), before, strict=False)
    ):
        assert all(process.poll() is None for process in processes), ended(processes, None)
        time.sleep(0.01)


def test_processes_are_killed_and_ended_and_others_go_on(folder):
    killed = start_all(folder, "many", 3)
    wait_for_parts(folder, killed, "many")
    killed[0].send_signal(signal.SIGKILL)  # JAX ends the others when it sees that.
    ended(killed, None)
    assert all(process.returncode for process in killed)
    after = kills.on_disk(folder / "many")
    assert 0 < after < 2 * NUM

    told = start_all(folder, "many", 2)
    wait_for_parts(folder, told, "many")
    for process in told:
        process.send_signal(signal.SIGTERM)
    assert all("the same command goes on" in said for said in ended(told, 3))
    assert after < kills.on_disk(folder / "many") < 2 * NUM

    ended([start(folder, "many")])
    assert kills.records(folder / "many") == kills.records(folder / "whole")
    assert kills.on_disk(folder / "many") == 2 * NUM
    assert check_manifest(folder / "many") == []


def test_where_one_fails_the_others_say_so_and_end(folder):
    said, wrong = ended(start_all(folder, "failed", 2, "--images=missing"), 1)
    assert "missing" in wrong
    (line,) = (line for line in said.splitlines() if line.startswith("audit: "))
    assert "process 1 has stopped" in line and "the same command goes on" in line
