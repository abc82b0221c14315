"""A learned start begins nearer than a sample of the prior, and is the same again from its file."""

import dataclasses
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from jax_origin import (
    CheckpointError,
    FunctionGenerator,
    Recipe,
    Run,
    Stage,
    StartTraining,
    invert,
    learn_start,
    load_generator,
    solvers,
    starts,
)
from jax_origin.generators import sample_latents
from jax_origin.images import as_uint8
from jax_origin.inversion import encoder_from_arrays, start_encoder
from jax_origin.inversion.start_encoder import jpeg_rounded

pytestmark = pytest.mark.outer

KEY = jax.random.key(0)
SHORT = StartTraining(steps=50, batch_size=32, width=8, hidden=32)
# A step too small to move: the latent is the starting point.
STILL = Recipe(
    start=starts.Learned((0.0,)),
    restarts=1,
    stages=(Stage(solvers.Optax("sgd", 1e-30), steps=1),),
    lane_block=8,
)


def painted(params, latents):
    return jax.nn.sigmoid(jnp.tensordot(latents, params, latents.ndim - 1))


def painter(latent_shape, image_shape, seed=0):
    """Images that are a smooth function of a latent of any shape, a grid's cells in their place."""
    height, width, _ = image_shape
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(*latent_shape, *image_shape)).astype(np.float32)
    if len(latent_shape) == 3:  # A cell of the grid is seen where it lies.
        rows, columns, _ = latent_shape
        down = np.arange(height) * rows // height == np.arange(rows)[:, None]
        across = np.arange(width) * columns // width == np.arange(columns)[:, None]
        weight *= (down[:, None, :, None] & across[None, :, None, :])[:, :, None, :, :, None]
    return FunctionGenerator(painted, weight, latent_shape=latent_shape, image_shape=image_shape)


def samples(generator, num, seed):
    latents = sample_latents(generator, jax.random.key(seed), num)
    return latents, np.asarray(generator(latents))


def nearness(generator, start, num=64):
    """Error of the encodings' images, and of random latents', over the same images."""
    latents, images = samples(generator, num, 5)
    _, others = samples(generator, num, 6)
    found = start(images)
    assert found.shape == latents.shape
    return np.mean((generator(found) - images) ** 2), np.mean((others - images) ** 2)


def same(first, second):
    names = first.arrays().keys()
    assert names == second.arrays().keys()
    return all(np.array_equal(first.arrays()[name], second.arrays()[name]) for name in names)


@pytest.fixture(scope="module")
def start(generator):
    return learn_start(generator, SHORT, key=KEY)


def test_a_few_steps_bring_it_far_nearer_than_a_sample_of_the_prior(generator, start):
    encoded, random = nearness(generator, start)
    assert encoded < 0.2 * random


@pytest.mark.parametrize(
    ("latent_shape", "image_shape"),
    [
        pytest.param((4, 4, 2), (8, 8, 3), marks=pytest.mark.outer),  # a grid
        ((2, 3, 2), (11, 14, 1)),  # a grid whose cells do not divide the image
        pytest.param((5,), (11, 14, 3), marks=pytest.mark.outer),
        pytest.param((5,), (16, 8, 1), marks=pytest.mark.outer),
        pytest.param((2, 3), (5, 3, 4), marks=pytest.mark.outer),
        ((3,), (2, 2, 1)),
        pytest.param((4,), (33, 40, 3), marks=pytest.mark.outer),
    ],
)
def test_latents_and_images_of_any_shape_can_be_learned(latent_shape, image_shape):
    model = painter(latent_shape, image_shape)
    found = learn_start(model, dataclasses.replace(SHORT, steps=60, width=4), key=KEY)
    assert found.image_shape == image_shape and found.latent_shape == latent_shape
    encoded, random = nearness(model, found)
    assert encoded < 0.6 * random


