"""The study of maps: which cells are of another origin."""

import numpy as np
import pytest

from benchmarks import maps
from configs.evaluate.maps import get_config
from jax_origin.images import photograph_crops
from jax_origin.inversion import Run


def test_a_quarter_of_each_image_is_marked():
    inside = maps.quarters(5, (8, 12), seed=1)
    assert inside.shape == (5, 8, 12)
    assert (inside.sum(axis=(1, 2)) == 24).all()
    assert (inside.any(axis=2).sum(axis=1) == 4).all()
    assert len({each.tobytes() for each in inside}) > 1
    np.testing.assert_array_equal(inside, maps.quarters(5, (8, 12), seed=1))


@pytest.mark.outer
def test_a_small_study(tmp_path):
    photographs, _ = photograph_crops(6, (32, 32), seed=1, part="demonstration")
    np.savez(tmp_path / "photographs.npz", x=photographs)
    config = get_config()
    config.inspected, config.edits, config.num_images = ("dcgan-cifar10",), ("clean",), 3
    config.sets = {"photographs": "photographs.npz"}
    rows = maps.study(config, data=str(tmp_path), limit=None, run=Run())["rows"]
    assert [row["images"].partition(",")[0] for row in rows] == ["own", "photographs"]
    assert rows[0]["in_part"] >= 2 and rows[0]["auc"] > 0.95
    # Half of the sides of 32 px are 4 cells: of 64 cells 9 to 16 are inside, 39 to 48 outside.
    assert all(27 <= row["cells_inside"] <= 144 for row in rows)
    text = maps.table({"rows": rows})
    assert "| dcgan-cifar10 | own, a quarter from a photograph" in text
