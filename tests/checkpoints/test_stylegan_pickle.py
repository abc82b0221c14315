"""Network pickles of StyleGAN's kind: read by name, with the code in them left alone."""

import io
import pickle
import sys
import types

import numpy as np
import pytest

from jax_origin.checkpoints import CheckpointError, read_checkpoint
from tests.checkpoints.written import Call, Name, module, persistent_class, pickle_of, torch_legacy

KWARGS = {"z_dim": 4, "img_resolution": 8, "mapping_kwargs": {"num_layers": 2}}


def network(seed):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    mapping = module(
        "MappingNetwork",
        buffers={"w_avg": draw(4)},
        modules={"fc0": module("FullyConnectedLayer", {"weight": draw(4, 4), "bias": draw(4)})},
    )
    block = module("SynthesisBlock", {"const": draw(4, 2, 2)}, {"resample_filter": draw(4, 4)})
    synthesis = module("SynthesisNetwork", modules={"b4": block})
    return module(
        "Generator",
        modules={"synthesis": synthesis, "mapping": mapping},
        _init_args=(),
        _init_kwargs=KWARGS,
    )


NETWORKS = {"G": network(0), "D": network(1), "G_ema": network(2), "training_set_kwargs": {"a": 1}}
NAMES = [
    *("synthesis.b4.const", "synthesis.b4.resample_filter"),
    *("mapping.w_avg", "mapping.fc0.weight", "mapping.fc0.bias"),
]


def write(tmp_path, value):
    path = tmp_path / "network.pkl"
    path.write_bytes(value if isinstance(value, bytes) else pickle_of(value))
    return path


@pytest.mark.parametrize(("root", "seed"), [(None, 2), ("G_ema", 2), ("G", 0), ("D", 1)])
def test_the_averaged_generator_is_read_unless_another_is_asked_for(tmp_path, root, seed):
    checkpoint = read_checkpoint(write(tmp_path, NETWORKS), root=root)
    assert list(checkpoint.arrays) == NAMES
    assert checkpoint.config == KWARGS
    first = np.random.default_rng(seed).normal(size=4).astype(np.float32)
    assert (checkpoint.arrays["mapping.w_avg"] == first).all()


def test_ema_is_the_name_in_edms_pickles(tmp_path):
    checkpoint = read_checkpoint(
        write(tmp_path, {"ema": network(0), "loss_fn": persistent_class("L", {})})
    )
    assert list(checkpoint.arrays) == NAMES and checkpoint.config == KWARGS


def test_the_source_inside_is_neither_run_nor_compiled(tmp_path, monkeypatch):
    made = tmp_path / "made"
    source = f"open({str(made)!r}, 'w')\nclass Generator: pass"
    state = network(0).arguments[0]["state"]
    path = write(tmp_path, {"G_ema": persistent_class("Generator", state, source)})

    def never(*arguments, **options):
        raise AssertionError("code of the file was to be run")

    for name in ("exec", "eval", "compile", "__import__"):
        monkeypatch.setattr(f"builtins.{name}", never)
    checkpoint = read_checkpoint(path)
    arrays = dict(checkpoint.arrays)
    monkeypatch.undo()
    assert list(arrays) == NAMES
    assert not made.exists()
    # A source that is no Python at all does as well.
    path = write(tmp_path, {"G_ema": persistent_class("Generator", state, "{[(")})
    assert list(read_checkpoint(path).arrays) == NAMES


def test_a_network_of_the_tensorflow_era_is_refused_in_one_line(tmp_path):
    old = Call(Name("dnnlib.tflib.network", "Network"), ())
    path = write(tmp_path, (old, old, old))
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: refused dnnlib.tflib.network.Network: ")
    assert "legacy.py" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_in_a_file_in_a_file_is_refused(tmp_path):
    load = Name("torch.storage", "_load_from_bytes")
    inner = torch_legacy(Call(load, (b"",)), {})
    with pytest.raises(CheckpointError, match=r"refused torch\.storage\._load_from_bytes"):
        read_checkpoint(write(tmp_path, {"w": Call(load, (inner,))}))


def test_pytorch_writes_the_same(tmp_path, monkeypatch):
    """Modules of PyTorch's behind the reduction of StyleGAN's classes, in its words."""
    torch = pytest.importorskip("torch")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("not to be called")

    persistence = types.ModuleType("torch_utils.persistence")
    _reconstruct_persistent_obj.__module__ = persistence.__name__
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    persistence._reconstruct_persistent_obj = _reconstruct_persistent_obj
    monkeypatch.setitem(sys.modules, "torch_utils", types.ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", persistence)

    class Layer(torch.nn.Module):
        def __init__(self, **kwargs):
            super().__init__()
            self._init_args, self._init_kwargs = (), kwargs
            self.weight = torch.nn.Parameter(torch.randn(3, 2).T)
            self.register_parameter("bias", None)
            self.register_buffer("w_avg", torch.randn(3).half())
            self.register_buffer("grid", torch.ones(3), persistent=False)

        def __reduce__(self):
            meta = {"type": "class", "version": 6, "module_src": "raise SystemExit"}
            meta |= {"class_name": "Layer", "state": dict(self.__dict__)}
            return _reconstruct_persistent_obj, (meta,), None

    class Network(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = Layer()
            self.several = torch.nn.ModuleList([Layer(), torch.nn.Linear(2, 2)])

    network = Network(z_dim=512, mapping_kwargs={"num_layers": 8})
    for protocol in (3, 4, 5):
        stream = io.BytesIO()
        pickle.dump({"G": None, "G_ema": network, "D": Layer()}, stream, protocol)
        checkpoint = read_checkpoint(write(tmp_path, stream.getvalue()))
        assert checkpoint.config == {"z_dim": 512, "mapping_kwargs": {"num_layers": 8}}
        assert set(checkpoint.arrays) == set(network.state_dict())
        for name, wanted in network.state_dict().items():
            array = checkpoint.arrays[name]
            assert (array.dtype, array.shape) == (wanted.numpy().dtype, tuple(wanted.shape))
            assert (array == wanted.numpy()).all()
