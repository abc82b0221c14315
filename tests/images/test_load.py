"""Folders, patterns and archives of images."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jax_origin.images import (
    ImageError,
    find_images,
    load_images,
    load_sources,
    lossy_share,
    save_png,
)

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)


def jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG")
    return buffer.getvalue()


def joined(files: list[bytes]) -> dict[str, np.ndarray]:
    return {
        "jpeg": np.frombuffer(b"".join(files), np.uint8),
        "offsets": np.cumsum([0, *map(len, files)]).astype(np.int64),
    }


def test_an_archive_may_hold_webp_files(tmp_path):
    buffers = [io.BytesIO() for _ in IMAGES]
    for buffer, pixels in zip(buffers, IMAGES, strict=True):
        Image.fromarray(pixels).save(buffer, format="WEBP", lossless=True)
    files = joined([buffer.getvalue() for buffer in buffers])
    np.savez(tmp_path / "x.npz", webp=files["jpeg"], offsets=files["offsets"], source=range(5))
    np.testing.assert_array_equal(load_images(tmp_path / "x.npz"), IMAGES)
    assert load_sources(tmp_path / "x.npz") == list("01234")
    assert lossy_share(tmp_path / "x.npz") == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images in a tree, beside files that are none or hidden."""
    names = ["b/1.png", "b/0.PNG", "a.png", "c/d/e/f.png", "z.png"]
    for name, pixels in zip(names, IMAGES, strict=True):
        save_png(tmp_path / name, pixels)
    for name in [".hidden.png", ".cache/thumbnail.png"]:
        save_png(tmp_path / name, IMAGES[0])
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


FOUND = ["a.png", "b/0.PNG", "b/1.png", "c/d/e/f.png", "z.png"]


def test_a_folder_is_searched_to_the_bottom_in_order(folder: Path):
    assert find_images(folder) == [f"{folder}/{name}" for name in FOUND]


def test_a_pattern_finds_what_matches(folder: Path):
    assert find_images(f"{folder}/**/*.png") == [
        f"{folder}/{name}" for name in FOUND if name.endswith(".png")
    ]
    assert find_images(f"{folder}/b/[01].*") == [f"{folder}/b/0.PNG", f"{folder}/b/1.png"]


def test_a_file_is_taken_as_it_is(folder: Path):
    for name in ["a.png", ".hidden.png", "notes.txt"]:
        assert find_images(f"{folder}/{name}") == [f"{folder}/{name}"]
    save_png(folder / "x[1].png", IMAGES[0])
    assert find_images(f"{folder}/x[1].png") == [f"{folder}/x[1].png"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "no such file or folder"),
        ("folder.png", "no images in this folder"),
        ("*.bmp", "no file matches this pattern"),
    ],
)
def test_nothing_found_is_an_error_that_says_where(folder: Path, name, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        find_images(folder / name)
    assert caught.value.path == str(folder / name)


def test_a_folder_loads_in_the_order_of_its_paths(folder: Path):
    np.testing.assert_array_equal(load_images(folder), IMAGES[[2, 1, 0, 3, 4]])
    np.testing.assert_array_equal(load_images(folder, limit=2, size=(8, 6)), IMAGES[[2, 1]])


def test_images_of_a_folder_must_have_one_size(folder: Path):
    with pytest.raises(ImageError, match=r"a\.png: is 8x6 \(HxW\), 6x8 is wanted"):
        load_images(folder, size=(6, 8))
    save_png(folder / "m.png", IMAGES[0, :4])
    with pytest.raises(ImageError, match=r"m\.png: is 4x6 .* first image of the set is 8x6"):
        load_images(folder)


def test_a_bad_image_in_a_folder_is_named(folder: Path):
    (folder / "b" / "1.png").write_bytes(b"broken")
    with pytest.raises(ImageError, match=r"1\.png: is not an image"):
        load_images(folder)


@pytest.mark.parametrize("key", ["x", "images"])
def test_an_archive_of_pixels(tmp_path: Path, key):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, **{key: IMAGES}, y=np.arange(5))
    loaded = load_images(path)
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, IMAGES)
    np.testing.assert_array_equal(load_images(path, limit=3, size=(8, 6)), IMAGES[:3])
    with pytest.raises(ImageError, match="8x6"):
        load_images(path, size=(8, 8))


def test_an_archive_of_encoded_files(tmp_path: Path):
    path = tmp_path / "set.npz"
    files = [jpeg(pixels) for pixels in IMAGES]
    np.savez(path, **joined(files), y=np.arange(5))
    expected = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
    np.testing.assert_array_equal(load_images(path), expected)
    np.testing.assert_array_equal(load_images(path, limit=2), expected[:2])


def test_the_share_of_lossy_files_is_told_from_how_files_begin(folder: Path, tmp_path: Path):
    assert lossy_share(folder) == 0
    (tmp_path / "z.png").write_bytes(jpeg(IMAGES[0]))  # Whatever its name says.
    assert lossy_share(folder) == 1 / 5
    np.savez(tmp_path / "all.npz", **joined([jpeg(pixels) for pixels in IMAGES]))
    np.savez(tmp_path / "none.npz", x=IMAGES)
    assert (lossy_share(tmp_path / "all.npz"), lossy_share(tmp_path / "none.npz")) == (1, 0)
    with pytest.raises(ImageError, match="no such file"):
        lossy_share(tmp_path / "nothing")


