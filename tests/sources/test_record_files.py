"""Images are read from TFRecord and ArrayRecord files, record by record."""

import gzip
import random
import struct
import sys
from pathlib import Path

import pytest

from jax_origin.sources import open_source

from .test_sources import IMAGES, png, told

array_record_module = pytest.importorskip("array_record.python.array_record_module")
google_crc32c = pytest.importorskip("google_crc32c")

FILES = list(IMAGES.values())
KINDS = ("t.tfrecord", "t.tfrecord.gz", "t.array_record")


def varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def example(**features) -> bytes:
    """A tf.train.Example, put together by hand; "_" in a name stands for a slash."""
    rows = b""
    for name, value in features.items():
        if isinstance(value, list):
            of = field(2, field(1, struct.pack(f"<{len(value)}f", *value)))
        elif isinstance(value, int):
            of = field(3, field(1, varint(value)))
        else:
            of = field(1, field(1, value))
        rows += field(1, field(1, name.replace("_", "/").encode()) + field(2, of))
    return field(1, rows)


def framed(data: bytes) -> bytes:
    def masked(some: bytes) -> bytes:
        crc = google_crc32c.value(some)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def tfrecord(path: Path, records: list[bytes]) -> str:
    data = b"".join(map(framed, records))
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return str(path)


def array_record(path: Path, records: list[bytes], options: str = "group_size:1") -> str:
    writer = array_record_module.ArrayRecordWriter(str(path), options)
    for record in records:
        writer.write(record)
    writer.close()
    return str(path)


def written(path: Path, records: list[bytes]) -> str:
    return (tfrecord if "tfrec" in path.name else array_record)(path, records)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("feature", ["image_encoded", "image", "jpg", "png", "picture"])
def test_each_record_gives_its_image(tmp_path, name, feature):
    # A packed list of integers, one of floats, and for a name that says enough a text.
    others = {"label": 300, "score": [0.5, 2.0]}
    others |= {} if feature == "picture" else {"image_filename": b"a.png"}
    path = written(tmp_path / name, [example(**others, **{feature: data}) for data in FILES])
    expected = {f"{path}/{i}": data for i, data in enumerate(FILES)}
    assert told(open_source(path)) == expected
    entries = list(open_source(path))
    random.Random(0).shuffle(entries)
    assert {entry.key: entry.read() for entry in entries} == expected
    assert len({entry.stamp for entry in entries}) == 1 and entries[0].stamp


@pytest.mark.parametrize("name", KINDS)
def test_a_record_may_be_the_image_itself(tmp_path, name):
    path = written(tmp_path / name, FILES)
    assert list(told(open_source(path)).values()) == FILES
    assert [entry.about for entry in open_source(path, layout=lambda _: None)] == [{}] * 5


def test_a_length_that_looks_like_gzip_is_a_length(tmp_path):
    first = png(1).ljust(0x8B1F, b"\0")
    path = Path(tfrecord(tmp_path / "t.tfrecord", [first, png(2)]))
    assert path.read_bytes().startswith(b"\x1f\x8b")
    assert list(told(open_source(str(path))).values()) == [first, png(2)]


@pytest.mark.parametrize("name", KINDS)
def test_other_features_go_to_a_layout(tmp_path, name):
    records = [
        example(image=png(i), maker=b"m%d" % i, label=i, box=[0.5, 2.0], hash=b"\xff\xfe")
        for i in range(3)
    ]
    path = written(tmp_path / name, records)
    entries = list(open_source(path, layout=lambda entry: entry.about["maker"]))
    assert [entry.truth for entry in entries] == ["m0", "m1", "m2"]
    assert entries[2].about == {"maker": "m2", "label": 2, "box": [0.5, 2.0]}
    assert all(entry.about == {} for entry in open_source(path))


