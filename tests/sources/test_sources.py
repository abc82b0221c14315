"""Images are read from where people keep them, by key, whatever the size of the source."""

import csv
import io
import json
import os
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jax_origin.images import ImageError
from jax_origin.parts import installing
from jax_origin.sources import open_source, open_sources


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 5, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def tar(path: Path, members: dict[str, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def told(source) -> dict[str, bytes | str]:
    """The bytes of each entry by its key, or why it cannot be read."""
    found = {}
    for entry in source:
        try:
            found[entry.key] = entry.read()
        except ImageError as error:
            found[entry.key] = f"error: {error.reason}"
    return found


IMAGES = {f"{i}.png": png(i) for i in range(5)}


def test_a_folder_is_walked_in_order_and_says_what_it_leaves_out(tmp_path):
    for name in ("b/2.png", "a.png", "b/1.JPG", ".hidden/3.png", "b/.4.png", "notes.md"):
        write(tmp_path / name, png(1))
    os.symlink(tmp_path / "nowhere", tmp_path / "z.png")
    source = open_source(str(tmp_path))
    found = told(source)
    names = [key.removeprefix(f"{tmp_path}/") for key in found]
    assert names == ["a.png", "b/1.JPG", "b/2.png", "z.png"]
    assert found[f"{tmp_path}/a.png"] == png(1)
    assert found[f"{tmp_path}/z.png"] == "error: no such file"
    assert "1 .md" in source.left_out
    assert told(source) == found  # It may be iterated again.


def test_a_stamp_changes_with_the_file(tmp_path):
    write(tmp_path / "a.png", png(1))
    (before,) = open_source(str(tmp_path / "a.png"))
    write(tmp_path / "a.png", png(200) + b"more")
    (after,) = open_source(str(tmp_path / "a.png"))
    assert before.key == after.key and None is not before.stamp != after.stamp is not None


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.xz", "zip"])
def test_archives_give_their_images_by_name(tmp_path, suffix):
    path = tmp_path / f"shard.{suffix}"
    members = {**IMAGES, "about.json": b"{}", "__MACOSX/._0.png": b"x"}
    if suffix == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        tar(path, members, f"w:{suffix[4:]}")
    assert told(open_source(str(path))) == {f"{path}/{name}": IMAGES[name] for name in IMAGES}
    # In a folder, or found by a pattern, they are the same.
    assert told(open_source(str(tmp_path))) == told(open_source(f"{tmp_path}/*.{suffix}"))


def test_what_is_read_late_is_still_there(tmp_path):
    tar(tmp_path / "a.tar", IMAGES)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for name, data in IMAGES.items():
            archive.writestr(name, data)
    entries = list(open_source(str(tmp_path)))
    assert [entry.read() for entry in reversed(entries)] == [*IMAGES.values()][::-1] * 2


def test_the_columns_beside_images_are_read_for_a_layout(tmp_path):
    members = {}
    for i in range(3):
        members |= {f"x/{i:03}.png": png(i), f"x/{i:03}.json": b'{"model": "m%d"}' % i}
    tar(tmp_path / "a.tar", members)
    about = [e.about for e in open_source(str(tmp_path / "a.tar"), layout=lambda entry: None)]
    assert about == [{"json": {"model": f"m{i}"}} for i in range(3)]
    assert all(entry.about == {} for entry in open_source(str(tmp_path / "a.tar")))


@pytest.mark.parametrize("column", ["struct", "bytes", "path", "paths in a struct"])
def test_parquet_files_give_their_rows(tmp_path, column):
    for name, data in IMAGES.items():
        write(tmp_path / name, data)
    values = {
        "struct": [{"bytes": data, "path": name} for name, data in IMAGES.items()],
        "bytes": list(IMAGES.values()),
        "path": list(IMAGES),
        "paths in a struct": [{"bytes": None, "path": name} for name in IMAGES],
    }[column]
    kind = {"path": pa.string(), "bytes": pa.binary()}.get(
        column, pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    )
    name = "path" if column == "path" else "image"
    columns = {"prompt": ["a dog"] * 5, name: pa.array(values, kind)}
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=2)
    source = open_source(str(path), layout=lambda entry: entry.about["prompt"])
    assert len(source) == 5
    assert told(source) == {f"{path}/{i}": data for i, data in enumerate(IMAGES.values())}
    assert {entry.truth for entry in source} == {"a dog"}
    entries = list(source)
    assert entries[4].read() == IMAGES["4.png"] and entries[0].read() == IMAGES["0.png"]


def test_a_row_without_an_image_is_one_line(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": pa.array([png(1), None], pa.binary())}), path)
    assert list(told(open_source(str(path))).values()) == [
        png(1),
        "error: holds no image: the row is empty",
    ]


def test_a_data_set_on_disk_is_read_split_by_split(tmp_path):
    """As `datasets` writes it: a stream of batches, and notes in JSON."""
    values = [{"bytes": data, "path": name} for name, data in IMAGES.items()]
    table = pa.table({"image": values, "label": [0, 1, 2, 3, 4]})
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        with pa.ipc.new_stream(tmp_path / split / "data-0.arrow", table.schema) as stream:
            stream.write_table(table, max_chunksize=2)
        state = {"_data_files": [{"filename": "data-0.arrow"}]}
        (tmp_path / split / "state.json").write_text(json.dumps(state))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    found = open_source(str(tmp_path), layout=lambda entry: str(entry.about["label"]))
    assert [entry.truth for entry in found] == list("01234") * 2
    assert [entry.read() for entry in found] == list(IMAGES.values()) * 2
    (tmp_path / "test/state.json").write_text('{"_data_files": [], "_indices_data_files": [1]}')
    assert "flatten_indices" in list(told(found).values())[-1]


def test_numpy_archives_give_pixels_or_files(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), np.uint8)
    np.savez(tmp_path / "x.npz", x=pixels)
    files = list(IMAGES.values())
    offsets = np.cumsum([0, *map(len, files)])
    np.savez(tmp_path / "j.npz", png=np.frombuffer(b"".join(files), np.uint8), offsets=offsets)
    for entry, image in zip(open_source(str(tmp_path / "x.npz")), pixels, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(entry.read()))), image)
    assert list(told(open_source(str(tmp_path / "j.npz"))).values()) == files


