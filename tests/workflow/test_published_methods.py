"""The published methods for latent models, on tiny autoencoders and on published numbers."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from skimage.feature import graycomatrix, graycoprops

import jax_origin as jo
from jax_origin.calibration import Calibration, decide
from jax_origin.checkpoints import write_safetensors
from jax_origin.distances import LPIPS
from jax_origin.evidence.explain import explain
from jax_origin.generators import AutoencoderKL, AutoencoderTiny
from jax_origin.images import as_float, homogeneity
from jax_origin.workflow import METHODS, Method, Scorer, get_method

KEY = jax.random.key(3)
GOLDEN = pathlib.Path(__file__).parents[3] / "shared" / "golden" / "aedr_sd15_vs_sd21.npz"


@pytest.fixture(scope="module")
def tiny():
    """A tiny autoencoder with fresh weights, 8 px in cells of 2, and no variance."""
    return AutoencoderTiny(
        image_size=8,
        latent_channels=4,
        encoder=[("conv", 8), ("down", 8), ("conv", 4)],
        decoder=[("conv_relu", 8), ("up", 8), ("conv", 3)],
        rngs=nnx.Rngs(0),
    )


@pytest.fixture(scope="module")
def sampling():
    """A tiny autoencoder whose encoder has a variance, 8 px in cells of 2."""
    return AutoencoderKL(
        image_size=8,
        latent_channels=2,
        widths=(4, 4),
        blocks=1,
        groups=2,
        middle_attention=False,
        latent_mean=0.1,
        latent_std=0.5,
        rngs=nnx.Rngs(1),
    )


@pytest.fixture(scope="module")
def photographs():
    return np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def own(tiny, photographs):
    return jo.reencoded_images(tiny, photographs[:12], key=KEY)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as `convert_lpips` writes it: random up to the second layer, 0 from there."""
    rng, channels, arrays = np.random.default_rng(0), 3, {}
    layers = {64: (0, 2), 128: (5, 7), 256: (10, 12, 14), 512: (17, 19, 21)}
    for width, places in (*layers.items(), (512, (24, 26, 28))):
        for place in places:
            kernel = np.zeros((width, channels, 3, 3), np.float32)
            if width <= 128:
                kernel += rng.normal(0, np.sqrt(2 / (9 * channels)), kernel.shape)
            arrays[f"features.{place}.weight"] = kernel
            arrays[f"features.{place}.bias"] = np.zeros(width, np.float32)
            channels = width
    for i, width in enumerate((64, 128, 256, 512, 512)):
        arrays[f"lin{i}.model.1.weight"] = rng.random((1, width, 1, 1), np.float32)
    path = tmp_path_factory.mktemp("lpips") / "vgg16.safetensors"
    write_safetensors(path, arrays)
    return path


def shorter(method, **changes):
    """A method at rates that a dozen images can keep."""
    return dataclasses.replace(method, rates=jo.Rates(0.2), **changes)


def used(generator, method, belonging, photographs):
    """Its calibration, and the verdicts on its own images and on photographs."""
    made = jo.calibrate(
        generator,
        method=method,
        belonging=belonging,
        foreign={"photographs": photographs[12:18]},
        key=KEY,
    )
    assert np.isfinite(made.belonging).all() and (made.belonging >= 0).all()
    images = np.concatenate([belonging.images[:2], photographs[18:20]])
    return made, jo.attribute(images, generator, made, key=jax.random.key(1))


def scores_of(generator, name, images):
    method = METHODS[name]
    return Scorer(generator, method, key=KEY).scores(images)


# LatentTracer.


def test_latent_tracer_is_the_published_recipe():
    method = get_method("latent_tracer")
    (stage,) = method.recipe.stages
    assert stage == jo.Stage(jo.solvers.Optax("adam", 0.05, "halving"), steps=100, objective="l2")
    assert method.recipe.start == jo.starts.Encoded()
    assert method.recipe.distance == jo.distances.L2()
    assert (method.rule, method.decision.kind) == (jo.rules.Threshold(1e-4), "published")


def test_the_rate_is_halved_after_the_first_step_and_after_every_fiftieth():
    rate, published = jo.solvers.SCHEDULES["halving"](0.05, 100), 0.05
    for step in range(120):
        assert float(rate(jnp.int32(step))) == pytest.approx(published, rel=1e-6)
        if step % 50 == 0:
            published *= 0.5


