"""The distance to what a file may have been: 0 for it, far for others, whatever the format."""

import functools
import io
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jax_origin as jo
from jax_origin.distances import L2, Distance, FileSet, as_stored
from jax_origin.images import (
    StoredArrays,
    as_float,
    as_uint8,
    decode_bytes,
    photograph_crops,
    stack_stored,
    stored_image,
    stored_images,
    stored_pixels,
)

QUALITIES = (30, 50, 75, 90, 95, 100)
outer = functools.partial(pytest.param, marks=pytest.mark.outer)
SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
STORED = FileSet()


def arrays(image: np.ndarray, format_: str = "JPEG", mode: str = "RGB", **options) -> StoredArrays:
    buffer = io.BytesIO()
    pixels = np.rint(255 * image).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(buffer, format=format_, **options)
    data = buffer.getvalue()
    found = stored_image(data, decode_bytes(data, path="a file"))
    assert found.note is None
    return found.to_arrays()


@functools.cache
def images(name: str) -> np.ndarray:
    if name == "generated":
        generator = jo.load_generator("dcgan-cifar10")
        latents = jax.random.normal(jax.random.key(0), (8, *generator.latent_shape))
        return np.asarray(generator(latents))
    height, width = map(int, name.split("x"))
    crops, _ = photograph_crops(8, (height, width), seed=0, part="demonstration")
    return crops / np.float32(255)


def hits_and_misses(images, targets):
    """Share of numbers predicted, and how far the worst of the others is beyond, grey levels."""
    off = np.abs(as_stored(jnp.asarray(images), targets) - targets.middles)
    stored = targets.row_weights[..., None] * targets.column_weights[:, :, None] > 0
    beyond = (off - targets.halves)[stored]
    return np.mean(beyond <= 0), beyond.max()


@pytest.mark.parametrize("name", ["32x32", "50x37", *map(outer, ("generated", "64x64", "33x16"))])
@pytest.mark.parametrize("subsampling", SAMPLINGS)
def test_what_libjpeg_stores_is_predicted(name, subsampling):
    for quality in QUALITIES:
        files = [arrays(x, quality=quality, subsampling=subsampling) for x in images(name)]
        targets = stack_stored(files)
        hits, worst = hits_and_misses(images(name), targets)
        # What is missed is missed by the encoder's rounding, whole grey levels however wide a step.
        assert hits > {100: 0.65, 95: 0.93, 90: 0.965}.get(quality, 0.985)
        assert worst < 4
        assert STORED.l2(images(name), targets).max() < 3e-7
        assert STORED.l2(images(name)[::-1], targets).min() > 1e-4


@pytest.mark.parametrize("options", [{"progressive": True}, {"optimize": True}, {"mode": "L"}])
def test_progressive_optimised_and_grey_files_are_predicted(options):
    targets = stack_stored([arrays(x, quality=80, **options) for x in images("50x37")])
    assert hits_and_misses(images("50x37"), targets)[0] > 0.99
    assert STORED.l2(images("50x37"), targets).max() < 3e-7


def test_rows_averaged_alone_are_predicted():
    # No encoder at hand writes 4:4:0; of a picture turned, 4:2:2's coefficients are its transposed.
    for size in ("32x32", "50x37"):
        upright = images(size)
        turned = stack_stored(
            [arrays(x.swapaxes(0, 1), quality=90, subsampling="4:2:2") for x in upright]
        )
        targets = turned._replace(
            middles=turned.middles.swapaxes(2, 3),
            halves=turned.halves.swapaxes(2, 3),
            whole=turned.whole.swapaxes(1, 2),
            rows=turned.columns,
            columns=turned.rows,
            row_weights=turned.column_weights,
            column_weights=turned.row_weights,
            resize_rows=turned.resize_columns,
            resize_columns=turned.resize_rows,
        )
        assert hits_and_misses(upright, targets)[0] > 0.96


