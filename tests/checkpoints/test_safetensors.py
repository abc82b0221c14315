import json
import os
import struct

import numpy as np
import pytest

from jax_origin.checkpoints import CheckpointError, read_safetensors, write_safetensors


def arrays():
    rng = np.random.default_rng(0)
    return {
        "b.kernel": rng.normal(size=(2, 3, 4)).astype(np.float32),
        "a.half": rng.normal(size=5).astype(np.float16),
        "steps": np.array(7, np.int64),
        "empty": np.zeros((0, 3), np.float32),
        "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    }


def message_of(path):
    with pytest.raises(CheckpointError) as caught:
        read_safetensors(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


def test_a_round_trip_keeps_names_types_shapes_and_values(tmp_path):
    write_safetensors(tmp_path / "w.safetensors", arrays())
    read = read_safetensors(tmp_path / "w.safetensors")
    assert set(read) == set(arrays())
    for name, array in arrays().items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape), name
        assert (read[name] == array).all(), name


def test_the_same_arrays_make_the_same_file_in_any_order(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", arrays())
    write_safetensors(tmp_path / "b.safetensors", dict(reversed(arrays().items())))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_file_can_be_read_by_others_and_nothing_is_left_beside_it(tmp_path):
    write_safetensors(tmp_path / "w.safetensors", arrays())
    assert os.listdir(tmp_path) == ["w.safetensors"]
    assert (tmp_path / "w.safetensors").stat().st_mode & 0o444 == 0o444


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, arrays())
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="which it cannot hold"):
        write_safetensors(path, {"x": np.array(["a", "b"], dtype=object)})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_a_missing_file_is_named(tmp_path):
    assert message_of(tmp_path / "none.safetensors").endswith(": no such file")


@pytest.mark.parametrize("kept", [0, 4, 40, -1])
def test_a_torn_file_is_refused(tmp_path, kept):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, arrays())
    path.write_bytes(path.read_bytes()[:kept])
    assert "not a whole safetensors file" in message_of(path)


def test_another_format_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"PK\x03\x04" + bytes(200))
    assert "not a whole safetensors file" in message_of(path)


def test_a_directory_is_refused(tmp_path):
    assert "not a whole safetensors file" in message_of(tmp_path)


def test_a_type_that_numpy_lacks_is_refused_or_read_but_never_a_crash(tmp_path):
    header = {"w": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    try:
        assert read_safetensors(path)["w"].shape == (4,)
    except CheckpointError as error:
        assert str(error).startswith(f"{path}: ")
