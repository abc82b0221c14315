import numpy as np
import pytest

from jax_origin.distances import L2, FileSet
from jax_origin.distances.generic_code import generic_code_distance, generic_codes
from jax_origin.images import Inside, Stored, plain_images, stored_images


def noise(shape=(32, 32, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(32, 32, 3), (17, 40, 3), (24, 24, 1), (5, 3, 2), (1, 1, 3)])
def test_with_all_numbers_it_is_the_image(shape):
    image = noise(shape)
    padded = 64 * 64 * 4
    said = generic_codes(image, padded)
    assert said.shape == (3, *shape) and said.dtype == np.float32
    np.testing.assert_allclose(said, np.stack([image / 255] * 3), atol=1e-6)


def test_it_errs_by_what_its_numbers_leave_out():
    image = noise((32, 32, 1))
    # The transform is orthonormal: of 32 x 32 wavelets one says the mean.
    said = generic_codes(image, 1)[0]
    assert said.std() < 1e-6 and abs(said.mean() - image.mean() / 255) < 1e-6
    for which in range(3):
        errors = [
            ((generic_codes(image, n)[which] - image / 255) ** 2).mean()
            for n in (1, 64, 256, 512, 1000)
        ]
        assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-3 < errors[0]


def test_a_step_takes_few_numbers_and_noise_takes_many():
    step = np.zeros((32, 32, 3), np.uint8)
    step[:, 16:] = 200
    assert generic_code_distance(Stored("pixels", step), 16, L2()) < 1e-9
    # What is smooth takes few of the other kind.
    wave = 100 + 60 * np.cos((2 * np.arange(32) + 1) * np.pi / 16)[:, None, None]
    wave = np.broadcast_to(wave, (32, 32, 1)).round().astype(np.uint8)
    errors = ((generic_codes(wave, 32) - wave / 255) ** 2).mean(axis=(1, 2, 3))
    assert errors[1:].max() < errors[0] / 10
    found = generic_code_distance(Stored("pixels", wave, "grey"), 32, L2())
    assert found == pytest.approx(errors.min(), rel=1e-3)
    assert generic_code_distance(Stored("pixels", noise()), 128, L2()) > 1e-2


def test_the_distance_is_to_the_set_of_the_file():
    image = plain_images(6, (32, 32), seed=2)[0][4:5]  # text
    of_pixels = generic_code_distance(stored_images(image, "clean")[0], 64, L2())
    png = generic_code_distance(stored_images(image, "clean")[0], 64, FileSet())
    jpeg = generic_code_distance(stored_images(image, "jpeg-30")[0], 64, FileSet())
    # Boxes of half a grey level take a little off; those of a coarse JPEG most of it.
    assert 0.8 * of_pixels < png < of_pixels and jpeg < png / 3


def test_what_is_not_compared_is_not_coded():
    inside = Inside((2, 30), (3, 29))
    black, around = noise(), noise(seed=1)
    for shown in (black, around):
        shown[2:30, 3:29] = plain_images(6, (32, 32), seed=2)[0][4, 2:30, 3:29]
    black[:2] = black[30:] = 0
    files = [Stored("pixels", shown, seen=inside) for shown in (black, around)]
    distances = [generic_code_distance(file, 8, FileSet()) for file in files]
    assert distances[0] == distances[1] > 0
