"""Trains a generator, and writes it as a directory that load_generator opens.

python scripts/train_generator.py --config=configs/train/dcgan_cifar10.py --config.data=IMAGES

Run again after a kill, the same command goes on from the last checkpoint.
"""

import pathlib

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from jax_origin.checkpoints import CheckpointError
from jax_origin.generators import KINDS, save_generator
from jax_origin.images import ImageError, load_images, save_png
from jax_origin.training import TASKS, TrainingError, train
from jax_origin.training.loop import sample_grid

_CONFIG = config_flags.DEFINE_config_file("config", None, "Which generator, on which images.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "For checkpoints, sample grids and the result; runs/train/<name> by default."
)


def main(argv: list[str]) -> None:
    """Reads the flags, trains, and saves."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.WARNING)  # the checkpointer reports each rename at INFO
    config = _CONFIG.value
    workdir = pathlib.Path(_WORKDIR.value or f"runs/train/{config.name}")
    try:
        if not config.data:
            raise TrainingError("no images to train on: --config.data=FOLDER or FILE.npz")
        cls = KINDS[config.kind]
        task = TASKS[config.task](cls, config.generator.to_dict(), **config.task_options)
        images = load_images(config.data)[config.start : config.stop]
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
    except (CheckpointError, ImageError, TrainingError) as error:
        raise SystemExit(f"train_generator: {error}") from None
    card = {
        "name": config.name,
        "data": {
            "file": pathlib.Path(config.data).name,
            "start": config.start,
            "stop": config.stop,
        },
        "steps": config.steps,
        "batch_size": config.batch_size,
        "seed": config.seed,
        "task": {"name": config.task, **config.task_options.to_dict()},
    }
    save_generator(workdir / "generator", generator, card=card)
    save_png(workdir / "generator" / "samples.png", sample_grid(generator, jax.random.key(0)))
    print(f"wrote {workdir / 'generator'}")


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main)
