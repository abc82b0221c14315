"""Deep compression autoencoders against diffusers."""

import jax
import numpy as np
import pytest

from jax_origin.checkpoints import CheckpointError
from jax_origin.generators import open_generator, save_generator

from .diffusers_autoencoders import arrays_of, images, reference, write_folder

pytestmark = pytest.mark.outer

TOLERANCE = 1e-4
BLOCKS = ["ResBlock"] * 3 + ["EfficientViTBlock"] * 3
# As SANA's, at narrow widths and fewer blocks.
SANA = {
    "_class_name": "AutoencoderDC",
    "latent_channels": 16,
    "encoder_block_types": BLOCKS,
    "decoder_block_types": BLOCKS,
    "encoder_block_out_channels": [8, 8, 16, 32, 64, 64],
    "decoder_block_out_channels": [8, 8, 16, 32, 64, 64],
    "encoder_layers_per_block": [1, 1, 1, 1, 1, 1],
    "decoder_layers_per_block": [1, 1, 1, 1, 1, 1],
    "encoder_qkv_multiscales": [[], [], [], [5], [5], [5]],
    "decoder_qkv_multiscales": [[], [], [], [5], [5], [5]],
    "downsample_block_type": "Conv",
    "upsample_block_type": "interpolate",
    "scaling_factor": 0.41407,
}
# As those of 64 and 128 pixels a cell: no blocks at the full resolution, batch norms, shuffling.
SHUFFLED = {
    "_class_name": "AutoencoderDC",
    "latent_channels": 32,
    "attention_head_dim": 16,
    "encoder_block_types": ["ResBlock"] * 2 + ["EfficientViTBlock"] * 2,
    "decoder_block_types": ["ResBlock"] * 2 + ["EfficientViTBlock"] * 2,
    "encoder_block_out_channels": [4, 8, 16, 32],
    "decoder_block_out_channels": [4, 8, 32, 32],
    "encoder_layers_per_block": [0, 2, 1, 1],
    "decoder_layers_per_block": [0, 1, 2, 1],
    "encoder_qkv_multiscales": [[], [], [], []],
    "decoder_qkv_multiscales": [[], [], [], []],
    "decoder_norm_types": ["batch_norm", "batch_norm", "rms_norm", "batch_norm"],
    "decoder_act_fns": ["relu", "relu", "silu", "silu"],
    "scaling_factor": 0.4538,
}
# Further options: no shortcuts at the latents, another last activation.
LITE = {
    **SHUFFLED,
    "latent_channels": 12,
    "decoder_layers_per_block": [1, 1, 1, 1],
    "decoder_norm_types": "rms_norm",
    "decoder_act_fns": "silu",
    "decoder_block_types": "ResBlock",
    "encoder_qkv_multiscales": [[], [], [3], [3, 5]],
    "encoder_out_shortcut": False,
    "decoder_in_shortcut": False,
    "decoder_conv_act_fn": "silu",
}


def there(torch, x):
    return torch.tensor(np.asarray(x).transpose(0, 3, 1, 2))


def back(x):
    return x.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(
    ("config", "size"),
    [(SANA, (64, 96)), (SHUFFLED, (64, 64)), (LITE, (32, 64))],
    ids=["sana", "shuffled", "lite"],
)
def test_both_directions_are_diffusers(config, size, tmp_path):
    torch = pytest.importorskip("torch")
    model = reference(torch, config)
    folder = write_folder(tmp_path / "vae", config, arrays_of(model))
    generator = open_generator(folder, kind="autoencoder_dc", config={"image_size": list(size)})
    x = images(2, *size)
    with torch.no_grad():
        raw = model.encode(there(torch, 2 * x - 1)).latent
        made = back(model.decode(raw).sample)
    theirs = back(raw) * config["scaling_factor"]
    assert theirs.std() > 0.01
    assert made.std() > 0.01
    found = np.asarray(jax.jit(generator.encode)(x))
    assert np.abs(found - theirs).max() < TOLERANCE * np.abs(theirs).max()
    raw = theirs / np.float32(config["scaling_factor"])
    ours = np.asarray(jax.jit(generator.decode)(raw))
    assert np.abs(ours - made).max() < TOLERANCE * np.abs(made).max()
    np.testing.assert_allclose(generator(theirs), np.clip(ours / 2 + 0.5, 0, 1), atol=1e-5)


def test_weights_alone_say_the_architecture_and_a_saved_copy_is_the_same(tmp_path):
    torch = pytest.importorskip("torch")
    arrays = arrays_of(reference(torch, SHUFFLED))
    folder = write_folder(tmp_path / "vae", SHUFFLED, arrays)
    file = folder / "diffusion_pytorch_model.safetensors"
    # Shapes do not show the size of a head where nothing else is asked.
    said = {"image_size": 32, "head": 16}
    one, other = (
        open_generator(path, kind="autoencoder_dc", config=said) for path in (folder, file)
    )
    for name in ("blocks", "decoder_blocks", "attention", "decoder_attention", "shuffle"):
        assert other.config[name] == one.config[name]
    assert other.config["decoder_norms"][1:] == SHUFFLED["decoder_norm_types"][1:]
    assert one.latent_std == (1 / 0.4538,)
    assert other.latent_std == (1.0,)
    save_generator(tmp_path / "saved", one, dtype=np.float32)
    copy = open_generator(tmp_path / "saved")
    assert copy.config == one.config
    x = images(1, 32, 32)
    raw = one.posterior(2 * x - 1)[0]
    for another in (other, copy):
        np.testing.assert_array_equal(raw, another.posterior(2 * x - 1)[0])
        np.testing.assert_array_equal(one.decode(raw), another.decode(raw))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("decoder_norm_types", "layer_norm", "decoder_norms must be rms_norm or batch_norm"),
        ("decoder_act_fns", "gelu", "decoder_activations must be relu or silu"),
        ("upsample_block_type", "bicubic", "upsample_block_type must be pixel_shuffle"),
        ("decoder_conv_act_fn", "mish", "last_activation must be relu or silu"),
    ],
)
def test_what_is_not_built_is_refused(option, value, message, tmp_path):
    torch = pytest.importorskip("torch")
    arrays = arrays_of(reference(torch, LITE))
    folder = write_folder(tmp_path / "vae", {**LITE, option: value}, arrays)
    with pytest.raises(CheckpointError, match=message):
        open_generator(folder, kind="autoencoder_dc")