def test_lists_name_files_and_may_say_who_made_them(tmp_path):
    for name, data in IMAGES.items():
        write(tmp_path / name, data)
    (tmp_path / "list.txt").write_text("1.png\n0.png\n\ngone.png\n")
    with open(tmp_path / "list.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "truth"), ("1.png", "sdxl"), ("0.png", "")])
    found = told(open_source(str(tmp_path / "list.txt")))
    assert list(found.values()) == [png(1), png(0), "error: no such file"]
    listed = list(open_source(str(tmp_path / "list.csv")))
    assert [(e.read(), e.truth) for e in listed] == [(png(1), "sdxl"), (png(0), None)]


@pytest.mark.parametrize("address", ["memory://here", "file://{}"])
def test_addresses_are_read_like_folders(tmp_path, address):
    fsspec = pytest.importorskip("fsspec")
    address = address.format(tmp_path)
    tar(tmp_path / "t.tar", IMAGES)
    pq.write_table(pa.table({"image": list(IMAGES.values())}), tmp_path / "t.parquet")
    write(tmp_path / "b/0.png", png(7))
    system, inside = fsspec.core.url_to_fs(address)
    if "memory" in address:
        for name in ("t.tar", "t.parquet", "b/0.png"):
            system.pipe(f"{inside}/{name}", (tmp_path / name).read_bytes())
    found = told(open_source(address))
    assert list(found.values()) == [png(7), *IMAGES.values(), *IMAGES.values()]
    assert all(key.startswith(address) for key in found)
    assert list(told(open_source(f"{address}/*.tar")).values()) == list(IMAGES.values())


def test_a_damaged_container_is_one_line_and_the_rest_goes_on(tmp_path):
    tar(tmp_path / "a.tar", IMAGES)
    whole = (tmp_path / "a.tar").read_bytes()
    header = whole.index(b"2.png")
    (tmp_path / "b.tar").write_bytes(whole[:header] + b"\xff" * 300 + whole[header + 300 :])
    (tmp_path / "c.tar").write_bytes(whole[: header + 600])
    for name in ("d.zip", "e.parquet", "f.tar", "g.tar.gz"):
        (tmp_path / name).write_bytes(b"PK, but no archive" * 100)
    found = told(open_source(str(tmp_path)))
    faults = {key: text for key, text in found.items() if isinstance(text, str)}
    assert len(found) - len(faults) == 5 + 2 + 2
    assert {Path(key).relative_to(tmp_path).parts[0] for key in faults} == {
        *("b.tar", "c.tar", "d.zip", "e.parquet", "f.tar", "g.tar.gz")
    }
    assert all("\n" not in text for text in faults.values())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("none", "none: no such file or folder"),
        ("none/*.tar", "none/*.tar: no file matches this pattern"),
        ("nowhere://none", "nowhere://none: cannot be reached (Protocol not known: nowhere)"),
    ],
)
def test_what_is_not_there_is_one_line(text, reason):
    with pytest.raises(ImageError) as caught:
        open_source(text)
    assert str(caught.value).partition(". ")[0] == reason


def test_without_pyarrow_a_table_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": [png(1)]}), path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (text,) = told(open_source(str(path))).values()
    assert text == f"error: needs pyarrow to be read ({installing('audit')})"
    assert "pip install 'jax_origin[audit]', in a checkout pip install -e '.[audit]'" in text


@pytest.mark.outer
@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_large_source_needs_no_memory_for_its_entries(tmp_path, kind):
    num, path = 20_000, tmp_path / f"large.{kind}"
    if kind == "tar":
        tar(path, {f"{i}.png": b"small" for i in range(num)})
    else:
        pq.write_table(pa.table({"image": [b"small"] * num}), path, row_group_size=1000)
    source = open_sources([str(path)])
    next(iter(source))  # What is imported and loaded once does not count.
    tracemalloc.start()
    assert sum(1 for _ in source) == num
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
