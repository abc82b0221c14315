"""Damaged files of every format: they are read, or refused with a CheckpointError, and soon."""

import io
import json
import time

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jax_origin.checkpoints import CheckpointError, read_checkpoint
from tests.checkpoints.written import (
    Call,
    Name,
    module,
    pickle_of,
    storage,
    tensor,
    torch_legacy,
    torch_zip,
)

pytestmark = pytest.mark.outer

COUNTED = np.arange(12, dtype=np.float32)


def npz(save):
    stream = io.BytesIO()
    save(stream, a=COUNTED, b=np.zeros((2, 3), ">i2"), c=np.float64(3), d=COUNTED.reshape(3, 4).T)
    return stream.getvalue()


def numpy_array():
    dtype = Call(Name("numpy", "dtype"), ("i2", False, True), (3, ">", None, None, None, -1, -1, 0))
    array = Call(
        Name("numpy.core.multiarray", "_reconstruct"), (Name("numpy", "ndarray"), (0,), b"b")
    )
    scalar = Call(Name("numpy.core.multiarray", "scalar"), (dtype, b"\x01\x02"))
    return {"a": array._replace(state=(1, (2, 3), dtype, True, bytes(12))), "s": scalar}


def tree(*, legacy):
    whole = storage("0", 12, legacy=legacy)
    namespace = Call(Name("argparse", "Namespace"), (), {"lr": 0.5, "sizes": [1, 2]})
    views = {"a": tensor(whole, (3, 4)), "b": [tensor(whole, (2, 2), (1, 4), 2)]}
    return {"state_dict": views, "args": namespace, "n": numpy_array()}


FILES = {
    "safetensors": safetensors.numpy.save({"a": COUNTED, "b.c": COUNTED.reshape(3, 4)}),
    "zip": torch_zip(tree(legacy=False), {"0": bytes(COUNTED)}),
    "legacy": torch_legacy(tree(legacy=True), {"0": COUNTED}),
    "npz": npz(np.savez),
    "packed npz": npz(np.savez_compressed),
    "network": pickle_of(
        {"G_ema": module("G", {"w": COUNTED}, {"b": COUNTED}, _init_kwargs={"z_dim": 4})}
    ),
    "index": json.dumps({"weight_map": {"a": "shard", "b.c": "shard"}}).encode(),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "shard").write_bytes(FILES["safetensors"])
    return folder


def outcome(path, data):
    path.write_bytes(data)
    start = time.process_time()
    try:
        checkpoint = read_checkpoint(path)
        for name, array in checkpoint.arrays.items():
            assert array.shape == checkpoint.arrays.shapes[name]
            assert array.dtype == checkpoint.arrays.dtypes[name]
        told = None
    except CheckpointError as error:
        told = str(error)
        assert "\n" not in told and told.startswith(str(path.parent))
    assert time.process_time() - start < 5
    return told


@pytest.mark.parametrize("form", FILES)
def test_the_undamaged_file_is_read(folder, form):
    assert outcome(folder / "file", FILES[form]) is None


def damaged(data, cuts, changes):
    data = bytearray(data)
    for place, value in changes:
        data[place % len(data)] = value
    for start, length, inserted in cuts:
        start %= len(data) + 1
        data[start : start + length] = inserted
    return bytes(data)


changes = st.lists(st.tuples(st.integers(0, 1 << 14), st.integers(0, 255)), max_size=4)
cuts = st.lists(
    st.tuples(st.integers(0, 1 << 14), st.sampled_from([0, 1, 4, 1 << 14]), st.binary(max_size=4)),
    max_size=1,
)


@pytest.mark.parametrize("form", FILES)
@given(cuts=cuts, changes=changes)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_damaged_file_is_read_or_refused(folder, form, cuts, changes):
    outcome(folder / "file", damaged(FILES[form], cuts, changes))


@pytest.mark.parametrize("form", FILES)
def test_a_file_that_ends_anywhere_is_read_or_refused(folder, form):
    data = FILES[form]
    for size in range(0, len(data), max(1, len(data) // 100)):
        outcome(folder / "file", data[:size])


@given(st.binary(max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_opcodes_are_read_or_refused(tmp_path_factory, opcodes):
    outcome(tmp_path_factory.getbasetemp() / "any.pkl", b"\x80\x04" + opcodes + b".")
