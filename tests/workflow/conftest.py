"""A method and a calibration for files, which several tests of this folder share."""

import jax
import pytest

import jax_origin as jo
from jax_origin.workflow import belonging_images


@pytest.fixture(scope="session")
def stored_method():
    """A method that inverts into what files hold, at rates that 20 images can keep."""
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
    other = belonging_images(make_generator(1), 60, key=jax.random.key(5))
    foreign = {"noise": noise[:60], "other": other}
    return jo.calibrate(
        generator, method=stored_method, num_belonging=60, foreign=foreign, key=jax.random.key(7)
    )
