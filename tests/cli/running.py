"""Runs commands: in this process, which is quick, or in one of their own."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from jax_origin.cli.main import main

REPOSITORY = Path(__file__).parents[2]


class Done(NamedTuple):
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on standard error, besides progress bars."""
        (line,) = [part for part in self.err.splitlines() if part and "%|" not in part]
        return line


def run(folder: Path, *arguments: str) -> Done:
    """Runs jax-origin in this process, started in a folder; exit codes are those of a process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = main(arguments)
        except SystemExit as error:
            code = error.code
            if isinstance(code, str):  # As the interpreter does.
                print(code, file=sys.stderr)
                code = 1
    return Done(code, out.getvalue(), err.getvalue())


def start(folder: Path, *arguments: str) -> Done:
    """Runs Python in a process of its own."""
    before = os.environ.get("PYTHONPATH")
    where = os.pathsep.join([str(REPOSITORY), before] if before else [str(REPOSITORY)])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": where},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Done(done.returncode, done.stdout, done.stderr)
