"""Training runs that are killed, and go on as if they had not been."""

import csv
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from jax_origin.generators import DCGAN, VAE, fingerprint, open_generator, sample_latents
from jax_origin.generators.files import read_card
from jax_origin.images import load_images, save_png
from jax_origin.training import GanTask, TrainingError, VaeTask, train

pytestmark = pytest.mark.outer
ROOT = pathlib.Path(__file__).parents[2]
CONFIG = {"image_size": 8, "latent_dim": 4, "width": 4}
RUN = {"steps": 20, "batch_size": 8, "checkpoint_every": 5, "grid_every": 10, "log_every": 3}
LOGGED = [3, 6, 9, 12, 15, 18, 20]
TASKS = {
    "gan": lambda: GanTask(DCGAN, CONFIG, discriminator_width=4, latent_batch=16),
    "vae": lambda: VaeTask(VAE, CONFIG, steps=20),
}


def images(num: int = 20) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num, 8, 8, 3), dtype=np.uint8)


def losses(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """The columns of losses.csv but for the speed, which no two runs share."""
    with (workdir / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "images_per_second"]
    return {name: np.array([float(row[name]) for row in rows]) for name in names}


def assert_same_losses(one: pathlib.Path, other: pathlib.Path) -> None:
    one_losses, other_losses = losses(one), losses(other)
    assert one_losses.keys() == other_losses.keys()
    for name in one_losses:
        np.testing.assert_array_equal(one_losses[name], other_losses[name], err_msg=name)


class Killed(BaseException):
    """Ends a run the way a signal would: nothing after the step is done."""


class KilledTask:
    """A task that ends the run when it is asked for one step more than it is to do."""

    def __init__(self, task, *, after: int):
        self.task = task
        self.left = after
        self.init, self.generator = task.init, task.generator

    def step(self, state, batch, key):
        if not self.left:
            raise Killed
        self.left -= 1
        return self.task.step(state, batch, key)


@pytest.fixture(scope="module", params=sorted(TASKS))
def straight(request, tmp_path_factory):
    """A task's name, the task itself (compiled but once), its unbroken run and what came of it."""
    workdir = tmp_path_factory.mktemp("straight")
    task = TASKS[request.param]()
    generator = train(task, images(), workdir=workdir, progress=False, **RUN)
    return request.param, task, workdir, generator


# Killed between two checkpoints; before the first one; right after one.
@pytest.mark.parametrize("kills", [(13,), (2, 7), (10,)])
def test_a_killed_run_that_goes_on_ends_where_an_unbroken_one_does(straight, kills, tmp_path):
    _, task, unbroken, expected = straight
    for after in kills:
        with pytest.raises(Killed):
            train(KilledTask(task, after=after), images(), workdir=tmp_path, progress=False, **RUN)
    generator = train(task, images(), workdir=tmp_path, progress=False, **RUN)
    assert fingerprint(generator) == fingerprint(expected)
    assert losses(tmp_path)["step"].tolist() == LOGGED
    assert_same_losses(tmp_path, unbroken)
    for name in ("samples-10.png", "samples-20.png"):
        assert (tmp_path / name).read_bytes() == (unbroken / name).read_bytes()


def test_a_finished_run_that_is_started_again_gives_the_same_and_trains_no_more(straight):
    _, task, workdir, expected = straight
    before = {path.name: path.stat().st_mtime_ns for path in workdir.glob("samples-*.png")}
    idle = KilledTask(task, after=0)
    generator = train(idle, images(), workdir=workdir, progress=False, **RUN)
    assert fingerprint(generator) == fingerprint(expected)
    assert losses(workdir)["step"].tolist() == LOGGED
    after = {path.name: path.stat().st_mtime_ns for path in workdir.glob("samples-*.png")}
    assert after == before


def test_a_run_leaves_losses_two_checkpoints_and_grids_of_samples(straight):
    name, _, workdir, _ = straight
    columns = {"gan": {"loss_d", "loss_g"}, "vae": {"loss", "mse", "divergence"}}[name]
    assert set(losses(workdir)) == {"step", *columns}
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["15", "20"]
    for step in (10, 20):
        grid = load_images(workdir / f"samples-{step}.png")[0]
        assert grid.shape == (64, 64, 3)  # eight rows and columns of 8 px
        assert grid.std() > 0


def test_what_comes_out_is_frozen_and_makes_images(straight):
    *_, generator = straight
    before = fingerprint(generator)
    made = generator(sample_latents(generator, jax.random.key(0), 6))
    assert made.shape == (6, 8, 8, 3)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
    assert fingerprint(generator) == before
    np.testing.assert_allclose(
        generator(jnp.ones((1, 4))), generator(jnp.ones((3, 4)))[:1], atol=1e-5
    )


@pytest.mark.parametrize("straight", ["vae"], indirect=True)
def test_the_error_of_a_vae_falls(straight):
    *_, workdir, _ = straight
    assert losses(workdir)["mse"][-1] < losses(workdir)["mse"][0]


def test_another_seed_or_other_images_make_another_generator(straight, tmp_path):
    _, task, _, expected = straight
    short = {**RUN, "steps": 3}
    runs = {
        "as it was": (images(), 0),
        "seed": (images(), 1),
        "images": (255 - images(), 0),
    }
    made = [
        fingerprint(train(task, data, workdir=tmp_path / name, seed=seed, progress=False, **short))
        for name, (data, seed) in runs.items()
    ]
    assert len({*made, fingerprint(expected)}) == 4


@pytest.mark.parametrize("straight", ["gan"], indirect=True)
@pytest.mark.parametrize(
    "left_over",
    [
        "",
        "step,loss_d,lo",
        "step,loss_d,loss_g,images_per_second\n",
        "step,loss_d,loss_g,images_per_second\n3,1,2,9.5\n6,1,2,9.5\n9,1",
        "step,loss_d,loss_g,images_per_second\n3,1,2,9.5\n1",
    ],
)
def test_a_torn_table_of_losses_is_mended(straight, left_over, tmp_path):
    _, task, *_ = straight
    with pytest.raises(Killed):
        train(KilledTask(task, after=7), images(), workdir=tmp_path, progress=False, **RUN)
    (tmp_path / "losses.csv").write_text(left_over)
    train(task, images(), workdir=tmp_path, progress=False, **{**RUN, "steps": 9})
    kept = [3] if "\n3," in left_over else []
    assert losses(tmp_path)["step"].tolist() == [*kept, 6, 9]
    assert (tmp_path / "losses.csv").read_text().startswith("step,loss_d,loss_g,")


def test_a_workdir_of_something_else_is_refused(straight):
    name, task, workdir, _ = straight
    other = {"gan": TASKS["vae"], "vae": TASKS["gan"]}[name]()
    with pytest.raises(TrainingError, match="cannot be resumed: it is damaged, or of another") as e:
        train(other, images(), workdir=workdir, progress=False, **RUN)
    assert str(e.value).startswith(str(workdir / "checkpoints" / "20"))
    with pytest.raises(TrainingError, match="is at step 20 already, past steps=12"):
        train(task, images(), workdir=workdir, progress=False, **{**RUN, "steps": 12})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 21}, "20 images are fewer than a batch of 21"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1, not 0"),
        ({"grid_every": -1}, "grid_every must be at least 1, not -1"),
        ({"log_every": 0}, "log_every must be at least 1, not 0"),
    ],
)
def test_a_run_that_cannot_start_says_why(tmp_path, options, message):
    with pytest.raises(TrainingError) as caught:
        train(TASKS["vae"](), images(), workdir=tmp_path / "run", **{**RUN, **options})
    assert str(caught.value) == message
    assert not (tmp_path / "run").exists()


