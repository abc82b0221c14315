"""Which part of an image a file shows, as numbers beside a latent."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from scipy.ndimage import gaussian_filter

from jax_origin.distances import FileSet
from jax_origin.generators import DCGAN
from jax_origin.images import edit_images, stack_stored, stored_images, stored_pixels
from jax_origin.inversion import StartEncoder, StartTraining
from jax_origin.inversion.reframed import (
    NUM_PARAMETERS,
    Frame,
    Framed,
    Placed,
    Reframed,
    ReframedEncoder,
    frame_of,
    unframed,
)
from jax_origin.inversion.retouched import Retouched

BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR


@pytest.fixture(scope="module")
def smooth():
    """An image of three channels, uint8 [24, 20, 3], and one of it as float."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (7, 6, 3), np.uint8))
    image = np.asarray(small.resize((20, 24), BICUBIC))
    return image, image[None].astype(np.float32) / 255


NOISE = np.random.default_rng(3).uniform(size=(1, 16, 16, 3)).astype(np.float32)


class Always(nnx.Module):
    """A generator of one image."""

    image_shape, latent_shape = (16, 16, 3), (2,)

    def __call__(self, latents):
        return jnp.repeat(jnp.asarray(NOISE), len(latents), axis=0)


def nothing(images):
    """An encoder that knows nothing: the frame alone decides."""
    return jnp.zeros((len(images), 2))


def frame(scale=(1.0, 1.0), shift=(0.0, 0.0), angle=0.0, kernel=(0.0, 0.0)):
    parts = (scale, shift, angle, kernel)
    return Frame(*(jnp.asarray([part], jnp.float32) for part in parts))


def inside(images):
    return np.rint(255 * np.asarray(images).clip(0, 1)[0, 3:-3, 3:-3])


def test_the_whole_is_as_it_is(smooth):
    _, image = smooth
    np.testing.assert_allclose(frame()(image), image, atol=1e-6)
    np.testing.assert_allclose(frame().undone(image), image, atol=1e-6)
    whole = Frame.of(jnp.asarray(Framed().frames()[:1]))
    np.testing.assert_allclose(whole(image), image, atol=1e-5)


@pytest.mark.parametrize(("resample", "kernel"), [(BICUBIC, (0, 0)), (BILINEAR, (1, 0))])
def test_a_cut_is_enlarged_as_pillow_does_it(smooth, resample, kernel):
    pixels, image = smooth
    cut = Image.fromarray(pixels[2:20, 1:18]).resize((20, 24), resample)
    of = frame((18 / 24, 17 / 20), ((2 + 9) / 24 - 0.5, (1 + 8.5) / 20 - 0.5), 0.0, kernel)
    np.testing.assert_allclose(inside(of(image)), np.asarray(cut)[3:-3, 3:-3], atol=1)


def test_an_image_is_turned_as_pillow_does_it(smooth):
    pixels, image = smooth
    turned = Image.fromarray(pixels).rotate(-4.0, BICUBIC)
    of = frame(angle=np.radians(4.0), kernel=(0.0, 0.5))  # It has a = -1 there.
    np.testing.assert_allclose(inside(of(image)), np.asarray(turned)[3:-3, 3:-3], atol=1)


def test_what_is_undone_was_done(smooth):
    _, image = smooth
    of = frame((0.95, 0.9), (0.01, -0.02), 0.05)
    back = of(of.undone(image))
    np.testing.assert_allclose(inside(back), inside(image), atol=20)
    assert np.abs(inside(of(image)) - inside(image)).max() > 40


def test_a_sharper_kernel_is_another_cubic(smooth):
    """As PyTorch and OpenCV have it, a = -3/4."""
    _, image = smooth
    of = frame((0.8, 0.8), kernel=(0.0, 0.25))
    sharper, usual = (np.asarray(each(image)) for each in (of, frame((0.8, 0.8))))
    assert np.abs(sharper - usual).max() > 0.004
    x = np.array([0.3, 0.7, 1.3, 1.7])
    a = -0.75
    wanted = np.where(x < 1, ((a + 2) * x - (a + 3)) * x**2 + 1, a * (((x - 5) * x + 8) * x - 4))
    spike = np.zeros((1, 9, 9, 1), np.float32)
    spike[0, 4, 4] = 1.0
    near = Frame(*(part for part in frame(kernel=(0.0, 0.25))))
    for away, weight in zip(x, wanted, strict=True):
        shown = near._replace(shift=jnp.array([[away / 9, 0.0]]))(spike)
        assert float(shown[0, 4, 4, 0]) == pytest.approx(weight, abs=1e-5)


