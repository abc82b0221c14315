"""The training loop: batches in, checkpoints and sample grids out, resumable at any step."""

import contextlib
import os
import pathlib
import time
from typing import Any, Protocol

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from jax_origin.files import atomic_write
from jax_origin.generators import Autoencoder, Generator, sample_latents
from jax_origin.images import as_float, save_png
from jax_origin.inversion import progress_bar


class TrainingError(ValueError):
    """A training run that cannot start or go on."""


class Task(Protocol):
    """What is trained, and by which objective. All state is one pytree of arrays."""

    def init(self, key: jax.Array) -> Any:
        """The state before the first step."""

    def step(self, state: Any, images: jax.Array, key: jax.Array) -> tuple[Any, dict[str, Any]]:
        """One step on uint8 images [N, H, W, C]; the new state and scalar losses. Jitted."""

    def generator(self, state: Any, key: jax.Array) -> Generator:
        """The generator as trained so far, in evaluation mode."""


def train(
    task: Task,
    images: np.ndarray,
    *,
    steps: int,
    workdir: str | os.PathLike,
    batch_size: int = 64,
    seed: int = 0,
    checkpoint_every: int = 500,
    grid_every: int = 500,
    log_every: int = 50,
    progress: bool = True,
) -> Generator:
    """Trains from the last checkpoint in the workdir, or from the start if there is none.

    A step's batch and key depend on the seed and the step alone: a run that was killed and resumed
    ends where an unbroken one does.

    Args:
      task: What is trained.
      images: uint8 [N, H, W, C].
      steps: The step at which training is done, counted from the very start.
      workdir: Gets `checkpoints/` (the last two), `samples-<step>.png` and `losses.csv`.
      batch_size: Images a step.
      seed: For initial weights, order of the images, and the noise of each step.
      checkpoint_every: Steps between checkpoints; the last step is always saved.
      grid_every: Steps between sample grids.
      log_every: Steps between lines of `losses.csv`.
      progress: Whether to show how far it is; see `jax_origin.progress_bar`.

    Returns:
      The trained generator, in evaluation mode.

    Raises:
      TrainingError: If there are fewer images than a batch holds, a count is below 1, the workdir
        cannot be made, or its checkpoint is past the last step or of something else.
    """
    _check_counts(
        steps=steps,
        batch_size=batch_size,
        checkpoint_every=checkpoint_every,
        grid_every=grid_every,
        log_every=log_every,
    )
    if len(images) < batch_size:
        raise TrainingError(f"{len(images)} images are fewer than a batch of {batch_size}")
    if seed < 0:
        raise TrainingError(f"seed must be at least 0, not {seed}")
    workdir = _made(workdir)
    key = jax.random.key(seed)
    init_key, step_key, grid_key = (jax.random.fold_in(key, tag) for tag in range(3))
    policy = ocp.training.preservation_policies.LatestN(2)
    folder = workdir / "checkpoints"
    showing = progress_bar() if progress else contextlib.nullcontext()
    saving = ocp.training.Checkpointer(folder, preservation_policy=policy)
    with saving as checkpointer, showing as bar:
        start, state = _resumed(checkpointer, task.init(init_key), steps=steps, workdir=workdir)
        _drop_lines_after(workdir / "losses.csv", start)
        since, since_step = time.monotonic(), start
        for step in range(start, steps):
            batch = images[_batch_indices(len(images), batch_size, step, seed)]
            state, losses = task.step(state, batch, jax.random.fold_in(step_key, step))
            done = step + 1
            if bar:
                bar("training", done, steps)
            if done % log_every == 0 or done == steps:
                values = {name: float(value) for name, value in losses.items()}
                speed = (done - since_step) * batch_size / (time.monotonic() - since)
                since, since_step = time.monotonic(), done
                if bar:
                    bar.note = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
                _log(workdir / "losses.csv", done, values, speed)
            if done % grid_every == 0 or done == steps:
                generator = task.generator(state, grid_key)
                grid = sample_grid(generator, grid_key, images=images)
                save_png(workdir / f"samples-{done}.png", grid)
            # Last, so that a run killed in between does the step's other files again.
            if done % checkpoint_every == 0 or done == steps:
                checkpointer.save(done, _named_leaves(state))
    return task.generator(state, grid_key)


def sample_grid(
    generator: Generator, key: jax.Array, *, images: np.ndarray, rows: int = 8, columns: int = 8
) -> np.ndarray:
    """Samples side by side, uint8 [rows * H, columns * W, C].

    An autoencoder has no prior to sample from: its grid is of reconstructions of the first of
    these images, uint8 [N, H, W, C].
    """
    if isinstance(generator, Autoencoder):
        shown = images[np.arange(rows * columns) % len(images)]
        latents = generator.encode(jax.numpy.asarray(as_float(shown)))
    else:
        latents = sample_latents(generator, key, rows * columns)
    samples = np.asarray(generator(latents))
    height, width, channels = samples.shape[1:]
    grid = samples.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return np.round(grid.reshape(rows * height, columns * width, channels) * 255).astype(np.uint8)


def _batch_indices(total: int, batch_size: int, step: int, seed: int) -> np.ndarray:
    """The step's images: each epoch is a permutation of its own, its last odd batch left out."""
    epoch, position = divmod(step, total // batch_size)
    order = np.random.default_rng((seed, epoch)).permutation(total)
    return order[position * batch_size : (position + 1) * batch_size]


def _named_leaves(state: Any) -> dict[str, jax.Array]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise TrainingError(f"{name} must be at least 1, not {count}")


def _made(workdir: str | os.PathLike) -> pathlib.Path:
    workdir = pathlib.Path(workdir).absolute()
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{workdir}: cannot be written to ({error.strerror})") from None
    return workdir


def _resumed(
    checkpointer: ocp.training.Checkpointer, state: Any, *, steps: int, workdir: pathlib.Path
) -> tuple[int, Any]:
    """The last checkpoint's step and state; 0 and the given state where there is none."""
    if checkpointer.latest is None:
        return 0, state
    start = checkpointer.latest.step
    if start > steps:
        raise TrainingError(f"{workdir} is at step {start} already, past steps={steps}")
    abstract = {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
        for name, leaf in _named_leaves(state).items()
    }
    try:
        saved = checkpointer.load(checkpointer.latest, abstract)
    except Exception as error:  # The reader has no one exception for what does not fit.
        reason = "it is damaged, or of another generator, task or options; take another workdir"
        where = workdir / "checkpoints" / str(start)
        raise TrainingError(f"{where}: cannot be resumed: {reason}") from error
    return start, jax.tree.unflatten(jax.tree.structure(state), [saved[name] for name in abstract])


def _log(path: pathlib.Path, step: int, losses: dict[str, float], speed: float) -> None:
    rows = [] if path.exists() else [["step", *losses, "images_per_second"]]
    rows.append([str(step), *(f"{value:.5g}" for value in losses.values()), f"{speed:.1f}"])
    with path.open("a") as file:
        file.writelines(",".join(row) + "\n" for row in rows)


def _drop_lines_after(path: pathlib.Path, step: int) -> None:
    if not path.exists():
        return
    # A run that is killed as it writes leaves a torn line, or nothing at all.
    lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    if not lines:
        path.unlink()
        return
    header, *rows = lines
    kept = [row for row in rows if int(row.split(",")[0]) <= step]
    with atomic_write(path) as temporary:
        pathlib.Path(temporary).write_text("".join([header, *kept]))
