import io

import numpy as np
import pytest
from PIL import Image

from jax_origin.images import Stored, decode_bytes, edits_alike, stored_image, stored_images

LOSSLESS = ("clean", "resize-0.75", "crop-1", "crop-3", "noise-2")
WHOLE = ("clean", "noise-2")
KNOWN = ("clean", "resize-0.75", "webp-80", "jpeg-90", "jpeg-75", "jpeg-50", "jpeg-75-444")


@pytest.fixture(scope="module")
def pixels():
    smooth = np.linspace(60, 190, 24)[:, None, None] * np.array([1.0, 0.7, 0.5])
    noisy = smooth + np.random.default_rng(0).normal(0, 10, (24, 24, 3))
    return noisy.round().astype(np.uint8)


def file_of(pixels, form, mode="RGB", **options):
    """The set of a file that Pillow writes."""
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, form, **options)
    return stored_image(file.getvalue(), decode_bytes(file.getvalue(), path="made"))


@pytest.mark.parametrize("edit", [name for name in KNOWN if name not in ("clean", "resize-0.75")])
def test_a_file_is_like_the_edit_that_left_it(pixels, edit):
    (stored,) = stored_images(pixels[None], edit)
    assert edits_alike(stored, KNOWN) == ((edit,), None)


@pytest.mark.parametrize(
    ("edit", "alike"),
    [
        ("clean", WHOLE),  # not every resize shows: such a one is judged so, too
        ("noise-1", WHOLE),
        ("resize-2", WHOLE),
        ("resize-0.75", ("resize-0.75", "crop-3")),  # both leave 18 of 24 pixels
        ("crop-3", ("resize-0.75", "crop-3")),
        ("resize-0.8-bicubic", ("resize-0.75", "crop-3")),
        ("crop-1", ("crop-1",)),
        ("resize-0.95", ("crop-1",)),
    ],
)
def test_lossless_files_are_like_those_that_lost_as_much(pixels, edit, alike):
    (stored,) = stored_images(pixels[None], edit)
    assert edits_alike(stored, (*LOSSLESS, "webp-80", "jpeg-90")) == (alike, None)


def test_a_smaller_size_in_between_than_any_is_unlike(pixels):
    (stored,) = stored_images(pixels[None], "resize-0.5")
    assert edits_alike(stored, KNOWN) == ((), "resized to 12x12 and back")
    assert edits_alike(stored, ["clean"]) == ((), "resized to 12x12 and back")
    assert edits_alike(stored, ["clean", "jpeg-90"], resized=False) == (("clean",), None)
    # A generator whose own images look resized may have made it so, or it was resized.
    alike = edits_alike(stored, ["clean", "resize-0.5", "resize-0.75"], resized=False)
    assert alike == (("clean", "resize-0.5"), None)


@pytest.mark.parametrize(
    ("made", "alike", "unlike"),
    [
        # Between two, both; finer than all, the finest; coarser than all, like none.
        ({"quality": 60}, ("jpeg-75", "jpeg-50"), None),
        ({"quality": 97}, ("jpeg-90",), None),
        ({"quality": 30}, ("jpeg-50",), "JPEG of a lower quality"),
        # More chroma than a known edit keeps makes a smaller set.
        ({"quality": 90, "subsampling": "4:4:4"}, ("jpeg-90",), None),
        ({"quality": 75, "subsampling": "4:2:2"}, ("jpeg-75",), None),
        ({"quality": 50, "subsampling": "4:4:4"}, ("jpeg-50",), None),
        ({"quality": 75, "subsampling": "4:4:4", "progressive": True}, ("jpeg-75-444",), None),
        ({"quality": 75, "optimize": True}, ("jpeg-75",), None),
        ({"quality": 75, "mode": "L"}, ("jpeg-75",), "in grey"),
    ],
)
def test_jpeg_files_of_other_tables(pixels, made, alike, unlike):
    stored = file_of(pixels, "JPEG", **made)
    assert stored.kind == "jpeg"
    known = [name for name in KNOWN if name != "jpeg-75-444" or "progressive" in made]
    assert edits_alike(stored, known) == (alike, unlike)


def test_a_coarser_chroma_than_any_is_unlike(pixels):
    stored = file_of(pixels, "JPEG", quality=95)
    assert edits_alike(stored, ["clean", "jpeg-50-444"]).unlike == (
        "JPEG with chroma at a lower resolution"
    )


@pytest.mark.parametrize(
    ("form", "made", "known", "alike", "unlike"),
    [
        ("PNG", {}, ["jpeg-75"], (), "lossless"),
        ("PNG", {"mode": "L"}, ["clean"], ("clean",), "in grey"),
        ("PNG", {"mode": "P"}, ["clean"], (), "palette: a colour may be rounded by more than"),
        ("JPEG", {}, ["clean", "webp-80"], (), "JPEG"),
        ("WEBP", {"quality": 40}, ["clean", "jpeg-75"], (), "lossy WebP"),
        ("WEBP", {"quality": 40}, KNOWN, ("webp-80",), "lossy WebP of a lower quality"),
        ("WEBP", {"quality": 95}, KNOWN, ("webp-80",), None),
        ("WEBP", {"quality": 60}, [*KNOWN, "webp-50"], ("webp-80", "webp-50"), None),
        ("WEBP", {"quality": 50}, [*KNOWN, "webp-50"], ("webp-50",), None),
        ("WEBP", {"lossless": True}, KNOWN, ("clean",), None),
    ],
)
def test_other_files(pixels, form, made, known, alike, unlike):
    found = edits_alike(file_of(pixels, form, **made), known)
    assert found.edits == alike
    assert (found.unlike or "").startswith(unlike or "") and (found.unlike is None) == (not unlike)


def test_the_last_step_counts_and_names_that_are_no_edits_are_kept(pixels):
    (stored,) = stored_images(pixels[None], "resize-0.5+jpeg-75")
    known = ["clean", "as printed", "jpeg-90+jpeg-75", "jpeg-75+resize-0.5"]
    assert edits_alike(stored, known) == (("jpeg-90+jpeg-75", "as printed"), None)
    grey = Stored("pixels", pixels[:, :, :1], "grey")
    assert edits_alike(grey, ["clean"]) == (("clean",), None)
