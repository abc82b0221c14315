"""Edits of images: by one name each, the same from run to run."""

import hashlib
import io
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from jax_origin.images import (
    EDITS,
    EditStep,
    edit_images,
    parse_edit,
    photograph_crops,
    stored_images,
)

EXAMPLES = (
    "clean",
    "jpeg-90",
    "webp-80",
    "resize-0.75",
    "crop-1",
    "jpeg-75-444",
    "resize-0.75-bicubic",
    "noise-2",
    "blur-0.5",
    "sharpen-1",
    "gain-0.8",
    "offset-20",
    "gamma-1.4",
    "tint-0.25",
    "resize-0.75+jpeg-75",
    "jpeg-90+jpeg-75",
)


@pytest.fixture(scope="module")
def photographs():
    return photograph_crops(12, (32, 32), seed=0, part="calibration")[0]


def distance(images, others):
    return ((images.astype(float) - others) ** 2).mean()


@pytest.mark.parametrize("name", EXAMPLES)
def test_shape_and_type_stay_and_only_clean_leaves_the_pixels(photographs, name):
    images = photographs[:, :, :20]
    before = images.copy()
    edited = edit_images(images, name)
    assert edited.dtype == np.uint8
    assert edited.shape == images.shape
    np.testing.assert_array_equal(images, before)
    same = (edited == images).all(axis=(1, 2, 3))
    assert same.all() if name == "clean" else not same.any()
    assert 0 <= distance(edited, images) < 30**2


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_image_is_edited_by_itself_and_always_alike(photographs, name):
    edited = edit_images(photographs[:4], name)
    np.testing.assert_array_equal(edit_images(photographs[2:3], name)[0], edited[2])


@pytest.mark.parametrize(
    "rising",
    [
        ("clean", "jpeg-95", "jpeg-90", "jpeg-75", "jpeg-50", "jpeg-10"),
        ("webp-95", "webp-80", "webp-30"),
        ("resize-2", "resize-0.75", "resize-0.5", "resize-0.25"),
        ("crop-1", "crop-2", "crop-4"),
        ("noise-0.5", "noise-1", "noise-2", "noise-8"),
        ("blur-0.3", "blur-0.5", "blur-1", "blur-2"),
        ("jpeg-75-444", "jpeg-75"),
        ("jpeg-75", "resize-0.75+jpeg-75"),
    ],
)
def test_a_stronger_edit_goes_further_away(photographs, rising):
    found = [distance(edit_images(photographs, name), photographs) for name in rising]
    assert found == sorted(set(found))


@settings(max_examples=20, deadline=None)
@given(
    names=st.lists(st.sampled_from([n for n in EXAMPLES if n != "clean"]), min_size=1, max_size=3)
)
def test_a_chain_is_its_steps_from_left_to_right(names):
    images = photograph_crops(2, (16, 16), seed=1, part="calibration")[0]
    one_by_one = images
    for name in names:
        one_by_one = edit_images(one_by_one, name)
    np.testing.assert_array_equal(edit_images(images, "+".join(names)), one_by_one)


def test_order_counts(photographs):
    first = edit_images(photographs, "resize-0.75+jpeg-75")
    assert (first != edit_images(photographs, "jpeg-75+resize-0.75")).any()


@pytest.mark.parametrize(("option", "sampling"), [("", 2), ("-444", 1)])
def test_jpeg_is_the_file_that_pillow_writes(photographs, option, sampling):
    file = io.BytesIO()
    subsampling = "4:2:0" if sampling == 2 else "4:4:4"
    Image.fromarray(photographs[0]).save(file, "JPEG", quality=75, subsampling=subsampling)
    with Image.open(file) as stored:
        assert stored.layer[0][1:3] == (sampling, sampling)
        np.testing.assert_array_equal(
            edit_images(photographs[:1], f"jpeg-75{option}")[0], np.asarray(stored)
        )


def test_noise_has_the_deviation_asked_for_and_another_pattern_for_each_image():
    grey = np.full((2, 64, 64, 3), 128, np.uint8)
    grey[1, 0, 0, 0] = 129
    noise = edit_images(grey, "noise-6").astype(float) - grey
    np.testing.assert_allclose(noise.std(axis=(1, 2, 3)), 6, rtol=0.05)
    np.testing.assert_allclose(noise.mean(axis=(1, 2, 3)), 0, atol=0.3)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05
    white = edit_images(np.full((1, 32, 32, 3), 255, np.uint8), "noise-6")
    assert white.max() == 255 and white.min() > 200  # It is clipped, and does not wrap round.


