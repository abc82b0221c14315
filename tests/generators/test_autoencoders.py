"""Autoencoders against diffusers, at the true widths, and as files of other names."""

import re

import jax
import numpy as np
import pytest

from jax_origin.checkpoints import write_safetensors
from jax_origin.cli.main import main
from jax_origin.generators import open_generator

from .diffusers_autoencoders import (
    FLUX1,
    FLUX2,
    MOVQ,
    SD,
    SD3,
    SDXL,
    TAESD,
    VQ_DIFFUSION,
    arrays_of,
    images,
    narrowed,
    reference,
    write_folder,
)

pytestmark = pytest.mark.outer

TOLERANCE = 1e-4
KINDS = {
    "AutoencoderKL": "autoencoder_kl",
    "AutoencoderKLFlux2": "autoencoder_kl",
    "VQModel": "vq_model",
    "AutoencoderTiny": "autoencoder_tiny",
}


def there(torch, x):
    return torch.tensor(np.asarray(x).transpose(0, 3, 1, 2))


def back(x):
    return x.permute(0, 2, 3, 1).numpy()


def their_latents(torch, model, config, x):
    """What diffusers' encoder gives, as the diffusion model has it."""
    name = config["_class_name"]
    if name.startswith("AutoencoderKL"):
        raw = model.encode(there(torch, 2 * x - 1)).latent_dist.mode()
        if name == "AutoencoderKLFlux2":
            return back(raw)
        return back((raw - config.get("shift_factor", 0)) * config["scaling_factor"])
    raw = model.encode(there(torch, 2 * x - 1)).latents
    return back(model.quantize(raw)[0] if name == "VQModel" else raw)


@pytest.mark.parametrize(
    ("config", "size"),
    [
        *((SD, (64, 64)), (narrowed(SDXL), (64, 96)), (narrowed(SD3), (64, 64))),
        *((narrowed(FLUX1), (64, 64)), (narrowed(FLUX2), (64, 96))),
        *((narrowed(VQ_DIFFUSION), (64, 64)), (MOVQ, (64, 96)), (TAESD, (64, 96))),
    ],
    ids=["sd", "sdxl", "sd3", "flux1", "flux2", "vq", "movq", "taesd"],
)
def test_both_directions_are_diffusers(config, size, tmp_path):
    torch = pytest.importorskip("torch")
    model = reference(torch, config)
    folder = write_folder(tmp_path / "vae", config, arrays_of(model))
    generator = open_generator(
        folder, kind=KINDS[config["_class_name"]], config={"image_size": list(size)}
    )
    x = images(1, *size)
    found = np.asarray(jax.jit(generator.encode)(x))
    with torch.no_grad():
        theirs = their_latents(torch, model, config, x)
        assert theirs.std() > 0.01
        if config["_class_name"].endswith("Flux2"):
            theirs = whitened_flux2(torch, model, theirs)
            raw = np.asarray(generator.posterior(generator.on_canvas(x) * 2 - 1)[0])
        elif config["_class_name"].startswith("AutoencoderKL"):
            raw = theirs / config["scaling_factor"] + config.get("shift_factor", 0)
        else:
            raw = theirs
        options = {"force_not_quantize": True} if "VQ" in config["_class_name"] else {}
        made = back(model.decode(there(torch, raw), **options).sample)
    assert np.abs(found - theirs).max() < TOLERANCE * np.abs(theirs).max()
    made = made / 2 + 0.5
    assert made.std() > 0.01
    ours = np.asarray(jax.jit(lambda z: generator(z))(theirs))
    assert np.abs(ours - np.clip(made, 0, 1)).max() < TOLERANCE


