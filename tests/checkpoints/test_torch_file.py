"""What torch.save writes, read without it; where it is installed, the same as torch.load reads."""

import argparse
import collections
import pathlib
import struct

import ml_dtypes
import numpy as np
import pytest

from jax_origin.checkpoints import CheckpointError, read_checkpoint
from tests.checkpoints.written import (
    Call,
    Name,
    Persistent,
    pickle_of,
    storage,
    tensor,
    torch_legacy,
    torch_zip,
)

COUNTED = np.arange(12, dtype=np.float32)


def write(tmp_path, data):
    path = tmp_path / "w.pt"
    path.write_bytes(data)
    return path


def same(array, wanted):
    assert (array.dtype, array.shape) == (wanted.dtype, wanted.shape)
    assert np.ascontiguousarray(array).tobytes() == np.ascontiguousarray(wanted).tobytes()


# Written by hand.


@pytest.mark.parametrize("legacy", [False, True])
def test_views_of_one_storage_keep_their_strides_and_offsets(tmp_path, legacy):
    whole = storage("7", 12, legacy=legacy)
    tree = {
        "whole": tensor(whole, (3, 4)),
        "turned": tensor(whole, (4, 3), (1, 4)),
        "column": tensor(whole, (3,), (4,), 2),
        "last": tensor(whole, (), (), 11),
        "repeated": tensor(whole, (5, 2), (0, 1), 3, rebuild=""),
        "empty": tensor(whole, (0, 4)),
    }
    data = torch_legacy(tree, {"7": COUNTED}) if legacy else torch_zip(tree, {"7": bytes(COUNTED)})
    arrays = read_checkpoint(write(tmp_path, data)).arrays
    grid = COUNTED.reshape(3, 4)
    same(arrays["whole"], grid)
    same(arrays["turned"], grid.T)
    same(arrays["column"], grid[:, 2])
    same(arrays["last"], np.float32(11).reshape(()))
    same(arrays["repeated"], np.tile(COUNTED[3:5], (5, 1)))
    same(arrays["empty"], np.zeros((0, 4), np.float32))
    assert arrays.shapes["turned"] == (4, 3) and arrays.dtypes["turned"] == np.float32


def test_big_endian_numbers_are_turned(tmp_path):
    tree = {"w": tensor(storage("0", 12), (12,))}
    data = torch_zip(tree, {"0": COUNTED.astype(">f4").tobytes()}, order=b"big")
    same(read_checkpoint(write(tmp_path, data)).arrays["w"], COUNTED)


def test_a_part_of_a_storage_of_the_older_format(tmp_path):
    part = Persistent(("storage", Name("torch", "FloatStorage"), "0", "cpu", 12, ("1", 4, 6)))
    data = torch_legacy({"w": tensor(part, (2, 3))}, {"0": COUNTED})
    same(read_checkpoint(write(tmp_path, data)).arrays["w"], COUNTED[4:10].reshape(2, 3))


W = tensor(storage("0", 12), (12,))


@pytest.mark.parametrize(
    ("tree", "names", "config"),
    [
        ({"a": W, "b": {"c": [W, W]}}, ["a", "b.c.0", "b.c.1"], None),
        ({"state_dict": {"w": W}, "epoch": 3}, ["w"], {"epoch": 3}),
        ({"model": {"state_dict": {"w": W}}}, ["w"], None),
        ({"g_ema": {"w": W}, "g": {"w": W}}, ["g_ema.w", "g.w"], None),
        ({"model": W}, ["model"], None),
        ({"generator.w": W}, ["generator.w"], None),
        ({"netG": {"w": W}, "args": {"lr": [1, 0.5]}}, ["w"], {"args": {"lr": [1, 0.5]}}),
        ({1: W, "n": None}, ["1"], {"n": None}),
        ([W, 2], ["0"], {"1": 2}),
        (W, ["array"], None),
        ({"w": W, "x": ["a", {"k": (1, 2)}]}, ["w"], {"x": ["a", {"k": [1, 2]}]}),
    ],
)  # fmt: skip
def test_names_are_the_keys_that_lead_to_each_and_the_rest_is_config(tmp_path, tree, names, config):
    checkpoint = read_checkpoint(write(tmp_path, torch_zip(tree, {"0": bytes(COUNTED)})))
    assert list(checkpoint.arrays) == names
    assert checkpoint.config == config
    assert checkpoint.source == str(tmp_path / "w.pt")


def test_a_root_chooses(tmp_path):
    tree = {"g_ema": {"w": W}, "g": {"w": W, "v": W}, "args": {"size": 8}}
    path = write(tmp_path, torch_zip(tree, {"0": bytes(COUNTED)}))
    assert list(read_checkpoint(path, root="g").arrays) == ["w", "v"]
    assert read_checkpoint(path, root="g").config == {"args": {"size": 8}}
    with pytest.raises(CheckpointError, match="no arrays under root 'd'; there are g, g_ema"):
        read_checkpoint(path, root="d")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": 1}, "holds no arrays"),
        ({"a.b": W, "a": {"b": W}}, "two arrays are called 'a.b'"),
        ({"w": tensor(storage("1", 12), (12,))}, "it has no storage '1'"),
        ({"w": tensor(storage("0", 13), (12,))}, "a storage of 52 bytes that has 48"),
        ({"w": tensor(storage("0", 12), (13,))}, "reaches past the 12 numbers of its storage"),
        ({"w": tensor(storage("0", 12), (3, 4), (1, 3))}, None),
        ({"w": tensor(storage("0", 12), (3, 4), (4, 3))}, "reaches past"),
        ({"w": tensor(storage("0", 12), (10**9, 10**9), (0, 0))}, "sizes that are none"),
        ({"w": tensor(storage("0", 12), (10**9,), (0,))}, "far larger than the 12 numbers"),
        ({"w": tensor(storage("0", 12), (2,), (-1,), 5)}, "no counts"),
        ({"w": tensor(storage("0", 12), (0, 1 << 62), (1, 1))}, "sizes that are none"),
        ({"w": tensor(Persistent(("storage", Name("torch", "QInt8Storage"), "0", "cpu", 1)), ())},
         "refused torch.QInt8Storage"),
    ],
)  # fmt: skip
def test_a_tensor_that_does_not_fit_its_storage_is_refused(tmp_path, tree, message):
    path = write(tmp_path, torch_zip(tree, {"0": bytes(COUNTED)}))
    if message is None:
        read_checkpoint(path)
        return
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)


