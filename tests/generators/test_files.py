import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import nnx

from jax_origin.checkpoints import CheckpointError, read_safetensors, write_safetensors
from jax_origin.generators import (
    DCGAN,
    KINDS,
    VAE,
    StyleGAN2,
    fingerprint,
    open_generator,
    sample_latents,
    save_generator,
    with_settings,
)
from jax_origin.generators.files import CARD, WEIGHTS, hash_file, read_card

KNOWN = ", ".join(sorted(KINDS))


def tiny(seed=0, **config):
    generator = DCGAN(
        **{"image_size": 8, "latent_dim": 3, "width": 4, **config}, rngs=nnx.Rngs(seed)
    )
    generator.eval()
    return generator


def tiny_vae():
    generator = VAE(image_size=8, latent_dim=3, width=4, rngs=nnx.Rngs(0))
    generator.eval()
    return generator


@pytest.fixture
def saved(tmp_path):
    save_generator(tmp_path / "tiny", tiny())
    return tmp_path / "tiny"


def rewrite_weights(path, change):
    """Changes the arrays, and lets the card describe the new file."""
    write_safetensors(path / WEIGHTS, change(read_safetensors(path / WEIGHTS)))
    rewrite_card(path, weights_sha256=hash_file(path / WEIGHTS))


def rewrite_card(path, **entries):
    card = json.loads((path / CARD).read_text())
    (path / CARD).write_text(json.dumps({**card, **entries}))


def message_of(path, **options):
    with pytest.raises(CheckpointError) as caught:
        open_generator(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    return text


@pytest.mark.parametrize("make", [tiny, lambda: tiny(output_size=5, channels=1), tiny_vae])
def test_a_full_precision_round_trip_is_the_same_generator(tmp_path, make):
    generator = make()
    save_generator(tmp_path / "g", generator, dtype=np.float32)
    again = open_generator(tmp_path / "g")
    assert type(again) is type(generator)
    assert again.config == generator.config
    assert fingerprint(again) == fingerprint(generator)
    latents = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    assert (np.asarray(again(latents)) == np.asarray(generator(latents))).all()


def test_half_precision_is_the_default_and_settles_at_once(saved, tmp_path):
    assert all(array.dtype == np.float16 for array in read_safetensors(saved / WEIGHTS).values())
    first = open_generator(saved)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(nnx.state(first)))
    save_generator(tmp_path / "second", first)
    assert fingerprint(open_generator(tmp_path / "second")) == fingerprint(first)
    latents = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_allclose(first(latents), tiny()(latents), atol=2e-3)


def test_an_opened_generator_is_in_evaluation_mode(saved):
    generator = open_generator(saved)
    before = fingerprint(generator)
    generator(np.ones((4, 3), np.float32))
    assert fingerprint(generator) == before


def test_the_card_holds_what_was_said_and_what_was_built(tmp_path):
    save_generator(tmp_path / "g", tiny(), card={"name": "tiny", "steps": 5})
    card = read_card(tmp_path / "g")
    assert card["kind"] == "dcgan"
    assert card["config"] == tiny().config
    assert (card["name"], card["steps"]) == ("tiny", 5)
    assert card["weights_sha256"] == hash_file(tmp_path / "g" / WEIGHTS)


def test_a_fingerprint_changes_with_any_weight(saved):
    before = fingerprint(open_generator(saved))
    names = list(read_safetensors(saved / WEIGHTS))
    original = (saved / WEIGHTS).read_bytes()
    seen = {before}
    for name in names:
        (saved / WEIGHTS).write_bytes(original)

        def nudge(arrays, name=name):
            array = arrays[name].copy()
            array.flat[-1] += np.float16(0.5)
            return arrays | {name: array}

        rewrite_weights(saved, nudge)
        seen.add(fingerprint(open_generator(saved)))
    assert len(seen) == len(names) + 1


def test_a_fingerprint_changes_with_the_config(saved):
    before = fingerprint(open_generator(saved))
    config = read_card(saved)["config"]
    rewrite_card(saved, config={**config, "output_size": 8})
    assert fingerprint(open_generator(saved)) != before
    rewrite_card(saved, config=config)
    assert fingerprint(open_generator(saved)) == before


@pytest.mark.outer
def test_a_fingerprint_is_the_same_in_another_process(saved):
    code = (
        "import sys; from jax_origin.generators import fingerprint, open_generator; "
        "print(fingerprint(open_generator(sys.argv[1])))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(saved)], check=True, capture_output=True, text=True
    )
    ours = fingerprint(open_generator(saved))
    assert other.stdout.strip() == ours
    assert len(ours) == 64


