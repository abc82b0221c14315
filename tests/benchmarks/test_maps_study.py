"""The study of maps: which cells are of another origin."""

import numpy as np
import pytest

from benchmarks import maps
from configs.evaluate.maps import get_config
from jax_origin.images import photograph_crops
from jax_origin.inversion import Run


def test_a_quarter_of_each_image_is_marked():
    inside = maps.quarters(5, (8, 12), anywhere=True, seed=1)
    assert inside.shape == (5, 8, 12)
    assert (inside.sum(axis=(1, 2)) == 24).all()
    assert (inside.any(axis=2).sum(axis=1) == 4).all()
    assert len({each.tobytes() for each in inside}) > 1
    again = maps.quarters(5, (8, 12), anywhere=True, seed=1)
    np.testing.assert_array_equal(inside, again)


def test_quarters_in_corners():
    inside = maps.quarters(9, (8, 12), anywhere=False, seed=1)
    assert (inside.sum(axis=(1, 2)) == 24).all()
    assert (inside[:, ::7, ::11].sum(axis=(1, 2)) == 1).all()


@pytest.mark.outer
def test_a_small_study(tmp_path):
    photographs, _ = photograph_crops(6, (32, 32), seed=1, part="demonstration")
    np.savez(tmp_path / "photographs.npz", x=photographs)
    config = get_config()
    config.inspected, config.edits, config.num_images = ("dcgan-cifar10",), ("clean",), 3
    config.sets = {"photographs": "photographs.npz"}
    rows = maps.study(config, data=str(tmp_path), limit=None, run=Run())["rows"]
    kinds = [(row["images"].partition(",")[0], row["where"]) for row in rows]
    assert kinds == [(kind, at) for at in ("corner", "anywhere") for kind in ("own", "photographs")]
    assert rows[0]["in_part"] >= 2 and rows[0]["auc"] > 0.95
    # Half of a side of 32 px is four cells.
    assert (rows[0]["cells_inside"], rows[0]["cells_outside"]) == (144, 48)
    assert (rows[1]["cells_inside"], rows[1]["cells_outside"]) == (48, 144)
    text = maps.table({"rows": rows})
    assert "| dcgan-cifar10 | own, a quarter of a photograph" in text
