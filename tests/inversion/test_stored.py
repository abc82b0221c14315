"""Inversion through the file: a generator's own images are found in the sets of their files."""

import dataclasses
import io

import jax
import numpy as np
import pytest
from PIL import Image

from jax_origin import Descent, FunctionGenerator, InversionConfig, invert
from jax_origin.distance import stored_l2
from jax_origin.generators import sample_latents
from jax_origin.images import as_uint8, decode_bytes, stack_stored, stored_image
from jax_origin.inversion import Engine
from jax_origin.inversion.settings import SECOND_ORDER

KEY = jax.random.key(0)
WAYS = (
    {"format": "PNG"},
    {"format": "JPEG", "quality": 90, "subsampling": "4:4:4"},
    {"format": "JPEG", "quality": 75, "subsampling": "4:2:0"},
    {"format": "JPEG", "quality": 50, "subsampling": "4:2:0", "progressive": True},
)
CONFIG = InversionConfig(
    restarts=2,
    scales=(0.2, 0.6),
    distance="stored",
    stages=(
        Descent(steps=60, objective="stored_l1"),
        Descent(steps=12, solver="levenberg_marquardt", lanes=1),
    ),
    lane_block=8,
)


def picture(params, latents):
    """16x16 images, smooth: a linear map of the latent to 4x4, a sigmoid, enlarged."""
    flat = jax.nn.sigmoid(latents @ params["weight"] + params["bias"][None])
    return jax.image.resize(flat.reshape(-1, 4, 4, 3), (len(latents), 16, 16, 3), "cubic")


def store(pixels, **way):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, **way)
    data = buffer.getvalue()
    return stored_image(data, decode_bytes(data, path="a file"))


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
    return invert(generator, files, CONFIG, key=KEY)


def test_own_images_lie_in_their_files_sets_and_others_do_not(found):
    assert (found.distance[:8] < 1e-7).all()
    assert (found.distance[8:] > 1e-3).all()


def test_pixels_hold_them_apart_less(generator, files, found):
    stages = (Descent(steps=60), CONFIG.stages[1])
    config = dataclasses.replace(CONFIG, distance="l2", stages=stages)
    pixels = invert(generator, files, config, key=KEY).distance
    assert pixels[8:].min() / pixels[:8].max() < 1e-2 * found.distance[8:].min() / 1e-7


def test_what_comes_back_belongs_together(generator, files, found):
    targets = stack_stored([file.to_arrays() for file in files])
    np.testing.assert_allclose(
        stored_l2(found.reconstruction, targets), found.distance, rtol=1e-3, atol=1e-9
    )
    decoded = np.stack([file.pixels for file in files]) / np.float32(255)
    errors = ((found.reconstruction - decoded) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(found.loss, errors, rtol=1e-4)


def test_a_file_alone_gives_the_same_bits_as_among_others_of_other_kinds(generator, files, found):
    for i in (2, 8):
        alone = invert(generator, [files[i]], CONFIG, key=KEY)
        assert np.array_equal(alone.latent[0], found.latent[i])
        assert alone.distance[0] == found.distance[i]


def test_pixels_in_memory_are_lossless_files(generator, own, files, found):
    images = [own[0], *files[1:8]]
    for i, one in Engine(generator, CONFIG, key=KEY).run(images):
        assert one.distance == found.distance[i]
    assert np.array_equal(invert(generator, own[:1], CONFIG, key=KEY).latent[0], found.latent[0])


def test_distances_on_pixels_take_a_files_pixels(generator, files):
    config = dataclasses.replace(CONFIG, distance="l2", stages=(Descent(steps=3),))
    decoded = np.stack([file.pixels for file in files])
    first, second = (invert(generator, x, config, key=KEY) for x in (files, decoded))
    assert np.array_equal(first.latent, second.latent)


@pytest.mark.parametrize("solver", ["adam", *SECOND_ORDER])
def test_every_solver_comes_nearer_to_the_set(generator, files, solver):
    stage = Descent(steps=3, solver=solver, objective="stored_l2")
    driver = "scan" if solver == "adam" else "host"
    config = dataclasses.replace(CONFIG, stages=(stage,), chunk=1, driver=driver)
    curve = invert(generator, files, config, key=KEY).curve
    assert (curve[:, -1] <= curve[:, 0]).all()
    assert np.median(curve[:, -1] / curve[:, 0]) < 0.95


def test_a_plan_can_be_made(generator):
    first, second = Engine(generator, CONFIG, key=KEY).plan(repeats=1)
    assert min(first.seconds_per_step, second.seconds_per_step) > 0


@pytest.mark.parametrize(
    ("distance", "objective", "words"),
    [
        ("stored", "l1", "choose from stored_l1, stored_l2"),
        ("l2", "stored_l1", "choose from l1, l2, log_l2"),
    ],
)
def test_an_objective_goes_with_its_distance(distance, objective, words):
    with pytest.raises(ValueError, match=words) as caught:
        InversionConfig(distance=distance, stages=(Descent(objective=objective),))
    assert f"stages[0].objective='{objective}' does not go with" in str(caught.value)