def test_of_a_window_it_sees_the_image_without_its_surroundings():
    shape = (16, 32, 3)
    same = FunctionGenerator(lambda _, z: z, (), latent_shape=shape, image_shape=shape)
    seen = jax.random.uniform(KEY, (2, 24, 40, 3))  # 4 pixels around
    keys = jax.random.split(KEY, (2, 1))
    points = starts.Learned().points(same, seen, keys, encode=lambda images: images)
    np.testing.assert_array_equal(points[:, 0], seen[:, 4:20, 4:36])


def test_its_weights_are_float16_and_make_the_same_encoder_again_to_the_bit(generator, start):
    arrays = start.arrays()
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}
    again = encoder_from_arrays(json.loads(json.dumps(start.config)), arrays)
    assert again.config == start.config and again.digest == start.digest
    assert same(again, start)
    _, images = samples(generator, 8, 5)
    assert np.array_equal(again(images), start(images))
    # Nothing was lost to float16: training ends with numbers that it holds.
    weights = [leaf[...] for leaf in jax.tree.leaves(nnx.state(start), is_leaf=_is_variable)]
    assert all(np.array_equal(w, np.asarray(w, np.float16).astype(np.float32)) for w in weights)


def test_an_encoder_of_a_file_has_the_numbers_of_that_file(start):
    for edited in (1.0, 1, 1.0):  # Equal, and not written alike.
        config = {**start.config, "training": {**start.config["training"], "edited": edited}}
        made = encoder_from_arrays(config, start.arrays())
        assert json.dumps(made.config) == json.dumps(config)


def _is_variable(leaf):
    return isinstance(leaf, nnx.Variable)


def test_the_same_key_gives_the_same_bits_and_another_key_others(generator, start):
    assert same(learn_start(generator, SHORT, key=KEY), start)
    other = learn_start(generator, SHORT, key=jax.random.key(1))
    assert not same(other, start)
    assert other.digest != start.digest


def test_the_digest_is_of_config_and_weights(start):
    arrays = start.arrays()
    name = next(iter(arrays))
    moved = {**arrays, name: arrays[name] + np.float16(0.5)}
    assert encoder_from_arrays(start.config, moved).digest != start.digest
    training = {**start.config["training"], "steps": 31}
    renamed = encoder_from_arrays({**start.config, "training": training}, arrays)
    assert renamed.digest != start.digest and same(renamed, start)


def test_progress_tells_every_step(generator):
    told: list[tuple] = []
    learn_start(generator, SHORT, key=KEY, run=Run(progress=lambda *what: told.append(what)))
    assert [(done, total) for _, done, total in told] == [(i, 50) for i in range(1, 51)]


@pytest.mark.outer
def test_what_is_cached_is_not_trained_again(
    generator, make_generator, start, tmp_path, monkeypatch
):
    kept = tmp_path / "starts"
    assert same(learn_start(generator, SHORT, key=KEY, run=Run(cache=kept)), start)
    assert len(list(kept.iterdir())) == 1
    # Another generator, another key, another training: another encoder.
    quick = dataclasses.replace(SHORT, steps=2)
    for model, training, key in (
        (make_generator(1), SHORT, KEY),
        (generator, SHORT, jax.random.key(1)),
        (generator, quick, KEY),
    ):
        before = len(list(kept.iterdir()))
        assert not same(learn_start(model, training, key=key, run=Run(cache=kept)), start)
        assert len(list(kept.iterdir())) == before + 1

    def refuse(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(start_encoder, "sample_latents", refuse)
    told: list[tuple] = []
    # The fingerprint is of the weights: another module with the same ones is the same generator.
    run = Run(cache=str(kept), progress=lambda *what: told.append(what))
    again = learn_start(make_generator(0), SHORT, key=KEY, run=run)
    assert same(again, start) and again.digest == start.digest
    assert [(done, total) for _, done, total in told] == [(50, 50)]
    with pytest.raises(AssertionError, match="trained again"):
        learn_start(make_generator(2), SHORT, key=KEY, run=Run(cache=kept))


def test_a_damaged_file_in_the_cache_is_named(generator, tmp_path):
    start = learn_start(generator, SHORT, key=KEY, run=Run(cache=tmp_path))
    assert same(learn_start(generator, SHORT, key=KEY, run=Run(cache=tmp_path)), start)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=rf"{file.name}: not a whole safetensors file"):
        learn_start(generator, SHORT, key=KEY, run=Run(cache=tmp_path))


