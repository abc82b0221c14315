"""One audit of very many small images, broken ones among them: memory, speed, what was waited for.

python -m benchmarks.throughput --images=100000 --broken=1000 --out=benchmarks/results/many.json

A tiny generator is calibrated with a cheap method. Images of its own, images of noise and broken
files of six kinds are written to folders, no two alike. The command `jax-origin audit` runs over
them in a process of its own. Every two seconds this one asks how much memory it and its decoders
have. Then the records are counted: each file has one, each broken one says why.
`--first=tar` (or parquet) makes a source of a million entries instead, and measures how long it
takes from the start of the command to the first verdict that is on disk; then it ends the command.
"""

import argparse
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from flax import nnx

import jax_origin as jo
from jax_origin.files import atomic_write
from jax_origin.generators import DCGAN, save_generator
from jax_origin.images.arrays import to_pillow
from jax_origin.workflow import belonging_images

_PLACES = 100  # Folders among which the images lie.
_EVERY = 2.0  # Seconds between two looks at the memory.
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
_STARVED = re.compile(r"(\d+)% of the time spent on waiting for images; (.*)")


def candidate(folder: pathlib.Path, steps: int) -> None:
    """Writes a tiny candidate called one, and its calibration by so many steps of Adam."""
    rng = np.random.default_rng(0)
    model = DCGAN(image_size=8, latent_dim=6, width=4, rngs=nnx.Rngs(0))
    model.output.kernel[...] *= 20
    save_generator(folder / "one", model, card={"name": "one"})
    start = jo.starts.Scaled((0.5,))
    calibration = jo.calibrate(
        jo.load_generator(folder / "one"),
        method=jo.Method("cheap", jo.Recipe(start=start, stages=(jo.Stage(steps=steps),))),
        num_belonging=99,
        foreign={"noise": rng.integers(0, 256, (99, 8, 8, 3), np.uint8)},
        conditions=(),
        key=jax.random.key(0),
    )
    calibration.save(folder / "one.json")


def pictures(folder: pathlib.Path, num: int) -> Iterator[bytes]:
    """So many PNG files of 8x8 pixels, half of the candidate's own and half of noise."""
    rng, generator = np.random.default_rng(1), jo.load_generator(folder / "one")
    for batch in range(0, num, 2000):
        own = belonging_images(generator, 1000, key=jax.random.key(batch))
        noise = rng.integers(0, 256, own.shape, np.uint8)
        both = np.stack([own, noise], 1).reshape(-1, *own.shape[1:])
        for pixels in both[: num - batch]:
            held = io.BytesIO()
            to_pillow(pixels).save(held, "PNG")
            yield held.getvalue()


def broken(data: bytes, kind: int) -> bytes:
    """A file that cannot be read, made of one that can; six kinds, no two files alike."""
    at = len(data) // 2
    return (
        data[:at],  # cut off
        data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :],  # one byte is another
        data[8:],  # without its signature
        b"\xff\xd8\xff\xe0" + data,  # begins like a JPEG
        data[:16] + b"\x7f\xff\xff\xff" * 2 + data[24:],  # says that it is enormous
        b"no image: " + data.hex().encode(),  # text
    )[kind % 6]


