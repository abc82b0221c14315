"""Trains a generator, and writes it as a directory that load_generator opens.

python scripts/train_generator.py --config=configs/train/dcgan_cifar10.py --config.data=IMAGES

Run again after a kill, the same command goes on from the last checkpoint.
"""

import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from jax_origin.cli.command import CommandError, run


def define(given: flags.FlagValues) -> None:
    """The flags."""
    flags.DEFINE_string(
        "workdir",
        None,
        "For checkpoints, sample grids and the result; runs/train/NAME without it.",
        flag_values=given,
    )


def main(config: ConfigDict | None, given: flags.FlagValues) -> int:
    """Trains, and saves; returns the exit code, 0."""
    logging.set_verbosity(logging.WARNING)  # The checkpointer reports each rename at INFO.
    if config is None:
        raise CommandError("--config=FILE says which generator; see configs/train/")
    if not config.data:
        raise CommandError("no images to train on: --config.data=FOLDER or FILE.npz")
    workdir = pathlib.Path(given.workdir or f"runs/train/{config.name}")
    source = config_flags.get_config_filename(given["config"])
    _train(config, workdir, source)
    print(f"wrote {workdir / 'generator'}")
    return 0


def _train(config: ConfigDict, workdir: pathlib.Path, source: str) -> None:
    import jax  # Here, so that --help is quick.
    from flax import nnx

    from jax_origin.generators import KINDS, save_generator
    from jax_origin.images import load_images, save_png
    from jax_origin.training import TASKS, TrainingError, train
    from jax_origin.training.loop import sample_grid

    cls = _choose("kind", config.kind, KINDS)
    make_task = _choose("task", config.task, TASKS)
    options = config.generator.to_dict()
    try:
        task = make_task(cls, options, **config.task_options)
        shape = nnx.eval_shape(lambda: cls(**options, rngs=nnx.Rngs(0))).image_shape
    except (TypeError, ValueError) as error:
        raise CommandError(f"wrong generator or task_options: {error}") from None
    task_card = {"name": config.task, **config.task_options.to_dict()}
    if "teacher" in task_card:
        task_card["teacher"] = task.teacher  # What it is, not where it lay.
    images = load_images(config.data)[config.start : config.stop]
    if images.shape[1:] != shape:
        found, wanted = ("x".join(map(str, size)) for size in (images.shape[1:], shape))
        raise CommandError(f"{config.data}: images are {found}, the generator makes {wanted}")
    try:
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
    except TrainingError as error:
        raise CommandError(str(error)) from None
    card = _card(config, source, task_card)
    save_generator(workdir / "generator", generator, card=card)
    grid = sample_grid(generator, jax.random.key(0), images=images, rows=4)
    save_png(workdir / "generator" / "samples.png", grid)


def _card(config: ConfigDict, source: str, task_card: dict[str, Any]) -> dict[str, Any]:
    """What the generator's card says of how it was trained."""
    data = pathlib.Path(config.data).name
    return {
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


def _choose(field: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise CommandError(f"unknown {field} {name!r}; known: {', '.join(sorted(known))}")
    return known[name]


if __name__ == "__main__":
    define.__doc__ = __doc__
    sys.exit(run("train_generator", define, main, config=""))