def whitened_flux2(torch, model, raw):
    """As diffusers' pipeline does it: by channel of squares of four cells."""
    n, h, w, c = raw.shape
    x = there(torch, raw).view(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4)
    x = x.reshape(n, 4 * c, h // 2, w // 2)
    deviation = torch.sqrt(model.bn.running_var + model.config.batch_norm_eps)
    x = (x - model.bn.running_mean.view(1, -1, 1, 1)) / deviation.view(1, -1, 1, 1)
    x = x.reshape(n, c, 2, 2, h // 2, w // 2).permute(0, 1, 4, 2, 5, 3).reshape(n, c, h, w)
    return back(x)


def compvis_names(arrays, levels):
    """diffusers' names as CompVis has them."""
    found = {}
    for name, array in arrays.items():
        for pattern, to in (
            (r"encoder\.down_blocks\.(\d+)\.resnets\.(\d+)", r"encoder.down.\1.block.\2"),
            (r"encoder\.down_blocks\.(\d+)\.attentions\.(\d+)", r"encoder.down.\1.attn.\2"),
            (r"encoder\.down_blocks\.(\d+)\.downsamplers\.0", r"encoder.down.\1.downsample"),
            (r"mid_block\.resnets\.0", "mid.block_1"),
            (r"mid_block\.resnets\.1", "mid.block_2"),
            (r"mid_block\.attentions\.0", "mid.attn_1"),
            (r"conv_norm_out", "norm_out"),
            (r"conv_shortcut", "nin_shortcut"),
            (r"group_norm", "norm"),
            (r"to_([qkv])\.", r"\1."),
            (r"to_out\.0", "proj_out"),
        ):
            name = re.sub(pattern, to, name)
        if match := re.match(r"decoder\.up_blocks\.(\d+)\.(.*)", name):
            rest = match[2].replace("resnets", "block").replace("attentions", "attn")
            rest = rest.replace("upsamplers.0", "upsample")
            name = f"decoder.up.{levels - 1 - int(match[1])}.{rest}"
        if re.search(r"attn.*\.(q|k|v|proj_out)\.weight", name):
            array = array[:, :, None, None]
        found[name] = array
    return found


@pytest.mark.parametrize("config", [narrowed(SD), narrowed(FLUX1), narrowed(VQ_DIFFUSION)])
def test_a_file_in_compvis_names_inside_a_whole_checkpoint_is_the_same_model(config, tmp_path):
    torch = pytest.importorskip("torch")
    kind = KINDS[config["_class_name"]]
    arrays = arrays_of(reference(torch, config))
    folder = write_folder(tmp_path / "vae", config, arrays)
    file = tmp_path / "model.safetensors"
    inside = {f"first_stage_model.{k}": v for k, v in compvis_names(arrays, 4).items()}
    inside |= {"model.diffusion_model.input_blocks.0.0.weight": np.zeros((8, 4, 3, 3), np.float32)}
    inside |= {"cond_stage_model.transformer.weight": np.zeros((8, 4), np.float32)}
    inside |= {"first_stage_model.loss.logvar": np.zeros((), np.float32)}
    if kind == "vq_model":  # What a codebook that is an average was made of.
        inside |= {"first_stage_model.quantize.embedding.cluster_size": np.zeros(64, np.float32)}
    write_safetensors(file, inside)
    x = images(1, 32, 32)
    same = {"image_size": 32, "latent_mean": 0.0, "latent_std": 1.0}
    one, other = (open_generator(path, kind=kind, config=same) for path in (folder, file))
    assert one.config == other.config
    z = one.encode(x)
    np.testing.assert_array_equal(z, other.encode(x))
    np.testing.assert_array_equal(one(z), other(z))


def test_a_pipeline_gives_its_autoencoder(tmp_path):
    torch = pytest.importorskip("torch")
    config = narrowed(SD)
    arrays = arrays_of(reference(torch, config))
    write_folder(tmp_path / "vae", config, arrays)
    unet = {"_class_name": "UNet2DConditionModel", "block_out_channels": [8]}
    write_folder(tmp_path / "unet", unet, {"conv_in.weight": np.zeros((8, 4, 3, 3), np.float32)})
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    generator = open_generator(tmp_path, config={"image_size": 32})
    assert generator.kind == "autoencoder_kl"
    assert generator.latent_std == (1 / 0.18215,)
    assert generator.latent_shape == (4, 4, 4)


def test_the_originals_two_files_are_one_tiny_autoencoder(tmp_path):
    torch = pytest.importorskip("torch")
    arrays = arrays_of(reference(torch, TAESD))
    folder = write_folder(tmp_path / "vae", TAESD, arrays)
    for half, first in (("encoder", 0), ("decoder", 1)):
        form = re.compile(rf"{half}\.layers\.(\d+)\.(.*)")
        found = ((form.fullmatch(name), array) for name, array in arrays.items())
        renamed = {f"{int(m[1]) + first}.{m[2]}": array for m, array in found if m}
        write_safetensors(tmp_path / f"tiny_{half}.safetensors", renamed)
    same = {"image_size": 32}
    one = open_generator(folder, kind="autoencoder_tiny", config=same)
    two = open_generator(
        tmp_path / "tiny_decoder.safetensors", kind="autoencoder_tiny", config=same
    )
    assert one.config == two.config
    x = images(1, 32, 32)
    np.testing.assert_array_equal(one(one.encode(x)), two(two.encode(x)))


@pytest.mark.parametrize("config", [narrowed(SD), narrowed(VQ_DIFFUSION), TAESD])
def test_convert_verifies_both_directions(config, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    reference(torch, config).save_pretrained(tmp_path / "pipeline" / "vae")
    kind = KINDS[config["_class_name"]]
    arguments = ["convert", f"--source={tmp_path / 'pipeline'}", f"--kind={kind}", "--verify"]
    size = '--config={"image_size": 64, "margin": 16}'
    assert main([*arguments, size, f"--out={tmp_path / 'ours'}"]) == 0
    said = capsys.readouterr().out
    assert "verified: the encoder's and the decoder's outputs are PyTorch's, to " in said
    assert open_generator(tmp_path / "ours").canvas_shape == (96, 96, 3)