def test_a_crop_enlarges_what_is_inside(photographs):
    bordered = photographs.copy()
    bordered[:, [0, -1]] = bordered[:, :, [0, -1]] = 0
    np.testing.assert_array_equal(
        edit_images(bordered, "crop-1"), edit_images(photographs, "crop-1")
    )


@pytest.mark.parametrize("name", ["jpeg-100", "webp-100", "resize-0.5", "crop-2", "blur-3"])
def test_a_flat_image_stays_flat(name):
    flat = np.full((1, 16, 16, 3), 128, np.uint8)
    assert np.abs(edit_images(flat, name).astype(int) - 128).max() <= 2


def test_noise_is_the_same_everywhere():
    # No part of it is Pillow's; NumPy keeps its streams but for faults that it mends.
    images = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    digest = hashlib.sha256(edit_images(images, "noise-3").tobytes()).hexdigest()
    assert digest[:16] == "3095d48adc151140"


def test_another_process_edits_alike(photographs):
    name = "resize-0.75+noise-2+webp-80+jpeg-75"
    program = (
        "import sys, hashlib; from jax_origin.images import edit_images, photograph_crops; "
        "images = photograph_crops(12, (32, 32), seed=0, part='calibration')[0]; "
        "print(hashlib.sha256(edit_images(images, sys.argv[1]).tobytes()).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", program, name], capture_output=True, text=True, check=True
    )
    here = hashlib.sha256(edit_images(photographs, name).tobytes()).hexdigest()
    assert other.stdout.strip() == here


def step_names():
    whole = st.integers(1, 100).map(str)
    factor = st.integers(5, 799).map(lambda n: f"{n / 100:g}")
    return st.one_of(
        st.tuples(st.sampled_from(["jpeg", "webp", "crop"]), whole, st.just("")),
        st.tuples(st.just("jpeg"), whole, st.just("444")),
        st.tuples(st.just("resize"), factor, st.sampled_from(["", "bicubic"])),
        st.tuples(st.sampled_from(["noise", "blur"]), factor, st.just("")),
    )


@given(steps=st.lists(step_names(), min_size=1, max_size=4))
def test_a_name_says_its_steps(steps):
    name = "+".join("-".join(filter(None, step)) for step in steps)
    wanted = tuple(EditStep(f, float(a), option or None) for f, a, option in steps)
    assert parse_edit(name) == wanted


@given(
    step=step_names(), how=st.sampled_from(["upper", "spaces", "zeros", "underscores", "joined"])
)
@example(step=("jpeg", "4", "444"), how="zeros")
def test_a_name_written_otherwise_is_refused_with_the_right_spelling(step, how):
    name = "-".join(filter(None, step))
    family, amount, option = step
    other = {
        "upper": name.upper(),
        "spaces": f" {name}",
        "zeros": name.replace(amount, f"0{amount}", 1),
        "underscores": name.replace("-", "_"),
        "joined": "-".join(filter(None, (family + amount, option))),
    }[how]
    with pytest.raises(ValueError, match=f"did you mean {re.escape(repr(name))}") as caught:
        parse_edit(other)
    assert "\n" not in str(caught.value)
    assert parse_edit(name)


