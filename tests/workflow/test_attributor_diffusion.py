"""Generators that reproduce every image: what noise is seen in it tells, or the latent."""

import dataclasses
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jax_origin as jo
from jax_origin.generators import DDIM, Consistency
from jax_origin.workflow import belonging_images, get_method

pytestmark = pytest.mark.outer

BELONGING = importlib.import_module("jax_origin.workflow.belonging")
KEY = jax.random.key(0)
NETWORK = {"widths": (8,), "blocks": 1, "norm_groups": 4, "middle_attention": False}


@pytest.fixture(params=["ddim", "consistency"])
def sampler(request):
    """A sampler of a network that is not trained; its steps keep most of the noise's colours."""
    if request.param == "ddim":
        schedule = {"clip_sample": False, "beta_end": 1e-3}
        generator = DDIM(
            image_size=8, unet=NETWORK, schedule=schedule, num_steps=4, rngs=nnx.Rngs(0)
        )
    else:
        generator = Consistency(image_size=8, unet=NETWORK, sigmas=(0.3,), rngs=nnx.Rngs(0))
    draw = np.random.default_rng(0)
    change = lambda w: w + 0.05 * jnp.asarray(draw.normal(size=w.shape), w.dtype)  # noqa: E731
    nnx.update(generator, jax.tree.map(change, nnx.state(generator)))
    return generator


@pytest.mark.outer
@pytest.mark.parametrize("score", [None, jo.scores.Typicality(), jo.scores.LatentPrior()], ids=str)
def test_noise_and_latents_tell_own_images_where_losses_do_not(sampler, score):
    method = get_method("origin", sampler)
    assert method.score == jo.scores.NoiseSpectrum()
    recipe = dataclasses.replace(method.recipe, lane_block=32)
    method = dataclasses.replace(
        method, recipe=recipe, rates=jo.Rates(0.1, 0.1), score=score or method.score
    )
    own = belonging_images(sampler, 30, key=jax.random.key(1))
    smooth = np.repeat(np.repeat(own[:, ::4, ::4], 4, axis=1), 4, axis=2)
    calibration = jo.calibrate(
        sampler, method=method, num_belonging=30, foreign={"smooth": smooth}, key=KEY
    )
    fresh = belonging_images(sampler, 10, key=jax.random.key(2))
    others = np.repeat(np.repeat(fresh[:, ::4, ::4], 4, axis=1), 4, axis=2)
    verdicts = jo.attribute(np.concatenate([fresh, others]), sampler, calibration, key=KEY)
    losses = np.array([verdict.loss for verdict in verdicts])
    assert losses.max() < 1e-3
    # One in ten fits neither, as lower than nine in ten of its kind.
    assert all(verdict.verdict != "belongs" for verdict in verdicts[10:])
    assert sum(verdict.verdict == "not_recognised" for verdict in verdicts[10:]) >= 7
    assert sum(verdict.verdict == "belongs" for verdict in verdicts[:10]) >= 7
    # The score is not the loss.
    assert min(verdict.score - verdict.loss for verdict in verdicts) > 1e-3


@pytest.mark.outer
@pytest.mark.parametrize("sampler", ["ddim"], indirect=True)
def test_what_is_typical_is_measured_on_other_images_of_its_own(sampler, tmp_path, monkeypatch):
    method = dataclasses.replace(
        get_method("origin", sampler), score=jo.scores.Typicality(), rates=jo.Rates(0.2, 0.2)
    )
    made = []

    def noting(*args, **options):
        made.append(belonging_images(*args, **options))
        return made[-1]

    monkeypatch.setattr(BELONGING, "belonging_images", noting)
    calibration = jo.calibrate(sampler, method=method, num_belonging=6, key=KEY)
    others, own = made
    assert len({image.tobytes() for image in (*own, *others)}) == 12
    fitted = jo.Method.of(calibration).score
    assert fitted.typical is not None and calibration.method["score"]["typical"] is None
    inverted = jo.invert(sampler, own, method.recipe, key=jax.random.fold_in(KEY, 1))
    np.testing.assert_allclose(calibration.belonging, fitted(inverted), rtol=1e-3)
    path = tmp_path / "calibration.json"
    calibration.save(path)
    assert jo.Method.of(jo.Calibration.load(path)).score == fitted
    # What a calibration holds is measured anew, never taken over.
    told = []
    method = dataclasses.replace(
        method, score=jo.scores.Typicality(jo.scores.Typical(0.0, 1.0, 1.0)), draws=2
    )
    again = jo.calibrate(
        sampler,
        method=method,
        num_belonging=6,
        futility=True,
        key=KEY,
        run=jo.Run(progress=lambda *news: told.append(news)),
    )
    ends = {what: done for what, done, _ in told}
    assert ends == {
        "fitting futility": pytest.approx(24),  # Four times as many as are scored.
        "fitting the score": pytest.approx(6),
        "scoring": pytest.approx(6),
    }
    assert again.measured.futility
    assert again.measured.score == calibration.measured.score


@pytest.mark.parametrize("sampler", ["ddim"], indirect=True)
def test_what_is_usual_is_measured_on_what_the_network_sees(sampler, tmp_path):
    method = dataclasses.replace(get_method("origin", sampler), rates=jo.Rates(0.2, 0.2))
    calibration = jo.calibrate(sampler, method=method, num_belonging=6, key=KEY)
    calibration.save(tmp_path / "calibration.json")
    fitted = jo.Method.of(jo.Calibration.load(tmp_path / "calibration.json")).score
    assert fitted.usual is not None and calibration.method["score"]["usual"] is None
    own = belonging_images(sampler, 6, key=jax.random.fold_in(KEY, 0))
    inverted = jo.invert(sampler, own, method.recipe, key=jax.random.fold_in(KEY, 1))
    assert inverted.seen.shape == (6, 0)  # No score has asked for it.
    seen = sampler.noise_spectra(jnp.float32(own / np.float32(255)))
    again = fitted(inverted._replace(seen=np.asarray(seen)))
    np.testing.assert_allclose(calibration.belonging, again, rtol=1e-3)
    stored = jo.images.stored_images(own, "clean")
    (verdict, *_) = jo.attribute(list(stored), sampler, calibration, key=KEY)
    assert verdict.score == pytest.approx(calibration.belonging[0], rel=1e-3)
    gan = jo.generators.DCGAN(image_size=8, latent_dim=3, width=4, rngs=nnx.Rngs(0))
    with pytest.raises(jo.CalibrationError, match="a DCGAN has none that says so"):
        jo.calibrate(gan, method=method, num_belonging=6, key=KEY)


@pytest.mark.parametrize("sampler", ["ddim"], indirect=True)
def test_one_image_says_nothing_of_what_is_typical(sampler):
    method = dataclasses.replace(
        get_method("origin", sampler), score=jo.scores.Typicality(), rates=jo.Rates(0.5, 0.5)
    )
    with pytest.raises(jo.CalibrationError, match=r"'DDIM'.*needs 2 own images or more"):
        jo.calibrate(sampler, method=method, num_belonging=1, key=KEY)
