"""How well methods tell each generator's own images from foreign ones: JSON, tables, a picture.

python scripts/evaluate.py --config=configs/evaluate/cifar10.py --data=DIR --out=FILE.json
python scripts/evaluate.py --config=configs/evaluate/paper/steps.py --out=FILE.json

FILE.md holds the tables, FILE.png the picture (pip install matplotlib). Scores, and calibrations
that had to be made, are kept in FILE.json.cache/ as they are made: run again after a kill, the same
command goes on from there. With --cache=DIR several evaluations share what they have in common, one
after the other.
"""

import dataclasses
import importlib
import importlib.util
import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import tqdm
from absl import app, flags
from ml_collections import ConfigDict, config_flags

from jax_origin.audit import RecordError
from jax_origin.calibration import Calibration, CalibrationError
from jax_origin.checkpoints import CheckpointError
from jax_origin.evaluation.benchmark_recovery import limited, start_of
from jax_origin.evaluation.calibration_size import calibration_size_rows
from jax_origin.evaluation.calibrations import MissingCalibration, find_calibration
from jax_origin.evaluation.protocol import (
    Comparison,
    circumstances,
    comparison_scores,
    comparisons,
    evaluate,
)
from jax_origin.evaluation.result_table import result_table
from jax_origin.evaluation.sampling import (
    Images,
    ProtocolError,
    chosen_images,
    generated_images,
)
from jax_origin.files import atomic_write
from jax_origin.generators import GeneratorLike
from jax_origin.images import ImageError, photograph_crops
from jax_origin.inversion import StartTraining
from jax_origin.methods import METHODS, Method, get_method
from jax_origin.runtime import keep_compiled_programs
from jax_origin.zoo import load_generator, zoo_names

_ROOT = pathlib.Path(__file__).parent.parent
_CONFIG = config_flags.DEFINE_config_file("config", None, "What is compared with what.")
_DATA = flags.DEFINE_string("data", ".", "Folder of the sets that the config names.")
_OUT = flags.DEFINE_string("out", None, "The JSON file to write.", required=True)
_CACHE = flags.DEFINE_string(
    "cache", None, "Folder of scores; one that several evaluations share. FILE.json.cache without."
)
_LIMIT = flags.DEFINE_integer("limit", None, "Use only so many images of each group.", 1)
_LIMIT_STEPS = flags.DEFINE_integer(
    "limit_steps", None, "No stage of any method is longer than this: for trying it out.", 1
)
_ERRORS = (CalibrationError, CheckpointError, ImageError, ProtocolError, RecordError)