@settings(max_examples=200)
@given(name=st.text(alphabet="jpegwbrsizclano-+._ 0175423", max_size=20) | st.text(max_size=8))
def test_any_other_text_is_refused_in_one_line(name):
    try:
        steps = parse_edit(name)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1
        assert "edit" in str(error)
    else:
        assert steps or name == "clean"
        parts = ["-".join(filter(None, (s.family, f"{s.amount:g}", s.option))) for s in steps]
        assert "+".join(parts) == name or name == "clean"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jpg-90", "unknown edit 'jpg-90'; did you mean 'jpeg-90'?"),
        ("resize-0.750", "did you mean 'resize-0.75'?"),
        ("jpeg-101", "'jpeg-QUALITY[-444]' takes a whole number from 1 to 100"),
        ("jpeg-90.5", "'jpeg-QUALITY[-444]' takes a whole number from 1 to 100"),
        ("jpeg-90-420", "the form is 'jpeg-QUALITY[-444]'"),
        ("noise", "'noise-SIGMA' takes a number from 0.01 to 255"),
        ("clean+jpeg-75", "unknown 'clean' in edit 'clean+jpeg-75'; 'clean' is written so"),
        ("jpeg-75+", "unknown '' in edit 'jpeg-75+'; known: clean, jpeg-QUALITY[-444], webp-"),
        ("emboss-2", "unknown edit 'emboss-2'; known: clean, jpeg-QUALITY[-444], webp-QUALITY"),
    ],
)
def test_an_unknown_edit_is_named_with_what_to_write(name, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        edit_images(np.zeros((1, 8, 8, 3), np.uint8), name)


@pytest.mark.parametrize(
    ("images", "name", "message"),
    [
        (np.zeros((8, 8, 3), np.uint8), "jpeg-75", r"got uint8 \[8, 8, 3\]"),
        (np.zeros((1, 8, 8, 2), np.uint8), "jpeg-75", r"got uint8 \[1, 8, 8, 2\]"),
        (np.zeros((1, 8, 8, 3), np.float32), "clean", r"got float32 \[1, 8, 8, 3\]"),
        (np.zeros((1, 8, 9, 3), np.uint8), "crop-4", "crop-4 leaves nothing of images of 8x9"),
        (np.zeros((1, 8, 8, 3), np.uint8), "resize-0.99", "leaves images of 8x8 as they are"),
    ],
)
def test_images_that_cannot_be_edited_so_are_refused(images, name, message):
    with pytest.raises(ValueError, match=message):
        edit_images(images, name)


def test_every_family_is_described_in_a_line():
    known = {"clean", "jpeg", "webp", "resize", "scale", "crop", "cut", "turn", "noise", "blur"}
    known |= {
        "trim",
        "tilt",
        "caption",
        "mark",
        "paste",
        "sharpen",
        "gain",
        "offset",
        "gamma",
        "tint",
        "saturation",
    }
    assert set(EDITS) == known
    for family, line in EDITS.items():
        assert line.startswith(family)
        assert len(line.splitlines()) == 1


def test_colours_change_by_the_number_in_the_name():
    images = np.random.default_rng(0).integers(30, 190, (3, 8, 8, 3), dtype=np.uint8)
    after = {name: edit_images(images, name).astype(int) for name in ("gain-1.25", "gamma-0.7")}
    np.testing.assert_allclose(after["gain-1.25"], 1.25 * images, atol=0.5)
    np.testing.assert_allclose(after["gamma-0.7"], 255 * (images / 255) ** 0.7, atol=0.5)
    darker, brighter = (edit_images(images, f"offset-20{end}") for end in ("-darker", ""))
    assert (brighter.astype(int) - darker == 40).all()
    factors = edit_images(images, "tint-0.25") / images
    means = factors.mean(axis=(1, 2))
    assert np.ptp(factors - means[:, None, None]) < 0.1  # One factor for each channel.
    assert 1 / 1.26 < means.min() < 1 < means.max() < 1.26 and np.ptp(means, axis=1).min() > 0.02
    grey = edit_images(images, "saturation-0")
    assert (np.ptp(grey, axis=-1) == 0).all()


def test_no_images_are_no_images():
    assert edit_images(np.zeros((0, 8, 8, 3), np.uint8), "jpeg-75").shape == (0, 8, 8, 3)


@pytest.mark.parametrize(
    "edit",
    [
        *("clean", "jpeg-75", "jpeg-75-444", "webp-80", "resize-0.75", "crop-1", "noise-2"),
        *("blur-1", "sharpen-1", "gain-0.8", "gamma-1.4", "saturation-0.5"),
    ],
)
def test_grey_images_are_edited_as_colour_ones_of_equal_channels(edit):
    grey = np.random.default_rng(0).integers(60, 190, (2, 24, 24, 1), dtype=np.uint8)
    edited = edit_images(grey, edit)
    assert edited.shape == grey.shape and edited.dtype == np.uint8
    if edit != "noise-2":  # its seed comes from the pixels
        of_colour = edit_images(np.repeat(grey, 3, axis=3), edit)
        assert np.abs(of_colour.astype(int) - edited).max() <= 1
    for stored, pixels in zip(stored_images(grey, edit), edited, strict=True):
        np.testing.assert_array_equal(stored.pixels, pixels)
        assert stored.colour == "grey"
        family = edit.partition("-")[0]
        assert stored.kind == (family if family in ("jpeg", "webp") else "pixels")