# Written by PyTorch.


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def saved(torch, tmp_path, value, legacy):
    path = tmp_path / "w.pt"
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize("legacy", [False, True])
def test_every_dtype_and_view_is_as_torch_load_has_it(torch, tmp_path, legacy):
    base = torch.arange(24.0).reshape(2, 3, 4)
    names = [
        *("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8"),
        *("uint8", "bool", "complex64", "complex128"),
    ]
    if not legacy:  # The older format never had these.
        names += ["uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2"]
    tree = {name: (torch.rand(3, 5) * 9).to(getattr(torch, name)) for name in names}
    tree |= {
        "turned": base.permute(2, 0, 1),
        "slice": base[1, ::2, 1:3],
        "flipped": base.flip(0),
        "expanded": base[:1, :1].expand(4, 3, 4),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 3),
        "conjugate": torch.complex(base, base + 1).conj(),
        "negative": torch.complex(base, base + 1).conj().imag,
        "parameter": torch.nn.Parameter(base[0]),
    }
    tree["base"], tree["again"] = base, base
    path = saved(torch, tmp_path, tree, legacy)
    arrays = read_checkpoint(path).arrays
    assert list(arrays) == list(tree)
    loaded = torch.load(path, weights_only=False)
    for name, wanted in loaded.items():
        wanted = wanted.detach().resolve_conj().resolve_neg()
        if name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):  # NumPy has none of these.
            bits = wanted.contiguous().view(torch.int16 if name == "bfloat16" else torch.uint8)
            same(arrays[name], bits.numpy().view(getattr(ml_dtypes, name)))
        else:
            same(arrays[name], wanted.numpy())


@pytest.mark.parametrize("legacy", [False, True])
def test_a_training_checkpoint(torch, tmp_path, legacy):
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.Sequential(torch.nn.Linear(4, 2)),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.25)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    tree = {
        "state_dict": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(size=8, name="x"),
        "path": pathlib.PosixPath("a/b"),
        "array": np.arange(6, dtype=np.int16).reshape(2, 3).T,
        "number": np.float32(0.5),
        "size": torch.Size([1, 2]),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "counts": collections.Counter(a=2),
        "nested": collections.defaultdict(list, {"k": [1]}),
        "kinds": {"b", "a"},
    }
    path = saved(torch, tmp_path, tree, legacy)
    checkpoint = read_checkpoint(path)
    for name, wanted in network.state_dict().items():
        same(checkpoint.arrays[f"state_dict.{name}"], wanted.numpy())
    same(checkpoint.arrays["array"], tree["array"])
    assert "optimizer.state.0.exp_avg" in checkpoint.arrays
    config = dict(checkpoint.config)
    assert config.pop("optimizer")["param_groups"][0]["lr"] == 0.25
    assert config == {
        "args": {"size": 8, "name": "x"},
        "path": "a/b",
        "number": 0.5,
        "size": [1, 2],
        "dtype": "torch.float16",
        "device": "cpu",
        "counts": {"a": 2},
        "nested": {"k": [1]},
        "kinds": ["a", "b"],
    }
    assert list(read_checkpoint(path, root="state_dict").arrays) == list(network.state_dict())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_whole_module_of_pytorchs_has_the_names_of_its_state_dict(torch, tmp_path, legacy):
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.GELU())
    network.register_buffer("table", torch.ones(2), persistent=False)
    arrays = read_checkpoint(saved(torch, tmp_path, network, legacy)).arrays
    assert set(arrays) == set(network.state_dict())
    for name, wanted in network.state_dict().items():
        same(arrays[name], wanted.numpy())


def test_a_program_is_refused(torch, tmp_path):
    path = tmp_path / "w.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    with pytest.raises(CheckpointError, match="a TorchScript program; save its state_dict"):
        read_checkpoint(path)


def test_a_class_that_is_not_known_is_named(torch, tmp_path):
    path = saved(torch, tmp_path, {"w": torch.ones(2), "f": struct.Struct}, False)
    with pytest.raises(CheckpointError, match=r"w\.pt: refused _struct\.Struct: "):
        read_checkpoint(path)


def test_a_call_in_a_pickle_gives_what_python_would_give(tmp_path):
    dtype = Call(Name("numpy", "dtype"), ("i2", False, True), (3, ">", None, None, None, -1, -1, 0))
    array = Call(
        Name("numpy.core.multiarray", "_reconstruct"),
        (Name("numpy", "ndarray"), (0,), b"b"),
        (1, (2, 3), dtype, True, np.arange(6, dtype=">i2").tobytes()),
    )
    same(
        read_checkpoint(write(tmp_path, pickle_of({"a": array}))).arrays["a"],
        np.arange(6, dtype=np.int16).reshape(3, 2).T,
    )