def test_each_image_is_seen_once_an_epoch(tmp_path):
    seen = []

    class Watching:
        """A task that trains nothing, and keeps the batches."""

        def init(self, key):
            del key
            return {"steps": jnp.zeros((), jnp.int32)}

        def step(self, state, batch, key):
            del key
            seen.append(batch[:, 0, 0, 0].tolist())
            return {"steps": state["steps"] + 1}, {"loss": 0.0}

        def generator(self, state, key):
            del state, key
            return VAE(**CONFIG, rngs=nnx.Rngs(0))

    numbered = np.broadcast_to(np.arange(24, dtype=np.uint8)[:, None, None, None], (24, 8, 8, 3))
    sizes = {"batch_size": 8, "checkpoint_every": 99, "grid_every": 99}
    train(Watching(), numbered, steps=6, workdir=tmp_path, progress=False, **sizes)
    first, second = np.ravel(seen[:3]).tolist(), np.ravel(seen[3:]).tolist()
    assert sorted(first) == sorted(second) == list(range(24))
    assert first != second


@pytest.mark.parametrize("steps", [1, 5, 200, 2000])
def test_a_vae_can_be_trained_for_any_number_of_steps(steps):
    # A rise over 200 steps would leave a shorter run no room for the fall.
    state = VaeTask(VAE, CONFIG, steps=steps).init(jax.random.key(0))
    assert set(state) == {"params", "rest", "optimizer"}


# The script, as a user runs it.

