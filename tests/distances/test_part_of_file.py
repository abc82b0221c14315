"""A distance that what does not belong hardly moves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_origin.distances.file_set import number_weights
from jax_origin.distances.part_of_file import (
    PartOfFile,
    cell_side,
    cells_of,
    generic_part_error,
)
from jax_origin.images import as_float, photograph_crops, stack_stored, stored_images


@pytest.fixture(scope="module")
def photographs():
    return photograph_crops(2, (32, 32), seed=1, part="calibration")[0]


def target(stored, scale):
    made = PartOfFile().target(stored)
    return made._replace(stored=stack_stored([made.stored]), scale=jnp.full(1, scale, jnp.float32))


@pytest.mark.parametrize("name", ["clean", "jpeg-90", "jpeg-75-444"])
def test_a_block_that_is_far_off_counts_as_one_that_is_farther_off(photographs, name):
    image, other = photographs
    (stored,) = stored_images(image[None], name)
    pasted = image.copy()
    pasted[:16, :16] = other[:16, :16]
    inverse = pasted.copy()
    inverse[:16, :16] = 255 - image[:16, :16]
    distance, images = PartOfFile(), as_float(np.stack([image, pasted, inverse]))
    own, far, farther = (
        float(distance.l2(jnp.asarray(one[None]), target(stored, 1.0))[0]) for one in images
    )
    assert own < 0.01 and far == pytest.approx(farther, rel=0.15)
    weights = np.asarray(number_weights(target(stored, 1.0).stored)).sum()
    assert far < 0.3 * weights  # A quarter of the image.


@pytest.mark.parametrize("name", ["clean", "jpeg-90"])
def test_the_residual_has_the_distance_and_its_slope(photographs, name):
    image, other = photographs
    (stored,) = stored_images(image[None], name)
    distance, at = PartOfFile(), target(stored, 3.0)
    mixed = jnp.asarray(as_float((0.7 * image + 0.3 * other).astype(np.uint8)[None]))
    residual, back = jax.vjp(lambda x: distance.residual(x, at), mixed)
    assert float(jnp.sum(residual**2)) == pytest.approx(float(distance.l2(mixed, at)[0]), rel=1e-4)
    slope = jax.grad(lambda x: distance.l2(x, at)[0])(mixed)
    ours = 2 * back(residual)[0]
    # Inside of its box a number is held a little, which is no part of the slope.
    cosine = jnp.sum(ours * slope) / jnp.sqrt(jnp.sum(ours**2) * jnp.sum(slope**2))
    assert cosine > 0.95


@pytest.mark.parametrize(("name", "side"), [("clean", 4), ("jpeg-90", 8)])
def test_cells_show_where_an_image_was_changed(photographs, name, side):
    image, other = photographs
    pasted = image.copy()
    pasted[16:, :16] = other[16:, :16]
    (stored,) = stored_images(pasted[None], name)
    assert cell_side(stored) == side
    (cells,) = cells_of(as_float(image[None]), [stored.to_arrays()])
    errors, numbers = cells.errors, cells.numbers
    quarter = np.zeros(errors.shape, bool)
    quarter[errors.shape[0] // 2 :, : errors.shape[1] // 2] = True
    assert errors.shape == (32 // side, 32 // side) and errors[quarter].min() > 1
    assert errors[~quarter].max() < 0.1
    assert (cells.said == numbers).all() == (name == "clean")
    # Of a JPEG with colours at half resolution, brightness alone counts.
    assert (numbers == (48 if name == "clean" else 64)).all()
    assert cells.mean_within(quarter) == pytest.approx(errors[quarter].mean())


def test_a_code_says_a_part_better_than_the_whole(photographs):
    (stored,) = stored_images(photographs[:1], "clean")
    every, part = np.ones((8, 8), bool), np.zeros((8, 8), bool)
    part[:2, :2] = True
    assert generic_part_error(stored, part, 100) < generic_part_error(stored, every, 100) / 2
