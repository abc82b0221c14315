"""Injects faults into real audits, one after the other, and compares each with an undisturbed one.

python -m benchmarks.faults --out=benchmarks/results/faults.json

The audits are those of `benchmarks.kills`, which does kill -9. Each is disturbed, mended where a
user would mend it, and run again until it ends. Then it says how many records are lost, are there
twice, or differ from the undisturbed audit's in what was found, and how many files are half-written
or do not fit their hashes. What the audit must have said and its exit code are checked, too. The
exit code is 1 if something is not as it should be. A full disk is a limit on the size of files. For
a device without memory, losses of NaN and the clock, the audit's process replaces what fails.
"""

import argparse
import contextlib
import itertools
import json
import os
import pathlib
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jax_origin as jo
from benchmarks import kills
from benchmarks.throughput import keep
from jax_origin.audit import check_manifest
from jax_origin.audit.part_files import parts_in, read_part
from jax_origin.files import atomic_write
from jax_origin.generators import DCGAN
from jax_origin.inversion import engine
from jax_origin.inversion.program import stage_programs
from jax_origin.runs import CHANGED

_TIMES = ("seconds", "stamp", "examined")  # What a run of its own makes of a record.
_PLUGIN = pathlib.Path(__file__).parents[1] / "tests/images/failing"  # It hangs or crashes.
_HANGS = ("hangs", "exits", "crashes")

COUNTS = ("lost", "twice", "differ", "half-written", "not as their hashes")
"""What is counted after a fault; all are to be 0."""


class Ended(NamedTuple):
    """How a run ended: its exit code, and what it said."""

    code: int | None
    said: str


Fault = Callable[[pathlib.Path, str], Iterator[tuple[str, Ended, int, str]]]
"""Disturbs the audit in a folder's subfolder; gives each run, and what code and words it owes."""


def run(folder: pathlib.Path, out: str, *flags: str, first: Any = None) -> Ended:
    """Runs the audit until it ends."""
    return ended(folder, out, kills.start(folder, out, *flags, first=first))


def ended(folder: pathlib.Path, out: str, process: Any) -> Ended:
    """Waits for a run, and reads what it said."""
    process.join()
    return Ended(process.exitcode, (folder / f"{out}.txt").read_text())


def begun(folder: pathlib.Path, out: str, **options: Any) -> Any:
    """Starts the audit, and waits until it has written a part."""
    process = kills.start(folder, out, **options)
    while process.is_alive() and not kills.on_disk(folder / out):
        time.sleep(0.01)
    return process


def told_to_end(folder: pathlib.Path, out: str) -> Iterator[tuple[str, Ended, int, str]]:
    """SIGTERM."""
    process = begun(folder, out)
    os.kill(process.pid, signal.SIGTERM)
    yield "told to end", ended(folder, out, process), 3, "stopped by SIGTERM"


def full_disk(folder: pathlib.Path, out: str) -> Iterator[tuple[str, Ended, int, str]]:
    """No file can grow: first a part cannot be written, then the findings cannot."""
    for name, size in (("a part", 10_000), ("the findings", 60_000)):
        first = _Limit(size)
        yield name, run(folder, out, first=first), 1, "File too large"


class _Limit:
    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._size, resource.RLIM_INFINITY))


def read_error(folder: pathlib.Path, out: str) -> Iterator[tuple[str, Ended, int, str]]:
    """Reading a file gives EIO; later it does not."""
    path, aside = folder / "images/one/00003.png", folder / "aside.png"
    path.rename(aside)
    path.symlink_to("/proc/self/mem")  # Nothing is there to be read at its beginning.
    try:
        yield "EIO", run(folder, out), 0, "cannot be read (Input/output error)"
    finally:
        aside.replace(path)


def changing_source(folder: pathlib.Path, out: str) -> Iterator[tuple[str, Ended, int, str]]:
    """A file goes, one comes, one is written anew, while the audit is at work; then all is back."""
    *_, late, later = sorted((folder / "images/two").iterdir())
    come, before = later.with_name("zzz.png"), later.read_bytes()
    process = begun(folder, out)
    late.rename(folder / "aside.png")
    with atomic_write(later) as temporary:
        shutil.copyfile(folder / "images/two/00000.png", temporary)
    with atomic_write(come) as temporary:
        shutil.copyfile(folder / "images/one/00000.png", temporary)
    try:
        yield "changed", ended(folder, out, process), 0, ""
    finally:
        (folder / "aside.png").rename(late)
        later.write_bytes(before)
        come.unlink()


