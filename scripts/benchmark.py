"""How fast jax_origin is, and against what: ratios taken in one run, with both raw figures.

python scripts/benchmark.py --suite=cpu --out=FILE.json           8 minutes on 2 idle cores
python scripts/benchmark.py --suite=peers --out=FILE.json         the published recipe in full
python scripts/benchmark.py --suite=latent --out=FILE.json        LatentTracer's on autoencoders
python scripts/benchmark.py --suite=recovery --out=FILE.json      recipes side by side; a picture
python scripts/benchmark.py --suite=accelerator --out=FILE.json   with the share of matmul's peak

The file is written anew after each row; benchmarks/README.md says how to read it.
"""

import importlib
import json
import os
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
from absl import app, flags
from ml_collections import config_flags

# benchmarks/ lies beside the package, and is no part of it.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks.peers import Peer
from benchmarks.recovery import mark_choice, recovery_table
from benchmarks.subjects import BenchmarkError, Row, measured_on, row_line
from benchmarks.suites import (
    chosen_recipes,
    latent_suite,
    peers_suite,
    recovery_suite,
    timing_suite,
)
from jax_origin.calibration import CalibrationError
from jax_origin.checkpoints import CheckpointError
from jax_origin.cli.command import command
from jax_origin.files import atomic_write
from jax_origin.generators import GeneratorLike, generator_name
from jax_origin.images import ImageError
from jax_origin.parts import installing
from jax_origin.runtime import keep_compiled_programs
from jax_origin.zoo import load_generator, zoo_names

_ROOT = pathlib.Path(__file__).parent.parent
_CONFIG = config_flags.DEFINE_config_file(
    "config", str(_ROOT / "configs/benchmark/recovery.py"), "What --suite=recovery tries."
)
_SUITES = ["cpu", "recovery", "peers", "latent", "accelerator"]
_SUITE = flags.DEFINE_enum("suite", "cpu", _SUITES, "What is measured.")
_OUT = flags.DEFINE_string("out", None, "The JSON file to write.", required=True)
_DATA = flags.DEFINE_string(
    "data", None, "Folder or npz of photographs; without it, crops of scikit-image's."
)
_GENERATORS = flags.DEFINE_list(
    "generators", None, "Zoo names or directories; without it, the zoo's that suit it."
)
_CALIBRATIONS = flags.DEFINE_string(
    "calibrations", None, "Path with {name} in it; without it, those that the zoo ships."
)
_LIMIT = flags.DEFINE_integer(
    "limit", None, "No more images, steps or repeats than this anywhere: for trying it out.", 1
)
# The module that makes a suite's peer, and the rows that need it.
_PEERS = {"latent": ("benchmarks.torch_autoencoders", "vs_latent_tracer, vs_batched_latent_tracer")}
_PUBLISHED = (
    "benchmarks.torch_recipes",
    "vs_ronan_recipe, vs_batched_torch, learned_start_pays_after",
)


@command("benchmark", BenchmarkError, CalibrationError, CheckpointError, ImageError)
def main() -> None:
    """Reads the flags, measures, and prints."""
    run(_SUITE.value, out=_OUT.value, limit=_LIMIT.value)


def run(suite: str, *, out: str, limit: int | None) -> None:
    """Measures a suite, and writes the JSON file after each row."""
    if os.path.isdir(out):
        raise BenchmarkError(f"{out} is a folder: --out names the JSON file to write")
    if suite == "accelerator" and jax.default_backend() == "cpu" and limit is None:
        raise BenchmarkError("JAX finds no accelerator here: --suite=cpu is for this machine")
    if suite == "recovery":
        keep_compiled_programs(_CONFIG.value.cache)
    else:  # Programs read back from disk would pass for compiled ones.
        jax.config.update("jax_enable_compilation_cache", False)
    method = "origin-latent" if suite == "latent" else "origin"
    loaded = [load_generator(name) for name in _GENERATORS.value or zoo_names(calibrated=method)]
    generators = {generator_name(generator): generator for generator in loaded}
    began = time.perf_counter()
    rows: list[Row] = []
    left_out: list[str] = []
    result = {"suite": suite, "limit": limit, **measured_on(), "rows": rows, "left_out": left_out}
    result["versions"]["torch"] = getattr(_optional("torch"), "__version__", None)
    for row in _rows(suite, generators, limit, left_out):
        rows.append(row)
        print(row_line(row), flush=True)
        _write(out, result)
    if suite == "recovery" and rows:
        result["rows"] = mark_choice(rows)
        print(f"\n{recovery_table(result['rows'])}\n")
        _draw(result["rows"], f"{os.path.splitext(out)[0]}.png", left_out)
    _write(out, {**result, "seconds": time.perf_counter() - began})
    for line in left_out:
        print(f"left out: {line}")
    print(f"wrote {out}: {len(rows)} rows in {time.perf_counter() - began:.0f} s")


def _rows(
    suite: str, generators: dict[str, GeneratorLike], limit: int | None, left_out: list[str]
) -> Iterator[Row]:
    module, rows = _PEERS.get(suite, _PUBLISHED)

    def make_peer(generator: GeneratorLike) -> Peer | None:
        reason = "PyTorch is not installed (pip install torch)"
        if _optional("torch") is not None:
            try:
                return importlib.import_module(module).make_peer(generator)
            except TypeError as error:
                reason = str(error)
        left_out.append(f"{generator_name(generator)}: {rows}: {reason}")
        return None

    common: dict[str, Any] = {
        "calibrations": _CALIBRATIONS.value,
        "photographs": _DATA.value,
        "limit": limit,
    }
    if suite == "recovery":
        config = _CONFIG.value.to_dict()
        recipes = chosen_recipes(config.pop("recipes"), config.pop("only"))
        return recovery_suite(generators, recipes, **config, **common)
    if suite in (several := {"peers": peers_suite, "latent": latent_suite}):
        return several[suite](generators, make_peer, **common)
    return timing_suite(generators, make_peer, accelerator=suite == "accelerator", **common)


def _draw(rows: list[Row], path: str, left_out: list[str]) -> None:
    if _optional("matplotlib") is None:
        left_out.append(f"{path}: Matplotlib is not installed ({installing('plots')})")
        return
    figures = importlib.import_module("jax_origin.figures")  # It needs Matplotlib.
    with figures.styled():
        figures.write_figure(figures.draw_cost(rows).figure, path)
    print(f"wrote {path}")


def _optional(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        return None


def _write(out: str, result: dict[str, Any]) -> None:
    with atomic_write(out) as temporary, open(temporary, "w", encoding="ascii") as file:
        json.dump(result, file, indent=1, allow_nan=False)
        file.write("\n")


if __name__ == "__main__":
    app.run(main)
