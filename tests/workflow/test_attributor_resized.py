"""Own images are found again after they were resized or cut, and compared with their like."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image

import jax_origin as jo
from jax_origin.calibration import AS_MADE
from jax_origin.images import find_resizings, stored_images, stored_pixels
from jax_origin.workflow import Scorer, belonging_images, likeness

pytestmark = pytest.mark.outer

KEY = jax.random.key(3)
RNG = np.random.default_rng(0)
SHAPE = (20, 24, 3)
WAVES = RNG.normal(0, 0.2, (10, *SHAPE)).astype(np.float32)


def picture(waves, latents):
    return jax.nn.sigmoid(jax.numpy.einsum("ni,ihwc->nhwc", latents, waves))


MINE = jo.FunctionGenerator(picture, WAVES, latent_shape=(10,), image_shape=SHAPE)
METHOD = jo.Method(
    "quick",
    jo.Recipe(
        start=jo.starts.Scaled((0.05,)),
        stages=(
            jo.Stage(jo.solvers.Optax("adam", 0.2), steps=10, objective="l1"),
            jo.Stage(jo.solvers.GaussNewton(), steps=12, tolerance=0.05),
        ),
        distance=jo.distances.FileSet(),
        floor=2e-6,
        lane_block=16,
    ),
    rates=jo.Rates(0.1, 0.1),
    floor=2e-6,
    conditions=("resize-0.75",),
)


@pytest.fixture(scope="module")
def calibration():
    foreign = {"noise": RNG.integers(0, 256, (20, *SHAPE), dtype=np.uint8)}
    return jo.calibrate(MINE, method=METHOD, num_belonging=20, foreign=foreign, key=KEY)


@pytest.fixture(scope="module")
def own():
    return belonging_images(MINE, 4, key=jax.random.key(8))


def verdicts(images, calibration, **options):
    found = jo.attribute(images, MINE, calibration, key=KEY, **options)
    return [(verdict.verdict, verdict.condition) for verdict in found]


def test_own_images_belong_as_made_resized_and_cut(calibration, own):
    noise = RNG.normal(128, 25, (4, *SHAPE)).astype(np.uint8)
    for edit, condition in (
        ("clean", AS_MADE),
        ("resize-0.75", "resize-0.75"),
        ("resize-0.9-bicubic", "resize-0.75"),
        ("crop-1", "resize-0.75"),
        ("crop-2", "resize-0.75"),
    ):
        assert verdicts(stored_images(own, edit), calibration) == [("belongs", condition)] * 4
        for verdict, compared in verdicts(stored_images(noise, edit), calibration):
            assert verdict != "belongs" and compared == condition


def test_arrays_and_files_are_looked_at_alike(calibration, own, tmp_path):
    (stored,) = stored_images(own[:1], "crop-2")
    assert verdicts(stored.pixels[None], calibration) == verdicts([stored], calibration)
    Image.fromarray(stored.pixels).save(tmp_path / "cut.png")
    assert verdicts(tmp_path / "cut.png", calibration) == [("belongs", "resize-0.75")]


def test_a_file_of_another_size_is_found_again(calibration, own, tmp_path):
    image = Image.fromarray(own[0])
    image.resize((20, 17), Image.Resampling.LANCZOS).save(tmp_path / "small.png")
    image.resize((48, 40), Image.Resampling.LANCZOS).save(tmp_path / "large.png")
    files = [tmp_path / f"{name}.png" for name in ("small", "large")]
    assert verdicts(files, calibration) == [(None, None)] * 2  # Not unless it is asked for.
    found = verdicts(files, calibration, resize=True)
    assert found == [("belongs", "resize-0.75"), ("belongs", AS_MADE)]


def test_further_resized_than_any_calibrated_is_drift(calibration, own):
    (found,) = jo.attribute(stored_images(own[:1], "resize-0.5"), MINE, calibration, key=KEY)
    assert found.verdict == "undecided"
    assert found.reason.startswith("drift: resized to 10x12 and back; calibrated: as made")


def test_the_nearest_of_the_readings_counts(own):
    (stored,) = stored_images(own[:1], "crop-2")
    # An image that was resized is read by all ways, and as it is as well.
    alone = [dataclasses.replace(reading, resizings=()) for reading in stored.readings()]
    apart = jo.invert(MINE, alone, METHOD.recipe, key=KEY).distance
    assert len(apart) == len(stored.resizings) + 1 >= 3
    run = jo.Run(statistics=jo.Statistics())
    scorer = Scorer(MINE, METHOD, key=KEY, run=run)
    ((tag, score, found, *_),) = scorer.found([stored])
    assert (tag, run.statistics.images) == (0, 1)
    assert run.statistics.evaluations == pytest.approx(found.steps, abs=2)
    assert score == float(min(apart)) < 2e-6 < 1e-4 < max(apart)
    ((_, _, one, *_),) = scorer.found(stored_pixels(own[:1]))
    assert found.steps > one.steps


@pytest.mark.outer
def test_a_generator_whose_images_look_resized_is_not_compared_by_it():
    small = jax.random.normal(jax.random.key(0), (10, 10, 12, 3))

    def resized(small, latents):
        made = jax.nn.sigmoid(jax.numpy.einsum("ni,ihwc->nhwc", latents, small))
        return jax.image.resize(made, (len(latents), *SHAPE), "bilinear")

    generator = jo.FunctionGenerator(resized, small, latent_shape=(10,), image_shape=SHAPE)
    own = belonging_images(generator, 4, key=jax.random.key(8))
    assert all(map(find_resizings, own))
    foreign = {"noise": RNG.integers(0, 256, (20, *SHAPE), dtype=np.uint8)}
    calibration = jo.calibrate(generator, method=METHOD, num_belonging=20, foreign=foreign, key=KEY)
    assert calibration.measured.looks_resized
    # As made; not after an edit that loses less than the generator's own resize.
    assert likeness(stored_pixels(own)[0], calibration) == ((AS_MADE,), None)
    found = jo.attribute(own, generator, calibration, key=KEY)
    assert [verdict.verdict for verdict in found] == ["belongs"] * 4


def test_images_of_any_number_of_channels_are_looked_at():
    def picture(scale, latents):
        return jax.nn.sigmoid(scale * latents).reshape(-1, 4, 4, 2)

    generator = jo.FunctionGenerator(
        picture, jax.numpy.ones(()), latent_shape=(32,), image_shape=(4, 4, 2)
    )
    recipe = jo.Recipe(restarts=1, stages=(jo.Stage(steps=5),))
    method = jo.Method("pixels", recipe, rates=jo.Rates(0.1, 0.1))
    noise = RNG.integers(0, 256, (12, 4, 4, 2), dtype=np.uint8)
    calibration = jo.calibrate(
        generator, method=method, num_belonging=10, foreign={"noise": noise[:10]}, key=KEY
    )
    found = jo.attribute(noise[10:] / np.float32(255), generator, calibration, key=KEY)
    assert [verdict.condition for verdict in found] == [AS_MADE] * 2