def test_weights_that_do_not_fit_are_refused(start):
    arrays = start.arrays()
    name = next(iter(arrays))
    short = {other: array for other, array in arrays.items() if other != name}
    for wrong in (
        short,
        {**arrays, "more": arrays[name]},
        {**arrays, name: arrays[name][..., :-1]},
    ):
        with pytest.raises(ValueError, match="the learned start's weights do not fit its config"):
            encoder_from_arrays(start.config, wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"latent_shape": [7]},
        {"image_shape": [8, 8, 1]},
        {"training": {"width": 16, "hidden": 32}},
    ],
)
def test_weights_of_another_config_are_refused(start, change):
    with pytest.raises(ValueError, match="the learned start's weights do not fit its config"):
        encoder_from_arrays({**start.config, **change}, start.arrays())


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"image_shape": [8, 8, 3], "latent_shape": [6]},
        {"image_shape": [8, 8], "latent_shape": [6], "training": {}},
        {"image_shape": [8, 8, 3], "latent_shape": [6], "training": {"depth": 3}},
        {"image_shape": [8, 8, 3], "latent_shape": [6], "training": {"width": 0}},
        {"image_shape": [8, 8, 3], "latent_shape": 6, "training": {}},
    ],
)
def test_a_config_of_no_encoder_is_refused_in_one_line(start, config):
    with pytest.raises(ValueError, match="no learned start can be made of such a config") as caught:
        encoder_from_arrays(config, start.arrays())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, not 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number of at least 1, not 2.5"),
        ({"width": -1}, "width must be a whole number"),
        ({"hidden": None}, "hidden must be a whole number"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, not 0.0"),
        ({"edited": 1.5}, "edited must lie in"),
        ({"noise": -0.1}, "noise be 0 or more"),
    ],
)
def test_a_wrong_training_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        StartTraining(**change)


def test_a_generator_of_nan_is_refused(make_generator):
    broken = make_generator(0)
    nnx.update(broken, jax.tree.map(lambda w: w * np.nan, nnx.state(broken, nnx.Param)))
    with pytest.raises(ValueError, match="NaN"):
        learn_start(broken, dataclasses.replace(SHORT, steps=2), key=KEY)


@pytest.mark.outer
@pytest.mark.parametrize("edited", [0.0, 1.0])
def test_edits_are_part_of_the_training(generator, start, edited):
    training = dataclasses.replace(SHORT, edited=edited)
    other = learn_start(generator, training, key=KEY)
    assert not same(other, start)
    encoded, random = nearness(generator, other)
    assert encoded < 0.2 * random


def test_inversion_begins_at_the_encoding(generator, start):
    images = as_uint8(samples(generator, 5, 5)[1])
    found = invert(generator, images, STILL, key=KEY, encoder=start)
    np.testing.assert_allclose(found.latent, start(images / np.float32(255)), rtol=1e-4, atol=1e-5)


def test_restarts_begin_around_the_encoding_by_the_scales(generator, start):
    images = as_uint8(samples(generator, 5, 5)[1])
    centre = start(images / np.float32(255))
    away = []
    for scale in (0.25, 0.5):
        config = dataclasses.replace(STILL, start=starts.Learned((scale,)))
        found = invert(generator, images, config, key=KEY, encoder=start).latent
        away.append((found - centre) / scale)
    # The very samples of the prior that the image would start from.
    prior = invert(
        generator, images, dataclasses.replace(STILL, start=starts.Prior()), key=KEY
    ).latent
    np.testing.assert_allclose(away, [prior, prior], atol=1e-4)
    config = dataclasses.replace(STILL, start=starts.Learned((0.0, 50.0)), restarts=3)
    three = invert(generator, images, config, key=KEY, encoder=start)
    # So far away nothing is found: the restarts at the encoding win, the first of the two.
    assert three.restart.tolist() == [0] * 5
    np.testing.assert_allclose(three.latent, centre, rtol=1e-4, atol=1e-5)


