import numpy as np
import pytest

from jax_origin.distances import L2
from jax_origin.images import Stored
from jax_origin.inversion import Inversion
from jax_origin.parts import kinds_of, named
from jax_origin.scores import (
    CodeRatio,
    DoubleReconstruction,
    LatentPrior,
    Loss,
    NoiseSpectrum,
    ReferenceRatio,
    Score,
    Typical,
    Typicality,
    Usual,
    prior_deviance,
)

TYPICAL = Typical(log_loss=-12.0, log_loss_deviation=0.5, prior_deviation=10.0)


def found(distances, latents=None):
    """Inversions of which nothing is known but these."""
    distances = np.asarray(distances, np.float64)
    latents = np.ones((len(distances), 3)) if latents is None else latents
    parts = dict.fromkeys(Inversion._fields, np.zeros(len(distances)))
    return Inversion(**{**parts, "distance": distances, "latent": latents})


def test_the_distance_is_its_own_score():
    score = Loss()(found(np.float32([1e-6, 0.1])))
    assert score.dtype == np.float64
    np.testing.assert_allclose(score, [1e-6, 0.1])


def test_the_ratio_is_to_the_distance_under_the_reference():
    score = ReferenceRatio()(found([1e-6, 0.1]), np.array([1e-3, 0.05]))
    np.testing.assert_allclose(score, [1e-3, 2.0])


def test_an_exact_fit_under_the_reference_gives_a_large_finite_ratio():
    score = ReferenceRatio()(found([1e-6, 0.0]), np.zeros(2))
    assert score[0] > 1e30
    assert score[1] == 0.0


@pytest.mark.parametrize(
    ("distance", "reference"), [(np.inf, 0.1), (0.1, np.inf), (0.1, np.nan), (np.inf, np.inf)]
)
def test_a_ratio_without_two_finite_distances_is_not_finite(distance, reference):
    # A reference that gives no image must not make the inspected model look near.
    assert not np.isfinite(ReferenceRatio()(found([distance]), np.array([reference]))).any()


def test_the_ratio_needs_a_reference():
    with pytest.raises(ValueError, match="needs a reference model"):
        ReferenceRatio()(found([0.1]))


def test_the_double_reconstruction_is_a_ratio_of_distances_times_homogeneity():
    score = DoubleReconstruction()
    again = found([2e-3, 0.0, np.inf, 1e-3])
    scores = score(found([1e-3, 0.0, 1e-3, np.nan]), np.array([0.5, 0.5, 0.5, 0.5]), again)
    np.testing.assert_array_equal(scores, [0.25, 0.0, np.nan, np.nan])
    image = Stored("pixels", np.zeros((4, 4, 3), np.uint8))
    assert score.reference(image, 8, L2()) == 1.0
    with pytest.raises(ValueError, match="needs the images' homogeneity and the inversions"):
        score(found([0.1]), np.array([0.5]))


def test_the_code_ratio_is_the_distance_over_that_of_the_code():
    score = CodeRatio(floor=5e-7, room=1e-6)
    scores = score(found([1e-9, 1e-4, 1e-4]), np.array([9.9e-5, 9.9e-5, 0.0]))
    # Under the floor lies only rounding; a picture that the code says in full has a ratio, too.
    np.testing.assert_allclose(scores, [5e-3, 1.0, 100.0])
    with pytest.raises(ValueError, match="needs the code's distances"):
        score(found([0.1]))
    with pytest.raises(ValueError, match="room must be over 0"):
        CodeRatio(room=0.0)


def test_the_code_ratio_says_before_an_inversion_what_it_can_come_to():
    score = CodeRatio(floor=5e-7, room=1e-6)
    assert score.least(0.0) == 0.5 and score.least(9.9e-5) == pytest.approx(5e-3)
    # A plain picture is under no threshold; another is at the distance that gives the threshold.
    assert score.distance_at(0.1, 0.0) is None
    distance = score.distance_at(0.1, 9.9e-5)
    assert distance == pytest.approx(1e-5)
    assert score(found([distance]), np.array([9.9e-5]))[0] <= 0.1
    assert Loss().distance_at(0.1, None) == 0.1 and ReferenceRatio().distance_at(0.1, 1.0) is None


