"""Files made to do harm: each is refused in one line, in little time and memory."""

import io
import json
import os
import pathlib
import re
import struct
import time
import zipfile

import numpy as np
import pytest

from jax_origin.checkpoints import CheckpointError, read_checkpoint
from tests.checkpoints.written import (
    Call,
    Name,
    Persistent,
    Raw,
    opcodes,
    pickle_of,
    storage,
    tensor,
    torch_legacy,
    torch_zip,
)

BLOCKS = {"0": bytes(48)}
W = tensor(storage("0", 12), (12,))
SYSTEM = Call(Name("posix", "system"), ("touch made",))


def refusal(tmp_path, data, name="w.pt", *, seconds=5.0, megabytes=40):
    """What reading a file says; everything that reads may do is done."""
    path = tmp_path / name
    path.write_bytes(data)
    before = peak_memory(reset=True)
    start = time.process_time()
    with pytest.raises(CheckpointError) as caught:
        dict(read_checkpoint(path).arrays)
    assert time.process_time() - start < seconds
    assert peak_memory() - before < megabytes << 20
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text and len(text) < len(str(path)) + 400
    assert os.listdir(tmp_path) == [name]
    return text.removeprefix(f"{path}: ")


def peak_memory(*, reset=False):
    """The most bytes that the process has held since it was last reset; 0 where none can tell."""
    try:
        if reset:
            pathlib.Path("/proc/self/clear_refs").write_text("5")
        status = pathlib.Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10


@pytest.mark.parametrize("form", ["zip", "legacy", "plain"])
@pytest.mark.parametrize(
    ("value", "name"),
    [
        (SYSTEM, "posix.system"),
        ({"x": [{"y": (SYSTEM,)}]}, "posix.system"),
        (Call(Name("builtins", "eval"), ("1",)), "builtins.eval"),
        (Call(Name("__builtin__", "exec"), ("1",)), "builtins.exec"),
        (Call(Name("builtins", "getattr"), (Name("os", "x"), "system")), "builtins.getattr"),
        (Call(Name("torch", "load"), ("x",)), "torch.load"),
        (Call(Name("torch.serialization", "load"), ("x",)), "torch.serialization.load"),
        (Call(Name("numpy", "load"), ("x",)), "numpy.load"),
        (Call(Name("torch._utils", "_rebuild_tensor_v2.__globals__"), ()), "torch._utils._rebuild"),
        (Call(Name("torch.nn.functional", "conv2d"), (1,)), "torch.nn.functional.conv2d"),
        (Call(Name("torch", "FloatStorage"), (1 << 40,)), "torch.FloatStorage"),
        (Call(Name("jax_origin.files", "atomic_write"), ("made",)), "jax_origin.files"),
        (Call(Name("subprocess", "Popen\n; x"), ()), "subprocess.Popen"),
        (Raw(b"(c" + b"posix\nsystem\nX\x01\x00\x00\x00ao"), "posix.system"),
        (Raw(b"\x8c\x05posix\x8c\x06system\x93\x8c\x01a\x85R"), "posix.system"),
        (Raw(b"\x8c\x05posix\x8c\x06system\x93\x8c\x01a\x85}\x92"), "posix.system"),
    ],
)
def test_a_global_that_is_not_known_is_refused_by_name(tmp_path, form, value, name):
    data = {
        "zip": lambda: torch_zip(value, BLOCKS),
        "legacy": lambda: torch_legacy(value, {}),
        "plain": lambda: pickle_of(value),
    }[form]()
    assert refusal(tmp_path, data).startswith(f"refused {name}")