def test_numbers_follow_the_latent():
    generator = DCGAN(image_size=8, latent_dim=4, width=4, rngs=nnx.Rngs(0))
    reframed = Reframed(generator)
    assert reframed.latent_shape == (4 + NUM_PARAMETERS,)
    latents = reframed.sample_latents(jax.random.key(0), 3)
    assert latents.shape == (3, *reframed.latent_shape)
    whole = Framed().frames()[0]
    plain = latents.at[:, 4:].set(whole)
    made = np.clip(generator(latents[:, :4]), 0, 1)
    np.testing.assert_allclose(reframed(plain), made, atol=1e-5)
    assert (
        frame_of(plain[0]).words
        == "100% of its height and 100% of its width, turned +0.0° clockwise"
    )


def test_frames_that_are_compared_lie_inside_the_image():
    for start, num in ((Framed(), 22), (Framed(least=0.6), 171)):
        of = Frame.of(jnp.asarray(start.frames()))
        assert len(start.frames()) == num and start.evaluations == math.ceil((num + 16) * 2 / 3)
        upright = np.abs(np.asarray(of.angle)) < 1e-6
        reach = np.abs(of.shift) + np.asarray(of.scale) / 2
        assert reach[upright].max() < 0.5 + 1e-5
        assert np.asarray(of.scale).min() >= start.least * 0.99
    assert Framed(lanes=500).restarts == len(Framed().frames())
    with pytest.raises(ValueError, match="least must be"):
        Framed(least=0.2)
    with pytest.raises(ValueError, match="lanes"):
        Framed(lanes=0)


def test_a_search_begins_at_the_frame_that_fits():
    """With an encoder that knows nothing, a generator of one image: the frame alone decides."""
    start = Framed(lanes=3)
    parameters = jnp.asarray(start.frames())
    keys = jax.random.split(jax.random.key(0), (1, 3))
    for index in (1, 3, 9):
        file = Frame.of(parameters[index : index + 1])(jnp.asarray(NOISE))
        points = start.centres(Reframed(Always()), file, keys, nothing)
        assert points.shape == (1, 3, 2 + NUM_PARAMETERS)
        np.testing.assert_allclose(points[0, 0, 2:], parameters[0], atol=1e-6)  # The whole.
        np.testing.assert_allclose(points[0, 1, 2:], parameters[index], atol=1e-6)
    both = start.centres(Retouched(Reframed(Always())), file, keys, nothing)
    np.testing.assert_array_equal(both[..., : points.shape[2]], points)
    assert not both[..., points.shape[2] :].any()
    with pytest.raises(ValueError, match="ReframedEncoder"):
        start.centres(Reframed(Always()), NOISE, keys, None)


def test_frames_are_compared_by_corrected_latents_and_begin_with_those_of_the_encoder():
    pattern = np.random.default_rng(1).uniform(0.1, 0.9, size=(2, 16, 16, 3)).astype(np.float32)
    pattern = gaussian_filter(pattern, (0, 2, 2, 0))  # Frames that are near look alike.

    class Mixed(nnx.Module):
        image_shape, latent_shape = (16, 16, 3), (1,)

        def __call__(self, latents):
            share = latents[:, :, None, None]
            return share * pattern[:1] + (1 - share) * pattern[1:]

    def encode(images):  # By a half of what it should be: a correction halves what is missing.
        along = pattern[0] - pattern[1]
        share = jnp.einsum("nhwc,hwc->n", images - pattern[1:], along) / np.sum(along**2)
        return 0.5 * share[:, None]

    frames = jnp.asarray(Framed().frames())
    keys = jax.random.split(jax.random.key(0), (1, 3))
    first = {0: 0, 1: 0}
    for corrections in first:
        start = Framed(corrections=corrections)
        for index in range(1, len(frames)):
            frame = frames[index : index + 1]
            file = Frame.of(frame)(Mixed()(jnp.ones((1, 1))))
            points = start.centres(Reframed(Mixed()), file, keys, encode)[0]
            if np.abs(points[1, 1:] - frame[0]).max() < 1e-5:
                first[corrections] += 1
                began = encode(Frame.of(frame).undone(file))[0]
                np.testing.assert_allclose(points[1, :1], began, atol=1e-5)
    assert first[0] < 10 and first[1] == len(frames) - 1, first