def test_the_code_has_no_more_numbers_than_a_share_of_the_image():
    image = Stored("pixels", np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    score, distance = CodeRatio(), L2()
    few, many, most = (score.reference(image, n, distance) for n in (64, 192, 768))
    assert few > many == most > 0
    assert Loss().reference(image, 64, distance) is None


@pytest.mark.parametrize("kind", kinds_of(Score))
def test_every_score_is_one_number_an_image_and_comes_back_from_json(kind):
    score = named(Score, kind)()
    own = found(np.geomspace(1e-6, 1e-4, 12), draws(12, (8, 8, 3)))
    own = own._replace(seen=draws(12, (2, 3)))
    fitted = score.fit(own)
    options = {"again": own} if score.twice else {}
    assert fitted(own, np.asarray(own.distance), **options).shape == (12,)
    assert Score.from_json(fitted.to_json()) == fitted
    assert (fitted != score) == score.fits


def draws(count=100, shape=(16, 16, 3), seed=0):
    return np.random.default_rng(seed).normal(size=(count, *shape))


def blurred(latents):
    for axis in (1, 2):
        latents = (latents + 0.5 * np.roll(latents, 1, axis=axis)) / np.sqrt(1.25)
    return latents


@pytest.mark.parametrize(
    "change",
    [
        lambda z: 1.25 * z,
        lambda z: 0.8 * z,
        blurred,
        lambda z: (z + 0.3 * z[..., ::-1]) / np.sqrt(1.09),
        lambda z: z + 0.5,
    ],
    ids=["long", "short", "coloured", "dependent channels", "shifted"],
)
def test_a_latent_unlike_the_prior_deviates_more_than_every_draw(change):
    assert prior_deviance(change(draws(10, seed=1))).min() > prior_deviance(draws()).max()


def test_draws_deviate_as_the_counts_of_moments_say():
    # Of Wilks: half a chi-square with C (C + 1) / 2 degrees of freedom for each of 3 x 3 bands, and
    # for all coefficients together, which vary with those of the bands.
    deviances = prior_deviance(draws(400))
    np.testing.assert_allclose(deviances.mean(), (9 + 1) * 3, rtol=0.05)
    np.testing.assert_allclose(deviances.var(), (9 + 1 + 2) * 3, rtol=0.3)


def test_the_deviance_does_not_depend_on_the_colours_axes():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    latents = blurred(draws(5))
    np.testing.assert_allclose(prior_deviance(latents @ turn), prior_deviance(latents))


@pytest.mark.parametrize("shape", [(50,), (2, 2, 3)])
def test_of_a_latent_without_octaves_the_norm_is_judged(shape):
    latents = draws(4, shape)
    share = np.mean(latents.reshape(4, -1) ** 2, axis=1)
    size = np.prod(shape)
    np.testing.assert_allclose(prior_deviance(latents), size / 2 * (share - 1 - np.log(share)))


def test_latents_of_any_size_have_a_deviance():
    for shape in [(5, 7, 1), (8, 64, 4), (16, 16, 16)]:
        assert np.isfinite(prior_deviance(draws(3, shape))).all()


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_latent_that_is_not_finite_is_infinitely_far(number):
    latents = draws(2)
    latents[0, 3, 3, 1] = number
    deviances = prior_deviance(latents)
    assert deviances[0] == np.inf
    assert np.isfinite(deviances[1])


def test_a_typical_latent_does_not_excuse_an_image_that_is_not_reproduced():
    latents = draws(2)
    score = LatentPrior()(found([1e-5, 0.05], latents))
    assert score.dtype == np.float64
    np.testing.assert_allclose(score, [1e-5, 0.05] + prior_deviance(latents) / latents[0].size)
    assert score[0] < 0.05 < score[1]


def test_what_is_typical_is_measured():
    latents = draws(50)
    losses = np.random.default_rng(1).lognormal(-12, 0.5, size=50).astype(np.float32)
    typical = Typicality().fit(found(losses, latents)).typical
    assert typical.log_loss == pytest.approx(np.log(losses).mean(), rel=1e-6)
    assert typical.log_loss_deviation == pytest.approx(np.std(np.log(losses), ddof=1), rel=1e-6)
    spread = np.std(prior_deviance(latents), ddof=1)
    assert typical.prior_deviation == pytest.approx(spread, rel=1e-6)
    for few, damaged in ((losses[:1], latents[:1]), ([1e-6, np.inf], draws(2))):
        with pytest.raises(ValueError, match="needs 2 own images or more, all reproduced"):
            Typicality().fit(found(few, damaged))
    with pytest.raises(ValueError, match="all own images have one loss"):
        Typicality().fit(found([1e-6, 1e-6], draws(2)))


def test_a_distance_is_unusual_on_either_side():
    latents = np.repeat(draws(1), 5, axis=0)
    score = Typicality(TYPICAL)
    own = prior_deviance(latents[:1])[0]
    # Nothing; two deviations to either side; four; and as good as not reproduced.
    expected = own + 10 * np.array([0, 2**2, 2**2, 4**2, 24**2]) / 2
    scores = score(found(np.exp([-12.0, -11.0, -13.0, -10.0, 0.0]), latents))
    np.testing.assert_allclose(scores * latents[0].size, expected, rtol=1e-9)
    assert np.isfinite(score(found([0.0], latents[:1]))).all()
    assert np.isposinf(score(found([np.inf], latents[:1]))).all()


def test_typicality_must_be_fitted_first():
    with pytest.raises(ValueError, match="must be fitted first"):
        Typicality()(found([0.1], draws(1)))


def seen_by(seen):
    return found(np.zeros(len(seen)))._replace(seen=seen)


def test_the_noise_that_is_seen_is_as_unlike_as_own_images_spread():
    draw = np.random.default_rng(0)
    mixing = draw.normal(size=(12, 12)) / 4 + np.eye(12)
    own = (draw.normal(size=(4000, 12)) @ mixing + 5).reshape(-1, 3, 4)
    score = NoiseSpectrum().fit(seen_by(own))
    scores = score(seen_by(own))
    assert scores.mean() == pytest.approx(1, abs=0.15)  # Correlations are shrunk by a tenth.
    np.testing.assert_allclose(score.usual.means, own.reshape(-1, 12).mean(axis=0))
    # Along a direction in which own images hardly differ the same step counts more.
    _, directions = np.linalg.eigh(np.cov(own.reshape(-1, 12).T))
    steps = score(seen_by(np.asarray(score.usual.means) + 3 * directions.T[[0, -1]]))
    assert steps[0] > 2 * steps[1]
    assert NoiseSpectrum.from_json(score.to_json()) == score


def test_what_is_usual_must_be_measured_and_measurable():
    with pytest.raises(ValueError, match="must be fitted first"):
        NoiseSpectrum()(seen_by(np.ones((1, 2))))
    one = np.ones((1, 2))
    for seen in (one, np.ones((3, 2)), np.array([[1.0, 2], [2, np.nan]]), np.ones((3, 0))):
        with pytest.raises(ValueError, match="needs 2 own images or more that differ"):
            NoiseSpectrum().fit(seen_by(seen))
    with pytest.raises(ValueError, match="2 means need 3 numbers of whitening, not 2"):
        NoiseSpectrum(Usual((0.0, 0.0), (1.0, 1.0)))
    with pytest.raises(ValueError, match="fitted to 2 numbers of an image, not 3"):
        NoiseSpectrum(Usual((0.0, 0.0), (1.0, 0.0, 1.0)))(seen_by(np.ones((1, 3))))
