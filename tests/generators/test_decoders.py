"""Which models share a decoder."""

import json

import numpy as np
import pytest
from flax import nnx

import jax_origin as jo
from jax_origin.checkpoints import CheckpointError
from jax_origin.generators import (
    DCGAN,
    AutoencoderTiny,
    decoder_family,
    decoder_fingerprint,
    decoders,
    fingerprint,
    register_decoder,
    save_generator,
    with_settings,
)


@pytest.fixture(autouse=True)
def no_families(monkeypatch):
    monkeypatch.setattr(decoders, "_FAMILIES", {})


def tiny(seed=0, **options):
    return AutoencoderTiny(
        image_size=8,
        latent_channels=4,
        encoder=[("down", 8), ("conv", 4)],
        decoder=[("conv_relu", 8), ("up", 3)],
        **options,
        rngs=nnx.Rngs(seed),
    )


def test_a_decoder_is_known_by_its_weights_alone():
    one, other = tiny(), tiny(1)
    window = with_settings(one, {"image_size": 16, "margin": 4, "latent_std": 2.0})
    assert fingerprint(window) != fingerprint(one)
    assert decoder_fingerprint(window) == decoder_fingerprint(one) != decoder_fingerprint(other)
    other_encoder = with_settings(one, {})
    other_encoder.encoder.parts[0].kernel[...] *= 2
    assert decoder_fingerprint(other_encoder) == decoder_fingerprint(one)
    other_encoder.decoder.parts[0].kernel[...] *= 2
    assert decoder_fingerprint(other_encoder) != decoder_fingerprint(one)
    assert decoder_fingerprint(DCGAN(image_size=8, width=4, rngs=nnx.Rngs(0))) is None


def test_a_file_of_float16_has_the_same_decoder(tmp_path):
    model = tiny()
    save_generator(tmp_path, model, dtype=np.float16)
    assert decoder_fingerprint(jo.load_generator(tmp_path)) == decoder_fingerprint(model)


def test_models_that_share_it_are_registered_or_on_the_card(tmp_path):
    model = tiny()
    assert decoder_family(model) is None
    register_decoder(model, "tiny", ["one", "two"])
    assert decoder_family(model) == ("tiny", ("one", "two"))
    register_decoder(decoder_fingerprint(model), "tiny", ["three"])
    assert decoder_family(with_settings(model, {"image_size": 16})).models == ("three",)
    family = {"name": "of the card", "models": ["four"]}
    save_generator(tmp_path, tiny(1), card={"decoder_family": family})
    assert decoder_family(jo.load_generator(tmp_path)) == ("of the card", ("four",))
    with pytest.raises(TypeError, match="DCGAN is no autoencoder"):
        register_decoder(DCGAN(image_size=8, width=4, rngs=nnx.Rngs(0)), "x", [])
    card = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps({**card, "decoder_family": "tiny"}))
    with pytest.raises(CheckpointError, match="decoder_family needs a name and models"):
        jo.load_generator(tmp_path)
