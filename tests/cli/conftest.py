"""Tiny generators, images and a calibration, on which the commands are tried."""

from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from jax_origin.distances import FileSet
from jax_origin.generators import DCGAN, save_generator
from jax_origin.images import save_png
from jax_origin.inversion import Recipe, Stage
from jax_origin.inversion.least_squares import GaussNewton
from jax_origin.inversion.solvers import Optax
from jax_origin.workflow import METHODS, Method, belonging_images
from jax_origin.zoo import load_generator

from .running import Done, run

RECIPE = Recipe(
    stages=(
        Stage(Optax("adam", 0.1), steps=40, objective="l1"),
        Stage(GaussNewton(), steps=10, tolerance=0.2),
    ),
    distance=FileSet(),
    restarts=2,
    floor=5e-7,
)
FACTORY = """
from jax_origin.zoo import load_generator


def make():
    return load_generator("tiny")
"""
CALIBRATE = (
    *("calibrate", "--generator=tiny", "--method=tiny", "--num_belonging=20", "--seed=4"),
    *("--foreign=photos=photos", "--used_for=photos=recipe", "--alpha=0.1", "--beta=0.1"),
    *("--config.cache=cache", "--noplain"),
)


@pytest.fixture(scope="session", autouse=True)
def tiny_method():
    """A method that needs no trained encoder, known to the commands as "tiny"."""
    method = Method("tiny", RECIPE, floor=5e-7, conditions=("jpeg-75",), num_images=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "tiny", method)
        yield method


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Three tiny generators, noise in place of photographs, and images to attribute."""
    folder = tmp_path_factory.mktemp("commands")
    for seed, (name, channels) in enumerate({"tiny": 3, "other": 3, "grey": 1}.items()):
        model = DCGAN(image_size=8, width=4, latent_dim=6, channels=channels, rngs=nnx.Rngs(seed))
        # Fresh weights make images that are nearly grey; larger ones give them contrast.
        model.output.kernel[...] *= 20
        save_generator(folder / name, model, card={"name": name})
    rng = np.random.default_rng(0)
    for i in range(20):
        for name, shape in {"photos": (8, 8, 3), "large": (10, 9, 3)}.items():
            save_png(folder / f"{name}/{i:02d}.png", rng.integers(0, 256, shape, dtype=np.uint8))
    for name, where in {"tiny": "images/good.png", "grey": "shades/good.png"}.items():
        model = load_generator(folder / name)
        save_png(folder / where, belonging_images(model, 1, key=jax.random.key(77))[0])
    (folder / "images/bad.png").write_text("Dear reader, this is no picture.\n")
    (folder / "empty").mkdir()
    (folder / "made_by_hand.py").write_text(FACTORY)
    return folder


@pytest.fixture(scope="session")
def calibrated(folder: Path, tiny_method) -> Done:
    """The command that made made/calibration.json."""
    done = run(folder, *CALIBRATE, "--out=made/calibration.json")
    assert done.code == 0, done.err
    return done
