"""Trains a generator, and writes it as a directory that load_generator opens.

python scripts/train_generator.py --config=configs/train/dcgan_cifar10.py --config.data=IMAGES

Run again after a kill, the same command goes on from the last checkpoint.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
from absl import app, flags, logging
from flax import nnx
from ml_collections import config_flags

from jax_origin.checkpoints import CheckpointError
from jax_origin.command import command
from jax_origin.generators import KINDS, save_generator
from jax_origin.images import ImageError, load_images, save_png
from jax_origin.training import TASKS, ConsistencyTask, TrainingError, train
from jax_origin.training.loop import sample_grid

_CONFIG = config_flags.DEFINE_config_file("config", None, "Which generator, on which images.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "For checkpoints, sample grids and the result; runs/train/<name> by default."
)


@command("train_generator", CheckpointError, ImageError, TrainingError)
def main() -> None:
    """Reads the flags, trains, and saves."""
    logging.set_verbosity(logging.WARNING)  # the checkpointer reports each rename at INFO
    config = _CONFIG.value
    workdir = pathlib.Path(_WORKDIR.value or f"runs/train/{config.name}")
    _train(config, workdir)
    print(f"wrote {workdir / 'generator'}")


def _train(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    if not config.data:
        raise TrainingError("no images to train on: --config.data=FOLDER or FILE.npz")
    cls = _choose("kind", config.kind, KINDS)
    make_task = _choose("task", config.task, TASKS)
    options = config.generator.to_dict()
    try:
        task = make_task(cls, options, **config.task_options)
        shape = nnx.eval_shape(lambda: cls(**options, rngs=nnx.Rngs(0))).image_shape
    except (TypeError, ValueError) as error:
        raise TrainingError(f"wrong generator or task_options: {error}") from None
    task_card = {"name": config.task, **config.task_options.to_dict()}
    if isinstance(task, ConsistencyTask):
        task_card["teacher"] = task.teacher  # what it is, not where it lay
    images = load_images(config.data)[config.start : config.stop]
    if images.shape[1:] != shape:
        found, wanted = ("x".join(map(str, size)) for size in (images.shape[1:], shape))
        raise TrainingError(f"{config.data}: images are {found}, the generator makes {wanted}")
    generator = train(
        task,
        images,
        steps=config.steps,
        workdir=workdir,
        batch_size=config.batch_size,
        seed=config.seed,
        checkpoint_every=config.checkpoint_every,
        grid_every=config.grid_every,
        log_every=config.log_every,
    )
    data = pathlib.Path(config.data).name
    source = config_flags.get_config_filename(flags.FLAGS["config"])
    card = {
        "name": config.name,
        "good_for": config.good_for,
        "data": {
            "description": config.data_description,
            "file": data,
            "start": config.start,
            "stop": config.stop,
        },
        "command": f"python scripts/train_generator.py --config={source} --config.data={data}",
        "steps": config.steps,
        "batch_size": config.batch_size,
        "seed": config.seed,
        "task": task_card,
    }
    save_generator(workdir / "generator", generator, card=card)
    save_png(workdir / "generator" / "samples.png", sample_grid(generator, jax.random.key(0)))


def _choose(field: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise TrainingError(f"unknown {field} {name!r}; known: {', '.join(sorted(known))}")
    return known[name]


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main)
