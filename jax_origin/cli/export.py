"""Writes an audit's records or findings as JSON lines or CSV."""

import os
import sys
from collections.abc import Iterable
from typing import TextIO

from absl import flags

from jax_origin.audit import exported, open_audit
from jax_origin.cli.command import CommandError, check_writable
from jax_origin.files import atomic_write


def main(given: flags.FlagValues) -> int:
    """Writes what the flags name to a file, or to standard output; returns the exit code, 0."""
    if given.audit is None:
        raise CommandError("name the audit's folder: jax-origin export DIR")
    audit = open_audit(given.audit)
    lines = exported(audit, what=given.what, form=given.format)
    if given.out is None:
        try:
            _write(lines, sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:  # Whoever reads has enough, as `head` has; nothing else is said.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        check_writable(given.out, "--out")
        with (
            atomic_write(given.out) as temporary,
            open(temporary, "w", encoding="utf-8", newline="") as file,
        ):
            _write(lines, file)
        print(f"wrote {given.out}")
    if not audit.finished:
        print("the audit is unfinished: these are its records so far", file=sys.stderr)
    return 0


def _write(lines: Iterable[str], file: TextIO) -> None:
    file.writelines(f"{line}\n" for line in lines)