@pytest.mark.parametrize(
    "pickled",
    [
        b"(X\x01\x00\x00\x00aiposix\nsystem\n",  # INST
        b"\x82\x01",  # EXT1
        b"\x97",  # NEXT_BUFFER
        b"Pposix\n",  # PERSID
        b"K\x01Q",  # BINPERSID without anything that it could refer to
        b"K\x01K\x01R",  # a call of a number
        b"K\x01}b",  # a state for a number
        b"cbuiltins\nlist\nK\x01R",  # a call without a tuple
        b"K\x01K\x02\x93",  # a global named by numbers
        b"0",
        b"(0",
        b"R",
        b"h\x05",
        b"(((((",
        b"\x80\xff",
        b"\xff",
        b"X\xff\xff\xff\xff",
        b"\x8d" + b"\xff" * 8,
        b"\x8e" + b"\xff" * 8,
        b"B\x00\x00\x00\x80",
        b"\x8b\x00\x00\x00\x7f",
        b"\x8b\xff\xff\xff\xff",
        b"c" + b"a" * 10_000,
        b"X\x02\x00\x00\x00\xff\xfe",
        b"]]\x90",
        b"}}}s",
        b"}]K\x01s",
        b"K\x01K\x01a",
    ],
)
def test_opcodes_that_build_nothing_plain_are_refused(tmp_path, pickled):
    refusal(tmp_path, b"\x80\x02" + pickled + b".")


# Half a megabyte to sixteen each, which Python's own reader would make gigabytes or years of.
DEEP = b"]" * 200_000 + b"a" * 199_999
TEXT = b"X\x00\x00\xf0\x00" + bytes(0xF00000) + b"q\x000]("
LONG = b"](" + b"K\x01" * 300_000 + b"eq\x000"
WIDE = b"}(" + b"".join(b"J" + struct.pack("<i", n) + b"N" for n in range(300_000)) + b"uq\x000"


def doubled(times, first=b"K\x01"):
    """A tuple that is made of twice the one before, many times over; the last is kept there."""
    built = first + b"q\x00"
    for level in range(times):
        built += b"0h%ch%c\x86q%c" % (level, level, level + 1)
    return built


@pytest.mark.outer
@pytest.mark.parametrize(
    "pickled",
    [
        pytest.param(DEEP, id="nested"),
        pytest.param(b"]q\x00h\x00a", id="a list in itself"),
        pytest.param(b"}q\x00X\x01\x00\x00\x00ah\x00s", id="a dict in itself"),
        pytest.param(doubled(60), id="doubled"),
        pytest.param(
            doubled(40) + b"K\x01q\xf0}h\xf0h\x28h\xf0s",
            id="doubled beside a key",
        ),
        pytest.param(
            b"}" + doubled(40) + b"K\x01s",
            id="doubled as a key",
        ),
        pytest.param(
            doubled(40) + b"cbuiltins\nset\n]h\x28a\x85R",
            id="doubled in a set",
        ),
        pytest.param(
            LONG + b"cbuiltins\nlist\nh\x00\x85R0" * 20_000 + b"h\x00",
            id="a list copied",
        ),
        pytest.param(
            LONG + b"cbuiltins\nset\nh\x00\x85R0" * 20_000 + b"h\x00",
            id="a set copied",
        ),
        pytest.param(
            WIDE + b"cargparse\nNamespace\n)\x81h\x00b0" * 20_000 + b"h\x00",
            id="attributes copied",
        ),
        pytest.param(
            TEXT + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 1000 + b"e",
            id="a text copied",
        ),
        pytest.param(
            TEXT + b"cpathlib\nPosixPath\n(h\x00h\x00h\x00tR" * 1000 + b"e",
            id="a path of texts",
        ),
        pytest.param(b"]" + b"\x8f\x94" * 2_000_000, id="sets"),
        pytest.param(b"}q\x00]q\x01" + b"h\x00h\x01" * 1_000_000, id="many steps"),
    ],
)  # fmt: skip
def test_pickles_that_grow_or_never_end_are_refused(tmp_path, pickled):
    refusal(tmp_path, b"\x80\x04" + pickled + b".", seconds=15, megabytes=400)