def test_shards_are_found_in_folders_by_their_names(tmp_path):
    names = [
        *("a.tfrecord", "b.tfrecords", "c.tfrec", "d.TFRecord.gz", "e.tfrecord-00000-of-00002"),
        *("f.array_record", "g.arrayrecord", "h.arecord", "i.array_record-00001-of-00002"),
    ]
    for name in names:
        (array_record if "a" in name[2:4] else tfrecord)(tmp_path / name, [png(1)])
    (tmp_path / "a.tfrecord.index").write_bytes(b"other")
    source = open_source(str(tmp_path))
    assert list(told(source)) == [f"{tmp_path}/{name}/0" for name in names]
    assert "1 .index" in source.left_out
    assert len(told(open_source(f"{tmp_path}/*.tfrecord*"))) == 4


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"neither", "is neither an image nor a tf.train.Example"),
        (
            example(one=b"1", two=b"2", label=1),
            "holds no feature image/encoded, image, jpg, jpeg, png or webp (its features of bytes "
            "are one, two)",
        ),
        (
            example(label=1),
            "holds no feature image/encoded, image, jpg, jpeg, png or webp (it has none of bytes)",
        ),
    ],
)
@pytest.mark.parametrize("name", KINDS)
def test_a_record_without_an_image_is_one_line(tmp_path, name, record, reason):
    path = written(tmp_path / name, [png(1), record, png(2)])
    assert list(told(open_source(path)).values()) == [png(1), f"error: {reason}", png(2)]


def test_damage_to_a_tfrecord_file_is_found_by_its_checksums(tmp_path):
    whole = Path(tfrecord(tmp_path / "a.tfrecord", FILES)).read_bytes()
    third, size = 32 + len(FILES[0] + FILES[1]), len(FILES[4])
    path = tmp_path / "b.tfrecord"

    def found(data: bytes) -> list[bytes | str]:
        path.write_bytes(data)
        return list(told(open_source(str(path))).values())

    flipped = bytearray(whole)
    flipped[third + 40] ^= 1  # In the data: one image is lost.
    reason = "error: is damaged: its data does not fit its checksum"
    assert found(bytes(flipped)) == [*FILES[:2], reason, *FILES[3:]]
    flipped = bytearray(whole)
    flipped[third] ^= 1  # In the length: nobody knows where the next record begins.
    rest = f"error: is damaged after {third} bytes: the rest is not read"
    assert found(bytes(flipped)) == [*FILES[:2], rest]
    assert found(whole[: third + 5]) == [*FILES[:2], rest]
    torn = f"error: is truncated ({size - 6} of {size + 4} bytes)"
    assert found(whole[:-10]) == [*FILES[:4], torn]
    path = tmp_path / "c.tfrecord.gz"
    assert found(gzip.compress(whole[:-10])) == [*FILES[:4], torn]
    *read, last = found(gzip.compress(whole)[:-30])
    assert read == FILES[: len(read)] and "\n" not in last and "TFRecord" in last
    assert found(b"") == []


def test_damage_to_an_array_record_file_is_one_line(tmp_path):
    # Noise, so that nothing is compressed.
    files = [FILES[i] + random.Random(i).randbytes(50_000) for i in range(5)]
    path = Path(array_record(tmp_path / "a.array_record", files))
    whole = bytearray(path.read_bytes())
    whole[125_000] ^= 1
    path.write_bytes(whole)
    first, *others = told(open_source(str(path))).values()
    assert first == files[0] and others[-2:] == files[3:]
    (fault,) = [text for text in others if isinstance(text, str)]
    assert fault.startswith("error: cannot be read from its file (Corrupted") and "\n" not in fault
    path.write_bytes(whole[:60_000])
    (text,) = told(open_source(str(path))).values()
    assert text == "error: cannot be read as an ArrayRecord file: it is damaged, or none"


def test_many_records_of_one_group_are_read_in_any_order(tmp_path):
    path = array_record(tmp_path / "a.array_record", FILES * 20, "group_size:100")
    entries = list(open_source(path))
    assert [e.read() for e in reversed(entries)] == FILES[::-1] * 20


@pytest.mark.parametrize(
    ("name", "missing", "package"),
    [
        ("a.tfrecord", "google_crc32c", "google-crc32c"),
        ("a.array_record", "array_record.python", "array_record"),
    ],
)
def test_what_is_missing_is_named(tmp_path, monkeypatch, name, missing, package):
    path = written(tmp_path / name, FILES)
    monkeypatch.setitem(sys.modules, missing, None)
    (text,) = told(open_source(path)).values()
    assert text == f"error: needs {package} to be read (pip install 'jax_origin[records]')"


def test_tfrecord_files_are_read_at_addresses_and_array_records_are_not(tmp_path):
    pytest.importorskip("fsspec")
    tfrecord(tmp_path / "a.tfrecord", FILES)
    array_record(tmp_path / "b.array_record", FILES)
    assert list(told(open_source(f"file://{tmp_path}")).values()) == [
        *FILES,
        "error: ArrayRecord files are read from local files only",
    ]
