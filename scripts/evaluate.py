"""How well methods tell each generator's own images from foreign ones: JSON, tables, a picture.

python scripts/evaluate.py --config=configs/evaluate/cifar10.py --data=DIR --out=FILE.json
python scripts/evaluate.py --config=configs/evaluate/paper/steps.py --out=FILE.json
python scripts/evaluate.py --config=configs/evaluate/attacks.py --out=FILE.json

FILE.md holds the tables, FILE.png the picture (the extra `plots`). Scores, and calibrations
that had to be made, are kept in FILE.json.cache/ as they are made. So the same command goes on
from there, run again after a kill. With --cache=DIR several evaluations share what they have in
common, one after the other.

attacks.py, maps.py, near_models.py and readings.py are studies of another kind. They write
FILE.json and FILE.md alone, keep no scores (no --cache), and begin anew after a kill.
"""

import importlib
import importlib.util
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from absl import app, flags
from ml_collections import ConfigDict, config_flags
from numpy.typing import NDArray

# benchmarks/ lies beside the package, and is no part of it.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks.calibration_size import calibration_size_rows
from benchmarks.chosen import (
    chosen_generators,
    chosen_methods,
    chosen_reference,
    chosen_sets,
)
from benchmarks.circumstances import circumstances
from benchmarks.found_calibrations import MissingCalibration, find_calibration
from benchmarks.fresh_sources import fresh_rows, view_rows
from benchmarks.protocol import (
    Comparison,
    comparison_scores,
    comparisons,
    evaluate,
    foreign_generators,
)
from benchmarks.ratio_costs import ratio_cost_rows
from benchmarks.recovery import start_of
from benchmarks.result_table import result_table
from benchmarks.sampling import ProtocolError, chosen_images, generated_images
from jax_origin.calibration import Calibration, CalibrationError
from jax_origin.checkpoints import CheckpointError
from jax_origin.cli.command import command
from jax_origin.files import atomic_write
from jax_origin.generators import GeneratorLike
from jax_origin.images import ImageError
from jax_origin.inversion import Progress, Run, StartEncoder, StartTraining, progress_bar
from jax_origin.parts import installing
from jax_origin.runs.record import RecordError
from jax_origin.runtime import keep_compiled_programs
from jax_origin.workflow import ForeignImages, Method, get_method
from jax_origin.zoo import MadeImages, has_prior, standard_names, zoo_names

_STUDIES = ("attacks", "maps", "near_models", "readings")
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


@command("evaluate", CalibrationError, CheckpointError, ImageError, ProtocolError, RecordError)
def main() -> None:
    """Reads the flags, evaluates, and prints."""
    keep_compiled_programs(_CONFIG.value.cache)
    run(_CONFIG.value, out=_OUT.value)


def run(config: ConfigDict, *, out: str) -> None:
    """Evaluates as the config says, and writes the files."""
    if os.path.isdir(out):
        raise ProtocolError(f"{out} is a folder: --out names the JSON file to write")
    if config.get("study"):
        return _study(config, out)
    if config.source_splits and config.photographs:
        raise ProtocolError(
            "config.photographs: crops of few photographs are not independent; config.sets names "
            "images that are, and config.source_splits=0 leaves counts of sources out"
        )
    if config.calibrations and _LIMIT_STEPS.value is not None:
        raise ProtocolError(
            "--limit_steps changes the methods, and config.calibrations names calibrations of the "
            "whole ones: leave one of them out"
        )
    cache, seed = _CACHE.value or f"{out}.cache", config.seed
    generators, inspected = chosen_generators(config, data=_DATA.value)
    methods = {
        name: chosen_methods(config, generators[name], limit_steps=_LIMIT_STEPS.value)
        for name in inspected
    }
    every_method = {method.name: method for some in methods.values() for method in some}
    reference = chosen_reference(config, generators, [*every_method.values()])
    shapes = [generators[name].image_shape for name in inspected]
    sets = dict(chosen_sets(config, shapes, data=_DATA.value))
    wanted = {
        other: generators[other]
        for name in inspected
        for other in foreign_generators(generators, name, others=config.others)
    }
    own = {name: generators[name] for name in inspected}
    num_own = config.num_belonging or config.num_images
    for name, made in own.items():
        if not (has_prior(made) or config.reencoded.tests):
            raise ProtocolError(
                f"{name!r} has no prior to draw images from: config.reencoded names photographs"
            )
    generated = generated_images(
        wanted, config.num_images, seed=seed, photographs=_photographs(config, config.num_images)
    )
    belonging = generated_images(own, num_own, seed=seed, photographs=_photographs(config, num_own))
    compared = comparisons(
        generators,
        {
            (name, method.name): _calibration(config, generators, name, method, reference, cache)
            for name in inspected
            for method in methods[name]
        },
        generated=generated,
        sets=sets,
        limit=_LIMIT.value,
        edits=config.edits,
        others=config.others,
        belonging=belonging,
        reference=reference,
    )
    with progress_bar() as bar:
        result = evaluate(compared, cache=cache, seed=seed, run=Run(progress=bar))
    parts = ["sizes"] if config.calibration_sizes else []
    parts += ["fresh", "views", "ratio_costs"] if config.source_splits else []
    for part in parts:
        result[part] = [row for each in compared for row in _rows(part, config, each, cache)]
    settings = {**config.to_dict(), "methods": [*every_method]}
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