def test_a_missing_array_is_named(saved):
    rewrite_weights(saved, lambda arrays: {k: v for k, v in arrays.items() if "output" not in k})
    assert "missing ['output.kernel'], unexpected []" in message_of(saved)


def test_an_unexpected_array_is_named(saved):
    rewrite_weights(saved, lambda arrays: arrays | {"extra": np.zeros(2, np.float16)})
    assert "missing [], unexpected ['extra']" in message_of(saved)


def test_a_misshapen_array_is_named_with_both_shapes(saved):
    bad = np.zeros((4, 4, 4, 1), np.float16)
    rewrite_weights(saved, lambda arrays: arrays | {"output.kernel": bad})
    assert "output.kernel is (4, 4, 4, 1), dcgan has (4, 4, 4, 3)" in message_of(saved)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_named(saved, value):
    def damage(arrays):
        array = arrays["stages.0.norm.var"].copy()
        array[1] = value
        return arrays | {"stages.0.norm.var": array}

    rewrite_weights(saved, damage)
    assert "stages.0.norm.var holds NaN or infinity; the file is damaged" in message_of(saved)


def test_weights_that_float32_cannot_hold_are_refused(saved):
    big = np.full((4,), 1e300)
    rewrite_weights(saved, lambda arrays: arrays | {"stages.0.norm.bias": big})
    assert "stages.0.norm.bias holds NaN or infinity" in message_of(saved)


@pytest.mark.parametrize("kind", ["dcgna", "", None, 3, ["dcgan"]])
def test_an_unknown_kind_is_refused_with_those_known(saved, kind):
    rewrite_card(saved, kind=kind)
    assert f"unknown kind {kind!r}; known: {KNOWN}" in message_of(saved)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"widht": 4}, "widht"),
        ({"image_size": 10}, "image_size must be 8, 16, 32, 64, ..., not 10"),
        ({"image_size": "8"}, "image_size must be 8, 16, 32, 64, ..., not '8'"),
        ({"output_size": 0}, "output_size must be at least 1, or None, not 0"),
        ({"width": -4}, ""),
        ({"width": "4"}, ""),
        ({"latent_dim": 3.5}, ""),
        ({"latent_dim": None}, ""),
    ],
)
def test_a_wrong_config_is_refused(saved, change, reason):
    rewrite_card(saved, config={**read_card(saved)["config"], **change})
    text = message_of(saved)
    assert "wrong dcgan config: " in text
    assert reason in text


@pytest.mark.parametrize("config", [[1], "x", 5, None])
def test_a_config_that_is_no_mapping_is_refused(saved, config):
    rewrite_card(saved, config=config)
    assert "config" in message_of(saved)


def test_a_config_of_another_width_is_refused(saved):
    rewrite_card(saved, config={**read_card(saved)["config"], "width": 8})
    assert "is (4, 4, 4, 3), dcgan has (4, 4, 8, 3)" in message_of(saved)


def test_weights_other_than_the_cards_are_refused(saved):
    before = read_card(saved)["weights_sha256"]
    rewrite_weights(saved, lambda arrays: {k: v * 2 for k, v in arrays.items()})
    rewrite_card(saved, weights_sha256=before)
    assert f"not the weights that {CARD} describes (SHA-256)" in message_of(saved)


def test_torn_weights_are_refused(saved):
    (saved / WEIGHTS).write_bytes((saved / WEIGHTS).read_bytes()[:-10])
    assert f"{WEIGHTS}: not a whole safetensors file" in message_of(saved)


def test_a_directory_without_weights_is_refused(saved):
    (saved / WEIGHTS).unlink()
    assert message_of(saved).endswith(f"{WEIGHTS}: no such file")


def test_a_directory_without_a_card_is_refused(tmp_path):
    assert f"not a generator directory, it has no {CARD}" in message_of(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"", "not JSON"),
        (b"[1]", "a card needs 'kind' and 'config'"),
        (b'{"kind": "dcgan"}', "a card needs 'kind' and 'config'"),
    ],
)
def test_a_broken_card_is_refused(saved, content, reason):
    (saved / CARD).write_bytes(content)
    assert reason in message_of(saved)


def test_a_path_that_is_not_there_is_refused(tmp_path):
    assert message_of(tmp_path / "none").endswith("no such file or directory")


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "netG.pth").write_bytes(b"x")
    assert "a file of no format that is read" in message_of(tmp_path / "netG.pth", kind="dcgan")