def test_latent_tracer_is_100_steps_of_adam_from_the_encoding(tiny, photographs):
    scores = scores_of(tiny, "latent_tracer", photographs[:2])
    targets = jnp.asarray(as_float(photographs[:2]))

    def losses(z):
        return jnp.mean((tiny(z) - targets) ** 2, axis=(1, 2, 3))

    @jax.jit
    def step(z, state, rate):
        updates, state = optax.scale_by_adam().update(jax.grad(lambda z: losses(z).sum())(z), state)
        return z - rate * updates, state, losses(z)

    z = tiny.encode(targets)
    state, rate, found = optax.scale_by_adam().init(z), 0.05, []
    for i in range(100):
        z, state, loss = step(z, state, rate)
        found.append(loss)
        rate *= 0.5 if i % 50 == 0 else 1.0
    np.testing.assert_allclose(scores, np.min(found, axis=0), rtol=1e-3)
    assert (scores < found[0]).all()


def test_latent_tracer_accepts_what_is_under_its_threshold(tiny, own, photographs):
    made, verdicts = used(tiny, "latent_tracer", own, photographs)
    assert made.belonging.shape == (12,)
    for verdict in verdicts:
        belongs = verdict.score <= 1e-4
        assert (verdict.verdict == "belongs") == belongs
        assert verdict.decision.p == float(belongs)
        said = explain(verdict.decision, made, score=verdict.score)
        assert "The threshold rule was set beforehand" in said
    over = np.count_nonzero(made.belonging > 1e-4)
    assert f"Of 12 images known to be its own, {over} would be missed so." in said
    # Whatever the rate of false exclusion.
    scores = [verdict.score for verdict in verdicts]
    strict = decide(scores, made, rates=jo.Rates(0.9))
    assert [one.verdict for one in strict] == [verdict.verdict for verdict in verdicts]


# AEROBLADE.


def test_aeroblade_is_one_reconstruction_compared_by_lpips(tiny, photographs, weights):
    method = jo.aeroblade(weights)
    assert method.recipe.start == jo.starts.Encoded(sampled=True)
    assert method.recipe.distance == LPIPS("vgg16", layers=(2,), weights=str(weights))
    assert (method.rule.kind, method.decision.kind) == ("conformal", "published")
    assert Method.from_json(method.to_json()) == method
    found = Scorer(tiny, method, key=KEY).found(photographs[:3])
    distance = method.recipe.distance
    made = np.stack([each.inversion.reconstruction for each in found])
    wanted = jax.jit(distance.value)(made, as_float(photographs[:3]))
    np.testing.assert_allclose([each.score for each in found], wanted, rtol=1e-4)
    assert [int(each.inversion.steps) for each in found] == [1, 1, 1]


def test_aeroblade_is_calibrated_and_attributes(tiny, own, photographs, weights):
    made, verdicts = used(tiny, shorter(jo.aeroblade(weights)), own, photographs)
    assert made.belonging.max() < made.foreign["photographs"].scores.min()
    assert [verdict.verdict for verdict in verdicts[2:]] == ["not_recognised"] * 2


def test_aeroblade_without_weights_says_where_they_come_from(tiny, own, tmp_path):
    with pytest.raises(ValueError, match=r"jax_origin\.aeroblade\(FILE\).*convert_lpips") as caught:
        jo.calibrate(tiny, method="aeroblade", belonging=own, key=KEY)
    assert "\n" not in str(caught.value)
    with pytest.raises(jo.CheckpointError, match=r"none\.safetensors"):
        jo.aeroblade(tmp_path / "none.safetensors")


# AEDR.


def test_aedr_is_two_reconstructions_from_the_mean(tiny, photographs):
    scores = scores_of(tiny, "aedr-mean", photographs[:5])
    again = jax.jit(lambda x: tiny(tiny.encode(x)))
    x = as_float(photographs[:5])
    x1 = np.asarray(again(x))
    x2 = np.asarray(again(x1))
    first, second = (np.mean((a - b) ** 2, axis=(1, 2, 3)) for a, b in ((x1, x), (x2, x1)))
    weights = [plain_homogeneity(image) for image in photographs[:5]]
    np.testing.assert_allclose(scores, first / second * weights, rtol=1e-4)


