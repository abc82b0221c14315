"""How well methods tell each generator's own images from foreign ones: tables, and a JSON file.

python scripts/evaluate.py --config=configs/evaluate/cifar10.py --data=DIR --out=FILE.json
python scripts/evaluate.py --config=configs/evaluate/edits.py --data=DIR --out=FILE.json

Scores are kept in FILE.json.cache/ as they are made: run again after a kill, the same command goes
on from there.
"""

import json
import os

import tqdm
from absl import app, flags
from ml_collections import ConfigDict, config_flags

from jax_origin.audit import RecordError
from jax_origin.calibration import CalibrationError
from jax_origin.checkpoints import CheckpointError
from jax_origin.evaluation.protocol import (
    circumstances,
    comparisons,
    evaluate,
    load_calibrations,
)
from jax_origin.evaluation.result_table import result_table
from jax_origin.evaluation.sampling import ProtocolError, chosen_images, generated_images
from jax_origin.files import atomic_write
from jax_origin.images import ImageError
from jax_origin.runtime import keep_compiled_programs
from jax_origin.zoo import load_generator, zoo_names

_CONFIG = config_flags.DEFINE_config_file("config", None, "What is compared with what.")
_DATA = flags.DEFINE_string("data", ".", "Folder of the sets that the config names.")
_OUT = flags.DEFINE_string("out", None, "The JSON file to write.", required=True)
_LIMIT = flags.DEFINE_integer("limit", None, "Use only so many images of each group.", 1)
_ERRORS = (CalibrationError, CheckpointError, ImageError, ProtocolError, RecordError)


def main(argv: list[str]) -> None:
    """Reads the flags, evaluates, and prints."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown argument {argv[1]!r}; is a flag's value missing its '='?")
    keep_compiled_programs(_CONFIG.value.cache)
    try:
        run(_CONFIG.value, data=_DATA.value, out=_OUT.value, limit=_LIMIT.value)
    except _ERRORS as error:
        raise SystemExit(f"evaluate: {error}") from None


def run(config: ConfigDict, *, data: str, out: str, limit: int | None) -> None:
    """Evaluates as the config says, and writes the JSON file."""
    if os.path.isdir(out):
        raise ProtocolError(f"{out} is a folder: --out names the JSON file to write")
    num, seed = config.num_images, config.seed
    inspected = config.inspected or tuple(zoo_names())
    generators = {name: load_generator(name) for name in (*inspected, *zoo_names())}
    calibrations = load_calibrations(inspected, config.methods, pattern=config.calibrations)
    sets = {
        name: chosen_images(os.path.join(data, file), num, name=name, seed=seed)
        for name, file in config.sets.items()
        if file
    }
    generated = generated_images(generators, num, seed=seed)
    compared = comparisons(
        generators,
        calibrations,
        generated=generated,
        sets=sets,
        limit=limit,
        edits=config.edits,
    )
    evaluations = sum(comparison.evaluations for comparison in compared)
    with tqdm.tqdm(total=evaluations, unit="evaluation", unit_scale=True) as bar:
        result = evaluate(
            compared,
            cache=f"{out}.cache",
            seed=seed,
            progress=bar.update,
        )
    written = {
        "seed": seed,
        "limit": limit,
        "config": config.to_dict(),
        **circumstances(compared),
        **result,
    }
    with atomic_write(out) as temporary, open(temporary, "w", encoding="ascii") as file:
        json.dump(written, file, indent=1, allow_nan=False)
        file.write("\n")
    print(f"\n{result_table(result)}\n\nwrote {out}")


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main)