def test_an_array_that_is_reached_along_a_million_paths_is_refused(tmp_path):
    tree = Raw(doubled(60, opcodes(W)))
    refusal(tmp_path, torch_zip(tree, BLOCKS), seconds=15, megabytes=400)


@pytest.mark.parametrize(
    "identifier",
    [
        5,
        "storage",
        (),
        ("storage",),
        ("storage", 1, "0", "cpu", 12),
        ("storage", Name("torch", "FloatStorage"), ("0",), "cpu", 12),
        ("storage", Name("torch", "FloatStorage"), "../version", "cpu", 0),
        ("storage", Name("torch", "FloatStorage"), "0", "cpu", -1),
        ("storage", Name("torch", "FloatStorage"), "0", "cpu", 1 << 70),
        ("storage", Name("torch", "FloatStorage"), "0", "cpu", "12"),
        ("module", Name("torch", "FloatStorage"), "a.py", "import os"),
        (["storage"], Name("torch", "FloatStorage"), "0", "cpu", 12),
    ],
)
def test_a_persistent_id_of_the_wrong_form_is_refused(tmp_path, identifier):
    tree = {"w": tensor(Persistent(identifier), (12,))}
    refusal(tmp_path, torch_zip(tree, BLOCKS))
    refusal(tmp_path, torch_legacy(tree, {}))


def test_a_storage_that_is_cut_short_is_refused(tmp_path):
    data = torch_legacy(
        {"w": tensor(storage("0", 12, legacy=True), (12,))}, {"0": np.zeros(12, "f4")}
    )
    assert "cut short" in refusal(tmp_path, data[:-1])
    more = data[: -8 - 48] + struct.pack("<q", 1 << 60) + data[-48:]
    assert "a storage of 48 bytes" in refusal(tmp_path, more)


# Zip archives.