def test_of_lossless_files_it_is_what_lies_beyond_half_a_level():
    one, other = images("50x37")[:4], images("50x37")[4:]
    targets = stack_stored([arrays(x, "PNG") for x in one])
    noise = np.random.default_rng(0).uniform(-0.499, 0.499, one.shape).astype(np.float32) / 255
    assert (STORED.l2(jnp.asarray(one + noise), targets) == 0).all()
    beyond = np.maximum(np.abs(255.0 * other - np.rint(255 * one)) - 0.5, 0) / 255
    np.testing.assert_allclose(
        STORED.l2(other, targets), (beyond**2).mean((1, 2, 3)), rtol=1e-4, atol=0
    )
    np.testing.assert_allclose(STORED.l1(other, targets), beyond.mean((1, 2, 3)), rtol=1e-4, atol=0)


def test_of_one_channel_it_is_the_same():
    one, other = images("32x32")[:4, ..., :1], images("32x32")[4:, ..., :1]
    targets = stack_stored([found.to_arrays() for found in stored_pixels(one)])
    beyond = np.maximum(np.abs(255.0 * other - np.rint(255 * one)) - 0.5, 0) / 255
    np.testing.assert_allclose(STORED.l2(other, targets), (beyond**2).mean((1, 2, 3)), rtol=1e-4)


def test_far_from_the_set_it_is_near_the_distance_of_the_pixels():
    one, other = images("64x64")[:4], images("64x64")[4:]
    for options in ({"quality": 95, "subsampling": "4:4:4"}, {"quality": 95, "keep_rgb": True}):
        targets = stack_stored([arrays(x, **options) for x in one])
        ratio = STORED.l2(other, targets) / np.mean((one - other) ** 2, axis=(1, 2, 3))
        assert np.all((ratio > 0.7) & (ratio < 1.3))


def test_files_of_all_kinds_share_a_batch():
    kinds = [
        {"format_": "PNG"},
        {"format_": "PNG", "mode": "L"},
        {"mode": "L"},
        {"keep_rgb": True},
        *({"quality": q, "subsampling": s} for q, s in itertools.product((40, 95), SAMPLINGS[:2])),
    ]
    one, other = images("50x37"), images("50x37")[::-1].copy()
    files = [arrays(x, **kind) for x, kind in zip(one, kinds, strict=True)]
    together = jax.jit(STORED.l2)(other, stack_stored(files))
    alone = [STORED.l2(other[i : i + 1], stack_stored([files[i]]))[0] for i in range(8)]
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    assert (STORED.l2(one, stack_stored(files)) < 1e-6).all()


def test_a_margin_widens_the_boxes_of_coefficients_alone():
    one, other = images("32x32")[:2], images("32x32")[2:4]
    jpeg = stack_stored([arrays(x, quality=90) for x in one])
    at = [float(FileSet(margin).l1(other, jpeg)[0]) for margin in (0.0, 1.0, 2.0)]
    assert at[0] > at[1] > at[2] > 0
    png = stack_stored([arrays(x, "PNG") for x in one])
    assert np.array_equal(FileSet(0.0).l1(other, png), FileSet(2.0).l1(other, png))


@pytest.mark.parametrize("distance", [STORED.l1, STORED.l2], ids=["l1", "l2"])
def test_gradients_lead_into_the_set_and_end_there(distance):
    goal, start = images("32x32")[:2], images("32x32")[2:4]
    targets = stack_stored([arrays(goal[0], quality=75), arrays(goal[1], "PNG")])
    grad = jax.grad(lambda x: jnp.sum(distance(x, targets)))
    assert (grad(jnp.asarray(goal)) == 0).all()
    downhill = -grad(jnp.asarray(start))
    lower = distance(start + 1e-3 * downhill / jnp.abs(downhill).max(), targets)
    assert (lower < distance(start, targets)).all()
    point, step = jnp.asarray(start), 1e-2 * downhill / jnp.abs(downhill).max()
    slope = jnp.sum(distance(point + step, targets) - distance(point - step, targets)) / 2
    np.testing.assert_allclose(slope, -jnp.sum(step * downhill), rtol=0.05)