def test_a_file_needs_a_kind_and_a_known_one(saved):
    assert f"say which generator it holds: kind={sorted(KINDS)}" in message_of(saved / WEIGHTS)
    assert f"unknown kind 'gan'; known: {KNOWN}" in message_of(saved / WEIGHTS, kind="gan")


def test_a_directory_says_its_kind(saved):
    assert "a directory's card says its kind; pass none" in message_of(saved, kind="dcgan")


def test_a_directory_opens_under_other_settings(tmp_path):
    generator = StyleGAN2(
        image_size=8, widths=(4, 4), z_dim=4, w_dim=4, mapping_layers=1, rngs=nnx.Rngs(0)
    )
    save_generator(tmp_path, generator, dtype=np.float32)
    opened = open_generator(tmp_path, config={"truncation_psi": 0.5})
    assert opened.config == {**generator.config, "truncation_psi": 0.5}
    assert fingerprint(opened) == fingerprint(with_settings(generator, {"truncation_psi": 0.5}))


def test_other_settings_of_a_directory_must_fit_its_weights(saved):
    assert "has (" in message_of(saved, config={"width": 3})


@pytest.mark.parametrize("config", [{"widht": 4}, {"image_size": 12}])
def test_a_wrong_config_for_a_file_is_refused(tmp_path, config):
    arrays = {f"main.{3 * i}.weight": np.zeros((4, 4, 4, 4), np.float32) for i in range(3)}
    path = tmp_path / "netG.safetensors"
    write_safetensors(path, arrays)
    assert next(iter(config)) in message_of(path, kind="dcgan", config=config)


def test_a_generator_that_is_not_finite_is_not_saved(tmp_path):
    generator = tiny()
    generator.output.kernel[...] = generator.output.kernel[...].at[0, 0, 0, 0].set(np.nan)
    with pytest.raises(CheckpointError, match=r"not saved, output\.kernel holds NaN or infinity"):
        save_generator(tmp_path / "g", generator)
    assert not (tmp_path / "g").exists()


def test_a_weight_too_large_for_the_type_is_not_saved(tmp_path):
    generator = tiny()
    generator.output.kernel[...] = generator.output.kernel[...] + 1e6
    with pytest.raises(CheckpointError, match="values too large for float16"):
        save_generator(tmp_path / "g", generator)
    save_generator(tmp_path / "g", generator, dtype=np.float32)
    assert fingerprint(open_generator(tmp_path / "g")) == fingerprint(generator)


def test_a_class_without_a_kind_of_its_own_is_not_saved(tmp_path):
    class Mine(DCGAN):
        pass

    with pytest.raises(CheckpointError, match=f"Mine cannot be saved, only {KNOWN}"):
        save_generator(tmp_path / "g", Mine(image_size=8, rngs=nnx.Rngs(0)))
    assert not (tmp_path / "g").exists()


@pytest.mark.outer
def test_the_same_weights_serve_under_other_settings():
    sizes = {"image_size": 8, "widths": (8, 4), "z_dim": 4, "w_dim": 4, "mapping_layers": 1}
    sizes["latent_space"] = "z"  # Truncation lies between it and the image.
    as_loaded = StyleGAN2(**sizes, rngs=nnx.Rngs(0))
    as_loaded.eval()
    as_loaded.name = "mine"
    truncated = with_settings(as_loaded, {"truncation_psi": 0.0})
    latents = sample_latents(as_loaded, jax.random.key(0), 3)
    at_the_mean = np.asarray(truncated(latents))
    assert np.ptp(at_the_mean, axis=0).max() < 1e-6  # One image, whatever the latent.
    assert np.ptp(np.asarray(as_loaded(latents)), axis=0).max() > 1e-3
    assert (truncated.name, as_loaded.truncation_psi) == ("mine", 1.0)
    assert fingerprint(with_settings(truncated, {"truncation_psi": 1.0})) == fingerprint(as_loaded)


@pytest.mark.parametrize(
    "settings,reason", [({"psi": 0.5}, "'psi'"), ({"latent_dim": 4}, "is .*has"), (None, "known")]
)
def test_settings_that_the_weights_do_not_have_are_refused(settings, reason):
    generator = nnx.Linear(2, 2, rngs=nnx.Rngs(0)) if settings is None else tiny()
    with pytest.raises(CheckpointError, match=reason):
        with_settings(generator, settings or {})