def _photographs(
    config: ConfigDict, num: int
) -> Callable[[str, GeneratorLike], NDArray[np.uint8]] | None:
    """Gives what a generator without a prior makes its test images of, if that is said."""
    if not config.reencoded.tests:
        return None
    path = os.path.join(_DATA.value, config.reencoded.tests)

    def chosen(name: str, generator: GeneratorLike) -> NDArray[np.uint8]:
        height, width, _ = generator.image_shape
        own = f"photographs of {name}"
        where: dict[str, Any] = {"size": (height, width), "setting": "config.reencoded.tests"}
        return chosen_images(path, num, name=own, seed=config.seed, **where)

    return chosen


def _for_calibrations(
    config: ConfigDict, generator: GeneratorLike, num: int
) -> tuple[MadeImages | None, dict[str, ForeignImages]]:
    """What images of generators without a prior are made of, and sets, for calibrations."""
    height, width, _ = generator.image_shape

    def chosen(name: str, file: str, num: int, setting: str) -> NDArray[np.uint8]:
        path = os.path.join(_DATA.value, file)
        where: dict[str, Any] = {"size": (height, width), "setting": setting}
        return chosen_images(path, num, name=f"calibration, {name}", seed=config.seed, **where)

    sets = {
        name: ForeignImages(chosen(name, file, num, f'config.calibration_sets["{name}"]'))
        for name, file in config.calibration_sets.items()
    }
    if has_prior(generator) or not (file := config.reencoded.calibrations):
        return None, sets
    photographs = chosen("photographs", file, 2 * num, "config.reencoded.calibrations")
    return MadeImages(photographs, range(len(photographs))), sets


def _study(config: ConfigDict, out: str) -> None:
    """Runs a study that compares no methods: a module of benchmarks/ has `study` and `table`."""
    if config.study not in _STUDIES:
        raise ProtocolError(f"config.study={config.study!r}: choose from {', '.join(_STUDIES)}")
    if _LIMIT_STEPS.value is not None:
        raise ProtocolError("--limit_steps changes methods: a study takes calibrations as they are")
    if _CACHE.value is not None:
        raise ProtocolError(f"--cache holds scores, and {config.study} keeps none: leave it out")
    module = importlib.import_module(f"benchmarks.{config.study}")
    with progress_bar() as bar:
        run = Run(progress=bar)
        result = module.study(config, data=_DATA.value, limit=_LIMIT.value, run=run)
    result = {"limit": _LIMIT.value, "config": config.to_dict(), **result}
    _write(out, f"{json.dumps(result, indent=1, allow_nan=False)}\n")
    stem, tables = os.path.splitext(out)[0], module.table(result)
    _write(f"{stem}.md", f"# {config.title}\n\n{tables}\n")
    print(f"\n{tables}\n\nwrote {out}, {stem}.md")


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
    encoder: StartEncoder | None = None
    if method.recipe.start.needs_encoder:
        with progress_bar() as bar:
            encoder = start_of(
                generators[name],
                find_calibration(name, get_method("origin", generators[name])),
                training=StartTraining(),
                run=Run(progress=_named(bar, name), cache=config.cache or None),
            )
    num = config.num_calibration or method.num_images
    # As scripts/calibrate.py has it.
    held_out = {*zoo_names()} - {name, *standard_names()}
    photographs, sets = _for_calibrations(config, generators[name], num)
    missing = MissingCalibration(
        inspected=name,
        method=method,
        generators={n: g for n, g in generators.items() if n not in held_out},
        num=num,
        seed=config.seed,
        photographs=photographs,
        sets=sets,
        reference=reference if method.score.needs_reference else None,
        encoder=encoder,
    )
    with progress_bar() as bar:
        return missing.make(folder, run=Run(progress=_named(bar, f"{name}, {method.name}")))


def _named(bar: Progress, of: str) -> Progress:
    """The bar, with what it is of in its title."""
    return lambda what, done, total: bar(f"{what}, {of}", done, total)


def _rows(
    part: str, config: ConfigDict, comparison: Comparison, cache: str
) -> Iterator[dict[str, Any]]:
    """What is found from a comparison's scores alone, for one more table."""
    scores = comparison_scores(comparison, cache=cache, seed=config.seed)
    own = scores[comparison.inspected].score
    foreign = {group: scores[group].score for group in comparison.foreign}
    seed, floor = config.seed, comparison.method.floor
    rows: Iterable[dict[str, Any]]
    if part == "sizes":
        nums, alphas = config.calibration_sizes, config.alphas
        rows = calibration_size_rows(own, foreign, nums=nums, alphas=alphas, floor=floor, seed=seed)
    elif part == "fresh":
        rows = fresh_rows(comparison, scores)
    elif part == "views":
        splits, rate = config.source_splits, config.split_rate
        rows = view_rows(comparison, cache=cache, splits=splits, rate=rate, seed=seed)
    else:
        rows = ratio_cost_rows(own, foreign, floor=floor, seed=seed)
    names = {"inspected": comparison.inspected, "method": comparison.method.name}
    for row in rows:
        yield {**names, "edit": comparison.edit, **row}


def _draw(result: dict[str, Any], path: str) -> bool:
    if importlib.util.find_spec("matplotlib") is None:
        print(f"left out: {path}: Matplotlib is not installed ({installing('plots')})")
        return False
    importlib.import_module("benchmarks.evaluation_picture").draw_evaluation(result, path)
    return True


def _write(path: str, text: str) -> None:
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main)