def damaged_part(folder: pathlib.Path, out: str) -> Iterator[tuple[str, Ended, int, str]]:
    """Half of a part is something else; its user deletes the part."""
    run(folder, out)
    part, *_ = parts_in(folder / out / "two/parts")
    data = bytearray(part.path.read_bytes())
    quarter = len(data) // 4
    data[quarter:-quarter] = bytes(len(data) - 2 * quarter)
    part.path.write_bytes(data)
    yield "damaged", run(folder, out), 1, f"{part.path.name}: is damaged"
    part.path.unlink()


def damaged_manifest(folder: pathlib.Path, out: str) -> Iterator[tuple[str, Ended, int, str]]:
    """The manifest is cut short, and the settings are."""
    run(folder, out)
    path = folder / out / "manifest.json"
    path.write_bytes(path.read_bytes()[:100])
    yield "the manifest", run(folder, out), 0, "hash over all records"
    path = folder / out / "run.json"
    before = path.read_bytes()
    path.write_bytes(before[:10])
    yield "the settings", run(folder, out), 1, "not the settings of a run"
    path.write_bytes(before)


def out_of_memory(folder: pathlib.Path, out: str) -> Iterator[tuple[str, Ended, int, str]]:
    """The device's memory does not suffice for the blocks in flight."""
    yield "at the fifth step", run(folder, out, first=_short_of_memory), 0, "out of memory on the"


def _short_of_memory() -> None:
    steps = itertools.count()

    def programs(*arguments: Any) -> Any:
        found = stage_programs(*arguments)

        def advance(weights: Any, carry: Any) -> Any:
            if next(steps) == 5:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
            return found.advance(weights, carry)

        return found._replace(advance=advance)

    vars(engine)["stage_programs"] = programs


def no_number(folder: pathlib.Path, out: str) -> Iterator[tuple[str, Ended, int, str]]:
    """The generators give NaN for half of all latents."""
    yield "NaN", run(folder, out, first=_of_nan), 0, "no finite image"


def _of_nan() -> None:
    made = DCGAN.__call__

    def call(self: DCGAN, latents: jax.Array) -> jax.Array:
        return jnp.where(latents[:, :1, None, None] > 0, jnp.nan, made(self, latents))

    DCGAN.__call__ = call  # type: ignore[method-assign]


def failing_decoder(folder: pathlib.Path, out: str) -> Iterator[tuple[str, Ended, int, str]]:
    """Files whose decoder hangs, ends its process, or crashes."""
    (folder / "hostile").mkdir(exist_ok=True)
    for word in _HANGS:
        (folder / f"hostile/{word}.jxl").write_bytes(b"\xff\x0a\x41" + word.encode())
    flags = ["--source=hostile", "--decoders=2", "--decode_seconds=2"]
    found = run(folder, out, *flags, first=_with_plugin)
    for said in ("takes more than 2 s", "crashes (exit code 7)", "crashes (Segmentation fault)"):
        yield said, found, 0, said


def _with_plugin() -> None:
    sys.path.append(str(_PLUGIN))


def clock_goes_back(folder: pathlib.Path, out: str) -> Iterator[tuple[str, Ended, int, str]]:
    """Each look at the clock gives an hour less, and the times of all files go back."""
    process = begun(folder, out, first=_backwards)
    paths = [path for path in (folder / "images").rglob("*") if path.is_file()]
    for path in paths:
        os.utime(path, (0, 0))
    yield "backwards", ended(folder, out, process), 0, ""


def _backwards() -> None:
    now, looks = time.time(), itertools.count(1)
    time.time = lambda: now - 3600 * next(looks)
    time.time_ns = lambda: int(1e9 * time.time())


def two_runs(folder: pathlib.Path, out: str) -> Iterator[tuple[str, Ended, int, str]]:
    """A second run in the folder, from elsewhere."""
    process = begun(folder, out)
    os.kill(process.pid, signal.SIGSTOP)  # So it is still at work when the other one comes.
    (folder / "elsewhere").mkdir()
    for name in ("images", *(f"{n}{suffix}" for n in kills.NAMES for suffix in ("", ".json"))):
        (folder / "elsewhere" / name).symlink_to(folder / name)
    second = run(folder / "elsewhere", "second", f"--out={folder / out}")
    os.kill(process.pid, signal.SIGCONT)
    yield "the second", second, 1, "another run is at work here"
    yield "the first", ended(folder, out, process), 0, ""


