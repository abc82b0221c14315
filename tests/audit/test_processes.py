"""An audit by several real processes: killed, ended, failing; others go on, and nothing differs."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import kills
from jax_origin.audit import check_manifest
from jax_origin.audit.part_files import parts_in

ROOT = Path(__file__).parents[2]
NUM = 240
pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two candidates, images, and an audit of them by one process that nothing has disturbed."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "images/others").mkdir(parents=True)
    kills.make(folder, NUM)
    ended(start(folder, "whole"))
    return folder


def start(folder: Path, out: str, num: int = 1, *, images: str = "images") -> list:
    """Starts the processes of an audit."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "jax_origin", "audit", f"--out={out}", "--part_seconds=0.1"),
        *("--candidate=one=one.json", "--candidate=two=two.json", "--config.cache=cache"),
    ]
    shared = ["--distributed", f"--coordinator=127.0.0.1:{port}", f"--num_processes={num}"]
    where = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    started = []
    for i in range(num):
        flags = [*shared, f"--process_id={i}"] if num > 1 else []
        flags.append(f"--images={images if i == num - 1 else 'images'}")
        options = {"cwd": folder, "env": where, "text": True, **pipes}
        started.append(subprocess.Popen([*command, *flags], **options))
    return started


def ended(processes: list, code: int | None = 0) -> list[str]:
    """What they said, once they have ended, all with this exit code."""
    said = [process.communicate(timeout=240)[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert code is None or codes == [code] * len(processes), "\n".join(said)
    return said


def wait_for_parts(folder: Path, processes: list, out: str, each: int) -> None:
    """Waits until every process has written so many parts, while none has ended."""
    while True:
        assert all(process.poll() is None for process in processes), ended(processes, None)
        parts = parts_in(folder / out / "one/parts")
        if all(sum(p.process == i for p in parts) >= each for i in range(len(processes))):
            return
        time.sleep(0.01)


def test_processes_are_killed_and_ended_and_others_go_on(folder):
    killed = start(folder, "many", 3)
    wait_for_parts(folder, killed, "many", each=1)
    killed[0].send_signal(signal.SIGKILL)  # JAX ends the others when it sees that.
    ended(killed, None)
    assert all(process.returncode for process in killed)
    after = kills.on_disk(folder / "many")
    assert 0 < after < 2 * NUM

    told = start(folder, "many", 2)
    most = max(sum(p.process == i for p in parts_in(folder / "many/one/parts")) for i in (0, 1))
    wait_for_parts(folder, told, "many", each=most + 1)
    for process in told:
        process.send_signal(signal.SIGTERM)
    assert all("the same command goes on" in said for said in ended(told, 3))
    assert after < kills.on_disk(folder / "many") < 2 * NUM

    ended(start(folder, "many"))
    assert kills.records(folder / "many") == kills.records(folder / "whole")
    assert kills.on_disk(folder / "many") == 2 * NUM
    assert check_manifest(folder / "many") == []


def test_where_one_fails_the_others_say_so_and_end(folder):
    waiting, failed = start(folder, "failed", 2, images="missing")
    said, wrong = ended([waiting, failed], 1)
    assert "missing" in wrong
    (line,) = (line for line in said.splitlines() if line.startswith("audit: "))
    assert "process 1 has stopped" in line and "the same command goes on" in line
