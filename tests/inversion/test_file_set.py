"""Inversion through the file: a generator's own images are found in the sets of their files."""

import dataclasses
import io

import jax
import numpy as np
import pytest
from PIL import Image

from jax_origin import (
    FunctionGenerator,
    Recipe,
    Run,
    Stage,
    Statistics,
    distances,
    invert,
    solvers,
    starts,
)
from jax_origin.generators import sample_latents
from jax_origin.images import Stored, as_uint8, decode_bytes, stack_stored, stored_image
from jax_origin.inversion import Engine, Item

KEY = jax.random.key(0)
WAYS = (
    {"format": "PNG"},
    {"format": "JPEG", "quality": 90, "subsampling": "4:4:4"},
    {"format": "JPEG", "quality": 75, "subsampling": "4:2:0"},
    {"format": "JPEG", "quality": 50, "subsampling": "4:2:0", "progressive": True},
)
RECIPE = Recipe(
    start=starts.Scaled((0.2, 0.6)),
    restarts=2,
    distance=distances.FileSet(),
    stages=(
        Stage(steps=60, objective="l1"),
        Stage(solvers.LevenbergMarquardt(), steps=12, lanes=1),
    ),
    lane_block=8,
)


def picture(params, latents):
    """16x16 images, smooth: a linear map of the latent to 4x4, a sigmoid, enlarged."""
    # The cubic overshoots: its images are to stay in [0, 1].
    flat = 0.2 + 0.6 * jax.nn.sigmoid(latents @ params["weight"] + params["bias"][None])
    return jax.image.resize(flat.reshape(-1, 4, 4, 3), (len(latents), 16, 16, 3), "cubic")


def store(pixels, **way):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, **way)
    data = buffer.getvalue()
    stored = stored_image(data, decode_bytes(data, path="a file"))
    return dataclasses.replace(stored, resizings=())  # One reading of each.


@pytest.fixture(scope="module")
def generator():
    rng = np.random.default_rng(0)
    params = {
        "weight": rng.normal(size=(4, 48)).astype(np.float32),
        "bias": rng.normal(size=48).astype(np.float32),
    }
    return FunctionGenerator(picture, params, latent_shape=(4,), image_shape=(16, 16, 3))


@pytest.fixture(scope="module")
def own(generator):
    latents = sample_latents(generator, jax.random.key(1), 8)
    return as_uint8(np.clip(generator(latents), 0, 1))


@pytest.fixture(scope="module")
def foreign():
    small = np.random.default_rng(3).integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(x).resize((16, 16), 3)) for x in small])


@pytest.fixture(scope="module")
def files(own, foreign):
    """Both, a quarter of each stored in each way, in one batch."""
    return [store(x, **WAYS[i % 4]) for i, x in enumerate([*own, *foreign])]


@pytest.fixture(scope="module")
def found(generator, files):
    return invert(generator, files, RECIPE, key=KEY)


def test_own_images_lie_in_their_files_sets_and_others_do_not(found):
    assert (found.distance[:8] < 1e-7).all()
    assert (found.distance[8:] > 1e-3).all()


def test_pixels_hold_them_apart_less(generator, files, found):
    stages = (Stage(steps=60), RECIPE.stages[1])
    recipe = dataclasses.replace(RECIPE, distance=distances.L2(), stages=stages)
    pixels = invert(generator, files, recipe, key=KEY).distance
    assert pixels[8:].min() / pixels[:8].max() < 1e-2 * found.distance[8:].min() / 1e-7


