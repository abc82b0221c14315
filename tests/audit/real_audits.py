"""Audits by real processes, over images of two tiny candidates."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks import kills

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
NUM = 240


def prepared(folder: Path, num: int = NUM) -> Path:
    """Two candidates, images, and an audit of them by one process that nothing has disturbed."""
    (folder / "images/others").mkdir(parents=True)
    kills.make(folder, num)
    ended([start(folder, "whole")])
    return folder


def start(folder: Path, out: str, *flags: str, platforms: str = "cpu") -> subprocess.Popen:
    """Starts an audit in a process of its own, which may use these kinds of device."""
    command = [
        *(sys.executable, "-m", "jax_origin", "audit", "--images=images", f"--out={out}"),
        *("--candidate=one=one.json", "--candidate=two=two.json", "--config.cache=cache"),
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    flags = ("--part_seconds=0.1", *flags)
    environment = ENVIRONMENT | {"JAX_PLATFORMS": platforms}
    return subprocess.Popen([*command, *flags], cwd=folder, env=environment, **pipes)


def ended(processes: list[subprocess.Popen], code: int | None = 0) -> list[str]:
    """What they said, once they have ended, all with this exit code."""
    said = [process.communicate(timeout=900)[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert code is None or codes == [code] * len(processes), "\n".join(said)
    return said