OVERRIDES = {
    "generator.image_size": 8,
    "generator.latent_dim": 4,
    "generator.width": 4,
    "batch_size": 8,
    "log_every": 10,
    "grid_every": 1000,
}


def command(config: str, workdir: pathlib.Path, **overrides) -> list[str]:
    script = str(ROOT / "scripts" / "train_generator.py")
    fields = {**OVERRIDES, **overrides}
    return [
        *(sys.executable, script),
        f"--config={ROOT / 'configs' / 'train' / config}",
        f"--workdir={workdir}",
        *(f"--config.{name}={value}" for name, value in fields.items()),
    ]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=300)


def write_jpegs(path: pathlib.Path, num: int = 24) -> None:
    files = []
    for pixels in images(num):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="JPEG", quality=95)
        files.append(buffer.getvalue())
    offsets = np.cumsum([0, *map(len, files)]).astype(np.int64)
    np.savez(path, jpeg=np.frombuffer(b"".join(files), np.uint8), offsets=offsets)


def kill_after_checkpoint(arguments: list[str], checkpoints: pathlib.Path, *, step: int) -> None:
    process = subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 300
    while process.poll() is None and not (checkpoints / str(step)).exists():
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()


def test_the_script_goes_on_after_sigkill_and_ends_where_an_unbroken_run_does(tmp_path):
    write_jpegs(tmp_path / "images.npz")
    overrides = {
        "task_options.discriminator_width": 4,
        "data": tmp_path / "images.npz",
        "steps": 60,
        "checkpoint_every": 5,
        "log_every": 1,
    }
    arguments = command("dcgan_cifar10.py", tmp_path / "run", **overrides)
    kill_after_checkpoint(arguments, tmp_path / "run" / "checkpoints", step=10)
    assert not (tmp_path / "run" / "generator").exists()
    done = run(arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(f"wrote {tmp_path / 'run' / 'generator'}")

    assert losses(tmp_path / "run")["step"].tolist() == list(range(1, 61))
    assert (tmp_path / "run" / "checkpoints" / "60").is_dir()
    assert (tmp_path / "run" / "samples-60.png").exists()
    card = read_card(tmp_path / "run" / "generator")
    assert card["steps"] == 60
    assert card["data"] | {"file": "images.npz", "start": 0} == card["data"]

    task = GanTask(DCGAN, CONFIG, discriminator_width=4)
    data = load_images(tmp_path / "images.npz")
    sizes = {"batch_size": 8, "checkpoint_every": 60, "grid_every": 60, "log_every": 1}
    train(task, data, steps=60, workdir=tmp_path / "straight", progress=False, **sizes)
    assert_same_losses(tmp_path / "run", tmp_path / "straight")


def test_the_script_trains_on_a_folder_of_pngs(tmp_path):
    for i, pixels in enumerate(images()):
        save_png(tmp_path / "images" / f"{i:02}.png", pixels)
    overrides = {"data": tmp_path / "images", "steps": 30, "checkpoint_every": 20}
    done = run(command("vae_cifar10.py", tmp_path / "run", **overrides))
    assert done.returncode == 0, done.stderr
    generator = open_generator(tmp_path / "run" / "generator")
    assert isinstance(generator, VAE)
    assert generator.image_shape == (8, 8, 3)
    assert load_images(tmp_path / "run" / "generator" / "samples.png").shape == (1, 32, 64, 3)
    assert losses(tmp_path / "run")["step"].tolist() == [10, 20, 30]
    card = json.loads((tmp_path / "run" / "generator" / "card.json").read_text())
    assert card["task"]["steps"] == 30  # the learning rate falls over the steps that were trained


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data": "{folder}/none.npz"}, "{folder}/none.npz: no such file"),
        ({"data": ""}, "no images to train on: --config.data=FOLDER or FILE.npz"),
        (
            {"data": "{folder}", "generator.image_size": 16},
            "{folder}: images are 8x8x3, the generator makes 16x16x3",
        ),
        (
            {"data": "{folder}", "task": "gna"},
            "unknown task 'gna'; known: autoencoder, autoencoder_tiny, autoencoder_vq, "
            "consistency, diffusion, gan, vae",
        ),
    ],
)
def test_what_a_user_got_wrong_is_one_line_and_a_failure(tmp_path, overrides, message):
    save_png(tmp_path / "images" / "0.png", images()[0])
    folder = str(tmp_path / "images")
    filled = {name: str(value).format(folder=folder) for name, value in overrides.items()}
    done = run(command("vae_cifar10.py", tmp_path / "run", **filled))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"train_generator: {message.format(folder=folder)}"]
    assert done.stdout == ""
    assert not (tmp_path / "run").exists()