def test_what_comes_back_belongs_together(generator, files, found):
    targets = stack_stored([file.to_arrays() for file in files])
    np.testing.assert_allclose(
        distances.FileSet().l2(found.reconstruction, targets), found.distance, rtol=1e-3, atol=1e-9
    )
    decoded = np.stack([file.pixels for file in files]) / np.float32(255)
    errors = ((found.reconstruction - decoded) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(found.loss, errors, rtol=1e-4)


def test_a_file_alone_gives_the_same_bits_as_among_others_of_other_kinds(generator, files, found):
    for i in (2, 8):
        alone = invert(generator, [files[i]], RECIPE, key=KEY)
        assert np.array_equal(alone.latent[0], found.latent[i])
        assert alone.distance[0] == found.distance[i]


def test_pixels_in_memory_are_lossless_files(generator, own, files, found):
    items = (Item(i, image) for i, image in enumerate([own[0], *files[1:8]]))
    for i, one in Engine(generator, RECIPE, key=KEY).run(items):
        assert one.distance == found.distance[i]
    assert np.array_equal(invert(generator, own[:1], RECIPE, key=KEY).latent[0], found.latent[0])


def test_distances_on_pixels_take_a_files_pixels(generator, files):
    recipe = dataclasses.replace(RECIPE, distance=distances.L2(), stages=(Stage(steps=3),))
    decoded = np.stack([file.pixels for file in files])
    first, second = (invert(generator, x, recipe, key=KEY) for x in (files, decoded))
    assert np.array_equal(first.latent, second.latent)


@pytest.mark.parametrize(
    "solver",
    [
        solvers.Optax(),
        solvers.LevenbergMarquardt(),
        pytest.param(solvers.GaussNewton(), marks=pytest.mark.outer),
        pytest.param(solvers.LBFGS(), marks=pytest.mark.outer),
    ],
    ids=lambda solver: solver.kind,
)
def test_every_solver_comes_nearer_to_the_set(generator, files, solver):
    stage = Stage(solver, steps=3, objective="l2")
    driver = "scan" if solver.chunked else "host"
    recipe = dataclasses.replace(RECIPE, stages=(stage,), chunk=1, driver=driver)
    curve = invert(generator, files, recipe, key=KEY).curve
    assert (curve[:, -1] <= curve[:, 0]).all()
    assert np.median(curve[:, -1] / curve[:, 0]) < 0.95


def test_a_plan_can_be_made(generator):
    first, second = Engine(generator, RECIPE, key=KEY).plan(repeats=1)
    assert min(first.seconds_per_step, second.seconds_per_step) > 0


class Readable(Stored):
    """A file that may hold what some other files hold."""

    ways: tuple[Stored, ...] = ()

    def readings(self):
        return list(self.ways)


def readable(*ways):
    made = Readable(*(getattr(ways[0], field.name) for field in dataclasses.fields(Stored)))
    made.ways = ways
    return made


def test_readings_are_tried_in_turn_and_the_nearest_counts(generator, files, found):
    three = readable(files[8], files[9], files[10])
    others = (Item(i, file) for i, file in enumerate([three, *files[1:8]]))
    of = dict(Engine(generator, RECIPE, key=KEY).run(others))
    # The nearest counts, and each took its evaluations.
    nearest = 8 + np.argmin(found.distance[8:11])
    assert np.array_equal(of[0].latent, found.latent[nearest])
    assert of[0].ended == "finished" and of[0].steps == found.steps[8:11].sum()
    assert all(np.array_equal(of[i].latent, found.latent[i]) for i in range(1, 8))


def test_no_reading_is_tried_after_one_that_comes_to_the_floor_or_is_accepted(generator, files):
    recipe = dataclasses.replace(RECIPE, floor=1e-7)
    whole = invert(generator, [files[9], files[0]], recipe, key=KEY)
    assert whole.ended.tolist() == ["finished", "floor"]
    statistics, told = Statistics(), []
    run = Run(statistics=statistics, progress=lambda what, done, total: told.append(done))
    three = [readable(files[9], files[0], files[10])]
    one = invert(generator, three, recipe, key=KEY, run=run)
    assert one.ended.tolist() == ["floor"]
    assert one.steps.sum() == whole.steps.sum()
    assert np.array_equal(one.latent[0], whole.latent[1])
    # One image, however often it is inverted.
    assert statistics.images == 1 and told[-1] == pytest.approx(1)
    accepted = invert(generator, three, RECIPE, key=KEY, accept=1e-4)
    assert accepted.ended.tolist() == ["accepted"]
    assert accepted.steps[0] < whole.steps.sum()


def test_the_last_images_further_readings_begin_before_their_turn(generator, files, found):
    recipe = dataclasses.replace(RECIPE, floor=1e-7, lane_block=8)
    one, two = (Statistics() for _ in range(2))
    whole = invert(generator, [*files[:7], files[8]], recipe, key=KEY, run=Run(statistics=one))
    images = [*files[:7], readable(files[8], files[9])]
    both = invert(generator, images, recipe, key=KEY, run=Run(statistics=two))
    nearest = 8 + np.argmin(found.distance[8:10])
    assert np.array_equal(both.latent[7], found.latent[nearest])
    assert np.array_equal(both.latent[:7], whole.latent[:7])
    # One reading after the other would take a block of its own, all its steps, for the second.
    assert two.lane_steps < 1.6 * one.lane_steps