def test_a_descent_from_the_encoding_gets_further(generator, start):
    images = as_uint8(samples(generator, 16, 5)[1])
    stages = (Stage(solvers.Optax("adam", 0.1), steps=10),)
    config = dataclasses.replace(STILL, stages=stages)
    learned = invert(generator, images, config, key=KEY, encoder=start).loss
    prior = invert(
        generator, images, dataclasses.replace(config, start=starts.Prior()), key=KEY
    ).loss
    assert np.median(learned) < 0.1 * np.median(prior)


def test_a_learned_start_needs_its_encoder(generator):
    images = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=r"starts\.Learned needs an encoder: pass encoder="):
        invert(generator, images, STILL, key=KEY)


@pytest.mark.parametrize(
    ("latent_shape", "image_shape", "message"),
    [
        ((4,), (8, 8, 3), r"was made for latent_shape \(6,\), the generator has \(4,\)"),
        ((6,), (8, 8, 1), r"was made for image_shape \(8, 8, 3\), the generator has \(8, 8, 1\)"),
    ],
)
def test_an_encoder_of_other_shapes_is_refused(start, latent_shape, image_shape, message):
    model = painter(latent_shape, image_shape)
    with pytest.raises(ValueError, match=message):
        invert(model, np.zeros((1, *image_shape), np.uint8), STILL, key=KEY, encoder=start)


def photograph(height, width, channels):
    """Smooth shapes with an edge, and grain: none of a JPEG's steps leaves it as it is."""
    down, across = np.mgrid[:height, :width]
    waves = [
        np.sin(down / (3 + c)) + np.cos(across / (4 + c)) + (down > across) for c in range(channels)
    ]
    image = 110 + 35 * np.stack(waves, axis=-1)
    image += np.random.default_rng(0).normal(scale=6, size=image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def through_pillow(image, quality):
    buffer = io.BytesIO()
    pixels = image[..., 0] if image.shape[2] == 1 else image
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality, subsampling=0)
    return np.asarray(Image.open(buffer)).reshape(image.shape)


@pytest.mark.parametrize("shape", [(48, 64, 3), (21, 13, 3), (48, 64, 1), (21, 13, 1)])
@pytest.mark.parametrize("quality", [30, 50, 75, 90])
def test_images_are_rounded_as_pillow_s_jpeg_rounds_them(shape, quality):
    image = photograph(*shape)
    expected = through_pillow(image, quality).astype(np.float32)
    rounded = jpeg_rounded(image[None] / np.float32(255), np.float32([quality]))
    assert rounded.shape == (1, *shape)
    assert rounded.min() >= 0 and rounded.max() <= 1
    off = np.abs(255 * rounded[0] - expected).mean()
    assert off < 1.5
    # That is little against what the rounding does to the image.
    assert off < 0.5 * np.abs(image - expected).mean()


def test_each_image_is_rounded_at_its_own_quality():
    images = np.stack([photograph(16, 16, 3)] * 3) / np.float32(255)
    qualities = np.float32([40, 95, 70])
    rounded = jpeg_rounded(images, qualities)
    for i in range(3):
        alone = jpeg_rounded(images[i : i + 1], qualities[i : i + 1])
        np.testing.assert_allclose(rounded[i], alone[0], atol=1e-5)
    errors = np.abs(rounded - images).mean((1, 2, 3))
    assert errors[1] < errors[2] < errors[0]


@pytest.mark.parametrize(
    "steps,most,made",
    [
        (8, 9, [0, 1] * 4),  # Two batches are enough for eight steps.
        (10, 2, [0, 1] * 4 + [8, 9]),
        (6, 0, [0] * 4 + [4] * 2),  # Of large images there is room for one batch.
    ],
)
def test_a_batch_serves_four_steps_and_others_between_them(steps, most, made):
    assert list(start_encoder._in_turn(lambda i: i, steps, most)) == made


