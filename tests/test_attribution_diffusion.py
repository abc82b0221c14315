import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jax_origin as jo
import jax_origin.calibrating
from jax_origin.calibrating import evaluations_to_calibrate
from jax_origin.generators import DDIM, Consistency
from jax_origin.methods import Method, get_method
from jax_origin.score import SCORES
from jax_origin.scoring import belonging_images, score_stream

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


def test_latents_tell_own_images_where_losses_do_not(sampler):
    method = get_method("origin", sampler)
    assert method.score == {"ddim": "typicality", "consistency": "latent_prior"}[sampler.kind]
    inversion = dataclasses.replace(method.inversion, lane_block=32)
    method = dataclasses.replace(method, inversion=inversion)
    own = belonging_images(sampler, 30, key=jax.random.key(1))
    smooth = np.repeat(np.repeat(own[:, ::4, ::4], 4, axis=1), 4, axis=2)
    calibration = jo.calibrate(
        sampler, method=method, num_belonging=30, foreign={"smooth": smooth}, key=KEY
    )
    fresh = belonging_images(sampler, 10, key=jax.random.key(2))
    others = np.repeat(np.repeat(fresh[:, ::4, ::4], 4, axis=1), 4, axis=2)
    verdicts = jo.attribute(
        np.concatenate([fresh, others]), sampler, calibration, alpha=0.1, beta=0.1, key=KEY
    )
    losses = np.array([verdict.loss for verdict in verdicts])
    assert losses.max() < 1e-3
    # One in ten fits neither, as lower than nine in ten of its kind.
    assert all(verdict.verdict != "belongs" for verdict in verdicts[10:])
    assert sum(verdict.verdict == "foreign" for verdict in verdicts[10:]) >= 7
    assert sum(verdict.verdict == "belongs" for verdict in verdicts[:10]) >= 7
    # The score is the latent's, not the loss.
    assert min(verdict.score - verdict.loss for verdict in verdicts) > 1e-3


@pytest.mark.parametrize("sampler", ["ddim"], indirect=True)
def test_what_is_typical_is_measured_on_other_images_of_its_own(sampler, tmp_path, monkeypatch):
    method = dataclasses.replace(get_method("origin", sampler), draws=1)
    seen = []
    stream = score_stream
    monkeypatch.setattr(
        jax_origin.calibrating,
        "score_stream",
        lambda generator, images, *args, **settings: (
            seen.append(images) or stream(generator, images, *args, **settings)
        ),
    )
    calibration = jo.calibrate(sampler, method=method, num_belonging=6, key=KEY)
    (others,) = seen
    own = belonging_images(sampler, 6, key=jax.random.fold_in(KEY, 0))
    assert len({image.tobytes() for image in (*own, *others)}) == 12
    typical = Method.from_dict(calibration.method).typical
    inverted = jo.invert(sampler, own, method.inversion, key=jax.random.fold_in(KEY, 1))
    scores = SCORES["typicality"](inverted.loss, None, inverted.latent, typical)
    np.testing.assert_allclose(calibration.belonging, scores, rtol=1e-3)
    path = tmp_path / "calibration.json"
    calibration.save(path)
    assert Method.from_dict(jo.Calibration.load(path).method).typical == typical
    # What a calibration holds is measured anew, never taken over.
    method = dataclasses.replace(method, typical=(0.0, 1.0, 1.0), draws=2)
    told: list[int] = []
    again = jo.calibrate(
        sampler, method=method, num_belonging=6, futility=True, key=KEY, progress=told.append
    )
    assert sum(told) == evaluations_to_calibrate(
        method, [sampler], num_belonging=6, num_foreign=0, futility=True
    )
    assert again.method["inversion"]["futility"]
    assert again.method["typical"] == calibration.method["typical"]


@pytest.mark.parametrize("sampler", ["ddim"], indirect=True)
def test_one_image_says_nothing_of_what_is_typical(sampler):
    with pytest.raises(jo.CalibrationError, match=r"'DDIM'.*needs 2 own images or more"):
        jo.calibrate(sampler, num_belonging=1, key=KEY)