FAULTS: dict[str, Fault] = {
    "SIGTERM": told_to_end,
    "full disk": full_disk,
    "read error": read_error,
    "source changes under way": changing_source,
    "damaged part": damaged_part,
    "damaged manifest": damaged_manifest,
    "device out of memory": out_of_memory,
    "NaN losses": no_number,
    "decoder hangs or crashes": failing_decoder,
    "clock goes back": clock_goes_back,
    "two runs in one folder": two_runs,
}


def injected(folder: pathlib.Path, name: str) -> dict[str, Any]:
    """Injects a fault, runs the audit to its end, and compares; faults in words under "wrong"."""
    out, wrong, codes = name.replace(" ", "-"), list[str](), list[int | None]()
    for what, found, code, words in FAULTS[name](folder, out):
        codes.append(found.code)
        told = found.said + _errors(folder / out)
        if found.code != code or words not in told or "Traceback" in told:
            wrong.append(f"{what}: exit code {found.code}, not {code}, or said no {words!r}")
    if name == "decoder hangs or crashes":
        last = run(folder, out, "--source=hostile", "--decoders=2", first=_with_plugin)
    else:
        last = run(folder, out)
    wrong += [] if last.code == 0 else [f"run again: exit code {last.code}"]
    return {
        "exit codes": codes,
        **compared(folder, out, finite=name == "NaN losses"),
        "wrong": wrong,
    }


def _errors(out: pathlib.Path) -> str:
    with contextlib.suppress(Exception):
        return "\n".join(filter(None, (record["error"] for record in jo.audit.open(out))))
    return ""


def compared(folder: pathlib.Path, out: str, *, finite: bool = False) -> dict[str, int]:
    """Counts what differs between an audit and the undisturbed one."""
    whole, again = (_found(folder / name) for name in ("whole", out))
    rows = [
        (row["key"], row["candidate"], row["examined"])
        for name in kills.NAMES
        for part in parts_in(folder / out / name / "parts")
        for row in read_part(part.path, ("key", "candidate", "examined")).to_pylist()
    ]
    lines = (folder / out / "findings.jsonl").read_text().splitlines()
    paths = [json.loads(line)["path"] for line in lines]
    whole_page = (folder / out / "report.html").read_text().rstrip().endswith("</html>")
    shared = whole.keys() & again.keys()
    if finite:  # Other numbers are right here; none may be NaN, and what has none says why.
        differ = sum((again[k]["score"] is None) != (again[k]["error"] is not None) for k in shared)
    else:
        differ = sum(whole[key] != again[key] for key in shared)
    return {
        "records": len(again),
        "lost": len(whole.keys() - again.keys()),
        "twice": len(rows) - len({*rows}) + len(paths) - len({*paths}),
        "differ": differ,
        "half-written": len(kills.half_written(folder / out)) + (not whole_page),
        "not as their hashes": len(check_manifest(folder / out)),
    }


def _found(out: pathlib.Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What was found, by key and candidate, without what another run says of itself."""
    found = {}
    for key, record in kills.records(out).items():
        notes = [note for note in str(record["note"]).split("; ") if note != CHANGED]
        kept = {name: value for name, value in record.items() if name not in _TIMES}
        found[key] = kept | {"note": notes or ["None"]}
    return found


def table(found: dict[str, dict[str, Any]]) -> str:
    """The counts as a Markdown table."""
    heads = ("records", *COUNTS)
    lines = [f"| fault | exit codes | {' | '.join(heads)} |", "| --- " + "| ---: " * 7 + "|"]
    for name, each in found.items():
        codes = ", ".join(map(str, each["exit codes"]))
        lines.append(f"| {name} | {codes} | {' | '.join(f'{each[h]:,}' for h in heads)} |")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=600, help="how many images there are")
    parser.add_argument("--fault", action="append", choices=[*FAULTS], help="only this one")
    parser.add_argument("--folder", help="where to work, and leave all; else it is removed")
    parser.add_argument("--out", help="a file for the counts, JSON; others in it are kept")
    return parser.parse_args()


def main() -> None:
    """Injects the faults, and prints and writes what came of each."""
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(options.folder or name).resolve()
        (folder / "images/others").mkdir(parents=True)
        kills.make(folder, options.images)
        if run(folder, "whole").code:
            sys.exit("the audit failed")
        found = {each: injected(folder, each) for each in options.fault or FAULTS}
    print(table(found))
    wrong = [f"{name}: {line}" for name, each in found.items() for line in each.pop("wrong")]
    for line in wrong:
        print(line)
    for name, each in found.items():
        if options.out:
            keep(options.out, name, {"images": options.images, **each})
    sys.exit(bool(wrong) or any(each[count] for each in found.values() for count in COUNTS))


if __name__ == "__main__":
    main()