def shown_in_part(images):
    """An encoder that sees too little of each number, and more of the others than there is."""
    mixed = jnp.array([[0.5, 0.2, 0.0], [-0.3, 0.6, 0.1], [0.1, 0.0, 0.4]])
    return images.reshape(len(images), 3) @ mixed + 0.2


def plain(num):
    """Images whose first three numbers are the latent."""
    return FunctionGenerator(
        lambda _, z: z[:, None, :, None],
        (),
        latent_shape=(num,),
        image_shape=(1, num, 1),
    )


@pytest.mark.parametrize("corrections", [1, 2, 3, 4])
def test_corrections_end_at_the_latent_after_one_for_each_of_its_numbers_and_one(corrections):
    images = jax.random.uniform(KEY, (8, 1, 3, 1), minval=0.4, maxval=0.6)
    keys = jax.random.split(KEY, (8, 1))
    start = starts.Learned(corrections=corrections)
    found = start.points(plain(3), images, keys, shown_in_part)[:, 0]
    missed = np.abs(found - images.reshape(8, 3)).max(axis=1)
    # On a linear map Anderson's mixing is GMRES: it ends after as many turns as there are numbers.
    assert missed.max() < 1e-4 if corrections == 4 else missed.min() > 1e-3
    assert start.evaluations == pytest.approx((2 * corrections + 1) / 3)


def test_a_correction_that_leads_away_is_not_taken():
    images = jax.random.uniform(KEY, (8, 1, 3, 1), minval=0.4, maxval=0.6)
    keys = jax.random.split(KEY, (8, 1))
    away = lambda images: 20 * (0.5 - images.reshape(len(images), 3)) + 0.5  # noqa: E731
    far = lambda images: jnp.where(images.mean() > 2, jnp.nan, away(images))  # noqa: E731
    for encode in (away, far):
        still, moved = (
            starts.Learned(corrections=n).points(plain(3), images, keys, encode) for n in (0, 2)
        )
        made = (np.clip(points[:, 0], 0.0, 1.0) for points in (still, moved))
        before, after = ((each - images.reshape(8, 3)) ** 2 for each in made)
        assert np.all(after.mean(axis=1) <= before.mean(axis=1) + 1e-6)


def test_a_trained_start_that_is_corrected_is_nearer_and_its_cost_counts(generator, start):
    images = as_uint8(samples(generator, 16, 5)[1])
    once = invert(generator, images, STILL, key=KEY, encoder=start)
    recipe = dataclasses.replace(STILL, start=starts.Learned(corrections=4))
    found = invert(generator, images, recipe, key=KEY, encoder=start)
    assert np.all(found.loss <= once.loss * (1 + 1e-5))
    assert np.median(found.loss) < 0.5 * np.median(once.loss)
    assert found.steps.tolist() == [4] * 16 and once.steps.tolist() == [1] * 16
    assert recipe.evaluations((4,)) == 4 and recipe.evaluations_by_check((4,)) == [4.0]


def test_of_a_generator_in_bfloat16_the_start_is_in_float32():
    generator = load_generator("dcgan-cifar10")  # Its convolutions take one kind of numbers.
    encoder = learn_start(generator, dataclasses.replace(SHORT, steps=2), key=KEY)
    images = as_uint8(samples(generator, 4, 5)[1])
    recipe = dataclasses.replace(STILL, start=starts.Learned(corrections=2))
    whole, half = (
        invert(generator, images, dataclasses.replace(recipe, compute=c), key=KEY, encoder=encoder)
        for c in ("float32", "bfloat16")
    )
    assert half.latent.dtype == np.float32
    np.testing.assert_allclose(half.latent, whole.latent, atol=0.05)


def test_corrections_are_counted_from_nothing():
    with pytest.raises(ValueError, match="corrections must be a whole number of at least 0"):
        starts.Learned(corrections=-1)