def plain_homogeneity(image):
    """As AEDR's code takes it from scikit-image."""
    grey = np.floor(image @ np.array([0.299, 0.587, 0.114]) + 0.5)
    levels = (grey / 8).astype(np.uint8)
    pairs = graycomatrix(levels, [1], [0], levels=32, symmetric=True, normed=True)
    return graycoprops(pairs, "homogeneity")[0, 0]


def test_homogeneity_is_that_of_neighbours_in_a_row():
    stripes = np.zeros((4, 6, 1), np.uint8)
    stripes[:, 1::2] = 16  # Two levels of 8.
    assert homogeneity(stripes) == pytest.approx(1 / 5)
    assert homogeneity(np.swapaxes(stripes, 0, 1)) == 1.0
    image = np.random.default_rng(1).integers(0, 60, (9, 7, 3), dtype=np.uint8)
    assert homogeneity(image) == pytest.approx(plain_homogeneity(image))
    for shape in ((4, 1, 3), (4, 4, 2)):
        with pytest.raises(ValueError, match=r"1 or 3 channels and at least 2 columns, not of \(4"):
            homogeneity(np.zeros(shape, np.uint8))


def test_aedr_draws_from_the_posterior_each_time(sampling, photographs):
    images = photographs[:3]
    one = Scorer(sampling, METHODS["aedr"], key=KEY).found(images)
    # An image's draws depend on the key and the image alone.
    alone = scores_of(sampling, "aedr", images[1:2])
    assert alone[0] == pytest.approx(one[1].score, rel=1e-4)
    other = Scorer(sampling, METHODS["aedr"], key=jax.random.key(8)).scores(images)
    assert (np.abs(other / [each.score for each in one] - 1) > 1e-3).all()
    # The latents are spread about the mean as the posterior says.
    posterior = jax.jit(lambda x: sampling.posterior(x * 2 - 1))
    mean, log_variance = map(np.asarray, posterior(as_float(images)))
    latents = np.stack([each.inversion.latent for each in one]) * 0.5 + 0.1
    units = (latents - mean) / np.exp(log_variance / 2)
    assert abs(units.mean()) < 0.4 and 0.7 < units.std() < 1.3
    # Both reconstructions are counted.
    assert [int(each.inversion.steps) for each in one] == [2, 2, 2]


def test_restarts_draw_from_the_posterior_each_for_itself(sampling, photographs):
    start = jo.starts.Encoded((0.0, 0.0), sampled=True)
    keys = jax.random.split(KEY, (2, 2))
    images = jnp.asarray(as_float(photographs[:2]))
    points = np.asarray(jax.jit(lambda x, k: start.points(sampling, x, k))(images, keys))
    assert points.shape == (2, 2, *sampling.latent_shape)
    assert len(np.unique(points.reshape(4, -1)[:, 0])) == 4
    mean = np.asarray(jax.jit(lambda x: sampling.encode(x))(images))
    drawn = jax.jit(lambda x, z: sampling.encode_draw(x, z))(images, jnp.zeros_like(mean))
    np.testing.assert_allclose(drawn, mean, rtol=1e-5, atol=1e-6)


def test_an_encoder_without_a_variance_gives_its_mean(tiny, photographs):
    images = photographs[:5]
    np.testing.assert_array_equal(*(scores_of(tiny, n, images) for n in ("aedr", "aedr-mean")))


def test_a_generator_without_a_posterior_is_named(generator, photographs):
    with pytest.raises(ValueError, match=r"DCGAN has no encode_draw\(images, noise\)"):
        scores_of(generator, "aedr", photographs[:1])


@pytest.mark.parametrize("name", ["aedr", "aedr-mean"])
def test_aedr_is_calibrated_and_attributes(name, tiny, own, photographs, tmp_path):
    made, verdicts = used(tiny, shorter(METHODS[name]), own, photographs)
    assert (made.rule.kind, Method.of(made).num_images) == ("kde", 500)
    for verdict in verdicts:
        assert 0 < verdict.reference <= 1
        assert verdict.verdict == ("belongs" if verdict.decision.p > 0.2 else "not_recognised")
    made.save(tmp_path / "aedr.json")
    again = Calibration.load(tmp_path / "aedr.json")
    assert again == made and Method.of(again) == shorter(METHODS[name])


