import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jax_origin as jo
from jax_origin.checkpoints import CheckpointError, write_safetensors
from jax_origin.generators import fingerprint, open_generator
from jax_origin.generators.files import convert_checkpoint

from .diffusers_unet import CIFAR10, reference_unet

REPOSITORY = Path(__file__).parents[2]
LATENTS = jax.random.normal(jax.random.key(0), (3, 5))


def dcgan_arrays():
    """netG of PyTorch's DCGAN example, at 16 px."""
    rng = np.random.default_rng(0)
    arrays = {}
    for i, (inputs, outputs) in enumerate([(5, 8), (8, 4), (4, 3)]):
        kernel = rng.normal(0, 0.1, (inputs, outputs, 4, 4))
        arrays[f"main.{3 * i}.weight"] = kernel.astype(np.float32)
        if i < 2:
            for name in ("weight", "bias", "running_mean", "running_var"):
                value = rng.uniform(0.5, 1.5, outputs).astype(np.float32)
                arrays[f"main.{3 * i + 1}.{name}"] = value
            arrays[f"main.{3 * i + 1}.num_batches_tracked"] = np.asarray(7)
    return arrays


def write(folder: Path, form: str) -> Path:
    arrays = dcgan_arrays()
    path = folder / f"netG.{form}"
    if form == "npz":
        np.savez(path, **arrays)
    elif form == "safetensors":
        write_safetensors(path, arrays)
    else:
        torch = pytest.importorskip("torch")
        state = {f"module.{name}": torch.tensor(array) for name, array in arrays.items()}
        torch.save({"state_dict": state, "epoch": 24}, path)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("safetensors"), "safetensors")
    return np.asarray(open_generator(path, kind="dcgan")(LATENTS))


@pytest.mark.parametrize("form", ["npz", "pth"])
def test_a_published_file_opens_whatever_its_format(tmp_path, images, form):
    generator = jo.load_generator(write(tmp_path, form), kind="dcgan")
    assert generator.name == "netG" and generator.config["image_size"] == 16
    np.testing.assert_array_equal(generator(LATENTS), images)


def test_a_converted_file_is_the_same_generator(tmp_path):
    source = write(tmp_path, "npz")
    reference = convert_checkpoint(source, tmp_path / "ours", kind="dcgan", card={"name": "mine"})
    assert reference.names["main.0.weight"] == ("stages.0.conv.kernel",)
    assert reference.names["main.1.num_batches_tracked"] == ()
    ours = jo.load_generator(tmp_path / "ours")
    assert ours.name == "mine"
    assert fingerprint(ours) == fingerprint(open_generator(source, kind="dcgan"))


def test_weights_can_be_rounded(tmp_path, images):
    source = write(tmp_path, "npz")
    convert_checkpoint(source, tmp_path / "half", kind="dcgan", dtype="float16")
    made = np.asarray(open_generator(tmp_path / "half")(LATENTS))
    assert 0 < np.abs(made - images).max() < 2e-3


def test_an_array_that_is_missing_or_damaged_leaves_no_card(tmp_path):
    arrays = dcgan_arrays()
    del arrays["main.4.running_var"]
    np.savez(tmp_path / "short.npz", **arrays)
    with pytest.raises(CheckpointError, match=r"missing \['stages.1.norm.var'\]"):
        convert_checkpoint(tmp_path / "short.npz", tmp_path / "out", kind="dcgan")
    arrays = dcgan_arrays()
    arrays["main.6.weight"][0, 0, 0, 0] = np.nan
    np.savez(tmp_path / "nan.npz", **arrays)
    with pytest.raises(CheckpointError, match=r"output.kernel holds NaN"):
        convert_checkpoint(tmp_path / "nan.npz", tmp_path / "out", kind="dcgan")
    assert not (tmp_path / "out" / "card.json").exists()


@pytest.mark.outer
def test_the_script_prints_what_became_of_each_array(tmp_path):
    source = write(tmp_path, "pth")
    command = [sys.executable, "scripts/convert_checkpoint.py", f"--source={source}", "--verify"]
    done = subprocess.run(
        [*command, "--kind=dcgan", f"--out={tmp_path / 'ours'}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "module.main.0.weight [5, 8, 4, 4] -> stages.0.conv.kernel" in lines
    assert "module.main.1.num_batches_tracked [] -> dropped" in lines
    assert any(line.startswith("verified: 13 arrays") for line in lines)
    assert json.loads((tmp_path / "ours" / "card.json").read_text())["kind"] == "dcgan"
    wrong = subprocess.run(
        [*command, "--kind=vae", f"--out={tmp_path / 'wrong'}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert wrong.returncode == 1
    assert "no VAE" in wrong.stderr and len(wrong.stderr.splitlines()[-1]) < 300


@pytest.mark.outer
def test_verify_compares_a_folders_outputs(tmp_path):
    network, _ = reference_unet(pytest.importorskip("torch"), CIFAR10)
    network.save_pretrained(tmp_path / "model")
    network.save_pretrained(tmp_path / "pipeline" / "unet")

    def convert(source, *more):
        command = [sys.executable, "scripts/convert_checkpoint.py", "--kind=ddim", "--verify"]
        command += [f"--source={tmp_path / source}", f"--out={tmp_path / 'ours'}", *more]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    done = convert("pipeline")
    assert done.returncode == 0, done.stderr
    assert "verified: the U-Net's outputs are PyTorch's, to " in done.stdout
    wrong = convert("model", '--config={"unet": {"flip_sin_to_cos": true}}')
    assert wrong.returncode == 1
    assert "the U-Net's outputs are not PyTorch's: off by" in wrong.stderr.splitlines()[-1]
