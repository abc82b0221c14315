"""Findings and page of an audit with millions of records, made by repeating real ones.

python -m benchmarks.large_report --images=5000000 --out=benchmarks/results/many.json

A real audit of 2,000 images under two candidates runs (that of `benchmarks.kills`). Its records
are repeated under other keys, places and hashes of files until there are enough, in parts of the
same kind and size. Another process then opens that audit, decides, and writes findings.jsonl,
findings.md and report.html, as the command does; it says what each took, and how much memory it
had at the most. Chromium opens the page, if it and Playwright are here. Ten million records take
6 GB of the disk.
"""

import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute

import jax_origin as jo
from benchmarks import kills
from benchmarks.throughput import keep
from jax_origin.audit import finish_manifest
from jax_origin.audit.part_files import Part, part_name, write_table

_REAL = 2000
_ROWS = 4096  # Of a part, as in a real audit.


def repeated(table: Any, times: int) -> Iterator[Any]:
    """Tables of a part's size, which hold the records so often, each as another image's."""
    held: list[Any] = []
    waiting = 0
    for turn in range(times):
        keys = [f"{turn:06}/{key}" for key in table["key"].to_pylist()]
        files = table["sha256"].to_pylist()
        if turn:  # The first have reconstructions, which are found by the hash.
            files = [f and hashlib.sha256(f"{turn}{f}".encode()).hexdigest() for f in files]
        places = pyarrow.compute.add(table["place"], turn * table.num_rows)
        another = table
        for name, values in (("key", keys), ("sha256", files), ("place", places)):
            at = table.schema.get_field_index(name)
            field = table.schema.field(name)
            column = values if name == "place" else pa.array(values, field.type)
            another = another.set_column(at, field, column)
        held.append(another)
        waiting += table.num_rows
        while waiting >= _ROWS or (turn == times - 1 and waiting):
            whole = pa.concat_tables(held)
            yield whole.slice(0, _ROWS)
            held, waiting = [whole.slice(_ROWS)], max(0, waiting - _ROWS)


def enlarge(real: pathlib.Path, out: pathlib.Path, times: int) -> None:
    """Makes an audit whose records are those of a real one, so often."""
    shutil.copytree(real, out, ignore=shutil.ignore_patterns("parts", "findings*", "report*"))
    audit = jo.audit.open(real)
    for name in audit.candidates:
        parts, previous = out / name / "parts", ""
        table = audit.records(name).table()
        plain = pa.schema([(f.name, _plain(f.type)) for f in table.schema])
        for number, some in enumerate(repeated(table.cast(plain), times)):
            part = Part(parts / part_name(0, number), 0, number)
            note = {"previous": previous, "lost": [], "made_with": {}}
            previous = write_table(part, some, note)
    finish_manifest(out, images=times * _REAL)


def _plain(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def report(folder: pathlib.Path, name: str) -> dict[str, Any]:
    """Decides, and writes all that the command writes of an audit's records; in a new process."""
    from jax_origin.audit import findings_report, findings_table, open_candidates, write_findings
    from jax_origin.pages import audit_page, write_page
    from jax_origin.sources import open_sources, reader

    os.chdir(folder)
    out, took, memory = pathlib.Path(name), dict[str, float](), dict[str, int]()

    @contextlib.contextmanager
    def timed(what: str) -> Iterator[None]:
        began = time.process_time()
        yield
        took[what] = round(time.process_time() - began, 1)
        memory[what] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    candidates = open_candidates([f"{each}={each}.json" for each in kills.NAMES])
    read = reader(open_sources(["images"]))
    with timed("findings"):
        findings = jo.audit.open(out).findings()
    with timed("findings.jsonl"):
        write_findings(out / "findings.jsonl", findings)
    with timed("findings.md"):
        (out / "findings.md").write_text(findings_report(findings, candidates))
    with timed("report.html"):
        real = lambda key: read(key.partition("/")[2])  # noqa: E731
        write_page(out / "report.html", audit_page(findings, candidates, out, read=real))
    with timed("table"):
        findings_table(findings)
    return {
        "images": len(findings.paths),
        "records": len(findings.paths) * len(candidates),
        "named": sum(case is not None and case.verdict == "named" for case in findings.naming),
        "seconds of one core": took,
        "seconds of one core, in all": round(sum(took.values()), 1),
        "memory at the most until then, MiB": memory,
        "memory at the most, MiB": max(memory.values()),
        "page, MB": round((out / "report.html").stat().st_size / 1e6, 2),
    }


def opened(page: pathlib.Path) -> dict[str, Any]:
    """How long Chromium takes until the page is there and its gallery sorted; {} without it."""
    where = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    if where is None:
        return {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=where, args=["--no-sandbox"])
        tab, faults = browser.new_page(), list[str]()
        tab.on("console", lambda message: faults.append(message.text))
        began = time.monotonic()
        tab.goto(page.as_uri())
        tab.wait_for_function("document.getElementById('shown').textContent")
        took = round(time.monotonic() - began, 2)
        shown = tab.locator("#shown").inner_text()
        browser.close()
    return {"seconds to open": took, "gallery": shown, "console": faults}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5_000_000, help="how many images there are")
    parser.add_argument("--folder", help="where to work, and leave all; else it is removed")
    parser.add_argument("--report", help=argparse.SUPPRESS)  # What the other process does.
    parser.add_argument("--out", help="a file for the figures, JSON; others in it are kept")
    return parser.parse_args()


def main() -> None:
    """Makes the records, has them reported, and writes the figures."""
    options = _options()
    if options.report:
        print(json.dumps(report(pathlib.Path(options.folder), options.report)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(options.folder or name).resolve()
        if not (folder / "real/report.html").exists():
            (folder / "images/others").mkdir(parents=True, exist_ok=True)
            kills.make(folder, _REAL)
            run = kills.start(folder, "real")
            run.join()
            if run.exitcode:
                sys.exit("the audit failed")
        large = f"large-{options.images}"
        if not (folder / large).exists():
            enlarge(folder / "real", folder / large, options.images // _REAL)
        command = [sys.executable, "-m", "benchmarks.large_report", f"--report={large}"]
        said = subprocess.run([*command, f"--folder={folder}"], check=True, stdout=subprocess.PIPE)
        found = {**json.loads(said.stdout.splitlines()[-1]), "in a browser": {}}
        found["in a browser"] = opened(folder / large / "report.html")
    print(json.dumps(found, indent=2))
    if options.out:
        keep(options.out, f"report of {found['records']} records", found)


if __name__ == "__main__":
    main()