def test_both_reconstructions_of_each_window_are_inversions(tiny, own, photographs):
    for windows, inversions in ((0, 2), (4, 8)):
        method = dataclasses.replace(shorter(METHODS["aedr-mean"]), windows=windows)
        made = jo.calibrate(tiny, method=method, belonging=own, foreign={}, key=KEY)
        assert jo.Attributor(tiny, made, key=KEY).inversions == inversions


def test_windows_are_reconstructed_twice_as_well(tiny, photographs):
    large = photographs[:4].reshape(16, 16, 3)
    method = dataclasses.replace(METHODS["aedr-mean"], windows=4)
    (found,) = Scorer(tiny, method, key=KEY).found([large])
    assert np.isfinite(found.score) and found.inversion.reconstruction.shape == (16, 16, 3)
    with pytest.raises(ValueError, match="draws=2 is not for scores of two reconstructions"):
        dataclasses.replace(METHODS["aedr"], draws=2)


def test_a_score_of_ones_own_may_look_at_the_second_reconstruction(tiny, photographs):
    @dataclasses.dataclass(frozen=True)
    class Second(jo.scores.Score):
        kind = "second"
        twice = True

        def __call__(self, found, reference=None, again=None):
            return np.mean((again.reconstruction - found.reconstruction) ** 2, axis=(1, 2, 3))

    method = dataclasses.replace(METHODS["aedr-mean"], score=Second())
    second = Scorer(tiny, method, key=KEY).scores(photographs[:3])
    found = Scorer(tiny, METHODS["aedr-mean"], key=KEY).found(photographs[:3])
    first = [each.inversion.distance for each in found]
    weights = [homogeneity(image) for image in photographs[:3]]
    scores = [each.score for each in found]
    np.testing.assert_allclose(scores, first / second * weights, rtol=1e-4)


def test_no_score_without_a_finite_image(tiny, photographs):
    graph, state = nnx.split(tiny)
    broken = nnx.merge(graph, jax.tree.map(lambda x: x * np.nan, state))
    assert np.isnan(scores_of(broken, "aedr", photographs[:2])).all()


@pytest.mark.skipif(not GOLDEN.exists(), reason="the published measurements are not here")
def test_aedr_decides_as_published():
    """Stable Diffusion 1.5 inspected: its own images, and those of 2.1."""
    with np.load(GOLDEN) as file:
        published = dict(file)
    parts = ("first", "second", "homogeneity")
    scores = {}
    for group in ("belonging", "foreign"):
        # The score's own arithmetic, on the distances that were published.
        first, second, weight = (published[f"{group}_{part}"] for part in parts)
        scores[group] = jo.scores.DoubleReconstruction()(*_measured(first, weight, second))
    method = METHODS["aedr"]
    assert method.num_images == len(scores["belonging"]) == 500
    rule = method.rule.fit(scores["belonging"])
    threshold = rule.threshold(method.rates.alpha)
    assert threshold == pytest.approx(1.0364583773, abs=1e-9)
    kept = np.mean(scores["belonging"] < threshold)
    excluded = np.mean(scores["foreign"] >= threshold)
    assert (kept, excluded) == (pytest.approx(0.954), pytest.approx(0.984))
    assert np.mean(rule.p_value(scores["foreign"]) > 0.05) == pytest.approx(1 - 0.984)


def _measured(first, weight, second):
    """Inversions of which the distances alone are known, and what they are called with."""
    parts = dict.fromkeys(jo.Inversion._fields, np.zeros(len(first)))
    found, again = (jo.Inversion(**{**parts, "distance": each}) for each in (first, second))
    return found, weight, again


# RONAN.


def test_ronan_runs_on_a_decoder(tiny, own, photographs):
    ronan = METHODS["ronan"]
    recipe = dataclasses.replace(
        ronan.recipe, stages=(dataclasses.replace(ronan.recipe.stages[0], steps=100),)
    )
    made, verdicts = used(tiny, shorter(ronan, recipe=recipe), own, photographs)
    assert made.belonging.max() < made.foreign["photographs"].scores.min()
    assert [verdict.verdict for verdict in verdicts] == ["belongs"] * 2 + ["not_recognised"] * 2


@pytest.mark.parametrize("name", ["latent_tracer", "aeroblade", "aedr", "aedr-mean"])
def test_what_is_published_alone_decides(name):
    method = METHODS[name]
    assert (method.floor, method.windows, method.conditions) == (0.0, 0, ())
    assert method.decision == jo.decision_rules.Published()
    assert method.rates == jo.Rates(0.05)
