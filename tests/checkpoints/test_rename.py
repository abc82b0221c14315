import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jax_origin.checkpoints import CheckpointError, Rename, rename
from jax_origin.checkpoints.rename import (
    conv,
    linear,
    linear_from_grid,
    linear_to_grid,
    transposed_conv,
)

axis = st.integers(1, 4)


def counted(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_names_follow_the_table_and_its_groups():
    table = [
        Rename(r"block(\d+)\.(w|b)", r"blocks.\1.\2"),
        Rename(r"steps", None),
        Rename(r"fc\.weight", "output.kernel", linear),
    ]
    arrays = {"block12.w": counted(2), "steps": counted(1), "fc.weight": counted(2, 3)}
    renamed = rename(arrays, table)
    assert set(renamed) == {"blocks.12.w", "output.kernel"}
    assert (renamed["blocks.12.w"] == counted(2)).all()
    assert (renamed["output.kernel"] == counted(2, 3).T).all()


def test_the_first_line_that_matches_counts():
    table = [Rename("a", "first"), Rename(".*", "second")]
    assert set(rename({"a": counted(1), "b": counted(1)}, table)) == {"first", "second"}


def test_a_pattern_has_to_match_the_whole_name():
    with pytest.raises(CheckpointError, match=r"unexpected array 'a\.b' of shape \(2,\)"):
        rename({"a.b": counted(2)}, [Rename("a", "x"), Rename("b", "y")])


def test_two_arrays_of_one_name_are_refused():
    table = [Rename(r"(old|new)\.w", "w")]
    with pytest.raises(CheckpointError, match="two arrays of the checkpoint become 'w'"):
        rename({"old.w": counted(1), "new.w": counted(1)}, table)


def test_one_array_is_shared_out_among_several_names():
    table = [Rename(r"(\d)\.qkv", (r"\1.q", r"\1.k", r"\1.v"), linear)]
    renamed = rename({"7.qkv": counted(6, 2)}, table)
    assert list(renamed) == ["7.q", "7.k", "7.v"]
    assert (renamed["7.k"] == counted(6, 2).T[:, 2:4]).all()
    with pytest.raises(CheckpointError, match=r"'7.qkv' has the wrong shape, \(7, 2\)"):
        rename({"7.qkv": counted(7, 2)}, table)


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (conv, (3, 4)),
        (transposed_conv, (3,)),
        (linear_from_grid(4), (2, 15)),
        (linear_from_grid(4), ()),
        (linear_to_grid(4), (17, 2)),
        (linear_to_grid(4), ()),
    ],
)
def test_a_shape_that_does_not_suit_the_layout_is_refused(layout, shape):
    with pytest.raises(CheckpointError) as caught:
        rename({"w": counted(*shape)}, [Rename("w", "kernel", layout)])
    assert str(caught.value) == f"'w' has the wrong shape, {shape}"


@given(axis, axis, axis, axis)
def test_kernels_keep_every_entry_under_its_axes(outs, ins, h, w):
    kernel = counted(outs, ins, h, w)
    ours, turned = conv(kernel), transposed_conv(kernel)
    assert ours.shape == (h, w, ins, outs)
    assert turned.shape == (h, w, outs, ins)
    for o, i, y, x in np.ndindex(kernel.shape):
        assert ours[y, x, i, o] == turned[y, x, o, i] == kernel[o, i, y, x]


@given(axis, axis, axis)
def test_linear_from_grid_reads_the_same_grid_flattened_otherwise(outs, channels, side):
    weight = counted(outs, channels * side * side)
    grid = np.random.default_rng(0).normal(size=(channels, side, side))
    ours = grid.transpose(1, 2, 0).reshape(-1) @ linear_from_grid(side)(weight)
    np.testing.assert_allclose(ours, weight @ grid.reshape(-1), rtol=1e-9, atol=1e-9)


@given(axis, axis, axis)
def test_linear_to_grid_makes_the_same_grid_flattened_otherwise(ins, channels, side):
    weight, bias = counted(channels * side * side, ins), counted(channels * side * side)
    latent = np.random.default_rng(0).normal(size=ins)
    theirs = (weight @ latent + bias).reshape(channels, side, side).transpose(1, 2, 0)
    layout = linear_to_grid(side)
    ours = (latent @ layout(weight) + layout(bias)).reshape(side, side, channels)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
