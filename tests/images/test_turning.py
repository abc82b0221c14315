"""Turns and mirrorings of files."""

import numpy as np
import pytest

from jax_origin.distances import FileSet
from jax_origin.images import (
    TURNS,
    as_float,
    stored_images,
    stored_pixels,
    turned,
    turned_alternatives,
)

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (32, 48, 3), dtype=np.uint8)
SQUARE = IMAGE[:, :32]


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: turn.words)
def test_a_turn_is_undone(turn):
    np.testing.assert_array_equal(turn.undone(turn(IMAGE)), IMAGE)
    assert not np.array_equal(turn(SQUARE), SQUARE)


def test_all_turns_differ_and_their_shares_are_all_there_is():
    assert len({turn(SQUARE).tobytes() for turn in TURNS} | {SQUARE.tobytes()}) == 8
    assert sum(turn.share for turn in TURNS) == pytest.approx(1)
    clockwise = next(turn for turn in TURNS if turn.words.endswith(" clockwise"))
    np.testing.assert_array_equal(clockwise(IMAGE), np.rot90(IMAGE, -1))


@pytest.mark.parametrize("edit", ["clean", "jpeg-75", "jpeg-60-444"])
@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: turn.words)
def test_a_file_of_a_turned_image_is_turned_back(turn, edit):
    """The set of a turned image's file, turned back, is nearly that of the image's own file.

    Nearly, for a table of steps is not its own mirror image.
    """

    def stored(pixels):
        if edit == "clean":
            return stored_pixels(pixels[None])[0]
        return stored_images(pixels[None], edit)[0]

    smooth = np.kron(IMAGE[::8, ::8], np.ones((8, 8, 1), np.uint8))
    before = turned(stored(np.ascontiguousarray(turn(smooth))), turn.undone)
    own, distance = stored(smooth), FileSet()
    target = type(before.to_arrays())(*(part[None] for part in before.to_arrays()))
    assert float(distance.l2(as_float(smooth[None]), target)[0]) < 1e-7
    noisy = as_float(RNG.integers(0, 256, (1, 32, 48, 3), dtype=np.uint8))
    theirs = type(target)(*(np.asarray(part)[None] for part in own.to_arrays()))
    found, wanted = (float(distance.l2(noisy, each)[0]) for each in (target, theirs))
    assert found == pytest.approx(wanted, rel=1e-2)


def test_only_turns_that_are_exact_and_leave_the_size_are_alternatives():
    file, turns = turned_alternatives(stored_pixels(SQUARE[None])[0])
    assert turns == TURNS and len(file.alternatives) == 7
    np.testing.assert_array_equal(file.alternatives[0].pixels, SQUARE[:, ::-1])
    _, turns = turned_alternatives(stored_pixels(IMAGE[None])[0])
    assert [turn.transposed for turn in turns] == [False] * 3
    (jpeg,) = stored_images(SQUARE[None, :28, :28], "jpeg-75")
    assert turned_alternatives(jpeg) == (jpeg, ())
