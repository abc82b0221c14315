"""The autoencoder of Wan 2.1 and Qwen-Image against diffusers, on videos of one frame."""

import re

import jax
import numpy as np
import pytest

from jax_origin.checkpoints import CheckpointError, write_safetensors
from jax_origin.generators import open_generator

from .diffusers_autoencoders import arrays_of, images, reference, write_folder

pytestmark = pytest.mark.outer

TOLERANCE = 1e-4
PUBLISHED = {"_class_name": "AutoencoderKLWan"}
WAN = {"_class_name": "AutoencoderKLWan", "base_dim": 8, "z_dim": 16, "num_res_blocks": 1}
QWEN = {
    "_class_name": "AutoencoderKLQwenImage",
    "base_dim": 8,
    "z_dim": 4,
    "dim_mult": [1, 2, 4],
    "temperal_downsample": [True, False],
    "latents_mean": [0.5, -0.25, 0.125, 0.0],
    "latents_std": [2.0, 1.5, 0.75, 1.0],
}


def there(torch, x):
    return torch.tensor(np.asarray(x).transpose(0, 3, 1, 2)[:, :, None])


def back(x):
    return x[:, :, 0].permute(0, 2, 3, 1).numpy()


def wan(torch, config):
    """The reference network, whose norms too differ from 1: they have several axes."""
    model = reference(torch, config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("gamma"):
                value.add_(0.3 * torch.randn_like(value))
    return model


def opened(path, size):
    return open_generator(path, kind="autoencoder_wan", config={"image_size": list(size)})


@pytest.mark.parametrize(
    ("config", "size"), [(PUBLISHED, (64, 64)), (QWEN, (32, 48))], ids=["wan", "qwen"]
)
def test_both_directions_are_diffusers(config, size, tmp_path):
    torch = pytest.importorskip("torch")
    model = wan(torch, config)
    generator = opened(write_folder(tmp_path / "vae", config, arrays_of(model)), size)
    x = images(1, *size)
    with torch.no_grad():
        raw = model.encode(there(torch, 2 * x - 1)).latent_dist
        made = back(model.decode(raw.mode()).sample)
    mean, std = (np.float32(model.config[f"latents_{name}"]) for name in ("mean", "std"))
    theirs = (back(raw.mode()) - mean[None, None, None]) / std[None, None, None]
    assert theirs.std() > 0.01
    assert made.std() > 0.01
    found, log_variance = jax.jit(
        lambda x: (generator.encode(x), generator.posterior(x * 2 - 1)[1])
    )(x)
    assert np.abs(found - theirs).max() < TOLERANCE * np.abs(theirs).max()
    assert np.abs(np.exp(log_variance) - back(raw.var)).max() < TOLERANCE * back(raw.var).max()
    ours = np.asarray(jax.jit(lambda z: generator(z))(theirs))
    assert np.abs(ours - (made / 2 + 0.5)).max() < TOLERANCE


def wan_names(arrays, blocks):
    """diffusers' names as Wan has them."""
    found = {}
    for name, array in arrays.items():
        name = re.sub(
            r"up_blocks\.(\d+)\.resnets\.(\d+)",
            lambda m: f"upsamples.{int(m[1]) * (blocks + 2) + int(m[2])}",
            name,
        )
        name = re.sub(
            r"up_blocks\.(\d+)\.upsamplers\.0",
            lambda m: f"upsamples.{int(m[1]) * (blocks + 2) + blocks + 1}",
            name,
        )
        for pattern, to in (
            ("down_blocks", "downsamples"),
            (r"mid_block\.resnets\.0", "middle.0"),
            (r"mid_block\.attentions\.0", "middle.1"),
            (r"mid_block\.resnets\.1", "middle.2"),
            (r"conv_shortcut", "shortcut"),
            (r"\.conv1\.", ".residual.2."),
            (r"\.conv2\.", ".residual.6."),
            (r"norm1", "residual.0"),
            (r"norm2", "residual.3"),
            (r"conv_in", "conv1"),
            (r"norm_out", "head.0"),
            (r"conv_out", "head.2"),
            (r"post_quant_conv", "conv2"),
            (r"quant_conv", "conv1"),
        ):
            name = re.sub(pattern, to, name)
        found[name] = array
    return found


def test_a_file_in_wans_own_names_is_the_same_model(tmp_path):
    torch = pytest.importorskip("torch")
    arrays = arrays_of(wan(torch, WAN))
    folder = write_folder(tmp_path / "vae", WAN, arrays)
    write_safetensors(tmp_path / "wan.safetensors", wan_names(arrays, blocks=1))
    one, other = (opened(path, (32, 32)) for path in (folder, tmp_path / "wan.safetensors"))
    assert one.config == other.config
    assert other.latent_std[0] == 2.8184
    x = images(1, 32, 32)
    z = one.encode(x)
    np.testing.assert_array_equal(z, other.encode(x))
    np.testing.assert_array_equal(one(z), other(z))


def test_wan_2_2s_is_refused_in_one_line(tmp_path):
    torch = pytest.importorskip("torch")
    config = {
        **{"_class_name": "AutoencoderKLWan", "base_dim": 8, "z_dim": 16, "is_residual": True},
        **{"patch_size": 2, "in_channels": 12, "out_channels": 12},
    }
    folder = write_folder(tmp_path / "vae", config, arrays_of(reference(torch, config)))
    with pytest.raises(CheckpointError, match=r"as Wan 2\.2's, is not read here") as raised:
        opened(folder, (32, 32))
    assert "\n" not in str(raised.value)


def test_an_option_that_shapes_do_not_show_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    arrays = arrays_of(wan(torch, WAN))
    folder = write_folder(tmp_path / "vae", {**WAN, "patch_size": 2}, arrays)
    with pytest.raises(CheckpointError, match="patch_size=2 is not read here"):
        opened(folder, (32, 32))