def main(argv: list[str]) -> None:
    """Reads the flags, evaluates, and prints."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown argument {argv[1]!r}; is a flag's value missing its '='?")
    keep_compiled_programs(_CONFIG.value.cache)
    try:
        run(_CONFIG.value, out=_OUT.value)
    except _ERRORS as error:
        raise SystemExit(f"evaluate: {error}") from None


def run(config: ConfigDict, *, out: str) -> None:
    """Evaluates as the config says, and writes the files."""
    if os.path.isdir(out):
        raise ProtocolError(f"{out} is a folder: --out names the JSON file to write")
    cache, seed = _CACHE.value or f"{out}.cache", config.seed
    generators, inspected = _generators(config)
    methods = _methods(config)
    reference = _reference(config, generators, methods)
    sets = dict(_sets(config, [generators[name].image_shape for name in inspected]))
    generated = generated_images(generators, config.num_images, seed=seed)
    own = {name: generators[name] for name in inspected}
    compared = comparisons(
        generators,
        {
            (name, method.name): _calibration(config, generators, name, method, reference, cache)
            for name in inspected
            for method in methods
        },
        generated=generated,
        sets=sets,
        limit=_LIMIT.value,
        edits=config.edits,
        others=config.others,
        belonging=generated_images(own, config.num_belonging or config.num_images, seed=seed),
        reference=reference,
    )
    evaluations = sum(comparison.evaluations for comparison in compared)
    with tqdm.tqdm(total=evaluations, unit="evaluation", unit_scale=True) as bar:
        result = evaluate(compared, cache=cache, seed=seed, progress=bar.update)
    if config.calibration_sizes:
        result["sizes"] = [
            row for comparison in compared for row in _size_rows(config, comparison, cache)
        ]
    settings = {**config.to_dict(), "methods": [method.name for method in methods]}
    written = {
        "seed": seed,
        "limit": _LIMIT.value,
        "limit_steps": _LIMIT_STEPS.value,
        "config": settings,
        **circumstances(compared),
        **result,
    }
    _write(out, f"{json.dumps(written, indent=1, allow_nan=False)}\n")
    stem = os.path.splitext(out)[0]
    drawn = _draw(written, f"{stem}.png")
    tables = result_table(result)
    picture = [f"![The same as a picture]({os.path.basename(stem)}.png)"] if drawn else []
    _write(f"{stem}.md", "\n\n".join([f"# {config.title}", tables, *picture]) + "\n")
    print(f"\n{tables}\n\nwrote {out}, {stem}.md{f', {stem}.png' if drawn else ''}")


def _generators(config: ConfigDict) -> tuple[dict[str, GeneratorLike], list[str]]:
    """All generators by name, and the names of those that are inspected."""
    generators: dict[str, GeneratorLike] = {}
    for entry in config.generators:
        options = dict(entry)
        try:
            name, source = options.pop("name"), options.pop("source")
            generators[name] = load_generator(source, **options)
        except (KeyError, TypeError):
            raise ProtocolError(
                f"config.generators: {entry!r} must hold name and source, and may hold kind and "
                "config"
            ) from None
    own = list(generators)
    for name in zoo_names():
        if name in generators:
            raise ProtocolError(f"config.generators: {name!r} is a name of the zoo: choose another")
        generators[name] = load_generator(name)
    inspected = list(config.inspected or own or zoo_names("origin"))
    if not inspected:
        raise ProtocolError("the zoo has no calibrated generators: config.inspected names them")
    for name in inspected:
        if name not in generators:
            generators[name] = load_generator(name)
    return generators, inspected


def _methods(config: ConfigDict) -> list[Method]:
    try:
        methods = [get_method(method) for method in config.methods]
    except ValueError as error:
        raise ProtocolError(f"config.methods: {error}") from None
    if not methods:
        raise ProtocolError("no methods to evaluate: --config.methods=\"('origin',)\"")
    if len({method.name for method in methods}) < len(methods):
        raise ProtocolError("config.methods: two methods have one name")
    return [
        dataclasses.replace(method, inversion=limited(method.inversion, _LIMIT_STEPS.value))
        for method in methods
    ]


def _reference(
    config: ConfigDict, generators: dict[str, GeneratorLike], methods: list[Method]
) -> GeneratorLike | None:
    if all(method.score != "reference_ratio" for method in methods):
        return None
    if config.reference not in generators:
        raise ProtocolError(
            f"config.reference={config.reference!r}: choose from {', '.join(generators)}"
        )
    return generators[config.reference]


def _calibration(
    config: ConfigDict,
    generators: dict[str, GeneratorLike],
    name: str,
    method: Method,
    reference: GeneratorLike | None,
    folder: str,
) -> Calibration:
    """The calibration that is there; one that is made here where there is none."""
    found = find_calibration(name, method, pattern=config.calibrations)
    if found is not None:
        return found
    learned = None
    if method.inversion.start == "learned":
        training = StartTraining()
        words = f"learned start, {name}"
        with tqdm.tqdm(total=training.steps, desc=words, unit="step", leave=False) as bar:
            learned = start_of(
                generators[name],
                find_calibration(name, METHODS["origin"]),  # The zoo's own brings one.
                training=training,
                cache=config.cache or None,
                progress=bar.update,
            )
    held_out = {*zoo_names()} - {name, *zoo_names("origin")}  # As scripts/calibrate.py has it.
    missing = MissingCalibration(
        inspected=name,
        method=method,
        generators={n: g for n, g in generators.items() if n not in held_out},
        num=config.num_calibration,
        seed=config.seed,
        reference=reference if method.score == "reference_ratio" else None,
        learned=learned,
    )
    words = f"calibration, {name}, {method.name}"
    with tqdm.tqdm(total=missing.evaluations, desc=words, unit_scale=True) as bar:
        return missing.make(folder, progress=bar.update)


def _sets(config: ConfigDict, shapes: list[tuple[int, ...]]) -> Iterator[tuple[str, Images]]:
    num, seed = config.num_images, config.seed
    for name, file in config.sets.items():
        if file:
            path = os.path.join(_DATA.value, file)
            yield name, chosen_images(path, num, name=name, seed=seed)
    sizes = {(shape[0], shape[1]) for shape in shapes if shape[2] == 3}
    for size in sorted(sizes) if config.photographs else []:
        crops, _ = photograph_crops(num, size, seed=seed, part="demonstration")
        yield "photographs" if len(sizes) == 1 else f"photographs, {size[0]}x{size[1]}", crops


def _size_rows(config: ConfigDict, comparison: Comparison, cache: str) -> Iterator[dict[str, Any]]:
    scores = comparison_scores(comparison, cache=cache, seed=config.seed)
    for row in calibration_size_rows(
        scores[comparison.inspected].score,
        {group: scores[group].score for group in comparison.foreign},
        nums=config.calibration_sizes,
        alphas=config.alphas,
        floor=comparison.method.floor,
        seed=config.seed,
    ):
        yield {"inspected": comparison.inspected, "method": comparison.method.name, **row}


def _draw(result: dict[str, Any], path: str) -> bool:
    if importlib.util.find_spec("matplotlib") is None:
        print(f"left out: {path}: matplotlib is not installed (pip install matplotlib)")
        return False
    importlib.import_module("benchmarks.evaluation_picture").draw_evaluation(result, path)
    return True


def _write(path: str, text: str) -> None:
    with atomic_write(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        file.write(text)


if __name__ == "__main__":
    sys.path.insert(0, str(_ROOT))  # benchmarks/ lies beside the package, and is no part of it.
    flags.mark_flag_as_required("config")
    app.run(main)
