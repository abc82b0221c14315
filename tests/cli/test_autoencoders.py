"""The commands on an autoencoder, with images of any size."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from flax import nnx

import jax_origin as jo
from jax_origin.generators import AutoencoderTiny, decoders, save_generator
from jax_origin.images import save_png
from jax_origin.workflow import METHODS

from .running import run

SIZES = ((64, 48), (48, 80))


def autoencoder():
    """It makes images of blocks of 2x2 pixels of one colour, in windows of 32 with 4 around."""
    model = AutoencoderTiny(
        image_size=32,
        latent_channels=3,
        encoder=[("down", 3)],
        decoder=[("up", 3)],
        margin=4,
        rngs=nnx.Rngs(0),
    )
    mean, same = np.zeros((2, 3, 3, 3, 3), np.float32)
    mean[1:, 1:] = np.eye(3) / 4
    same[1, 1] = np.eye(3)
    model.encoder.parts[0].kernel[...] = mean
    model.decoder.parts[0].kernel[...] = same
    return model


@pytest.fixture(scope="module", autouse=True)
def short():
    """The method for autoencoders, short, and with a score that suits blocks."""
    method = METHODS["origin-latent"]
    stages = (jo.Stage(jo.solvers.GaussNewton(), steps=4),)
    recipe = dataclasses.replace(method.recipe, stages=stages)
    options = {"recipe": recipe, "windows": 2, "conditions": ("jpeg-75",), "num_images": 8}
    method = dataclasses.replace(method, score=jo.scores.Loss(), floor=5e-7, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "origin-latent", method)
        patch.setattr(decoders, "_FAMILIES", {})  # What a card says here is not said elsewhere.
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("autoencoders")
    model = autoencoder()
    family = {"name": "blocks", "models": ["one", "two"]}
    save_generator(folder / "blocks", model, dtype=np.float32, card={"decoder_family": family})
    rng = np.random.default_rng(0)
    for group in ("photographs", "others", "tried"):
        for i in range(8):
            size = (*SIZES[i % 2], 3)
            waves = np.sin(np.arange(size[1])[None, :, None] / 9 + i) * 50
            pixels = np.clip(128 + waves + rng.normal(0, 15, size), 10, 240).astype(np.uint8)
            save_png(folder / group / f"{i}.png", pixels)
    shown = [np.asarray(x) for x in jo.reencoded_images(model, _read(folder), key=KEY).images]
    for i, pixels in enumerate(shown):
        save_png(folder / "own" / f"{i}.png", pixels)
    return folder


KEY = jax.random.key(9)
BASE = ("--generator=blocks", "--config.cache=", "--noplain", "--alpha=0.2", "--beta=0.2")


def _read(folder):
    from jax_origin.images import decode_image, find_images

    return [decode_image(path).pixels for path in find_images(folder / "tried")]


def test_photographs_are_reencoded_and_images_of_any_size_attributed(folder):
    done = run(
        folder,
        *(
            "calibrate",
            *BASE,
            "--reencode=photographs",
            "--foreign=others=others",
            "--out=cal.json",
        ),
    )
    assert done.code == 0, done.err
    made = jo.Calibration.load(folder / "cal.json")
    assert made.measured.belonging == (
        "encodings of photographs of photographs, perturbed by 0.2 "
        "and decoded in float32 and bfloat16"
    )
    assert made.generator["decoder"]["models"] == ["one", "two"]
    done = run(
        folder,
        *("attribute", "--generator=blocks", "--calibration=cal.json", "--images=own"),
        *("--workdir=out", "--config.cache=", "--explain"),
    )
    assert done.code == 0, done.err
    records = [json.loads(line) for line in (folder / "out/verdicts.jsonl").open()]
    assert [record["verdict"] for record in records] == ["belongs"] * 8
    assert (folder / "out/contact_sheet.png").stat().st_size > 1000
    assert "which one and two share" in " ".join(done.out.split())


def test_own_images_may_be_given_as_files(folder):
    done = run(
        folder,
        *("calibrate", *BASE, "--belonging=own", "--foreign=others=others", "--out=given.json"),
    )
    assert done.code == 0, done.err
    made = jo.Calibration.load(folder / "given.json")
    assert made.measured.belonging == "images of own"
    assert made.belonging.shape == (8,)
    more = run(folder, "calibrate", *BASE, "--belonging=own", "--num_belonging=9")
    assert "--num_belonging=9: own holds 8, 9 are needed" in more.err
    both = run(folder, "calibrate", *BASE, "--belonging=own", "--reencode=own")
    assert both.code == 1
    assert "--reencode: own images are given already, by --belonging" in both.err
    none = run(folder, "calibrate", *BASE, "--foreign=others=others", "--out=none.json")
    assert none.code == 1
    assert "has no prior to draw images from" in none.err