def test_a_bad_image_in_an_archive_is_named_by_its_index(tmp_path: Path):
    path = tmp_path / "set.npz"
    files = [jpeg(pixels) for pixels in IMAGES]
    files[3] = files[3][:-100]
    np.savez(path, **joined(files))
    with pytest.raises(ImageError, match=r"set\.npz\[3\]: is truncated or corrupt"):
        load_images(path)
    files[3] = jpeg(IMAGES[3, :4])
    np.savez(path, **joined(files))
    with pytest.raises(ImageError, match=r"set\.npz\[3\]: is 4x6 .* first image of the set is 8x6"):
        load_images(path)


ENCODED = joined([jpeg(pixels) for pixels in IMAGES])


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"y": np.arange(5)}, "it holds y"),
        ({"jpeg": ENCODED["jpeg"]}, "it holds jpeg"),
        ({"x": IMAGES / 255}, "'x' must be uint8"),
        ({"x": IMAGES[0]}, r"'x' must be uint8 \[N, H, W, 3\], it is uint8 \[8, 6, 3\]"),
        ({"x": IMAGES[..., :1]}, "'x' must be uint8"),
        ({"x": IMAGES[:0]}, "no images"),
        ({"x": np.array([IMAGES[0], None], dtype=object)}, "cannot be read"),
        ({**ENCODED, "jpeg": ENCODED["jpeg"].astype(np.int32)}, "'jpeg' must be uint8"),
        ({**ENCODED, "offsets": ENCODED["offsets"].astype(float)}, "'offsets' must be int64"),
        ({**ENCODED, "offsets": ENCODED["offsets"][:1]}, "'offsets' must be int64"),
        ({**ENCODED, "offsets": ENCODED["offsets"] + 1}, "'offsets' must rise"),
        ({**ENCODED, "offsets": ENCODED["offsets"] - 1}, "'offsets' must rise"),
        ({**ENCODED, "offsets": ENCODED["offsets"][::-1]}, "'offsets' must rise"),
    ],
)
def test_an_archive_that_holds_something_else(tmp_path: Path, arrays, reason):
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    with pytest.raises(ImageError, match=reason) as caught:
        load_images(path)
    assert caught.value.path == str(path)


def test_an_archive_is_never_unpickled(tmp_path: Path):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "sprung").touch, ()

    path = tmp_path / "set.npz"
    np.savez(path, x=np.array([Trap()], dtype=object))
    with pytest.raises(ImageError):
        load_images(path)
    assert not (tmp_path / "sprung").exists()


def test_a_damaged_archive(tmp_path: Path):
    path = tmp_path / "set.npz"
    np.savez(path, x=IMAGES)
    whole = path.read_bytes()
    for damaged in [whole[: len(whole) // 2], b"", b"text", whole[:200] + b"!" + whole[201:]]:
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match=r"npz"):
            load_images(path)
    np.save(io.FileIO(path, "w"), IMAGES)  # An array, but no archive.
    with pytest.raises(ImageError, match=r"is not an \.npz archive"):
        load_images(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"no array")
    with pytest.raises(ImageError, match="'x' must be uint8"):
        load_images(path)
    with pytest.raises(ImageError, match="no such file"):
        load_images(tmp_path / "missing.npz")


def test_limit_must_be_positive(folder: Path):
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        load_images(folder, limit=0)


def test_grey_sets(tmp_path: Path):
    grey = IMAGES[..., :1]
    for i, pixels in enumerate(grey[:3]):
        save_png(tmp_path / f"{i}.png", pixels)
    np.testing.assert_array_equal(load_images(tmp_path, channels=1), grey[:3])
    np.savez(tmp_path / "set.npz", x=grey)
    np.testing.assert_array_equal(load_images(tmp_path / "set.npz", channels=1), grey)
    with pytest.raises(ImageError, match=r"'x' must be uint8 \[N, H, W, 3\], it is"):
        load_images(tmp_path / "set.npz")


def test_images_of_other_sizes_are_cropped_or_resized(folder: Path):
    with pytest.raises(ImageError, match=r"a\.png: is 8x6 .*, 4x4 is wanted; crop or resize"):
        load_images(folder, size=(4, 4))
    wide = np.zeros((6, 12, 3), np.uint8)
    wide[:, 3:9] = 200  # the middle square
    save_png(folder / "a.png", wide)
    cropped = load_images(folder, size=(3, 3), fit="crop")
    assert cropped.shape == (5, 3, 3, 3)
    assert (cropped[0] == 200).all()
    resized = load_images(folder, size=(3, 6), fit="resize")
    assert resized[0, 1, 0, 0] == 0 and resized[0, 1, 3, 0] > 190
    np.testing.assert_array_equal(
        load_images(folder / "b", size=(8, 6), fit="crop"), load_images(folder / "b")
    )
    np.savez(folder / "set.npz", x=IMAGES)
    assert load_images(folder / "set.npz", size=(4, 4), fit="crop").shape == (5, 4, 4, 3)
    assert load_images(folder / "b", size=(4, 4), fit="crop", channels=1).shape == (2, 4, 4, 1)
    for wrong in ({"fit": "crop"}, {"fit": "squeeze", "size": (4, 4)}):
        with pytest.raises(ValueError, match='choose "crop" or "resize"'):
            load_images(folder, **wrong)