def write_images(folder: pathlib.Path, num: int, num_broken: int) -> None:
    """Writes the images, broken ones evenly among them."""
    for place in range(_PLACES):
        (folder / f"images/{place:03}").mkdir(parents=True)
    every = num // num_broken if num_broken else num + 1
    for i, data in enumerate(pictures(folder, num)):
        bad = i % every == every // 2 and i // every < num_broken
        path = folder / f"images/{i * _PLACES // num:03}/{i:07}{'-broken' * bad}.png"
        path.write_bytes(broken(data, i // every) if bad else data)


def write_source(folder: pathlib.Path, kind: str, num: int) -> pathlib.Path:
    """Writes a tar archive or Parquet file of so many entries, of which some are equal."""
    some = list(pictures(folder, 2000))
    path = folder / f"many.{kind}"
    if kind == "tar":
        with tarfile.open(path, "w") as archive:
            for i in range(num):
                member = tarfile.TarInfo(f"{i:07}.png")
                member.size = len(some[i % len(some)])
                archive.addfile(member, io.BytesIO(some[i % len(some)]))
                archive.members.clear()  # type: ignore[attr-defined]  # It would keep all.
        return path
    schema = pa.schema([("image", pa.binary())])
    with pq.ParquetWriter(path, schema) as writer:
        table = pa.table({"image": some}, schema=schema)
        for _ in range(0, num, len(some)):
            writer.write_table(table, row_group_size=1000)
    return path


def start(folder: pathlib.Path, out: str, source: str, *flags: str) -> subprocess.Popen[bytes]:
    """Starts the audit in a process of its own."""
    command = [sys.executable, "-m", "jax_origin", "audit", f"--source={source}", f"--out={out}"]
    command += ["--candidate=one=one.json", "--config.cache=cache", *flags]
    root = pathlib.Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    said = open(folder / f"{out}.txt", "w")
    with said:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)


class Look(NamedTuple):
    """What a process and those which it started have come to.

    Attributes:
      memory: MiB, shared pages shared out among them.
      own: Seconds of a core that the process itself took.
      others: And those which it started.
    """

    memory: float
    own: float
    others: float


def looked_at(process: int) -> Look:
    """Looks at a process, and at those which it started."""
    total, seconds = 0.0, {True: 0.0, False: 0.0}
    waiting = [process]
    while waiting:
        each = waiting.pop()
        try:
            spent = pathlib.Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            seconds[each == process] += sum(map(int, spent[11:13])) / os.sysconf("SC_CLK_TCK")
            rollup = pathlib.Path(f"/proc/{each}/smaps_rollup").read_text()
            children = pathlib.Path(f"/proc/{each}/task/{each}/children").read_text()
        except OSError:  # It has ended.
            continue
        total += sum(map(int, _PSS.findall(rollup))) / 1024
        for task in pathlib.Path(f"/proc/{each}/task").glob("*/children"):
            try:
                children += f" {task.read_text()}"
            except OSError:
                continue
        waiting += {int(child) for child in children.split()}
    return Look(total, seconds[True], seconds[False])


def watched(run: subprocess.Popen[bytes]) -> list[Look]:
    """What a run had come to at every look until it ended."""
    seen = []
    while run.poll() is None:
        seen.append(looked_at(run.pid))
        time.sleep(_EVERY)
    return seen


def many_images(folder: pathlib.Path, num: int, num_broken: int, steps: int) -> dict[str, object]:
    """Runs the audit over a folder, and counts."""
    candidate(folder, steps)
    write_images(folder, num, num_broken)
    began = time.monotonic()
    run = start(folder, "audit", "images")
    looks = watched(run)
    took = time.monotonic() - began
    said = (folder / "audit.txt").read_text()
    found = _STARVED.search(said)
    if run.returncode or not found:
        sys.exit(f"the audit failed\n{said[-2000:]}")
    phases = {name: float(value) for name, value in re.findall(r"(\w+) ([\d.]+) s", found[2])}
    records = Counter[str]()
    for record in jo.audit.open(folder / "audit"):
        kind = "broken" if "-broken" in record["key"] else "whole"
        records[f"{kind} ones {'with' if record['error'] else 'without'} an error"] += 1
    seen = [look.memory for look in looks]
    tenth = max(1, len(seen) // 10)
    own, others = (max(getattr(look, of) for look in looks) for of in ("own", "others"))
    working = sum(phases.values())
    return {
        "images": num,
        "broken": num_broken,
        **dict(sorted(records.items())),
        "images a second, from start to end": round(num / took, 1),
        "images a second, while inverting": round(num / working, 1),
        "share of the time spent on waiting for images": round(phases["images"] / working, 4),
        "seconds by phase": phases,
        "milliseconds of a core for an image, the process": round(1000 * own / num, 2),
        "milliseconds of a core for an image, decoders": round(1000 * others / num, 2),
        "memory, MiB": {
            "highest": round(max(seen)),
            "highest of the second tenth": round(max(seen[tenth : 2 * tenth] or seen)),
            "highest of the ninth tenth": round(max(seen[-2 * tenth : -tenth] or seen)),
        },
    }


def first_verdict(folder: pathlib.Path, kind: str, num: int, steps: int) -> dict[str, object]:
    """Starts an audit of a large source twice, without and with compiled programs kept."""
    candidate(folder, steps)
    path = write_source(folder, kind, num)
    found: dict[str, object] = {"entries": num}
    for out in ("cold", "warm"):
        shutil.rmtree(folder / out, ignore_errors=True)
        began = time.monotonic()
        run = start(folder, out, path.name, "--part_seconds=0.1")
        while not list((folder / out).glob("one/parts/part-*.parquet")):
            if run.poll() is not None:
                sys.exit(f"the audit failed\n{(folder / f'{out}.txt').read_text()[-2000:]}")
            time.sleep(0.05)
        found[f"seconds to the first verdict, {out}"] = round(time.monotonic() - began, 1)
        look = looked_at(run.pid)
        found[f"seconds of a core by then, {out}"] = round(look.own + look.others, 1)
        found[f"memory by then, MiB, {out}"] = round(look.memory)
        run.send_signal(signal.SIGTERM)
        run.wait()
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000, help="how many images there are")
    parser.add_argument("--broken", type=int, default=1000, help="how many of them are broken")
    parser.add_argument("--steps", type=int, default=40, help="steps of the method")
    parser.add_argument("--first", choices=["tar", "parquet"], help="the first verdict of a source")
    parser.add_argument("--folder", help="where to work, and leave all; else it is removed")
    parser.add_argument("--out", help="a file for the figures, JSON; others in it are kept")
    return parser.parse_args()


def main() -> None:
    """Measures, prints and writes the figures."""
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(options.folder or name)
        folder.mkdir(parents=True, exist_ok=True)
        if options.first:
            found = first_verdict(folder, options.first, options.images, options.steps)
        else:
            found = many_images(folder, options.images, options.broken, options.steps)
    print(json.dumps(found, indent=2))
    if options.out:
        keep(options.out, f"first verdict, {options.first}" if options.first else "run", found)


def keep(path: str, what: str, found: Mapping[str, object]) -> None:
    """Writes figures into a file of JSON, beside others that are there."""
    before = json.loads(pathlib.Path(path).read_text()) if os.path.exists(path) else {}
    with atomic_write(path) as temporary:
        text = json.dumps({**before, what: found}, indent=2)
        pathlib.Path(temporary).write_text(text + "\n")


if __name__ == "__main__":
    main()