@pytest.mark.parametrize("edit", ["resize-0.75", "resize-0.5-bicubic", "crop-2"])
def test_the_way_to_another_size_is_gone_before_comparing(edit):
    made = images("generated")
    files = stored_images(np.rint(255 * made).astype(np.uint8), edit)
    plain = STORED.l2(made, stack_stored([file.to_arrays() for file in files]))
    assert plain.min() > 1e-5
    for i, file in enumerate(files):
        distances = [
            float(STORED.l2(made[i : i + 1], stack_stored([reading.to_arrays()]))[0])
            for reading in file.readings()
        ]
        assert min(distances) < 1e-6


def test_ways_share_a_batch_with_files_that_went_none():
    made = images("generated")[:2]
    pixels = np.rint(255 * made).astype(np.uint8)
    (plain,) = stored_images(pixels[:1], "clean")
    *_, way = stored_images(pixels[1:], "crop-2")[0].readings()
    both = STORED.l2(made, stack_stored([plain.to_arrays(), way.to_arrays()]))
    alone = STORED.l2(made[:1], stack_stored([plain.to_arrays()]))
    assert both[0] == alone[0] == 0
    assert both[1] < 1e-6
    gradient = jax.grad(lambda x: STORED.l1(x, stack_stored([way.to_arrays()])).sum())(made[:1])
    assert not np.any(gradient[:, :2]) and np.any(gradient[:, 2:-2])  # What was cut off is free.


@pytest.mark.parametrize("name", ["32x32", outer("50x37")])
@pytest.mark.parametrize("subsampling", SAMPLINGS)
def test_what_is_missed_in_one_place_is_missed_there_of_any_file(name, subsampling):
    shown = images(name)[:2]
    height, width = shown.shape[1:3]
    pixels = stack_stored([arrays(image, format_="PNG") for image in shown])
    files = stack_stored([arrays(i, quality=90, subsampling=subsampling) for i in shown])
    for rows, columns in itertools.product((slice(0, 8), slice(height - 8, height)), repeat=2):
        columns = slice(width - columns.stop + columns.start, width) if columns.start else columns
        spot = shown.copy()
        spot[:, rows, columns] = 1 - spot[:, rows, columns]
        for targets in (pixels, files):
            found = STORED.evenness(jnp.asarray(spot), targets)
            # Blocks of colours are twice as wide, and parts no multiple of blocks.
            assert (found >= 1 / 16 - 1e-6).all() and (found < 0.3).all()
        grey = stack_stored([arrays(image, mode="L", quality=90) for image in shown])
        assert (STORED.evenness(jnp.asarray(spot), grey) < 0.7).all()
    assert (STORED.evenness(jnp.asarray(1 - shown), files) > 0.6).all()
    # Of a lossless file it is that of what lies beyond half a level.
    far = np.clip(shown + 0.5 * (shown < 0.5) - 0.5 * (shown >= 0.5), 0, 1)
    if height % 16 == width % 16 == 0:
        np.testing.assert_allclose(
            STORED.evenness(jnp.asarray(far), pixels),
            L2().evenness(jnp.asarray(far), jnp.asarray(shown)),
            rtol=1e-3,
        )


def test_a_calibration_from_before_webp_had_a_set_holds_it_against_its_pixels():
    old = Distance.from_json({"kind": "file_set", "margin": 1.0})
    assert old == FileSet(webp=False) and Distance.from_json(FileSet().to_json()) == FileSet()
    one = as_uint8(images("50x37")[:1])
    for edit in ("webp-80", "jpeg-75", "clean"):
        (stored,) = stored_images(one, edit)
        wanted = stored.as_pixels() if edit == "webp-80" else stored
        for ours, theirs in zip(old.target(stored), wanted.to_arrays(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        distances = [
            float(each.l2(as_float(one), stack_stored([each.target(stored)]))[0])
            for each in (old, STORED)
        ]
        assert (distances[0] > 1000 * distances[1]) == (edit == "webp-80")