def test_a_search_begins_where_a_part_lies():
    """Places are compared by what a file says; from corner to corner, however large its part."""
    start = Placed(lanes=3, nearest=121)
    keys = jax.random.split(jax.random.key(0), (1, 3))
    for top, left, side in ((0, 0, 11), (5, 5, 11), (2, 4, 11), (0, 1, 15)):
        before = (16 - side) // 2
        part = NOISE[:, top : top + side, left : left + side]
        around = (before, 16 - side - before)
        file = np.pad(part, ((0, 0), around, around, (0, 0)), mode="edge")
        frames = Frame.of(start.frames_of(jnp.asarray(file)))
        assert float(jnp.abs(frames.scale - 1).max()) < 1e-5 and not frames.angle.any()
        moved = 16 * np.asarray(frames.shift[0])
        np.testing.assert_allclose(moved.min(axis=0), -before, atol=1e-4)
        np.testing.assert_allclose(moved.max(axis=0), around[1], atol=1e-4)
        points = start.centres(Reframed(Always()), jnp.asarray(file), keys, nothing)
        found = 16 * np.asarray(Frame.of(points[0, 1, 2:]).shift)
        assert np.abs(found - [top - before, left - before]).max() <= 0.5
    assert start.evaluations == math.ceil((121 + 121 * 3) * 2 / 3)
    flat = np.full((1, 16, 16, 3), 0.25, np.float32)
    flat[:, 10:12, 6:9] = NOISE[:, 10:12, 6:9]
    shift = np.asarray(Frame.of(start.frames_of(jnp.asarray(flat))).shift)
    assert np.isfinite(shift).all() and np.abs(shift).max() < 0.23


def test_a_frame_that_moves_little_is_not_said():
    whole, turned, *_, cut = Framed().frames()
    assert not frame_of(whole).matters
    assert frame_of(turned).matters and frame_of(cut).matters


def test_the_encoder_has_to_be_the_generators():
    generator = DCGAN(image_size=8, latent_dim=4, width=4, rngs=nnx.Rngs(0))
    shapes = {"image_shape": (8, 8, 3), "latent_shape": (4,)}
    encoder = StartEncoder(**shapes, training=StartTraining(width=4), rngs=nnx.Rngs(0))
    behind = ReframedEncoder(encoder)
    behind.require(Reframed(generator))
    behind.require(Retouched(Reframed(generator)))
    assert behind(jnp.zeros((2, 8, 8, 3))).shape == (2, 4)
    other = DCGAN(image_size=8, latent_dim=5, width=4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError):
        behind.require(Reframed(other))


def test_borders_of_lossless_files_are_left_aside():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 40, 32, 3), np.uint8)
    (file,) = stored_pixels(pixels)
    assert unframed(file).seen == ((3, 37), (2, 30))
    (webp,) = stored_images(pixels, "webp-80")
    assert unframed(webp).resizing is None and unframed(webp).kind == "webp"


@pytest.mark.parametrize("quality", [90, 50])
def test_a_jpegs_borders_are_black_on_either_side(quality):
    """Whatever lies there is as near; what was stored is still in the set, or hardly beyond it."""
    distance, rng = FileSet(), np.random.default_rng(0)
    pixels = gaussian_filter(rng.uniform(0, 255, (1, 40, 32, 3)), (0, 2, 2, 0)) * 3 - 255
    pixels = pixels.clip(0, 255).astype(np.uint8)
    (whole,) = stored_images(pixels, f"jpeg-{quality}")
    file = unframed(whole)
    assert file.resizing == ((3, 37), (2, 30)) and file.kind == "jpeg"
    target = stack_stored([distance.target(file)])
    own = float(distance.l2(jnp.asarray(pixels / np.float32(255)), target)[0])
    bordered = np.full_like(pixels, 255)
    bordered[:, 3:37, 2:30] = pixels[:, 3:37, 2:30]
    assert float(distance.l2(jnp.asarray(bordered / np.float32(255)), target)[0]) == own
    other = np.flip(pixels, axis=2) / np.float32(255)
    assert own < 2e-3 * float(distance.l2(jnp.asarray(other), target)[0])


def test_edits_of_frames():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), np.uint8)
    for edit in ("trim-0.8", "tilt-5"):
        made = edit_images(pixels, edit)
        assert made.shape == pixels.shape and (made != pixels).any()
        np.testing.assert_array_equal(made, edit_images(pixels, edit))
    corners = edit_images(np.full((1, 20, 20, 3), 200, np.uint8), "tilt-45")[0]
    assert corners[0, 0].max() == 0 and corners[10, 10].min() == 200
