"""Arrays stay in their files until they are asked for: reading, renaming, writing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from jax_origin.checkpoints import (
    CheckpointError,
    LazyArrays,
    Rename,
    read_checkpoint,
    read_safetensors,
    rename,
    write_safetensors,
)
from jax_origin.checkpoints.arrays import LazyArray
from jax_origin.checkpoints.rename import conv, linear_from_grid, linear_to_grid

DTYPES = [
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64", "complex64"),
    *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2),
]


def arrays():
    rng = np.random.default_rng(0)
    found = {f'{i}é"\\/\n\x7f': rng.normal(size=(3, 4)).astype(d).T for i, d in enumerate(DTYPES)}
    return found | {"scalar": np.array(2.5), "empty": np.zeros((0, 3)), "z": np.ones(2, ">f4")}


class Counted(LazyArrays):
    """Counts how often each array is read."""

    def __init__(self, arrays):
        self.reads = dict.fromkeys(arrays, 0)

        def entry(name):
            def read():
                self.reads[name] += 1
                return arrays[name]

            return LazyArray(arrays[name].shape, arrays[name].dtype, read)

        super().__init__({name: entry(name) for name in arrays})


def test_a_written_file_is_the_librarys_to_the_byte(tmp_path):
    write_safetensors(tmp_path / "ours", Counted(arrays()))
    theirs = {k: np.asarray(v, v.dtype.newbyteorder("="), order="C") for k, v in arrays().items()}
    assert (tmp_path / "ours").read_bytes() == safetensors.numpy.save(theirs)
    write_safetensors(tmp_path / "none", {})
    assert (tmp_path / "none").read_bytes() == safetensors.numpy.save({})
    read = read_safetensors(tmp_path / "ours")
    assert set(read) == set(theirs)
    for name, array in theirs.items():
        assert read[name].dtype == array.dtype and read[name].tobytes() == array.tobytes()


def test_each_array_is_read_once_when_it_is_written_and_never_to_rename(tmp_path):
    rng = np.random.default_rng(0)
    kernels = {f"{i}.weight": rng.normal(size=(3, 2, 4, 4)).astype(np.float32) for i in range(3)}
    counted = Counted(kernels)
    renamed = rename(counted, [Rename(r"(\d)\.weight", r"layers.\1.kernel", conv)])
    assert renamed.shapes == {f"layers.{i}.kernel": (4, 4, 2, 3) for i in range(3)}
    assert renamed.dtypes["layers.0.kernel"] == np.float32
    assert "layers.0.kernel" in renamed and len(list(renamed)) == 3
    assert set(counted.reads.values()) == {0}
    write_safetensors(tmp_path / "w.safetensors", renamed)
    assert set(counted.reads.values()) == {1}
    for name, array in read_checkpoint(tmp_path / "w.safetensors").arrays.items():
        assert (array == conv(kernels[name[7:8] + ".weight"])).all()


def test_a_layout_of_a_huge_array_is_tried_without_its_memory():
    def never():
        raise AssertionError("read")

    table = [Rename("w", "a", linear_from_grid(4)), Rename("v", "b", linear_to_grid(4))]
    huge = {
        "w": LazyArray((1 << 20, 1 << 20), np.dtype("f4"), never),
        "v": LazyArray((1 << 20, 1 << 20), np.dtype("f4"), never),
    }
    assert rename(LazyArrays(huge), table).shapes == {
        "a": (1 << 20, 1 << 20),
        "b": (1 << 20, 1 << 20),
    }


def test_names_under_a_root():
    chosen = LazyArrays.of({"a.b": np.ones(1), "a.c.d": np.ones(2), "ab.c": np.ones(3)}).under("a")
    assert chosen.shapes == {"b": (1,), "c.d": (2,)}
    with pytest.raises(KeyError):
        chosen["c"]


def test_a_file_that_is_cut_while_it_is_open_is_an_error_and_nothing_is_written(tmp_path):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, {"a": np.ones(1000), "b": np.ones(1000)})
    opened = read_checkpoint(path).arrays
    with open(path, "r+b") as file:
        file.truncate(9000)
    with pytest.raises(CheckpointError, match="became shorter"):
        write_safetensors(tmp_path / "copy.safetensors", opened)
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_a_file_that_is_replaced_is_read_as_it_was(tmp_path):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, {"a": np.ones(10)})
    opened = read_checkpoint(path).arrays
    write_safetensors(path, {"a": np.zeros(10)})
    assert (opened["a"] == 1).all()


def test_what_a_safetensors_file_says_of_itself_is_its_config(tmp_path):
    said = {"format": "pt", "ss_base_model": "x"}
    safetensors.numpy.save_file({"a": np.ones(1)}, tmp_path / "w", metadata=said)
    assert read_checkpoint(tmp_path / "w").config == {"ss_base_model": "x"}


CONVERT = """
import re, sys
from jax_origin.checkpoints import Rename, read_checkpoint, rename, write_safetensors
from jax_origin.checkpoints.rename import conv

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10

before = peak()
arrays = read_checkpoint(sys.argv[1]).arrays
write_safetensors(sys.argv[2], rename(arrays, [Rename(r"(.*)\\.weight", r"\\1.kernel", conv)]))
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="says no peak of memory here")
def test_converting_a_file_takes_the_memory_of_one_array_not_of_all(tmp_path):
    kernels = {f"{i}.weight": np.full((256, 256, 4, 4), i, np.float32) for i in range(24)}
    write_safetensors(tmp_path / "in.safetensors", kernels)
    size = (tmp_path / "in.safetensors").stat().st_size
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, tmp_path / "in.safetensors", tmp_path / "out.safetensors"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert re.fullmatch(r"\d+\n", done.stdout), done.stderr
    assert int(done.stdout) < size / 4
    out = read_checkpoint(tmp_path / "out.safetensors").arrays
    assert out.shapes["23.kernel"] == (4, 4, 256, 256) and (out["23.kernel"] == 23).all()
