"""Settings that every test runs under; a variable that is already set in the environment wins."""

import os
import shutil
from pathlib import Path

# Of several workers each gets a core: threads of programs that share one wait for each other.
if (_worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    _cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_cores[int(_worker.removeprefix("gw")) % len(_cores)]})
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Programs compiled by one run are read back by the next, scripts started by a test included.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "jax_origin" / "tests"),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import jax
import numpy as np
import pytest

_MAPPED = Path("/proc/self/maps")
_MANY = 8_000  # Parts of memory that are mapped, several for each program; some 3 GB.

# Broadcasting between arrays of different rank hides shape mistakes: in tests it is an error.
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config):
    """Ends a run in which a worker crashes: started again, it would wait for ever at times."""
    if getattr(config.option, "maxworkerrestart", "") is None:
        config.option.maxworkerrestart = "0"


@pytest.fixture(scope="module", autouse=True)
def compiled_programs():
    """Lets go of compiled programs once there are many: a worker's memory would end before it."""
    yield
    if _MAPPED.exists() and _MAPPED.read_bytes().count(b"\n") > _MANY:
        jax.clear_caches()


@pytest.fixture(scope="session")
def make_generator():
    """Makes a DCGAN of 8x8 images and six-dimensional latents, with weights from a seed."""
    from flax import nnx

    from jax_origin.generators import DCGAN

    def make(seed: int) -> DCGAN:
        generator = DCGAN(image_size=8, latent_dim=6, width=4, rngs=nnx.Rngs(seed))
        # Drawn with deviation 0.02 the weights would make grey images.
        state = nnx.state(generator, nnx.Param)
        nnx.update(generator, jax.tree.map(lambda w: 20 * w if w.ndim == 4 else w, state))
        generator.eval()
        generator.name = f"tiny-{seed}"
        return generator

    return make


@pytest.fixture(scope="session")
def generator(make_generator):
    """The tiny generator that is inspected."""
    return make_generator(0)


@pytest.fixture(scope="session")
def method():
    """A method that brings the tiny generators' own images to the 8-bit floor in a second."""
    from jax_origin.inversion import Recipe, Stage
    from jax_origin.inversion.solvers import Optax
    from jax_origin.inversion.starts import Scaled
    from jax_origin.workflow.methods import Method

    return Method(
        "tiny",
        Recipe(
            start=Scaled((0.2, 0.8)),
            stages=(
                Stage(steps=40),
                Stage(Optax("adam", 0.1), steps=60, objective="log_l2", lanes=1),
            ),
        ),
    )


@pytest.fixture(scope="session")
def noise():
    """Images that no tiny generator makes, uint8 [100, 8, 8, 3]."""
    return np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def calibration(generator, make_generator, method, noise):
    """The tiny generator's calibration, with two foreign groups."""
    from jax_origin.workflow.belonging import belonging_images
    from jax_origin.workflow.calibrate import calibrate
    from jax_origin.workflow.foreign_images import ForeignImages

    other = belonging_images(make_generator(1), 99, key=jax.random.key(5))
    return calibrate(
        generator,
        method=method,
        num_belonging=99,
        foreign={"noise": ForeignImages(noise, 99), "other": other},
        key=jax.random.key(0),
        seed=0,
    )


@pytest.fixture(scope="session")
def stored_method():
    """A method that inverts into what files hold, at rates that 20 images can keep."""
    import jax_origin as jo

    return jo.Method(
        "tiny-stored",
        jo.Recipe(
            start=jo.starts.Scaled((0.2, 0.8)),
            stages=(jo.Stage(steps=60), jo.Stage(jo.solvers.GaussNewton(), steps=4)),
            distance=jo.distances.FileSet(),
            floor=2e-6,
        ),
        rates=jo.Rates(0.05, 0.05),
        floor=2e-6,
        conditions=("jpeg-90", "jpeg-50"),
    )


@pytest.fixture(scope="session")
def under_storage(generator, make_generator, noise, stored_method):
    """The tiny generator's calibration for files, as made and after JPEG."""
    import jax_origin as jo
    from jax_origin.workflow import belonging_images

    other = belonging_images(make_generator(1), 60, key=jax.random.key(5))
    foreign = {"noise": noise[:60], "other": other}
    return jo.calibrate(
        generator, method=stored_method, num_belonging=60, foreign=foreign, key=jax.random.key(7)
    )


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    sync = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on the path")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