def archive(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for name, data in members:
            file.writestr(name, data)
    return stream.getvalue()


@pytest.mark.parametrize(
    "name",
    ["../a.npy", "/a.npy", "a/../../b.npy", "a\\..\\b.npy", "C:a.npy", "a//b.npy", "a\nb.npy"],
)
def test_names_that_lead_out_of_an_archive_are_refused(tmp_path, name):
    assert refusal(tmp_path, archive([(name, b"")])).startswith("refused ")


def npy(array):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def npy_saying(shape, size=8, descr="'<f4'"):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(size)


def saying_size(data, size):
    """The archive, with another size of its last member's content in its directory."""
    at = data.rfind(b"PK\x01\x02") + 24
    return data[:at] + struct.pack("<I", size) + data[at + 4 :]


def test_a_zip_bomb_is_refused(tmp_path):
    data = archive([("a.npy", npy(np.zeros(1 << 20)))], zipfile.ZIP_DEFLATED)
    assert "say they unpack to" in refusal(tmp_path, saying_size(data, 1 << 30), "w.npz")


def test_a_member_that_unpacks_to_more_than_it_says_gives_no_more(tmp_path):
    real = npy(np.zeros(1 << 24, np.uint8))
    data = archive([("a.npy", real)], zipfile.ZIP_DEFLATED)
    refusal(tmp_path, saying_size(data, 1000), "w.npz")


@pytest.mark.parametrize(
    "member",
    [
        npy(np.array([{}], object)),
        npy(np.zeros(2, [("a", "<f4")])),
        npy(np.array(["a"])),
        npy_saying((1 << 40,)),
        npy_saying((1 << 40, 1 << 40, 1 << 40)),
        npy_saying((-2,)),
        npy_saying((0, 1 << 62), 0),
        npy_saying((2,), 7),
        npy_saying((2,), descr="[('a', '<f4')]"),
        npy_saying("(" * 90 + ")" * 90),
        npy_saying("__import__('os').system('touch made')"),
        b"\x93NUMPY\x09\x00",
        b"",
    ],
)
def test_members_that_are_no_arrays_of_numbers_are_refused(tmp_path, member):
    refusal(tmp_path, archive([("a.npy", member)]), "w.npz")


def test_members_that_share_bytes_are_refused(tmp_path):
    data = bytearray(archive([("a.npy", npy(np.zeros(4))), ("b.npy", npy(np.zeros(4)))]))
    second = data.rfind(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    assert "it shares bytes with a.npy" in refusal(tmp_path, bytes(data), "w.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_other_archives_are_refused(tmp_path):
    twice = archive([("a.npy", npy(np.zeros(4))), ("a.npy", npy(np.ones(4)))])
    assert "a.npy is there twice" in refusal(tmp_path, twice)
    assert "neither torch.save nor NumPy" in refusal(tmp_path, archive([("a.txt", b"")]))
    assert "neither torch.save nor NumPy" in refusal(tmp_path, archive([]))
    packed = archive([("x/data.pkl", pickle_of({}))], zipfile.ZIP_DEFLATED)
    assert "its data.pkl is packed" in refusal(tmp_path, packed)
    two = archive([("x/data.pkl", pickle_of({})), ("y/data.pkl", pickle_of({}))])
    assert "several data.pkl" in refusal(tmp_path, two)
    many = bytearray(archive([("a.npy", b"")]))
    end = many.rfind(b"PK\x05\x06")
    many[end + 8 : end + 12] = b"\xff\xff\xff\xff"
    assert "damaged" in refusal(tmp_path, bytes(many))


# safetensors, and what lies beside weights.


def safetensors(header, size=0):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "data",
    [
        safetensors({"a": entry()}, 4),
        safetensors({"a": entry()}, 12),
        safetensors({"a": entry(offsets=(8, 16))}, 16),
        safetensors({"a": entry(), "b": entry()}, 8),
        safetensors({"a": entry(shape=(1 << 62,))}, 8),
        safetensors({"a": entry(shape=(0, 1 << 62), offsets=(0, 0))}, 0),
        safetensors({"a": entry(shape=(-2, -1))}, 8),
        safetensors({"a": entry(shape=(True, 2))}, 8),
        safetensors({"a": entry(shape={"2": 2})}, 8),
        safetensors({"a": entry(dtype="F4", shape=(16,))}, 8),
        safetensors({"a": entry(dtype=["F32"])}, 8),
        safetensors({"a": [1, 2]}, 8),
        safetensors({"a": entry(), "__metadata__": [1]}, 8),
        safetensors([], 8),
        safetensors(b"{" * 100_000),
        safetensors(b'{"a":' * 100_000),
        safetensors(b'{"a":%s}' % (b"9" * 10_000)),
        safetensors(b'{"__metadata__":{"a":"b"},"__metadata__":{}}'),
        struct.pack("<Q", 1 << 40) + b"{",
    ],
)
def test_headers_that_do_not_fit_are_refused(tmp_path, data):
    refusal(tmp_path, data, "w.safetensors")


@pytest.mark.parametrize(
    "shard", ["../x.safetensors", "/etc/passwd", "a/b", "..", "", "a\\b", "C:x", "x\0y", 5, None]
)
def test_an_index_that_leads_out_of_its_folder_is_refused(tmp_path, shard):
    index = json.dumps({"weight_map": {"w": shard}}).encode()
    assert "no name of a file beside it" in refusal(tmp_path, index, "m.safetensors.index.json")


def test_an_index_that_is_its_own_shard_is_refused(tmp_path):
    index = json.dumps({"weight_map": {"w": "m.json"}}).encode()
    refusal(tmp_path, index, "m.json")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "HDF5 is not read"),
        (bytes(600), "of no format that is read"),
        (b"", "of no format that is read"),
        (b"{}", "no index of weights"),
    ],
)
def test_what_is_no_checkpoint_is_told(tmp_path, data, message):
    assert message in refusal(tmp_path, data)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pt: no such file"):
        read_checkpoint(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="no weights in it"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="not a path"):
        read_checkpoint("a\0b")
