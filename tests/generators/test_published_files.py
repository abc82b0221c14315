"""Whole files as they are published, opened as they come; and hostile ones, refused at once."""

import json
import sys
import time
import types

import numpy as np
import pytest

from jax_origin.checkpoints import CheckpointError, write_safetensors
from jax_origin.generators import fingerprint, open_generator
from tests.checkpoints.written import module, pickle_of

from .diffusers_unet import CIFAR10, IMAGENET64, reference_unet
from .test_convert import dcgan_arrays
from .test_stylegan2 import SKIP, reference_arrays
from .test_unet import openai_arrays
from .test_vae_resnet18 import arrays_of, reference

STYLEGAN = {**SKIP, "widths": [8, 8, 4]}
ARGUMENTS = {
    "z_dim": 5,
    "c_dim": 3,
    "w_dim": 6,
    "img_resolution": 16,
    "img_channels": 3,
    "mapping_kwargs": {"num_layers": 1},
    "synthesis_kwargs": {"channel_base": 64, "channel_max": 8, "architecture": "skip"},
}
COSINE = {
    "_class_name": "DDPMScheduler",
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "clip_sample": False,
}


def stylegan_pickle(path, arguments):
    """A network pickle whose module has these arguments, and the weights of `STYLEGAN`."""

    def nested(arrays, **state):
        own = {name: array for name, array in arrays.items() if "." not in name}
        children = dict.fromkeys(name.partition(".")[0] for name in arrays if "." in name)
        for child in children:
            start = f"{child}."
            inner = {n.removeprefix(start): a for n, a in arrays.items() if n.startswith(start)}
            children[child] = nested(inner)
        return module("Any", own, modules=children, **state)

    network = nested(reference_arrays(STYLEGAN), _init_args=(), _init_kwargs=arguments)
    path.write_bytes(pickle_of({"G": None, "D": None, "G_ema": network}))
    return path


def test_a_stylegan_pickle(tmp_path):
    path = stylegan_pickle(tmp_path / "network-snapshot.pkl", ARGUMENTS)
    changed = {"label": 1, "latent_space": "z"}
    generator = open_generator(path, kind="stylegan2_ada", config=changed)
    write_safetensors(tmp_path / "plain.safetensors", reference_arrays(STYLEGAN))
    plain = open_generator(
        tmp_path / "plain.safetensors", kind="stylegan2_ada", config={**STYLEGAN, **changed}
    )
    assert generator.config["widths"] == [8, 8, 4]
    assert generator.config == {**plain.config, "truncation_psi": 1.0}


def test_a_lightning_checkpoint_with_its_optimizer_and_hyperparameters(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")

    class AttributeDict(dict):
        """Stands where Lightning's does, so that the pickle names it so."""

    for name in ("pytorch_lightning", "pytorch_lightning.utilities"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    parsing = types.ModuleType("pytorch_lightning.utilities.parsing")
    parsing.AttributeDict = AttributeDict
    AttributeDict.__module__, AttributeDict.__qualname__ = parsing.__name__, "AttributeDict"
    monkeypatch.setitem(sys.modules, parsing.__name__, parsing)
    network = reference(torch, first_conv=False, maxpool1=False)
    optimizer = torch.optim.Adam(network.parameters())
    network.decoder(torch.zeros(1, network.fc_mu.out_features)).sum().backward()
    optimizer.step()
    stored = {"input_height": 32, "latent_dim": network.fc_mu.out_features, "first_conv": False}
    torch.save(
        {
            "epoch": 3,
            "state_dict": network.state_dict(),
            "optimizer_states": [optimizer.state_dict()],
            "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
            "lr_schedulers": [],
            "hparams_name": "hparams",
            "hyper_parameters": AttributeDict(stored),
        },
        tmp_path / "epoch=3.ckpt",
    )
    generator = open_generator(tmp_path / "epoch=3.ckpt", kind="vae_resnet18")
    write_safetensors(tmp_path / "plain.safetensors", arrays_of(network))
    plain = open_generator(tmp_path / "plain.safetensors", kind="vae_resnet18")
    assert fingerprint(generator) == fingerprint(plain)


def test_a_training_state_beside_the_weights_is_left_alone(tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.tensor(array) for name, array in dcgan_arrays().items()}
    moments = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}
    torch.save({"netG": state, "optimizer": moments}, tmp_path / "netG_epoch_24.pth")
    np.savez(tmp_path / "plain.npz", **dcgan_arrays())
    found, plain = (
        open_generator(tmp_path / name, kind="dcgan") for name in ("netG_epoch_24.pth", "plain.npz")
    )
    assert fingerprint(found) == fingerprint(plain)


@pytest.mark.outer
def test_openais_consistency_model(tmp_path):
    torch = pytest.importorskip("torch")
    stored = {**IMAGENET64, "attn_norm_num_groups": 8}
    reference_unet(torch, stored)[0].save_pretrained(tmp_path / "folder")
    named = openai_arrays(torch, stored, heads_outermost=False)
    torch.save({n: torch.tensor(a) for n, a in named.items()}, tmp_path / "cd_imagenet64_l2.pt")
    unsaid = {"image_size": 16, "unet": {"head_channels": 8, "norm_groups": 8}}
    unsaid["unet"]["middle_norm_groups"] = 8
    file = open_generator(tmp_path / "cd_imagenet64_l2.pt", kind="consistency", config=unsaid)
    folder = open_generator(tmp_path / "folder", kind="consistency")
    assert file.image_shape == folder.image_shape == (16, 16, 3)
    assert fingerprint(file) == fingerprint(folder)


@pytest.fixture
def saved(tmp_path):
    """Saves diffusers' U-Net into a folder, and changes its config.json."""
    network, _ = reference_unet(pytest.importorskip("torch"), CIFAR10)

    def save(folder, scheduler=None, **changes):
        network.save_pretrained(tmp_path / folder)
        path = tmp_path / folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
        if scheduler is not None:
            (tmp_path / scheduler).parent.mkdir(exist_ok=True)
            (tmp_path / scheduler).write_text(json.dumps(COSINE))
        return tmp_path / folder

    return save


@pytest.mark.outer
def test_the_schedule_is_read_wherever_it_lies(tmp_path, saved):
    saved("pipeline/unet", "pipeline/scheduler/scheduler_config.json")
    saved("together", "together/scheduler_config.json")
    saved("beside", "beside/scheduler/scheduler_config.json")
    configs = [
        open_generator(tmp_path / name, kind="ddim").config
        for name in ("pipeline", "together", "beside")
    ]
    assert configs[0]["schedule"]["prediction_type"] == "v_prediction"
    assert configs[1] == configs[2] == configs[0]
    alone = open_generator(saved("alone"), kind="ddim").config
    assert alone["schedule"]["prediction_type"] == "epsilon"


def test_a_unet_without_a_size_has_the_one_that_is_given(saved):
    folder = saved("model", sample_size=None)
    assert open_generator(folder, kind="ddim").image_shape == (32, 32, 3)
    other = open_generator(folder, kind="ddim", config={"image_size": 16})
    assert other.image_shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers_per_block": 10**9}, "1 to 64 blocks"),
        ({"attention_head_dim": 0}, "config"),
        ({"block_out_channels": 7}, "no ddim config can be made of what it says"),
        ({"norm_eps": [1]}, "config"),
        ({"freq_shift": 10**400}, "no ddim config can be made of what it says"),
        ({"down_block_types": None}, "no ddim config can be made of what it says"),
    ],
)
def test_a_config_of_nonsense_is_refused_in_one_line(saved, change, message):
    refused(saved("model", **change), "ddim", message)


def test_a_schedule_of_nonsense_is_refused(tmp_path, saved, monkeypatch):
    monkeypatch.setitem(COSINE, "num_train_timesteps", 2 * 10**9)
    folder = saved("model", "model/scheduler_config.json")
    refused(folder, "ddim", "num_train_timesteps must be 1 to 100,000, not 2000000000")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mapping_kwargs": {"num_layers": 10**9}}, "mapping_layers must be at most 64"),
        ({"synthesis_kwargs": {"resample_filter": None}}, "no stylegan2_ada config can be made"),
        ({"img_resolution": "x"}, "stylegan2_ada|invalid literal"),
    ],
)
def test_a_pickle_whose_arguments_are_nonsense_is_refused(tmp_path, change, message):
    path = stylegan_pickle(tmp_path / "network.pkl", {**ARGUMENTS, **change})
    refused(path, "stylegan2_ada", message)


@pytest.mark.parametrize("name", ["down_blocks.0.resnets.{}.x", "down_blocks.{}.x"])
def test_places_that_names_make_up_are_not_built(tmp_path, name):
    names = ["conv_in", "conv_out", "time_embedding.linear_1"]
    names += [f"down_blocks.0.resnets.0.{part}" for part in ("conv1", "time_emb_proj")]
    arrays = {f"{each}.weight": np.zeros((4, 4, 3, 3), np.float32) for each in names}
    arrays["time_embedding.linear_1.weight"] = np.zeros((4, 4), np.float32)
    arrays[name.format(999_999_999)] = np.zeros(1, np.float32)
    write_safetensors(tmp_path / "names.safetensors", arrays)
    refused(tmp_path / "names.safetensors", "ddim", "places before down_blocks")


def refused(path, kind, message):
    began = time.process_time()
    with pytest.raises(CheckpointError, match=message) as caught:
        open_generator(path, kind=kind)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert time.process_time() - began < 20
